//! Whether what is there can be, after what a child was answered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use folio::fs::{FsDriver, doctor};
use folio::{BlobStoreExt, Cursor, Data, DocListOptions, Driver, Etag, FileListOptions, Project, ReadOptions};

use super::Outcome;
use super::logs::project;
use super::ops::{Log, Op, Step, View, World};
use super::{plans, play};

/// What a child noted of one operation.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// No answer, or one that leaves it open.
    Open,
    Done(Option<u64>),
    /// Nothing was changed.
    Not,
}

/// Opens the root twice and compares: how many operations were acknowledged, and how many of these are there.
pub(super) async fn check(plan: &str, root: &Path, told: &str) -> Outcome<(usize, usize)> {
    let ops: Vec<Op> = plans::plan(plan)
        .into_iter()
        .flat_map(|step| match step {
            Step::Together(ops) => ops,
            Step::Close | Step::Leave => Vec::new(),
        })
        .collect();
    let told = read(told);
    let worlds = worlds(&ops, &told)?;
    let mut found = None;
    for _ in 0..2 {
        let driver = FsDriver::open(root, play::options()).await?;
        let view = look(&driver).await?;
        let Some(world) = worlds.iter().find(|world| world.view() == view) else {
            return Err(format!("found {view:?}; possible was one of {:?}", views(&worlds)).into());
        };
        if found.is_some_and(|before: &World| before.done != world.done && before.view() != world.view()) {
            return Err("the second open found something else".into());
        }
        found = Some(world);
        driver.close().await?;
    }
    let world = found.ok_or("nothing was opened")?;
    go_on(root, &ops, &told, world).await?;
    let report = doctor::check(root, |_| {}).await?;
    if report.is_damaged() || report.lost > 0 {
        return Err(format!("doctor after recovery: {:?}", report.findings).into());
    }
    let acknowledged: Vec<&u64> = told.iter().filter(|(_, told)| matches!(told, Told::Done(_))).map(|(n, _)| n).collect();
    Ok((acknowledged.len(), acknowledged.iter().filter(|n| world.done.contains(n)).count()))
}

fn views(worlds: &[World]) -> Vec<View> {
    worlds.iter().map(World::view).collect()
}

fn read(told: &str) -> BTreeMap<u64, Told> {
    let mut all = BTreeMap::new();
    for line in told.lines() {
        let mut words = line.split(' ');
        let (Some(what), Some(Ok(n))) = (words.next(), words.next().map(str::parse::<u64>)) else { continue };
        all.insert(
            n,
            match what {
                "done" => Told::Done(words.next().and_then(|first| first.parse().ok())),
                "failed" | "refused" => Told::Not,
                _ => Told::Open,
            },
        );
    }
    all
}

fn worlds(ops: &[Op], told: &BTreeMap<u64, Told>) -> Outcome<Vec<World>> {
    let mut worlds = vec![World::default()];
    for (n, op) in (0..).zip(ops) {
        let Some(told) = told.get(&n) else { break };
        let mut after = Vec::new();
        for world in worlds {
            let mut next = world.clone();
            let first = next.apply(n, op);
            match told {
                Told::Done(seq) if matches!(op, Op::Refused(_)) || *seq != first => {}
                Told::Done(_) => after.push(next),
                Told::Not => after.push(world),
                Told::Open if matches!(op, Op::Refused(_)) => after.push(world),
                Told::Open => after.extend([world, next]),
            }
        }
        if after.is_empty() {
            return Err(format!("{op:?}, operation {n}, can't be {told:?}").into());
        }
        worlds = after;
    }
    Ok(worlds)
}

async fn look(driver: &FsDriver) -> Outcome<View> {
    let mut view = View::default();
    if !driver.has_project(&project()).await? {
        return Ok(view);
    }
    let project = driver.project(&project());
    for info in project.docs().list(DocListOptions::default()).await?.docs {
        let text = project.docs().get(&info.key).await?.ok_or("a document that is listed is not there")?;
        view.docs.insert(info.key.to_string(), text.value.as_str().to_owned());
    }
    for info in project.files().list(FileListOptions::default()).await?.files {
        let bytes = project.files().read_bytes(&info.path).await?.ok_or("a file that is listed is not there")?;
        view.files.insert(info.path.to_string(), (bytes.len(), Etag::of(&bytes)));
    }
    for name in project.list_logs(None, 1_000).await?.logs {
        let log = project.log(&name);
        let horizon = log.status().await?.horizon;
        let page = log.read(ReadOptions { since: Some(Cursor::bare(horizon)), ..ReadOptions::default() }).await?;
        let entries: Vec<String> = page.entries.iter().map(|entry| text(&entry.data)).collect();
        if page.gap.is_some() || !page.entries.iter().map(|entry| entry.seq).eq(horizon + 1..=horizon + entries.len() as u64) {
            return Err(format!("{name} has holes: {:?}", page.gap).into());
        }
        let log = Log { horizon, entries };
        if log != Log::default() {
            view.logs.insert(name.to_string(), log);
        }
    }
    Ok(view)
}

fn text(data: &Data) -> String {
    match data {
        Data::Json(value) => value.as_str().to_owned(),
        Data::Bytes(bytes) => format!("{bytes:?}"),
    }
}

/// The store takes writes again, and retries with their keys find out by themselves.
async fn go_on(root: &Path, ops: &[Op], told: &BTreeMap<u64, Told>, world: &World) -> Outcome {
    let driver = FsDriver::open(root, play::options()).await?;
    driver.create_project(&project()).await?;
    let project: Arc<dyn Project> = driver.project(&project());
    let deleted: Vec<&str> = ops.iter().filter_map(|op| if let Op::DeleteLog(name) = op { Some(*name) } else { None }).collect();
    for (n, op) in (0..).zip(ops).take(told.len()).collect::<Vec<_>>().into_iter().rev().take(4).rev() {
        if matches!(op, Op::Append(name, _) if deleted.contains(name)) {
            continue;
        }
        if let Some(replayed) = play::retry(&project, n, op).await?
            && replayed != world.done.contains(&n)
        {
            return Err(format!("the retry of {op:?}, operation {n}, was replayed: {replayed}").into());
        }
    }
    Ok(driver.close().await?)
}
