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
use crate::json::Json;
use crate::log::{AppendOptions, Data};
use crate::name::{DocKey, FilePath, LogName, ProjectId};
use crate::request::Keyed;

/// See [`Project::commit`](crate::Project::commit).
pub(super) async fn commit(store: &Arc<Store>, id: &ProjectId, mut operations: Vec<Operation>) -> Result<CommitOutcome> {
    let keyed = check(&operations, &store.options.limits)?;
    // What else is hopeless shows when all bodies are there: the first operation that cannot be done is the answer.
    store.lock().project(id)?;
    let mut bodies = Vec::with_capacity(operations.len());
    for (at, operation) in operations.iter_mut().enumerate() {
        bodies.push(match operation.take_body() {
            Some((_, body)) => collect(body).await.map_err(|error| error.in_operation(at))?,
            None => Bytes::new(),
        });
    }
    let keyed = keyed.and_then(|at| {
        let tags: Vec<Option<Etag>> = bodies.iter().map(|body| Some(Etag::of(body))).collect();
        Some((at, Keyed::of_commit(&operations, at, &tags)?))
    });
    let mut steps: Vec<Step> = operations.into_iter().zip(bodies).map(|(operation, body)| Step::of(operation, body)).collect();
    let commit = Commit { store, id, keyed };
    loop {
        let mut state = store.lock();
        match commit.judge(state.project(id)?, &steps)? {
            Judged::Answer(outcome) => return Ok(outcome),
            Judged::Fits => return commit.apply(&mut state, steps),
            Judged::Stale(bases) => {
                // Merging and hashing can take long, so they happen without the lock, and again if another write came first.
                drop(state);
                steps.iter_mut().zip(bases).for_each(|(step, base)| step.patch(base));
            }
        }
    }
}

/// One operation, with what it makes.
enum Step {
    Doc { key: DocKey, becomes: NewDoc, condition: WriteCondition },
    File { path: FilePath, becomes: Option<(Bytes, Etag)>, condition: WriteCondition },
    Append { log: LogName, entries: Vec<Data>, options: AppendOptions },
}

/// What a document becomes.
enum NewDoc {
    Put(Document),
    /// Made from a document with the tag `base`, or from nothing.
    Patched {
        patch: Json,
        made: Document,
        base: Option<Etag>,
    },
    Deleted,
}

impl Step {
    fn of(operation: Operation, body: Bytes) -> Self {
        match operation {
            Operation::PutDoc { key, value, condition } => {
                Self::Doc { key, becomes: NewDoc::Put(Document { etag: tag(&value), value }), condition }
            }
            Operation::PatchDoc { key, patch, condition } => {
                Self::Doc { key, becomes: NewDoc::Patched { made: patched(None, &patch), patch, base: None }, condition }
            }
            Operation::DeleteDoc { key, condition } => Self::Doc { key, becomes: NewDoc::Deleted, condition },
            Operation::PutFile { path, body: _, condition } => {
                let etag = Etag::of(&body);
                Self::File { path, becomes: Some((body, etag)), condition }
            }
            Operation::DeleteFile { path, condition } => Self::File { path, becomes: None, condition },
            Operation::Append { log, entries, options } => Self::Append { log, entries, options },
        }
    }

    /// Applies a patch to what is there now.
    fn patch(&mut self, current: Option<Document>) {
        if let Self::Doc { becomes: NewDoc::Patched { patch, made, base }, .. } = self {
            *made = patched(current.as_ref(), patch);
            *base = current.map(|current| current.etag);
        }
    }

    /// The document that it stores.
    fn document(&self) -> Option<&Document> {
        match self {
            Self::Doc { becomes: NewDoc::Put(document) | NewDoc::Patched { made: document, .. }, .. } => Some(document),
            _ => None,
        }
    }
}

struct Commit<'a> {
    store: &'a Arc<Store>,
    id: &'a ProjectId,
    /// The place of the append with the key, and its digests.
    keyed: Option<(usize, Keyed)>,
}

enum Judged {
    Answer(CommitOutcome),
    /// Documents were changed since their patches were applied: what is there for each operation.
    Stale(Vec<Option<Document>>),
    Fits,
}

