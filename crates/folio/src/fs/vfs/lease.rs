//! Whether anybody else has a file open: the kernel's write lease.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// Which signal tells of a lease that somebody waits for. Not in the crate `libc` for every target.
const F_SETSIG: libc::c_int = 10;

/// Takes the write lease on an open file. The kernel gives it only where no other open file description leads to the
/// file, in whatever process, memory maps included; and whoever opens the file meanwhile waits until this one is closed.
///
/// # Errors
/// `EAGAIN` where somebody else has the file open. Others where leases don't work.
pub(super) fn take(file: BorrowedFd<'_>) -> Result<(), Errno> {
    // Whoever opens the file meanwhile has a signal sent to us. The usual one ends a process, this one nobody notices.
    control(file, F_SETSIG, libc::SIGURG)?;
    control(file, libc::F_SETLEASE, libc::F_WRLCK)
}

/// `fcntl` with an integer, for the commands above, which none of the safe wrappers has.
fn control(file: BorrowedFd<'_>, command: libc::c_int, value: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for the whole call, and these commands take an integer and touch no memory of ours.
    #[expect(unsafe_code, reason = "no safe wrapper has these commands")]
    let outcome = unsafe { libc::fcntl(file.as_raw_fd(), command, value) };
    if outcome == -1 { Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)) } else { Ok(()) }
}
