//! Conditions of writes and deletes, on documents and files: what goes through, and that a refusal changes nothing.

use std::sync::Arc;

use folio::{BlobStoreExt, DeleteOutcome, Etag, JsonKv, PatchOutcome, WriteCondition, WriteOutcome};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{doc_etag, json, key, path, written};

cases! { "conditions":
    of_a_document_put,
    of_a_document_patch,
    of_a_document_delete,
    of_a_file_write,
    of_a_file_delete,
    a_refused_file_write_makes_no_folders,
    hold_for_content_that_came_back,
    hold_after_reopening [Reopen],
}

/// Is something there; the condition, given the tag of what is there and of what was there before; does it go through.
type Row = (bool, fn(Etag, Etag) -> WriteCondition, bool);

const MATRIX: &[Row] = &[
    (false, |_, _| WriteCondition::None, true),
    (false, |now, _| WriteCondition::Match(now), false),
    (false, |_, stale| WriteCondition::Match(stale), false),
    (false, |_, _| WriteCondition::Exists, false),
    (false, |_, _| WriteCondition::Absent, true),
    (true, |_, _| WriteCondition::None, true),
    (true, |now, _| WriteCondition::Match(now), true),
    (true, |_, stale| WriteCondition::Match(stale), false),
    (true, |_, _| WriteCondition::Exists, true),
    (true, |_, _| WriteCondition::Absent, false),
];

