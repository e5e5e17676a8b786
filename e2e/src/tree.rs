//! Snapshots of folders, to tell whether anything on disk changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Result;

/// Everything that a snapshot holds of one file or folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Permissions and kind.
    pub mode: u32,
    /// Seconds and nanoseconds.
    pub modified: (i64, i64),
    /// Which file it is, so that one replaced by its equal shows.
    pub inode: u64,
    /// Size and SHA-256 of a file.
    pub content: Option<(u64, String)>,
}

/// Every path below a folder, and what is there. The folder `.folio`, which is Folio's own, is left out.
pub type Tree = BTreeMap<PathBuf, Node>;

/// Takes a snapshot.
///
/// # Errors
/// Where something can't be read.
pub fn snapshot(root: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    add(root, root, &mut tree)?;
    Ok(tree)
}

fn add(root: &Path, folder: &Path, tree: &mut Tree) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(root)?.to_owned();
        if name == Path::new(".folio") {
            continue;
        }
        let meta = fs::symlink_metadata(&path)?;
        let content = if meta.is_file() { Some((meta.len(), hash(&fs::read(&path)?))) } else { None };
        let modified = (meta.mtime(), meta.mtime_nsec());
        tree.insert(name, Node { mode: meta.mode(), modified, inode: meta.ino(), content });
        if meta.is_dir() {
            add(root, &path, tree)?;
        }
    }
    Ok(())
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The paths at which two snapshots differ.
#[must_use]
pub fn differences(before: &Tree, after: &Tree) -> Vec<PathBuf> {
    let paths: std::collections::BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}
