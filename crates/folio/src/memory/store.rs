//! What all handles of a driver share: one state behind one lock, which is held for a moment and never over an await.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::docs::{DocTable, Scope};
use super::driver::MemoryOptions;
use super::files::FileTable;
use super::listeners::Listeners;
use super::log::Log;
use crate::cursor::Epoch;
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::name::{LogName, ProjectId};

pub(super) struct Store {
    pub(super) options: MemoryOptions,
    state: Mutex<State>,
}

/// Everything that is kept. Readers see a change the moment the lock is released, so all that belongs together happens
/// under one lock, with the telling of it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) projects: BTreeMap<ProjectId, ProjectState>,
    /// Shared documents and collections; none that is empty.
    pub(super) outside: BTreeMap<Scope, DocTable>,
    pub(super) counters: Counters,
    /// Readers of logs, also of such as don't exist.
    pub(super) followers: Listeners<(ProjectId, LogName), watch::Sender<u64>>,
    /// Readers of changes.
    pub(super) hubs: Listeners<Scope, Hub>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    epoch: Epoch,
    life: u64,
}

/// Cursors hold 53 bits; a clock beyond this is not followed, so that epochs can go on rising.
const LATEST_EPOCH: Epoch = 1 << 52;

impl Counters {
    /// An epoch above all that were given out.
    pub(super) fn epoch(&mut self, now: u64) -> Epoch {
        self.epoch = now.min(LATEST_EPOCH).max(self.epoch + 1);
        self.epoch
    }

    /// Another life of a log.
    pub(super) fn life(&mut self) -> u64 {
        self.life += 1;
        self.life
    }
}

#[derive(Debug, Default)]
pub(super) struct ProjectState {
    pub(super) docs: DocTable,
    pub(super) files: FileTable,
    pub(super) logs: Logs,
}

/// The logs of a project, and which forks of which still live.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// By encoded name, the order of lists.
    by_name: BTreeMap<String, (LogName, Log)>,
    /// Living forks of a log, which may be deleted.
    forks: BTreeMap<LogName, BTreeSet<LogName>>,
}

impl Logs {
    pub(super) fn get(&self, name: &LogName) -> Option<&Log> {
        self.by_name.get(&name.encoded()).map(|(_, log)| log)
    }

    pub(super) fn get_mut(&mut self, name: &LogName) -> Option<&mut Log> {
        self.by_name.get_mut(&name.encoded()).map(|(_, log)| log)
    }

    /// The log, made where it was missing.
    pub(super) fn get_or_insert(&mut self, name: &LogName, make: impl FnOnce() -> Log) -> &mut Log {
        &mut self.by_name.entry(name.encoded()).or_insert_with(|| (name.clone(), make())).1
    }

    pub(super) fn insert_fork(&mut self, source: &LogName, target: &LogName, log: Log) {
        self.by_name.insert(target.encoded(), (target.clone(), log));
        self.forks.entry(source.clone()).or_default().insert(target.clone());
    }

    /// Removes a log, and it from the forks of its source.
    pub(super) fn remove(&mut self, name: &LogName) -> bool {
        self.forks.retain(|_, forks| {
            forks.remove(name);
            !forks.is_empty()
        });
        self.by_name.remove(&name.encoded()).is_some()
    }

    /// True for a deleted log with living forks.
    pub(super) fn is_gone(&self, name: &LogName) -> bool {
        self.forks.contains_key(name) && self.get(name).is_none()
    }

    /// In the order of lists, from after `after`.
    pub(super) fn names_after(&self, after: Option<&LogName>) -> impl Iterator<Item = &LogName> {
        let after = after.map(LogName::encoded);
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.by_name.range((from, std::ops::Bound::Unbounded)).map(|(_, (name, _))| name)
    }

    /// As of now, in lives and pieces of their own; who is a fork of whom is not told to a copy.
    pub(super) fn copy(&self, counters: &mut Counters, now: u64) -> Self {
        let copy = |(encoded, (name, log)): (&String, &(LogName, Log))| {
            let log = log.copy(counters.life(), counters.epoch(now));
            (encoded.clone(), (name.clone(), log))
        };
        Self { by_name: self.by_name.iter().map(copy).collect(), forks: BTreeMap::new() }
    }
}

impl State {
    pub(super) fn project(&self, id: &ProjectId) -> Result<&ProjectState> {
        self.projects.get(id).ok_or_else(|| Error::no_project(id))
    }

    pub(super) fn project_mut(&mut self, id: &ProjectId) -> Result<&mut ProjectState> {
        self.projects.get_mut(id).ok_or_else(|| Error::no_project(id))
    }

    /// Wakes the readers of a log.
    pub(super) fn wake(&self, project: &ProjectId, name: &LogName) {
        if let Some(follower) = self.followers.get(&(project.clone(), name.clone())) {
            follower.send_modify(|count| *count += 1);
        }
    }

    /// Wakes the readers of all logs of a project.
    pub(super) fn wake_all(&self, project: &ProjectId) {
        for (_, follower) in self.followers.iter().filter(|((id, _), _)| id == project) {
            follower.send_modify(|count| *count += 1);
        }
    }
}

impl Store {
    pub(super) fn new(options: MemoryOptions) -> Self {
        Self { options, state: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> u64 {
        self.options.clock.now_ms()
    }
}
