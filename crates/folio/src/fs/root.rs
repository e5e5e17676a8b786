//! `.folio/root.json`: the format, the root's id, which epochs were given out, and the life that logs belong to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::temp::{TempFile, fresh_name};
use super::vfs::{Access, Dir};
use crate::cursor::Epoch;
use crate::error::{Error, Result};

const NAME: &str = "root.json";
const MAX_CONTENT: usize = 1 << 20;
/// The format that this version writes, and the newest it reads.
pub(crate) const FORMAT: u64 = 1;

/// What stands in the file. Members that this version does not know are kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RootContent {
    /// See [`FORMAT`].
    pub(crate) format: u64,
    /// 32 hex digits, made once.
    pub(crate) id: String,
    /// No epoch above this was given out.
    #[serde(default)]
    pub(crate) epoch_reserve: Epoch,
    /// A log whose newest epoch is below this begins a new piece with its next write.
    #[serde(default)]
    pub(crate) life: Epoch,
    /// The weak mode that runs, or that ended without having synced everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weak: Option<String>,
    #[serde(flatten)]
    other: BTreeMap<String, serde_json::Value>,
}

impl RootContent {
    /// The root's id as bytes; zeros where it is none of ours.
    pub(crate) fn root_id(&self) -> [u8; 16] {
        u128::from_str_radix(&self.id, 16).unwrap_or_default().to_be_bytes()
    }
}

/// The file, and what stands in it durably.
#[derive(Debug)]
pub(crate) struct RootFile {
    folder: Dir,
    tmp: Dir,
    content: Mutex<RootContent>,
    /// Only one change at a time is on its way to the disk; readers of the content don't wait for it.
    writing: Mutex<()>,
}

impl RootFile {
    /// Reads the file in `folder` (`.folio`), or makes it.
    ///
    /// # Errors
    /// [`Error::NewerFormat`]; [`Error::Damaged`] where it can't be read, because a guess could repeat an epoch.
    pub(crate) fn open(folder: &Dir, tmp: &Dir) -> Result<Self> {
        let stored = match folder.open(NAME, Access::Read)? {
            Some(file) => Some(parse(&file.read_some(0, MAX_CONTENT)?, &folder.path().join(NAME).display().to_string())?),
            None => None,
        };
        let of =
            |content| Self { folder: folder.clone(), tmp: tmp.clone(), content: Mutex::new(content), writing: Mutex::new(()) };
        if let Some(content) = stored {
            return Ok(of(content));
        }
        let id = fresh_name()?;
        let content = RootContent { format: FORMAT, id, epoch_reserve: 0, life: 0, weak: None, other: BTreeMap::new() };
        let root = of(content.clone());
        root.write(&content)?;
        Ok(root)
    }

    fn held(&self) -> MutexGuard<'_, RootContent> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands in the file.
    pub(crate) fn content(&self) -> RootContent {
        self.held().clone()
    }

    /// Changes the file and returns when that is durable, in every mode. After an error the old content counts.
    pub(crate) fn update(&self, change: impl FnOnce(&mut RootContent)) -> Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut content = self.content();
        change(&mut content);
        if content == *self.held() {
            return Ok(());
        }
        self.write(&content)?;
        *self.held() = content;
        Ok(())
    }

    fn write(&self, content: &RootContent) -> Result<()> {
        let mut bytes = serde_json::to_vec(content)
            .map_err(|error| Error::Io { what: format!("cannot write {NAME}"), why: error.to_string() })?;
        bytes.push(b'\n');
        let temp = TempFile::new(&self.tmp)?;
        temp.file().append_all(&bytes)?;
        temp.file().sync_all()?;
        drop(temp.keep_as(&self.folder, NAME)?);
        Ok(self.folder.sync()?)
    }
}

/// Checks and reads the file in `folder` (`.folio`), if there is one. Writes nothing.
pub(crate) fn read(folder: &Dir) -> Result<Option<RootContent>> {
    let Some(file) = folder.open(NAME, Access::Read)? else { return Ok(None) };
    let bytes = file.read_some(0, MAX_CONTENT)?;
    parse(&bytes, &folder.path().join(NAME).display().to_string()).map(Some)
}

fn parse(bytes: &[u8], path: &str) -> Result<RootContent> {
    /// Read first: a newer format may have changed everything else.
    #[derive(Deserialize)]
    struct Head {
        format: u64,
    }
    let damaged = |error: serde_json::Error| Error::Damaged { what: path.to_owned(), why: error.to_string(), etag: None };
    let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    if head.format > FORMAT {
        let why = format!("format {}, this version knows up to {FORMAT}", head.format);
        return Err(Error::NewerFormat { what: path.to_owned(), why });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(temp: &tempfile::TempDir) -> Result<RootFile> {
        let dir = Dir::open_root(temp.path()).unwrap();
        RootFile::open(&dir, &dir)
    }

    #[test]
    fn the_content_is_kept_with_members_of_others() {
        let temp = tempfile::tempdir().unwrap();
        let made = open(&temp).unwrap().content();
        assert_eq!((made.format, made.epoch_reserve, made.life, made.id.len()), (1, 0, 0, 32));
        let path = temp.path().join(NAME);
        std::fs::write(&path, format!(r#"{{"format":1,"id":"{}","later":[1]}}"#, made.id)).unwrap();
        let root = open(&temp).unwrap();
        root.update(|content| content.life = 7).unwrap();
        assert_eq!(open(&temp).unwrap().content(), root.content());
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(r#""later":[1]"#) && text.contains(r#""life":7"#) && text.ends_with("}\n"), "{text}");
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn newer_and_damaged_ones_are_refused_and_left_alone() {
        for (text, code) in [
            (r#"{"format":2}"#, "newer_format"),
            (r#"{"format":1,"#, "damaged"),
            (r#"{"format":1}"#, "damaged"),
            ("", "damaged"),
            ("\u{0}\u{0}", "damaged"),
        ] {
            let temp = tempfile::tempdir().unwrap();
            std::fs::write(temp.path().join(NAME), text).unwrap();
            let error = open(&temp).unwrap_err();
            assert_eq!(error.code(), code, "{text:?}: {error}");
            assert!(error.to_string().contains(NAME), "{error}");
            assert_eq!(std::fs::read_to_string(temp.path().join(NAME)).unwrap(), text);
        }
    }
}
