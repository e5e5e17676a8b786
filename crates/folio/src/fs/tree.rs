//! Whole folders: removing them, and making them durable.

use std::ffi::OsStr;
use std::path::PathBuf;

use rustix::io::Errno;

use super::temp::fresh_name;
use super::vfs::{Access, Dir, Kind, VfsResult};

/// How often a folder that is removed as empty, just when something is to come into it, is made again.
pub(crate) const ATTEMPTS: usize = 100;

/// Makes a folder below `base`, with those on its way, durably, and opens it.
///
/// # Errors
/// Also where it fails, what was made on the way is durable, unless it is the sync that failed.
pub(crate) fn make(base: &Dir, rel: &str) -> VfsResult<Dir> {
    let (mut grown, mut attempt) = (Vec::new(), 0);
    let made = loop {
        match base.grow(rel, &mut grown) {
            // One on the way was removed as empty just then.
            Err(error) if error.is(&[Errno::NOENT]) && attempt < ATTEMPTS => attempt += 1,
            made => break made,
        }
    };
    grown.iter().try_for_each(Dir::sync)?;
    made
}

/// Folders nested deeper than this are moved up first, so that neither the stack nor open files grow with the depth.
const DEEP: usize = 32;

/// Removes what stands at `name` in `.folio/tmp`, with everything in it. Links are removed, never followed.
pub(crate) fn remove(tmp: &Dir, name: &OsStr) -> VfsResult<()> {
    let mut left = vec![name.to_owned()];
    while let Some(name) = left.pop() {
        match tmp.stat(&name)? {
            None => {}
            Some(meta) if meta.kind == Kind::Dir => {
                let Some(folder) = tmp.dir(&name)? else { continue };
                empty(&folder, tmp, 0, &mut |moved| left.push(moved.into()))?;
                tmp.rmdir(&name)?;
            }
            Some(_) => drop(tmp.unlink(&name)?),
        }
    }
    Ok(())
}

/// Removes everything in `.folio/tmp`.
pub(crate) fn clear(tmp: &Dir) -> VfsResult<()> {
    for entry in tmp.list()? {
        remove(tmp, &entry?.name)?;
    }
    Ok(())
}

fn empty(folder: &Dir, tmp: &Dir, depth: usize, later: &mut impl FnMut(String)) -> VfsResult<()> {
    for entry in folder.list()? {
        let entry = entry?;
        if entry.kind != Kind::Dir {
            folder.unlink(&entry.name)?;
        } else if depth == DEEP {
            let moved = fresh_name()?;
            folder.rename(&entry.name, tmp, &moved)?;
            later(moved);
        } else if let Some(below) = folder.dir(&entry.name)? {
            empty(&below, tmp, depth + 1, later)?;
            folder.rmdir(&entry.name)?;
        }
    }
    Ok(())
}

/// More files and folders than this are not synced one by one, but with their whole file system.
const SYNCED_SINGLY: usize = 256;

/// Makes everything below a folder durable, and the folder itself. For folders of ours, without links.
pub(crate) fn sync(folder: &Dir) -> VfsResult<()> {
    let (mut folders, mut files) = (vec![PathBuf::new()], Vec::new());
    let mut next = 0;
    while let Some(path) = folders.get(next).cloned() {
        next += 1;
        let Some(dir) = below(folder, &path)? else { continue };
        for entry in dir.list()? {
            let entry = entry?;
            let path = path.join(&entry.name);
            if entry.kind == Kind::Dir {
                folders.push(path)
            } else {
                files.push(path)
            }
            if folders.len() + files.len() > SYNCED_SINGLY {
                return folder.sync_file_system();
            }
        }
    }
    for file in files {
        if let Some(file) = folder.open(file, Access::Read)? {
            file.sync_all()?;
        }
    }
    for path in folders.iter().rev() {
        if let Some(dir) = below(folder, path)? {
            dir.sync()?;
        }
    }
    Ok(())
}

fn below(folder: &Dir, path: &PathBuf) -> VfsResult<Option<Dir>> {
    if path.as_os_str().is_empty() { Ok(Some(folder.clone())) } else { folder.dir(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_and_wide_trees_go_and_links_are_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let tmp = root.make_dirs("tmp").unwrap().0;
        std::fs::write(temp.path().join("outside"), "x").unwrap();
        let mut deep = tmp.make_dirs("tree").unwrap().0;
        for level in 0..600 {
            if level % 100 == 0 {
                std::fs::write(temp.path().join("f"), "x").unwrap();
                root.rename("f", &deep, "f").unwrap();
            }
            deep = deep.make_dirs("d").unwrap().0;
        }
        drop(deep);
        let wide = tmp.make_dirs("tree/wide").unwrap().0;
        for n in 0..500 {
            std::fs::write(temp.path().join(format!("tmp/tree/wide/{n}")), "x").unwrap();
        }
        std::os::unix::fs::symlink(temp.path(), temp.path().join("tmp/tree/wide/link")).unwrap();
        drop(wide);
        std::fs::write(temp.path().join("tmp/file"), "x").unwrap();
        clear(&tmp).unwrap();
        assert_eq!(tmp.list().unwrap().count(), 0);
        assert!(temp.path().join("outside").exists());
    }
}
