//! `.folio/quarantine`: what was damaged or in the way is set aside here, never lost. `index.jsonl` tells the story.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::vfs::{Access, Dir, File, VfsError, VfsResult};
use crate::clock::Clock;

const INDEX: &str = "index.jsonl";

/// A line of the index.
#[derive(Serialize)]
struct Line<'a> {
    ts: u64,
    kept: &'a str,
    from: &'a str,
    why: &'a str,
    bytes: u64,
}

/// The folder where things are set aside.
#[derive(Debug)]
pub(crate) struct Quarantine {
    folder: Dir,
    clock: Arc<dyn Clock>,
    /// Lines of the index are appended one at a time; nothing but they wait for it.
    index: Mutex<()>,
}

impl Quarantine {
    pub(crate) fn new(folder: Dir, clock: Arc<dyn Clock>) -> Self {
        Self { folder, clock, index: Mutex::new(()) }
    }

    /// Keeps the bytes of a file in `range`, which stood at `from`, and says `why`. Durable on return, in every mode.
    /// Returns where they are.
    pub(crate) fn keep_range(&self, from: &str, why: &str, source: &File, range: Range<u64>) -> VfsResult<PathBuf> {
        let (name, file) = self.create(from)?;
        let kept = file.append_from(source, range).and_then(|()| self.finish(&name, &file, from, why));
        if kept.is_err() {
            // The disk may be full: half of it would only be in the way.
            let _ = self.folder.unlink(&name);
        }
        kept
    }

    /// Keeps bytes that have no file. Durable on return, in every mode. Returns where they are.
    pub(crate) fn keep_bytes(&self, from: &str, why: &str, bytes: &[u8]) -> VfsResult<PathBuf> {
        let (name, file) = self.create(from)?;
        let kept = file.append_all(bytes).and_then(|()| self.finish(&name, &file, from, why));
        if kept.is_err() {
            // The disk may be full: half of it would only be in the way.
            let _ = self.folder.unlink(&name);
        }
        kept
    }

    /// Moves a whole file or folder here. Sync `dir` afterwards.
    pub(crate) fn take(&self, from: &str, why: &str, dir: &Dir, name: &OsStr) -> VfsResult<PathBuf> {
        let bytes = dir.stat(name)?.map_or(0, |meta| meta.size);
        let kept = self.fresh(from, |kept| dir.rename_noreplace(name, &self.folder, kept))?;
        self.note(&kept, from, why, bytes)
    }

    fn create(&self, from: &str) -> VfsResult<(String, File)> {
        let mut made = None;
        let name = self.fresh(from, |kept| match self.folder.create_new(kept, Access::Append) {
            Ok(file) => {
                made = Some(file);
                Ok(true)
            }
            Err(error) if error.exists() => Ok(false),
            Err(error) => Err(error),
        })?;
        let file = made.ok_or_else(|| VfsError::os("create", &self.folder.path().join(&name), rustix::io::Errno::NOENT))?;
        Ok((name, file))
    }

    /// Finds a name that is free: `<unix ms>-<what>`, then with `-2`, `-3` …
    fn fresh(&self, from: &str, mut take: impl FnMut(&str) -> VfsResult<bool>) -> VfsResult<String> {
        let name = format!("{}-{}", self.clock.now_ms(), shown(from));
        let mut tried = name.clone();
        let mut count = 1;
        while !take(&tried)? {
            count += 1;
            tried = format!("{name}-{count}");
        }
        Ok(tried)
    }

    fn finish(&self, name: &str, file: &File, from: &str, why: &str) -> VfsResult<PathBuf> {
        file.sync_all()?;
        self.note(name, from, why, file.len()?)
    }

    fn note(&self, name: &str, from: &str, why: &str, bytes: u64) -> VfsResult<PathBuf> {
        self.folder.sync()?;
        let line = Line { ts: self.clock.now_ms(), kept: name, from, why, bytes };
        // Strings and numbers always have a JSON form.
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        let _one = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match self.folder.open(INDEX, Access::Append)? {
            Some(index) => index,
            None => self.folder.create_new(INDEX, Access::Append)?,
        };
        index.append_all(&text)?;
        index.sync_all()?;
        self.folder.sync()?;
        Ok(self.folder.path().join(name))
    }
}

/// A path as one plain segment, its end kept where it is long.
fn shown(from: &str) -> String {
    let plain: String =
        from.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' }).collect();
    plain.get(plain.len().saturating_sub(120)..).unwrap_or(&plain).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::vfs::COPY_PIECE;
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn everything_is_kept_under_its_own_name_and_told() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        let folder = dir.make_dirs("quarantine").unwrap().0;
        let quarantine = Quarantine::new(folder, Arc::new(ManualClock::new(1_763_900_000_000)));
        std::fs::write(temp.path().join("torn"), "{\"se{\"ts").unwrap();
        let torn = dir.open("torn", Access::Read).unwrap().unwrap();
        let first = quarantine.keep_range("p/.meta/history.jsonl", "torn tail", &torn, 0..4).unwrap();
        let second = quarantine.keep_range("p/.meta/history.jsonl", "torn tail", &torn, 4..8).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), b"{\"se");
        assert_eq!(std::fs::read(&second).unwrap(), b"{\"ts");
        assert_eq!(first.file_name().unwrap(), "1763900000000-p_.meta_history.jsonl");

        std::fs::write(temp.path().join("big"), vec![7; COPY_PIECE + 5]).unwrap();
        let big = dir.open("big", Access::Read).unwrap().unwrap();
        let kept = quarantine.keep_range("big", "cut", &big, 3..COPY_PIECE as u64 + 4).unwrap();
        assert_eq!(std::fs::read(kept).unwrap(), vec![7; COPY_PIECE + 1]);
        let taken = quarantine.take(&"ü/".repeat(400), "in the way", &dir, OsStr::new("big")).unwrap();
        assert_eq!(std::fs::read(taken).unwrap().len(), COPY_PIECE + 5);
        assert!(!temp.path().join("big").exists());

        let index = std::fs::read_to_string(temp.path().join("quarantine").join(INDEX)).unwrap();
        let lines: Vec<serde_json::Value> = index.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1]["kept"], "1763900000000-p_.meta_history.jsonl-2");
        assert_eq!((&lines[1]["from"], &lines[1]["why"]), (&"p/.meta/history.jsonl".into(), &"torn tail".into()));
        assert_eq!(lines[2]["bytes"], COPY_PIECE as u64 + 1);
    }
}
