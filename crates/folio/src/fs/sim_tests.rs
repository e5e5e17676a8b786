//! Whole stores on a simulated disk, under random work, with power cuts, kills, failing syncs and a full disk.
//!
//! `FOLIO_SIM_SEEDS=n` runs n seeds, `FOLIO_SEED=x` begins at a certain one, `FOLIO_SIM_SHOW=1` shows what happens.

mod follow;
mod history;
mod work;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{join_all, join3};
use rustix::io::Errno;

use self::history::{Answer, Event};
use super::pace::Inline;
use super::store::off_runtime;
use super::vfs::sim::{Fault, Sim};
use super::{FsDriver, FsOptions};
use crate::blob::WriteCondition;
use crate::clock::ManualClock;
use crate::driver::Driver;
use crate::json::Json;
use crate::name::DocKey;

const SEEDS: u64 = 1_000;
const THREAD_SEEDS: u64 = 150;
const CRASHES: usize = 4;
/// Logs that are followed.
const FOLLOWED: [(&str, &str); 3] = [("a", "history"), ("a", "runs/1"), ("a", "forks/1")];

#[derive(Default)]
struct Counts {
    crashes: u64,
    acknowledged: u64,
    unknown: u64,
    failed: u64,
    looks: u64,
    /// Files that were used again.
    spares: u64,
    /// Those of them at once, for the same document.
    at_once: u64,
}

impl Counts {
    fn count(&mut self, answer: &Answer) {
        match answer {
            Answer::Given(_) => self.acknowledged += 1,
            Answer::Unknown => self.unknown += 1,
            Answer::Failed => self.failed += 1,
        }
    }
}

/// One store through several crashes.
struct Run<'a> {
    rng: fastrand::Rng,
    sim: Sim,
    clock: Arc<ManualClock>,
    now: u64,
    drawing: work::Drawing,
    history: Vec<Event>,
    followers: Vec<follow::Follower>,
    counts: &'a mut Counts,
}

