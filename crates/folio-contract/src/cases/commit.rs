//! Commits: several operations, all or none.

use std::sync::Arc;

use folio::{
    AppendOptions, Appended, BlobStoreExt, Change, CommitOutcome, Current, Data, DocListOptions, Document, Done, Error, Etag,
    FileListOptions, Operation, Position, Project, ProjectExt, Start, Target, WriteCondition,
};
use futures_util::{StreamExt, stream};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{
    append, closing, committed, data, delete_doc, delete_file, doc_etag, entry, expecting, json, key, keyed, log_name, numbers,
    on_log, patch_doc, path, put_doc, put_file, read_all, refused, written,
};
use crate::wait::{caught_up, changes_until, next_change, next_entry, ready};

cases! { "commit":
    every_kind_is_done_and_told_in_order,
    nothing_is_fine,
    one_condition_that_fails_leaves_everything,
    conditions_are_judged_on_what_was_there_before,
    the_first_operation_that_fails_is_told,
    one_error_leaves_everything,
    a_body_that_breaks_off_leaves_everything,
    bodies_are_taken_one_after_the_other,
    a_target_comes_once,
    a_file_is_no_folder_of_another,
    sizes_count_together,
    at_most_1000_operations,
    changes_are_told_once_each_after_all_is_in,
    who_follows_a_log_finds_the_documents,
    a_commit_can_make_and_close_logs,
    where_there_is_no_project,
    it_is_there_after_reopening [Reopen],
    it_is_there_after_a_crash [Crash],
}

/// All that a project holds, to see that nothing changed.
pub(super) async fn contents(project: &Arc<dyn Project>) -> Outcome<String> {
    let docs = project.docs().list(DocListOptions { etag: true, ..DocListOptions::default() }).await?;
    let docs: Vec<_> = docs.docs.into_iter().map(|doc| (doc.key, doc.etag)).collect();
    let files = project.files().list(FileListOptions { etag: true, ..FileListOptions::default() }).await?;
    let files: Vec<_> = files.files.into_iter().map(|file| (file.path, file.size, file.etag)).collect();
    let mut logs = Vec::new();
    for name in project.list_logs(None, 1_000).await?.logs {
        let status = project.log(&name).status().await?;
        logs.push((name, status.head, status.closed));
    }
    Ok(format!("{docs:?} {files:?} {logs:?}"))
}

