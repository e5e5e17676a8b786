//! Many writers of one document or file.

use std::sync::Arc;

use bytes::Bytes;
use folio::{BlobStore, BlobStoreExt, DeleteOutcome, Etag, FileReadOptions, JsonKv, PatchOutcome, WriteCondition, WriteOutcome};
use futures_util::StreamExt;

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{doc_etag, json, key, path, written};

cases! { "race":
    one_of_16_wins_a_document_tag,
    one_of_16_creates_a_document,
    one_of_16_deletes_a_document,
    one_of_16_wins_a_file_tag,
    one_of_16_creates_a_file,
    one_of_16_deletes_a_file,
    puts_and_patches_and_deletes_share_one_tag,
    all_patches_take_effect,
    a_counter_loses_no_increment,
    a_reader_never_sees_half_a_document,
    a_reader_never_sees_half_a_file,
    folders_come_and_go,
}
use crate::races::{MANY, at_once};

const ROUNDS: u64 = 8;

/// The one winner, and that all others were told its tag.
fn one_winner(outcomes: &[WriteOutcome]) -> Outcome<(usize, Etag)> {
    let winners: Vec<_> = outcomes
        .iter()
        .enumerate()
        .filter_map(|(n, outcome)| match outcome {
            WriteOutcome::Written { etag, .. } => Some((n, *etag)),
            WriteOutcome::Precondition { .. } => None,
        })
        .collect();
    let [(winner, etag)] = winners[..] else { crate::fail!("{} of {} writers won", winners.len(), outcomes.len()) };
    for outcome in outcomes {
        if let WriteOutcome::Precondition { current } = outcome {
            assert_eq!(*current, Some(etag), "what the losers are told is there");
        }
    }
    Ok((winner, etag))
}

async fn race_for_document(docs: &Arc<dyn JsonKv>, condition: WriteCondition) -> Outcome<Etag> {
    let outcomes = at_once(|n| {
        let docs = Arc::clone(docs);
        async move { docs.put(&key("doc"), json(&format!("[{n},{}]", fastrand::u32(..))), condition).await }
    });
    let (winner, etag) = one_winner(&outcomes.await?)?;
    let stored = docs.get(&key("doc")).await?.ok_or_else(|| Failure::new("the winner's document is not there"))?;
    assert_eq!(stored.etag, etag);
    assert!(stored.value.as_str().starts_with(&format!("[{winner},")), "{} is not of writer {winner}", stored.value);
    Ok(etag)
}

async fn one_of_16_wins_a_document_tag(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    let mut etag = written(docs.put(&key("doc"), json("0"), WriteCondition::None).await?)?;
    for _ in 0..ROUNDS {
        etag = race_for_document(&docs, WriteCondition::Match(etag)).await?;
    }
    Ok(())
}

async fn one_of_16_creates_a_document(ctx: Ctx) -> Outcome {
    for _ in 0..ROUNDS {
        race_for_document(&ctx.project().await?.docs(), WriteCondition::Absent).await?;
    }
    Ok(())
}

fn one_deleter(outcomes: &[DeleteOutcome]) -> Outcome {
    let deleted = outcomes.iter().filter(|outcome| **outcome == DeleteOutcome::Deleted(true)).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == DeleteOutcome::Precondition { current: None }).count();
    if (deleted, refused) != (1, outcomes.len() - 1) {
        crate::fail!("{deleted} deleted and {refused} were refused: {outcomes:?}");
    }
    Ok(())
}

async fn one_of_16_deletes_a_document(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    for _ in 0..ROUNDS {
        let etag = written(docs.put(&key("doc"), json("0"), WriteCondition::Absent).await?)?;
        let outcomes = at_once(|_| {
            let docs = Arc::clone(&docs);
            async move { docs.delete(&key("doc"), WriteCondition::Match(etag)).await }
        });
        one_deleter(&outcomes.await?)?;
    }
    Ok(())
}

