//! Plain files: what other programs see, and what they do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use folio::{
    BlobStoreExt, Change, ChangeStream, Cursor, DocListOptions, Error, Etag, FileListOptions, FileReadOptions, Gap, GapReason,
    LogName, Order, Piece, Position, Project, ProjectExt, ProjectId, ReadOptions, Start, Target, WriteCondition,
};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{append, data, entry, json, key, numbers, path, read_all, refused, seqs, since, was_there, written};
use crate::wait::{entries_up_to, next_change, next_gap, ready};

cases! { "plain":
    files_and_documents_lie_open [PlainFiles],
    a_file_of_another_program_is_a_file [PlainFiles],
    a_document_written_by_hand_is_a_document [PlainFiles],
    a_folder_made_by_hand_is_a_project [PlainFiles],
    a_log_of_another_tool_is_read_and_goes_on [PlainFiles],
    a_damaged_document_is_told_and_not_overwritten [PlainFiles],
    hidden_names_links_and_pipes_are_no_files [PlainFiles],
    a_link_leads_nowhere [PlainFiles],
    edits_of_files_are_told [PlainFiles],
    edits_of_documents_are_told [PlainFiles],
    a_damaged_line_is_told_as_a_gap [PlainFiles, Reopen],
    a_torn_tail_is_set_aside_and_begins_a_new_life [PlainFiles, Reopen],
}

/// Does something as another program would, off the runtime.
async fn outside<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work).await.map_err(Failure::new)?.map_err(|e| Failure::new(format!("the other program: {e}")))
}

async fn write(file: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Outcome {
    let (file, bytes) = (file.as_ref().to_owned(), bytes.as_ref().to_owned());
    outside(move || {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, bytes)
    })
    .await
}

async fn read(file: impl AsRef<Path>) -> Outcome<Vec<u8>> {
    let file = file.as_ref().to_owned();
    outside(move || std::fs::read(file)).await
}

