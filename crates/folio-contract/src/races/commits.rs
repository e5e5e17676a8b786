//! Commits that run at the same time, among themselves and among single writes.

use std::sync::Arc;

use folio::{
    AppendOptions, BlobStoreExt, CommitOutcome, Current, Done, Etag, FileReadOptions, Operation, PatchOutcome, ProjectExt,
    WriteCondition, WriteOutcome,
};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{data, json, key, keyed, log_name, numbers, on_log, patch_doc, path, put_doc, put_file, read_all, written};
use crate::races::{MANY, at_once};

cases! { "race":
    one_of_16_commits_wins_a_tag,
    commits_and_single_writes_share_one_tag,
    commits_in_any_order_of_targets_all_end,
    all_of_a_commit_comes_from_one,
    one_commit_of_many_retries_is_done,
}

const ROUNDS: u64 = 8;

/// Of commits with the same tag, and of their other targets.
async fn one_of_16_commits_wins_a_tag(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let mut etag = written(project.docs().put(&key("d"), json("0"), WriteCondition::None).await?)?;
    for round in 1..=ROUNDS {
        let outcomes = at_once(|n| {
            let project = Arc::clone(&project);
            let value = format!("[{round},{n}]");
            let operations = vec![
                put_file("f", [value.clone()], WriteCondition::None),
                put_doc("d", &value, WriteCondition::Match(etag)),
                on_log("history", vec![json(&value).into()], AppendOptions::default()),
                put_doc(&format!("of-{n}"), &value, WriteCondition::None),
            ];
            async move { project.commit(operations).await }
        })
        .await?;
        let stored = project.docs().get(&key("d")).await?.ok_or_else(|| Failure::new("no winner"))?;
        let lost = CommitOutcome::Precondition { at: 1, current: Current::Tag(Some(stored.etag)) };
        let losers = outcomes.iter().filter(|outcome| **outcome == lost).count();
        let won = outcomes.iter().filter(|outcome| matches!(outcome, CommitOutcome::Committed(_))).count();
        assert_eq!((won, losers), (1, outcomes.len() - 1), "{outcomes:?}");
        // All that is there is of the winner.
        let entries = read_all(&project.history()).await?;
        assert_eq!(entries.len() as u64, round);
        assert_eq!(entries.last().map(|entry| entry.data.clone()), Some(stored.value.clone().into()));
        let file = project.files().read(&path("f"), FileReadOptions { etag: true, ..Default::default() }).await?;
        let of_file = file.and_then(|file| file.info.etag);
        assert_eq!(of_file, Some(Etag::of(stored.value.as_str().as_bytes())));
        let (_, winner): (u64, u64) = stored.value.to()?;
        for n in 0..MANY {
            let of_one = project.docs().get(&key(&format!("of-{n}"))).await?;
            let of_this_round = of_one.is_some_and(|document| document.value == json(&format!("[{round},{n}]")));
            assert_eq!(of_this_round, n == winner, "writer {n} in round {round}, won by {winner}");
        }
        etag = stored.etag;
    }
    Ok(())
}

async fn commits_and_single_writes_share_one_tag(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let mut etag = written(project.docs().put(&key("d"), json("0"), WriteCondition::None).await?)?;
    let mut commits = 0;
    for round in 1..=ROUNDS {
        let won = at_once(|n| {
            let project = Arc::clone(&project);
            let (value, condition) = (json(&format!("[{round},{n}]")), WriteCondition::Match(etag));
            async move {
                Ok(match n % 3 {
                    0 => matches!(project.docs().put(&key("d"), value, condition).await?, WriteOutcome::Written { .. }),
                    1 => matches!(project.docs().patch(&key("d"), value, condition).await?, PatchOutcome::Written(_)),
                    _ => {
                        let history = on_log("history", vec![value.clone().into()], AppendOptions::default());
                        let put = Operation::PutDoc { key: key("d"), value, condition };
                        matches!(project.commit(vec![history, put]).await?, CommitOutcome::Committed(_))
                    }
                })
            }
        })
        .await?;
        let winners: Vec<usize> = won.iter().enumerate().filter_map(|(n, won)| won.then_some(n)).collect();
        let [winner] = winners[..] else { crate::fail!("{winners:?} won round {round}") };
        commits += u64::from(winner % 3 == 2);
        let stored = project.docs().get(&key("d")).await?.ok_or_else(|| Failure::new("the document is gone"))?;
        assert_eq!(stored.value, json(&format!("[{round},{winner}]")));
        assert_eq!(project.history().status().await?.head.seq, commits, "an entry for each commit that won");
        etag = stored.etag;
    }
    Ok(())
}

