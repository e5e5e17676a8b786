//! An open folder, and what can be done below it.

use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::blanking::{Begun, Blanking};
use super::error::{Reason, VfsError, VfsResult};
use super::file::{Access, File, Kind, Meta, Space, Spot, Wanted};
use super::handle::Handle;
use super::stamp::Stamp;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);
/// Without NONBLOCK the opening of a pipe would wait for its other end.
const QUIETLY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// How often an `openat2` that the kernel could not decide is asked again.
const UNDECIDED: usize = 100;

/// How often one is asked again that the kernel says leads outside.
const SWAPPED: usize = 10;

/// An open folder. Cheap to clone; all clones are the same open folder, wherever it is moved.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    pub(super) handle: Arc<Handle>,
    path: Arc<Path>,
    /// The same for all folders that were opened from one another.
    pub(super) begun: Begun,
}

/// A name in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    /// The name, in any bytes.
    pub(crate) name: OsString,
    /// What it names.
    pub(crate) kind: Kind,
}

/// The folder that holds the last segment of a path.
enum Parent<'a> {
    This(&'a Dir),
    Below(Handle),
}

impl Deref for Parent<'_> {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        match self {
            Self::This(dir) => &dir.handle,
            Self::Below(handle) => handle,
        }
    }
}

impl Dir {
    /// Opens a folder by its path in the system, following links.
    pub(crate) fn open_root(path: &Path) -> VfsResult<Self> {
        let handle = Handle::open_root(path).map_err(|errno| VfsError::os("open", path, errno))?;
        Ok(Self::new(handle, path, Begun::default()))
    }

    pub(super) fn new(handle: Handle, path: &Path, begun: Begun) -> Self {
        Self { handle: Arc::new(handle), path: path.into(), begun }
    }

    /// Opens a folder by its absolute path in the system, or makes it with those on its way, durably.
    pub(crate) fn make_root(path: &Path) -> VfsResult<Self> {
        match (Self::open_root(path), path.parent()) {
            (Err(error), Some(parent)) if error.is(&[Errno::NOENT]) => {
                let parent = Self::make_root(parent)?;
                match Handle::make_root(path) {
                    Ok(()) | Err(Errno::EXIST) => parent.sync()?,
                    Err(errno) => return Err(VfsError::os("make", path, errno)),
                }
                Self::open_root(path)
            }
            (outcome, _) => outcome,
        }
    }

