//! A handle to a log.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::log::{Log, expects};
use super::store::{Logs, State, Store};
use crate::cursor::{Position, Seq};
use crate::error::{Error, Result};
use crate::follow::{Budget, Item, Presence, Source, follow};
use crate::lines::Lines;
use crate::log::{
    AppendLog, AppendOptions, AppendOutcome, Appended, Data, LogStatus, LogStream, Page, ReadOptions, Start, Truncated,
};
use crate::name::{LogName, ProjectId};
use crate::page::page;
use crate::request::{Answer, Keyed};
use crate::run::Run;

#[derive(Clone)]
pub(super) struct MemoryLog {
    store: Arc<Store>,
    project: ProjectId,
    name: LogName,
}

impl MemoryLog {
    pub(super) fn new(store: Arc<Store>, project: ProjectId, name: LogName) -> Self {
        Self { store, project, name }
    }

    /// The log in a project's logs, or why it isn't there.
    fn find<'a>(&self, logs: &'a Logs) -> Result<&'a Log> {
        self.refuse_gone(logs)?;
        logs.get(&self.name).ok_or_else(|| Error::no_log(&self.project, &self.name))
    }

    fn find_mut<'a>(&self, logs: &'a mut Logs) -> Result<&'a mut Log> {
        self.refuse_gone(logs)?;
        logs.get_mut(&self.name).ok_or_else(|| Error::no_log(&self.project, &self.name))
    }

    fn refuse_gone(&self, logs: &Logs) -> Result<()> {
        if logs.is_gone(&self.name) { Err(Error::gone(&self.project, &self.name)) } else { Ok(()) }
    }

    /// Reads from the log as the following and paging engines see it: nothing where it does not exist.
    fn read_items(&self, read: impl FnOnce(&Log) -> Vec<Item>) -> Vec<Item> {
        let state = self.store.lock();
        let log = state.projects.get(&self.project).and_then(|project| project.logs.get(&self.name));
        log.map(read).unwrap_or_default()
    }

    /// Decides on an append; `writes` unless it is one of nothing.
    pub(super) fn judge(&self, logs: &Logs, writes: bool, options: &AppendOptions, keyed: Option<Keyed>) -> Result<Verdict> {
        self.refuse_gone(logs)?;
        let head = logs.get(&self.name).map_or(Position::START, Log::position);
        if !writes {
            return Ok(Verdict::Nothing(Appended { first: head.seq + 1, last: head.seq, cursor: head, replayed: false }));
        }
        if let Some(log) = logs.get(&self.name) {
            if let Some((keyed, key)) = keyed.zip(options.idempotency_key.as_deref())
                && let Some(answer) = log.keys.find(keyed, key)?
            {
                return Ok(Verdict::Replayed(answer));
            }
            if log.is_closed() {
                return Err(Error::closed(&self.name, head));
            }
        }
        match options.expected_head {
            Some(expected) if !expects(expected, head) => Ok(Verdict::Moved { head }),
            _ => Ok(Verdict::Fits),
        }
    }

    /// Appends what was found to fit, and wakes readers.
    pub(super) fn write(&self, state: &mut State, entries: Vec<Data>, close: bool, keyed: Option<Keyed>) -> Result<Appended> {
        let State { projects, counters, .. } = state;
        let project = projects.get_mut(&self.project).ok_or_else(|| Error::no_project(&self.project))?;
        let log = project.logs.get_or_insert(&self.name, || Log::new(counters.life()));
        let first = log.position().seq + 1;
        log.append(entries, close, self.store.now(), counters);
        let cursor = log.position();
        if let Some(keyed) = keyed {
            log.keys.remember(keyed, Answer { first, cursor });
        }
        state.wake(&self.project, &self.name);
        Ok(Appended { first, last: cursor.seq, cursor, replayed: false })
    }
}

impl MemoryLog {
    async fn page<E: Run>(&self, options: &ReadOptions) -> Result<Page<E>> {
        self.find(&self.store.lock().project(&self.project)?.logs)?;
        match page(self, options).await? {
            Some(page) => Ok(page),
            None => Err(Error::no_log(&self.project, &self.name)),
        }
    }

    async fn follow<E: Run>(&self, start: Start) -> Result<LogStream<E>> {
        self.store.lock().project(&self.project)?;
        follow(Arc::new(self.clone()), start).await
    }
}

