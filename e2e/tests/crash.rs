//! kill -9 at random points under load: what was acknowledged is there, whole, once, and in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use folio_e2e::daemon::Plan;
use folio_e2e::{Api, Daemon, Fuse, Result, seed};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const PROJECT: &str = "/v1/projects/crash";
const LOGS: [&str; 3] = ["history", "runs/1", "runs/2"];
const ROUNDS: usize = 48;
const WRITERS_PER_LOG: usize = 3;
const DOC_WRITERS: usize = 3;

/// A unit that was sent: how many entries it has, and where it was acknowledged to be.
#[derive(Clone, Debug)]
struct Sent {
    entries: u64,
    first: Option<u64>,
    cursor: Option<String>,
}

/// Everything that the load was told, over all lives of the daemon.
#[derive(Default, Debug)]
struct Told {
    /// Per log: unit id -> what became of it.
    units: BTreeMap<(usize, u64), Sent>,
    /// Per document: the newest value acknowledged, and the newest one sent.
    docs: BTreeMap<String, (u64, u64)>,
    next_unit: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill_9() -> Result<()> {
    let seed = seed();
    println!("FOLIO_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let root = tempfile::tempdir()?;
    let told = Arc::new(Mutex::new(Told::default()));
    for round in 0..ROUNDS {
        // A crash of Folio alone takes nothing in any mode.
        let mode = ["sync", "sync", "interval", "os"][round % 4];
        let daemon = Plan::new(root.path()).option("--durability", mode).start().await?;
        let api = daemon.api();
        if round == 0 {
            api.send("PUT", PROJECT, &[], "").await?.ok()?;
        }
        check(&api, &told).await.map_err(|e| format!("round {round} ({mode}), FOLIO_SEED={seed}: {e}"))?;
        load_until_killed(daemon, &told, &mut random).await?;
    }
    let daemon = Daemon::start(root.path()).await?;
    check(&daemon.api(), &told).await.map_err(|e| format!("at the end, FOLIO_SEED={seed}: {e}"))?;
    assert!(daemon.stop().await?.success());
    let units = &told.lock().map_err(|_| "poisoned")?.units;
    let acknowledged = units.values().filter(|sent| sent.first.is_some()).count();
    println!("{acknowledged} of {} units were acknowledged in {ROUNDS} lives", units.len());
    assert!(acknowledged >= ROUNDS, "the load did something");
    Ok(())
}

/// Writes from many sides, and kills the daemon at a random acknowledgement, while other writes are under way.
async fn load_until_killed(daemon: Daemon, told: &Arc<Mutex<Told>>, random: &mut Rng) -> Result<()> {
    let fuse = Arc::new(Fuse::new(random.usize(1..150)));
    let mut writers = JoinSet::new();
    for log in 0..LOGS.len() {
        for _ in 0..WRITERS_PER_LOG {
            writers.spawn(append_until_down(daemon.api(), log, Arc::clone(told), Arc::clone(&fuse), random.fork()));
        }
    }
    for n in 0..DOC_WRITERS {
        writers.spawn(put_until_down(daemon.api(), format!("doc{n}"), Arc::clone(told), Arc::clone(&fuse)));
    }
    tokio::select! {
        () = fuse.burnt() => {}
        Some(ended) = writers.join_next() => return Err(format!("a writer ended before the kill: {ended:?}").into()),
    }
    daemon.kill().await?;
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    Ok(())
}

async fn append_until_down(api: Api, log: usize, told: Arc<Mutex<Told>>, fuse: Arc<Fuse>, mut random: Rng) -> Result<()> {
    loop {
        let entries = random.u64(1..5);
        let unit = {
            let mut told = told.lock().map_err(|_| "poisoned")?;
            told.next_unit += 1;
            let unit = told.next_unit;
            told.units.insert((log, unit), Sent { entries, first: None, cursor: None });
            unit
        };
        let padding = "x".repeat(random.usize(..2_000));
        let body: Vec<Value> = (0..entries).map(|part| json!({"unit": unit, "part": part, "padding": padding})).collect();
        let url = format!("{PROJECT}/logs/{}", LOGS[log]);
        let headers = [("content-type", "application/json")];
        // A connection that breaks is the end of this life; a refusal is a failure of the test.
        let Ok(reply) = api.send("POST", &url, &headers, Value::from(body).to_string()).await else { return Ok(()) };
        let answer = reply.ok()?.json()?;
        let mut told = told.lock().map_err(|_| "poisoned")?;
        let sent = told.units.get_mut(&(log, unit)).ok_or("a unit that was never sent")?;
        sent.first = answer["first_seq"].as_u64();
        sent.cursor = answer["cursor"].as_str().map(str::to_owned);
        fuse.acknowledged();
    }
}

async fn put_until_down(api: Api, key: String, told: Arc<Mutex<Told>>, fuse: Arc<Fuse>) -> Result<()> {
    loop {
        let value = {
            let mut told = told.lock().map_err(|_| "poisoned")?;
            let (_, sent) = told.docs.entry(key.clone()).or_default();
            *sent += 1;
            *sent
        };
        let body = json!({"value": value, "same": value.to_string().repeat(500)}).to_string();
        let url = format!("{PROJECT}/docs/{key}");
        let Ok(reply) = api.send("PUT", &url, &[("content-type", "application/json")], body).await else { return Ok(()) };
        reply.ok()?;
        told.lock().map_err(|_| "poisoned")?.docs.entry(key.clone()).or_default().0 = value;
        fuse.acknowledged();
    }
}

/// Compares what is there with what the load was told.
async fn check(api: &Api, told: &Arc<Mutex<Told>>) -> Result<()> {
    let (units, docs) = {
        let told = told.lock().map_err(|_| "poisoned")?;
        (told.units.clone(), told.docs.clone())
    };
    for (log, name) in LOGS.iter().enumerate() {
        let sent: BTreeMap<u64, Sent> =
            units.iter().filter(|((of, _), _)| *of == log).map(|((_, unit), sent)| (*unit, sent.clone())).collect();
        if sent.is_empty() {
            continue;
        }
        check_log(api, &format!("{PROJECT}/logs/{name}"), &sent).await?;
    }
    for (key, (acknowledged, sent)) in docs {
        let reply = api.get(&format!("{PROJECT}/docs/{key}")).await?;
        if reply.status == 404 && acknowledged == 0 {
            continue;
        }
        let document = reply.ok()?.json()?;
        let value = document["value"].as_u64().ok_or("a document without its value")?;
        if value < acknowledged || value > sent {
            return Err(format!("{key} holds {value}, acknowledged were up to {acknowledged}, sent {sent}").into());
        }
        if document["same"] != value.to_string().repeat(500) {
            return Err(format!("{key} is not whole").into());
        }
    }
    Ok(())
}

async fn check_log(api: &Api, url: &str, sent: &BTreeMap<u64, Sent>) -> Result<()> {
    let entries = read_all(api, url).await?;
    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let seq = index as u64 + 1;
        if entry["seq"] != seq {
            return Err(format!("{url}: entry {seq} is {}", entry["seq"]).into());
        }
        let unit = entry["data"]["unit"].as_u64().ok_or("an entry without its unit")?;
        let parts = found.entry(unit).or_default();
        if entry["data"]["part"] != parts.len() as u64 || parts.last().is_some_and(|last| last + 1 != seq) {
            return Err(format!("{url}: unit {unit} is torn, doubled or interleaved at {seq}").into());
        }
        parts.push(seq);
    }
    for (unit, Sent { entries, first, cursor }) in sent {
        match (first, found.get(unit)) {
            (Some(first), Some(seqs)) if seqs.first() == Some(first) && seqs.len() as u64 == *entries => {}
            (None, None) => {}
            (None, Some(seqs)) if seqs.len() as u64 == *entries => {}
            (first, found) => {
                return Err(format!("{url}: unit {unit} of {entries}, acknowledged at {first:?}, is at {found:?}").into());
            }
        }
        // Every fiftieth cursor is handed in again: it must still be good.
        if let Some(cursor) = cursor.as_ref().filter(|_| unit % 50 == 0) {
            let page = api.get_json(&format!("{url}?limit=1&since={cursor}")).await?;
            if let Some(gap) = page.get("gap") {
                return Err(format!("{url}: the acknowledged cursor {cursor} gets {gap}").into());
            }
        }
    }
    Ok(())
}

async fn read_all(api: &Api, url: &str) -> Result<Vec<Value>> {
    let (mut all, mut since) = (Vec::new(), String::from("0"));
    loop {
        let reply = api.get(&format!("{url}?limit=10000&since={since}")).await?;
        if reply.status == 404 {
            return Ok(all);
        }
        let page = reply.ok()?.json()?;
        if let Some(gap) = page.get("gap") {
            return Err(format!("{url} has {gap}").into());
        }
        let entries = page["entries"].as_array().ok_or("no entries")?;
        if entries.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(entries);
        since = page["next"].as_str().ok_or("no next")?.to_owned();
    }
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
