//! Commits: all operations are judged and done under the one lock.

use std::sync::Arc;

use bytes::Bytes;

use super::docs::{MemoryDocs, Scope, patched, tag};
use super::files::{MemoryFiles, check_path, collect};
use super::history::{MemoryLog, Verdict};
use super::store::{ProjectState, State, Store};
use crate::blob::WriteCondition;
use crate::commit::{CommitOutcome, Current, Done, Operation, check};
use crate::docs::Document;
use crate::error::Result;
use crate::etag::Etag;
use crate::name::{DocKey, FilePath, ProjectId};
use crate::request::Keyed;

/// See [`Project::commit`](crate::Project::commit).
pub(super) async fn commit(store: &Arc<Store>, id: &ProjectId, mut operations: Vec<Operation>) -> Result<CommitOutcome> {
    let keyed = check(&operations, &store.options.limits)?;
    let commit = Commit { store, id };
    if keyed.is_none() {
        commit.check_early(&operations)?;
    }
    let mut bodies = Vec::with_capacity(operations.len());
    for (at, operation) in operations.iter_mut().enumerate() {
        bodies.push(match operation.take_body() {
            Some((_, body)) => Some(collect(body).await.map_err(|error| error.in_operation(at))?),
            None => None,
        });
    }
    let tags: Vec<Option<Etag>> = bodies.iter().map(|body| body.as_deref().map(Etag::of)).collect();
    let keyed = keyed.and_then(|at| Some((at, Keyed::of_commit(&operations, at, &tags)?)));
    loop {
        // Merging and hashing can take long, so they happen without the lock, and again if another write came first.
        let prepared = commit.prepare(&operations, &bodies, &tags)?;
        let mut state = store.lock();
        match commit.judge(state.project(id)?, &operations, &prepared, keyed)? {
            Judged::Answer(outcome) => return Ok(outcome),
            Judged::Stale => {}
            Judged::Fits => return commit.apply(&mut state, operations, prepared, keyed),
        }
    }
}

struct Commit<'a> {
    store: &'a Arc<Store>,
    id: &'a ProjectId,
}

/// What an operation brings that takes long to make.
enum Prepared {
    Nothing,
    /// The document to be, and the tag of what it was made from, where that matters.
    Document {
        document: Document,
        base: Option<Option<Etag>>,
    },
    File {
        bytes: Bytes,
        etag: Etag,
    },
}

enum Judged {
    Answer(CommitOutcome),
    /// A document was changed since its patch was applied.
    Stale,
    Fits,
}

/// Why an operation is not done.
enum Refusal {
    Condition(Current),
    Stale,
}

