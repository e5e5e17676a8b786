//! A commit of several operations: all are judged and made ready while nobody else writes their targets, then recorded
//! as one.

use std::sync::Arc;

use super::docs::slot::{Decided, Slot};
use super::files::{self, Current as Found, place, receive};
use super::gates::Gates;
use super::log::core::LogCore;
use super::log::lease::Lease;
use super::log::{Disk, Logs, append, rewrite};
use super::replace::{self, Replaced};
use super::scope::Scope;
use super::store::Store;
use super::telling::Telling;
use super::txn::{Effect, Prepared, Step, Txn};
use super::vfs::Dir;
use crate::blob::WriteOutcome;
use crate::change::Target;
use crate::commit::{CommitOutcome, Current, Done, Operation, check};
use crate::docs::{DeleteOutcome, PatchOutcome};
use crate::error::{Error, Result};
use crate::etag::Etag;
use crate::log::{AppendOptions, AppendOutcome, Appended};
use crate::name::{DocKey, LogName, ProjectId};
use crate::request::Keyed;

/// See [`Project::commit`](crate::Project::commit).
pub(super) async fn commit(logs: &Arc<Logs>, id: &ProjectId, mut operations: Vec<Operation>) -> Result<CommitOutcome> {
    let store = logs.store();
    let keyed = check(&operations, &store.options.limits)?;
    check_early(store, id).await?;
    let mut bodies = Vec::with_capacity(operations.len());
    for (at, operation) in operations.iter_mut().enumerate() {
        bodies.push(match operation.take_body() {
            Some((path, body)) => {
                let what = format!("{id}/{path}");
                Some(receive::receive(store, &what, body).await.map_err(|error| error.in_operation(at))?)
            }
            None => None,
        });
    }
    let tags: Vec<Option<Etag>> = bodies.iter().map(|body| body.as_ref().and_then(|body| body.see(|body| body.etag))).collect();
    let keyed = keyed.and_then(|at| Some((at, Keyed::of_commit(&operations, at, &tags)?)));
    let running = store.enter().await?;
    let gate = store.gates.shared(id).await;
    let scope = Scope::Project(id.clone());
    let stripes: Vec<usize> = operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::PutDoc { key, .. } | Operation::PatchDoc { key, .. } | Operation::DeleteDoc { key, .. } => {
                Some(Gates::stripe(&(&scope, key)))
            }
            Operation::PutFile { path, .. } | Operation::DeleteFile { path, .. } => Some(Gates::stripe(&(id, path))),
            Operation::Append { .. } => None,
        })
        .collect();
    let locks = store.gates.paths(stripes).await;
    let leases = lease(logs, id, log_names(&operations)).await?;
    let id = id.clone();
    let work = move |store: &Arc<Store>| {
        let outcome = bodies.into_iter().map(|body| body.map(receive::Loose::take).transpose()).collect::<Result<Vec<_>>>();
        let outcome = outcome.and_then(|bodies| {
            let project = store.project_dir(&id)?;
            let commit = Commit { store, id: &id, scope: &scope, project: &project, leases: &leases };
            commit.run(&operations, bodies, keyed)
        });
        drop((leases, locks, gate));
        outcome
    };
    store.run_on(running, work).await
}

/// Refuses what is hopeless before the bodies are taken. Paths are judged with the conditions, in the order of operations.
async fn check_early(store: &Arc<Store>, id: &ProjectId) -> Result<()> {
    let id = id.clone();
    let check = move |store: &Arc<Store>| {
        store.writable()?;
        store.project_dir(&id).map(drop)
    };
    store.run(check).await
}

/// The logs that are appended to, in the order of their names.
fn log_names(operations: &[Operation]) -> Vec<LogName> {
    let log = |operation: &Operation| match operation {
        Operation::Append { log, .. } => Some(log.clone()),
        _ => None,
    };
    let mut names: Vec<_> = operations.iter().filter_map(log).collect();
    names.sort();
    names
}

/// Waits until nobody else writes the logs, one after the other, so that nobody waits in a circle.
async fn lease(logs: &Arc<Logs>, id: &ProjectId, names: Vec<LogName>) -> Result<Vec<Lease>> {
    let mut leases = Vec::with_capacity(names.len());
    for name in names {
        leases.push(logs.core(id, &name).lease().await?);
    }
    Ok(leases)
}

struct Commit<'a> {
    store: &'a Arc<Store>,
    id: &'a ProjectId,
    scope: &'a Scope,
    project: &'a Dir,
    leases: &'a [Lease],
}

/// An operation that is made ready: so many of the commit's steps, and what follows once they are made.
struct Ready<'a> {
    steps: usize,
    /// Bytes of the document that it makes, or of its entries.
    bytes: usize,
    then: Then<'a>,
}

enum Then<'a> {
    Nothing(Done),
    /// A document or file; its tag, if it was not removed.
    Value {
        telling: Telling,
        etag: Option<Etag>,
        done: Done,
    },
    Log {
        core: &'a Arc<LogCore>,
        disk: Box<Disk>,
        decided: append::Decided,
        after: rewrite::After,
    },
}