async fn race_for_file(files: &Arc<dyn BlobStore>, condition: WriteCondition) -> Outcome<Etag> {
    let outcomes = at_once(|n| {
        let files = Arc::clone(files);
        async move { files.write_bytes(&path("a/b"), format!("{n} {}", fastrand::u32(..)), condition).await }
    });
    let (winner, etag) = one_winner(&outcomes.await?)?;
    let stored = files.read_text(&path("a/b")).await?.ok_or_else(|| Failure::new("the winner's file is not there"))?;
    assert_eq!(Etag::of(stored.as_bytes()), etag);
    assert!(stored.starts_with(&format!("{winner} ")), "{stored:?} is not of writer {winner}");
    Ok(etag)
}

async fn one_of_16_wins_a_file_tag(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let mut etag = written(files.write_bytes(&path("a/b"), "0", WriteCondition::None).await?)?;
    for _ in 0..ROUNDS {
        etag = race_for_file(&files, WriteCondition::Match(etag)).await?;
    }
    Ok(())
}

async fn one_of_16_creates_a_file(ctx: Ctx) -> Outcome {
    for _ in 0..ROUNDS {
        race_for_file(&ctx.project().await?.files(), WriteCondition::Absent).await?;
    }
    Ok(())
}

async fn one_of_16_deletes_a_file(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for _ in 0..ROUNDS {
        let etag = written(files.write_bytes(&path("a/b"), "0", WriteCondition::Absent).await?)?;
        let outcomes = at_once(|_| {
            let files = Arc::clone(&files);
            async move { files.delete(&path("a/b"), WriteCondition::Match(etag)).await }
        });
        one_deleter(&outcomes.await?)?;
    }
    Ok(())
}

