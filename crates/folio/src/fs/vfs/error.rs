//! What the operating system refused, and the one place where that becomes the public error.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::file::Kind;
use crate::error::Error;

/// The result of a file operation.
pub(crate) type VfsResult<T> = Result<T, VfsError>;

/// A file operation that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct VfsError {
    /// What was being done, to be read after "cannot": `open`, `sync`.
    pub(crate) doing: &'static str,
    /// The whole path, for people.
    pub(crate) path: PathBuf,
    /// Why it failed.
    pub(crate) reason: Reason,
}

/// Why a file operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// The operating system said so.
    Os(Errno),
    /// Something else than a regular file (or a folder, where one was asked for) stands there.
    Stands(Kind),
    /// The path is empty, absolute or has a segment `.` or `..`.
    BadPath,
}

impl VfsError {
    pub(crate) fn new(doing: &'static str, path: &Path, reason: Reason) -> Self {
        Self { doing, path: path.to_owned(), reason }
    }

    pub(crate) fn os(doing: &'static str, path: &Path, errno: Errno) -> Self {
        Self::new(doing, path, Reason::Os(errno))
    }

    /// True for one of these system errors.
    pub(crate) fn is(&self, any: &[Errno]) -> bool {
        matches!(self.reason, Reason::Os(errno) if any.contains(&errno))
    }

    /// No room: space, inodes or quota.
    pub(crate) fn disk_full(&self) -> bool {
        self.is(&[Errno::NOSPC, Errno::DQUOT])
    }

    /// Nothing stands there, or a file where a folder of the path should be.
    pub(crate) fn missing(&self) -> bool {
        self.is(&[Errno::NOENT, Errno::NOTDIR])
    }

    /// Something stands there already.
    pub(crate) fn exists(&self) -> bool {
        self.is(&[Errno::EXIST])
    }

    /// What stands there is foreign to a store: a link, a pipe, a device, another file system, a folder for a file.
    pub(crate) fn foreign(&self) -> bool {
        matches!(self.reason, Reason::Stands(_)) || self.is(&[Errno::LOOP, Errno::XDEV, Errno::ISDIR, Errno::NXIO])
    }

    /// Hard links don't work here: copy instead.
    pub(crate) fn no_links(&self) -> bool {
        self.is(&[Errno::PERM, Errno::MLINK, Errno::XDEV, Errno::OPNOTSUPP, Errno::NOSYS])
    }

    /// The file system, or the medium, can't do that.
    pub(crate) fn unsupported(&self) -> bool {
        self.is(&[Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS])
    }

    /// The failure in words, without the path.
    pub(crate) fn why(&self) -> String {
        match self.reason {
            Reason::Os(Errno::LOOP) => "a symbolic link stands on the way, and links are not followed".into(),
            Reason::Os(Errno::XDEV) => "it lies on another file system, or outside".into(),
            Reason::Os(Errno::NOSYS) => format!("{} (Folio needs Linux 5.8 or newer)", Errno::NOSYS),
            Reason::Os(errno) => errno.to_string(),
            Reason::Stands(kind) => format!("a {kind} stands there"),
            Reason::BadPath => "not a path below this folder".into(),
        }
    }
}

impl VfsError {
    /// As the failure to write `what`, of which nothing was changed.
    pub(crate) fn writing(self, what: &str) -> Error {
        if self.disk_full() {
            return Error::DiskFull { what: what.to_owned() };
        }
        Error::Io { what: format!("cannot write {what}: cannot {} {}", self.doing, self.path.display()), why: self.why() }
    }
}

impl fmt::Display for VfsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, self.path.display(), self.why())
    }
}

impl From<VfsError> for Error {
    fn from(error: VfsError) -> Self {
        if error.disk_full() {
            return Self::DiskFull { what: error.path.display().to_string() };
        }
        Self::Io { what: format!("cannot {} {}", error.doing, error.path.display()), why: error.why() }
    }
}
