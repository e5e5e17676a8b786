//! Folio and its peers, one after the other on the same machine, with the same load, every answer checked.

mod histogram;
mod report;
mod results;
mod servers;
mod svg;
mod targets;
mod wire;
mod works;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::peers::report::Report;
use crate::peers::results::Results;
use crate::peers::servers::{Kind, Programs};
use crate::peers::works::{Scene, Subject, Work};
use crate::{Result, machine};

/// Measures Folio next to other servers.
#[derive(Args, Debug)]
pub(crate) struct Peers {
    /// Works to measure: append (all of them), append-128, fanout (all of them), …; all where none is named.
    #[arg(value_name = "WORK")]
    works: Vec<String>,
    /// Short rounds, and only one: under two minutes in all.
    #[arg(long)]
    quick: bool,
    /// Rounds; in each of them every server does every work once [default: 5, with --quick 1].
    #[arg(long)]
    rounds: Option<usize>,
    /// End with status 1 where a target is missed.
    #[arg(long)]
    check: bool,
    /// Measure only these servers beside Folio, by their names.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Where the servers' data lie: on the file system that is to be measured.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench-data"))]
    dir: PathBuf,
    /// Where the peers are installed.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers"))]
    peers: PathBuf,
    /// Where the report goes: report.md, report.json and pictures.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench-report"))]
    report: PathBuf,
}

/// Measures and reports. False where a target is missed and was to be checked.
pub(crate) fn run(arguments: &Peers) -> Result<bool> {
    let works = chosen(&arguments.works)?;
    fs::create_dir_all(&arguments.dir)?;
    fs::create_dir_all(&arguments.report)?;
    let dir = arguments.dir.canonicalize()?;
    raise_open_files()?;
    let scene = Scene { programs: Programs::find(&arguments.peers)?, place: dir.clone(), quick: arguments.quick };
    let kinds = [Kind::Folio, Kind::DurableStreams, Kind::Redis, Kind::Nats, Kind::Nginx];
    let mut missing: Vec<(Kind, String)> = Vec::new();
    for kind in kinds {
        let wanted = kind == Kind::Folio
            || arguments.only.is_empty()
            || arguments.only.iter().any(|name| name.eq_ignore_ascii_case(kind.name()));
        let program = if wanted { scene.programs.program(kind).map(|_| ()) } else { Err("not asked for".into()) };
        if let Err(why) = program {
            missing.push((kind, why));
        }
    }
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 5 });
    let mut results = Results::default();
    for round in 0..rounds {
        for work in &works {
            let there = |subject: &Subject| !missing.iter().any(|(kind, _)| *subject == Subject::Server(*kind));
            let mut subjects: Vec<Subject> = work.subjects.iter().copied().filter(there).collect();
            // nobody always comes first, or always after the same one's dirty pages
            let count = subjects.len().max(1);
            subjects.rotate_left(round % count);
            for subject in subjects {
                let _ = writeln!(io::stderr(), "round {} of {rounds}: {}, {}", round + 1, work.id, subject.name());
                match work.run(&scene, subject) {
                    Ok(figures) => results.add(work.id, subject, round, figures),
                    Err(error) => {
                        let _ = writeln!(io::stderr(), "failed: {error}");
                        results.fail(error.to_string());
                    }
                }
            }
        }
    }
    let machine = machine::describe(&dir);
    let report = Report { machine, rounds, quick: arguments.quick, works: &works, results: &results, missing: &missing };
    fs::write(arguments.report.join("report.md"), report.markdown())?;
    fs::write(arguments.report.join("report.json"), report.json())?;
    for (name, picture) in report.pictures() {
        fs::write(arguments.report.join(name), picture)?;
    }
    io::stdout().write_all(report.markdown().as_bytes())?;
    writeln!(io::stdout(), "\nThe report is in {}", arguments.report.display())?;
    if let [first, ..] = results.failures() {
        return Err(format!("{} of the measurements failed, first of all {first}", results.failures().len()).into());
    }
    Ok(!arguments.check || report.verdicts().iter().all(|verdict| verdict.reached))
}

/// The works with these names, or whose names begin so.
fn chosen(names: &[String]) -> Result<Vec<Work>> {
    let mut works = works::all();
    for name in names {
        if !works.iter().any(|work| work.id.starts_with(name.as_str())) {
            let known: Vec<&str> = works.iter().map(|work| work.id).collect();
            return Err(format!("there is no work {name:?}; there are {}", known.join(", ")).into());
        }
    }
    // append-1 is a work of its own, and how others begin
    let exact: Vec<&String> = names.iter().filter(|name| works.iter().any(|work| work.id == **name)).collect();
    let wanted =
        |id: &str| names.iter().any(|name| if exact.contains(&name) { id == name } else { id.starts_with(name.as_str()) });
    let keep: Vec<bool> = works.iter().map(|work| names.is_empty() || wanted(work.id)).collect();
    let mut keep = keep.into_iter();
    works.retain(|_| keep.next() == Some(true));
    Ok(works)
}

/// Thousands of connections are open at a time, here and in the servers, which inherit the limit.
fn raise_open_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let enough = 12_000;
    match limit.maximum {
        Some(most) if most < enough => {
            Err(format!("only {most} files may be open here (ulimit -Hn), {enough} are needed").into())
        }
        _ => Ok(()),
    }
}
