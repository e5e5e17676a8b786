//! Many appenders of one log.

use std::sync::Arc;

use folio::{AppendOptions, AppendOutcome, Cursor, LogName, Position, Project, ProjectExt, Start, WriteCondition};
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{append, appended, closing, data, expecting, json, key, keyed, log_name, numbers, read_all, written};
use crate::races::{MANY, at_once};
use crate::units::{Unit, append_and_give_up, expect_units};
use crate::wait::entries_up_to;

cases! { "race":
    units_do_not_mix,
    one_of_16_appends_to_a_head,
    one_of_16_makes_a_log,
    retries_of_one_key_append_once,
    a_log_ends_once,
    an_append_that_was_given_up_is_whole_or_not_there,
    compactions_remove_each_entry_once,
    one_of_16_makes_a_project,
    one_of_16_makes_a_fork,
    a_copy_of_a_project_is_of_one_moment,
}

async fn units_do_not_mix(ctx: Ctx) -> Outcome {
    let (log, mut random) = (ctx.history().await?, ctx.random());
    let appending = at_once(|author| {
        let (log, mut random) = (Arc::clone(&log), random.fork());
        async move {
            let mut acknowledged = Vec::new();
            for number in 0..12 {
                let unit = Unit { author, number, size: random.u64(1..=9) };
                if let AppendOutcome::Appended(done) = log.append(unit.entries(), AppendOptions::default()).await? {
                    acknowledged.push((done, unit));
                }
            }
            Ok(acknowledged)
        }
    });
    let acknowledged: Vec<_> = appending.await?.concat();
    let entries = read_all(&log).await?;
    expect_units(&entries, &acknowledged.iter().map(|(_, unit)| *unit).collect::<Vec<_>>())?;
    assert_eq!(entries.len() as u64, acknowledged.iter().map(|(_, unit)| unit.size).sum::<u64>());
    for (done, unit) in acknowledged {
        let there = entries.get(done.first as usize - 1).map(Unit::of).transpose()?;
        assert_eq!((there, done.last), (Some((unit, 0)), done.first + unit.size - 1), "where its appender was told it is");
    }
    assert!(entries.is_sorted_by_key(|entry| entry.ts), "a time falls");
    Ok(())
}

async fn one_of_16_appends_to_a_head(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let mut head = append(&log, numbers([0])).await?.cursor;
    for round in 0..10 {
        let expected = if round % 2 == 0 { Cursor::from(head) } else { Cursor::bare(head.seq) };
        let outcomes = at_once(|n| {
            let log = Arc::clone(&log);
            async move { log.append(numbers([n, n]), expecting(expected)).await }
        });
        let outcomes = outcomes.await?;
        let won: Vec<_> = outcomes.iter().filter(|outcome| matches!(outcome, AppendOutcome::Appended(_))).collect();
        assert_eq!(won.len(), 1, "appends that won the head {expected}: {won:?}");
        head = log.status().await?.head;
        for outcome in &outcomes {
            match outcome {
                AppendOutcome::Appended(done) => assert_eq!((done.first, done.cursor), (head.seq - 1, head)),
                AppendOutcome::Precondition { head: told } => assert_eq!(*told, head),
            }
        }
    }
    assert_eq!(read_all(&log).await?.len(), 21);
    Ok(())
}

async fn one_of_16_makes_a_log(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    for round in 0..5 {
        let log = project.log(&log_name(&format!("runs/{round}")));
        let outcomes = at_once(|n| {
            let log = Arc::clone(&log);
            async move { log.append(numbers([n]), expecting(Position::START)).await }
        });
        let won = outcomes.await?.iter().filter(|outcome| matches!(outcome, AppendOutcome::Appended(_))).count();
        assert_eq!((won, read_all(&log).await?.len()), (1, 1));
    }
    assert_eq!(project.list_logs(None, 10).await?.logs.len(), 6);
    Ok(())
}

async fn retries_of_one_key_append_once(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    for round in 0..10 {
        let answers = at_once(|_| {
            let (log, options) = (Arc::clone(&log), keyed(&format!("k{round}")));
            async move { log.append(numbers(0..3), options).await }
        });
        let answers = answers.await?.into_iter().map(appended).collect::<Outcome<Vec<_>>>()?;
        let fresh = answers.iter().filter(|answer| !answer.replayed).count();
        assert_eq!(fresh, 1, "appends that were not replays: {answers:?}");
        let places: Vec<_> = answers.iter().map(|answer| (answer.first, answer.last, answer.cursor)).collect();
        assert!(places.iter().all(|place| Some(place) == places.first()), "{places:?}");
    }
    assert_eq!(read_all(&log).await?.len(), 30);
    Ok(())
}