impl Commit<'_> {
    fn log(&self, name: &LogName) -> MemoryLog {
        MemoryLog::new(Arc::clone(self.store), self.id.clone(), name.clone())
    }

    /// Decides, and changes nothing.
    fn judge(&self, project: &ProjectState, steps: &[Step]) -> Result<Judged> {
        if let Some((at, keyed)) = self.keyed
            && let Some(Step::Append { log, options, .. }) = steps.get(at)
            && let Some(log) = project.logs.get(log)
        {
            let key = options.idempotency_key.as_deref().unwrap_or_default();
            if let Some(first) = log.keys.find(keyed, key).map_err(|error| error.in_operation(at))? {
                return Ok(Judged::Answer(CommitOutcome::Replayed(first)));
            }
        }
        for (at, step) in steps.iter().enumerate() {
            if let Some(current) = self.unmet(project, step).map_err(|error| error.in_operation(at))? {
                return Ok(Judged::Answer(CommitOutcome::Precondition { at, current }));
            }
        }
        if steps.iter().any(|step| is_stale(project, step)) {
            return Ok(Judged::Stale(steps.iter().map(|step| current_document(project, step)).collect()));
        }
        let limits = &self.store.options.limits;
        let mut total = 0;
        for (at, document) in steps.iter().enumerate().filter_map(|(at, step)| Some((at, step.document()?))) {
            let size = document.value.as_str().len();
            limits.check_document(size).map_err(|error| error.in_operation(at))?;
            total += size;
        }
        limits.check_commit(total)?;
        Ok(Judged::Fits)
    }

    /// What is there where the condition of an operation does not hold.
    fn unmet(&self, project: &ProjectState, step: &Step) -> Result<Option<Current>> {
        let tag_unmet = |condition: &WriteCondition, current| (!condition.holds(current)).then_some(Current::Tag(current));
        Ok(match step {
            Step::Doc { key, condition, .. } => tag_unmet(condition, doc_tag(project, key)),
            Step::File { path, becomes, condition } => {
                if becomes.is_some() {
                    check_path(&project.files, path)?;
                }
                tag_unmet(condition, file_tag(project, path))
            }
            Step::Append { log, entries, options } => {
                let writes = !entries.is_empty() || options.close;
                match self.log(log).judge(&project.logs, writes, options, None)? {
                    Verdict::Moved { head } => Some(Current::Head(head)),
                    Verdict::Nothing(_) | Verdict::Replayed(_) | Verdict::Fits => None,
                }
            }
        })
    }

    /// Does what was found to fit, under the same lock.
    fn apply(&self, state: &mut State, steps: Vec<Step>) -> Result<CommitOutcome> {
        let one = |(at, step)| {
            let keyed = self.keyed.filter(|(place, _)| *place == at).map(|(_, keyed)| keyed);
            self.apply_one(state, step, keyed)
        };
        steps.into_iter().enumerate().map(one).collect::<Result<_>>().map(CommitOutcome::Committed)
    }

    fn apply_one(&self, state: &mut State, step: Step, keyed: Option<Keyed>) -> Result<Done> {
        match step {
            Step::Doc { key, becomes, .. } => {
                let docs = MemoryDocs::new(Arc::clone(self.store), Scope::Project(self.id.clone()));
                let existed = doc_tag(state.project(self.id)?, &key).is_some();
                match becomes {
                    NewDoc::Put(document) => {
                        let etag = document.etag;
                        docs.store(state, &key, document)?;
                        Ok(Done::Written { etag, created: !existed })
                    }
                    NewDoc::Patched { made, .. } => {
                        docs.store(state, &key, made.clone())?;
                        Ok(Done::Patched(made))
                    }
                    NewDoc::Deleted => {
                        if existed {
                            docs.remove(state, &key)?;
                        }
                        Ok(Done::Deleted(existed))
                    }
                }
            }
            Step::File { path, becomes, .. } => {
                let files = MemoryFiles::new(Arc::clone(self.store), self.id.clone());
                let Some((bytes, etag)) = becomes else { return files.remove(state, &path).map(Done::Deleted) };
                let created = file_tag(state.project(self.id)?, &path).is_none();
                files.store(state, &path, bytes, etag)?;
                Ok(Done::Written { etag, created })
            }
            Step::Append { log, entries, options } => {
                let log = self.log(&log);
                let writes = !entries.is_empty() || options.close;
                match log.judge(&state.project(self.id)?.logs, writes, &options, None)? {
                    Verdict::Nothing(appended) => Ok(Done::Appended(appended)),
                    _ => log.write(state, entries, options.close, keyed).map(Done::Appended),
                }
            }
        }
    }
}

fn is_stale(project: &ProjectState, step: &Step) -> bool {
    matches!(step, Step::Doc { key, becomes: NewDoc::Patched { base, .. }, .. } if *base != doc_tag(project, key))
}

/// What a patch is applied to.
fn current_document(project: &ProjectState, step: &Step) -> Option<Document> {
    let Step::Doc { key, becomes: NewDoc::Patched { .. }, .. } = step else { return None };
    project.docs.get(key).map(|doc| doc.document.clone())
}

fn doc_tag(project: &ProjectState, key: &DocKey) -> Option<Etag> {
    project.docs.get(key).map(|doc| doc.document.etag)
}

fn file_tag(project: &ProjectState, path: &FilePath) -> Option<Etag> {
    project.files.get(path.as_str()).map(|file| file.etag)
}
