//! An open file or folder, and the system calls on it that the driver uses.

use std::ffi::{OsStr, OsString};
use std::io::{IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, AtFlags, CWD, FallocateFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::file::{Kind, Meta, Space, Wanted};
use super::lease;
#[cfg(test)]
use super::sim;
use super::stamp::Stamp;

// Not NOFOLLOW: with it the kernel calls a link "not a directory", without it BELOW refuses the link as what it is.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const BELOW: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);

/// File systems of this machine alone, by their numbers: ext2 to ext4, XFS, tmpfs.
const IN_PLACE: [u32; 3] = [0xEF53, 0x5846_5342, 0x0102_1994];
/// Such that write what is new elsewhere: Btrfs, F2FS.
const ELSEWHERE: [u32; 2] = [0x9123_683E, 0xF2F5_2010];

/// An open file or folder; closed when dropped.
#[derive(Debug)]
pub(super) enum Handle {
    /// Of the kernel.
    Real(OwnedFd),
    /// Of a simulated file system.
    #[cfg(test)]
    Sim(sim::Fd),
}

/// Each is the system call of its name.
impl Handle {
    /// Opens a folder by its path in the system, following links.
    pub(super) fn open_root(path: &Path) -> Result<Self, Errno> {
        rustix::fs::openat(CWD, path, FOLDER, Mode::empty()).map(Self::Real)
    }

    /// Makes a folder by its path in the system.
    pub(super) fn make_root(path: &Path) -> Result<(), Errno> {
        rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o777))
    }

    /// Opens `rel` below this folder.
    pub(super) fn open(&self, rel: &Path, flags: OFlags, mode: Mode) -> Result<Self, Errno> {
        match self {
            Self::Real(fd) => rustix::fs::openat2(fd, rel, flags | OFlags::CLOEXEC, mode, BELOW).map(Self::Real),
            #[cfg(test)]
            Self::Sim(fd) => fd.open(rel, flags, mode).map(Self::Sim),
        }
    }

    /// As [`Handle::open`], where the names on the way are in memory; else `EAGAIN`.
    pub(super) fn open_now(&self, rel: &Path, flags: OFlags) -> Result<Self, Errno> {
        match self {
            Self::Real(fd) => {
                let resolve = BELOW | ResolveFlags::CACHED;
                rustix::fs::openat2(fd, rel, flags | OFlags::CLOEXEC, Mode::empty(), resolve).map(Self::Real)
            }
            #[cfg(test)]
            Self::Sim(fd) => fd.open(rel, flags, Mode::empty()).map(Self::Sim),
        }
    }

    /// `fstatvfs`.
    pub(super) fn room(&self) -> Result<Space, Errno> {
        match self {
            Self::Real(fd) => rustix::fs::fstatvfs(fd).map(|found| {
                let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
                Space { all: bytes(found.f_blocks), free: bytes(found.f_bavail) }
            }),
            #[cfg(test)]
            Self::Sim(_) => Ok(Space { all: u64::MAX, free: u64::MAX }),
        }
    }

    pub(super) fn mkdir(&self, name: &OsStr, mode: u32) -> Result<(), Errno> {
        match self {
            Self::Real(fd) => rustix::fs::mkdirat(fd, name, Mode::from_raw_mode(mode)),
            #[cfg(test)]
            Self::Sim(fd) => fd.mkdir(name, mode),
        }
    }

    pub(super) fn rename(&self, name: &OsStr, to: &Self, new_name: &OsStr, flags: RenameFlags) -> Result<(), Errno> {
        match (self, to) {
            (Self::Real(from), Self::Real(to)) => rustix::fs::renameat_with(from, name, to, new_name, flags),
            #[cfg(test)]
            (Self::Sim(from), Self::Sim(to)) => from.rename(name, to, new_name, flags),
            #[cfg(test)]
            _ => Err(Errno::XDEV),
        }
    }

    pub(super) fn link(&self, name: &OsStr, to: &Self, new_name: &OsStr) -> Result<(), Errno> {
        match (self, to) {
            (Self::Real(from), Self::Real(to)) => rustix::fs::linkat(from, name, to, new_name, AtFlags::empty()),
            #[cfg(test)]
            (Self::Sim(from), Self::Sim(to)) => from.link(name, to, new_name),
            #[cfg(test)]
            _ => Err(Errno::XDEV),
        }
    }

    pub(super) fn unlink(&self, name: &OsStr, flags: AtFlags) -> Result<(), Errno> {
        match self {
            Self::Real(fd) => rustix::fs::unlinkat(fd, name, flags),
            #[cfg(test)]
            Self::Sim(fd) => fd.unlink(name, flags.contains(AtFlags::REMOVEDIR)),
        }
    }

    /// The names in this folder.
    pub(super) fn names(&self) -> Result<Names, Errno> {
        match self {
            Self::Real(fd) => rustix::fs::Dir::read_from(fd).map(Names::Real),
            #[cfg(test)]
            Self::Sim(fd) => fd.names().map(Names::Sim),
        }
    }

    pub(super) fn meta(&self, wanted: Wanted) -> Result<Meta, Errno> {
        match self {
            Self::Real(fd) => Meta::of(fd, wanted),
            #[cfg(test)]
            Self::Sim(fd) => fd.meta(),
        }
    }

    /// What stands at a path below this folder, in one call that follows links on the way; `None` where it takes
    /// [`Handle::open`] to tell.
    pub(super) fn meta_of(&self, name: &OsStr, wanted: Wanted) -> Result<Option<Meta>, Errno> {
        match self {
            Self::Real(fd) => Meta::of_name(fd, name, wanted),
            #[cfg(test)]
            Self::Sim(_) => Ok(None),
        }
    }

    /// `dup`.
    pub(super) fn duplicate(&self) -> Result<OwnedFd, Errno> {
        match self {
            Self::Real(fd) => rustix::io::fcntl_dupfd_cloexec(fd, 0),
            #[cfg(test)]
            Self::Sim(_) => Err(Errno::OPNOTSUPP),
        }
    }

    /// A path by which the kernel finds what is open here.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Real(fd) => format!("/proc/self/fd/{}", fd.as_raw_fd()),
            #[cfg(test)]
            Self::Sim(_) => "/proc/self/fd/-1".into(),
        }
    }

    pub(super) fn pread(&self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        match self {
            Self::Real(fd) => rustix::io::pread(fd, buf, offset),
            #[cfg(test)]
            Self::Sim(fd) => fd.pread(buf, offset),
        }
    }

    /// As [`Handle::pread`], into the room that `bytes` has left.
    pub(super) fn pread_onto(&self, bytes: &mut Vec<u8>, offset: u64) -> Result<usize, Errno> {
        match self {
            Self::Real(fd) => rustix::io::pread(fd, spare_capacity(bytes), offset),
            #[cfg(test)]
            Self::Sim(fd) => {
                let had = bytes.len();
                bytes.resize(bytes.capacity(), 0);
                let count = fd.pread(bytes.get_mut(had..).unwrap_or_default(), offset);
                bytes.truncate(had + count.unwrap_or(0));
                count
            }
        }
    }

    /// As [`Handle::pread`], where the bytes are in memory; else `EAGAIN`. `EOPNOTSUPP` where that can't be known.
    pub(super) fn pread_now(&self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        match self {
            Self::Real(fd) => rustix::io::preadv2(fd, &mut [IoSliceMut::new(buf)], offset, ReadWriteFlags::NOWAIT),
            #[cfg(test)]
            Self::Sim(fd) => fd.pread(buf, offset),
        }
    }

    pub(super) fn pwrite(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        match self {
            Self::Real(fd) => rustix::io::pwrite(fd, bytes, offset),
            #[cfg(test)]
            Self::Sim(fd) => fd.write(bytes, Some(offset)),
        }
    }

    /// As [`Handle::pwrite`], durably. The flag of a write: `OFlags::DSYNC` is `O_SYNC` in rustix, which syncs times, too.
    pub(super) fn pwrite_through(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        match self {
            Self::Real(fd) => rustix::io::pwritev2(fd, &[IoSlice::new(bytes)], offset, ReadWriteFlags::DSYNC),
            #[cfg(test)]
            Self::Sim(fd) => fd.write_through(bytes, offset),
        }
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Real(fd) => rustix::io::write(fd, bytes),
            #[cfg(test)]
            Self::Sim(fd) => fd.write(bytes, None),
        }
    }

    /// `fadvise`: what was written is not needed in memory, so the kernel begins to write it to the disk. What it has done with
    /// by then it lets go of. `sync_file_range` would not, but has no safe wrapper.
    pub(super) fn begin_write_back(&self, offset: u64, len: NonZeroU64) {
        match self {
            // A hint.
            Self::Real(fd) => drop(rustix::fs::fadvise(fd, offset, Some(len), Advice::DontNeed)),
            #[cfg(test)]
            Self::Sim(_) => {}
        }
    }

    pub(super) fn fdatasync(&self) -> Result<(), Errno> {
        match self {
            Self::Real(fd) => rustix::fs::fdatasync(fd),
            #[cfg(test)]
            Self::Sim(fd) => fd.sync(),
        }
    }

    pub(super) fn fsync(&self) -> Result<(), Errno> {
        match self {
            Self::Real(fd) => rustix::fs::fsync(fd),
            #[cfg(test)]
            Self::Sim(fd) => fd.sync(),
        }
    }

    pub(super) fn syncfs(&self) -> Result<(), Errno> {
        match self {
            Self::Real(fd) => rustix::fs::syncfs(fd),
            #[cfg(test)]
            Self::Sim(fd) => fd.syncfs(),
        }
    }

    pub(super) fn fallocate(&self, flags: FallocateFlags, offset: u64, len: u64) -> Result<(), Errno> {
        match self {
            Self::Real(fd) => rustix::fs::fallocate(fd, flags, offset, len),
            #[cfg(test)]
            Self::Sim(fd) => fd.reserve(flags, offset, len),
        }
    }

    pub(super) fn ftruncate(&self, len: u64) -> Result<(), Errno> {
        match self {
            Self::Real(fd) => rustix::fs::ftruncate(fd, len),
            #[cfg(test)]
            Self::Sim(fd) => fd.truncate(len),
        }
    }

    pub(super) fn fchmod(&self, mode: u32) -> Result<(), Errno> {
        match self {
            Self::Real(fd) => rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)),
            #[cfg(test)]
            Self::Sim(fd) => fd.chmod(mode),
        }
    }

    pub(super) fn meta_and_stamp(&self) -> Result<(Meta, Stamp), Errno> {
        match self {
            Self::Real(fd) => Stamp::of(fd.as_fd()),
            #[cfg(test)]
            Self::Sim(fd) => Ok((fd.meta()?, fd.stamp()?)),
        }
    }

    /// Takes the write lease ([`lease::take`]).
    pub(super) fn take_lease(&self) -> Result<(), Errno> {
        match self {
            Self::Real(fd) => lease::take(fd.as_fd()),
            #[cfg(test)]
            Self::Sim(fd) => fd.is_alone(),
        }
    }

    /// `fstatfs`: true for file systems of this machine alone, whose leases know everybody who has a file open.
    pub(super) fn is_local(&self) -> Result<bool, Errno> {
        match self {
            Self::Real(fd) => number(fd).map(|number| IN_PLACE.contains(&number) || ELSEWHERE.contains(&number)),
            #[cfg(test)]
            Self::Sim(_) => Ok(true),
        }
    }

    /// `fstatfs`: true for file systems that write over what a file has where it lies.
    pub(super) fn writes_in_place(&self) -> Result<bool, Errno> {
        match self {
            Self::Real(fd) => number(fd).map(|number| IN_PLACE.contains(&number)),
            #[cfg(test)]
            Self::Sim(_) => Ok(true),
        }
    }

    /// Takes the lock, without waiting for it.
    pub(super) fn flock(&self) -> Result<(), Errno> {
        match self {
            Self::Real(fd) => rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive),
            #[cfg(test)]
            Self::Sim(fd) => fd.lock_alone(),
        }
    }
}

/// The names in a folder, with what they name where the file system tells it.
pub(super) enum Names {
    Real(rustix::fs::Dir),
    #[cfg(test)]
    Sim(std::vec::IntoIter<(OsString, Kind)>),
}

impl Iterator for Names {
    type Item = Result<(OsString, Option<Kind>), Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Real(dir) => loop {
                let entry = match dir.next()? {
                    Ok(entry) => entry,
                    Err(errno) => return Some(Err(errno)),
                };
                let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
                if name != "." && name != ".." {
                    let kind = Some(entry.file_type()).filter(|&kind| kind != FileType::Unknown).map(Kind::from);
                    return Some(Ok((name, kind)));
                }
            },
            #[cfg(test)]
            Self::Sim(names) => names.next().map(|(name, kind)| Ok((name, Some(kind)))),
        }
    }
}

/// Of the file system on which something open lies; 0 where it has none that fits.
fn number(fd: &OwnedFd) -> Result<u32, Errno> {
    rustix::fs::fstatfs(fd).map(|found| u32::try_from(found.f_type).unwrap_or(0))
}
