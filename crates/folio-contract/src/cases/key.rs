//! Idempotency keys: a retry gets the first answer, whatever happened since.

use std::sync::Arc;

use bytes::Bytes;
use folio::{AppendLog, AppendOptions, AppendOutcome, Appended, Cursor, Data, Error};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{append, append_keyed, appended, entry, expecting, json, keyed, log_name, numbers, read_all, refused, seqs};

cases! { "key":
    a_retry_gets_the_first_answer,
    another_request_is_refused,
    a_known_key_replays_on_a_closed_log,
    a_known_key_replays_before_the_expected_head_is_checked,
    a_keyed_append_that_closes_replays,
    a_refused_append_does_not_take_its_key,
    keys_survive_compaction,
    keys_belong_to_one_log,
    keys_end_with_their_log,
    a_key_is_1_to_256_visible_ascii_characters,
    the_last_10000_keys_are_known,
    keys_survive_reopening [Reopen],
    keys_survive_compaction_and_reopening [Reopen],
    keys_of_a_closed_log_survive_reopening [Reopen],
}

async fn expect_replay(log: &Arc<dyn AppendLog>, key: &str, entries: Vec<Data>, first: Appended) -> Outcome {
    let again = append_keyed(log, key, entries).await?;
    assert_eq!(again, Appended { replayed: true, ..first }, "the retry with key {key:?}");
    Ok(())
}

async fn a_retry_gets_the_first_answer(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers([0])).await?;
    let first = append_keyed(&log, "k", numbers(1..=3)).await?;
    assert_eq!((first.first, first.last, first.replayed), (2, 4, false));
    append(&log, numbers([4])).await?;
    expect_replay(&log, "k", numbers(1..=3), first).await?;
    expect_replay(&log, "k", numbers(1..=3), first).await?;
    assert_eq!(seqs(&read_all(&log).await?), [1, 2, 3, 4, 5]);
    Ok(())
}

