//! Copies of projects.

use std::sync::Arc;

use folio::{BlobStoreExt, Cursor, Error, GapReason, Project, ProjectExt, Start, WriteCondition};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, append_keyed, data, json, key, log_name, numbers, path, read_all, refused, since, written};
use crate::wait::{caught_up, entries_up_to};

cases! { "project_fork":
    a_copy_has_everything,
    a_copy_and_its_source_go_their_own_ways,
    the_logs_of_a_copy_have_their_own_epochs,
    the_logs_of_a_copy_know_no_keys,
    closed_logs_stay_closed,
    the_forks_of_a_copy_depend_on_nothing,
    a_compacted_log_is_copied_as_it_is,
    a_copy_needs_a_source,
    a_copy_needs_a_free_name,
    a_copy_survives_reopening [Reopen],
}

async fn filled(ctx: &Ctx) -> Outcome<Arc<dyn Project>> {
    let project = ctx.project().await?;
    append(&project.history(), numbers(1..=6)).await?;
    append(&project.log(&log_name("runs/1")), numbers(10..=12)).await?;
    for name in ["a", "b"] {
        written(project.docs().put(&key(name), json(&format!("\"{name}\"")), WriteCondition::None).await?)?;
        written(project.files().write_bytes(&path(&format!("folder/{name}")), name, WriteCondition::None).await?)?;
    }
    Ok(project)
}

async fn copy(ctx: &Ctx, source: &Arc<dyn Project>) -> Outcome<Arc<dyn Project>> {
    let target = ctx.fresh_id()?;
    ctx.driver().fork_project(source.id(), &target).await?;
    Ok(ctx.driver().project(&target))
}

/// Everything that a reader sees but positions.
async fn content(project: &Arc<dyn Project>) -> Outcome<String> {
    let mut all = String::new();
    for log in project.list_logs(None, 100).await?.logs {
        all += &format!("{log:?}: {:?}\n", read_all(&project.log(&log)).await?);
    }
    for doc in project.docs().list(folio::DocListOptions::default()).await?.docs {
        all += &format!("{:?}: {:?}\n", doc.key, project.docs().get(&doc.key).await?);
    }
    for file in project.files().list(folio::FileListOptions::default()).await?.files {
        all += &format!("{:?}: {:?}\n", file.path, project.files().read_bytes(&file.path).await?);
    }
    Ok(all)
}

async fn a_copy_has_everything(ctx: Ctx) -> Outcome {
    let source = filled(&ctx).await?;
    let before = content(&source).await?;
    let target = copy(&ctx, &source).await?;
    assert!(ctx.driver().has_project(target.id()).await?);
    assert_eq!(content(&target).await?, before);
    assert_eq!(content(&source).await?, before, "the source is untouched");
    Ok(())
}

async fn a_copy_and_its_source_go_their_own_ways(ctx: Ctx) -> Outcome {
    let source = filled(&ctx).await?;
    let target = copy(&ctx, &source).await?;
    let before = content(&source).await?;
    append(&target.history(), numbers([7])).await?;
    append(&target.log(&log_name("runs/2")), numbers([7])).await?;
    target.log(&log_name("runs/1")).truncate(2).await?;
    written(target.docs().put(&key("a"), json("7"), WriteCondition::None).await?)?;
    written(target.files().write_bytes(&path("folder/a"), "7", WriteCondition::None).await?)?;
    assert_eq!(content(&source).await?, before);
    let changed = content(&target).await?;
    append(&source.history(), numbers(8..=9)).await?;
    source.history().truncate(8).await?;
    source.log(&log_name("runs/1")).delete().await?;
    written(source.docs().put(&key("b"), json("8"), WriteCondition::None).await?)?;
    written(source.files().write_bytes(&path("folder/b"), "8", WriteCondition::None).await?)?;
    assert_eq!(content(&target).await?, changed);
    assert!(ctx.driver().delete_project(source.id()).await?);
    assert_eq!(content(&target).await?, changed, "a copy outlives its source");
    assert_eq!(append(&target.history(), numbers([8])).await?.first, 8);
    Ok(())
}

