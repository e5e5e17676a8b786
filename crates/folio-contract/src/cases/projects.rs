//! Projects: create, list, delete.

use folio::driver::CONTRACT_VERSION;
use folio::{BlobStoreExt, Position, ProjectExt, ProjectId, WriteCondition};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, json, key, log_name, numbers, path, read_all, refused, written};

cases! { "projects":
    a_driver_tells_what_it_is,
    creating_twice_is_fine,
    a_created_project_is_empty,
    deleting_takes_everything,
    deleting_what_is_not_there_is_fine,
    a_project_that_comes_back_begins_anew,
    a_list_is_in_byte_order_and_pages,
    a_list_limit_is_1_to_10000,
    ids_that_look_alike_are_not_merged,
    projects_survive_reopening [Reopen],
    a_deleted_project_stays_deleted_over_reopening [Reopen],
}

async fn a_driver_tells_what_it_is(ctx: Ctx) -> Outcome {
    let info = ctx.driver().info().await?;
    assert_eq!(info.contract, CONTRACT_VERSION);
    assert!(!info.name.is_empty());
    Ok(())
}

async fn creating_twice_is_fine(ctx: Ctx) -> Outcome {
    let (driver, id) = (ctx.driver(), ctx.fresh_id()?);
    assert!(!driver.has_project(&id).await?);
    assert!(driver.create_project(&id).await?);
    append(&driver.project(&id).history(), numbers(1..=3)).await?;
    assert!(!driver.create_project(&id).await?);
    assert!(driver.has_project(&id).await?);
    assert_eq!(driver.project(&id).id(), &id);
    assert_eq!(driver.project(&id).history().status().await?.head.seq, 3, "creating again touches nothing");
    Ok(())
}

async fn a_created_project_is_empty(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    assert_eq!(project.files().list(folio::FileListOptions::default()).await?.files, []);
    assert_eq!(project.docs().list(folio::DocListOptions::default()).await?.docs, []);
    let status = project.history().status().await?;
    assert_eq!((status.head, status.horizon, status.closed), (Position::START, 0, false));
    assert!(read_all(&project.history()).await?.is_empty());
    Ok(())
}

async fn deleting_takes_everything(ctx: Ctx) -> Outcome {
    let (driver, project, other) = (ctx.driver(), ctx.project().await?, ctx.project().await?);
    for project in [&project, &other] {
        append(&project.history(), numbers(1..=3)).await?;
        written(project.docs().put(&key("doc"), json("1"), WriteCondition::None).await?)?;
        written(project.files().write_bytes(&path("a/b"), "1", WriteCondition::None).await?)?;
    }
    assert!(driver.delete_project(project.id()).await?);
    assert!(!driver.has_project(project.id()).await?);
    refused(project.docs().get(&key("doc")).await, "no_project")?;
    refused(project.files().stat(&path("a/b"), false).await, "no_project")?;
    refused(project.history().status().await, "no_project")?;
    assert_eq!(other.history().status().await?.head.seq, 3);
    assert!(other.files().exists(&path("a/b")).await?);
    Ok(())
}

async fn deleting_what_is_not_there_is_fine(ctx: Ctx) -> Outcome {
    let (driver, id) = (ctx.driver(), ctx.fresh_id()?);
    assert!(!driver.delete_project(&id).await?);
    driver.create_project(&id).await?;
    assert!(driver.delete_project(&id).await?);
    assert!(!driver.delete_project(&id).await?);
    Ok(())
}

async fn a_project_that_comes_back_begins_anew(ctx: Ctx) -> Outcome {
    let (driver, project) = (ctx.driver(), ctx.project().await?);
    let old = append(&project.history(), numbers(1..=3)).await?.cursor;
    append(&project.log(&log_name("runs/1")), numbers(1..=3)).await?;
    project.log(&log_name("runs/1")).fork(2, &log_name("runs/2")).await?;
    written(project.docs().put(&key("doc"), json("1"), WriteCondition::None).await?)?;
    written(project.files().write_bytes(&path("a/b"), "1", WriteCondition::None).await?)?;
    driver.delete_project(project.id()).await?;
    assert!(driver.create_project(project.id()).await?);
    assert_eq!(project.history().status().await?.head, Position::START);
    assert_eq!(project.list_logs(None, 10).await?.logs, [folio::LogName::history()]);
    assert_eq!(project.docs().get(&key("doc")).await?, None);
    assert_eq!(project.files().list(folio::FileListOptions::default()).await?.files, []);
    written(project.files().write_bytes(&path("a"), "1", WriteCondition::Absent).await?)?;
    let new = append(&project.history(), numbers([1])).await?.cursor;
    assert!(new.epoch > old.epoch, "{new} must lie above {old}");
    let outcome = project.history().read(crate::make::since(old)).await?;
    assert_eq!(outcome.gap.map(|gap| gap.reason), Some(folio::GapReason::Epoch), "a cursor of the life before");
    Ok(())
}