async fn a_log_ends_once(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let tasks: Vec<_> = (0..MANY)
        .map(|author| {
            let log = Arc::clone(&log);
            let unit = Unit { author, number: 0, size: 3 };
            let options = if author % 4 == 3 { closing() } else { AppendOptions::default() };
            tokio::spawn(async move { (unit, options.close, log.append(unit.entries(), options).await) })
        })
        .collect();
    let mut acknowledged = Vec::new();
    let mut last_unit = None;
    for joined in join_all(tasks).await {
        let (unit, closes, outcome) = joined.map_err(|e| Failure::new(format!("an appender: {e}")))?;
        match outcome {
            Ok(outcome) => {
                let done = appended(outcome)?;
                acknowledged.push(unit);
                if closes && last_unit.replace(done).is_some() {
                    crate::fail!("the log was ended twice");
                }
            }
            Err(error) => assert_eq!(error.code(), "closed", "{error}"),
        }
    }
    let status = log.status().await?;
    assert_eq!((Some(status.head), status.closed), (last_unit.map(|done| done.cursor), true), "nothing after the end");
    expect_units(&read_all(&log).await?, &acknowledged)
}

async fn an_append_that_was_given_up_is_whole_or_not_there(ctx: Ctx) -> Outcome {
    let (log, mut random) = (ctx.history().await?, ctx.random());
    let mut acknowledged = append_and_give_up(&log, &mut random).await;
    let last = Unit { author: 99, number: 0, size: 2 };
    append(&log, last.entries()).await?;
    acknowledged.push(last);
    expect_units(&read_all(&log).await?, &acknowledged)
}

async fn compactions_remove_each_entry_once(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=100)).await?;
    let removed: u64 = at_once(|n| {
        let log = Arc::clone(&log);
        async move { Ok(log.truncate(n * 5).await?.removed) }
    })
    .await?
    .into_iter()
    .sum();
    let horizon = (MANY - 1) * 5;
    assert_eq!((removed, log.status().await?.horizon), (horizon, horizon));
    assert_eq!(data(&read_all(&log).await?), numbers(horizon + 1..=100));
    Ok(())
}

async fn one_of_16_makes_a_project(ctx: Ctx) -> Outcome {
    let id = ctx.fresh_id()?;
    let created = at_once(|n| {
        let (driver, id) = (ctx.driver(), id.clone());
        async move {
            let created = driver.create_project(&id).await?;
            driver.project(&id).history().append(numbers([n]), AppendOptions::default()).await.map(|_| ())?;
            Ok(created)
        }
    });
    assert_eq!(created.await?.into_iter().filter(|created| *created).count(), 1);
    assert_eq!(read_all(&ctx.driver().project(&id).history()).await?.len(), MANY as usize, "no append was lost");
    let deleted = at_once(|_| {
        let (driver, id) = (ctx.driver(), id.clone());
        async move { driver.delete_project(&id).await }
    });
    assert_eq!(deleted.await?.into_iter().filter(|deleted| *deleted).count(), 1);
    Ok(())
}

async fn one_of_16_makes_a_fork(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let source = project.log(&LogName::history());
    append(&source, numbers(1..=20)).await?;
    let tasks: Vec<_> = (0..MANY)
        .map(|n| {
            let source = Arc::clone(&source);
            tokio::spawn(async move { (n, source.fork(n, &log_name("fork")).await) })
        })
        .collect();
    let mut won = Vec::new();
    for joined in join_all(tasks).await {
        let (at, outcome) = joined.map_err(|e| Failure::new(format!("a task: {e}")))?;
        match outcome {
            Ok(()) => won.push(at),
            Err(error) => assert_eq!(error.code(), "exists", "{error}"),
        }
    }
    let [at] = won[..] else { crate::fail!("{} forks were made under one name", won.len()) };
    assert_eq!(data(&read_all(&project.log(&log_name("fork"))).await?), numbers(1..=at));
    Ok(())
}

/// One writer counts up in two logs and a document, one after the other, so at any moment they are at most one apart.
async fn count_up(project: Arc<dyn Project>, mut stop: watch::Receiver<bool>) -> Outcome {
    let (first, second) = (project.log(&log_name("first")), project.log(&log_name("second")));
    let mut count = 0;
    while !*stop.borrow_and_update() {
        count += 1;
        append(&first, numbers([count])).await?;
        append(&second, numbers([count])).await?;
        written(project.docs().put(&key("third"), json(&count.to_string()), WriteCondition::None).await?)?;
        // a driver that never has to wait would let nobody else run
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn a_copy_of_a_project_is_of_one_moment(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (stop, stopped) = watch::channel(false);
    let counting = tokio::spawn(count_up(ctx.again(&project), stopped));
    // the copies begin once there is something to copy
    let mut stream = project.log(&log_name("second")).subscribe(Start::Now).await?;
    entries_up_to(&mut stream, 3).await?;
    for _ in 0..8 {
        let id = ctx.fresh_id()?;
        ctx.driver().fork_project(project.id(), &id).await?;
        let copy = ctx.driver().project(&id);
        let third = copy.docs().get(&key("third")).await?.ok_or_else(|| Failure::new("the document was not copied"))?;
        let first = copy.log(&log_name("first")).status().await?.head.seq;
        let second = copy.log(&log_name("second")).status().await?.head.seq;
        let third = third.value.to::<u64>()?;
        assert!(first >= second && second >= third && third + 1 >= first, "{first}, {second} and {third} of no one moment");
    }
    stop.send_replace(true);
    counting.await.map_err(Failure::new)?
}
