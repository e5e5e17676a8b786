//! Forks of a log.

use std::sync::Arc;

use folio::{AppendLog, Cursor, Error, GapReason, LogName, Piece, Position, Project, ProjectExt, ReadOptions, Start};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, append_keyed, appended, data, expecting, log_name, numbers, read_all, refused, seqs};
use crate::wait::{caught_up, entries_up_to, next_gap};

cases! { "fork":
    a_fork_has_the_entries_up_to_its_place,
    a_fork_has_its_own_epoch_and_the_lineage_cut,
    a_fork_and_its_source_go_their_own_ways,
    a_fork_needs_a_place_between_horizon_and_head,
    a_fork_at_the_horizon_has_no_entries,
    a_fork_inherits_the_horizon,
    a_log_without_entries_can_be_forked,
    a_fork_needs_a_name_that_is_free,
    a_refused_fork_disturbs_nobody,
    a_log_that_is_not_there_cannot_be_forked,
    a_fork_is_open_and_knows_no_keys,
    a_fork_of_a_fork_knows_all_pieces,
    a_deleted_source_is_gone_while_forks_live,
    a_source_that_is_gone_leaves_its_forks_whole,
    who_waits_for_a_log_sees_a_fork,
    forks_survive_reopening [Reopen],
    a_gone_source_stays_gone_over_reopening [Reopen],
    a_source_without_entries_is_there_after_reopening [Reopen],
}

async fn source_and_fork(project: &Arc<dyn Project>, at: u64) -> Outcome<(Arc<dyn AppendLog>, Arc<dyn AppendLog>)> {
    let source = project.log(&log_name("source"));
    for n in 1..=3 {
        append(&source, numbers([2 * n - 1, 2 * n])).await?;
    }
    source.fork(at, &log_name("forks/1")).await?;
    Ok((source, project.log(&log_name("forks/1"))))
}

async fn a_fork_has_the_entries_up_to_its_place(ctx: Ctx) -> Outcome {
    for at in 0..=6 {
        let project = ctx.project().await?;
        let (source, fork) = source_and_fork(&project, at).await?;
        let whole = read_all(&source).await?;
        assert_eq!(whole.len(), 6, "the source is untouched");
        let inherited: Vec<_> = whole.into_iter().filter(|entry| entry.seq <= at).collect();
        assert_eq!(read_all(&fork).await?, inherited, "forked at {at}: the same seqs, times and payloads");
        let status = fork.status().await?;
        assert_eq!((status.head.seq, status.horizon, status.closed), (at, 0, false));
        let mut names = project.list_logs(None, 10).await?.logs;
        names.sort();
        assert_eq!(names, [log_name("forks/1"), LogName::history(), log_name("source")]);
    }
    Ok(())
}

async fn a_fork_has_its_own_epoch_and_the_lineage_cut(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = source_and_fork(&project, 4).await?;
    let old = source.status().await?.head;
    let before = fork.status().await?;
    assert_eq!(before.head, Position { seq: 4, ..old }, "the place is held by a piece of the source");
    let new = append(&fork, numbers([5])).await?.cursor;
    assert!(new.epoch > old.epoch, "{new} must lie above {old}");
    let lineage = [Piece { epoch: 0, last: 0 }, Piece { epoch: old.epoch, last: 4 }, Piece { epoch: new.epoch, last: new.seq }];
    assert_eq!(fork.status().await?.lineage, lineage);
    assert_eq!(before.lineage, [lineage[0], lineage[1], Piece { epoch: new.epoch, last: 4 }]);
    Ok(())
}

async fn a_fork_and_its_source_go_their_own_ways(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = source_and_fork(&project, 4).await?;
    let before = source.status().await?;
    append(&fork, numbers(50..=52)).await?;
    fork.truncate(2).await?;
    fork.close().await?;
    assert_eq!(source.status().await?, before);
    assert_eq!(data(&read_all(&source).await?), numbers(1..=6));
    append(&source, numbers([7])).await?;
    source.truncate(6).await?;
    assert_eq!(data(&read_all(&source).await?), numbers([7]));
    assert_eq!(data(&read_all(&fork).await?), numbers([3, 4, 50, 51, 52]));
    assert_eq!(seqs(&read_all(&fork).await?), [3, 4, 5, 6, 7]);
    Ok(())
}

async fn a_fork_needs_a_place_between_horizon_and_head(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let source = project.history();
    append(&source, numbers(1..=6)).await?;
    source.truncate(2).await?;
    for (n, at) in [0, 1, 7, 1_000].into_iter().enumerate() {
        let name = log_name(&format!("bad{n}"));
        refused(source.fork(at, &name).await, "invalid")?;
        refused(project.log(&name).status().await, "no_log")?;
    }
    for at in 2..=6 {
        source.fork(at, &log_name(&format!("good{at}"))).await?;
    }
    Ok(())
}

async fn a_fork_at_the_horizon_has_no_entries(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let source = project.history();
    let old = append(&source, numbers(1..=6)).await?.cursor;
    source.truncate(4).await?;
    source.fork(4, &log_name("fork")).await?;
    let fork = project.log(&log_name("fork"));
    let page = fork.read(ReadOptions::default()).await?;
    assert_eq!((page.entries.len(), page.first, page.head), (0, 5, Position { seq: 4, ..old }));
    assert_eq!(append(&fork, numbers([5])).await?.first, 5);
    Ok(())
}

