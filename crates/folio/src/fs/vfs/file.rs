//! An open regular file.

use std::ffi::OsStr;
use std::fmt;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FallocateFlags, FileType, OFlags, Statx, StatxAttributes, StatxFlags, StatxTimestamp};
use rustix::io::Errno;

use super::error::{VfsError, VfsResult};
use super::handle::Handle;
use super::stamp::Stamp;

/// Bytes that are copied at once.
pub(crate) const COPY_PIECE: usize = 1 << 20;

/// What stands at a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A pipe, a socket or a device.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Dir => "folder",
            Self::Link => "symbolic link",
            Self::Other => "pipe, socket or device",
        })
    }
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Link,
            _ => Self::Other,
        }
    }
}

/// How an existing file is opened, or a new one made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// For reading.
    Read,
    /// For reading, and writing anywhere.
    ReadWrite,
    /// For reading, and writing at the end only, wherever the end is by then.
    Append,
    /// For writing past the system's memory ([`File::write_through`]).
    Through,
}

impl Access {
    pub(super) fn flags(self) -> OFlags {
        match self {
            Self::Read => OFlags::RDONLY,
            Self::ReadWrite => OFlags::RDWR,
            Self::Append => OFlags::RDWR | OFlags::APPEND,
            Self::Through => OFlags::RDWR | OFlags::DIRECT,
        }
    }
}

/// Most bytes of a file that is blanked and keeps its size.
pub(crate) const BLANK: usize = 64 << 10;
static NULS: [u8; BLANK] = [0; BLANK];

/// A file of nothing but bytes of NUL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Blank {
    /// Inode number and birth.
    pub(crate) id: (u64, u64),
    /// Bytes, at most [`BLANK`].
    pub(crate) size: u64,
}

/// Bytes of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Space {
    /// Used or not.
    pub(crate) all: u64,
    /// That this process may use still.
    pub(crate) free: u64,
}

/// What is known of a file or folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Meta {
    /// What it is.
    pub(crate) kind: Kind,
    /// Bytes.
    pub(crate) size: u64,
    /// Unix milliseconds of the last write; 0 before 1970.
    pub(crate) modified_ms: u64,
    /// The same in nanoseconds.
    pub(crate) modified_ns: u64,
    /// Unix nanoseconds of the last change of bytes, names or permissions; 0 before 1970.
    pub(crate) changed_ns: u64,
    /// Inode number.
    pub(crate) inode: u64,
    /// Unix nanoseconds of its making; 0 where the file system does not keep it.
    pub(crate) birth_ns: u64,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Names that it has; 0 for a file that was removed while it is open.
    pub(crate) links: u32,
}

/// What is asked of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    All,
    /// What a [`Spot`] holds.
    Spot,
}

impl Wanted {
    fn mask(self) -> StatxFlags {
        match self {
            Self::All => StatxFlags::BASIC_STATS.union(StatxFlags::BTIME),
            Self::Spot => StatxFlags::TYPE.union(StatxFlags::INO).union(StatxFlags::SIZE).union(StatxFlags::BTIME),
        }
    }
}

/// Which file it is and how long, without its times: a kernel that is asked for those (Linux 6.13) keeps finer ones from
/// then on, so that each change of the file changes its inode, too, and the next sync on the same disk block waits for that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spot {
    /// What it is.
    pub(crate) kind: Kind,
    /// Inode number and birth: other for a copy or a replacement.
    pub(crate) id: (u64, u64),
    /// Bytes.
    pub(crate) size: u64,
}

impl From<Meta> for Spot {
    fn from(meta: Meta) -> Self {
        Self { kind: meta.kind, id: meta.id(), size: meta.size }
    }
}

impl Meta {
    /// Inode number and birth: other for a copy or a replacement.
    pub(crate) fn id(&self) -> (u64, u64) {
        (self.inode, self.birth_ns)
    }

    pub(super) fn of(fd: impl AsFd, wanted: Wanted) -> Result<Self, Errno> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::statx(fd, c"", flags, wanted.mask()).map(|found| Self::from(&found))
    }

    /// Of a path below the folder `fd`; `None` where another file system is mounted there, or the kernel can't tell.
    pub(super) fn of_name(fd: impl AsFd, name: &OsStr, wanted: Wanted) -> Result<Option<Self>, Errno> {
        let found = rustix::fs::statx(fd, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, wanted.mask())?;
        let told = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
        let here = told && !found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        Ok(here.then(|| Self::from(&found)))
    }
}

