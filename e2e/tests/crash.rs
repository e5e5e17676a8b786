//! kill -9 at random points under load: what was acknowledged is there, whole, once, and in order.

use std::path::Path;

use fastrand::Rng;
use folio_e2e::daemon::Plan;
use folio_e2e::load::{End, Load};
use folio_e2e::{Daemon, Result, seed};
use tokio::task::JoinSet;

const ROUNDS: usize = 48;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill_9() -> Result<()> {
    let seed = seed();
    println!("FOLIO_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let root = tempfile::tempdir()?;
    let load = Load::default();
    for round in 0..ROUNDS {
        // A crash of Folio alone takes nothing in any mode.
        let mode = ["sync", "sync", "interval", "os"][round % 4];
        let daemon = Plan::new(root.path()).option("--durability", mode).start().await?;
        let api = daemon.api();
        if round == 0 {
            load.prepare(&api).await?;
        }
        load.check(&api).await.map_err(|e| format!("round {round} ({mode}), FOLIO_SEED={seed}: {e}"))?;
        // Other writes are under way when it is killed.
        let writers = load.run(&api, End::Kill, &mut random).await?;
        daemon.kill().await?;
        writers.join_all().await.into_iter().collect::<Result<()>>()?;
    }
    let daemon = Daemon::start(root.path()).await?;
    load.check(&daemon.api()).await.map_err(|e| format!("at the end, FOLIO_SEED={seed}: {e}"))?;
    assert!(daemon.stop().await?.success());
    let (acknowledged, sent) = load.counts();
    println!("{acknowledged} of {sent} units were acknowledged in {ROUNDS} lives");
    assert!(acknowledged >= ROUNDS, "the load did something");
    Ok(())
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