    /// The path it was opened under, for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn fault(&self, doing: &'static str, rel: &Path) -> impl Fn(Errno) -> VfsError {
        let path = self.path.join(rel);
        move |errno| VfsError::os(doing, &path, errno)
    }

    /// Only plain segments: the kernel would refuse the rest too, except in the last segment of a rename or unlink.
    pub(super) fn checked(&self, doing: &'static str, rel: &Path) -> VfsResult<()> {
        let bytes = rel.as_os_str().as_bytes();
        let plain = bytes.split(|&b| b == b'/').all(|segment| !matches!(segment, b"" | b"." | b".."));
        if plain { Ok(()) } else { Err(VfsError::new(doing, &self.path.join(rel), Reason::BadPath)) }
    }

    fn resolve(&self, rel: &Path, flags: OFlags, mode: Mode) -> Result<Handle, Errno> {
        let mut tries = 0;
        loop {
            match self.handle.open(rel, flags, mode) {
                Err(Errno::INTR) => {}
                // Another rename or mount raced with the resolution.
                Err(Errno::AGAIN) if tries < UNDECIDED => tries += 1,
                // Also told of a file that is swapped out of its folder just then; else it stays so.
                Err(Errno::XDEV) if tries < SWAPPED => tries += 1,
                other => return other,
            }
        }
    }

    fn parent<'a>(&'a self, doing: &'static str, rel: &'a Path) -> VfsResult<(Parent<'a>, &'a OsStr)> {
        self.checked(doing, rel)?;
        let (Some(last), Some(folder)) = (rel.file_name(), rel.parent()) else {
            return Err(VfsError::new(doing, &self.path.join(rel), Reason::BadPath));
        };
        if folder.as_os_str().is_empty() {
            return Ok((Parent::This(self), last));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let handle = self.resolve(folder, flags, Mode::empty()).map_err(self.fault(doing, rel))?;
        Ok((Parent::Below(handle), last))
    }

    /// Opens a folder below this one; `None` where there is none.
    pub(crate) fn dir(&self, rel: impl AsRef<Path>) -> VfsResult<Option<Self>> {
        let rel = rel.as_ref();
        self.checked("open", rel)?;
        match self.resolve(rel, FOLDER, Mode::empty()) {
            Ok(handle) => Ok(Some(Self::new(handle, &self.path.join(rel), self.begun.clone()))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(VfsError::os("open", &self.path.join(rel), errno)),
        }
    }

    /// Makes a folder; `false` where one stands there already.
    pub(crate) fn make_dir(&self, rel: impl AsRef<Path>, mode: u32) -> VfsResult<bool> {
        let rel = rel.as_ref();
        let (parent, last) = self.parent("make", rel)?;
        match parent.mkdir(last, mode) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => match self.stat(rel)? {
                Some(Meta { kind: Kind::Dir, .. }) => Ok(false),
                Some(meta) => Err(VfsError::new("make", &self.path.join(rel), Reason::Stands(meta.kind))),
                None => Err(VfsError::os("make", &self.path.join(rel), Errno::EXIST)),
            },
            Err(errno) => Err(VfsError::os("make", &self.path.join(rel), errno)),
        }
    }

    /// Makes a folder with those on its way, and opens it. Also returns the folders that got a new one in them: they
    /// need a [`Dir::sync`].
    pub(crate) fn make_dirs(&self, rel: impl AsRef<Path>) -> VfsResult<(Self, Vec<Self>)> {
        let mut grown = Vec::new();
        let folder = self.grow(rel, &mut grown)?;
        Ok((folder, grown))
    }

    /// As [`Dir::make_dirs`], and tells the folders that got a new one also where it fails further on.
    pub(crate) fn grow(&self, rel: impl AsRef<Path>, grown: &mut Vec<Self>) -> VfsResult<Self> {
        let rel = rel.as_ref();
        self.checked("make", rel)?;
        let mut folder = self.clone();
        for segment in rel.components() {
            let Component::Normal(name) = segment else { continue };
            let there = match folder.dir(name)? {
                Some(dir) => dir,
                None => {
                    if folder.make_dir(name, 0o777)? {
                        grown.push(folder.clone());
                    }
                    let path = folder.path.join(name);
                    folder.dir(name)?.ok_or_else(|| VfsError::os("make", &path, Errno::NOENT))?
                }
            };
            folder = there;
        }
        Ok(folder)
    }

    /// Opens a regular file; `None` where nothing stands there.
    ///
    /// A link, pipe, device, socket or folder is [`Reason::Stands`] or `ELOOP`, without waiting on it.
    pub(crate) fn open(&self, rel: impl AsRef<Path>, access: Access) -> VfsResult<Option<File>> {
        Ok(self.open_asking(rel.as_ref(), access, Wanted::Spot)?.map(|(file, _)| file))
    }

    /// As [`Dir::open`], with what is known of the file at that moment.
    pub(crate) fn open_with_meta(&self, rel: impl AsRef<Path>, access: Access) -> VfsResult<Option<(File, Meta)>> {
        self.open_asking(rel.as_ref(), access, Wanted::All)
    }

    /// Opens a file for reading and writing, where nobody else can see it: it had lost its real name before `_since`, it has one
    /// name, nobody else has it open, and it carries what `like` says. Nobody else can open it, or give it another name, before
    /// it is closed.
    ///
    /// # Errors
    /// Where it is not so.
    pub(crate) fn open_unseen(&self, rel: impl AsRef<Path>, _since: &Blanking, like: &Stamp) -> VfsResult<(File, Meta)> {
        let rel = rel.as_ref();
        self.checked("open", rel)?;
        let path = self.path.join(rel);
        let flags = Access::ReadWrite.flags() | QUIETLY;
        let handle = self.resolve(rel, flags, Mode::empty()).map_err(|errno| VfsError::os("open", &path, errno))?;
        let file = File::new(handle, path);
        let meta = file.take_unseen(like)?;
        Ok((file, meta))
    }

    fn open_asking(&self, rel: &Path, access: Access, wanted: Wanted) -> VfsResult<Option<(File, Meta)>> {
        self.checked("open", rel)?;
        let flags = access.flags() | QUIETLY;
        let path = self.path.join(rel);
        match self.begun.opened(|| self.resolve(rel, flags, Mode::empty())) {
            Ok(handle) => Self::regular(handle, path, wanted).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(VfsError::os("open", &path, errno)),
        }
    }

    fn regular(handle: Handle, path: PathBuf, wanted: Wanted) -> VfsResult<(File, Meta)> {
        let meta = handle.meta(wanted).map_err(|errno| VfsError::os("open", &path, errno))?;
        if meta.kind != Kind::File {
            return Err(VfsError::new("open", &path, Reason::Stands(meta.kind)));
        }
        Ok((File::new(handle, path), meta))
    }

    /// Makes a new, empty file; `EEXIST` where anything stands there. Readable by all that the umask allows.
    pub(crate) fn create_new(&self, rel: impl AsRef<Path>, access: Access) -> VfsResult<File> {
        let rel = rel.as_ref();
        self.checked("create", rel)?;
        let flags = access.flags() | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let handle = self.resolve(rel, flags, Mode::from_raw_mode(0o666)).map_err(self.fault("create", rel))?;
        Ok(File::new(handle, self.path.join(rel)))
    }

    /// What stands there, without opening it; `None` for nothing. A link is told as a link.
    pub(crate) fn stat(&self, rel: impl AsRef<Path>) -> VfsResult<Option<Meta>> {
        self.ask(rel.as_ref(), Wanted::All)
    }

    /// Which file stands there, and how long it is. Else as [`Dir::stat`].
    pub(crate) fn spot(&self, rel: impl AsRef<Path>) -> VfsResult<Option<Spot>> {
        Ok(self.ask(rel.as_ref(), Wanted::Spot)?.map(Spot::from))
    }

    fn ask(&self, rel: &Path, wanted: Wanted) -> VfsResult<Option<Meta>> {
        self.checked("look at", rel)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        // A name in this very folder leads nowhere else, unless something is mounted there.
        let near = if rel.components().nth(1).is_none() { self.handle.meta_of(rel.as_os_str(), wanted) } else { Ok(None) };
        let found = match near {
            Ok(None) => self.resolve(rel, flags, Mode::empty()).and_then(|handle| handle.meta(wanted)),
            Ok(Some(meta)) => Ok(meta),
            Err(errno) => Err(errno),
        };
        match found {
            Ok(meta) => Ok(Some(meta)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(VfsError::os("look at", &self.path.join(rel), errno)),
        }
    }

    /// As [`Dir::spot`] in one call, of a path that was looked at just before: a link that came on the way since is
    /// followed, so compare what it leads to. `None` where only that can tell.
    pub(crate) fn glance(&self, rel: impl AsRef<Path>) -> Option<Spot> {
        let rel = rel.as_ref();
        self.checked("look at", rel).ok()?;
        self.handle.meta_of(rel.as_os_str(), Wanted::Spot).ok()?.map(Spot::from)
    }

    /// Renames, replacing what stands at the target. Atomic; durable once the target's folder is synced.
    pub(crate) fn rename(&self, from: impl AsRef<Path>, to_dir: &Self, to: impl AsRef<Path>) -> VfsResult<()> {
        self.rename_with(from.as_ref(), to_dir, to.as_ref(), RenameFlags::empty())
    }

    /// Renames where nothing stands at the target; `false` where something does.
    pub(crate) fn rename_noreplace(&self, from: impl AsRef<Path>, to_dir: &Self, to: impl AsRef<Path>) -> VfsResult<bool> {
        match self.rename_with(from.as_ref(), to_dir, to.as_ref(), RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(error) if error.exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Swaps what stands at two names, in one step. `false` where the file system can't, or where nothing stands at one of
    /// them.
    pub(crate) fn exchange(&self, from: impl AsRef<Path>, to_dir: &Self, to: impl AsRef<Path>) -> VfsResult<bool> {
        match self.rename_with(from.as_ref(), to_dir, to.as_ref(), RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(error) if error.is(&[Errno::NOENT, Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP]) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn rename_with(&self, from: &Path, to_dir: &Self, to: &Path, flags: RenameFlags) -> VfsResult<()> {
        let (source, name) = self.parent("rename", from)?;
        let (target, new_name) = to_dir.parent("rename to", to)?;
        source.rename(name, &target, new_name, flags).map_err(to_dir.fault("rename to", to))
    }

    /// Gives a file a second name; `EEXIST` where something stands there, [`VfsError::no_links`] where links don't work.
    pub(crate) fn link(&self, from: impl AsRef<Path>, to_dir: &Self, to: impl AsRef<Path>) -> VfsResult<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (source, name) = self.parent("link", from)?;
        let (target, new_name) = to_dir.parent("link", to)?;
        source.link(name, &target, new_name).map_err(to_dir.fault("link", to))
    }

    /// Removes a file (or link, pipe …); `false` where nothing stands there.
    pub(crate) fn unlink(&self, rel: impl AsRef<Path>) -> VfsResult<bool> {
        self.remove(rel.as_ref(), AtFlags::empty(), &[Errno::NOENT])
    }

    /// Removes an empty folder; `false` where there is none or it is not empty.
    pub(crate) fn rmdir(&self, rel: impl AsRef<Path>) -> VfsResult<bool> {
        self.remove(rel.as_ref(), AtFlags::REMOVEDIR, &[Errno::NOENT, Errno::NOTEMPTY, Errno::EXIST])
    }

    fn remove(&self, rel: &Path, flags: AtFlags, fine: &[Errno]) -> VfsResult<bool> {
        let removed = match self.parent("remove", rel) {
            Ok((parent, last)) => parent.unlink(last, flags).map_err(self.fault("remove", rel)),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => Ok(true),
            Err(error) if error.is(fine) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names in this folder, in no order, without `.` and `..`. Memory does not grow with their number.
    pub(crate) fn list(&self) -> VfsResult<impl Iterator<Item = VfsResult<Listed>> + use<>> {
        let names = self.handle.names().map_err(|errno| VfsError::os("list", &self.path, errno))?;
        let folder = self.clone();
        Ok(names.filter_map(move |name| folder.listed(name).transpose()))
    }

    fn listed(&self, name: Result<(OsString, Option<Kind>), Errno>) -> VfsResult<Option<Listed>> {
        let (name, kind) = name.map_err(|errno| VfsError::os("list", &self.path, errno))?;
        let kind = match kind {
            Some(kind) => kind,
            // Some file systems don't tell the kind in the list.
            None => match self.stat(&name)? {
                Some(meta) => meta.kind,
                None => return Ok(None),
            },
        };
        Ok(Some(Listed { name, kind }))
    }

    /// Room on the file system that this folder lies on.
    pub(crate) fn room(&self) -> VfsResult<Space> {
        self.handle.room().map_err(|errno| VfsError::os("look at", &self.path, errno))
    }

    /// True for file systems of this machine alone: the kernel knows of everybody who has a file of this folder open, and a
    /// write that is to be durable is.
    pub(crate) fn is_local(&self) -> VfsResult<bool> {
        self.handle.is_local().map_err(|errno| VfsError::os("look at", &self.path, errno))
    }

    /// True on file systems that write over what a file has where it lies, so that it takes no more room.
    pub(crate) fn writes_in_place(&self) -> VfsResult<bool> {
        self.handle.writes_in_place().map_err(|errno| VfsError::os("look at", &self.path, errno))
    }

    /// From here on, files that had lost their names before may be [taken](Dir::open_unseen): whoever opens a name in a
    /// folder that was opened from this one, or from which this one was, opens none of them.
    pub(crate) fn begin_blanking(&self) -> Blanking {
        self.begun.begin()
    }

    /// A path by which the kernel finds this very folder, wherever it is moved.
    pub(crate) fn by_handle(&self) -> String {
        self.handle.path()
    }

    /// Makes the names in this folder durable (`fsync`). A failure is final, as with [`File::sync_data`].
    pub(crate) fn sync(&self) -> VfsResult<()> {
        self.handle.fsync().map_err(|errno| VfsError::os("sync", &self.path, errno))
    }

    /// Makes everything on the file system of this folder durable (`syncfs`).
    pub(crate) fn sync_file_system(&self) -> VfsResult<()> {
        self.handle.syncfs().map_err(|errno| VfsError::os("sync", &self.path, errno))
    }
}