impl From<&Statx> for Meta {
    fn from(found: &Statx) -> Self {
        let has_birth = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
        let seconds = |s: i64| u64::try_from(s).unwrap_or(0);
        let nanos =
            |time: &StatxTimestamp| seconds(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.into());
        Self {
            kind: FileType::from_raw_mode(found.stx_mode.into()).into(),
            size: found.stx_size,
            modified_ms: nanos(&found.stx_mtime) / 1_000_000,
            modified_ns: nanos(&found.stx_mtime),
            changed_ns: nanos(&found.stx_ctime),
            inode: found.stx_ino,
            birth_ns: if has_birth { nanos(&found.stx_btime) } else { 0 },
            mode: u32::from(found.stx_mode) & 0o777,
            links: found.stx_nlink,
        }
    }
}

/// An open regular file. Reads and writes at offsets may run at the same time; appends must not.
#[derive(Debug)]
pub(crate) struct File {
    handle: Handle,
    path: PathBuf,
}

impl File {
    pub(super) fn new(handle: Handle, path: PathBuf) -> Self {
        Self { handle, path }
    }

    /// The same file, which got another name.
    pub(crate) fn known_as(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    /// The path it was opened under, for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn fault(&self, doing: &'static str) -> impl Fn(Errno) -> VfsError + '_ {
        move |errno| VfsError::os(doing, &self.path, errno)
    }

