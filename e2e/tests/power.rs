//! Power cuts, on a file system that is cut off from its medium under load: in the mode `sync` every acknowledged write
//! is there afterwards; in the weaker ones what is there is whole, and readers are told of what is gone.
//! `FOLIO_POWER_POINTS=n` cuts n times on each file system, `FOLIO_SEED=…` repeats a run as far as time lets it.

#![expect(clippy::print_stdout, reason = "the seed, and what a sweep saw")]

use fastrand::Rng;
use folio_e2e::daemon::Plan;
use folio_e2e::disk::Disk;
use folio_e2e::load::{End, Load};
use folio_e2e::{Api, Result, number, seed};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::json;

const POINTS: usize = 12;
/// After so many a new disk takes over: a check reads all of it.
const LIVES: usize = 25;

fn main() {
    let arguments = one_at_a_time();
    let mut trials = Vec::new();
    for kind in ["ext4", "xfs"] {
        let name = |test: &str| format!("{kind}::{test}");
        trials.push(Trial::ignorable_test(name("acknowledged_writes_survive"), move || synced(kind)));
        trials.push(Trial::ignorable_test(name("what_os_mode_lost_is_told"), move || run(kind, lost)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn run<F: Future<Output = Result<()>>>(kind: &'static str, test: fn(Disk) -> F) -> Result<Completion, Failed> {
    match Disk::new(kind) {
        Err(why) => Ok(Completion::ignored_with(why)),
        Ok(disk) => {
            tokio::runtime::Runtime::new()?.block_on(test(disk))?;
            Ok(Completion::Completed)
        }
    }
}

fn synced(kind: &'static str) -> Result<Completion, Failed> {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let points = number("FOLIO_POWER_POINTS").unwrap_or(POINTS);
    println!("FOLIO_SEED={seed} FOLIO_POWER_POINTS={points}");
    let (mut acknowledged, mut recovered) = (0, 0);
    for begun in (0..points).step_by(LIVES) {
        let disk = match Disk::new(kind) {
            Err(why) if begun == 0 => return Ok(Completion::ignored_with(why)),
            disk => disk?,
        };
        let lives = cuts(&disk, LIVES.min(points - begun), &mut random);
        let lives = tokio::runtime::Runtime::new()?.block_on(lives);
        let of = lives.map_err(|e| format!("{kind}, after {begun} cuts, FOLIO_SEED={seed}: {e}"))?;
        (acknowledged, recovered) = (acknowledged + of.0, recovered + of.1);
    }
    println!("SWEEP kind=power of={kind} points={points} acknowledged={acknowledged} recovered={recovered}");
    Ok(Completion::Completed)
}

/// Writes that were acknowledged before so many cuts, and found in the end.
async fn cuts(disk: &Disk, rounds: usize, random: &mut Rng) -> Result<(usize, usize)> {
    let plan = Plan { silent: true, ..Plan::new(&disk.root().join("studio")) };
    let load = Load::default();
    for round in 0..=rounds {
        let daemon = plan.start().await.map_err(|e| format!("round {round}: {e}"))?;
        let api = daemon.api();
        if round == 0 {
            load.prepare(&api).await?;
        }
        let found = load.check(&api).await.map_err(|e| format!("round {round}: {e}"))?;
        if round == rounds {
            return Ok((load.acknowledged(), found));
        }
        // Other writes are under way at the moment of the cut.
        let writers = load.run(&api, End::PowerCut, random).await?;
        load.over();
        disk.cut_power()?;
        writers.join_all().await.into_iter().collect::<Result<()>>()?;
        daemon.kill().await?;
        disk.restore_power()?;
    }
    Err("no round was the last".into())
}

/// The load can't be checked against what was acknowledged here; a reader's view can.
async fn lost(disk: Disk) -> Result<()> {
    const LOG: &str = "/v1/projects/weak/history";
    let plan = Plan { silent: true, ..Plan::new(&disk.root().join("studio")) };
    let daemon = plan.start().await?;
    daemon.api().send("PUT", "/v1/projects/weak", &[], "").await?.ok()?;
    daemon.api().append(LOG, "\"durable\"", &[]).await?;
    assert!(daemon.stop().await?.success());

    let daemon = plan.clone().option("--durability", "os").start().await?;
    let mut seen = String::new();
    for n in 0..100 {
        let answer = daemon.api().append(LOG, json!([n, n]).to_string(), &[]).await?;
        seen = answer["cursor"].as_str().ok_or("no cursor")?.to_owned();
    }
    disk.cut_power()?;
    daemon.kill().await?;
    disk.restore_power()?;

    let daemon = plan.start().await?;
    let api = daemon.api();
    let page = api.get_json(&format!("{LOG}?since=0")).await?;
    let entries = page["entries"].as_array().ok_or("no entries")?;
    assert_eq!(entries.first().map(|entry| &entry["data"]), Some(&json!("durable")), "from before the weak mode");
    assert_eq!(entries.len() % 2, 1, "units of two are whole");
    assert!(entries.len() < 201, "the cut took something; else this test tests nothing");
    // Whoever saw more than is left is told so, before and after the log goes on.
    let head = entries.len() as u64;
    told(&api, LOG, &seen, head).await?;
    api.append(LOG, json!(vec!["new"; 400]).to_string(), &[]).await?;
    told(&api, LOG, &seen, head).await?;
    Ok(())
}

async fn told(api: &Api, log: &str, seen: &str, head: u64) -> Result<()> {
    let page = api.get_json(&format!("{log}?since={seen}")).await?;
    assert_eq!(page["gap"], json!({"reason": "epoch", "requested": seen, "resumes_after": head}));
    Ok(())
}

/// A child process that another test starts would hold this one's disk open until it runs its own program.
fn one_at_a_time() -> Arguments {
    Arguments { test_threads: Some(1), ..Arguments::from_args() }
}