async fn another_request_is_refused(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let first = append_keyed(&log, "k", entry(r#""1""#)).await?;
    let others = [
        entry("1"),
        entry(r#""2""#),
        [entry(r#""1""#), entry(r#""1""#)].concat(),
        vec![Data::Bytes(Bytes::from_static(br#""1""#))],
    ];
    for other in others {
        let error = refused(log.append(other, keyed("k")).await, "key_reused")?;
        assert_eq!(error, Error::KeyReused { key: "k".into() });
    }
    assert_eq!(log.status().await?.head, first.cursor, "nothing was written");
    expect_replay(&log, "k", entry(r#""1""#), first).await?;
    // the key and white space around tokens are not the body
    expect_replay(&log, "k", vec![Data::Json(json(" \"1\"\n"))], first).await?;
    assert_eq!(append_keyed(&log, "k2", entry("1")).await?.first, 2);
    Ok(())
}

async fn a_known_key_replays_on_a_closed_log(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let first = append_keyed(&log, "k", numbers(1..=3)).await?;
    log.close().await?;
    expect_replay(&log, "k", numbers(1..=3), first).await?;
    refused(log.append(numbers([9]), keyed("k")).await, "key_reused")?;
    refused(log.append(numbers([9]), keyed("new")).await, "closed")?;
    Ok(())
}

async fn a_known_key_replays_before_the_expected_head_is_checked(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let options = AppendOptions { idempotency_key: Some("k".into()), ..expecting(Cursor::bare(0)) };
    let first = appended(log.append(numbers(1..=3), options.clone()).await?)?;
    let again = appended(log.append(numbers(1..=3), options).await?)?;
    assert_eq!(again, Appended { replayed: true, ..first });
    Ok(())
}

async fn a_keyed_append_that_closes_replays(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let options = AppendOptions { close: true, ..keyed("k") };
    let first = appended(log.append(numbers(1..=3), options.clone()).await?)?;
    let again = appended(log.append(numbers(1..=3), options).await?)?;
    assert_eq!(again, Appended { replayed: true, ..first });
    assert!(log.status().await?.closed);
    Ok(())
}

async fn a_refused_append_does_not_take_its_key(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers([1])).await?;
    let options = AppendOptions { idempotency_key: Some("k".into()), ..expecting(Cursor::bare(7)) };
    let outcome = log.append(numbers([2]), options).await?;
    assert!(matches!(outcome, AppendOutcome::Precondition { .. }), "{outcome:?}");
    let large = vec![Data::Bytes(vec![0; (1 << 20) + 1].into())];
    refused(log.append(large, keyed("k")).await, "too_large")?;
    let first = append_keyed(&log, "k", numbers([3])).await?;
    assert_eq!((first.first, first.replayed), (2, false));
    Ok(())
}

async fn keys_survive_compaction(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let first = append_keyed(&log, "k", numbers(1..=3)).await?;
    append(&log, numbers([4])).await?;
    log.truncate(2).await?;
    expect_replay(&log, "k", numbers(1..=3), first).await?;
    log.truncate(4).await?;
    expect_replay(&log, "k", numbers(1..=3), first).await?;
    refused(log.append(numbers([9]), keyed("k")).await, "key_reused")?;
    assert_eq!(log.status().await?.head.seq, 4);
    Ok(())
}

async fn keys_belong_to_one_log(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (one, other) = (project.log(&log_name("one")), project.log(&log_name("other")));
    append_keyed(&one, "k", numbers([1])).await?;
    let first = append_keyed(&other, "k", numbers(2..=3)).await?;
    assert_eq!((first.first, first.last, first.replayed), (1, 2, false));
    Ok(())
}

async fn keys_end_with_their_log(ctx: Ctx) -> Outcome {
    let log = ctx.project().await?.log(&log_name("runs/1"));
    append_keyed(&log, "k", numbers(1..=2)).await?;
    log.delete().await?;
    let first = append_keyed(&log, "k", numbers(3..=5)).await?;
    assert_eq!((first.first, first.last, first.replayed), (1, 3, false));
    Ok(())
}

async fn a_key_is_1_to_256_visible_ascii_characters(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    for bad in [String::new(), "k".repeat(257), "a b".to_owned(), "a\nb".to_owned(), "ü".to_owned()] {
        refused(log.append(numbers([1]), keyed(&bad)).await, "invalid")?;
    }
    assert_eq!(log.status().await?.head.seq, 0, "nothing was written");
    for good in ["k".to_owned(), "k".repeat(256), "a-Z_0.9:/+=~".to_owned(), r#""quoted""#.to_owned()] {
        let first = append_keyed(&log, &good, numbers([1])).await?;
        expect_replay(&log, &good, numbers([1]), first).await?;
    }
    assert_eq!(log.status().await?.head.seq, 4);
    Ok(())
}

async fn the_last_10000_keys_are_known(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let first = append_keyed(&log, "k0", numbers([0])).await?;
    let rest: Vec<Appended> = stream::iter(1..10_000_u64)
        .map(|n| {
            let log = Arc::clone(&log);
            async move { append_keyed(&log, &format!("k{n}"), numbers([n])).await }
        })
        .buffered(64)
        .try_collect()
        .await?;
    log.truncate(5_000).await?;
    expect_replay(&log, "k0", numbers([0]), first).await?;
    for n in [1_usize, 4_999, 9_998] {
        let answer = rest.get(n - 1).copied().ok_or_else(|| Failure::new("an answer is missing"))?;
        expect_replay(&log, &format!("k{n}"), numbers([n as u64]), answer).await?;
    }
    Ok(())
}

async fn keys_survive_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let name = log_name("runs/1");
    let first = append_keyed(&project.log(&name), "k", numbers(1..=3)).await?;
    ctx.reopen().await?;
    let log = ctx.again(&project).log(&name);
    expect_replay(&log, "k", numbers(1..=3), first).await?;
    refused(log.append(numbers([9]), keyed("k")).await, "key_reused")?;
    assert_eq!(log.status().await?.head, first.cursor);
    Ok(())
}

async fn keys_survive_compaction_and_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let name = log_name("runs/1");
    let first = append_keyed(&project.log(&name), "k", numbers(1..=3)).await?;
    project.log(&name).truncate(3).await?;
    ctx.reopen().await?;
    expect_replay(&ctx.again(&project).log(&name), "k", numbers(1..=3), first).await?;
    ctx.again(&project).log(&name).truncate(9).await?;
    ctx.reopen().await?;
    let log = ctx.again(&project).log(&name);
    expect_replay(&log, "k", numbers(1..=3), first).await?;
    assert_eq!(append_keyed(&log, "k2", numbers([4])).await?.first, 4);
    Ok(())
}

async fn keys_of_a_closed_log_survive_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let name = log_name("runs/1");
    let first = append_keyed(&project.log(&name), "k", numbers(1..=3)).await?;
    project.log(&name).close().await?;
    ctx.reopen().await?;
    let log = ctx.again(&project).log(&name);
    expect_replay(&log, "k", numbers(1..=3), first).await?;
    refused(log.append(numbers([9]), keyed("new")).await, "closed")?;
    Ok(())
}
