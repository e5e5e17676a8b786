//! `folio doctor`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use folio::fs::FsOptions;
use folio::fs::doctor::{self, Finding, Report, Severity};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::place::{Global, Place};
use crate::progress::Progress;
use crate::style::{BAD, DIM, GOOD, WARN};
use crate::text::{plural, size, visible};

/// Which folder, and whether to change anything.
#[derive(Args, Debug)]
#[command(after_help = "\
Every line and every sum of every log is checked, and every document. Nothing is changed without --repair, and a folder
in use can be checked too. What --repair takes out is kept in .folio/quarantine, whose index.jsonl says where it was.

Exit code 5: something is damaged (and was not repaired).

Examples:
  folio doctor
  folio doctor ./folio-data --repair
  folio doctor --json | jq .findings")]
pub(crate) struct DoctorArgs {
    /// The folder of projects [default: as --root]
    root: Option<PathBuf>,

    /// Repair what can be, and keep what is taken out
    #[arg(long)]
    repair: bool,
}

/// Checks, and repairs where asked for.
pub(crate) async fn run(args: &DoctorArgs, flags: &Global, env: impl Fn(&str) -> Option<String>, out: &mut Output) -> Result {
    let root = Place::root(args.root.clone(), flags, env)?;
    crate::connect::must_exist(&root)?;
    let progress = Arc::new(Mutex::new(Progress::new(out, "checking", None)));
    let told = Arc::clone(&progress);
    let on_progress = move |now: &doctor::Progress| told.lock().unwrap_or_else(PoisonError::into_inner).at(now.bytes);
    let report = if args.repair {
        let options = FsOptions { holder: "folio doctor --repair".into(), ..FsOptions::default() };
        doctor::repair(&root, options, on_progress).await?
    } else {
        doctor::check(&root, on_progress).await?
    };
    drop(progress);
    show(&report, args.repair, out)?;
    if report.is_damaged() { Err(Failure::new(Exit::Damaged, "damaged", "")) } else { Ok(()) }
}

fn show(report: &Report, repaired: bool, out: &mut Output) -> Result {
    if out.is_json() {
        return out.line(json!(report));
    }
    if let Some(holder) = &report.in_use {
        out.note(format_args!("in use by {holder}: what is being written may look unfinished"))?;
    }
    for finding in &report.findings {
        one(finding, out)?;
    }
    let looked = format!(
        "{}, {}, {}, {} in {}",
        plural(report.projects, "project", "projects"),
        plural(report.logs, "log", "logs"),
        plural(report.entries, "entry", "entries"),
        plural(report.documents, "document", "documents"),
        size(report.bytes),
    );
    let damaged = report.findings.iter().filter(|finding| finding.severity == Severity::Damage).count() as u64;
    let left = report.findings.iter().any(|finding| finding.repair.is_some() && !finding.repaired);
    if damaged == 0 {
        out.line(format_args!("{GOOD}healthy{GOOD:#}: {looked}"))?;
    } else {
        let places = plural(damaged, "place", "places");
        out.line(format_args!("{BAD}damage in {places}{BAD:#}: {looked}"))?;
    }
    if report.lost > 0 {
        out.line(format_args!("{} lost", plural(report.lost, "entry is", "entries are")))?;
    }
    if left && !repaired {
        out.hint("What can be repaired: folio doctor --repair (it keeps what it takes out)")?;
    }
    Ok(())
}

fn one(finding: &Finding, out: &mut Output) -> Result {
    let mark = if finding.repaired {
        format!("{GOOD}repaired{GOOD:#}")
    } else if finding.severity == Severity::Damage {
        format!("{BAD}damage{BAD:#}")
    } else {
        format!("{WARN}remark{WARN:#}")
    };
    out.line(format_args!("{mark}  {}: {}", visible(&finding.path), visible(&finding.what)))?;
    match &finding.repair {
        Some(repair) if finding.repaired => out.line(format_args!("{DIM}        done: {repair}{DIM:#}")),
        Some(repair) => out.line(format_args!("{DIM}        --repair: {repair}{DIM:#}")),
        None => Ok(()),
    }
}
