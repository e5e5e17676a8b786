//! kill -9 at random points under load: what was acknowledged is there, whole, once, and in order.

use std::path::Path;

use fastrand::Rng;
use folio_e2e::daemon::Plan;
use folio_e2e::load::{End, Load};
use folio_e2e::{Daemon, Result, number, seed};
use tokio::task::JoinSet;

const ROUNDS: usize = 48;
/// After so many the root begins anew: a check reads all of it.
const LIVES: usize = 48;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill_9() -> Result<()> {
    let seed = seed();
    println!("FOLIO_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let rounds = number("FOLIO_CRASH_POINTS").unwrap_or(ROUNDS);
    let (mut acknowledged, mut recovered) = (0, 0);
    for begun in (0..rounds).step_by(LIVES) {
        let of = lives(begun, LIVES.min(rounds - begun), seed, &mut random).await?;
        (acknowledged, recovered) = (acknowledged + of.0, recovered + of.1);
    }
    println!("SWEEP kind=kill of=daemon points={rounds} acknowledged={acknowledged} recovered={recovered}");
    assert!(acknowledged >= rounds, "the load did something");
    Ok(())
}

/// Writes that were acknowledged in so many lives, and found in the end.
async fn lives(begun: usize, rounds: usize, seed: u64, random: &mut Rng) -> Result<(usize, usize)> {
    let root = tempfile::tempdir()?;
    let load = Load::default();
    for round in 0..rounds {
        // A crash of Folio alone takes nothing in any mode.
        let mode = ["sync", "sync", "interval", "os"][round % 4];
        let daemon = Plan::new(root.path()).option("--durability", mode).start().await?;
        let api = daemon.api();
        if round == 0 {
            load.prepare(&api).await?;
        }
        load.check(&api).await.map_err(|e| format!("round {} ({mode}), FOLIO_SEED={seed}: {e}", begun + round))?;
        // Other writes are under way when it is killed.
        let writers = load.run(&api, End::Kill, random).await?;
        daemon.kill().await?;
        writers.join_all().await.into_iter().collect::<Result<()>>()?;
    }
    let daemon = Daemon::start(root.path()).await?;
    let found = load.check(&daemon.api()).await.map_err(|e| format!("at the end, FOLIO_SEED={seed}: {e}"))?;
    assert!(daemon.stop().await?.success());
    Ok((load.acknowledged(), found))
}

/// Guarantee 12: of many daemons on one root one runs, and the others say which.
#[tokio::test(flavor = "multi_thread")]
async fn one_daemon_per_root() -> Result<()> {
    let root = tempfile::tempdir()?;
    let mut starts = JoinSet::new();
    for _ in 0..5 {
        let plan = Plan { silent: true, ..Plan::new(root.path()) };
        starts.spawn(async move { plan.start().await });
    }
    let (mut running, mut refused) = (Vec::new(), 0);
    while let Some(start) = starts.join_next().await {
        match start? {
            Ok(daemon) => running.push(daemon),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((running.len(), refused), (1, 4));
    let daemon = running.pop().ok_or("none runs")?;
    // Once the first one stands, a later one is told who holds the root.
    let refusal = refusal(root.path()).await?;
    assert!(refusal.contains(&daemon.address().to_string()), "{refusal}");
    assert!(refusal.contains(&daemon.pid()?.to_string()), "{refusal}");
    // A holder that was killed leaves no lock behind.
    daemon.kill().await?;
    assert!(Daemon::start(root.path()).await?.stop().await?.success());
    Ok(())
}

async fn refusal(root: &Path) -> Result<String> {
    let mut command = Plan::new(root).command().await?;
    let output = command.stderr(std::process::Stdio::piped()).output().await?;
    assert!(!output.status.success());
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}
