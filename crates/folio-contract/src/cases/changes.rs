//! Subscriptions to changes of documents and files.

use std::sync::Arc;

use folio::{BlobStoreExt, Change, ChangeStream, DocKey, JsonKv, Project, ProjectExt, Target, WriteCondition};
use futures_util::StreamExt;

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, body, doc_etag, json, key, log_name, numbers, path, refused, was_there, written};
use crate::wait::{changes_until, next_change, ready, within};

cases! { "changes":
    ready_comes_first_and_nothing_of_before,
    document_writes_are_told_once_each_in_order,
    file_writes_and_deletes_are_told,
    an_own_write_is_told_once,
    each_stream_tells_its_kind,
    log_writes_never_show_up,
    what_was_refused_is_not_told,
    what_is_not_there_is_not_told_as_deleted,
    projects_shared_and_collections_are_apart,
    all_subscribers_are_told,
    what_follows_the_call_is_told,
    a_slow_reader_is_told_all_or_to_list_again,
    streams_end_with_their_project,
    writes_after_reopening_are_told [Reopen],
}

fn doc(name: &DocKey) -> Target {
    Target::Doc(name.clone())
}

fn file(name: &str) -> Target {
    Target::File(path(name))
}

fn put_doc(name: &DocKey, text: &str) -> Change {
    Change::Put { target: doc(name), etag: Some(doc_etag(&json(text))) }
}

fn put_file(name: &str, text: &str) -> Change {
    Change::Put { target: file(name), etag: Some(folio::Etag::of(text.as_bytes())) }
}

async fn put(docs: &Arc<dyn JsonKv>, name: &DocKey, text: &str) -> Outcome {
    written(docs.put(name, json(text), WriteCondition::None).await?)?;
    Ok(())
}

async fn write(project: &Arc<dyn Project>, name: &str, text: &str) -> Outcome {
    written(project.files().write_bytes(&path(name), text.to_owned(), WriteCondition::None).await?)?;
    Ok(())
}

/// What is told before a last document, written here to know that nothing else comes.
async fn told_before_the_last_doc(stream: &mut ChangeStream, docs: &Arc<dyn JsonKv>) -> Outcome<Vec<Change>> {
    let last = key("the-last-one");
    put(docs, &last, "0").await?;
    let mut changes = changes_until(stream, "the last document", |change| *change == put_doc(&last, "0")).await?;
    changes.pop();
    Ok(changes)
}

/// What is told before a last file, written here to know that nothing else comes.
async fn told_before_the_last_file(stream: &mut ChangeStream, project: &Arc<dyn Project>) -> Outcome<Vec<Change>> {
    write(project, "the-last-one", "0").await?;
    let last = put_file("the-last-one", "0");
    let mut changes = changes_until(stream, "the last file", |change| *change == last).await?;
    changes.pop();
    Ok(changes)
}

async fn ready_comes_first_and_nothing_of_before(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    put(&project.docs(), &key("before"), "1").await?;
    write(&project, "before", "1").await?;
    for mut stream in [project.docs().subscribe().await?, project.changes().await?] {
        ready(&mut stream).await?;
        assert_eq!(told_before_the_last_doc(&mut stream, &project.docs()).await?, []);
    }
    let mut stream = project.files().subscribe().await?;
    ready(&mut stream).await?;
    assert_eq!(told_before_the_last_file(&mut stream, &project).await?, []);
    Ok(())
}

