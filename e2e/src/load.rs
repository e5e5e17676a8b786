//! Appends, document writes and commits from many sides, and whether what was acknowledged is there afterwards.

mod commits;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{Api, Fuse, Reply, Result};

const PROJECT: &str = "/v1/projects/crash";
const LOGS: [&str; 3] = ["history", "runs/1", "runs/2"];
const WRITERS_PER_LOG: usize = 3;
const DOC_WRITERS: usize = 3;
const COMMIT_WRITERS: usize = 2;

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
    /// Per writer of commits.
    commits: BTreeMap<usize, commits::Told>,
    next_unit: u64,
    /// Answers that come from now on count for nothing.
    over: bool,
}

/// What ends a writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Only a connection that breaks: any refusal is a failure of the test.
    Kill,
    /// Also a refusal because of the disk (5xx).
    PowerCut,
}

/// A load over several lives of a daemon.
#[derive(Clone, Default, Debug)]
pub struct Load(Arc<Mutex<Told>>);

impl Load {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the project that is written to.
    ///
    /// # Errors
    /// As the API.
    pub async fn prepare(&self, api: &Api) -> Result<()> {
        api.send("PUT", PROJECT, &[], "").await?.ok().map(|_| ())
    }

    /// Writes from many sides until the fuse is burnt; the writers that still run are returned.
    ///
    /// # Errors
    /// Where a writer ends before.
    pub async fn run(&self, api: &Api, end: End, random: &mut Rng) -> Result<JoinSet<Result<()>>> {
        self.told().over = false;
        let fuse = Arc::new(Fuse::new(random.usize(1..150)));
        let mut writers = JoinSet::new();
        for log in 0..LOGS.len() {
            for _ in 0..WRITERS_PER_LOG {
                writers.spawn(append_until_down(api.clone(), log, self.clone(), Arc::clone(&fuse), end, random.fork()));
            }
        }
        for n in 0..DOC_WRITERS {
            writers.spawn(put_until_down(api.clone(), format!("doc{n}"), self.clone(), Arc::clone(&fuse), end));
        }
        for n in 0..COMMIT_WRITERS {
            writers.spawn(commits::write_until_down(api.clone(), n, self.clone(), Arc::clone(&fuse), end));
        }
        tokio::select! {
            () = fuse.burnt() => Ok(writers),
            Some(ended) = writers.join_next() => Err(format!("a writer ended too early: {ended:?}").into()),
        }
    }

    /// Answers that come from now on count for nothing. To be called before the power is cut: a sync that is under way
    /// at that moment may be called a success by the kernel without being one, also where Folio has no part in it.
    pub fn over(&self) {
        self.told().over = true;
    }

    /// How many appends, documents and commits were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        let told = self.told();
        let units = told.units.values().filter(|sent| sent.first.is_some()).count();
        let docs: u64 = told.docs.values().map(|(acknowledged, _)| acknowledged).sum();
        let commits: usize = told.commits.values().map(|told| told.acknowledged.len()).sum();
        units + usize::try_from(docs).unwrap_or(usize::MAX) + commits
    }

    /// Compares what is there with what the load was told. How many acknowledged writes were found: a document counts for
    /// all of its values up to the one that is there.
    ///
    /// # Errors
    /// Says what is missing, torn or doubled.
    pub async fn check(&self, api: &Api) -> Result<usize> {
        let (units, docs, commits) = {
            let told = self.told();
            (told.units.clone(), told.docs.clone(), told.commits.clone())
        };
        let mut found = 0;
        for (log, name) in LOGS.iter().enumerate() {
            let sent: BTreeMap<u64, Sent> =
                units.iter().filter(|((of, _), _)| *of == log).map(|((_, unit), sent)| (*unit, sent.clone())).collect();
            if sent.is_empty() {
                continue;
            }
            found += check_log(api, &format!("{PROJECT}/logs/{name}"), &sent).await?;
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
            found += usize::try_from(acknowledged)?;
        }
        for (writer, told) in &commits {
            found += commits::check(api, *writer, told).await?;
        }
        Ok(found)
    }
}

/// The answer, or `None` where this life is over.
fn answer(reply: Result<Reply>, end: End) -> Result<Option<Reply>> {
    match reply {
        Err(_) => Ok(None),
        Ok(reply) if end == End::PowerCut && reply.status.is_server_error() => Ok(None),
        Ok(reply) => reply.ok().map(Some),
    }
}

async fn append_until_down(api: Api, log: usize, load: Load, fuse: Arc<Fuse>, end: End, mut random: Rng) -> Result<()> {
    loop {
        let entries = random.u64(1..5);
        let unit = {
            let mut told = load.told();
            told.next_unit += 1;
            let unit = told.next_unit;
            told.units.insert((log, unit), Sent { entries, first: None, cursor: None });
            unit
        };
        let padding = "x".repeat(random.usize(..2_000));
        let body: Vec<Value> = (0..entries).map(|part| json!({"unit": unit, "part": part, "padding": padding})).collect();
        let url = format!("{PROJECT}/logs/{}", LOGS[log]);
        let headers = [("content-type", "application/json")];
        let reply = api.send("POST", &url, &headers, Value::from(body).to_string()).await;
        let Some(reply) = answer(reply, end)? else { return Ok(()) };
        let answer = reply.json()?;
        let mut told = load.told();
        if told.over {
            continue;
        }
        let sent = told.units.get_mut(&(log, unit)).ok_or("a unit that was never sent")?;
        sent.first = answer["first_seq"].as_u64();
        sent.cursor = answer["cursor"].as_str().map(str::to_owned);
        fuse.acknowledged();
    }
}

async fn put_until_down(api: Api, key: String, load: Load, fuse: Arc<Fuse>, end: End) -> Result<()> {
    loop {
        let value = {
            let mut told = load.told();
            let (_, sent) = told.docs.entry(key.clone()).or_default();
            *sent += 1;
            *sent
        };
        let body = json!({"value": value, "same": value.to_string().repeat(500)}).to_string();
        let url = format!("{PROJECT}/docs/{key}");
        let reply = api.send("PUT", &url, &[("content-type", "application/json")], body).await;
        if answer(reply, end)?.is_none() {
            return Ok(());
        }
        let mut told = load.told();
        if !told.over {
            told.docs.entry(key.clone()).or_default().0 = value;
            fuse.acknowledged();
        }
    }
}

/// How many acknowledged units were found.
async fn check_log(api: &Api, url: &str, sent: &BTreeMap<u64, Sent>) -> Result<usize> {
    let mut acknowledged = 0;
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
            (Some(first), Some(seqs)) if seqs.first() == Some(first) && seqs.len() as u64 == *entries => acknowledged += 1,
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
    Ok(acknowledged)
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