/// With the documents `d` = 1 and `e` = {"a":1}, the file `f/g` of `old`, and one entry in the history and in `l`.
pub(super) async fn furnished(ctx: &Ctx) -> Outcome<Arc<dyn Project>> {
    let project = ctx.project().await?;
    written(project.docs().put(&key("d"), json("1"), WriteCondition::None).await?)?;
    written(project.docs().put(&key("e"), json(r#"{"a":1}"#), WriteCondition::None).await?)?;
    written(project.files().write_bytes(&path("f/g"), "old", WriteCondition::None).await?)?;
    append(&project.history(), numbers([1])).await?;
    append(&project.log(&log_name("l")), numbers([1])).await?;
    Ok(project)
}

/// One operation of every kind on what stands there, and one that makes something new of each.
fn of_every_kind() -> Vec<Operation> {
    vec![
        put_doc("d", "2", WriteCondition::None),
        patch_doc("e", r#"{"b":90071992547409931234}"#, WriteCondition::None),
        patch_doc("new-by-patch", r#"{"x":null,"y":1e400}"#, WriteCondition::Absent),
        delete_doc("nothing", WriteCondition::None),
        put_file("f/g", ["ne", "w"], WriteCondition::Exists),
        put_file("a/b/c", [""; 0], WriteCondition::Absent),
        delete_file("nothing/there", WriteCondition::None),
        on_log("history", numbers(2..=3), AppendOptions::default()),
        on_log("l", Vec::new(), AppendOptions::default()),
        on_log("runs/1", vec![Data::Bytes(vec![0, 255].into()), Data::Json(json("null"))], AppendOptions::default()),
        put_doc("new", r#"{ "a" : 1 }"#, WriteCondition::Absent),
    ]
}

async fn expect_every_kind(project: &Arc<dyn Project>) -> Outcome {
    let docs = project.docs();
    for (name, value) in
        [("d", "2"), ("e", r#"{"a":1,"b":90071992547409931234}"#), ("new-by-patch", r#"{"y":1e400}"#), ("new", r#"{"a":1}"#)]
    {
        let expected = Document { value: json(value), etag: doc_etag(&json(value)) };
        assert_eq!(docs.get(&key(name)).await?, Some(expected), "{name}");
    }
    assert_eq!(project.files().read_text(&path("f/g")).await?.as_deref(), Some("new"));
    assert_eq!(project.files().read_text(&path("a/b/c")).await?.as_deref(), Some(""));
    assert_eq!(data(&read_all(&project.history()).await?), numbers(1..=3));
    assert_eq!(data(&read_all(&project.log(&log_name("l"))).await?), numbers([1]));
    let made = read_all(&project.log(&log_name("runs/1"))).await?;
    assert_eq!(data(&made), [Data::Bytes(vec![0, 255].into()), Data::Json(json("null"))]);
    Ok(())
}

async fn every_kind_is_done_and_told_in_order(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let done = committed(project.commit(of_every_kind()).await?)?;
    expect_every_kind(&project).await?;
    let patched = |text: &str| Done::Patched(Document { value: json(text), etag: doc_etag(&json(text)) });
    let put = |etag, created| Done::Written { etag, created };
    let head = |name: &str| {
        let log = project.log(&log_name(name));
        async move { log.status().await.map(|status| status.head) }
    };
    let appended = |first, cursor: Position| Done::Appended(Appended { first, last: cursor.seq, cursor, replayed: false });
    let expected = [
        put(doc_etag(&json("2")), false),
        patched(r#"{"a":1,"b":90071992547409931234}"#),
        patched(r#"{"y":1e400}"#),
        Done::Deleted(false),
        put(Etag::of(b"new"), false),
        put(Etag::of(b""), true),
        Done::Deleted(false),
        appended(2, head("history").await?),
        appended(2, head("l").await?),
        appended(1, head("runs/1").await?),
        put(doc_etag(&json(r#"{"a":1}"#)), true),
    ];
    assert_eq!(done, expected);
    let deletes = vec![delete_doc("d", WriteCondition::Exists), delete_file("a/b/c", WriteCondition::Exists)];
    assert_eq!(committed(project.commit(deletes).await?)?, [Done::Deleted(true), Done::Deleted(true)]);
    assert_eq!(project.docs().get(&key("d")).await?, None);
    assert_eq!(project.files().stat(&path("a/b/c"), false).await?, None);
    // The folders that this left empty are gone, so a file can stand there.
    written(project.files().write_bytes(&path("a"), "x", WriteCondition::Absent).await?)?;
    Ok(())
}

async fn nothing_is_fine(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let before = contents(&project).await?;
    assert_eq!(committed(project.commit(Vec::new()).await?)?, []);
    let empty = vec![on_log("not-made", Vec::new(), AppendOptions::default())];
    let nothing = Appended { first: 1, last: 0, cursor: Position::START, replayed: false };
    assert_eq!(committed(project.commit(empty).await?)?, [Done::Appended(nothing)]);
    assert_eq!(contents(&project).await?, before);
    Ok(())
}

/// Adds `last` to operations that would go well.
fn behind_others(last: Operation) -> Vec<Operation> {
    let mut operations = vec![
        put_doc("other", "1", WriteCondition::Absent),
        patch_doc("e", r#"{"a":2}"#, WriteCondition::Exists),
        put_file("other", ["x"], WriteCondition::None),
        on_log("history", numbers([7]), AppendOptions::default()),
        on_log("not-made", numbers([7]), AppendOptions::default()),
    ];
    operations.push(last);
    operations
}

async fn one_condition_that_fails_leaves_everything(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let before = contents(&project).await?;
    let wrong = WriteCondition::Match(Etag::of(b"never stored"));
    let (doc, file) = (Some(doc_etag(&json("1"))), Some(Etag::of(b"old")));
    let head = project.log(&log_name("l")).status().await?.head;
    let elsewhere = Position { epoch: head.epoch + 1, seq: head.seq };
    for (operation, current) in [
        (put_doc("d", "2", wrong), Current::Tag(doc)),
        (put_doc("d", "2", WriteCondition::Absent), Current::Tag(doc)),
        (put_doc("none", "2", WriteCondition::Exists), Current::Tag(None)),
        (patch_doc("d", "{}", wrong), Current::Tag(doc)),
        (patch_doc("none", "{}", WriteCondition::Exists), Current::Tag(None)),
        (delete_doc("d", wrong), Current::Tag(doc)),
        (delete_doc("none", WriteCondition::Exists), Current::Tag(None)),
        (put_file("f/g", ["new"], wrong), Current::Tag(file)),
        (put_file("f/g", ["new"], WriteCondition::Absent), Current::Tag(file)),
        (put_file("none", ["new"], WriteCondition::Exists), Current::Tag(None)),
        (delete_file("f/g", wrong), Current::Tag(file)),
        (delete_file("none", WriteCondition::Exists), Current::Tag(None)),
        (on_log("l", numbers([2]), expecting(Position::START)), Current::Head(head)),
        (on_log("l", numbers([2]), expecting(elsewhere)), Current::Head(head)),
        (on_log("none", numbers([2]), expecting(head)), Current::Head(Position::START)),
    ] {
        let shown = format!("{operation:?}");
        let outcome = project.commit(behind_others(operation)).await?;
        assert_eq!(outcome, CommitOutcome::Precondition { at: 5, current }, "{shown}");
        assert_eq!(contents(&project).await?, before, "{shown}");
    }
    Ok(())
}

async fn conditions_are_judged_on_what_was_there_before(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let head = project.history().status().await?.head;
    let all_hold = vec![
        delete_doc("e", WriteCondition::Match(doc_etag(&json(r#"{"a":1}"#)))),
        put_doc("d", "2", WriteCondition::Match(doc_etag(&json("1")))),
        put_file("f/g", ["new"], WriteCondition::Match(Etag::of(b"old"))),
        put_file("f/h", ["new"], WriteCondition::Absent),
        on_log("history", numbers([2]), expecting(head)),
        on_log("new", numbers([1]), expecting(Position::START)),
    ];
    committed(project.commit(all_hold).await?)?;
    assert_eq!(project.history().status().await?.head.seq, 2);
    Ok(())
}

async fn the_first_operation_that_fails_is_told(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let operations = vec![
        put_doc("fine", "1", WriteCondition::None),
        put_file("f/g", ["new"], WriteCondition::Absent),
        put_doc("d", "2", WriteCondition::Absent),
    ];
    let outcome = project.commit(operations).await?;
    assert_eq!(outcome, CommitOutcome::Precondition { at: 1, current: Current::Tag(Some(Etag::of(b"old"))) });
    // Errors stand in the same order.
    let unmet = || put_doc("d", "2", WriteCondition::Absent);
    let conflict = || put_file("f", ["a folder stands there"], WriteCondition::None);
    let outcome = project.commit(vec![unmet(), conflict()]).await?;
    assert_eq!(outcome, CommitOutcome::Precondition { at: 0, current: Current::Tag(Some(doc_etag(&json("1")))) });
    assert_eq!(refused(project.commit(vec![conflict(), unmet()]).await, "path_conflict")?.operation(), Some(0));
    Ok(())
}

async fn one_error_leaves_everything(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    append(&project.log(&log_name("closed")), numbers([1])).await?;
    project.log(&log_name("closed")).close().await?;
    append(&project.log(&log_name("gone")), numbers([1])).await?;
    project.log(&log_name("gone")).fork(1, &log_name("fork")).await?;
    project.log(&log_name("gone")).delete().await?;
    let before = contents(&project).await?;
    let large = vec![Data::Bytes(vec![0; (1 << 20) + 1].into())];
    for (operation, code) in [
        (on_log("closed", numbers([2]), AppendOptions::default()), "closed"),
        (on_log("gone", numbers([2]), AppendOptions::default()), "gone"),
        (on_log("l", large, AppendOptions::default()), "too_large"),
        (on_log("l", numbers([2]), keyed("a b")), "invalid"),
        (put_file("f", ["x"], WriteCondition::None), "path_conflict"),
        (put_file("f/g/h", ["x"], WriteCondition::None), "path_conflict"),
    ] {
        let shown = format!("{operation:?}");
        let error = refused(project.commit(behind_others(operation)).await, code)?;
        assert_eq!(error.operation(), Some(5), "{shown}: {error}");
        assert_eq!(contents(&project).await?, before, "{shown}");
    }
    Ok(())
}

async fn a_body_that_breaks_off_leaves_everything(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let before = contents(&project).await?;
    let broken = || Error::invalid("the sender broke off");
    for pieces in [0, 40] {
        let begin = stream::iter((0..pieces).map(|_| Ok(vec![7; 64 << 10].into())));
        let body = begin.chain(stream::iter([Err(broken())])).boxed();
        let file = Operation::PutFile { path: path("broken"), body, condition: WriteCondition::None };
        let error = refused(project.commit(behind_others(file)).await, "invalid")?;
        assert_eq!((error.operation(), error.cause()), (Some(5), &broken()), "after {pieces} pieces");
        assert_eq!(contents(&project).await?, before, "after {pieces} pieces");
    }
    Ok(())
}

async fn bodies_are_taken_one_after_the_other(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    // The second can be read only once the first was read to its end.
    let (first_is_read, wait) = tokio::sync::oneshot::channel::<()>();
    let end = stream::once(async move {
        let _ = first_is_read.send(());
        Ok("".into())
    });
    let first = stream::iter((0..30).map(|_| Ok(vec![1; 64 << 10].into()))).chain(end).boxed();
    let begin = stream::once(async move { wait.await.map(|()| "".into()).map_err(|_| Error::invalid("out of order")) });
    let second = begin.chain(stream::iter((0..30).map(|_| Ok(vec![2; 64 << 10].into())))).boxed();
    let put = |name: &str, body| Operation::PutFile { path: path(name), body, condition: WriteCondition::None };
    committed(project.commit(vec![put("z", first), put("a", second)]).await?)?;
    for (name, byte) in [("z", 1), ("a", 2)] {
        let bytes = project.files().read_bytes(&path(name)).await?;
        assert!(bytes.is_some_and(|bytes| bytes == vec![byte; 30 * (64 << 10)]), "{name}");
    }
    Ok(())
}

async fn a_target_comes_once(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let before = contents(&project).await?;
    for twice in [
        vec![
            put_doc("x", "1", WriteCondition::None),
            put_doc("y", "1", WriteCondition::None),
            delete_doc("x", WriteCondition::None),
        ],
        vec![
            put_file("x", ["1"], WriteCondition::None),
            delete_doc("x", WriteCondition::None),
            delete_file("x", WriteCondition::None),
        ],
        vec![
            on_log("x", numbers([1]), AppendOptions::default()),
            put_doc("x", "1", WriteCondition::None),
            on_log("x", numbers([2]), AppendOptions::default()),
        ],
    ] {
        let shown = format!("{twice:?}");
        let error = refused(project.commit(twice).await, "invalid")?;
        assert_eq!(error.operation(), Some(2), "{shown}");
        assert!(error.to_string().contains("\"x\"") && error.to_string().contains("0 and 2"), "{error}");
    }
    assert_eq!(contents(&project).await?, before);
    let same_name = vec![
        put_doc("x", "1", WriteCondition::None),
        put_file("x", ["1"], WriteCondition::None),
        on_log("x", numbers([1]), AppendOptions::default()),
    ];
    committed(project.commit(same_name).await?)?;
    Ok(())
}

async fn a_file_is_no_folder_of_another(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let put = |name: &str| put_file(name, ["x"], WriteCondition::None);
    for operations in [vec![put("a/b"), put("a")], vec![put("a"), put("a/b/c")]] {
        refused(project.commit(operations).await, "invalid")?;
        assert!(project.files().list(FileListOptions::default()).await?.files.is_empty());
    }
    // Paths are judged on what is there before, too.
    written(project.files().write_bytes(&path("a"), "x", WriteCondition::None).await?)?;
    let operations = vec![delete_file("a", WriteCondition::None), put("a/b")];
    assert_eq!(refused(project.commit(operations).await, "path_conflict")?.operation(), Some(1));
    assert!(project.files().exists(&path("a")).await?);
    Ok(())
}

async fn sizes_count_together(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    let half = text(17 << 20);
    let two = vec![put_doc("a", &half, WriteCondition::None), put_doc("b", &half, WriteCondition::None)];
    refused(project.commit(two).await, "too_large")?;
    let entries = vec![Data::Bytes(vec![0; 1 << 20].into()); 17];
    let mixed = vec![put_doc("a", &half, WriteCondition::None), on_log("history", entries, AppendOptions::default())];
    refused(project.commit(mixed).await, "too_large")?;
    // What a patch makes of a document counts, not only the patch.
    let member = format!("{{\"big\":{half}}}");
    for name in ["a", "b"] {
        written(project.docs().put(&key(name), json(&member), WriteCondition::None).await?)?;
    }
    let patches = vec![patch_doc("a", r#"{"x":1}"#, WriteCondition::None), patch_doc("b", r#"{"x":1}"#, WriteCondition::None)];
    refused(project.commit(patches).await, "too_large")?;
    assert_eq!(project.docs().get(&key("b")).await?.map(|document| document.etag), Some(doc_etag(&json(&member))));
    // Files do not count.
    let files = vec![
        put_file("a", vec![vec![0; 20 << 20]], WriteCondition::None),
        put_file("b", vec![vec![0; 20 << 20]], WriteCondition::None),
    ];
    committed(project.commit(files).await?)?;
    Ok(())
}

async fn at_most_1000_operations(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let many = |count: u64| (0..count).map(|n| put_doc(&format!("k{n}"), "1", WriteCondition::None)).collect::<Vec<_>>();
    refused(project.commit(many(1_001)).await, "invalid")?;
    assert!(project.docs().list(DocListOptions::default()).await?.docs.is_empty());
    assert_eq!(committed(project.commit(many(1_000)).await?)?.len(), 1_000);
    assert_eq!(project.docs().list(DocListOptions::default()).await?.docs.len(), 1_000);
    Ok(())
}

async fn changes_are_told_once_each_after_all_is_in(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let mut changes = project.changes().await?;
    ready(&mut changes).await?;
    let before = contents(&project).await?;
    let outcome = project.commit(behind_others(put_doc("d", "2", WriteCondition::Absent))).await?;
    assert!(matches!(outcome, CommitOutcome::Precondition { .. }), "{outcome:?}");
    assert_eq!(contents(&project).await?, before);
    let operations = vec![
        put_doc("a", "1", WriteCondition::None),
        delete_doc("d", WriteCondition::None),
        delete_doc("nothing", WriteCondition::None),
        put_file("x", ["1"], WriteCondition::None),
        delete_file("f/g", WriteCondition::None),
        patch_doc("e", r#"{"a":2}"#, WriteCondition::None),
    ];
    committed(project.commit(operations).await?)?;
    let mut told = vec![next_change(&mut changes, "the first change").await?];
    // The one that was told first came after all of them.
    assert_eq!(project.docs().get(&key("e")).await?.map(|document| document.value), Some(json(r#"{"a":2}"#)));
    written(project.docs().put(&key("last"), json("1"), WriteCondition::None).await?)?;
    let last = Target::Doc(key("last"));
    let mut files_told = 0;
    told.extend(changes_until(&mut changes, "the last change", |change| change.target() == Some(&last)).await?);
    let is_file = |change: &Change| matches!(change.target(), Some(Target::File(_)));
    while told.iter().filter(|change| is_file(change)).count() < 2 {
        told.push(next_change(&mut changes, format!("the files, after {told:?}")).await?);
        files_told += 1;
        assert!(files_told <= 2, "{told:?}");
    }
    let (mut files, docs): (Vec<_>, Vec<_>) = told.into_iter().partition(is_file);
    let put = |name: &str, value: &str| Change::Put { target: Target::Doc(key(name)), etag: Some(doc_etag(&json(value))) };
    let mut expected =
        vec![put("a", "1"), Change::Delete { target: Target::Doc(key("d")) }, put("e", r#"{"a":2}"#), put("last", "1")];
    let mut docs = docs;
    let order = |change: &Change| format!("{:?}", change.target());
    docs.sort_by_key(order);
    expected.sort_by_key(order);
    assert_eq!(docs, expected);
    files.sort_by_key(order);
    let deleted = Change::Delete { target: Target::File(path("f/g")) };
    let made = Change::Put { target: Target::File(path("x")), etag: Some(Etag::of(b"1")) };
    assert_eq!(files, [deleted, made]);
    Ok(())
}

async fn who_follows_a_log_finds_the_documents(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let mut stream = project.history().subscribe(Start::Now).await?;
    caught_up(&mut stream).await?;
    for n in 1..=30_u64 {
        let value = n.to_string();
        let operations = vec![
            on_log("history", numbers([n]), AppendOptions::default()),
            put_doc("d", &value, WriteCondition::None),
            put_file("f", [value.clone()], WriteCondition::None),
        ];
        let committing = tokio::spawn({
            let project = Arc::clone(&project);
            async move { project.commit(operations).await }
        });
        next_entry(&mut stream, format!("entry {n}")).await?;
        // The commit may not be acknowledged yet.
        assert_eq!(project.docs().get(&key("d")).await?.map(|document| document.value), Some(json(&value)));
        assert_eq!(project.files().read_text(&path("f")).await?, Some(value));
        committed(committing.await.map_err(Failure::new)??)?;
    }
    Ok(())
}

async fn a_commit_can_make_and_close_logs(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    let operations = vec![
        on_log("l", Vec::new(), closing()),
        on_log("made", numbers(1..=2), closing()),
        put_doc("state", r#""done""#, WriteCondition::Absent),
    ];
    committed(project.commit(operations).await?)?;
    for (name, head) in [("l", 1), ("made", 2)] {
        let status = project.log(&log_name(name)).status().await?;
        assert_eq!((status.head.seq, status.closed), (head, true), "{name}");
    }
    Ok(())
}

async fn where_there_is_no_project(ctx: Ctx) -> Outcome {
    let project = ctx.driver().project(&ctx.fresh_id()?);
    refused(project.commit(Vec::new()).await, "no_project")?;
    refused(project.commit(vec![put_doc("d", "1", WriteCondition::None)]).await, "no_project")?;
    refused(project.commit(of_every_kind()).await, "no_project")?;
    assert!(!ctx.driver().has_project(project.id()).await?);
    Ok(())
}

async fn it_is_there_after_reopening(ctx: Ctx) -> Outcome {
    let project = furnished(&ctx).await?;
    committed(project.commit(of_every_kind()).await?)?;
    ctx.reopen().await?;
    let project = ctx.again(&project);
    expect_every_kind(&project).await?;
    assert_eq!(append(&project.history(), numbers([4])).await?.first, 4);
    Ok(())
}

async fn it_is_there_after_a_crash(ctx: Ctx) -> Outcome {
    let id = {
        let project = furnished(&ctx).await?;
        committed(project.commit(of_every_kind()).await?)?;
        project.id().clone()
    };
    ctx.crash().await?;
    let project = ctx.driver().project(&id);
    expect_every_kind(&project).await?;
    committed(project.commit(vec![put_file("f/g", ["newer"], WriteCondition::Match(Etag::of(b"new")))]).await?)?;
    ctx.crash().await?;
    let project = ctx.driver().project(&id);
    assert_eq!(project.files().read_text(&path("f/g")).await?.as_deref(), Some("newer"));
    assert_eq!(append(&project.history(), entry("4")).await?.first, 4);
    Ok(())
}