impl Run<'_> {
    fn options(&self) -> FsOptions {
        FsOptions { segment_bytes: 900, clock: self.clock.clone(), ..FsOptions::default() }
    }

    fn crash(&mut self) {
        self.counts.crashes += 1;
        self.sim = if self.sim.is_dead() || self.rng.bool() { self.sim.cut(&mut self.rng) } else { self.sim.kill() };
        self.sim.set_room(None);
        if std::env::var_os("FOLIO_SIM_SHOW").is_some() {
            println!("      crash");
            self.sim.show_operations();
        }
    }

    fn plan(&mut self, within: u64) {
        let fault = match self.rng.u8(0..10) {
            0..=4 => Fault::Cut,
            5..=6 => Fault::Fail(Errno::IO),
            7 => Fault::Fail(Errno::NOSPC),
            8 => Fault::Full,
            _ => Fault::Short,
        };
        self.sim.plan(self.rng.u64(1..=within), fault);
        if self.rng.bool() {
            self.sim.plan(self.rng.u64(1..=within), Fault::Fail(Errno::INTR));
        }
    }

    /// Opens the store and reads all of it; crashes again where a fault comes between.
    async fn open(&mut self) -> Result<FsDriver, String> {
        for attempt in 0.. {
            let faults = attempt < 3 && self.rng.u8(0..3) == 0;
            if faults {
                self.plan(25);
            }
            let opened = match FsDriver::open_in(self.sim.root(), self.options()).await {
                Ok(driver) => work::look(&driver).await.map(|view| (driver, view)),
                Err(error) => Err(error),
            };
            match opened {
                Ok((driver, view)) if !self.sim.is_dead() => {
                    self.sim.plan_nothing();
                    self.sim.set_room(None);
                    self.counts.looks += 1;
                    for follower in &mut self.followers {
                        follower.pull(&driver).await?;
                        follower.compare(&view)?;
                    }
                    self.history.push(Event::Saw(view));
                    return Ok(driver);
                }
                Err(error) if !faults => return Err(format!("the store can't be opened and read: {error}")),
                _ => self.crash(),
            }
        }
        unreachable!()
    }

    /// Calls to make at the same time, mostly one.
    fn draw(&mut self) -> Vec<(String, world::Call)> {
        let together = [1, 1, 1, 2, 2, 3][self.rng.usize(0..6)];
        let mut calls: Vec<_> = (0..together).map(|_| self.drawing.next(&mut self.rng)).collect();
        // A fork promises whole files, and not that all are of one moment: the model knows no such fork.
        if let Some(at) = calls.iter().position(|(_, call)| matches!(call, world::Call::ForkProject(_))) {
            calls = vec![calls.swap_remove(at)];
        }
        if calls.len() > 1 {
            calls = calls.into_iter().map(|(project, call)| (project, call.without_current())).collect();
        }
        calls
    }

    async fn work(&mut self, driver: &FsDriver) -> Result<(), String> {
        let calls = self.rng.usize(3..25);
        let documents = self.rng.u8(0..3) == 0;
        self.drawing.mostly_documents(documents);
        if self.rng.u8(0..8) > 0 {
            self.plan(if documents { 60 } else { 120 });
        }
        // So that files are used again, too.
        let checkpoints = self.rng.bool();
        let mut settled = true;
        for _ in 0..calls {
            if checkpoints && self.rng.u8(0..3) == 0 {
                // Where it fails, the calls say so.
                let _ = driver.store().checkpoint();
            }
            self.now += self.rng.u64(0..5);
            self.clock.set(self.now);
            let calls = self.draw();
            for (project, call) in &calls {
                self.followers.iter_mut().for_each(|follower| follower.begins(project, call));
            }
            let reads = self.rng.u8(0..3) == 0;
            let sim = &self.sim;
            let making = join_all(calls.iter().map(|(project, call)| work::make(driver, project, call, || sim.is_dead())));
            let reading = join_all(self.followers.iter_mut().filter(|_| reads).map(|follower| follower.pull(driver)));
            // Where the journal has its threads, one may begin at any moment of the calls.
            let meanwhile = checkpoints && self.rng.u8(0..3) == 0;
            let store = Arc::clone(driver.store());
            let checkpoint = async move {
                if meanwhile {
                    let _ = off_runtime(move || store.checkpoint()).await;
                }
            };
            let (answers, read, ()) = join3(making, reading, checkpoint).await;
            read.into_iter().collect::<Result<(), String>>()?;
            let calls: Vec<_> = calls.into_iter().zip(answers).map(|((project, call), answer)| (project, call, answer)).collect();
            let (mut unknown, mut failed) = (false, false);
            for (project, call, answer) in &calls {
                self.counts.count(answer);
                unknown |= *answer == Answer::Unknown;
                failed |= *answer == Answer::Failed;
                // What a refused append to a new log took back may come again with a power cut: an empty log.
                settled &= *answer != Answer::Failed || call.appends().is_empty();
                if std::env::var_os("FOLIO_SIM_SHOW").is_some() {
                    println!("      {:.120} => {answer:?}", format!("{project} {call:?}"));
                }
            }
            self.history.push(Event::Calls(calls));
            if unknown || self.sim.is_dead() {
                return Ok(());
            }
            if failed
                && settled
                && let Ok(view) = work::look(driver).await
            {
                self.history.push(Event::Saw(view));
            }
        }
        if self.rng.u8(0..4) == 0 {
            // It may fail: the crash comes anyway.
            let _ = driver.close().await;
        }
        Ok(())
    }
}

async fn run(seed: u64, counts: &mut Counts) -> (u64, Result<(), String>) {
    let now = 1_760_000_000_000;
    let mut run = Run {
        rng: fastrand::Rng::with_seed(seed),
        sim: Sim::new(seed),
        clock: Arc::new(ManualClock::new(now)),
        now,
        drawing: work::Drawing::default(),
        history: Vec::new(),
        followers: FOLLOWED.map(|(project, log)| follow::Follower::new(project, log)).into(),
        counts,
    };
    let whole = async {
        for _ in 0..CRASHES {
            let driver = run.open().await?;
            let worked = run.work(&driver).await;
            run.counts.spares += driver.store().spares_used();
            run.counts.at_once += driver.store().used_at_once();
            worked?;
            run.crash();
            drop(driver);
        }
        run.open().await.map(drop)
    };
    let outcome = match AssertUnwindSafe(whole).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
        }
    };
    (run.sim.fingerprint(), outcome.and(history::check(&run.history)))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    let _inline = Inline::begin();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// As in a daemon: the journal has its threads, and what commits at the same moment shares a sync.