/// What an operation is found to be.
enum Judged<'a> {
    Fits(Ready<'a>),
    Refused(Current),
}

impl<'a> Commit<'a> {
    fn run(
        &self,
        operations: &'a [Operation],
        bodies: Vec<Option<Prepared>>,
        keyed: Option<(usize, Keyed)>,
    ) -> Result<CommitOutcome> {
        self.store.writable()?;
        if let Some(appended) = self.replayed(operations, keyed)? {
            return Ok(CommitOutcome::Replayed(appended));
        }
        let (mut steps, mut ready) = (Vec::new(), Vec::with_capacity(operations.len()));
        for (at, (operation, body)) in operations.iter().zip(bodies).enumerate() {
            let keyed = keyed.filter(|(place, _)| *place == at).map(|(_, keyed)| keyed);
            let judged = self.judge(operation, body, keyed, &mut steps).map_err(|error| error.in_operation(at));
            match judged {
                Ok(Judged::Fits(one)) => ready.push(one),
                Ok(Judged::Refused(current)) => {
                    ready.into_iter().for_each(Ready::give_up);
                    return Ok(CommitOutcome::Precondition { at, current });
                }
                Err(error) => {
                    ready.into_iter().for_each(Ready::give_up);
                    return Err(error);
                }
            }
        }
        if let Err(error) = self.store.options.limits.check_commit(ready.iter().map(Ready::bytes).sum()) {
            ready.into_iter().for_each(Ready::give_up);
            return Err(error);
        }
        let effects = match self.store.commit(Txn { steps }) {
            Ok(effects) => effects,
            Err(error) => {
                if !matches!(error, Error::OutcomeUnknown { .. }) {
                    ready.into_iter().for_each(Ready::give_up);
                }
                return Err(error);
            }
        };
        let mut effects = effects.into_iter();
        let done = ready.into_iter().map(|one| {
            let own = effects.by_ref().take(one.steps).collect();
            one.then.finish(own)
        });
        // Each is finished, whatever became of another one.
        let done: Vec<Result<Done>> = done.collect();
        done.into_iter().collect::<Result<Vec<_>>>().map(CommitOutcome::Committed)
    }

    /// What the append with the key was told, where the commit was done before.
    fn replayed(&self, operations: &[Operation], keyed: Option<(usize, Keyed)>) -> Result<Option<Appended>> {
        let Some((at, keyed)) = keyed else { return Ok(None) };
        let Some(Operation::Append { log, options, .. }) = operations.get(at) else { return Ok(None) };
        let Some(lease) = self.leases.iter().find(|lease| lease.core().name == *log) else { return Ok(None) };
        let mut disk = lease.core().for_append()?;
        let key = options.idempotency_key.as_deref().unwrap_or_default();
        let known = disk.keys().and_then(|keys| keys.find(keyed, key)).map_err(|error| error.in_operation(at));
        lease.core().put_back(disk);
        known
    }

    /// Decides on one operation and makes it ready. Changes nothing.
    fn judge(
        &self,
        operation: &'a Operation,
        body: Option<Prepared>,
        keyed: Option<Keyed>,
        steps: &mut Vec<Step>,
    ) -> Result<Judged<'a>>
    where
        Self: 'a,
    {
        match operation {
            Operation::PutDoc { key, value, condition } => {
                let Decided { change, outcome } = self.slot(key)?.put(value, *condition)?;
                Ok(match outcome {
                    WriteOutcome::Precondition { current } => Judged::Refused(Current::Tag(current)),
                    WriteOutcome::Written { etag, created } => {
                        self.doc(key, change, value.as_str().len(), Done::Written { etag, created }, steps)
                    }
                })
            }
            Operation::PatchDoc { key, patch, condition } => {
                let Decided { change, outcome } = self.slot(key)?.patch(patch, *condition)?;
                Ok(match outcome {
                    PatchOutcome::Precondition { current } => Judged::Refused(Current::Tag(current)),
                    PatchOutcome::Written(document) => {
                        self.doc(key, change, document.value.as_str().len(), Done::Patched(document), steps)
                    }
                })
            }
            Operation::DeleteDoc { key, condition } => {
                let Decided { change, outcome } = self.slot(key)?.delete(*condition)?;
                Ok(match outcome {
                    DeleteOutcome::Precondition { current } => Judged::Refused(Current::Tag(current)),
                    DeleteOutcome::Deleted(deleted) => self.doc(key, change, 0, Done::Deleted(deleted), steps),
                })
            }
            Operation::PutFile { path, condition, .. } => {
                place::check_free(self.project, path)?;
                let found = Found::read(self.project, path, *condition)?;
                if !found.meets(*condition) {
                    return Ok(Judged::Refused(Current::Tag(found.etag)));
                }
                let Some(mut body) = body else { return Err(Error::invalid("the file has no body")) };
                let etag = body.etag;
                if let Some(meta) = &found.meta {
                    body.set_mode(meta.mode)?;
                }
                let telling = files::telling(self.store, self.id, path);
                steps.push(replace::prepare_put(self.store, self.project, path.as_str(), body, found.before())?);
                let done = Done::Written { etag, created: found.meta.is_none() };
                Ok(fits(1, Then::Value { telling, etag: Some(etag), done }))
            }
            Operation::DeleteFile { path, condition } => {
                let found = Found::read(self.project, path, *condition)?;
                if !found.meets(*condition) {
                    return Ok(Judged::Refused(Current::Tag(found.etag)));
                }
                let Some(before) = found.before() else { return Ok(fits(0, Then::Nothing(Done::Deleted(false)))) };
                let step = replace::prepare_remove(self.store, self.project, path.as_str(), before)?;
                let Some(step) = step else { return Ok(fits(0, Then::Nothing(Done::Deleted(false)))) };
                steps.push(step);
                let telling = files::telling(self.store, self.id, path);
                Ok(fits(1, Then::Value { telling, etag: None, done: Done::Deleted(true) }))
            }
            Operation::Append { log, entries, options } => {
                let lease = self.leases.iter().find(|lease| lease.core().name == *log);
                let Some(lease) = lease else { return Err(Error::invalid(format!("the log {log} is not held"))) };
                let options = AppendOptions { idempotency_key: None, ..options.clone() };
                judge_append(lease.core(), append::Request { entries: entries.clone(), options, keyed }, steps)
            }
        }
    }