async fn the_logs_of_a_copy_have_their_own_epochs(ctx: Ctx) -> Outcome {
    let source = filled(&ctx).await?;
    let target = copy(&ctx, &source).await?;
    for name in ["history", "runs/1"] {
        let (source, target) = (source.log(&log_name(name)), target.log(&log_name(name)));
        let old = source.status().await?.head;
        assert_eq!(target.status().await?.head, old, "{name}: what was copied keeps its positions");
        // the same seq in both, but not the same entry
        let on = append(&source, numbers([100])).await?.cursor;
        let new = append(&target, numbers([200])).await?.cursor;
        assert!(new.epoch > old.epoch, "{name}: {new} must lie above {old}");
        let page = target.read(since(on)).await?;
        let gap = page.gap.map(|gap| (gap.reason, gap.resumes_after));
        assert_eq!(gap, Some((GapReason::Epoch, old)), "{name}: a position that only the source has");
        let mut stream = target.subscribe(Start::After(old.into())).await?;
        assert_eq!(data(&entries_up_to(&mut stream, new.seq).await?), numbers([200]));
        assert_eq!(caught_up(&mut stream).await?, new);
    }
    Ok(())
}

async fn the_logs_of_a_copy_know_no_keys(ctx: Ctx) -> Outcome {
    let source = ctx.project().await?;
    append_keyed(&source.history(), "k", numbers(1..=3)).await?;
    let target = copy(&ctx, &source).await?;
    let unit = append_keyed(&target.history(), "k", numbers(1..=3)).await?;
    assert_eq!((unit.first, unit.replayed), (4, false));
    Ok(())
}

async fn closed_logs_stay_closed(ctx: Ctx) -> Outcome {
    let source = filled(&ctx).await?;
    source.history().close().await?;
    let target = copy(&ctx, &source).await?;
    refused(target.history().append(numbers([1]), folio::AppendOptions::default()).await, "closed")?;
    assert_eq!(append(&target.log(&log_name("runs/1")), numbers([1])).await?.first, 4);
    Ok(())
}

async fn the_forks_of_a_copy_depend_on_nothing(ctx: Ctx) -> Outcome {
    let source = filled(&ctx).await?;
    source.log(&log_name("runs/1")).fork(2, &log_name("runs/2")).await?;
    let target = copy(&ctx, &source).await?;
    target.log(&log_name("runs/1")).delete().await?;
    refused(target.log(&log_name("runs/1")).status().await, "no_log")?;
    assert_eq!(data(&read_all(&target.log(&log_name("runs/2"))).await?), numbers(10..=11));
    assert_eq!(data(&read_all(&source.log(&log_name("runs/1"))).await?), numbers(10..=12));
    Ok(())
}

async fn a_compacted_log_is_copied_as_it_is(ctx: Ctx) -> Outcome {
    let source = filled(&ctx).await?;
    source.history().truncate(4).await?;
    source.log(&log_name("runs/1")).truncate(3).await?;
    let target = copy(&ctx, &source).await?;
    let page = target.history().read(since(Cursor::bare(1))).await?;
    assert_eq!((page.first, data(&page.entries), page.gap.and_then(|gap| gap.lost)), (5, numbers(5..=6), Some(3)));
    assert_eq!(append(&target.log(&log_name("runs/1")), numbers([1])).await?.first, 4);
    Ok(())
}

async fn a_copy_needs_a_source(ctx: Ctx) -> Outcome {
    let (missing, target) = (ctx.fresh_id()?, ctx.fresh_id()?);
    let error = refused(ctx.driver().fork_project(&missing, &target).await, "no_project")?;
    assert_eq!(error, Error::NoProject { id: missing.to_string() });
    assert!(!ctx.driver().has_project(&target).await?);
    Ok(())
}

async fn a_copy_needs_a_free_name(ctx: Ctx) -> Outcome {
    let (source, other) = (filled(&ctx).await?, ctx.project().await?);
    written(other.docs().put(&key("kept"), json("1"), WriteCondition::None).await?)?;
    let before = content(&other).await?;
    for target in [other.id(), source.id()] {
        let error = refused(ctx.driver().fork_project(source.id(), target).await, "exists")?;
        let Error::Exists { what } = error else { crate::fail!("{error:?} has the code exists") };
        assert!(what.contains(target.as_str()), "{what:?} does not name {target}");
    }
    assert_eq!(content(&other).await?, before);
    Ok(())
}

async fn a_copy_survives_reopening(ctx: Ctx) -> Outcome {
    let source = filled(&ctx).await?;
    let target = copy(&ctx, &source).await?;
    let before = content(&target).await?;
    ctx.reopen().await?;
    assert_eq!(content(&ctx.again(&target)).await?, before);
    assert_eq!(content(&ctx.again(&source)).await?, before);
    assert_eq!(append(&ctx.again(&target).history(), numbers([7])).await?.first, 7);
    Ok(())
}
