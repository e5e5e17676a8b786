//! What an end without closing leaves.

use folio::{AppendOptions, BlobStoreExt, Durability, ProjectExt, Start, WriteCondition};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, append_keyed, closing, data, entry, json, key, log_name, numbers, path, read_all, refused, written};
use crate::units::{append_and_give_up, expect_units};
use crate::wait::{caught_up, entries_up_to};

cases! { "crash":
    what_was_acknowledged_is_there [Crash],
    what_was_removed_stays_removed [Crash],
    positions_stay_good [Crash],
    a_unit_is_there_whole_or_not_at_all [Crash],
    several_crashes_in_a_row [Crash],
}

async fn what_was_acknowledged_is_there(ctx: Ctx) -> Outcome {
    let (id, first) = {
        let project = ctx.project().await?;
        append(&project.history(), numbers(1..=5)).await?;
        let first = append_keyed(&project.log(&log_name("runs/1")), "k", numbers(1..=3)).await?;
        written(project.docs().put(&key("doc"), json(r#"{"a":1}"#), WriteCondition::None).await?)?;
        written(project.files().write_bytes(&path("folder/a"), vec![7; 3 << 20], WriteCondition::None).await?)?;
        (project.id().clone(), first)
    };
    ctx.crash().await?;
    let project = ctx.driver().project(&id);
    assert_eq!(data(&read_all(&project.history()).await?), numbers(1..=5));
    let again = append_keyed(&project.log(&log_name("runs/1")), "k", numbers(1..=3)).await?;
    assert_eq!((again.first, again.last, again.replayed), (first.first, first.last, true));
    assert_eq!(project.docs().get(&key("doc")).await?.map(|document| document.value), Some(json(r#"{"a":1}"#)));
    assert!(project.files().read_bytes(&path("folder/a")).await?.is_some_and(|bytes| bytes == vec![7; 3 << 20]));
    assert_eq!(append(&project.history(), numbers([6])).await?.first, 6);
    Ok(())
}

async fn what_was_removed_stays_removed(ctx: Ctx) -> Outcome {
    let (id, deleted) = {
        let project = ctx.project().await?;
        append(&project.history(), numbers(1..=5)).await?;
        project.history().truncate(5).await?;
        for name in ["closed", "deleted", "source"] {
            append(&project.log(&log_name(name)), numbers(1..=3)).await?;
        }
        project.log(&log_name("closed")).append(entry("4"), closing()).await.map(|_| ())?;
        project.log(&log_name("deleted")).delete().await?;
        project.log(&log_name("source")).fork(2, &log_name("fork")).await?;
        project.log(&log_name("source")).delete().await?;
        for name in ["a/b", "c"] {
            written(project.files().write_bytes(&path(name), "x", WriteCondition::None).await?)?;
            written(project.docs().put(&key("doc"), json("1"), WriteCondition::None).await?)?;
        }
        assert_eq!(project.files().delete(&path("a/b"), WriteCondition::None).await?, folio::DeleteOutcome::Deleted(true));
        assert_eq!(project.docs().delete(&key("doc"), WriteCondition::None).await?, folio::DeleteOutcome::Deleted(true));
        let deleted = ctx.project().await?.id().clone();
        ctx.driver().delete_project(&deleted).await?;
        (project.id().clone(), deleted)
    };
    ctx.crash().await?;
    let project = ctx.driver().project(&id);
    let status = project.history().status().await?;
    assert_eq!((status.head.seq, status.horizon), (5, 5));
    refused(project.log(&log_name("closed")).append(numbers([5]), AppendOptions::default()).await, "closed")?;
    refused(project.log(&log_name("deleted")).status().await, "no_log")?;
    refused(project.log(&log_name("source")).status().await, "gone")?;
    assert_eq!(data(&read_all(&project.log(&log_name("fork"))).await?), numbers(1..=2));
    let files = project.files().list(folio::FileListOptions::default()).await?.files;
    assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(project.docs().get(&key("doc")).await?, None);
    assert!(!ctx.driver().has_project(&deleted).await?);
    Ok(())
}

/// Only weaker modes begin a new life after an unclean end: they may have lost what somebody saw.
async fn positions_stay_good(ctx: Ctx) -> Outcome {
    let durable = ctx.driver().info().await?.durability == Durability::Sync;
    let (id, head) = {
        let project = ctx.project().await?;
        (project.id().clone(), append(&project.history(), numbers(1..=5)).await?.cursor)
    };
    ctx.crash().await?;
    let log = ctx.driver().project(&id).history();
    let mut stream = log.subscribe(Start::After(head.into())).await?;
    assert_eq!(caught_up(&mut stream).await?, head, "nothing was lost, so there is no gap");
    let next = append(&log, numbers([6])).await?.cursor;
    assert_eq!(next.epoch == head.epoch, durable, "{head} and then {next}");
    assert_eq!(data(&entries_up_to(&mut stream, 6).await?), numbers([6]));
    Ok(())
}

async fn a_unit_is_there_whole_or_not_at_all(ctx: Ctx) -> Outcome {
    let (id, acknowledged) = {
        let project = ctx.project().await?;
        let acknowledged = append_and_give_up(&project.history(), &mut ctx.random()).await;
        (project.id().clone(), acknowledged)
    };
    ctx.crash().await?;
    expect_units(&read_all(&ctx.driver().project(&id).history()).await?, &acknowledged)
}

async fn several_crashes_in_a_row(ctx: Ctx) -> Outcome {
    let id = ctx.project().await?.id().clone();
    let mut oldest = 1;
    for n in 1..=7 {
        ctx.crash().await?;
        let log = ctx.driver().project(&id).history();
        assert_eq!(append(&log, numbers([n])).await?.first, n);
        if n == 4 {
            log.truncate(3).await?;
            oldest = 4;
        }
        assert_eq!(data(&read_all(&log).await?), numbers(oldest..=n));
    }
    Ok(())
}