async fn documents(ctx: &Ctx) -> Outcome<[(&'static str, Arc<dyn JsonKv>); 3]> {
    let driver = ctx.driver();
    Ok([
        ("project", ctx.project().await?.docs()),
        ("shared", driver.shared()),
        ("collection", driver.collection(&ctx.fresh_collection()?)),
    ])
}

/// A document that had the value 1 and has 2, or had both and is gone; and the tags of both values, newest first.
async fn prepare(docs: &Arc<dyn JsonKv>, key: &folio::DocKey, present: bool) -> Outcome<(Etag, Etag)> {
    for value in ["1", "2"] {
        written(docs.put(key, json(value), WriteCondition::None).await?)?;
    }
    if !present {
        let outcome = docs.delete(key, WriteCondition::None).await?;
        assert_eq!(outcome, DeleteOutcome::Deleted(true));
    }
    Ok((doc_etag(&json("2")), doc_etag(&json("1"))))
}

async fn expect_value(docs: &Arc<dyn JsonKv>, key: &folio::DocKey, value: Option<&str>, row: &str) -> Outcome {
    let stored = docs.get(key).await?;
    assert_eq!(stored.as_ref().map(|document| document.value.clone()), value.map(json), "{row}: what is stored");
    assert_eq!(stored.map(|document| document.etag), value.map(|value| doc_etag(&json(value))), "{row}: its tag");
    Ok(())
}

async fn of_a_document_put(ctx: Ctx) -> Outcome {
    for (place, docs) in documents(&ctx).await? {
        for (n, &(present, condition, goes)) in MATRIX.iter().enumerate() {
            let key = key(&ctx.fresh_name());
            let (now, stale) = prepare(&docs, &key, present).await?;
            let condition = condition(now, stale);
            let row = format!("{place}, row {n}, {condition:?}");
            let outcome = docs.put(&key, json("3"), condition).await?;
            if goes {
                let etag = doc_etag(&json("3"));
                assert_eq!(outcome, WriteOutcome::Written { etag, created: !present }, "{row}");
            } else {
                assert_eq!(outcome, WriteOutcome::Precondition { current: present.then_some(now) }, "{row}");
            }
            let left = if goes { Some("3") } else { present.then_some("2") };
            expect_value(&docs, &key, left, &row).await?;
        }
    }
    Ok(())
}

async fn of_a_document_patch(ctx: Ctx) -> Outcome {
    for (place, docs) in documents(&ctx).await? {
        for (n, &(present, condition, goes)) in MATRIX.iter().enumerate() {
            let key = key(&ctx.fresh_name());
            let (now, stale) = prepare(&docs, &key, present).await?;
            let condition = condition(now, stale);
            let row = format!("{place}, row {n}, {condition:?}");
            match docs.patch(&key, json(r#"{"a":3}"#), condition).await? {
                PatchOutcome::Written(document) => {
                    assert!(goes, "{row}: went through");
                    assert_eq!(document.value, json(r#"{"a":3}"#), "{row}");
                    assert_eq!(document.etag, doc_etag(&document.value), "{row}");
                }
                PatchOutcome::Precondition { current } => {
                    assert!(!goes, "{row}: refused");
                    assert_eq!(current, present.then_some(now), "{row}");
                }
            }
            let left = if goes { Some(r#"{"a":3}"#) } else { present.then_some("2") };
            expect_value(&docs, &key, left, &row).await?;
        }
    }
    Ok(())
}

async fn of_a_document_delete(ctx: Ctx) -> Outcome {
    for (place, docs) in documents(&ctx).await? {
        for (n, &(present, condition, goes)) in MATRIX.iter().enumerate() {
            let key = key(&ctx.fresh_name());
            let (now, stale) = prepare(&docs, &key, present).await?;
            let condition = condition(now, stale);
            let row = format!("{place}, row {n}, {condition:?}");
            let expected = if goes {
                DeleteOutcome::Deleted(present)
            } else {
                DeleteOutcome::Precondition { current: present.then_some(now) }
            };
            assert_eq!(docs.delete(&key, condition).await?, expected, "{row}");
            expect_value(&docs, &key, (present && !goes).then_some("2"), &row).await?;
        }
    }
    Ok(())
}

async fn of_a_file_write(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for (n, &(present, condition, goes)) in MATRIX.iter().enumerate() {
        let path = path(&format!("folder{n}/file"));
        let (now, stale) = (Etag::of(b"two"), Etag::of(b"one"));
        for text in ["one", "two"] {
            written(files.write_bytes(&path, text, WriteCondition::None).await?)?;
        }
        if !present {
            assert_eq!(files.delete(&path, WriteCondition::None).await?, DeleteOutcome::Deleted(true));
        }
        let condition = condition(now, stale);
        let row = format!("row {n}, {condition:?}");
        let outcome = files.write_bytes(&path, "three", condition).await?;
        if goes {
            assert_eq!(outcome, WriteOutcome::Written { etag: Etag::of(b"three"), created: !present }, "{row}");
        } else {
            assert_eq!(outcome, WriteOutcome::Precondition { current: present.then_some(now) }, "{row}");
        }
        let left = if goes { Some("three") } else { present.then_some("two") };
        assert_eq!(files.read_text(&path).await?.as_deref(), left, "{row}");
    }
    Ok(())
}

async fn of_a_file_delete(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for (n, &(present, condition, goes)) in MATRIX.iter().enumerate() {
        let path = path(&format!("folder{n}/file"));
        let (now, stale) = (Etag::of(b"two"), Etag::of(b"one"));
        if present {
            written(files.write_bytes(&path, "two", WriteCondition::None).await?)?;
        }
        let condition = condition(now, stale);
        let row = format!("row {n}, {condition:?}");
        let expected =
            if goes { DeleteOutcome::Deleted(present) } else { DeleteOutcome::Precondition { current: present.then_some(now) } };
        assert_eq!(files.delete(&path, condition).await?, expected, "{row}");
        assert_eq!(files.exists(&path).await?, present && !goes, "{row}");
    }
    Ok(())
}

async fn a_refused_file_write_makes_no_folders(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let outcome = files.write_bytes(&path("a/b/c"), "x", WriteCondition::Exists).await?;
    assert_eq!(outcome, WriteOutcome::Precondition { current: None });
    // were there a folder, a file could not stand here
    written(files.write_bytes(&path("a"), "x", WriteCondition::Absent).await?)?;
    Ok(())
}

async fn hold_for_content_that_came_back(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let (docs, files) = (project.docs(), project.files());
    let doc = written(docs.put(&key("doc"), json("1"), WriteCondition::None).await?)?;
    let file = written(files.write_bytes(&path("file"), "1", WriteCondition::None).await?)?;
    for value in ["2", "1"] {
        written(docs.put(&key("doc"), json(value), WriteCondition::None).await?)?;
        written(files.write_bytes(&path("file"), value, WriteCondition::None).await?)?;
    }
    // tags come from content, never from a clock or a count
    written(docs.put(&key("doc"), json("3"), WriteCondition::Match(doc)).await?)?;
    written(files.write_bytes(&path("file"), "3", WriteCondition::Match(file)).await?)?;
    Ok(())
}

async fn hold_after_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let doc = written(project.docs().put(&key("doc"), json("1"), WriteCondition::None).await?)?;
    let file = written(project.files().write_bytes(&path("file"), "1", WriteCondition::None).await?)?;
    ctx.reopen().await?;
    let project = ctx.again(&project);
    let outcome = project.docs().put(&key("doc"), json("2"), WriteCondition::Absent).await?;
    assert_eq!(outcome, WriteOutcome::Precondition { current: Some(doc) });
    written(project.docs().put(&key("doc"), json("2"), WriteCondition::Match(doc)).await?)?;
    let outcome = project.files().write_bytes(&path("file"), "2", WriteCondition::Absent).await?;
    assert_eq!(outcome, WriteOutcome::Precondition { current: Some(file) });
    written(project.files().write_bytes(&path("file"), "2", WriteCondition::Match(file)).await?)?;
    Ok(())
}
