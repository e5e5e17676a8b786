//! Files of a project: the files in its folder, hidden ones left out.

pub(in crate::fs) mod hot;
pub(in crate::fs) mod place;
mod read;
pub(in crate::fs) mod receive;
pub(crate) mod walk;

use std::sync::Arc;

use async_trait::async_trait;

use super::content::etag_of;
use super::replace;
use super::scope::Scope;
use super::store::Store;
use super::telling::Telling;
use super::txn::Before;
use super::vfs::{Dir, Meta};
use crate::blob::{
    BlobStore, ByteStream, FileInfo, FileList, FileListOptions, FileRead, FileReadOptions, WriteCondition, WriteOutcome,
};
use crate::change::{ChangeStream, Target};
use crate::docs::DeleteOutcome;
use crate::error::Result;
use crate::etag::Etag;
use crate::hub::Filter;
use crate::limits::Limits;
use crate::name::{FilePath, ProjectId};

/// The files of a project.
#[derive(Debug)]
pub(crate) struct FsFiles {
    store: Arc<Store>,
    id: ProjectId,
}

impl FsFiles {
    /// Checks nothing: each call does.
    pub(crate) fn new(store: Arc<Store>, id: ProjectId) -> Self {
        Self { store, id }
    }

    /// Runs `work` in the project's folder, alone among the writers of that path.
    async fn alone<T: Send + 'static>(
        &self,
        path: &FilePath,
        work: impl FnOnce(&Arc<Store>, &ProjectId, &Dir, &FilePath) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let running = self.store.enter().await?;
        let gate = self.store.gates.shared(&self.id).await;
        let lock = self.store.gates.path(&(&self.id, path)).await;
        let (id, path) = (self.id.clone(), path.clone());
        let work = move |store: &Arc<Store>| {
            let _held = (lock, gate);
            store.writable()?;
            work(store, &id, &place::project(store, &id, &path)?, &path)
        };
        self.store.run_on(running, work).await
    }

    /// Refuses what is hopeless before the body is taken.
    async fn check_early(&self, path: &FilePath) -> Result<()> {
        let (id, path) = (self.id.clone(), path.clone());
        let check = move |store: &Arc<Store>| {
            store.writable()?;
            place::check_free(&place::project(store, &id, &path)?, &path)
        };
        self.store.run(check).await
    }
}

/// What stands at a path.
pub(in crate::fs) struct Current {
    /// Its tag, where the condition asks for it.
    pub(in crate::fs) etag: Option<Etag>,
    /// `None` where nothing is.
    pub(in crate::fs) meta: Option<Meta>,
}

impl Current {
    /// Looks, and reads the file only for a condition that needs it.
    pub(in crate::fs) fn read(project: &Dir, path: &FilePath, condition: WriteCondition) -> Result<Self> {
        let Some(file) = place::open(project, path)? else { return Ok(Self { etag: None, meta: None }) };
        let meta = file.meta()?;
        let etag = match condition {
            WriteCondition::None | WriteCondition::Exists => None,
            WriteCondition::Match(_) | WriteCondition::Absent => Some(etag_of(&file)?),
        };
        Ok(Self { etag, meta: Some(meta) })
    }

    pub(in crate::fs) fn meets(&self, condition: WriteCondition) -> bool {
        match condition {
            WriteCondition::Exists => self.meta.is_some(),
            other => other.holds(self.etag),
        }
    }

    /// As it was found, for who replaces or removes it.
    pub(in crate::fs) fn before(&self) -> Option<Before> {
        self.meta.as_ref().map(|meta| Before::of(meta, self.etag))
    }
}

/// A write of the file at `path` begins.
pub(in crate::fs) fn telling(store: &Arc<Store>, id: &ProjectId, path: &FilePath) -> Telling {
    Telling::begin(store, Scope::Project(id.clone()), Target::File(path.clone()))
}

#[async_trait]
impl BlobStore for FsFiles {
    async fn stat(&self, path: &FilePath, etag: bool) -> Result<Option<FileInfo>> {
        let (id, path) = (self.id.clone(), path.clone());
        self.store.run(move |store| read::stat(store, &id, &path, etag)).await
    }

    async fn read(&self, path: &FilePath, options: FileReadOptions) -> Result<Option<FileRead>> {
        let running = self.store.enter().await?;
        if let Some(read) = read::now(&self.store, &self.id, path, &options) {
            return Ok(Some(read));
        }
        let (id, path) = (self.id.clone(), path.clone());
        self.store.run_on(running, move |store| read::open(store, &id, &path, &options)).await
    }

    async fn write(&self, path: &FilePath, body: ByteStream, condition: WriteCondition) -> Result<WriteOutcome> {
        self.check_early(path).await?;
        let what = format!("{}/{path}", self.id);
        let received = receive::receive(&self.store, &what, body).await?;
        let work = move |store: &Arc<Store>, id: &ProjectId, project: &Dir, path: &FilePath| {
            place::check_free(project, path)?;
            let current = Current::read(project, path, condition)?;
            if !current.meets(condition) {
                return Ok(WriteOutcome::Precondition { current: current.etag });
            }
            let mut received = received.take()?;
            let etag = received.etag;
            if let Some(meta) = &current.meta {
                received.set_mode(meta.mode)?;
            }
            let step = replace::prepare_put(store, project, path.as_str(), received, current.before())?;
            let telling = telling(store, id, path);
            let replaced = replace::commit(store, step)?;
            telling.told(Some(etag), replaced);
            Ok(WriteOutcome::Written { etag, created: current.meta.is_none() })
        };
        self.alone(path, work).await
    }

    async fn delete(&self, path: &FilePath, condition: WriteCondition) -> Result<DeleteOutcome> {
        let work = move |store: &Arc<Store>, id: &ProjectId, project: &Dir, path: &FilePath| {
            let current = Current::read(project, path, condition)?;
            if !current.meets(condition) {
                return Ok(DeleteOutcome::Precondition { current: current.etag });
            }
            let Some(before) = current.before() else { return Ok(DeleteOutcome::Deleted(false)) };
            let Some(step) = replace::prepare_remove(store, project, path.as_str(), before)? else {
                return Ok(DeleteOutcome::Deleted(false));
            };
            let telling = telling(store, id, path);
            let replaced = replace::commit(store, step)?;
            telling.told(None, replaced);
            Ok(DeleteOutcome::Deleted(true))
        };
        self.alone(path, work).await
    }

    async fn list(&self, options: FileListOptions) -> Result<FileList> {
        Limits::check_page(options.limit)?;
        let id = self.id.clone();
        self.store.run(move |store| walk::list(&store.project_dir(&id)?, &options)).await
    }

    async fn subscribe(&self) -> Result<ChangeStream> {
        self.store.subscribe(&Scope::Project(self.id.clone()), Filter::Files).await
    }
}

#[cfg(test)]
mod tests;
