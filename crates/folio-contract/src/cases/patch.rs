//! JSON Merge Patch on documents.

use std::sync::Arc;

use folio::{Document, JsonKv, PatchOutcome, WriteCondition};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{doc_etag, json, key, written};

cases! { "patch":
    it_merges_as_rfc_7396_says,
    it_creates_what_is_not_there,
    it_returns_what_is_stored,
    it_keeps_the_tokens_that_it_does_not_name,
    a_patch_of_nothing_changes_no_tag,
    patches_outside_projects_work_the_same,
}

async fn patch(docs: &Arc<dyn JsonKv>, name: &str, text: &str) -> Outcome<Document> {
    match docs.patch(&key(name), json(text), WriteCondition::None).await? {
        PatchOutcome::Written(document) => Ok(document),
        PatchOutcome::Precondition { current } => crate::fail!("a patch without a condition was refused: {current:?}"),
    }
}

async fn it_merges_as_rfc_7396_says(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    // from the table in RFC 7396, appendix A
    let table = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
    ];
    for (before, change, after) in table {
        written(docs.put(&key("doc"), json(before), WriteCondition::None).await?)?;
        assert_eq!(patch(&docs, "doc", change).await?.value, json(after), "{before} patched with {change}");
    }
    Ok(())
}

async fn it_creates_what_is_not_there(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    let document = patch(&docs, "new", r#"{"a":1,"gone":null,"deep":{"b":2,"gone":null}}"#).await?;
    assert_eq!(document.value, json(r#"{"a":1,"deep":{"b":2}}"#));
    assert_eq!(docs.get(&key("new")).await?, Some(document));
    assert_eq!(patch(&docs, "plain", "7").await?.value, json("7"));
    Ok(())
}

async fn it_returns_what_is_stored(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    written(docs.put(&key("doc"), json(r#"{"a":1}"#), WriteCondition::None).await?)?;
    let document = patch(&docs, "doc", r#"{"b":2}"#).await?;
    assert_eq!(document, Document { value: json(r#"{"a":1,"b":2}"#), etag: doc_etag(&json(r#"{"a":1,"b":2}"#)) });
    assert_eq!(docs.get(&key("doc")).await?, Some(document));
    Ok(())
}

async fn it_keeps_the_tokens_that_it_does_not_name(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    let before = r#"{"z":1,"n":12345678901234567890,"e":1e400,"s":"\ud83d","o":{"y":-0,"x":0.10},"a":2}"#;
    written(docs.put(&key("doc"), json(before), WriteCondition::None).await?)?;
    let document = patch(&docs, "doc", r#"{"o":{"y":1.50},"a":null}"#).await?;
    let after = r#"{"z":1,"n":12345678901234567890,"e":1e400,"s":"\ud83d","o":{"y":1.50,"x":0.10}}"#;
    assert_eq!(document.value.as_str(), after);
    Ok(())
}

async fn a_patch_of_nothing_changes_no_tag(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    let etag = written(docs.put(&key("doc"), json(r#"{"a":1}"#), WriteCondition::None).await?)?;
    let document = patch(&docs, "doc", "{}").await?;
    assert_eq!(document, Document { value: json(r#"{"a":1}"#), etag });
    Ok(())
}

async fn patches_outside_projects_work_the_same(ctx: Ctx) -> Outcome {
    let (driver, name) = (ctx.driver(), ctx.fresh_name());
    for docs in [driver.shared(), driver.collection(&ctx.fresh_collection()?)] {
        patch(&docs, &name, r#"{"a":1}"#).await?;
        assert_eq!(patch(&docs, &name, r#"{"b":2}"#).await?.value, json(r#"{"a":1,"b":2}"#));
        let outcome = docs.delete(&key(&name), WriteCondition::Exists).await?;
        assert_eq!(outcome, folio::DeleteOutcome::Deleted(true));
    }
    Ok(())
}
