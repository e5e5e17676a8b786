//! Files: bytes in, the same bytes out, whole.

use bytes::Bytes;
use folio::{BlobStoreExt, Etag, FileReadOptions, WriteCondition, WriteOutcome};
use futures_util::{StreamExt, stream};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{body, path, was_there, written};
use crate::wait::within;

cases! { "files":
    what_was_written_is_read,
    a_write_tells_whether_it_created,
    an_empty_file_is_a_file,
    a_file_is_replaced_whole,
    a_body_may_come_in_pieces,
    a_body_of_many_mib_comes_through,
    a_body_that_fails_changes_nothing,
    a_reader_has_one_version_whole,
    what_was_deleted_is_not_there,
    deleting_what_is_not_there_is_fine,
    text_is_read_as_text,
    projects_are_apart,
    they_survive_reopening [Reopen],
}

const MIB: usize = 1 << 20;

/// Bytes that differ from place to place, so that a piece in the wrong place shows.
fn pattern(bytes: usize, start: u8) -> Bytes {
    (0..bytes).map(|n| (n as u8).wrapping_mul(31).wrapping_add((n >> 8) as u8).wrapping_add(start)).collect()
}

async fn what_was_written_is_read(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let every: Vec<u8> = (0..=255).collect();
    assert!(files.read(&path("a/b"), FileReadOptions::default()).await?.is_none());
    let etag = written(files.write_bytes(&path("a/b"), every.clone(), WriteCondition::None).await?)?;
    assert_eq!(etag, Etag::of(&every), "the tag comes from the content");
    assert_eq!(files.read_bytes(&path("a/b")).await?.as_deref(), Some(&every[..]));
    let info = files.stat(&path("a/b"), true).await?.ok_or_else(|| Failure::new("the file is not there"))?;
    assert_eq!((info.path.as_str(), info.size, info.etag), ("a/b", 256, Some(etag)));
    assert!(info.modified > 0, "it was written at some time");
    Ok(())
}

async fn a_write_tells_whether_it_created(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for (text, created) in [("1", true), ("2", false), ("2", false)] {
        let outcome = files.write_bytes(&path("a"), text, WriteCondition::None).await?;
        assert_eq!(outcome, WriteOutcome::Written { etag: Etag::of(text.as_bytes()), created });
    }
    was_there(files.delete(&path("a"), WriteCondition::None).await?)?;
    let outcome = files.write_bytes(&path("a"), "2", WriteCondition::None).await?;
    assert!(matches!(outcome, WriteOutcome::Written { created: true, .. }), "{outcome:?}");
    Ok(())
}

