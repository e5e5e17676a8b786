//! Commits of a document, a file and an entry: the three say the same, whatever happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::{End, Load, PROJECT, answer, read_all};
use crate::{Api, Fuse, Result};

/// Bodies over 64 KiB are synced before the commit, smaller ones are part of its record.
const SIZES: [usize; 4] = [10, 3_000, 70_000, 150_000];

/// What one writer was told. Its commits are numbered.
#[derive(Clone, Default, Debug)]
pub(super) struct Told {
    pub(super) acknowledged: BTreeSet<u64>,
    sent: u64,
}

fn text(n: u64) -> String {
    let word = format!("{n} ");
    word.repeat(SIZES[usize::try_from(n).unwrap_or(0) % SIZES.len()] / word.len() + 1)
}

pub(super) async fn write_until_down(api: Api, writer: usize, load: Load, fuse: Arc<Fuse>, end: End) -> Result<()> {
    loop {
        let n = {
            let mut told = load.told();
            let told = told.commits.entry(writer).or_default();
            told.sent += 1;
            told.sent
        };
        let body = json!({"operations": [
            {"op": "put_doc", "key": format!("commit{writer}"), "value": n},
            {"op": "append", "log": format!("commits/{writer}"), "entry": n},
            {"op": "put_file", "path": format!("commits/{writer}.txt"), "text": text(n)},
        ]});
        let headers = [("content-type", "application/json")];
        let reply = api.send("POST", &format!("{PROJECT}/commit"), &headers, body.to_string()).await;
        if answer(reply, end)?.is_none() {
            return Ok(());
        }
        let mut told = load.told();
        if !told.over {
            told.commits.entry(writer).or_default().acknowledged.insert(n);
            fuse.acknowledged();
        }
    }
}

/// How many acknowledged ones were found.
pub(super) async fn check(api: &Api, writer: usize, told: &Told) -> Result<usize> {
    let log = format!("{PROJECT}/logs/commits/{writer}");
    let entries: Vec<u64> = read_all(api, &log).await?.iter().filter_map(|entry| entry["data"].as_u64()).collect();
    let fail = |what: String| Err(format!("{log}: {what}").into());
    if !entries.is_sorted_by(|one, next| one < next) || entries.last().is_some_and(|last| *last > told.sent) {
        return fail(format!("{entries:?} of {} that were sent", told.sent));
    }
    let there: BTreeSet<u64> = entries.iter().copied().collect();
    if let Some(lost) = told.acknowledged.difference(&there).next() {
        return fail(format!("the acknowledged commit {lost} is not there"));
    }
    let document = api.get(&format!("{PROJECT}/docs/commit{writer}")).await?;
    let file = api.get(&format!("{PROJECT}/files/commits/{writer}.txt")).await?;
    let Some(last) = entries.last() else {
        return if (document.status, file.status) == (reqwest::StatusCode::NOT_FOUND, reqwest::StatusCode::NOT_FOUND) {
            Ok(0)
        } else {
            fail("there is half a commit".into())
        };
    };
    let value = document.ok()?.json()?.as_u64();
    let (file, wanted) = (file.ok()?.text(), text(*last));
    if value != Some(*last) || file != wanted {
        return fail(format!("it ends with {last}, the document is {value:?}, the file {file:.20} ({} bytes)", file.len()));
    }
    Ok(told.acknowledged.len())
}
