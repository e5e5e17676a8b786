//! `folio doctor`: checks a folder of projects, and repairs it.

use std::path::{Path, PathBuf};

use clap::Args;
use folio::fs::FsOptions;
use folio::fs::doctor::{self, Finding, Report, Severity};

use crate::connect::must_exist;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::place::{Global, Place};
use crate::progress::Progress;
use crate::style::{BAD, DIM, GOOD, WARN};
use crate::text::{plural, size, visible};

/// What to check.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  folio doctor                   # check ./folio-data: every line of every log, every document
  folio doctor ~/studio --repair

Checking writes nothing, and a daemon may run meanwhile. Repairing needs the folder for itself; what it takes out is kept in .folio/quarantine, with a line in index.jsonl there that says where it came from.

The exit code is 5 where damage was found that is not repaired now.")]
pub(crate) struct DoctorArgs {
    /// The folder of projects [env: FOLIO_ROOT] [default: ./folio-data]
    #[arg(value_name = "ROOT")]
    folder: Option<PathBuf>,
    /// Repair what can be
    #[arg(long)]
    repair: bool,
}

/// Checks, and repairs if asked to.
pub(crate) async fn run(args: &DoctorArgs, global: &Global, env: impl Fn(&str) -> Option<String>, out: &mut Output) -> Result {
    let root = Place::root(args.folder.clone(), global, env)?;
    must_exist(&root)?;
    let mut progress = Progress::new(out, "checking", None);
    let told = move |seen: &doctor::Progress| progress.at(seen.bytes);
    let report = if args.repair {
        let options = FsOptions { holder: "folio doctor".into(), ..FsOptions::default() };
        doctor::repair(&root, options, told).await?
    } else {
        doctor::check(&root, told).await?
    };
    if out.is_json() {
        out.line(serde_json::to_string(&report).map_err(|e| Failure::io("writing the report", &e.into()))?)?;
    } else {
        show(&report, &root, out)?;
    }
    if report.is_damaged() { Err(damaged(&root, &report, args.repair)) } else { Ok(()) }
}

fn show(report: &Report, root: &Path, out: &mut Output) -> Result {
    if let Some(holder) = &report.in_use {
        out.note(format_args!("The folder is in use by {}: what is being written may look unfinished.", visible(holder)))?;
    }
    for finding in &report.findings {
        show_finding(finding, out)?;
    }
    let places = |repaired: bool| {
        let counts = |finding: &&Finding| finding.severity == Severity::Damage && finding.repaired == repaired;
        report.findings.iter().filter(counts).count() as u64
    };
    let verdict = match (places(false), places(true)) {
        (0, 0) => format!("{GOOD}Healthy{GOOD:#}"),
        (0, done) => format!("{GOOD}Repaired in {}{GOOD:#}", plural(done, "place", "places")),
        (left, _) => format!("{BAD}Damage in {}{BAD:#}", plural(left, "place", "places")),
    };
    let Report { projects, logs, entries, documents, bytes, lost, .. } = report;
    out.line(format_args!(
        "{verdict}: {} with {}, {}, {}, {} ({})",
        visible(&root.to_string_lossy()),
        plural(*projects, "project", "projects"),
        plural(*logs, "log", "logs"),
        plural(*entries, "entry", "entries"),
        plural(*documents, "document", "documents"),
        size(*bytes)
    ))?;
    match lost {
        0 => Ok(()),
        lost => {
            out.line(format_args!("{BAD}{} lost{BAD:#}; readers are told of the gap", plural(*lost, "entry is", "entries are")))
        }
    }
}

fn show_finding(finding: &Finding, out: &mut Output) -> Result {
    let (style, word) = match (finding.severity, finding.repaired) {
        (_, true) => (GOOD, "repaired"),
        (Severity::Damage, false) => (BAD, "damage"),
        (Severity::Remark, false) => (WARN, "remark"),
    };
    out.line(format_args!("{style}{word:<8}{style:#} {}: {}", visible(&finding.path), visible(&finding.what)))?;
    match &finding.repair {
        Some(repair) if finding.repaired => out.line(format_args!("         {DIM}done: {repair}{DIM:#}")),
        Some(repair) => out.line(format_args!("         {DIM}--repair would: {repair}{DIM:#}")),
        None => Ok(()),
    }
}

fn damaged(root: &Path, report: &Report, repaired: bool) -> Failure {
    let open = |finding: &&Finding| finding.severity == Severity::Damage && !finding.repaired;
    let damaged: Vec<&Finding> = report.findings.iter().filter(open).collect();
    let count = plural(damaged.len() as u64, "thing is", "things are");
    let next = if !repaired && damaged.iter().any(|finding| finding.repair.is_some()) {
        format!("; `folio doctor --repair {}` repairs what can be", visible(&root.to_string_lossy()))
    } else {
        String::new()
    };
    Failure::new(Exit::Damaged, "damaged", format!("{count} damaged{next}"))
}