async fn puts_and_patches_and_deletes_share_one_tag(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    for _ in 0..ROUNDS {
        let etag = written(docs.put(&key("doc"), json(r#"{"a":0}"#), WriteCondition::None).await?)?;
        let condition = WriteCondition::Match(etag);
        let won = at_once(|n| {
            let docs = Arc::clone(&docs);
            async move {
                let value = json(&format!(r#"{{"n":{n}}}"#));
                Ok(match n % 3 {
                    0 => matches!(docs.put(&key("doc"), value, condition).await?, WriteOutcome::Written { .. }),
                    1 => matches!(docs.patch(&key("doc"), value, condition).await?, PatchOutcome::Written(_)),
                    _ => matches!(docs.delete(&key("doc"), condition).await?, DeleteOutcome::Deleted(true)),
                })
            }
        });
        let won = won.await?.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1, "writers that won one tag");
    }
    Ok(())
}

async fn all_patches_take_effect(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    // a large member, so that merging takes long enough for others to come between
    let large = json(&format!(r#"{{"large":"{}"}}"#, "x".repeat(100_000)));
    for round in 0..ROUNDS {
        let name = key(&format!("doc{round}"));
        if round % 2 == 0 {
            written(docs.put(&name, large.clone(), WriteCondition::Absent).await?)?;
        }
        let outcomes = at_once(|n| {
            let (docs, name) = (Arc::clone(&docs), name.clone());
            let change = json(&format!(r#"{{"m{n}":{n},"deep":{{"d{n}":{n}}}}}"#));
            async move { docs.patch(&name, change, WriteCondition::None).await }
        });
        outcomes.await?;
        let stored = docs.get(&name).await?.ok_or_else(|| Failure::new("the patched document is not there"))?;
        let value: serde_json::Value = stored.value.to()?;
        for n in 0..MANY {
            let (member, deep) = (value.get(format!("m{n}")), value.pointer(&format!("/deep/d{n}")));
            assert_eq!((member, deep), (Some(&n.into()), Some(&n.into())), "patch {n} of round {round} is lost");
        }
    }
    Ok(())
}

async fn a_counter_loses_no_increment(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    written(docs.put(&key("count"), json("0"), WriteCondition::None).await?)?;
    let counting = at_once(|_| {
        let docs = Arc::clone(&docs);
        async move {
            for _ in 0..ROUNDS {
                loop {
                    let Some(now) = docs.get(&key("count")).await? else { continue };
                    let next = json(&(now.value.to::<u64>()? + 1).to_string());
                    let outcome = docs.put(&key("count"), next, WriteCondition::Match(now.etag)).await?;
                    if matches!(outcome, WriteOutcome::Written { .. }) {
                        break;
                    }
                }
            }
            Ok(())
        }
    });
    counting.await?;
    let count = docs.get(&key("count")).await?.map(|document| document.value);
    assert_eq!(count, Some(json(&(MANY * ROUNDS).to_string())));
    Ok(())
}

async fn a_reader_never_sees_half_a_document(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    let value = |n: u64| json(&format!("[{}{n}]", format!("{n},").repeat(n as usize * 400)));
    written(docs.put(&key("doc"), value(0), WriteCondition::None).await?)?;
    let working = at_once(|n| {
        let docs = Arc::clone(&docs);
        async move {
            for round in 0..ROUNDS {
                if n < 4 {
                    docs.put(&key("doc"), value(n * ROUNDS + round), WriteCondition::None).await.map(|_| ())?;
                    continue;
                }
                let Some(seen) = docs.get(&key("doc")).await? else { return Ok(Some("nothing".to_owned())) };
                let number = seen.value.as_str().trim_matches(['[', ']']).split(',').next().and_then(|n| n.parse().ok());
                if number.map(value) != Some(seen.value.clone()) || seen.etag != doc_etag(&seen.value) {
                    return Ok(Some(format!("{:.200}", seen.value.as_str())));
                }
            }
            Ok(None)
        }
    });
    if let Some(seen) = working.await?.into_iter().flatten().next() {
        crate::fail!("a reader saw {seen}");
    }
    Ok(())
}

async fn a_reader_never_sees_half_a_file(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let content = |n: u64| Bytes::from(vec![n as u8; 1_000 + n as usize * 30_000]);
    written(files.write_bytes(&path("a/b"), content(0), WriteCondition::None).await?)?;
    let working = at_once(|n| {
        let files = Arc::clone(&files);
        async move {
            for round in 0..ROUNDS {
                if n < 4 {
                    files.write_bytes(&path("a/b"), content(n * ROUNDS + round), WriteCondition::None).await.map(|_| ())?;
                    continue;
                }
                let options = FileReadOptions { etag: true, ..FileReadOptions::default() };
                let Some(mut seen) = files.read(&path("a/b"), options).await? else { return Ok(Some("nothing".to_owned())) };
                let mut bytes = Vec::new();
                while let Some(piece) = seen.body.next().await {
                    bytes.extend(piece?);
                }
                let number = bytes.first().map_or(0, |first| u64::from(*first));
                if bytes != content(number) || seen.info.size != bytes.len() as u64 || seen.info.etag != Some(Etag::of(&bytes)) {
                    return Ok(Some(format!("{} bytes that begin with {number}, told as {:?}", bytes.len(), seen.info)));
                }
            }
            Ok(None)
        }
    });
    if let Some(seen) = working.await?.into_iter().flatten().next() {
        crate::fail!("a reader saw {seen}");
    }
    Ok(())
}

/// A delete that empties a folder never takes along what another one writes there.
async fn folders_come_and_go(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let working = at_once(|n| {
        let files = Arc::clone(&files);
        async move {
            let own = path(&format!("shared/folder/{n}"));
            for round in 0..ROUNDS {
                files.write_bytes(&own, format!("{n} {round}"), WriteCondition::Absent).await.map(|_| ())?;
                if files.read_text(&own).await? != Some(format!("{n} {round}")) {
                    return Ok(Some(format!("the file {own:?} that it had just written was not there")));
                }
                if files.delete(&own, WriteCondition::Exists).await? != DeleteOutcome::Deleted(true) {
                    return Ok(Some(format!("the file {own:?} could not be deleted")));
                }
            }
            Ok(None)
        }
    });
    if let Some(trouble) = working.await?.into_iter().flatten().next() {
        crate::fail!("{trouble}");
    }
    written(files.write_bytes(&path("shared"), "x", WriteCondition::Absent).await?)?;
    Ok(())
}