/// Whoever takes what it needs one by one in the order that it is given waits for another for ever.
async fn commits_in_any_order_of_targets_all_end(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let rounds = ROUNDS * 4;
    at_once(|n| {
        let project = Arc::clone(&project);
        async move {
            for round in 0..rounds {
                let text = format!("{{\"w{n}\":{round}}}");
                let mut operations = vec![
                    patch_doc("a", &text, WriteCondition::None),
                    patch_doc("b", &text, WriteCondition::None),
                    put_file("x/1", [text.clone()], WriteCondition::None),
                    put_file("y/2", [text.clone()], WriteCondition::None),
                    on_log("history", numbers([n]), AppendOptions::default()),
                    on_log("l", numbers([n]), AppendOptions::default()),
                ];
                let turn = (n + round) as usize % operations.len();
                operations.rotate_left(turn);
                if round % 2 == 1 {
                    operations.reverse();
                }
                match n % 4 {
                    0 => drop(project.history().append(numbers([n]), AppendOptions::default()).await?),
                    1 => drop(project.docs().patch(&key("b"), json(&text), WriteCondition::None).await?),
                    _ => {}
                }
                let _ = project.commit(operations).await?;
            }
            Ok(())
        }
    })
    .await?;
    // No patch is lost, and no entry.
    for name in ["a", "b"] {
        let document = project.docs().get(&key(name)).await?.ok_or_else(|| Failure::new("the document is gone"))?;
        let members: std::collections::BTreeMap<String, u64> = document.value.to()?;
        assert_eq!(members.len() as u64, MANY, "{name}");
        assert!(members.values().all(|last| *last == rounds - 1), "{members:?}");
    }
    assert_eq!(project.log(&log_name("l")).status().await?.head.seq, MANY * rounds);
    let alone = (0..MANY).filter(|n| n % 4 == 0).count() as u64;
    assert_eq!(project.history().status().await?.head.seq, (MANY + alone) * rounds);
    Ok(())
}

/// Commits without conditions on the same targets: in the end all targets are of the same one, and the log has the order.
async fn all_of_a_commit_comes_from_one(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    for round in 0..ROUNDS {
        at_once(|n| {
            let project = Arc::clone(&project);
            let value = format!("[{round},{n}]");
            let mut operations = vec![
                put_doc("a", &value, WriteCondition::None),
                put_doc("b", &value, WriteCondition::None),
                put_file("c", [value.clone()], WriteCondition::None),
                on_log("history", vec![json(&value).into()], AppendOptions::default()),
            ];
            operations.rotate_left(n as usize % 4);
            async move { project.commit(operations).await.map(drop) }
        })
        .await?;
        let last = data(&read_all(&project.history()).await?).pop();
        for name in ["a", "b"] {
            let document = project.docs().get(&key(name)).await?;
            assert_eq!(document.map(|document| document.value.into()), last, "{name} in round {round}");
        }
        let file = project.files().read_text(&path("c")).await?;
        assert_eq!(file.map(|text| json(&text).into()), last, "the file in round {round}");
    }
    Ok(())
}

async fn one_commit_of_many_retries_is_done(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    for round in 0..ROUNDS {
        let k = format!("k{round}");
        let outcomes = at_once(|_| {
            let project = Arc::clone(&project);
            let operations = vec![
                put_doc(&k, "1", WriteCondition::Absent),
                put_file("f", ["x"], WriteCondition::None),
                on_log("history", numbers([round]), keyed(&k)),
            ];
            async move { project.commit(operations).await }
        })
        .await?;
        let mut first = None;
        for outcome in &outcomes {
            if let CommitOutcome::Committed(done) = outcome {
                assert!(first.is_none(), "two were done: {outcomes:?}");
                first = done.iter().find_map(|done| match done {
                    Done::Appended(appended) => Some(*appended),
                    _ => None,
                });
            }
        }
        let first = first.ok_or_else(|| Failure::new(format!("none was done: {outcomes:?}")))?;
        for outcome in &outcomes {
            if let CommitOutcome::Replayed(again) = outcome {
                assert_eq!((again.first, again.cursor, again.replayed), (first.first, first.cursor, true));
            } else {
                assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
            }
        }
        assert_eq!(project.history().status().await?.head.seq, round + 1);
        let other = project.history().append(numbers([round]), keyed(&k)).await;
        assert!(matches!(&other, Err(error) if error.code() == "key_reused"), "{other:?}");
    }
    Ok(())
}
