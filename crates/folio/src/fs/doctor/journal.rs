//! Checks the journal, and tells what the next open would do with it.

use super::report::{Collector, Finding, Remedy};
use crate::error::Result;
use crate::fs::journal::Pending;
use crate::fs::txn::replay;
use crate::fs::vfs::Dir;

const PLACE: &str = ".folio/journal";

pub(super) fn examine(root: &Dir, collector: &mut Collector) -> Result<()> {
    let Some(own) = root.dir(crate::fs::store::FOLDER)? else { return Ok(()) };
    let Some(folder) = own.dir("journal")? else { return Ok(()) };
    // Damage of this file is told by itself.
    let Ok(Some(content)) = crate::fs::root::read(&own) else { return Ok(()) };
    let pending = Pending::read(&folder, content.root_id())?;
    collector.read(PLACE, pending.bytes());
    if let Some(damage) = pending.damage() {
        let finding = Finding::damage(&damage.path, damage.why.clone());
        let repair = "make again what its good records tell of, and move the journal to quarantine";
        collector.note(finding.with(Remedy::Reopen, repair));
    }
    if collector.report.in_use.is_some() {
        // What is being written is no news.
        return Ok(());
    }
    let tmp = own.dir("tmp")?;
    for note in replay::explain(root, tmp.as_ref(), &pending)? {
        collector.note(Finding::remark(&note.path, format!("at the next open, from the journal: {}", note.what)));
    }
    Ok(())
}
