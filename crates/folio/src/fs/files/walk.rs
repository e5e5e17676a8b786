//! Listing files in the byte order of their whole paths.
//!
//! A folder sorts as its name with a `/`, so one pass over the tree gives that order. Each folder is read in batches of
//! the smallest names not seen yet, so memory stays bounded however wide or deep the tree is, and nothing stays open.

use super::super::content::etag_of;
use super::super::select::Smallest;
use super::super::vfs::{Dir, Kind, VfsResult};
use super::place;
use crate::blob::{FileInfo, FileList, FileListOptions};
use crate::error::Result;
use crate::name::{FilePath, MAX_PATH};

/// Names kept of one folder at a time: many near the top, few in the depths.
const BATCH: usize = 1_024;
const DEEP_BATCH: usize = 64;
const DEEP: usize = 16;

/// One name in a folder, in the form that sorts: a folder with a `/` at its end.
type Step = String;

/// A folder on the way.
struct Level {
    /// Empty for the top, else with a `/` at its end.
    path: String,
    /// The next names, in reverse order.
    batch: Vec<Step>,
    /// The last name that was put into a batch.
    last: Option<Step>,
    /// The batch holds all that was left.
    complete: bool,
}

/// A walk over the files below a folder, after a path.
pub(crate) struct Walk<'a> {
    project: &'a Dir,
    after: Option<&'a str>,
    levels: Vec<Level>,
}

impl<'a> Walk<'a> {
    /// Over everything below `folder`, or all.
    pub(crate) fn new(project: &'a Dir, folder: Option<&FilePath>, after: Option<&'a FilePath>) -> Self {
        let mut walk = Self { project, after: after.map(FilePath::as_str), levels: Vec::new() };
        walk.enter(folder.map_or_else(String::new, |folder| format!("{folder}/")));
        walk
    }

    fn enter(&mut self, path: String) {
        self.levels.push(Level { path, batch: Vec::new(), last: None, complete: false });
    }

    /// The path of the next file.
    pub(crate) fn next(&mut self) -> VfsResult<Option<FilePath>> {
        let depth = self.levels.len();
        while let Some(level) = self.levels.last_mut() {
            let Some(step) = level.batch.pop() else {
                if level.complete {
                    self.levels.pop();
                } else {
                    fill(self.project, self.after, level, if depth < DEEP { BATCH } else { DEEP_BATCH })?;
                }
                continue;
            };
            let path = format!("{}{step}", level.path);
            if step.ends_with('/') {
                self.enter(path);
            } else if let Ok(path) = FilePath::new(path) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// Reads the next names of a folder.
fn fill(project: &Dir, after: Option<&str>, level: &mut Level, batch: usize) -> VfsResult<()> {
    level.complete = true;
    let folder = match level.path.strip_suffix('/') {
        None => Some(project.clone()),
        Some(path) => match project.dir(path) {
            Err(error) if error.foreign() || error.missing() => None,
            outcome => outcome?,
        },
    };
    let Some(folder) = folder else { return Ok(()) };
    let mut smallest = Smallest::new(batch);
    let mut path = level.path.clone();
    for entry in folder.list()? {
        let entry = entry?;
        let Some(name) = entry.name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let step = match entry.kind {
            Kind::File => name.to_owned(),
            // Below a longer path no file can be named.
            Kind::Dir if level.path.len() + name.len() < MAX_PATH => format!("{name}/"),
            Kind::Dir | Kind::Link | Kind::Other => continue,
        };
        if level.last.as_ref().is_some_and(|last| step <= *last) || !smallest.wants(&step) {
            continue;
        }
        path.truncate(level.path.len());
        path.push_str(&step);
        // Only a folder that holds `after` has files behind it while it sorts before it.
        if after.is_none_or(|after| path.as_str() > after || (entry.kind == Kind::Dir && after.starts_with(&path))) {
            smallest.push(step);
        }
    }
    let mut names = smallest.finish();
    if names.len() == batch {
        level.complete = false;
        level.last = names.last().cloned();
    }
    names.reverse();
    level.batch = names;
    Ok(())
}

/// Lists a page.
pub(super) fn list(project: &Dir, options: &FileListOptions) -> Result<FileList> {
    let mut walk = Walk::new(project, options.folder.as_ref(), options.after.as_ref());
    let mut files: Vec<FileInfo> = Vec::new();
    while let Some(path) = walk.next()? {
        let Some(info) = info(project, path, options.etag)? else { continue };
        if files.len() == options.limit {
            let next = files.last().map(|last| last.path.clone());
            return Ok(FileList { files, next });
        }
        files.push(info);
    }
    Ok(FileList { files, next: None })
}

/// `None` where it was removed meanwhile, or lies on another file system.
fn info(project: &Dir, path: FilePath, etag: bool) -> VfsResult<Option<FileInfo>> {
    if !etag {
        let meta = place::stat(project, path.as_str())?;
        return Ok(meta.map(|meta| FileInfo { path, size: meta.size, modified: meta.modified_ms, etag: None }));
    }
    let Some(file) = place::open(project, &path)? else { return Ok(None) };
    let (meta, etag) = (file.meta()?, etag_of(&file)?);
    Ok(Some(FileInfo { path, size: meta.size, modified: meta.modified_ms, etag: Some(etag) }))
}
