//! Keys of commits: a retry changes nothing.

use std::sync::Arc;

use folio::{
    AppendOptions, Appended, BlobStoreExt, CommitOutcome, Done, Error, Operation, Position, Project, ProjectExt, WriteCondition,
};

use super::commit::{contents, furnished};
use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{
    append, committed, delete_doc, json, key, keyed, numbers, on_log, patch_doc, path, put_doc, put_file, refused, written,
};

cases! { "commit_key":
    a_retry_with_the_key_changes_nothing,
    the_key_covers_the_whole_commit,
    a_refused_commit_does_not_take_its_key,
    one_append_carries_the_key,
    keys_of_commits_survive_a_crash [Crash],
}

/// A commit with the key `k` in its history.
fn with_key(file: &'static str, condition: WriteCondition, options: AppendOptions) -> Vec<Operation> {
    vec![
        put_doc("d", "2", condition),
        put_file("h", [file], condition),
        on_log("history", numbers([2, 3]), options),
        delete_doc("e", WriteCondition::None),
    ]
}

async fn expect_replay(project: &Arc<dyn Project>, operations: Vec<Operation>, first: Appended) -> Outcome {
    let before = contents(project).await?;
    let outcome = project.commit(operations).await?;
    assert_eq!(outcome, CommitOutcome::Replayed(Appended { replayed: true, ..first }));
    assert_eq!(contents(project).await?, before);
    Ok(())
}

fn appended_at(done: &[Done], at: usize) -> Outcome<Appended> {
    match done.get(at) {
        Some(Done::Appended(appended)) => Ok(*appended),
        other => Err(Failure::new(format!("{other:?} of an append"))),
    }
}

async fn a_retry_with_the_key_changes_nothing(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let done = committed(project.commit(with_key("x", WriteCondition::None, keyed("k"))).await?)?;
    let first = appended_at(&done, 2)?;
    assert_eq!((first.first, first.last, first.replayed), (2, 3, false));
    expect_replay(&project, with_key("x", WriteCondition::None, keyed("k")), first).await?;
    // Whatever was done since, and whatever the conditions are.
    written(project.docs().put(&key("d"), json("9"), WriteCondition::None).await?)?;
    project.files().delete(&path("h"), WriteCondition::None).await.map(drop)?;
    written(project.files().write_bytes(&path("h/in-the-way"), "x", WriteCondition::None).await?)?;
    append(&project.history(), numbers([4])).await?;
    expect_replay(&project, with_key("x", WriteCondition::Absent, keyed("k")), first).await?;
    let options = AppendOptions { expected_head: Some(Position::START.into()), ..keyed("k") };
    expect_replay(&project, with_key("x", WriteCondition::None, options), first).await?;
    project.history().truncate(4).await?;
    project.history().close().await?;
    expect_replay(&project, with_key("x", WriteCondition::None, keyed("k")), first).await?;
    Ok(())
}

async fn the_key_covers_the_whole_commit(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let first = committed(project.commit(with_key("x", WriteCondition::None, keyed("k"))).await?)?;
    let first = appended_at(&first, 2)?;
    let before = contents(&project).await?;
    let another = |change: fn(&mut Vec<Operation>)| {
        let mut operations = with_key("x", WriteCondition::None, keyed("k"));
        change(&mut operations);
        operations
    };
    for operations in [
        with_key("y", WriteCondition::None, keyed("k")),
        another(|operations| operations.truncate(3)),
        another(|operations| operations.swap(0, 1)),
        another(|operations| operations.push(delete_doc("more", WriteCondition::None))),
        another(|operations| operations.iter_mut().take(1).for_each(|one| *one = put_doc("d", "3", WriteCondition::None))),
        another(|operations| operations.iter_mut().take(1).for_each(|one| *one = patch_doc("d", "2", WriteCondition::None))),
        with_key("x", WriteCondition::None, AppendOptions { close: true, ..keyed("k") }),
        vec![on_log("history", numbers([2, 3]), keyed("k"))],
    ] {
        let shown = format!("{operations:?}");
        let error = refused(project.commit(operations).await, "key_reused")?;
        assert_eq!(error.cause(), &Error::KeyReused { key: "k".into() }, "{shown}");
        assert_eq!(contents(&project).await?, before, "{shown}");
    }
    refused(project.history().append(numbers([2, 3]), keyed("k")).await, "key_reused")?;
    // Nor is a commit what an append was.
    project.history().append(numbers([5]), keyed("a")).await.map(drop)?;
    refused(project.commit(vec![on_log("history", numbers([5]), keyed("a"))]).await, "key_reused")?;
    expect_replay(&project, with_key("x", WriteCondition::None, keyed("k")), first).await
}

async fn a_refused_commit_does_not_take_its_key(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let outcome = project.commit(with_key("x", WriteCondition::Absent, keyed("k"))).await?;
    assert!(matches!(outcome, CommitOutcome::Precondition { at: 0, .. }), "{outcome:?}");
    let done = committed(project.commit(vec![on_log("history", numbers([2]), keyed("k"))]).await?)?;
    assert_eq!(appended_at(&done, 0)?.first, 2);
    Ok(())
}

async fn one_append_carries_the_key(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let before = contents(&project).await?;
    let two = vec![on_log("history", numbers([2]), keyed("k")), on_log("l", numbers([2]), keyed("k"))];
    assert_eq!(refused(project.commit(two).await, "invalid")?.operation(), Some(1));
    let of_nothing = vec![put_doc("d", "2", WriteCondition::None), on_log("l", Vec::new(), keyed("k"))];
    assert_eq!(refused(project.commit(of_nothing).await, "invalid")?.operation(), Some(1));
    assert_eq!(contents(&project).await?, before);
    Ok(())
}

async fn keys_of_commits_survive_a_crash(ctx: Ctx) -> Outcome {
    let (id, first) = {
        let project = furnished(&ctx).await?;
        let done = committed(project.commit(with_key("x", WriteCondition::None, keyed("k"))).await?)?;
        (project.id().clone(), appended_at(&done, 2)?)
    };
    ctx.crash().await?;
    let project = ctx.driver().project(&id);
    expect_replay(&project, with_key("x", WriteCondition::None, keyed("k")), first).await?;
    refused(project.commit(with_key("y", WriteCondition::None, keyed("k"))).await, "key_reused")?;
    Ok(())
}
