//! Comforts over the contract, for every driver.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blob::{BlobStore, FileReadOptions, WriteCondition, WriteOutcome};
use crate::commit::Operation;
use crate::docs::JsonKv;
use crate::driver::Project;
use crate::error::{Error, Result};
use crate::etag::Etag;
use crate::json::Json;
use crate::log::{AppendLog, AppendOptions, AppendOutcome, Appended, Data};
use crate::name::{DocKey, FilePath, LogName};

/// Comforts on a project.
pub trait ProjectExt: Project {
    /// The log that every project has.
    fn history(&self) -> Arc<dyn AppendLog> {
        self.log(&LogName::history())
    }
}

impl<P: Project + ?Sized> ProjectExt for P {}

/// Short ways to write down the operations of a [commit](Project::commit).
///
/// ```
/// use folio::memory::MemoryDriver;
/// use folio::{CommitOutcome, DocKey, Driver, FilePath, LogName, Operation, ProjectId, WriteCondition};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> folio::Result<()> {
/// let store = MemoryDriver::default();
/// let id = ProjectId::new("site")?;
/// store.create_project(&id).await?;
/// let project = store.project(&id);
///
/// // This edit, these metadata, this event: all of it or nothing.
/// let outcome = project
///     .commit(vec![
///         Operation::put_bytes(&FilePath::new("index.html")?, "<h1>Hi</h1>", WriteCondition::Absent),
///         Operation::put_value(&DocKey::new("meta")?, &["title", "Hi"], WriteCondition::None)?,
///         Operation::append_value(&LogName::history(), &"made")?,
///     ])
///     .await?;
/// assert!(matches!(outcome, CommitOutcome::Committed(done) if done.len() == 3));
/// # Ok(())
/// # }
/// ```
impl Operation {
    /// Puts a value of yours.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] where the value has no JSON form.
    pub fn put_value<T: Serialize + ?Sized>(key: &DocKey, value: &T, condition: WriteCondition) -> Result<Self> {
        Ok(Self::PutDoc { key: key.clone(), value: Json::from_value(value)?, condition })
    }

    /// Writes a file from bytes in memory.
    pub fn put_bytes(path: &FilePath, bytes: impl Into<Bytes>, condition: WriteCondition) -> Self {
        let bytes = bytes.into();
        let body = stream::once(async move { Ok(bytes) }).boxed();
        Self::PutFile { path: path.clone(), body, condition }
    }

    /// Appends one value of yours, without conditions.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] where the value has no JSON form.
    pub fn append_value<T: Serialize + ?Sized>(log: &LogName, value: &T) -> Result<Self> {
        let entries = vec![Data::Json(Json::from_value(value)?)];
        Ok(Self::Append { log: log.clone(), entries, options: AppendOptions::default() })
    }
}

/// Typed comforts on a log.
#[async_trait]
pub trait AppendLogExt: AppendLog {
    /// Appends one value without conditions.
    ///
    /// # Errors
    /// As [`AppendLog::append`].
    async fn append_value<T: Serialize + Sync + ?Sized>(&self, value: &T) -> Result<Appended> {
        let entries = vec![Data::Json(Json::from_value(value)?)];
        match self.append(entries, AppendOptions::default()).await? {
            AppendOutcome::Appended(appended) => Ok(appended),
            AppendOutcome::Precondition { .. } => Err(Error::invalid("an append without a condition was refused for one")),
        }
    }
}

impl<L: AppendLog + ?Sized> AppendLogExt for L {}

/// Typed comforts on documents.
#[async_trait]
pub trait JsonKvExt: JsonKv {
    /// The document as a type of yours, with its tag.
    ///
    /// # Errors
    /// As [`JsonKv::get`]; [`Error::InvalidJson`] where the value does not fit.
    async fn get_as<T: DeserializeOwned + Send>(&self, key: &DocKey) -> Result<Option<(T, Etag)>> {
        match self.get(key).await? {
            Some(document) => Ok(Some((document.value.to()?, document.etag))),
            None => Ok(None),
        }
    }

    /// Writes a value of yours.
    ///
    /// # Errors
    /// As [`JsonKv::put`].
    async fn put_value<T: Serialize + Sync + ?Sized>(
        &self,
        key: &DocKey,
        value: &T,
        condition: WriteCondition,
    ) -> Result<WriteOutcome> {
        self.put(key, Json::from_value(value)?, condition).await
    }
}

impl<K: JsonKv + ?Sized> JsonKvExt for K {}

/// Comforts on files.
#[async_trait]
pub trait BlobStoreExt: BlobStore {
    /// True where a file stands at the path.
    ///
    /// # Errors
    /// As [`BlobStore::stat`].
    async fn exists(&self, path: &FilePath) -> Result<bool> {
        Ok(self.stat(path, false).await?.is_some())
    }

    /// The whole file, or `None`.
    ///
    /// # Errors
    /// As [`BlobStore::read`].
    async fn read_bytes(&self, path: &FilePath) -> Result<Option<Bytes>> {
        let Some(mut file) = self.read(path, FileReadOptions::default()).await? else { return Ok(None) };
        let mut whole = Vec::new();
        while let Some(piece) = file.body.next().await {
            whole.extend_from_slice(&piece?);
        }
        Ok(Some(whole.into()))
    }

    /// The whole file as text, or `None`.
    ///
    /// # Errors
    /// As [`BlobStore::read`]; [`Error::Invalid`] where it is not UTF-8.
    async fn read_text(&self, path: &FilePath) -> Result<Option<String>> {
        let Some(bytes) = self.read_bytes(path).await? else { return Ok(None) };
        match String::from_utf8(bytes.into()) {
            Ok(text) => Ok(Some(text)),
            Err(e) => Err(Error::invalid(format!("the file {path:?} is not UTF-8 text: byte {}", e.utf8_error().valid_up_to()))),
        }
    }

    /// Writes a file from bytes in memory.
    ///
    /// # Errors
    /// As [`BlobStore::write`].
    async fn write_bytes(
        &self,
        path: &FilePath,
        bytes: impl Into<Bytes> + Send,
        condition: WriteCondition,
    ) -> Result<WriteOutcome> {
        let bytes = bytes.into();
        self.write(path, stream::once(async move { Ok(bytes) }).boxed(), condition).await
    }
}

impl<B: BlobStore + ?Sized> BlobStoreExt for B {}