async fn files_and_documents_lie_open(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let folder = ctx.folder(&project)?;
    written(project.files().write_bytes(&path("a/ünï.txt"), "text", WriteCondition::None).await?)?;
    assert_eq!(read(folder.join("a/ünï.txt")).await?, b"text");
    written(project.docs().put(&key("doc"), json(r#"{ "b": 1, "a": 2 }"#), WriteCondition::None).await?)?;
    assert_eq!(read(folder.join(".meta/doc.json")).await?, b"{\"b\":1,\"a\":2}\n");
    append(&project.history(), numbers(7..=8)).await?;
    let log = String::from_utf8(read(folder.join(".meta/history.jsonl")).await?).map_err(Failure::new)?;
    let lines: Vec<serde_json::Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(Failure::new)?;
    let told: Vec<_> = lines.iter().filter(|line| line.get("data").is_some()).map(|line| (&line["seq"], &line["data"])).collect();
    assert_eq!(told, [(&1.into(), &7.into()), (&2.into(), &8.into())]);
    Ok(())
}

async fn a_file_of_another_program_is_a_file(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (files, folder) = (project.files(), ctx.folder(&project)?);
    write(folder.join("by/hand.txt"), "one").await?;
    assert_eq!(files.read_text(&path("by/hand.txt")).await?.as_deref(), Some("one"));
    let list = files.list(FileListOptions { etag: true, ..FileListOptions::default() }).await?.files;
    let told: Vec<_> = list.iter().map(|file| (file.path.as_str(), file.size, file.etag)).collect();
    assert_eq!(told, [("by/hand.txt", 3, Some(Etag::of(b"one")))]);
    let current = Some(Etag::of(b"one"));
    let outcome = files.write_bytes(&path("by/hand.txt"), "x", WriteCondition::Absent).await?;
    assert_eq!(outcome, folio::WriteOutcome::Precondition { current });
    written(files.write_bytes(&path("by/hand.txt"), "two", WriteCondition::Match(Etag::of(b"one"))).await?)?;
    assert_eq!(read(folder.join("by/hand.txt")).await?, b"two");
    write(folder.join("by/hand.txt"), "three, longer").await?;
    assert_eq!(files.read_text(&path("by/hand.txt")).await?.as_deref(), Some("three, longer"));
    Ok(())
}

async fn a_document_written_by_hand_is_a_document(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (docs, file) = (project.docs(), ctx.folder(&project)?.join(".meta/doc.json"));
    let text = "{\n  \"b\": 1,\n  \"a\": 1e400\n}";
    write(&file, text).await?;
    let stored = docs.get(&key("doc")).await?.ok_or_else(|| Failure::new("the document is not there"))?;
    assert_eq!((stored.value.as_str(), stored.etag), (r#"{"b":1,"a":1e400}"#, Etag::of(text.as_bytes())));
    let list = docs.list(DocListOptions { etag: true, ..DocListOptions::default() }).await?.docs;
    let told: Vec<_> = list.iter().map(|doc| (doc.key.as_str(), doc.size, doc.etag)).collect();
    assert_eq!(told, [("doc", text.len() as u64, Some(stored.etag))]);
    assert_eq!(read(&file).await?, text.as_bytes(), "reading changes nothing");
    written(docs.put(&key("doc"), json("2"), WriteCondition::Match(stored.etag)).await?)?;
    assert_eq!(read(&file).await?, b"2\n");
    Ok(())
}

async fn a_folder_made_by_hand_is_a_project(ctx: Ctx) -> Outcome {
    let sibling = ctx.project().await?;
    let id = ctx.fresh_id()?;
    let root: PathBuf = ctx.folder(&sibling)?.parent().map(Path::to_owned).ok_or_else(|| Failure::new("no root"))?;
    write(root.join(id.as_str()).join("index.html"), "<h1>").await?;
    let driver = ctx.driver();
    assert!(driver.has_project(&id).await?);
    assert!(!driver.create_project(&id).await?);
    assert!(driver.list_projects(Some(&ProjectId::new(ctx.prefix())?), 10).await?.projects.contains(&id));
    let project = driver.project(&id);
    assert_eq!(project.files().read_text(&path("index.html")).await?.as_deref(), Some("<h1>"));
    assert_eq!(project.history().status().await?.head, Position::START);
    assert_eq!(append(&project.history(), numbers([1])).await?.first, 1);
    Ok(())
}

async fn a_log_of_another_tool_is_read_and_goes_on(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let file = ctx.folder(&project)?.join(".meta/history.jsonl");
    let lines = "{\"seq\":1,\"ts\":5,\"data\":1}\n{ \"ts\": 6, \"seq\": 2, \"data\": 2 }\n{\"seq\":3,\"ts\":7,\"data\":3}";
    write(&file, lines).await?;
    let log = project.history();
    assert_eq!(data(&read_all(&log).await?), numbers(1..=3));
    let status = log.status().await?;
    assert_eq!((status.head, status.lineage), (Position { epoch: 0, seq: 3 }, vec![Piece { epoch: 0, last: 3 }]));
    assert_eq!(read(&file).await?, lines.as_bytes(), "reading changes nothing");
    let next = append(&log, numbers([4])).await?;
    assert_eq!(next.first, 4);
    let entries = read_all(&log).await?;
    assert_eq!(data(&entries), numbers(1..=4));
    assert_eq!(entries.iter().take(3).map(|entry| entry.ts).collect::<Vec<_>>(), [5, 6, 7]);
    let page = log.read(since(Position { epoch: 0, seq: 2 })).await?;
    assert_eq!((page.gap, data(&page.entries)), (None, numbers(3..=4)));
    Ok(())
}

async fn a_damaged_document_is_told_and_not_overwritten(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (docs, file) = (project.docs(), ctx.folder(&project)?.join(".meta/doc.json"));
    let text = "{\n  \"a\": }\n";
    write(&file, text).await?;
    written(docs.put(&key("good"), json("1"), WriteCondition::None).await?)?;
    let error = refused(docs.get(&key("doc")).await, "damaged")?;
    let Error::Damaged { what, why, etag } = error else { crate::fail!("{error:?} has the code damaged") };
    assert_eq!(etag, Some(Etag::of(text.as_bytes())));
    assert!(what.contains("doc"), "{what:?} does not name the document");
    assert!(why.contains('2') && why.contains('8'), "{why:?} does not tell line 2, column 8");
    refused(docs.put(&key("doc"), json("2"), WriteCondition::None).await, "damaged")?;
    refused(docs.patch(&key("doc"), json("{}"), WriteCondition::None).await, "damaged")?;
    assert_eq!(read(&file).await?, text.as_bytes());
    let list = docs.list(DocListOptions::default()).await?.docs;
    assert_eq!(list.len(), 2, "one damaged document hides no other");
    written(docs.put(&key("doc"), json("2"), WriteCondition::Match(Etag::of(text.as_bytes()))).await?)?;
    write(&file, "{").await?;
    written(docs.put(&key("doc"), json("3"), WriteCondition::Exists).await?)?;
    assert_eq!(docs.get(&key("doc")).await?.map(|document| document.value), Some(json("3")));
    Ok(())
}

async fn hidden_names_links_and_pipes_are_no_files(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (files, folder) = (project.files(), ctx.folder(&project)?);
    write(folder.join("real"), "x").await?;
    write(folder.join(".hidden"), "x").await?;
    write(folder.join(".git/config"), "x").await?;
    write(folder.join("sub/.hidden"), "x").await?;
    outside(move || {
        std::os::unix::fs::symlink("real", folder.join("link"))?;
        std::os::unix::fs::symlink("/etc", folder.join("folder-link"))?;
        std::os::unix::fs::symlink("missing", folder.join("dangling"))?;
        std::os::unix::net::UnixListener::bind(folder.join("socket")).map(drop)
    })
    .await?;
    let list = files.list(FileListOptions::default()).await?.files;
    assert_eq!(list.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["real"]);
    for name in ["link", "folder-link", "folder-link/hostname", "dangling", "socket"] {
        assert_eq!(files.stat(&path(name), true).await?, None, "{name}");
        assert!(files.read(&path(name), FileReadOptions::default()).await?.is_none(), "{name}");
    }
    Ok(())
}

async fn a_link_leads_nowhere(ctx: Ctx) -> Outcome {
    let (project, other) = (ctx.project().await?, ctx.project().await?);
    let (files, folder, elsewhere) = (project.files(), ctx.folder(&project)?, ctx.folder(&other)?);
    write(elsewhere.join("kept"), "x").await?;
    let target = elsewhere.clone();
    outside(move || std::os::unix::fs::symlink(target, folder.join("out"))).await?;
    let outcome = files.write_bytes(&path("out/new"), "y", WriteCondition::None).await;
    assert!(outcome.is_err(), "written through a link: {outcome:?}");
    let outcome = files.delete(&path("out/kept"), WriteCondition::None).await;
    assert!(!matches!(outcome, Ok(folio::DeleteOutcome::Deleted(true))), "deleted through a link");
    assert_eq!(read(elsewhere.join("kept")).await?, b"x");
    let list = other.files().list(FileListOptions::default()).await?.files;
    assert_eq!(list.len(), 1, "nothing came through the link");
    Ok(())
}

/// Waits until the final state of a target was told (or a rescan, which says the same).
async fn until_told(stream: &mut ChangeStream, expected: &Change) -> Outcome {
    loop {
        let change = next_change(stream, format!("{expected:?}")).await?;
        if change == *expected || change == Change::Rescan {
            return Ok(());
        }
        // what is on its way to the final state may be told as well
        assert_eq!(change.target(), expected.target(), "{change:?} came instead of {expected:?}");
    }
}

async fn watched(project: &Arc<dyn Project>) -> Outcome<[ChangeStream; 2]> {
    let mut streams = [project.files().subscribe().await?, project.changes().await?];
    for stream in &mut streams {
        ready(stream).await?;
    }
    Ok(streams)
}

async fn edits_of_files_are_told(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let folder = ctx.folder(&project)?;
    let mut streams = watched(&project).await?;
    let put = |name: &str, text: &str| Change::Put { target: Target::File(path(name)), etag: Some(Etag::of(text.as_bytes())) };
    let delete = |name: &str| Change::Delete { target: Target::File(path(name)) };
    for (name, text) in [("a", "1"), ("a", "2, longer"), ("new/folder/b", "3"), ("new/folder/c", "4")] {
        write(folder.join(name), text).await?;
        for stream in &mut streams {
            until_told(stream, &put(name, text)).await?;
        }
    }
    let gone = folder.join("a");
    outside(move || std::fs::remove_file(gone)).await?;
    for stream in &mut streams {
        until_told(stream, &delete("a")).await?;
    }
    // an own write in between is told as well, and is no echo later
    written(project.files().write_bytes(&path("new/folder/b"), "own", WriteCondition::None).await?)?;
    for stream in &mut streams {
        until_told(stream, &put("new/folder/b", "own")).await?;
    }
    write(folder.join(".meta/logs/x.txt"), "no document and no file").await?;
    write(folder.join("last"), "5").await?;
    for stream in &mut streams {
        until_told(stream, &put("last", "5")).await?;
    }
    Ok(())
}

async fn edits_of_documents_are_told(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    written(project.docs().put(&key("before"), json("0"), WriteCondition::None).await?)?;
    let file = ctx.folder(&project)?.join(".meta/doc.json");
    let mut streams = [project.docs().subscribe().await?, project.changes().await?];
    for stream in &mut streams {
        ready(stream).await?;
    }
    let target = Target::Doc(key("doc"));
    for text in ["1\n", "{ \"a\": 2 }"] {
        write(&file, text).await?;
        for stream in &mut streams {
            let expected = Change::Put { target: target.clone(), etag: Some(Etag::of(text.as_bytes())) };
            until_told(stream, &expected).await?;
        }
    }
    outside(move || std::fs::remove_file(file)).await?;
    for stream in &mut streams {
        until_told(stream, &Change::Delete { target: target.clone() }).await?;
    }
    assert_eq!(project.docs().get(&key("doc")).await?, None);
    assert!(was_there(project.docs().delete(&key("before"), WriteCondition::None).await?)?);
    assert_eq!(project.log(&LogName::history()).status().await?.head, Position::START);
    Ok(())
}

async fn a_damaged_line_is_told_as_a_gap(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let file = ctx.folder(&project)?.join(".meta/history.jsonl");
    for n in 1..=6 {
        append(&project.history(), entry(&format!("\"the text of entry {n}\""))).await?;
    }
    let mut bytes = read(&file).await?;
    for damaged in ["the text of entry 3", "the text of entry 4"] {
        let at = bytes.windows(damaged.len()).position(|window| window == damaged.as_bytes());
        let byte = at.and_then(|at| bytes.get_mut(at)).ok_or_else(|| Failure::new(format!("{damaged:?} is not in the file")))?;
        *byte ^= 1;
    }
    let before = bytes.clone();
    // in place, as a bad disk would
    let place = file.clone();
    outside(move || std::fs::OpenOptions::new().write(true).open(place)?.write_all(&bytes)).await?;
    ctx.reopen().await?;

    let log = ctx.again(&project).history();
    let head = log.status().await?.head;
    let at = |seq| Position { seq, ..head };
    let hole = Gap { reason: GapReason::Corrupt, requested: at(2).into(), lost: Some(2), resumes_after: at(4) };
    let page = log.read(ReadOptions::default()).await?;
    assert_eq!((seqs(&page.entries), page.gap, page.next), (vec![1, 2], None, Some(at(2))), "a page ends before a hole");
    let page = log.read(since(at(2))).await?;
    assert_eq!((seqs(&page.entries), page.gap), (vec![5, 6], Some(hole)));
    let page = log.read(ReadOptions { order: Order::Desc, ..ReadOptions::default() }).await?;
    assert_eq!((seqs(&page.entries), page.gap, page.next_before), (vec![6, 5], None, Some(5)));
    let page = log.read(ReadOptions { order: Order::Desc, before: Some(5), ..ReadOptions::default() }).await?;
    assert_eq!((seqs(&page.entries), page.gap), (vec![2, 1], Some(hole)));

    let mut stream = log.subscribe(Start::After(Cursor::START)).await?;
    assert_eq!(seqs(&entries_up_to(&mut stream, 2).await?), [1, 2]);
    assert_eq!(next_gap(&mut stream, "the gap of the damaged entries").await?, hole);
    assert_eq!(seqs(&entries_up_to(&mut stream, 6).await?), [5, 6]);
    assert_eq!(read(&file).await?, before, "reading repairs nothing");
    assert_eq!(append(&log, entry("7")).await?.first, 7);
    Ok(())
}

async fn a_torn_tail_is_set_aside_and_begins_a_new_life(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let folder = ctx.folder(&project)?;
    let file = folder.join(".meta/history.jsonl");
    let old = append(&project.history(), numbers(1..=3)).await?.cursor;
    let torn = r#"{"seq":4,"ts":1763900000000,"crc":"00000000","data":"what was to be entry 4"#;
    let place = file.clone();
    outside(move || std::fs::OpenOptions::new().append(true).open(place)?.write_all(torn.as_bytes())).await?;
    ctx.reopen().await?;

    let log = ctx.again(&project).history();
    assert_eq!(log.status().await?.head, old, "what is torn is no part of the log");
    assert_eq!(data(&read_all(&log).await?), numbers(1..=3));
    let new = append(&log, numbers([4])).await?.cursor;
    assert!(new.seq == 4 && new.epoch > old.epoch, "{new} must lie in a life above {old}");
    let page = log.read(since(old)).await?;
    assert_eq!((page.gap, data(&page.entries)), (None, numbers([4])), "what was whole is still good");
    let page = log.read(since(Position { seq: 4, ..old })).await?;
    assert_eq!(page.gap.map(|gap| (gap.reason, gap.resumes_after)), Some((GapReason::Epoch, old)), "the torn one was not");
    let root = folder.parent().map(Path::to_owned).ok_or_else(|| Failure::new("no root"))?;
    assert!(holds(root.join(".folio/quarantine"), torn).await?, "the torn bytes are not in quarantine");
    Ok(())
}

/// True where a file somewhere below `folder` has `text` in it.
async fn holds(folder: PathBuf, text: &'static str) -> Outcome<bool> {
    outside(move || {
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for found in std::fs::read_dir(folder)? {
                let path = found?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if String::from_utf8_lossy(&std::fs::read(path)?).contains(text) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    })
    .await
}
