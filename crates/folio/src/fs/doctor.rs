//! Checks a root without writing anything: every line and sum of every log, every document. Repairs what can be.
//!
//! A repair never throws anything away: what it takes out lies in `.folio/quarantine`, with a line in `index.jsonl`
//! there that says where it came from.

mod docs;
mod journal;
mod logs;
mod repair;
mod report;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use self::report::Collector;
pub use self::report::{Finding, Progress, Report, Severity};
use super::lock;
use super::options::FsOptions;
use super::store::{Store, off_runtime};
use super::vfs::{Dir, Kind};
use crate::error::{Error, Result};
use crate::name::ProjectId;

/// Checks the root at `path`. Nothing is written. It may be in use: then what a running write left unfinished is told
/// with that remark.
///
/// `progress` is called now and then from a thread of its own.
///
/// # Errors
/// [`Error::Io`] where there is no such folder, or it can't be read. Damage is no error but a [`Finding`].
pub async fn check(path: impl AsRef<Path>, progress: impl FnMut(&Progress) + Send + 'static) -> Result<Report> {
    let path = path.as_ref().to_owned();
    off_runtime(move || {
        let root = Dir::open_root(&path)?;
        let mut collector = Collector::new(progress);
        collector.report.in_use = lock::holder_of(&root)?;
        examine(&root, &mut collector)?;
        Ok(collector.report)
    })
    .await
}

/// Checks the root at `path` and repairs what can be. The findings say what was done.
///
/// # Errors
/// As [`check`]; [`Error::Locked`] where the root is in use.
pub async fn repair(
    path: impl AsRef<Path>,
    options: FsOptions,
    progress: impl FnMut(&Progress) + Send + 'static,
) -> Result<Report> {
    let path = path.as_ref().to_owned();
    let (store, mut collector) = off_runtime(move || {
        let root = Dir::open_root(&path)?;
        let mut collector = Collector::new(progress);
        // What the journal tells of is made by the open.
        journal::examine(&root, &mut collector)?;
        let store = Store::open_repairing(&path, options)?;
        collector.report.findings.retain(|finding| finding.severity == Severity::Damage);
        collector.report.findings.iter_mut().for_each(|finding| finding.repaired = true);
        examine(&store.root, &mut collector)?;
        repair::repair(&store, &mut collector.report)?;
        Ok((store, collector))
    })
    .await?;
    store.close().await?;
    Ok(std::mem::take(&mut collector.report))
}

fn examine(root: &Dir, collector: &mut Collector) -> Result<()> {
    check_root_file(root, collector)?;
    journal::examine(root, collector)?;
    for listed in root.list()? {
        let listed = listed?;
        let Some(id) = listed.name.to_str().and_then(|name| ProjectId::new(name).ok()) else { continue };
        if listed.kind != Kind::Dir {
            continue;
        }
        match root.dir(id.as_str()) {
            Ok(Some(project)) => {
                collector.report.projects += 1;
                logs::examine(&project, id.as_str(), collector)?;
                docs::examine(&project, id.as_str(), ".meta", collector)?;
            }
            Ok(None) => {}
            Err(error) => collector.note(Finding::remark(id.as_str(), format!("it is left alone: {}", error.why()))),
        }
    }
    docs::examine(root, "", ".shared", collector)?;
    if let Some(collections) = root.dir(".collections")? {
        for listed in collections.list()? {
            let listed = listed?;
            if let (Some(name), Kind::Dir) = (listed.name.to_str(), listed.kind) {
                docs::examine(root, "", &format!(".collections/{name}"), collector)?;
            }
        }
    }
    Ok(())
}

fn check_root_file(root: &Dir, collector: &mut Collector) -> Result<()> {
    let Some(folder) = root.dir(".folio")? else { return Ok(()) };
    match super::root::read(&folder).map(drop) {
        Err(error @ (Error::Damaged { .. } | Error::NewerFormat { .. })) => {
            collector.note(Finding::damage(".folio/root.json", error.to_string()));
            Ok(())
        }
        other => other,
    }
}

/// The store, for repairs of single things.
type Repairing = Arc<Store>;
