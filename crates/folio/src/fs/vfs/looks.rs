//! Looks at many files below a folder at about the same moment: each folder on the way is opened once for all of them.

use super::dir::Dir;
use super::error::VfsResult;
use super::file::Spot;

/// Folders that are kept open at a time.
const FOLDERS: usize = 32;

/// Folders that were opened for it. Not to be kept: a folder that is replaced meanwhile is not seen.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// Each with its path; `None` where there is none.
    folders: Vec<(String, Option<Dir>)>,
}

impl Looks {
    /// As [`Dir::spot`], of files below the same folder `root` each time.
    pub(crate) fn spot(&mut self, root: &Dir, rel: &str) -> VfsResult<Option<Spot>> {
        let Some((folder, name)) = rel.rsplit_once('/') else { return root.spot(rel) };
        let look = |dir: &Option<Dir>| dir.as_ref().map_or(Ok(None), |dir| dir.spot(name));
        if let Some((_, known)) = self.folders.iter().find(|(path, _)| path == folder) {
            return look(known);
        }
        if self.folders.len() == FOLDERS {
            return root.spot(rel);
        }
        let dir = root.dir(folder)?;
        let found = look(&dir);
        self.folders.push((folder.to_owned(), dir));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_look_by_the_whole_path_finds() {
        let temp = tempfile::tempdir().unwrap();
        let at = |rel: &str| temp.path().join(rel);
        std::fs::create_dir_all(at("p/logs/deep")).unwrap();
        for (n, file) in ["top", "p/logs/a", "p/logs/b", "p/logs/deep/c"].into_iter().enumerate() {
            std::fs::write(at(file), "x".repeat(n)).unwrap();
        }
        std::os::unix::fs::symlink("logs", at("p/link")).unwrap();
        std::os::unix::fs::symlink("a", at("p/logs/l")).unwrap();
        let (root, mut looks) = (Dir::open_root(temp.path()).unwrap(), Looks::default());
        for rel in ["top", "p/logs/a", "p/logs/b", "p/logs/none", "p/none/a", "p/logs/deep", "p/logs/deep/c", "p/logs/l"] {
            for _ in 0..2 {
                assert_eq!(looks.spot(&root, rel).unwrap(), root.spot(rel).unwrap(), "{rel}");
            }
        }
        // Also where more folders are looked into than are kept.
        for n in 0..2 * FOLDERS {
            let rel = format!("{n}/file");
            std::fs::create_dir(at(&n.to_string())).unwrap();
            std::fs::write(at(&rel), "x".repeat(n)).unwrap();
            assert_eq!(looks.spot(&root, &rel).unwrap(), root.spot(&rel).unwrap(), "{rel}");
        }
        assert_eq!(looks.folders.len(), FOLDERS);
        for rel in ["p/link/a", "p/logs/a/b"] {
            assert!(looks.spot(&root, rel).is_err() && root.spot(rel).is_err(), "{rel}");
        }
    }
}
