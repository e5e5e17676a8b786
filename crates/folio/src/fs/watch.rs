//! Edits by other programs: noticed by the kernel's notifications, told after a short quiet time.
//!
//! One instance of inotify per root, on a thread of its own that begins with the first subscription. Folders are watched
//! only while someone listens. Dot folders and `node_modules` are left out, as is what is written through a memory map
//! and never closed. Where something may have been missed (the kernel's queue overflowed, its limit on watches was
//! reached, a folder was moved away with what was in it), listeners are told to list again.

mod inotify;
mod pending;
mod places;
mod state;

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use self::inotify::Inotify;
pub(crate) use self::inotify::Waker;
use self::state::Watching;
use super::changes::Changes;
use super::scope::Scope;
use super::vfs::Dir;
use crate::error::{Error, Result};

/// Asks for a scope to be watched; answered by dropping `done`.
struct Request {
    scope: Scope,
    done: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Thread {
    requests: Sender<Request>,
    waker: Waker,
}

/// Watches the scopes of a root that are listened to.
#[derive(Debug)]
pub(crate) struct Watcher {
    root: Dir,
    changes: Arc<Changes>,
    thread: Mutex<Option<Thread>>,
}

impl Watcher {
    /// Nothing runs until somebody listens.
    pub(crate) fn new(root: Dir, changes: Arc<Changes>) -> Self {
        Self { root, changes, thread: Mutex::default() }
    }

    /// Returns once the scope, which has a listener, is watched.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub(crate) async fn watch(&self, scope: &Scope) -> Result<()> {
        let (done, placed) = oneshot::channel();
        self.send(Request { scope: scope.clone(), done })?;
        // Either way the answer is there, or the store is closed.
        let _ = placed.await;
        Ok(())
    }

    fn send(&self, request: Request) -> Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let running = match &mut *thread {
            Some(running) => running,
            none => none.insert(self.start()?),
        };
        // The thread runs as long as we hold its sender.
        let _ = running.requests.send(request);
        running.waker.wake();
        Ok(())
    }

    fn start(&self) -> Result<Thread> {
        let failed = |why: String| Error::Io { what: "cannot watch for changes".into(), why };
        let waker = Waker::new().map_err(|errno| failed(errno.to_string()))?;
        let (requests, received) = channel();
        let watching = Watching::new(self.root.clone(), Arc::clone(&self.changes), Inotify::new(waker.clone()));
        let thread = std::thread::Builder::new().name("folio-watch".into());
        thread.spawn(move || run(watching, &received)).map_err(|error| failed(error.to_string()))?;
        self.changes.set_waker(waker.clone());
        Ok(Thread { requests, waker })
    }

    /// Ends the thread. Who listens hears no more of other programs.
    pub(crate) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Thread { requests, waker }) = thread {
            drop(requests);
            waker.wake();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Until nobody can ask any more.
fn run(mut watching: Watching, requests: &Receiver<Request>) {
    loop {
        let now = Instant::now();
        watching.inotify.wait(watching.next().map(|next| next.saturating_duration_since(now)));
        watching.sweep();
        loop {
            match requests.try_recv() {
                Ok(request) => {
                    watching.watch(&request.scope, Instant::now());
                    drop(request.done);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let now = Instant::now();
        for event in watching.inotify.read() {
            watching.handle(&event, now);
        }
        watching.tell(now);
    }
}

#[cfg(test)]
mod tests;