fn on_threads<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

#[test]
fn simulated_crashes() {
    let seeds = number("FOLIO_SIM_SEEDS").unwrap_or(if number("FOLIO_SEED").is_some() { 1 } else { SEEDS });
    sweep("simulated_crashes", seeds, |seed, counts| on_one_thread(run(seed, counts)).1);
}

/// A seed gives the same calls and faults each time, but not at the same moments.
#[test]
fn crashes_simulated_on_threads() {
    let seeds = number("FOLIO_SIM_THREAD_SEEDS").unwrap_or(THREAD_SEEDS);
    sweep("crashes_simulated_on_threads", seeds, |seed, counts| on_threads(run(seed, counts)).1);
}

fn sweep(name: &str, seeds: u64, run: impl Fn(u64, &mut Counts) -> Result<(), String>) {
    let base = number("FOLIO_SEED").unwrap_or(0);
    let (mut counts, mut wrong) = (Counts::default(), 0);
    for seed in base..base + seeds {
        if let Err(what) = run(seed, &mut counts) {
            wrong += 1;
            println!("FOLIO_SEED={seed} cargo test -p folio --lib {name}: {what}");
        }
    }
    let Counts { crashes, acknowledged, unknown, failed, looks, spares, at_once } = counts;
    println!(
        "{seeds} seeds from {base}: {crashes} crashes, {acknowledged} acknowledged, {unknown} unknown, {failed} failed, \
         {looks} recovered and read whole, {spares} files used again, {at_once} at once, {wrong} wrong"
    );
    // What a run that went wrong acknowledged counts as lost.
    let recovered = if wrong == 0 { acknowledged } else { 0 };
    println!("SWEEP kind=simulated of={name} points={crashes} acknowledged={acknowledged} recovered={recovered}");
    assert_eq!(wrong, 0);
    assert!(acknowledged > 0 && crashes >= seeds);
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let base = number("FOLIO_SEED").unwrap_or(0);
    for seed in base..base + number("FOLIO_SIM_SEEDS").unwrap_or(50) {
        let once = || on_one_thread(run(seed, &mut Counts::default())).0;
        assert_eq!(once(), once(), "seed {seed}");
    }
}

/// A shorter content in a file that is used again: cutting it off behind that is lost in a sync that fails, and memory does
/// not show it.
#[test]
fn a_length_that_a_failed_sync_lost_is_written_again() {
    let write = async |driver: &FsDriver, text: &str| {
        let (key, value) = (DocKey::new("d").unwrap(), Json::parse(text.as_bytes()).unwrap());
        driver.shared().put(&key, value, WriteCondition::None).await.map(drop)
    };
    let (long, options) = (format!("\"{}\"", "long".repeat(100)), FsOptions::default);
    let run = async |seed: u64, at: u64| {
        let (sim, mut rng) = (Sim::new(seed), fastrand::Rng::with_seed(seed));
        let driver = FsDriver::open_in(sim.root(), options()).await.unwrap();
        for _ in 0..3 {
            write(&driver, &long).await.unwrap();
            driver.store().checkpoint().unwrap();
        }
        sim.plan(at, Fault::Fail(Errno::IO));
        let mut may_be = vec![long.as_str()];
        for text in ["1", "2", "3"] {
            match write(&driver, text).await {
                Ok(()) => may_be = vec![text],
                Err(_) => may_be.push(text),
            }
        }
        let _ = driver.store().checkpoint();
        let killed = sim.kill();
        drop(driver);
        drop(FsDriver::open_in(killed.root(), options()).await.unwrap());
        let driver = FsDriver::open_in(killed.cut(&mut rng).root(), options()).await.unwrap();
        let found = driver.shared().get(&DocKey::new("d").unwrap()).await.unwrap().unwrap();
        assert!(may_be.contains(&found.value.as_str()), "seed {seed}, operation {at}: {found:?}");
    };
    for seed in 0..6 {
        (1..30).for_each(|at| on_one_thread(run(seed, at)));
    }
}