async fn document_writes_are_told_once_each_in_order(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let docs = project.docs();
    let mut streams = [docs.subscribe().await?, project.changes().await?];
    for stream in &mut streams {
        ready(stream).await?;
    }
    let (a, b) = (key("a"), key("b"));
    let mut expected = Vec::new();
    for n in 0..20 {
        let text = n.to_string();
        put(&docs, &a, &text).await?;
        expected.push(put_doc(&a, &text));
        put(&docs, &b, &text).await?;
        expected.push(put_doc(&b, &text));
        let patched = docs.patch(&b, json(r#"{"n":1}"#), WriteCondition::None).await?;
        assert!(matches!(patched, folio::PatchOutcome::Written(_)), "{patched:?}");
        expected.push(put_doc(&b, r#"{"n":1}"#));
        assert!(was_there(docs.delete(&a, WriteCondition::None).await?)?);
        expected.push(Change::Delete { target: doc(&a) });
    }
    for stream in &mut streams {
        let told = changes_until(stream, "every change", {
            let mut count = 0;
            let all = expected.len();
            move |_| {
                count += 1;
                count == all
            }
        });
        assert_eq!(told.await?, expected);
    }
    let [stream, _] = &mut streams;
    assert_eq!(told_before_the_last_doc(stream, &docs).await?, []);
    Ok(())
}

async fn file_writes_and_deletes_are_told(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let mut streams = [project.files().subscribe().await?, project.changes().await?];
    for stream in &mut streams {
        ready(stream).await?;
    }
    let steps = [("a", Some("1")), ("new/folder/b", Some("2")), ("a", Some("3")), ("new/folder/b", None), ("a", None)];
    for (name, text) in steps {
        let expected = match text {
            Some(text) => {
                write(&project, name, text).await?;
                put_file(name, text)
            }
            None => {
                assert!(was_there(project.files().delete(&path(name), WriteCondition::None).await?)?);
                Change::Delete { target: file(name) }
            }
        };
        for stream in &mut streams {
            assert_eq!(next_change(stream, format!("{expected:?}")).await?, expected);
        }
    }
    Ok(())
}

async fn an_own_write_is_told_once(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let mut stream = project.changes().await?;
    ready(&mut stream).await?;
    write(&project, "a/b", "1").await?;
    put(&project.docs(), &key("doc"), "1").await?;
    written(project.files().write(&path("streamed"), body(["1", "2"]), WriteCondition::None).await?)?;
    let mut told = told_before_the_last_file(&mut stream, &project).await?;
    told.sort_by_key(|change| change.target().cloned());
    assert_eq!(told, [put_file("a/b", "1"), put_file("streamed", "12"), put_doc(&key("doc"), "1")]);
    // an echo that comes late would come before this
    assert_eq!(told_before_the_last_doc(&mut stream, &project.docs()).await?, []);
    Ok(())
}

async fn each_stream_tells_its_kind(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (mut docs, mut files) = (project.docs().subscribe().await?, project.files().subscribe().await?);
    let mut both = project.changes().await?;
    for stream in [&mut docs, &mut files, &mut both] {
        ready(stream).await?;
    }
    write(&project, "same", "1").await?;
    put(&project.docs(), &key("same"), "2").await?;
    assert_eq!(told_before_the_last_doc(&mut docs, &project.docs()).await?, [put_doc(&key("same"), "2")]);
    assert_eq!(told_before_the_last_file(&mut files, &project).await?, [put_file("same", "1")]);
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(next_change(&mut both, format!("a change of either kind, after {told:?}")).await?);
    }
    told.sort_by_key(|change| change.target().cloned());
    let last = key("the-last-one");
    let expected = [put_file("same", "1"), put_file("the-last-one", "0"), put_doc(&key("same"), "2"), put_doc(&last, "0")];
    assert_eq!(told, expected);
    Ok(())
}

async fn log_writes_never_show_up(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let mut streams = [project.changes().await?, project.docs().subscribe().await?];
    let mut files = project.files().subscribe().await?;
    for stream in streams.iter_mut().chain([&mut files]) {
        ready(stream).await?;
    }
    for name in ["history", "runs/1", "doc"] {
        let log = project.log(&log_name(name));
        append(&log, numbers(1..=3)).await?;
        log.truncate(2).await?;
        append(&log, numbers([4])).await?;
        log.fork(3, &log_name(&format!("{name}-fork"))).await?;
        log.close().await?;
    }
    project.log(&log_name("doc-fork")).delete().await?;
    for stream in &mut streams {
        assert_eq!(told_before_the_last_doc(stream, &project.docs()).await?, []);
    }
    assert_eq!(told_before_the_last_file(&mut files, &project).await?, []);
    Ok(())
}

async fn what_was_refused_is_not_told(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    put(&project.docs(), &key("doc"), "1").await?;
    write(&project, "a/b", "1").await?;
    let mut stream = project.changes().await?;
    ready(&mut stream).await?;
    let refusals = [
        project.docs().put(&key("doc"), json("2"), WriteCondition::Absent).await?,
        project.files().write_bytes(&path("a/b"), "2", WriteCondition::Absent).await?,
        project.files().write_bytes(&path("c/d"), "2", WriteCondition::Exists).await?,
    ];
    assert!(refusals.iter().all(|outcome| matches!(outcome, folio::WriteOutcome::Precondition { .. })), "{refusals:?}");
    refused(project.files().write_bytes(&path("a"), "2", WriteCondition::None).await, "path_conflict")?;
    assert_eq!(told_before_the_last_doc(&mut stream, &project.docs()).await?, []);
    assert_eq!(told_before_the_last_file(&mut stream, &project).await?, []);
    Ok(())
}

async fn what_is_not_there_is_not_told_as_deleted(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let mut stream = project.changes().await?;
    ready(&mut stream).await?;
    assert!(!was_there(project.docs().delete(&key("doc"), WriteCondition::None).await?)?);
    assert!(!was_there(project.files().delete(&path("a/b"), WriteCondition::None).await?)?);
    assert_eq!(told_before_the_last_doc(&mut stream, &project.docs()).await?, []);
    assert_eq!(told_before_the_last_file(&mut stream, &project).await?, []);
    Ok(())
}

async fn projects_shared_and_collections_are_apart(ctx: Ctx) -> Outcome {
    let (driver, collection) = (ctx.driver(), ctx.fresh_collection()?);
    let stores = [
        ctx.project().await?.docs(),
        ctx.project().await?.docs(),
        driver.collection(&collection),
        driver.collection(&ctx.fresh_collection()?),
        driver.shared(),
    ];
    let mut streams = Vec::new();
    for docs in &stores {
        let mut stream = docs.subscribe().await?;
        ready(&mut stream).await?;
        streams.push(stream);
    }
    let name = key(&ctx.fresh_name());
    for (n, docs) in stores.iter().enumerate() {
        put(docs, &name, &n.to_string()).await?;
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        // others may write shared documents meanwhile
        let ours = |change: &Change| change.target() == Some(&doc(&name));
        let told = changes_until(stream, format!("the document of store {n}"), ours).await?;
        assert_eq!(told.last(), Some(&put_doc(&name, &n.to_string())));
        assert!(n == 4 || told.len() == 1, "store {n} tells what is not its own: {told:?}");
    }
    was_there(driver.shared().delete(&name, WriteCondition::None).await?)?;
    Ok(())
}

async fn all_subscribers_are_told(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = ctx.again(&project).docs().subscribe().await?;
        ready(&mut stream).await?;
        streams.push(stream);
    }
    put(&project.docs(), &key("doc"), "1").await?;
    streams.truncate(5);
    put(&project.docs(), &key("doc"), "2").await?;
    for stream in &mut streams {
        for text in ["1", "2"] {
            assert_eq!(next_change(stream, "the change").await?, put_doc(&key("doc"), text));
        }
    }
    Ok(())
}

async fn what_follows_the_call_is_told(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    // nobody looks at the stream until everything has happened
    let mut stream = project.changes().await?;
    put(&project.docs(), &key("doc"), "1").await?;
    write(&project, "a/b", "1").await?;
    ready(&mut stream).await?;
    let mut told = [next_change(&mut stream, "the first change").await?, next_change(&mut stream, "the second change").await?];
    told.sort_by_key(|change| change.target().cloned());
    assert_eq!(told, [put_file("a/b", "1"), put_doc(&key("doc"), "1")]);
    Ok(())
}

async fn a_slow_reader_is_told_all_or_to_list_again(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let docs = project.docs();
    let mut stream = docs.subscribe().await?;
    ready(&mut stream).await?;
    // more than any buffer on the way holds, while nobody looks at the stream
    let (writers, each) = (8, 250);
    let writing = (0..writers).map(|writer| {
        let docs = Arc::clone(&docs);
        async move {
            for n in 0..each {
                put(&docs, &key(&format!("w{writer}")), &n.to_string()).await?;
            }
            Outcome::Ok(())
        }
    });
    futures_util::future::try_join_all(writing).await?;
    let last = key("the-last-one");
    put(&docs, &last, "0").await?;
    let told = changes_until(&mut stream, "the last document", |change| *change == put_doc(&last, "0")).await?;
    let missed = told.contains(&Change::Rescan);
    for writer in 0..writers {
        let name = key(&format!("w{writer}"));
        let own: Vec<_> = told.iter().filter(|change| change.target() == Some(&doc(&name))).collect();
        if missed {
            // what is told after the rescan still goes up to the final state, if anything is
            let end = put_doc(&name, &(each - 1).to_string());
            assert!(own.last().is_none_or(|change| **change == end), "{name}: {:?} is the last that was told", own.last());
        } else {
            let all: Vec<_> = (0..each).map(|n| put_doc(&name, &n.to_string())).collect();
            assert!(own.into_iter().eq(&all), "{name}: not every write, in order, and no rescan");
        }
    }
    Ok(())
}

async fn streams_end_with_their_project(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let mut streams = [project.changes().await?, project.docs().subscribe().await?, project.files().subscribe().await?];
    for stream in &mut streams {
        ready(stream).await?;
    }
    ctx.driver().delete_project(project.id()).await?;
    for stream in &mut streams {
        while let Some(change) = within("the end of a stream of a deleted project", stream.next()).await? {
            change?;
        }
    }
    ctx.driver().create_project(project.id()).await?;
    assert_eq!(project.history().status().await?.head.seq, 0);
    Ok(())
}

async fn writes_after_reopening_are_told(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    write(&project, "a", "1").await?;
    put(&project.docs(), &key("doc"), "1").await?;
    ctx.reopen().await?;
    let project = ctx.again(&project);
    let mut stream = project.changes().await?;
    ready(&mut stream).await?;
    write(&project, "a", "2").await?;
    assert_eq!(next_change(&mut stream, "the file").await?, put_file("a", "2"));
    was_there(project.docs().delete(&key("doc"), WriteCondition::None).await?)?;
    assert_eq!(next_change(&mut stream, "the document").await?, Change::Delete { target: doc(&key("doc")) });
    Ok(())
}