async fn a_fork_inherits_the_horizon(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let source = project.history();
    append(&source, numbers(1..=6)).await?;
    source.truncate(2).await?;
    source.fork(5, &log_name("fork")).await?;
    let fork = project.log(&log_name("fork"));
    let page = fork.read(ReadOptions { since: Some(Cursor::bare(1)), ..ReadOptions::default() }).await?;
    assert_eq!((seqs(&page.entries), page.first, fork.status().await?.horizon), (vec![3, 4, 5], 3, 2));
    let gap = page.gap.map(|gap| (gap.reason, gap.lost, gap.resumes_after.seq));
    assert_eq!(gap, Some((GapReason::Truncated, Some(1), 2)));
    Ok(())
}

async fn a_log_without_entries_can_be_forked(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = (project.history(), project.log(&log_name("fork")));
    source.fork(0, &log_name("fork")).await?;
    for log in [&source, &fork] {
        assert_eq!(log.status().await?.head, Position::START);
        assert!(read_all(log).await?.is_empty());
    }
    for log in [&fork, &source] {
        assert_eq!(append(log, numbers(1..=2)).await?.last, 2);
    }
    assert!(fork.status().await?.head.epoch != source.status().await?.head.epoch, "each in an epoch of its own");
    Ok(())
}

async fn a_fork_needs_a_name_that_is_free(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = source_and_fork(&project, 4).await?;
    append(&fork, numbers([9])).await?;
    let before = fork.status().await?;
    for taken in ["forks/1", "source", LogName::HISTORY] {
        let error = refused(source.fork(2, &log_name(taken)).await, "exists")?;
        let Error::Exists { what } = error else { crate::fail!("{error:?} has the code exists") };
        assert!(what.contains(taken), "{what:?} does not name {taken}");
    }
    assert_eq!(fork.status().await?, before);
    assert_eq!(project.history().status().await?.head, Position::START);
    Ok(())
}

async fn a_refused_fork_disturbs_nobody(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = source_and_fork(&project, 4).await?;
    let mut streams = [source.subscribe(Start::Now).await?, fork.subscribe(Start::Now).await?];
    for stream in &mut streams {
        caught_up(stream).await?;
    }
    for (at, target) in [(2, "forks/1"), (2, "source"), (1_000, "forks/1"), (1_000, "forks/2")] {
        let refusal = source.fork(at, &log_name(target)).await;
        assert!(refusal.is_err(), "forked at {at} to {target}");
    }
    let [of_source, of_fork] = &mut streams;
    append(&source, numbers([7])).await?;
    append(&fork, numbers([5])).await?;
    assert_eq!(data(&entries_up_to(of_source, 7).await?), numbers([7]));
    assert_eq!(data(&entries_up_to(of_fork, 5).await?), numbers([5]));
    Ok(())
}

async fn a_log_that_is_not_there_cannot_be_forked(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    refused(project.log(&log_name("missing")).fork(0, &log_name("fork")).await, "no_log")?;
    refused(project.log(&log_name("fork")).status().await, "no_log")?;
    Ok(())
}

async fn a_fork_is_open_and_knows_no_keys(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let source = project.history();
    append_keyed(&source, "k", numbers(1..=3)).await?;
    source.close().await?;
    source.fork(3, &log_name("fork")).await?;
    let fork = project.log(&log_name("fork"));
    let unit = append_keyed(&fork, "k", numbers(1..=3)).await?;
    assert_eq!((unit.first, unit.replayed), (4, false));
    assert!(source.status().await?.closed);
    Ok(())
}

async fn a_fork_of_a_fork_knows_all_pieces(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = source_and_fork(&project, 4).await?;
    let old = source.status().await?.head;
    let new = append(&fork, numbers(5..=8)).await?.cursor;
    fork.fork(7, &log_name("forks/2")).await?;
    let second = project.log(&log_name("forks/2"));
    let newest = append(&second, numbers([8])).await?.cursor;
    assert!(newest.epoch > new.epoch);
    let pieces: Vec<_> = second.status().await?.lineage.iter().map(|piece| (piece.epoch, piece.last)).collect();
    assert_eq!(pieces, [(0, 0), (old.epoch, 4), (new.epoch, 7), (newest.epoch, 8)]);
    for good in [Position { seq: 3, ..old }, Position { seq: 6, ..new }, newest] {
        let mut stream = second.subscribe(Start::After(good.into())).await?;
        if good.seq < 8 {
            assert_eq!(seqs(&entries_up_to(&mut stream, 8).await?), (good.seq + 1..=8).collect::<Vec<_>>());
        }
        assert_eq!(caught_up(&mut stream).await?, newest);
    }
    let mut stream = second.subscribe(Start::After(new.into())).await?;
    let gap = next_gap(&mut stream, "the gap of a position that the fork does not have").await?;
    assert_eq!((gap.reason, gap.resumes_after), (GapReason::Epoch, Position { seq: 7, ..new }));
    // a fork at a place that an older piece holds has nothing of the newer ones
    second.fork(4, &log_name("forks/3")).await?;
    let third = project.log(&log_name("forks/3"));
    assert_eq!(third.status().await?.head, Position { seq: 4, ..old });
    assert_eq!(third.status().await?.lineage.len(), 3);
    Ok(())
}

