//! A scripted log for tests of following and paging.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Budget, Item, Presence, Snapshot, Source};
use crate::cursor::Seq;
use crate::error::{Error, Result};
use crate::json::Json;
use crate::lineage::{Bounds, Lineage};
use crate::log::{Data, Entry};

/// A log in memory that can be made to change at the very moments that matter to its readers.
/// Some log or other, with holes, several pieces and a horizon.
pub(crate) fn any(seed: u64) -> Arc<Script> {
    let mut random = fastrand::Rng::with_seed(seed);
    let log = Script::new(random.u64(0..9));
    for epoch in 200..200 + random.u64(0..3) {
        log.cut(log.head().saturating_sub(random.u64(0..2)), epoch);
        log.append(random.u64(0..5));
        if random.bool() {
            let first = log.head() + 1;
            log.change(|log| log.items.extend([Item::Hole { first, last: first + 1 }, entry(first + 2)]));
        }
    }
    if random.bool() {
        log.truncate(random.u64(0..4));
    }
    log.change(|log| log.per_read = random.usize(1..9));
    log
}

/// A line of an entry.
pub(crate) fn read(line: &[u8]) -> Entry {
    #[derive(serde::Deserialize)]
    struct Told<'a> {
        seq: Seq,
        ts: u64,
        #[serde(borrow)]
        data: &'a serde_json::value::RawValue,
    }
    let Told { seq, ts, data } = serde_json::from_slice(line).unwrap();
    Entry { seq, ts, data: Data::Json(Json::trusted(data.get())) }
}

pub(crate) struct Script {
    log: Mutex<Log>,
    watch: watch::Sender<u64>,
    races: Mutex<VecDeque<(Moment, Race)>>,
}

/// When something happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After the log was looked at, before the look is answered.
    Look,
    /// Before entries are read.
    BeforeRead,
    /// After entries were read, before they are handed over.
    AfterRead,
}

type Race = Box<dyn FnOnce(&Script) + Send>;

#[derive(Clone)]
pub(crate) struct Log {
    /// `None`: missing.
    pub(crate) life: Option<u64>,
    pub(crate) lineage: Lineage,
    pub(crate) horizon: Seq,
    pub(crate) items: Vec<Item>,
    pub(crate) closed: bool,
    pub(crate) broken: bool,
    /// Items of a read at most.
    pub(crate) per_read: usize,
    /// Entries at the end that are written but not published.
    pub(crate) unpublished: u64,
    /// Reads begin with the first entry, whatever was asked for.
    pub(crate) early: bool,
}

impl Log {
    fn presence(&self) -> Result<Presence> {
        if self.broken {
            return Err(Error::Retry { what: "broken".into() });
        }
        let bounds = Bounds { horizon: self.horizon, head: self.head(), ended: false };
        Ok(self.life.map_or(Presence::Missing, |life| {
            Presence::Live(Snapshot { life, lineage: Arc::new(self.lineage.clone()), bounds, closed: self.closed })
        }))
    }

    fn head(&self) -> Seq {
        self.items.last().map_or(self.horizon, Item::last) - self.unpublished
    }
}

pub(crate) fn entry(seq: Seq) -> Item {
    Item::Entry(Entry { seq, ts: 0, data: Data::Json(Json::trusted(&seq.to_string())) })
}

impl Script {
    pub(crate) fn new(entries: Seq) -> Arc<Self> {
        let lineage = Lineage::adopted().begin(100, 0);
        let items = (1..=entries).map(entry).collect();
        let log = Log {
            life: Some(1),
            lineage,
            horizon: 0,
            items,
            closed: false,
            broken: false,
            per_read: 1_000,
            unpublished: 0,
            early: false,
        };
        Arc::new(Self { log: Mutex::new(log), watch: watch::Sender::new(0), races: Mutex::default() })
    }

    pub(crate) fn missing() -> Arc<Self> {
        let script = Self::new(0);
        script.change(|log| log.life = None);
        script
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Log)) {
        change(&mut self.log.lock().unwrap());
        self.watch.send_modify(|count| *count += 1);
    }

    pub(crate) fn append(&self, count: u64) {
        self.change(|log| {
            for _ in 0..count {
                log.items.push(entry(log.head() + 1));
            }
        });
    }

    pub(crate) fn truncate(&self, up_to: Seq) {
        self.change(|log| {
            log.items.retain(|item| item.last() > up_to);
            // A horizon never falls.
            log.horizon = log.horizon.max(up_to);
        });
    }

    /// The entries up to and including `up_to` can't be read any more.
    pub(crate) fn lose(&self, up_to: Seq) {
        self.change(|log| {
            log.items.retain(|item| item.last() > up_to);
            log.items.insert(0, Item::Hole { first: 1, last: up_to });
        });
    }

    /// Loses everything after `last` and goes on under a new epoch.
    pub(crate) fn cut(&self, last: Seq, epoch: u64) {
        self.change(|log| {
            log.items.retain(|item| item.last() <= last);
            log.lineage = log.lineage.begin(epoch, last);
        });
    }

    pub(crate) fn replace(&self, life: Option<u64>, epoch: u64, entries: Seq) {
        self.change(|log| {
            *log = Log {
                life,
                lineage: Lineage::adopted().begin(epoch, 0),
                horizon: 0,
                items: (1..=entries).map(entry).collect(),
                closed: false,
                ..log.clone()
            };
        });
    }

    pub(crate) fn head(&self) -> Seq {
        self.log.lock().unwrap().head()
    }

    /// The next time that `moment` comes, `race` happens, once; several in the order in which they were asked for.
    pub(crate) fn once(&self, moment: Moment, race: impl FnOnce(&Self) + Send + 'static) {
        self.races.lock().unwrap().push_back((moment, Box::new(race)));
    }

    fn race(&self, moment: Moment) {
        let race = {
            let mut races = self.races.lock().unwrap();
            let next = races.iter().position(|(when, _)| *when == moment);
            next.and_then(|next| races.remove(next))
        };
        if let Some((_, race)) = race {
            race(self);
        }
    }
}

#[async_trait]
impl Source for Script {
    fn watch(&self) -> watch::Receiver<u64> {
        self.watch.subscribe()
    }

    async fn snapshot(&self) -> Result<Presence> {
        let presence = self.log.lock().unwrap().presence();
        self.race(Moment::Look);
        presence
    }

    async fn read_after(&self, after: Seq, budget: Budget) -> Result<Vec<Item>> {
        self.race(Moment::BeforeRead);
        let items = {
            let log = self.log.lock().unwrap();
            let wanted = log.items.iter().filter(|item| log.early || item.last() > after);
            wanted.take(log.per_read.min(budget.entries)).cloned().collect()
        };
        self.race(Moment::AfterRead);
        Ok(items)
    }

    async fn read_before(&self, before: Seq, budget: Budget) -> Result<Vec<Item>> {
        self.race(Moment::BeforeRead);
        let items = {
            let log = self.log.lock().unwrap();
            let wanted = log.items.iter().rev().filter(|item| log.early || item.first() < before);
            wanted.take(log.per_read.min(budget.entries)).cloned().collect()
        };
        self.race(Moment::AfterRead);
        Ok(items)
    }
}
