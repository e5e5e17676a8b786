//! The threads that write frames to the sockets of readers that have caught up.

mod member;
mod thread;

use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::OwnedSemaphorePermit;

use self::thread::Thread;
use super::feed::{Feed, Spot};
use crate::state::App;

/// Most threads.
pub(super) const MAX_FANS: usize = 4;

/// A reader that joins.
pub(super) struct Joining {
    pub(super) stream: TcpStream,
    pub(super) feed: Arc<Feed>,
    pub(super) spot: Spot,
    pub(super) permit: OwnedSemaphorePermit,
}

/// What a thread is told.
enum Told {
    Join(Joining),
    /// There is something new at the feed of this number.
    Fresh(u64),
    Stop,
}

/// Where a thread is told things.
struct Post {
    letters: Mutex<Vec<Told>>,
    waker: mio::Waker,
}

impl Post {
    fn send(&self, told: Told) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.push(told);
        let first = letters.len() == 1;
        drop(letters);
        if first {
            // The thread has ended where this fails.
            let _ = self.waker.wake();
        }
    }

    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The running threads, to be told things.
#[derive(Clone)]
pub(super) struct Team(Arc<[Post]>);

impl Team {
    pub(super) fn size(&self) -> usize {
        self.0.len()
    }

    pub(super) fn tell(&self, fan: usize, feed: u64) {
        self.send(fan, Told::Fresh(feed));
    }

    pub(super) fn join(&self, fan: usize, joining: Joining) {
        self.send(fan, Told::Join(joining));
    }

    fn send(&self, fan: usize, told: Told) {
        if let Some(post) = self.0.get(fan) {
            post.send(told);
        }
    }
}

/// The threads, which start with the first reader.
#[derive(Default)]
pub(super) struct Fans {
    team: OnceLock<Team>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Fans {
    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts them, where that was not done yet. Within the runtime that readers go back to.
    ///
    /// # Errors
    /// Where the system has no room for them.
    pub(super) fn start(&self, app: &Arc<App>) -> io::Result<&Team> {
        if let Some(team) = self.team.get() {
            return Ok(team);
        }
        let mut threads = self.threads();
        if let Some(team) = self.team.get() {
            return Ok(team);
        }
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_FANS);
        let polls = (0..count).map(|_| mio::Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let posts = polls.iter().map(|poll| {
            let waker = mio::Waker::new(poll.registry(), thread::WAKER)?;
            Ok(Post { letters: Mutex::default(), waker })
        });
        let team = Team(posts.collect::<io::Result<Vec<_>>>()?.into());
        for (fan, poll) in polls.into_iter().enumerate() {
            let thread = Thread::new(fan, poll, team.clone(), app);
            threads.push(std::thread::Builder::new().name(format!("folio-fan-{fan}")).spawn(move || thread.run())?);
        }
        Ok(self.team.get_or_init(|| team))
    }

    /// Ends all streams and the threads. Blocks for a moment.
    pub(super) fn stop(&self) {
        let threads = std::mem::take(&mut *self.threads());
        if let Some(team) = self.team.get() {
            (0..team.size()).for_each(|fan| team.send(fan, Told::Stop));
        }
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Fans {
    fn drop(&mut self) {
        self.stop();
    }
}
