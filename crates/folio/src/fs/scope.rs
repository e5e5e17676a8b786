//! Whose documents, and whose changes: a project's, the shared ones, or a collection's.

use super::store::Store;
use super::vfs::Dir;
use crate::error::Result;
use crate::name::{CollectionName, DocKey, ProjectId};

/// A project, or what lies outside projects.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Scope {
    /// A project.
    Project(ProjectId),
    /// The shared documents.
    Shared,
    /// A named collection.
    Collection(CollectionName),
}

/// A project's hidden folder.
pub(crate) const META: &str = ".meta";
/// The folder of the shared documents.
pub(crate) const SHARED: &str = ".shared";
/// The folder of the collections.
pub(crate) const COLLECTIONS: &str = ".collections";
const ENDING: &str = ".json";

impl Scope {
    /// The project, if it is one.
    pub(crate) fn project(&self) -> Option<&ProjectId> {
        match self {
            Self::Project(id) => Some(id),
            Self::Shared | Self::Collection(_) => None,
        }
    }

    /// The folder that paths are relative to: the project's, else the root.
    ///
    /// # Errors
    /// [`Error::NoProject`](crate::Error::NoProject).
    pub(crate) fn base(&self, store: &Store) -> Result<Dir> {
        match self {
            Self::Project(id) => store.project_dir(id),
            Self::Shared | Self::Collection(_) => Ok(store.root.clone()),
        }
    }

    /// The folder of the documents, relative to the base.
    pub(crate) fn docs(&self) -> String {
        match self {
            Self::Project(_) => META.into(),
            Self::Shared => SHARED.into(),
            Self::Collection(name) => format!("{COLLECTIONS}/{name}"),
        }
    }

    /// The folder of the documents, relative to the root.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Project(id) => format!("{id}/{META}"),
            Self::Shared | Self::Collection(_) => self.docs(),
        }
    }

    /// The file of a document, relative to the base.
    pub(crate) fn doc(&self, key: &DocKey) -> String {
        format!("{}/{}", self.docs(), doc_name(key))
    }
}

/// The name of a document's file.
pub(crate) fn doc_name(key: &DocKey) -> String {
    format!("{key}{ENDING}")
}

/// The key of the document that a file of this name is; `None` where it is none.
pub(crate) fn doc_key(name: &std::ffi::OsStr) -> Option<DocKey> {
    DocKey::new(name.to_str()?.strip_suffix(ENDING)?).ok()
}