    /// Reads into all of `buf` from `offset`; fewer bytes only at the end of the file. Returns how many.
    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> VfsResult<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.handle.pread(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(VfsError::os("read", &self.path, errno)),
            }
        }
        Ok(done)
    }

    /// Adds `wanted` bytes from `offset` to `bytes`; fewer only at the end of the file. Returns how many.
    pub(crate) fn read_onto(&self, bytes: &mut Vec<u8>, wanted: usize, offset: u64) -> VfsResult<usize> {
        let had = bytes.len();
        if bytes.capacity() - had > wanted.saturating_mul(2) {
            // All of the room is read into.
            bytes.shrink_to(had.saturating_add(wanted));
        }
        bytes.reserve_exact(wanted);
        while bytes.len() - had < wanted {
            match self.handle.pread_onto(bytes, offset + (bytes.len() - had) as u64) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(VfsError::os("read", &self.path, errno)),
            }
        }
        // There may have been more room than that.
        bytes.truncate(had.saturating_add(wanted));
        Ok(bytes.len() - had)
    }

    /// The bytes from `offset`, at most `limit` of them.
    pub(crate) fn read_some(&self, offset: u64, limit: usize) -> VfsResult<Vec<u8>> {
        let there = self.len()?.saturating_sub(offset);
        let mut bytes = Vec::new();
        self.read_onto(&mut bytes, usize::try_from(there).unwrap_or(usize::MAX).min(limit), offset)?;
        Ok(bytes)
    }

    /// Writes all of `bytes` at `offset`. After an error any part of them may stand there. Not for [`Access::Append`],
    /// where Linux would ignore the offset.
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> VfsResult<()> {
        let at = |done: usize| offset + done as u64;
        self.write_whole(bytes, |rest, done| self.handle.pwrite(rest, at(done)))
    }

    /// Writes all of `bytes` at `offset`, past the system's memory, and durably as with [`File::sync_data`]. Only for
    /// [`Access::Through`], and in whole blocks of the medium: offset, length, and the place in memory.
    pub(crate) fn write_through(&self, bytes: &[u8], offset: u64) -> VfsResult<()> {
        self.write_whole(bytes, |rest, done| self.handle.pwrite_through(rest, offset + done as u64))
    }

    /// Writes all of `bytes` at the end ([`Access::Append`]), or else after what this handle wrote before. After an
    /// error any part of them may stand there.
    pub(crate) fn append_all(&self, bytes: &[u8]) -> VfsResult<()> {
        self.write_whole(bytes, |rest, _| self.handle.write(rest))
    }

    /// Appends the bytes of `source` in `range`, as far as they are there, in pieces: memory does not grow with them.
    pub(crate) fn append_from(&self, source: &Self, range: Range<u64>) -> VfsResult<()> {
        let mut at = range.start;
        while at < range.end {
            let wanted = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(COPY_PIECE);
            let piece = source.read_some(at, wanted)?;
            if piece.is_empty() {
                break;
            }
            self.append_all(&piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn write_whole(&self, bytes: &[u8], write: impl Fn(&[u8], usize) -> Result<usize, Errno>) -> VfsResult<()> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match write(rest, done) {
                // A write of nothing would loop for ever; no regular file on Linux does it.
                Ok(0) => return Err(VfsError::os("write", &self.path, Errno::IO)),
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(VfsError::os("write", &self.path, errno)),
            }
        }
        Ok(())
    }

    /// The same open file, for other hands; `None` where the system can't.
    pub(crate) fn duplicate(&self) -> Option<std::fs::File> {
        self.handle.duplicate().ok().map(std::fs::File::from)
    }

    /// Size, times, identity.
    pub(crate) fn meta(&self) -> VfsResult<Meta> {
        self.handle.meta(Wanted::All).map_err(self.fault("look at"))
    }

    fn spot(&self) -> VfsResult<Spot> {
        self.handle.meta(Wanted::Spot).map(Spot::from).map_err(self.fault("look at"))
    }

    /// Bytes.
    pub(crate) fn len(&self) -> VfsResult<u64> {
        Ok(self.spot()?.size)
    }

    /// Inode number and unix nanoseconds of its making (0 where unknown): other for a copy or a replacement.
    pub(crate) fn identity(&self) -> VfsResult<(u64, u64)> {
        Ok(self.spot()?.id)
    }

    /// Begins to write the bytes in `range` to the disk, so that a later sync has less to wait for. Promises nothing.
    pub(crate) fn begin_write_back(&self, range: Range<u64>) {
        if let Some(len) = NonZeroU64::new(range.end.saturating_sub(range.start)) {
            self.handle.begin_write_back(range.start, len);
        }
    }

    /// Makes the bytes, and what is needed to find them, durable (`fdatasync`). A failure is final: the kernel may
    /// have dropped the bytes, so a second call that succeeds proves nothing.
    pub(crate) fn sync_data(&self) -> VfsResult<()> {
        self.handle.fdatasync().map_err(self.fault("sync"))
    }

    /// Makes bytes and metadata durable (`fsync`). A failure is final, as with [`File::sync_data`].
    pub(crate) fn sync_all(&self) -> VfsResult<()> {
        self.handle.fsync().map_err(self.fault("sync"))
    }

    /// Makes sure that there is room for the bytes in `range` of this file (`fallocate`), without changing its length.
    /// Nothing where the file system can't promise it.
    pub(crate) fn reserve(&self, range: Range<u64>) -> VfsResult<()> {
        let len = range.end.saturating_sub(range.start);
        if len == 0 {
            return Ok(());
        }
        loop {
            match self.handle.fallocate(FallocateFlags::KEEP_SIZE, range.start, len) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(VfsError::os("reserve room in", &self.path, errno)),
            }
        }
    }

    /// Cuts the file to `len` bytes.
    pub(crate) fn truncate(&self, len: u64) -> VfsResult<()> {
        self.handle.ftruncate(len).map_err(self.fault("cut"))
    }

    /// Sets the permission bits.
    pub(crate) fn set_mode(&self, mode: u32) -> VfsResult<()> {
        self.handle.fchmod(mode).map_err(self.fault("set the permissions of"))
    }

    /// What it carries besides its bytes.
    pub(crate) fn stamp(&self) -> VfsResult<Stamp> {
        Ok(self.handle.meta_and_stamp().map_err(self.fault("look at"))?.1)
    }

    /// Takes a file where nobody else can see it ([`Dir::open_unseen`](super::Dir::open_unseen)).
    pub(super) fn take_unseen(&self, like: &Stamp) -> VfsResult<Meta> {
        // Given back when the file is closed.
        self.handle.take_lease().map_err(self.fault("lease"))?;
        let (meta, stamp) = self.handle.meta_and_stamp().map_err(self.fault("look at"))?;
        if meta.kind != Kind::File || meta.links != 1 || stamp != *like {
            return Err(VfsError::os("use again", &self.path, Errno::BUSY));
        }
        Ok(meta)
    }

    /// Takes the bytes from a file, which is as `meta` says. Few become NUL, so that the file keeps its room on the disk, which
    /// is dear to give back and to take; many are cut off. Not for [`Access::Append`]. Returns what is left.
    pub(crate) fn blank(&self, meta: &Meta) -> VfsResult<Blank> {
        let few = usize::try_from(meta.size).ok().and_then(|size| NULS.get(..size));
        match few {
            Some(nuls) => self.write_all_at(nuls, 0)?,
            None => self.truncate(0)?,
        }
        Ok(Blank { id: meta.id(), size: few.map_or(0, |_| meta.size) })
    }

    /// Takes the kernel's exclusive lock on the file, until it is closed; `false` where another process has it.
    pub(crate) fn try_lock(&self) -> VfsResult<bool> {
        match self.handle.flock() {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(VfsError::os("lock", &self.path, errno)),
        }
    }
}
