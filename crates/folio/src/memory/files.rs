//! Files of a project. Folders are not kept: they are what the paths say.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::docs::Scope;
use super::store::{State, Store};
use crate::blob::{
    BlobStore, ByteStream, FileInfo, FileList, FileListOptions, FileRead, FileReadOptions, WriteCondition, WriteOutcome,
};
use crate::change::{Change, ChangeStream, Target};
use crate::docs::DeleteOutcome;
use crate::error::{Error, Result};
use crate::etag::Etag;
use crate::hub::Filter;
use crate::limits::Limits;
use crate::name::{FilePath, ProjectId};

/// By path, in the order of its bytes.
pub(super) type FileTable = BTreeMap<Box<str>, File>;

#[derive(Clone, Debug)]
pub(super) struct File {
    path: FilePath,
    bytes: Bytes,
    pub(super) etag: Etag,
    modified: u64,
}

impl File {
    fn info(&self) -> FileInfo {
        FileInfo { path: self.path.clone(), size: self.bytes.len() as u64, modified: self.modified, etag: Some(self.etag) }
    }
}

/// The files below a folder: everything between `folder/` and `folder0`, the next text that does not begin so.
fn below<'a>(table: &'a FileTable, folder: &str) -> impl Iterator<Item = &'a File> {
    let (from, to) = (format!("{folder}/"), format!("{folder}0"));
    table.range::<str, _>((Bound::Excluded(from.as_str()), Bound::Excluded(to.as_str()))).map(|(_, file)| file)
}

/// Refuses a path where a folder stands, or that leads through a file.
pub(super) fn check_path(table: &FileTable, path: &FilePath) -> Result<()> {
    if below(table, path.as_str()).next().is_some() {
        return Err(Error::folder_at(path));
    }
    let folders = path.as_str().match_indices('/').filter_map(|(end, _)| path.as_str().get(..end));
    match folders.into_iter().find(|folder| table.contains_key(*folder)) {
        Some(folder) => Err(Error::no_folder_at(path, folder)),
        None => Ok(()),
    }
}

pub(super) async fn collect(mut body: ByteStream) -> Result<Bytes> {
    let mut whole = Vec::new();
    while let Some(piece) = body.next().await {
        whole.extend_from_slice(&piece?);
    }
    // Boxed, so that no spare room is kept with it.
    Ok(whole.into_boxed_slice().into())
}

pub(super) struct MemoryFiles {
    store: Arc<Store>,
    project: ProjectId,
}

impl MemoryFiles {
    pub(super) fn new(store: Arc<Store>, project: ProjectId) -> Self {
        Self { store, project }
    }

    fn find(&self, path: &FilePath) -> Result<Option<File>> {
        let state = self.store.lock();
        Ok(state.project(&self.project)?.files.get(path.as_str()).cloned())
    }

    pub(super) fn store(&self, state: &mut State, path: &FilePath, bytes: Bytes, etag: Etag) -> Result<()> {
        let file = File { path: path.clone(), bytes, etag, modified: self.store.now() };
        state.project_mut(&self.project)?.files.insert(path.as_str().into(), file);
        self.tell(state, Change::Put { target: Target::File(path.clone()), etag: Some(etag) });
        Ok(())
    }

    /// True if something was there.
    pub(super) fn remove(&self, state: &mut State, path: &FilePath) -> Result<bool> {
        let existed = state.project_mut(&self.project)?.files.remove(path.as_str()).is_some();
        if existed {
            self.tell(state, Change::Delete { target: Target::File(path.clone()) });
        }
        Ok(existed)
    }

    fn tell(&self, state: &State, change: Change) {
        if let Some(hub) = state.hubs.get(&Scope::Project(self.project.clone())) {
            hub.publish(change);
        }
    }
}

#[async_trait]
impl BlobStore for MemoryFiles {
    async fn stat(&self, path: &FilePath, _etag: bool) -> Result<Option<FileInfo>> {
        Ok(self.find(path)?.map(|file| file.info()))
    }

    async fn read(&self, path: &FilePath, options: FileReadOptions) -> Result<Option<FileRead>> {
        let Some(file) = self.find(path)? else { return Ok(None) };
        let range = options.range.within(file.bytes.len() as u64);
        let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let bytes = part.map_or_else(Bytes::new, |(from, to)| file.bytes.slice(from..to));
        let pieces = (!bytes.is_empty()).then_some(Ok(bytes));
        Ok(Some(FileRead { info: file.info(), range, body: stream::iter(pieces).boxed(), file: None }))
    }

    async fn write(&self, path: &FilePath, body: ByteStream, condition: WriteCondition) -> Result<WriteOutcome> {
        // Asked before the body is taken, so that a hopeless one is not; and again when it counts.
        check_path(&self.store.lock().project(&self.project)?.files, path)?;
        let bytes = collect(body).await?;
        let etag = Etag::of(&bytes);
        let mut state = self.store.lock();
        let files = &state.project(&self.project)?.files;
        check_path(files, path)?;
        let current = files.get(path.as_str()).map(|file| file.etag);
        if !condition.holds(current) {
            return Ok(WriteOutcome::Precondition { current });
        }
        self.store(&mut state, path, bytes, etag)?;
        Ok(WriteOutcome::Written { etag, created: current.is_none() })
    }

    async fn delete(&self, path: &FilePath, condition: WriteCondition) -> Result<DeleteOutcome> {
        let mut state = self.store.lock();
        let current = state.project(&self.project)?.files.get(path.as_str()).map(|file| file.etag);
        if !condition.holds(current) {
            return Ok(DeleteOutcome::Precondition { current });
        }
        Ok(DeleteOutcome::Deleted(self.remove(&mut state, path)?))
    }

    async fn list(&self, options: FileListOptions) -> Result<FileList> {
        Limits::check_page(options.limit)?;
        let state = self.store.lock();
        let table = &state.project(&self.project)?.files;
        let (from, to) = match &options.folder {
            Some(folder) => (format!("{folder}/"), Some(format!("{folder}0"))),
            None => (String::new(), None),
        };
        let from = options.after.as_ref().map_or(from.as_str(), |after| after.as_str().max(from.as_str()));
        let to = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut list = FileList { files: Vec::new(), next: None };
        if matches!(to, Bound::Excluded(to) if to <= from) {
            return Ok(list);
        }
        for (_, file) in table.range::<str, _>((Bound::Excluded(from), to)).take(options.limit + 1) {
            if list.files.len() == options.limit {
                list.next = list.files.last().map(|last| last.path.clone());
                break;
            }
            list.files.push(file.info());
        }
        Ok(list)
    }

    async fn subscribe(&self) -> Result<ChangeStream> {
        let mut state = self.store.lock();
        state.project(&self.project)?;
        Ok(state.hubs.listen(Scope::Project(self.project.clone())).subscribe(Filter::Files))
    }
}
