//! Event streams of logs, for many readers at little cost.
//!
//! A reader's connection leaves the HTTP stack once its head was parsed. A task of its own first tells it what the log
//! holds already; once it has caught up it joins the others at the log's [`Feed`], where it costs a descriptor and some
//! eighty bytes, and no task, timer or buffer. There every batch of entries is made into frames once, and goes out to
//! all of them in one write each. Who reads too slowly for that is given back to a task, which reads the log again.
//!
//! | file | holds |
//! | --- | --- |
//! | `feed` | the newest frames of one followed log, shared by all its readers |
//! | `fan` | the threads that write to the sockets of those who have caught up |
//! | `reader` | one reader until it has caught up |
//!
//! Storage is the truth: a feed follows the log like any subscriber, so what it holds is never more than a copy, and a
//! reader changes between log and feed only at a position that both agree on.

mod fan;
mod feed;
mod reader;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use folio::{AppendLog, Lines, LogName, LogStream, ProjectId};
use tokio::sync::OwnedSemaphorePermit;

use self::fan::Fans;
use self::feed::Feed;
pub(crate) use self::reader::serve;
use crate::state::App;

/// The log that is followed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Place {
    pub(crate) project: ProjectId,
    pub(crate) name: LogName,
}

/// An event stream that is about to begin.
pub(crate) struct Open {
    pub(crate) place: Place,
    pub(crate) log: Arc<dyn AppendLog>,
    /// From where the client wants to go on.
    pub(crate) events: LogStream<Lines>,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// The feeds of a server, and the threads that serve them.
pub(crate) struct Streams {
    feeds: Arc<Feeds>,
    fans: Fans,
}

/// The logs that are followed now.
#[derive(Default)]
struct Feeds {
    by_place: Mutex<HashMap<Place, Weak<Feed>>>,
    numbers: AtomicU64,
}

impl Feeds {
    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Weak<Feed>>> {
        self.by_place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by a feed that nobody reads any more.
    fn forget(&self, place: &Place) {
        let mut feeds = self.held();
        if feeds.get(place).is_some_and(|feed| feed.strong_count() == 0) {
            feeds.remove(place);
        }
    }
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self { feeds: Arc::default(), fans: Fans::default() }
    }

    /// Starts the threads, where that was not done yet.
    fn start(&self, app: &Arc<App>) -> std::io::Result<&fan::Team> {
        self.fans.start(app)
    }

    /// The feed of a log. One that has ended is not taken any more.
    fn feed(&self, place: &Place, log: &Arc<dyn AppendLog>, team: &fan::Team) -> Arc<Feed> {
        // Let go of after the lock: the end of a feed takes it, too.
        let known;
        let mut feeds = self.feeds.held();
        known = feeds.get(place).and_then(Weak::upgrade);
        if let Some(feed) = known.as_ref().filter(|feed| !feed.has_ended()) {
            return Arc::clone(feed);
        }
        let number = self.feeds.numbers.fetch_add(1, Ordering::Relaxed);
        let feed = Feed::start(number, place.clone(), Arc::clone(log), Arc::clone(&self.feeds), team);
        feeds.insert(place.clone(), Arc::downgrade(&feed));
        feed
    }

    /// Ends all streams that have caught up, and the threads. Blocks for a moment.
    pub(crate) fn stop(&self) {
        self.fans.stop();
    }
}

#[cfg(test)]
mod tests;
