//! The kernel's notifications: one instance, and a way to wake who waits for them.

use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

use super::super::vfs::Dir;

/// Number of a watched folder.
pub(super) type Watch = i32;

/// What is asked of every folder. Not `MODIFY`: a log in the making would wake us with each append.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);
/// Asked of folders of files, where programs may write for a long time before they close.
const WRITES: WatchFlags = NAMES.union(WatchFlags::MODIFY);

/// One notification.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) watch: Watch,
    pub(super) flags: ReadFlags,
    /// The name in the watched folder; empty where it is about the folder itself.
    pub(super) name: OsString,
}

/// Wakes the thread that waits in [`Inotify::wait`].
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(super) fn new() -> Result<Self, Errno> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(|fd| Self(Arc::new(fd)))
    }

    /// Wakes it, now or as soon as it waits.
    pub(crate) fn wake(&self) {
        // It fails only where the count is full, and then it is awake.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }

    fn calm(&self) {
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

/// An instance of inotify; without one (the limit on instances was reached) nothing can be watched.
#[derive(Debug)]
pub(super) struct Inotify {
    fd: Option<Arc<OwnedFd>>,
    waker: Waker,
}

impl Inotify {
    pub(super) fn new(waker: Waker) -> Self {
        let mut inotify = Self { fd: None, waker };
        inotify.init();
        inotify
    }

    fn init(&mut self) {
        if self.fd.is_none() {
            self.fd = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok().map(Arc::new);
        }
    }

    /// Watches a folder; watching it again returns the same number.
    pub(super) fn add(&mut self, folder: &Dir, writes: bool) -> Result<Watch, Errno> {
        self.init();
        let fd = self.fd.as_ref().ok_or(Errno::MFILE)?;
        add_watch(fd, folder.by_handle(), if writes { WRITES } else { NAMES })
    }

    pub(super) fn remove(&self, watch: Watch) {
        if let Some(fd) = &self.fd {
            // It is gone already where the folder is.
            let _ = remove_watch(fd, watch);
        }
    }

    /// Waits for notifications, a wake or the timeout.
    pub(super) fn wait(&self, timeout: Option<Duration>) {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut waiting = vec![PollFd::new(&*self.waker.0, PollFlags::IN)];
        waiting.extend(self.fd.as_ref().map(|fd| PollFd::new(&**fd, PollFlags::IN)));
        // An interrupted wait is a short one.
        let _ = poll(&mut waiting, timeout.as_ref());
        self.waker.calm();
    }

    /// The notifications that are there, up to a bound.
    pub(super) fn read(&self) -> Vec<Event> {
        const MOST: usize = 4_096;
        let mut events = Vec::new();
        let Some(fd) = &self.fd else { return events };
        let mut buffer = [const { MaybeUninit::uninit() }; 16 << 10];
        let mut reader = Reader::new(&**fd, &mut buffer);
        while events.len() < MOST || !reader.is_buffer_empty() {
            let Ok(event) = reader.next() else { break };
            let name = event.file_name().map_or_else(OsString::new, |name| OsStr::from_bytes(name.to_bytes()).to_owned());
            events.push(Event { watch: event.wd(), flags: event.events(), name });
        }
        events
    }
}
