//! Copying a project's documents and files, each whole.

use super::files::walk::Walk;
use super::scope::{META, doc_key, doc_name};
use super::vfs::{Access, Dir, File, Kind, Meta, VfsResult};
use crate::error::{Error, Result};

const PIECE: usize = 1 << 20;
/// How often a file that is edited in place while it is copied is copied again.
const ATTEMPTS: usize = 5;

/// Copies the documents, as their bytes are, damaged ones too. They are of one moment if nobody writes meanwhile.
pub(super) fn docs(source: &Dir, target: &Dir) -> Result<()> {
    let Some(from) = source.dir(META)? else { return Ok(()) };
    let (to, _) = target.make_dirs(META)?;
    for entry in from.list()? {
        let entry = entry?;
        if let Some(key) = doc_key(&entry.name).filter(|_| entry.kind == Kind::File) {
            file(&from, &to, &doc_name(&key))?;
        }
    }
    Ok(())
}

/// Copies the files.
pub(super) fn files(source: &Dir, target: &Dir) -> Result<()> {
    let mut walk = Walk::new(source, None, None);
    while let Some(path) = walk.next()? {
        if let Some((folder, _)) = path.as_str().rsplit_once('/') {
            target.make_dirs(folder)?;
        }
        file(source, target, path.as_str())?;
    }
    Ok(())
}

/// Copies one file; nothing where it is gone meanwhile.
fn file(from: &Dir, to: &Dir, rel: &str) -> Result<()> {
    let mut copy = None;
    for _ in 0..ATTEMPTS {
        let source = match from.open(rel, Access::Read) {
            Ok(Some(source)) => source,
            Ok(None) => break,
            Err(error) if error.foreign() || error.missing() => break,
            Err(error) => return Err(error.into()),
        };
        let copy = match &mut copy {
            Some(copy) => copy,
            none => none.insert(to.create_new(rel, Access::ReadWrite)?),
        };
        if whole(&source, copy)? {
            return Ok(());
        }
    }
    if copy.is_some() {
        to.unlink(rel)?;
    }
    match from.stat(rel) {
        Ok(Some(Meta { kind: Kind::File, .. })) => {
            Err(Error::Retry { what: format!("{} was edited while it was copied", from.path().join(rel).display()) })
        }
        _ => Ok(()),
    }
}

/// Copies all bytes; `false` where they were changed meanwhile.
fn whole(source: &File, copy: &File) -> VfsResult<bool> {
    let before = source.meta()?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let count = source.read_at(&mut piece, at)?;
        copy.write_all_at(piece.get(..count).unwrap_or_default(), at)?;
        at += count as u64;
        if count < piece.len() {
            break;
        }
    }
    copy.truncate(at)?;
    copy.set_mode(before.mode)?;
    let after = source.meta()?;
    // A file that was replaced or removed meanwhile is still the one that we have open, and whole.
    Ok((before.size, before.modified_ns) == (after.size, after.modified_ns) && at == after.size)
}