/// What is decided on an append.
pub(super) enum Verdict {
    /// Nothing is to be done; this is the answer.
    Nothing(Appended),
    /// Done before; this was the answer.
    Replayed(Appended),
    /// The head is not the expected one.
    Moved { head: Position },
    /// It can be done.
    Fits,
}

#[async_trait]
impl AppendLog for MemoryLog {
    async fn append(&self, entries: Vec<Data>, options: AppendOptions) -> Result<AppendOutcome> {
        self.store.options.limits.check_entries(&entries)?;
        let writes = !entries.is_empty() || options.close;
        let keyed = if writes { Keyed::of(&entries, &options)? } else { None };
        let mut state = self.store.lock();
        match self.judge(&state.project(&self.project)?.logs, writes, &options, keyed)? {
            Verdict::Nothing(appended) | Verdict::Replayed(appended) => Ok(AppendOutcome::Appended(appended)),
            Verdict::Moved { head } => Ok(AppendOutcome::Precondition { head }),
            Verdict::Fits => self.write(&mut state, entries, options.close, keyed).map(AppendOutcome::Appended),
        }
    }

    async fn read(&self, options: ReadOptions) -> Result<Page> {
        self.page(&options).await
    }

    async fn read_lines(&self, options: ReadOptions) -> Result<Page<Lines>> {
        self.page(&options).await
    }

    async fn subscribe(&self, start: Start) -> Result<LogStream> {
        self.follow(start).await
    }

    async fn subscribe_lines(&self, start: Start) -> Result<LogStream<Lines>> {
        self.follow(start).await
    }

    async fn truncate(&self, up_to: Seq) -> Result<Truncated> {
        let mut state = self.store.lock();
        let truncated = self.find_mut(&mut state.project_mut(&self.project)?.logs)?.truncate(up_to);
        state.wake(&self.project, &self.name);
        Ok(truncated)
    }

    async fn status(&self) -> Result<LogStatus> {
        Ok(self.find(&self.store.lock().project(&self.project)?.logs)?.status())
    }

    async fn close(&self) -> Result<Position> {
        let mut state = self.store.lock();
        let State { projects, counters, .. } = &mut *state;
        let project = projects.get_mut(&self.project).ok_or_else(|| Error::no_project(&self.project))?;
        let log = self.find_mut(&mut project.logs)?;
        if !log.is_closed() {
            log.append(Vec::new(), true, self.store.now(), counters);
        }
        let head = log.position();
        state.wake(&self.project, &self.name);
        Ok(head)
    }

    async fn fork(&self, at: Seq, target: &LogName) -> Result<()> {
        let mut state = self.store.lock();
        let State { projects, counters, .. } = &mut *state;
        let project = projects.get_mut(&self.project).ok_or_else(|| Error::no_project(&self.project))?;
        let source = self.find(&project.logs)?;
        if project.logs.get(target).is_some() || project.logs.is_gone(target) {
            return Err(Error::log_exists(target));
        }
        if at < source.horizon() || at > source.head() {
            return Err(Error::no_fork_at(at, source.horizon(), source.head()));
        }
        let fork = source.fork(at, counters.life(), counters.epoch(self.store.now()));
        project.logs.insert_fork(&self.name, target, fork);
        state.wake(&self.project, target);
        Ok(())
    }

    async fn delete(&self) -> Result<()> {
        let mut state = self.store.lock();
        let project = state.project_mut(&self.project)?;
        if self.name.is_history() {
            return Err(Error::history_stays());
        }
        project.logs.remove(&self.name);
        state.wake(&self.project, &self.name);
        Ok(())
    }
}

#[async_trait]
impl Source for MemoryLog {
    fn watch(&self) -> watch::Receiver<u64> {
        self.store.lock().followers.listen((self.project.clone(), self.name.clone())).subscribe()
    }

    async fn snapshot(&self) -> Result<Presence> {
        let state = self.store.lock();
        let log = state.projects.get(&self.project).and_then(|project| project.logs.get(&self.name));
        Ok(log.map_or(Presence::Missing, |log| Presence::Live(log.snapshot())))
    }

    async fn read_after(&self, after: Seq, budget: Budget) -> Result<Vec<Item>> {
        Ok(self.read_items(|log| log.after(after, budget)))
    }

    async fn read_before(&self, before: Seq, budget: Budget) -> Result<Vec<Item>> {
        Ok(self.read_items(|log| log.before(before, budget)))
    }
}