impl Commit<'_> {
    fn docs(&self) -> MemoryDocs {
        MemoryDocs::new(Arc::clone(self.store), Scope::Project(self.id.clone()))
    }

    fn files(&self) -> MemoryFiles {
        MemoryFiles::new(Arc::clone(self.store), self.id.clone())
    }

    fn log(&self, name: &crate::name::LogName) -> MemoryLog {
        MemoryLog::new(Arc::clone(self.store), self.id.clone(), name.clone())
    }

    /// Refuses what is hopeless before a body is taken. Not with a key: a retry is known only once all bodies are.
    fn check_early(&self, operations: &[Operation]) -> Result<()> {
        let state = self.store.lock();
        let project = state.project(self.id)?;
        for (at, operation) in operations.iter().enumerate() {
            if let Operation::PutFile { path, .. } = operation {
                check_path(&project.files, path).map_err(|error| error.in_operation(at))?;
            }
        }
        Ok(())
    }

    fn prepare(&self, operations: &[Operation], bodies: &[Option<Bytes>], tags: &[Option<Etag>]) -> Result<Vec<Prepared>> {
        let one = |(operation, (body, etag)): (&Operation, (&Option<Bytes>, &Option<Etag>))| {
            Ok(match (operation, body, etag) {
                (Operation::PutDoc { value, .. }, ..) => {
                    Prepared::Document { document: Document { etag: tag(value), value: value.clone() }, base: None }
                }
                (Operation::PatchDoc { key, patch, .. }, ..) => {
                    let base = self.store.lock().project(self.id)?.docs.get(key).map(|doc| doc.document.clone());
                    let document = patched(base.as_ref(), patch);
                    Prepared::Document { document, base: Some(base.map(|base| base.etag)) }
                }
                (Operation::PutFile { .. }, Some(bytes), Some(etag)) => Prepared::File { bytes: bytes.clone(), etag: *etag },
                _ => Prepared::Nothing,
            })
        };
        operations.iter().zip(bodies.iter().zip(tags)).map(one).collect()
    }

    /// What a patch makes of a document counts as well.
    fn check_size(&self, prepared: &[Prepared]) -> Result<()> {
        let size = |one: &Prepared| match one {
            Prepared::Document { document, .. } => document.value.as_str().len(),
            Prepared::Nothing | Prepared::File { .. } => 0,
        };
        self.store.options.limits.check_commit(prepared.iter().map(size).sum())
    }

    /// Decides, and changes nothing.
    fn judge(
        &self,
        project: &ProjectState,
        operations: &[Operation],
        prepared: &[Prepared],
        keyed: Option<(usize, Keyed)>,
    ) -> Result<Judged> {
        if let Some((at, keyed)) = keyed
            && let Some(Operation::Append { log, options, .. }) = operations.get(at)
            && let Some(known) = project.logs.get(log)
            && let Some(first) = known
                .keys
                .find(keyed, options.idempotency_key.as_deref().unwrap_or_default())
                .map_err(|error| error.in_operation(at))?
        {
            return Ok(Judged::Answer(CommitOutcome::Replayed(first)));
        }
        for (at, (operation, prepared)) in operations.iter().zip(prepared).enumerate() {
            match self.judge_one(project, operation, prepared).map_err(|error| error.in_operation(at))? {
                None => {}
                Some(Refusal::Condition(current)) => return Ok(Judged::Answer(CommitOutcome::Precondition { at, current })),
                Some(Refusal::Stale) => return Ok(Judged::Stale),
            }
        }
        self.check_size(prepared)?;
        Ok(Judged::Fits)
    }

    fn judge_one(&self, project: &ProjectState, operation: &Operation, prepared: &Prepared) -> Result<Option<Refusal>> {
        let tag_fits = |condition: WriteCondition, current: Option<Etag>| {
            (!condition.holds(current)).then_some(Refusal::Condition(Current::Tag(current)))
        };
        Ok(match operation {
            Operation::PutDoc { key, condition, .. }
            | Operation::PatchDoc { key, condition, .. }
            | Operation::DeleteDoc { key, condition } => {
                let current = doc_tag(project, key);
                if let Some(refusal) = tag_fits(*condition, current) {
                    return Ok(Some(refusal));
                }
                let Prepared::Document { document, base } = prepared else { return Ok(None) };
                if base.is_some_and(|base| base != current) {
                    return Ok(Some(Refusal::Stale));
                }
                self.store.options.limits.check_document(document.value.as_str().len())?;
                None
            }
            Operation::PutFile { path, condition, .. } => {
                check_path(&project.files, path)?;
                tag_fits(*condition, file_tag(project, path))
            }
            Operation::DeleteFile { path, condition } => tag_fits(*condition, file_tag(project, path)),
            Operation::Append { log, entries, options } => {
                let writes = !entries.is_empty() || options.close;
                match self.log(log).judge(&project.logs, writes, options, None)? {
                    Verdict::Moved { head } => Some(Refusal::Condition(Current::Head(head))),
                    Verdict::Nothing(_) | Verdict::Replayed(_) | Verdict::Fits => None,
                }
            }
        })
    }

    /// Does what was found to fit, under the same lock.
    fn apply(
        &self,
        state: &mut State,
        operations: Vec<Operation>,
        prepared: Vec<Prepared>,
        keyed: Option<(usize, Keyed)>,
    ) -> Result<CommitOutcome> {
        let mut done = Vec::with_capacity(operations.len());
        for (at, (operation, prepared)) in operations.into_iter().zip(prepared).enumerate() {
            let keyed = keyed.filter(|(place, _)| *place == at).map(|(_, keyed)| keyed);
            done.push(self.apply_one(state, operation, prepared, keyed)?);
        }
        Ok(CommitOutcome::Committed(done))
    }

    fn apply_one(&self, state: &mut State, operation: Operation, prepared: Prepared, keyed: Option<Keyed>) -> Result<Done> {
        let project = state.project(self.id)?;
        match (operation, prepared) {
            (Operation::PutDoc { key, .. }, Prepared::Document { document, .. }) => {
                let (etag, created) = (document.etag, doc_tag(project, &key).is_none());
                self.docs().store(state, &key, document)?;
                Ok(Done::Written { etag, created })
            }
            (Operation::PatchDoc { key, .. }, Prepared::Document { document, .. }) => {
                self.docs().store(state, &key, document.clone())?;
                Ok(Done::Patched(document))
            }
            (Operation::PutFile { path, .. }, Prepared::File { bytes, etag }) => {
                let created = file_tag(project, &path).is_none();
                self.files().store(state, &path, bytes, etag)?;
                Ok(Done::Written { etag, created })
            }
            (Operation::DeleteDoc { key, .. }, _) => {
                let existed = doc_tag(project, &key).is_some();
                if existed {
                    self.docs().remove(state, &key)?;
                }
                Ok(Done::Deleted(existed))
            }
            (Operation::DeleteFile { path, .. }, _) => self.files().remove(state, &path).map(Done::Deleted),
            (Operation::Append { log, entries, options }, _) => {
                let log = self.log(&log);
                let writes = !entries.is_empty() || options.close;
                match log.judge(&project.logs, writes, &options, None)? {
                    Verdict::Nothing(appended) => Ok(Done::Appended(appended)),
                    _ => log.write(state, entries, options.close, keyed).map(Done::Appended),
                }
            }
            (Operation::PutDoc { .. } | Operation::PatchDoc { .. } | Operation::PutFile { .. }, _) => {
                Err(crate::Error::invalid("an operation of this commit was not prepared"))
            }
        }
    }
}

fn doc_tag(project: &ProjectState, key: &DocKey) -> Option<Etag> {
    project.docs.get(key).map(|doc| doc.document.etag)
}

fn file_tag(project: &ProjectState, path: &FilePath) -> Option<Etag> {
    project.files.get(path.as_str()).map(|file| file.etag)
}
