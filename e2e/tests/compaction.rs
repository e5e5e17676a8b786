//! kill -9 while a log is being compacted: the log from before or the log from after, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use folio_e2e::{Api, Daemon, Fuse, Result, seed};
use serde_json::json;
use tokio::task::JoinSet;

const PROJECT: &str = "/v1/projects/compacted";
const LOG: &str = "/v1/projects/compacted/history";
const ROUNDS: usize = 40;

/// The newest that was acknowledged, and the newest horizon that was asked for.
#[derive(Default, Debug)]
struct Told {
    head: AtomicU64,
    horizon: AtomicU64,
    asked: AtomicU64,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_is_killed_happened_or_did_not() -> Result<()> {
    let seed = seed();
    println!("FOLIO_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let root = tempfile::tempdir()?;
    let told = Arc::new(Told::default());
    for round in 0..=ROUNDS {
        let daemon = Daemon::start(root.path()).await?;
        let api = daemon.api();
        if round == 0 {
            api.send("PUT", PROJECT, &[], "").await?.ok()?;
        }
        check(&api, &told).await.map_err(|e| format!("round {round}, FOLIO_SEED={seed}: {e}"))?;
        let fuse = Arc::new(Fuse::new(random.usize(1..60)));
        let mut running = JoinSet::new();
        for _ in 0..2 {
            running.spawn(append_until_down(api.clone(), Arc::clone(&told), Arc::clone(&fuse), random.fork()));
        }
        running.spawn(compact_until_down(api.clone(), Arc::clone(&told), Arc::clone(&fuse), random.fork()));
        tokio::select! {
            () = fuse.burnt() => {}
            Some(ended) = running.join_next() => return Err(format!("ended before the kill: {ended:?}").into()),
        }
        daemon.kill().await?;
        while let Some(ended) = running.join_next().await {
            ended??;
        }
    }
    println!("{told:?} after {ROUNDS} kills");
    assert!(told.horizon.load(Ordering::Relaxed) > 0);
    Ok(())
}

async fn append_until_down(api: Api, told: Arc<Told>, fuse: Arc<Fuse>, mut random: Rng) -> Result<()> {
    loop {
        // Long enough that some compactions rewrite a file and others seal one.
        let body = json!("x".repeat(random.usize(..60_000))).to_string();
        let Ok(reply) = api.send("POST", LOG, &[("content-type", "application/json")], body).await else { return Ok(()) };
        let last = reply.ok()?.json()?["last_seq"].as_u64().ok_or("no seq")?;
        told.head.fetch_max(last, Ordering::Relaxed);
        fuse.acknowledged();
    }
}

async fn compact_until_down(api: Api, told: Arc<Told>, fuse: Arc<Fuse>, mut random: Rng) -> Result<()> {
    loop {
        let up_to = told.head.load(Ordering::Relaxed).saturating_sub(random.u64(..30));
        told.asked.fetch_max(up_to, Ordering::Relaxed);
        let body = json!({"horizon": up_to}).to_string();
        let Ok(reply) = api.send("PATCH", LOG, &[("content-type", "application/json")], body).await else { return Ok(()) };
        let horizon = reply.ok()?.json()?["horizon"].as_u64().ok_or("no horizon")?;
        told.horizon.fetch_max(horizon, Ordering::Relaxed);
        fuse.acknowledged();
    }
}

async fn check(api: &Api, told: &Told) -> Result<()> {
    let status = api.get_json(&format!("{LOG}?view=status")).await?;
    let horizon = status["horizon"].as_u64().ok_or("no horizon")?;
    let head: u64 = status["head"].as_str().and_then(|head| head.split('-').nth(1)).ok_or("no head")?.parse()?;
    let (least, most) = (told.horizon.load(Ordering::Relaxed), told.asked.load(Ordering::Relaxed));
    if horizon < least || horizon > most || head < told.head.load(Ordering::Relaxed) {
        return Err(format!("stands at {horizon} and {head}, but {told:?}").into());
    }
    let page = api.get_json(&format!("{LOG}?limit=10000")).await?;
    let seqs: Vec<_> = page["entries"].as_array().ok_or("no entries")?.iter().map(|entry| entry["seq"].as_u64()).collect();
    let expected: Vec<_> = (horizon + 1..=head).map(Some).collect();
    // A page is bounded in bytes, too.
    let whole = page["next"].as_str().is_some_and(|next| next.ends_with(&format!("-{head}")));
    if page["first"] != horizon + 1 || !expected.starts_with(&seqs) || (whole && seqs.len() != expected.len()) {
        return Err(format!("entries {seqs:?} of {}–{head}, first {}", horizon + 1, page["first"]).into());
    }
    Ok(())
}