    fn slot(&self, key: &DocKey) -> Result<Slot<'a>> {
        Slot::new(self.store, self.scope, key)
    }

    /// A document that fits: its change, and how many bytes it has then.
    fn doc(
        &self,
        key: &DocKey,
        change: Option<(Step, Option<Etag>)>,
        bytes: usize,
        done: Done,
        steps: &mut Vec<Step>,
    ) -> Judged<'a> {
        let Some((step, etag)) = change else { return fits(0, Then::Nothing(done)) };
        steps.push(step);
        let telling = Telling::begin(self.store, self.scope.clone(), Target::Doc(key.clone()));
        Judged::Fits(Ready { steps: 1, bytes, then: Then::Value { telling, etag, done } })
    }
}

fn fits(steps: usize, then: Then<'_>) -> Judged<'_> {
    Judged::Fits(Ready { steps, bytes: 0, then })
}

fn judge_append<'a>(core: &'a Arc<LogCore>, request: append::Request, steps: &mut Vec<Step>) -> Result<Judged<'a>> {
    if request.entries.is_empty() && !request.options.close {
        return core.nothing_new().map(|head| fits(0, Then::Nothing(Done::Appended(head))));
    }
    let bytes = request.entries.iter().map(crate::log::Data::len).sum();
    let mut disk = core.for_append()?;
    let mut batch = append::Batch::new(&mut disk, core.store.now_ms(), core.has_listeners());
    batch.add(request);
    let mut decided = batch.decided();
    if !decided.writes() {
        let answer = decided.done(&mut disk, false).answers.pop();
        core.put_back(disk);
        return match answer {
            Some(Ok(AppendOutcome::Precondition { head })) => Ok(Judged::Refused(Current::Head(head))),
            Some(Ok(AppendOutcome::Appended(appended))) => Ok(fits(0, Then::Nothing(Done::Appended(appended)))),
            Some(Err(error)) => Err(error),
            None => Err(Error::invalid("nothing was decided")),
        };
    }
    match decided.plan(&mut disk, &core.store) {
        Ok(planned) => {
            let count = planned.steps.len();
            steps.extend(planned.steps);
            let then = Then::Log { core, disk, decided, after: planned.after };
            Ok(Judged::Fits(Ready { steps: count, bytes, then }))
        }
        Err(error) => {
            core.put_back(disk);
            Err(error)
        }
    }
}

impl Ready<'_> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing of it happens.
    fn give_up(self) {
        match self.then {
            Then::Log { core, disk, .. } => core.put_back(disk),
            Then::Value { telling, .. } => telling.give_up(),
            Then::Nothing(_) => {}
        }
    }
}

impl Then<'_> {
    /// Tells everybody who should know.
    fn finish(self, effects: Vec<Effect>) -> Result<Done> {
        match self {
            Self::Nothing(done) => Ok(done),
            Self::Value { telling, etag, done } => {
                telling.told(etag, Replaced::of(&effects));
                Ok(done)
            }
            Self::Log { core, disk, decided, after } => core.with(disk, |disk| {
                disk.take(after, effects)?;
                let done = decided.done(disk, true);
                core.publish(disk, done.entries);
                match done.answers.into_iter().next() {
                    Some(Ok(AppendOutcome::Appended(appended))) => Ok(Done::Appended(appended)),
                    Some(Err(error)) => Err(error),
                    _ => Err(Error::Retry { what: "an append was decided twice".into() }),
                }
            }),
        }
    }
}
