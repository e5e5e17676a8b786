//! The fixture `studio`: a folder of projects as another tool left it. Its `README.md` says what is in it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Result;

/// Where the fixture lies.
#[must_use]
pub fn original() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/studio")
}

/// A fresh copy.
///
/// # Errors
/// Where copying fails.
pub fn copy() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    copy_tree(&original(), folder.path())?;
    Ok(folder)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::write(&target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

/// The data of every whole line of a project's history in the fixture, as the tokens that stand there, with their seq.
///
/// # Errors
/// Where the fixture is not what this expects.
pub fn history(project: &str) -> Result<Vec<(u64, String)>> {
    let text = fs::read_to_string(original().join(project).join(".meta/history.jsonl"))?;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        // Sliced, not parsed: the tokens are what is compared.
        let line = line.trim_end();
        let seq = line.strip_prefix("{\"seq\":").and_then(|rest| rest.split_once(',')).ok_or("no seq")?.0;
        let data = line.split_once(",\"data\":").and_then(|(_, rest)| rest.strip_suffix('}')).ok_or("no data")?;
        lines.push((seq.parse()?, data.to_owned()));
    }
    Ok(lines)
}
