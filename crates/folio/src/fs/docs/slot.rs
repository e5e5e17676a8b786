//! One document of an open scope.

use super::super::changes::Seen;
use super::super::replace;
use super::super::scope::Scope;
use super::super::store::Store;
use super::super::temp::TempFile;
use super::super::vfs::{Dir, VfsResult};
use super::stored::Stored;
use crate::change::Target;
use crate::docs::Document;
use crate::error::{NameKind, Result};
use crate::etag::Etag;
use crate::json::Json;
use crate::name::DocKey;

/// One document of an open scope. For writing, hold the lock of its path.
pub(super) struct Slot<'a> {
    store: &'a Store,
    scope: &'a Scope,
    key: &'a DocKey,
    base: Dir,
    rel: String,
}

impl<'a> Slot<'a> {
    pub(super) fn new(store: &'a Store, scope: &'a Scope, key: &'a DocKey) -> Result<Self> {
        let (base, rel) = (scope.base(store)?, scope.doc(key));
        store.folding.check(&base, &rel, NameKind::Key)?;
        Ok(Self { store, scope, key, base, rel })
    }

    /// What is there.
    pub(super) fn read(&self) -> Result<Option<Stored>> {
        // One byte more than a document may have: the newline.
        Ok(Stored::read(&self.base, &self.rel, self.store.options.limits.body.saturating_add(1))?)
    }

    /// Replaces what is there, which was read as `current`. If that is damaged it is kept in quarantine.
    pub(super) fn write(&self, current: Option<&Stored>, value: Json) -> Result<Document> {
        self.store.options.limits.check_document(value.as_str().len())?;
        let bytes = [value.as_str().as_bytes(), b"\n"].concat();
        let etag = Etag::of(&bytes);
        let temp = self.prepare(current, &bytes).map_err(|error| error.writing(&self.shown()))?;
        let _writing = self.store.changes.begin(self.scope, self.target());
        replace::put(self.store, &self.base, &self.rel, temp)?;
        self.store.changes.own(self.scope, self.target(), Seen::Bytes(etag), Some(etag));
        Ok(Document { value, etag })
    }

    fn prepare(&self, current: Option<&Stored>, bytes: &[u8]) -> VfsResult<TempFile> {
        if let Some((file, why)) = current.and_then(Stored::damage) {
            let why = format!("overwritten when it was damaged: {why}");
            self.store.quarantine.keep_range(&self.shown(), &why, file, 0..file.len()?)?;
        }
        let temp = self.store.temp()?;
        if let Some(current) = current {
            temp.file().set_mode(current.mode)?;
        }
        temp.file().append_all(bytes)?;
        temp.file().sync_all()?;
        Ok(temp)
    }

    /// Removes it; `false` where there was none.
    pub(super) fn remove(&self) -> Result<bool> {
        let _writing = self.store.changes.begin(self.scope, self.target());
        let removed = replace::remove(self.store, &self.base, &self.rel)?;
        if removed {
            self.store.changes.own(self.scope, self.target(), Seen::Absent, None);
        }
        Ok(removed)
    }

    fn target(&self) -> Target {
        Target::Doc(self.key.clone())
    }

    fn shown(&self) -> String {
        self.store.shown(&self.base, &self.rel)
    }
}
