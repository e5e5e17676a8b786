//! Measures what `docs/performance.md` reports, side by side in one run: every figure in several rounds that take turns
//! with the machine's own rate, every result checked for being right, medians with ranges.
//!
//! `cargo run --release -p folio-bench` prints Markdown; `-- --help` tells the rest.

mod append;
mod docs;
mod machine;
mod memory;
mod open;
mod peers;
mod raw;
mod replay;
mod report;
mod samples;
mod workload;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::append::{Logs, Tasks};
use crate::docs::Writers;
use crate::raw::Raw;
use crate::report::Report;
use crate::samples::Samples;

/// Failures, in words; a result that is wrong is one.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// Measures Folio on this machine, next to the machine's own rates.
#[derive(Parser, Debug)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Rounds; each figure is measured once in each.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds that each rate is measured for in a round.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Where the measured stores lie: on the file system that is to be measured.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target"))]
    dir: PathBuf,
    /// Write the figures as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only what has this in its name: append, open, replay, memory.
    #[arg(long)]
    only: Option<String>,
    /// End with status 1 where a target is missed.
    #[arg(long)]
    check: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Measures Folio next to other servers; bench/peers installs them first.
    Peers(peers::Peers),
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| name.contains(only))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let good = match &arguments.command {
        Some(Command::Peers(peers)) => peers::run(peers),
        None => run(&arguments).map(|report| !arguments.check || !report.missed()),
    };
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            let _ = writeln!(io::stderr(), "folio-bench: {e}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report> {
    fs::create_dir_all(&arguments.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut report = Report::new(machine::describe(&arguments.dir), arguments.rounds);
    if arguments.wants("append") {
        measure_appends(arguments, &runtime, &mut report)?;
    }
    if arguments.wants("open") {
        measure_opening(arguments, &runtime, &mut report)?;
    }
    if arguments.wants("replay") {
        let mut rates = Samples::default();
        for _ in 0..arguments.rounds {
            rates.add(runtime.block_on(async { replay::Crashed::new(&arguments.dir).await?.open().await })?);
        }
        report.add("open a root whose journal has to be replayed", "MB/s", &rates).at_least(200.0);
    }
    if arguments.wants("memory") {
        let mut resident = Samples::default();
        for _ in 0..arguments.rounds.min(3) {
            resident.add(runtime.block_on(memory::measure(&arguments.dir))?);
        }
        let name = "memory of the daemon: 10,000 projects listed, one used";
        report.add(name, "MiB", &resident).at_most(40.0);
    }
    io::stdout().write_all(report.markdown().as_bytes())?;
    if let Some(path) = &arguments.json {
        fs::write(path, report.json())?;
    }
    Ok(report)
}

/// Those who append and the machine itself take turns, in slices so short that a machine that slows down slows all.
const SLICE: Duration = Duration::from_millis(100);

fn measure_appends(arguments: &Arguments, runtime: &tokio::runtime::Runtime, report: &mut Report) -> Result<()> {
    let time = Duration::from_secs_f64(arguments.seconds);
    // Removed at the end only: on some file systems files are made slowly where others were removed just before.
    let roots = tempfile::tempdir_in(&arguments.dir)?;
    let mut raw = Samples::default();
    let mut rows: [(&str, f64, Samples, Samples); 4] = [
        ("library, `sync`, one task", 0.8, Samples::default(), Samples::default()),
        ("library, `sync`, 64 tasks on one log", 10.0, Samples::default(), Samples::default()),
        ("library, `sync`, 32 tasks on 32 logs", 6.0, Samples::default(), Samples::default()),
        ("library, `sync`, 32 tasks put 32 documents, If-Match", 4.0, Samples::default(), Samples::default()),
    ];
    let mut batches = Samples::default();
    for _ in 0..arguments.rounds {
        let (of_raw, rates) = runtime.block_on(take_turns(roots.path(), time))?;
        raw.add(of_raw);
        for ((_, _, absolute, ratio), rate) in rows.iter_mut().zip(rates) {
            absolute.add(rate);
            ratio.add(rate / of_raw);
        }
        batches.add(runtime.block_on(append::batches(&arguments.dir, time))?);
    }
    report.add("raw: append 256 bytes, fdatasync", "appends/s", &raw);
    for (name, target, absolute, ratio) in &rows {
        report.add(name, "a second", absolute);
        report.add("… to raw, of the same round", "×", ratio).at_least(*target);
    }
    report.add("library, `os`, batches of 100", "entries/s", &batches).at_least(500_000.0);
    Ok(())
}

/// Rates per second of one round: the machine's own, then those of the rows.
async fn take_turns(dir: &Path, time: Duration) -> Result<(f64, [f64; 4])> {
    let mut raw = Raw::new(dir)?;
    let (mut one, mut many) = (Tasks::new(dir, 1, Logs::One).await?, Tasks::new(dir, 64, Logs::One).await?);
    let (mut own, mut docs) = (Tasks::new(dir, 32, Logs::Own).await?, Writers::new(dir, 32).await?);
    let begin = Instant::now();
    while begin.elapsed() < time * 5 {
        raw.run(SLICE)?;
        one.run(SLICE).await?;
        many.run(SLICE).await?;
        own.run(SLICE).await?;
        docs.run(SLICE).await?;
    }
    Ok((raw.finish(), [one.finish().await?, many.finish().await?, own.finish().await?, docs.finish().await?]))
}

fn measure_opening(arguments: &Arguments, runtime: &tokio::runtime::Runtime, report: &mut Report) -> Result<()> {
    let (small, large) = (100_000, 1_000_000);
    let short = runtime.block_on(open::Prepared::new(&arguments.dir, small))?;
    let long = runtime.block_on(open::Prepared::new(&arguments.dir, large))?;
    let (mut of_short, mut of_long) = (Samples::default(), Samples::default());
    for _ in 0..arguments.rounds {
        of_short.add(runtime.block_on(short.open_and_append())?);
        of_long.add(runtime.block_on(long.open_and_append())?);
    }
    report.add("open a root and append to a log of 100,000 entries", "ms", &of_short);
    report.add("open a root and append to a log of 1,000,000 entries", "ms", &of_long).at_most(10.0);
    Ok(())
}