async fn a_deleted_source_is_gone_while_forks_live(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = source_and_fork(&project, 4).await?;
    let mut stream = source.subscribe(Start::Now).await?;
    caught_up(&mut stream).await?;
    source.delete().await?;
    crate::wait::deleted(&mut stream).await?;
    let error = refused(source.status().await, "gone")?;
    assert_eq!(error, Error::Gone { project: project.id().to_string(), name: "source".into() });
    refused(source.read(ReadOptions::default()).await, "gone")?;
    refused(source.append(numbers([9]), folio::AppendOptions::default()).await, "gone")?;
    refused(source.append(numbers([9]), expecting(Position::START)).await, "gone")?;
    refused(source.truncate(3).await, "gone")?;
    refused(source.close().await, "gone")?;
    refused(source.fork(2, &log_name("forks/2")).await, "gone")?;
    refused(fork.fork(2, &log_name("source")).await, "exists")?;
    source.delete().await?;
    assert_eq!(project.list_logs(None, 10).await?.logs, [log_name("forks/1"), LogName::history()]);

    // the name is free again with the last fork, and whoever waits for it sees its next life
    fork.delete().await?;
    refused(source.status().await, "no_log")?;
    let unit = append(&source, numbers([9])).await?;
    assert_eq!(unit.first, 1);
    assert_eq!(data(&entries_up_to(&mut stream, 1).await?), numbers([9]));
    Ok(())
}

async fn a_source_that_is_gone_leaves_its_forks_whole(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = source_and_fork(&project, 5).await?;
    let before = read_all(&fork).await?;
    let head = append(&fork, numbers([60])).await?.cursor;
    source.delete().await?;
    let entries = read_all(&fork).await?;
    assert_eq!(entries.get(..5), Some(&before[..]));
    assert_eq!(appended(fork.append(numbers([61]), expecting(head)).await?)?.first, 7);
    let mut stream = fork.subscribe(Start::After(Cursor::START)).await?;
    assert_eq!(data(&entries_up_to(&mut stream, 7).await?), numbers([1, 2, 3, 4, 5, 60, 61]));
    Ok(())
}

async fn who_waits_for_a_log_sees_a_fork(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let mut stream = project.log(&log_name("forks/1")).subscribe(Start::After(Cursor::START)).await?;
    caught_up(&mut stream).await?;
    source_and_fork(&project, 4).await?;
    assert_eq!(data(&entries_up_to(&mut stream, 4).await?), numbers(1..=4));
    Ok(())
}

async fn forks_survive_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, fork) = source_and_fork(&project, 4).await?;
    append(&fork, numbers([50])).await?;
    source.fork(6, &log_name("untouched")).await?;
    let before = (fork.status().await?, read_all(&fork).await?);
    let untouched = project.log(&log_name("untouched")).status().await?;
    ctx.reopen().await?;
    let project = ctx.again(&project);
    let fork = project.log(&log_name("forks/1"));
    let after = fork.status().await?;
    assert_eq!((after.head, after.lineage, after.horizon), (before.0.head, before.0.lineage, before.0.horizon));
    assert_eq!(read_all(&fork).await?, before.1);
    let same = project.log(&log_name("untouched")).status().await?;
    assert_eq!((same.head, same.lineage), (untouched.head, untouched.lineage));
    assert_eq!(append(&project.log(&log_name("untouched")), numbers([7])).await?.first, 7);
    assert_eq!(append(&fork, numbers([51])).await?.first, 6);
    assert_eq!(data(&read_all(&project.log(&log_name("source"))).await?), numbers(1..=6));
    Ok(())
}

async fn a_gone_source_stays_gone_over_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (source, _) = source_and_fork(&project, 4).await?;
    source.delete().await?;
    ctx.reopen().await?;
    let project = ctx.again(&project);
    let (source, fork) = (project.log(&log_name("source")), project.log(&log_name("forks/1")));
    refused(source.status().await, "gone")?;
    refused(source.append(numbers([1]), folio::AppendOptions::default()).await, "gone")?;
    assert_eq!(data(&read_all(&fork).await?), numbers(1..=4));
    fork.delete().await?;
    assert_eq!(append(&source, numbers([1])).await?.first, 1);
    Ok(())
}

async fn a_source_without_entries_is_there_after_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    project.history().fork(0, &log_name("fork")).await?;
    ctx.reopen().await?;
    let project = ctx.again(&project);
    assert_eq!(project.list_logs(None, 10).await?.logs, [log_name("fork"), LogName::history()]);
    assert_eq!(project.history().status().await?.head, Position::START);
    assert_eq!(append(&project.history(), numbers([1])).await?.first, 1);
    assert_eq!(append(&project.log(&log_name("fork")), numbers([1])).await?.first, 1);
    Ok(())
}