async fn an_empty_file_is_a_file(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let empty: [(&str, Vec<&'static [u8]>); 2] = [("none", Vec::new()), ("empty", vec![b"", b""])];
    for (name, pieces) in empty {
        let etag = written(files.write(&path(name), body(pieces), WriteCondition::Absent).await?)?;
        assert_eq!(etag, Etag::of(b""));
        assert_eq!(files.read_bytes(&path(name)).await?, Some(Bytes::new()), "{name}");
        assert_eq!(files.stat(&path(name), true).await?.map(|info| (info.size, info.etag)), Some((0, Some(etag))));
    }
    Ok(())
}

async fn a_file_is_replaced_whole(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for bytes in [pattern(100_000, 1), pattern(10, 2), Bytes::new(), pattern(5_000, 3)] {
        written(files.write_bytes(&path("a"), bytes.clone(), WriteCondition::None).await?)?;
        assert_eq!(files.read_bytes(&path("a")).await?, Some(bytes));
    }
    Ok(())
}

async fn a_body_may_come_in_pieces(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let whole = pattern(70_000, 9);
    for size in [1_000, 4_096, 65_536, 69_999] {
        let pieces = whole.chunks(size).map(Bytes::copy_from_slice);
        let etag = written(files.write(&path("a"), body(pieces), WriteCondition::None).await?)?;
        assert_eq!(etag, Etag::of(&whole), "in pieces of {size}");
        assert!(files.read_bytes(&path("a")).await?.as_ref() == Some(&whole), "in pieces of {size}");
    }
    Ok(())
}

async fn a_body_of_many_mib_comes_through(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let whole = pattern(7 * MIB + 13, 5);
    let etag = written(files.write(&path("big"), body([whole.clone()]), WriteCondition::None).await?)?;
    assert_eq!(etag, Etag::of(&whole));
    let read = files.read(&path("big"), FileReadOptions { etag: true, ..FileReadOptions::default() }).await?;
    let read = read.ok_or_else(|| Failure::new("the file is not there"))?;
    assert_eq!((read.info.size, read.info.etag, read.range), (whole.len() as u64, Some(etag), 0..whole.len() as u64));
    assert!(files.read_bytes(&path("big")).await?.as_ref() == Some(&whole), "the bytes differ");
    assert_eq!(files.stat(&path("big"), true).await?.and_then(|info| info.etag), Some(etag));
    Ok(())
}

async fn a_body_that_fails_changes_nothing(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let files = project.files();
    let before = written(files.write_bytes(&path("kept"), "before", WriteCondition::None).await?)?;
    for pieces in [0, 1, 40] {
        for name in ["kept", "new/folder/file"] {
            let good = (0..pieces).map(|_| Ok(pattern(100_000, 1)));
            let failure = Err(folio::Error::Io { what: "reading the body".into(), why: "the suite says so".into() });
            let failing = stream::iter(good.chain([failure])).boxed();
            let outcome = within("a write whose body fails", files.write(&path(name), failing, WriteCondition::None)).await?;
            assert!(outcome.is_err(), "{outcome:?} although the body failed after {pieces} pieces");
        }
    }
    assert_eq!(files.read_text(&path("kept")).await?.as_deref(), Some("before"));
    assert_eq!(files.stat(&path("kept"), true).await?.and_then(|info| info.etag), Some(before));
    let list = files.list(folio::FileListOptions::default()).await?;
    assert_eq!(list.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["kept"]);
    // were there a folder, a file could not stand here
    written(files.write_bytes(&path("new"), "x", WriteCondition::Absent).await?)?;
    Ok(())
}

async fn a_reader_has_one_version_whole(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let (old, new) = (pattern(6 * MIB, 1), pattern(5 * MIB, 2));
    written(files.write_bytes(&path("a"), old.clone(), WriteCondition::None).await?)?;
    for remove in [false, true] {
        let current = files.read_bytes(&path("a")).await?;
        let reading = files.read(&path("a"), FileReadOptions::default()).await?;
        let mut reading = reading.ok_or_else(|| Failure::new("the file is not there"))?;
        let mut got = Vec::new();
        let first = within("the first piece", reading.body.next()).await?;
        got.extend(first.ok_or_else(|| Failure::new("no first piece"))??);
        if remove {
            was_there(files.delete(&path("a"), WriteCondition::None).await?)?;
        } else {
            written(files.write_bytes(&path("a"), new.clone(), WriteCondition::None).await?)?;
        }
        while let Some(piece) = within("the next piece", reading.body.next()).await? {
            got.extend(piece?);
        }
        assert!(current.as_deref() == Some(&got[..]), "a file that was read while it changed (removed: {remove})");
    }
    Ok(())
}

async fn what_was_deleted_is_not_there(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    written(files.write_bytes(&path("a/b"), "x", WriteCondition::None).await?)?;
    assert!(was_there(files.delete(&path("a/b"), WriteCondition::None).await?)?);
    assert!(files.read(&path("a/b"), FileReadOptions::default()).await?.is_none());
    assert_eq!(files.stat(&path("a/b"), false).await?, None);
    assert!(!files.exists(&path("a/b")).await?);
    assert_eq!(files.list(folio::FileListOptions::default()).await?.files, []);
    Ok(())
}

async fn deleting_what_is_not_there_is_fine(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for name in ["a", "a/b/c"] {
        assert!(!was_there(files.delete(&path(name), WriteCondition::None).await?)?);
    }
    Ok(())
}

async fn text_is_read_as_text(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    written(files.write_bytes(&path("good"), "ünï\r\n", WriteCondition::None).await?)?;
    assert_eq!(files.read_text(&path("good")).await?.as_deref(), Some("ünï\r\n"));
    written(files.write_bytes(&path("bad"), &b"a\xff"[..], WriteCondition::None).await?)?;
    crate::make::refused(files.read_text(&path("bad")).await, "invalid")?;
    Ok(())
}

async fn projects_are_apart(ctx: Ctx) -> Outcome {
    let (one, other) = (ctx.project().await?.files(), ctx.project().await?.files());
    written(one.write_bytes(&path("a"), "1", WriteCondition::None).await?)?;
    assert!(!other.exists(&path("a")).await?);
    written(other.write_bytes(&path("a"), "2", WriteCondition::Absent).await?)?;
    assert_eq!(one.read_text(&path("a")).await?.as_deref(), Some("1"));
    Ok(())
}

async fn they_survive_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (files, whole) = (project.files(), pattern(3 * MIB, 7));
    for (name, bytes) in [("kept/a", whole.clone()), ("changed", pattern(9, 1)), ("deleted/b", pattern(9, 1))] {
        written(files.write_bytes(&path(name), bytes, WriteCondition::None).await?)?;
    }
    written(files.write_bytes(&path("changed"), "new", WriteCondition::None).await?)?;
    was_there(files.delete(&path("deleted/b"), WriteCondition::None).await?)?;
    let options = folio::FileListOptions { etag: true, ..Default::default() };
    let before = files.list(options.clone()).await?;
    ctx.reopen().await?;
    let files = ctx.again(&project).files();
    assert_eq!(files.list(options).await?, before);
    assert!(files.read_bytes(&path("kept/a")).await?.as_ref() == Some(&whole));
    assert_eq!(files.read_text(&path("changed")).await?.as_deref(), Some("new"));
    assert!(!files.exists(&path("deleted/b")).await?);
    Ok(())
}
