//! Listing documents: names that end in `.json`, in the order of their keys.

use super::super::content::etag_of;
use super::super::scope::{Scope, doc_key};
use super::super::select::Smallest;
use super::super::store::Store;
use super::super::vfs::{Access, Dir, Kind};
use crate::docs::{DocInfo, DocList, DocListOptions};
use crate::error::Result;
use crate::name::DocKey;

/// Lists a page. Memory grows with its length, not with the number of documents.
pub(super) fn list(store: &Store, scope: &Scope, options: &DocListOptions) -> Result<DocList> {
    let nothing = DocList { docs: Vec::new(), next: None };
    let folder = match scope.base(store)?.dir(scope.docs()) {
        Ok(Some(folder)) => folder,
        Ok(None) => return Ok(nothing),
        Err(error) if error.foreign() || error.missing() => return Ok(nothing),
        Err(error) => return Err(error.into()),
    };
    let mut keys = Smallest::new(options.limit.saturating_add(1));
    for entry in folder.list()? {
        let entry = entry?;
        let Some(key) = doc_key(&entry.name).filter(|_| entry.kind == Kind::File) else { continue };
        let asked = key.as_str().starts_with(&options.prefix) && options.after.as_ref().is_none_or(|after| key > *after);
        if asked && keys.wants(&key) {
            keys.push(key);
        }
    }
    let mut keys = keys.finish();
    let more = keys.len() > options.limit;
    keys.truncate(options.limit);
    let next = keys.last().filter(|_| more).cloned();
    let mut docs = Vec::with_capacity(keys.len());
    for key in keys {
        docs.extend(info(&folder, key, options.etag)?);
    }
    Ok(DocList { docs, next })
}

/// `None` where it was removed meanwhile.
fn info(folder: &Dir, key: DocKey, etag: bool) -> Result<Option<DocInfo>> {
    let name = super::super::scope::doc_name(&key);
    let (meta, etag) = if etag {
        let file = match folder.open(&name, Access::Read) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) if error.foreign() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        (file.meta()?, Some(etag_of(&file)?))
    } else {
        match folder.stat(&name)? {
            Some(meta) => (meta, None),
            None => return Ok(None),
        }
    };
    Ok(Some(DocInfo { key, size: meta.size, modified: meta.modified_ms, etag }))
}