/// The projects of this case, from a list read in pages; others may stand between them.
async fn ours(ctx: &Ctx, limit: usize) -> Outcome<Vec<ProjectId>> {
    let (mut all, mut after) = (Vec::new(), Some(ProjectId::new(ctx.prefix())?));
    loop {
        let list = ctx.driver().list_projects(after.as_ref(), limit).await?;
        assert!(list.projects.len() <= limit, "{} projects on a page of {limit}", list.projects.len());
        assert!(list.next.is_none() || list.next.as_ref() == list.projects.last(), "next is {:?}", list.next);
        all.extend(list.projects);
        after = list.next;
        if after.is_none() {
            break;
        }
    }
    assert!(all.is_sorted(), "{all:?}");
    all.retain(|id| id.as_str().starts_with(ctx.prefix()));
    Ok(all)
}

async fn a_list_is_in_byte_order_and_pages(ctx: Ctx) -> Outcome {
    let driver = ctx.driver();
    let mut made = Vec::new();
    for suffix in ["-a", "a", "0", "Z", "_", "a-b", "ab", "a_", "10", "9"] {
        let id = ProjectId::new(format!("{}{suffix}", ctx.prefix()))?;
        assert!(driver.create_project(&id).await?);
        made.push(id);
    }
    made.sort();
    for limit in [1, 3, 10, 11, 1_000] {
        assert_eq!(ours(&ctx, limit).await?, made, "pages of {limit}");
    }
    let gone = made.remove(4);
    driver.delete_project(&gone).await?;
    assert_eq!(ours(&ctx, 2).await?, made);
    let list = driver.list_projects(Some(&gone), 1).await?;
    assert_eq!(list.projects.first(), made.get(4), "after an id that is not there");
    Ok(())
}

async fn a_list_limit_is_1_to_10000(ctx: Ctx) -> Outcome {
    let driver = ctx.driver();
    for limit in [0, 10_001] {
        refused(driver.list_projects(None, limit).await, "invalid")?;
    }
    ctx.project().await?;
    assert!(!driver.list_projects(None, 10_000).await?.projects.is_empty());
    Ok(())
}

/// Where ids can't be kept apart, the second one is refused; it never reaches the first one's project.
async fn ids_that_look_alike_are_not_merged(ctx: Ctx) -> Outcome {
    let driver = ctx.driver();
    let [one, other] = ["x", "X"].map(|suffix| ProjectId::new(format!("{}-{suffix}", ctx.prefix())));
    let (one, other) = (one?, other?);
    driver.create_project(&one).await?;
    append(&driver.project(&one).history(), numbers([1])).await?;
    if let Ok(created) = driver.create_project(&other).await {
        assert!(created, "another project");
        append(&driver.project(&other).history(), numbers([2])).await?;
        driver.delete_project(&other).await?;
    }
    assert_eq!(driver.project(&one).history().status().await?.head.seq, 1);
    Ok(())
}

async fn projects_survive_reopening(ctx: Ctx) -> Outcome {
    let made = [ctx.project().await?.id().clone(), ctx.project().await?.id().clone()];
    ctx.reopen().await?;
    assert_eq!(ours(&ctx, 10).await?, made);
    for id in &made {
        assert!(ctx.driver().has_project(id).await?);
        assert!(!ctx.driver().create_project(id).await?);
    }
    Ok(())
}

async fn a_deleted_project_stays_deleted_over_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let old = append(&project.history(), numbers(1..=3)).await?.cursor;
    written(project.files().write_bytes(&path("a/b"), "1", WriteCondition::None).await?)?;
    ctx.driver().delete_project(project.id()).await?;
    ctx.reopen().await?;
    assert!(!ctx.driver().has_project(project.id()).await?);
    assert!(ctx.driver().create_project(project.id()).await?);
    let project = ctx.again(&project);
    assert_eq!(project.files().list(folio::FileListOptions::default()).await?.files, []);
    let new = append(&project.history(), numbers([1])).await?.cursor;
    assert!(new.seq == 1 && new.epoch > old.epoch, "{new} must lie above {old}");
    Ok(())
}
