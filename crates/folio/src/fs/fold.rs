//! File systems that fold names: `A` and `a`, or two spellings of `é`, are one name to them. Here they never are.

use super::temp::fresh_name;
use super::vfs::{Access, Dir, VfsResult};
use crate::error::{Error, NameKind, Result};

/// Whether the file system folds names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Folding(bool);

impl Folding {
    /// Finds out by making a file in `tmp`.
    pub(crate) fn probe(tmp: &Dir) -> VfsResult<Self> {
        let name = format!("{}-a\u{e9}", fresh_name()?);
        drop(tmp.create_new(&name, Access::Append)?);
        let other_case = name.replace("-a", "-A");
        let other_form = name.replace('\u{e9}', "e\u{301}");
        let folds = tmp.stat(other_case)?.is_some() || tmp.stat(other_form)?.is_some();
        tmp.unlink(&name)?;
        Ok(Self(folds))
    }

    /// True where names fold, so that [`Folding::check`] has to look.
    pub(crate) fn folds(self) -> bool {
        self.0
    }

    /// Where names fold: refuses `rel` below `dir` if something stands there under another spelling.
    ///
    /// # Errors
    /// [`Error::InvalidName`], which tells the spelling asked for.
    pub(crate) fn check(self, dir: &Dir, rel: &str, kind: NameKind) -> Result<()> {
        if self.0 { spelled_alike(dir, rel, kind) } else { Ok(()) }
    }
}

fn spelled_alike(dir: &Dir, rel: &str, kind: NameKind) -> Result<()> {
    let mut folder = dir.clone();
    for segment in rel.split('/') {
        if !holds(&folder, segment)? {
            return match folder.stat(segment)? {
                None => Ok(()),
                Some(_) => Err(Error::InvalidName {
                    kind,
                    name: rel.to_owned(),
                    why: "this file system does not tell it from another name that exists (case or Unicode form)".into(),
                }),
            };
        }
        match folder.dir(segment) {
            Ok(Some(next)) => folder = next,
            // A file, or something foreign: what opens it next says so.
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// True where exactly this name is listed.
fn holds(folder: &Dir, name: &str) -> VfsResult<bool> {
    for entry in folder.list()? {
        if entry?.name == name {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_names_fold_exact_and_new_ones_pass() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        dir.make_dirs("a/b").unwrap();
        for rel in ["a", "a/b", "a/b/new", "new/x"] {
            Folding(true).check(&dir, rel, NameKind::Path).unwrap();
        }
        let folds = Folding::probe(&dir).unwrap();
        assert_eq!(dir.list().unwrap().count(), 1, "the probe leaves nothing");
        let other = folds.check(&dir, "A/b", NameKind::Path);
        assert_eq!(other.is_err(), folds.0, "another spelling is refused where it would be the same file");
    }
}
