//! What every call answers where the project, or the log, does not exist.

use std::fmt::Debug;

use folio::{AppendOptions, BlobStoreExt, Error, FileReadOptions, LogName, ReadOptions, Start, WriteCondition};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{json, key, log_name, numbers, path, refused};

cases! { "missing":
    every_call_names_the_missing_project,
    a_call_on_a_missing_project_creates_nothing,
    every_call_names_the_missing_log,
    handles_outlive_their_project,
}

fn names_it<T: Debug>(what: &str, id: &folio::ProjectId, result: folio::Result<T>) -> Outcome {
    let error = refused(result, "no_project").map_err(|failure| failure.within(what))?;
    assert_eq!(error, Error::NoProject { id: id.to_string() }, "{what}");
    Ok(())
}

async fn every_call_is_refused(ctx: &Ctx, id: &folio::ProjectId) -> Outcome {
    let project = ctx.driver().project(id);
    for name in [LogName::history(), log_name("runs/1")] {
        let log = project.log(&name);
        names_it("append", id, log.append(numbers([1]), AppendOptions::default()).await)?;
        names_it("append of nothing", id, log.append(Vec::new(), AppendOptions::default()).await)?;
        names_it("read", id, log.read(ReadOptions::default()).await)?;
        names_it("subscribe", id, log.subscribe(Start::Now).await.map(|_| ()))?;
        names_it("truncate", id, log.truncate(1).await)?;
        names_it("status", id, log.status().await)?;
        names_it("close", id, log.close().await)?;
        names_it("fork", id, log.fork(0, &log_name("fork")).await)?;
        names_it("delete a log", id, log.delete().await)?;
    }
    names_it("list logs", id, project.list_logs(None, 10).await)?;
    names_it("changes", id, project.changes().await.map(|_| ()))?;
    let (docs, doc) = (project.docs(), key("doc"));
    names_it("list documents", id, docs.list(folio::DocListOptions::default()).await)?;
    names_it("get", id, docs.get(&doc).await)?;
    for condition in [WriteCondition::None, WriteCondition::Absent, WriteCondition::Exists] {
        names_it("put", id, docs.put(&doc, json("1"), condition).await)?;
        names_it("patch", id, docs.patch(&doc, json("1"), condition).await)?;
        names_it("delete a document", id, docs.delete(&doc, condition).await)?;
    }
    names_it("subscribe to documents", id, docs.subscribe().await.map(|_| ()))?;
    let (files, file) = (project.files(), path("a/b"));
    names_it("stat", id, files.stat(&file, true).await)?;
    names_it("read a file", id, files.read(&file, FileReadOptions::default()).await)?;
    for condition in [WriteCondition::None, WriteCondition::Absent, WriteCondition::Exists] {
        names_it("write a file", id, files.write_bytes(&file, "1", condition).await)?;
        names_it("delete a file", id, files.delete(&file, condition).await)?;
    }
    names_it("list files", id, files.list(folio::FileListOptions::default()).await)?;
    names_it("subscribe to files", id, files.subscribe().await.map(|_| ()))?;
    names_it("fork a project", id, ctx.driver().fork_project(id, &ctx.fresh_id()?).await)
}

async fn every_call_names_the_missing_project(ctx: Ctx) -> Outcome {
    every_call_is_refused(&ctx, &ctx.fresh_id()?).await
}

async fn a_call_on_a_missing_project_creates_nothing(ctx: Ctx) -> Outcome {
    let id = ctx.fresh_id()?;
    every_call_is_refused(&ctx, &id).await?;
    assert!(!ctx.driver().has_project(&id).await?);
    let listed = ctx.driver().list_projects(Some(&folio::ProjectId::new(ctx.prefix())?), 1).await?;
    assert!(!listed.projects.contains(&id));
    assert!(ctx.driver().create_project(&id).await?, "nothing of it was there");
    Ok(())
}

async fn every_call_names_the_missing_log(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&log_name("runs/1"));
    let errors = [
        refused(log.read(ReadOptions::default()).await, "no_log")?,
        refused(log.truncate(1).await, "no_log")?,
        refused(log.status().await, "no_log")?,
        refused(log.close().await, "no_log")?,
        refused(log.fork(0, &log_name("fork")).await, "no_log")?,
    ];
    for error in errors {
        assert_eq!(error, Error::NoLog { project: project.id().to_string(), name: "runs/1".into() });
    }
    assert_eq!(project.list_logs(None, 10).await?.logs, [LogName::history()], "none of them made it");
    Ok(())
}

async fn handles_outlive_their_project(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (docs, files, log) = (project.docs(), project.files(), project.log(&LogName::history()));
    ctx.driver().delete_project(project.id()).await?;
    every_call_is_refused(&ctx, project.id()).await?;
    names_it("get", project.id(), docs.get(&key("doc")).await)?;
    ctx.driver().create_project(project.id()).await?;
    assert_eq!(docs.get(&key("doc")).await?, None);
    assert_eq!(files.stat(&path("a"), false).await?, None);
    assert_eq!(log.status().await?.head.seq, 0);
    Ok(())
}
