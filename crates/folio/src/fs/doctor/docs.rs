//! Checks documents.

use super::report::{Collector, Finding, Remedy};
use crate::error::{Error, Result};
use crate::fs::scope::doc_key;
use crate::fs::vfs::{Access, Dir, Kind};
use crate::json::Json;

/// Looks at every document in `folder` of `base`, which people know as `shown`.
pub(super) fn examine(base: &Dir, shown: &str, folder: &str, collector: &mut Collector) -> Result<()> {
    let place = if shown.is_empty() { folder.to_owned() } else { format!("{shown}/{folder}") };
    let docs = match base.dir(folder) {
        Ok(Some(docs)) => docs,
        Ok(None) => return Ok(()),
        Err(error) if error.foreign() || error.missing() => {
            collector.note(Finding::damage(&place, format!("it cannot be used: {}", error.why())));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    for listed in docs.list()? {
        let listed = listed?;
        let path = format!("{place}/{}", listed.name.to_string_lossy());
        match doc_key(&listed.name) {
            Some(_) if listed.kind == Kind::File => document(&docs, &listed.name, &path, collector)?,
            Some(_) => {
                collector.note(Finding::remark(&path, "it has the name of a document and is no file, so it is left alone"))
            }
            None if listed.kind == Kind::File && !path.ends_with(".jsonl") => {
                collector.note(Finding::remark(&path, "its name is no document's (<key>.json), so it is left alone"));
            }
            None => {}
        }
    }
    Ok(())
}

fn document(docs: &Dir, name: &std::ffi::OsStr, path: &str, collector: &mut Collector) -> Result<()> {
    let Some(file) = docs.open(name, Access::Read)? else { return Ok(()) };
    let size = file.len()?;
    collector.report.documents += 1;
    let bytes = file.read_some(0, usize::try_from(size).unwrap_or(usize::MAX))?;
    collector.read(path, size);
    if let Err(error) = Json::parse_stored(&bytes) {
        let why = match error {
            Error::InvalidJson { line, column, why } => format!("line {line}, column {column}: {why}"),
            other => other.to_string(),
        };
        let finding = Finding::damage(path, format!("it is not valid JSON: {why}"));
        collector.note(finding.with(Remedy::SetAside, "move it to quarantine, so that the key is free"));
    }
    Ok(())
}
