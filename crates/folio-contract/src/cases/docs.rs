//! Documents: put, get, delete, and where they are apart from each other.

use folio::{JsonKvExt, LogName, ProjectExt, WriteCondition, WriteOutcome};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, doc_etag, json, key, numbers, was_there, written};

cases! { "docs":
    what_was_put_is_got,
    a_put_tells_whether_it_created,
    equal_content_has_an_equal_etag,
    a_value_is_replaced_whole,
    what_was_deleted_is_not_there,
    deleting_what_is_not_there_is_fine,
    any_json_value_is_a_document,
    keys_are_apart,
    projects_shared_and_collections_are_apart,
    a_document_named_history_is_not_the_log,
    they_survive_reopening [Reopen],
    those_outside_projects_survive_reopening [Reopen],
}

async fn what_was_put_is_got(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    assert_eq!(docs.get(&key("doc")).await?, None);
    let value = json(r#"{"title":"T","tags":["a","b"]}"#);
    let etag = written(docs.put(&key("doc"), value.clone(), WriteCondition::None).await?)?;
    assert_eq!(docs.get(&key("doc")).await?, Some(folio::Document { value: value.clone(), etag }));
    assert_eq!(etag, doc_etag(&value), "the tag is that of the compact text and a newline");
    let typed: Option<(serde_json::Value, _)> = docs.get_as(&key("doc")).await?;
    assert_eq!(typed, Some((serde_json::json!({ "title": "T", "tags": ["a", "b"] }), etag)));
    Ok(())
}

async fn a_put_tells_whether_it_created(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    for (value, expected) in [("1", true), ("2", false), ("2", false)] {
        let outcome = docs.put(&key("doc"), json(value), WriteCondition::None).await?;
        assert_eq!(outcome, WriteOutcome::Written { etag: doc_etag(&json(value)), created: expected });
    }
    was_there(docs.delete(&key("doc"), WriteCondition::None).await?)?;
    let outcome = docs.put(&key("doc"), json("2"), WriteCondition::None).await?;
    assert!(matches!(outcome, WriteOutcome::Written { created: true, .. }), "{outcome:?}");
    Ok(())
}

async fn equal_content_has_an_equal_etag(ctx: Ctx) -> Outcome {
    let (one, other) = (ctx.project().await?.docs(), ctx.project().await?.docs());
    let first = written(one.put(&key("a"), json(r#"{"a":1}"#), WriteCondition::None).await?)?;
    let second = written(other.put(&key("b"), json("{ \"a\" : 1 }"), WriteCondition::None).await?)?;
    let third = written(other.put(&key("b"), json(r#"{"a":1.0}"#), WriteCondition::None).await?)?;
    assert_eq!(first, second, "white space is no content");
    assert_ne!(second, third, "other tokens are other content");
    Ok(())
}

async fn a_value_is_replaced_whole(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    for value in [r#"{"a":1,"b":"a longer value than the next one"}"#, r#"{"c":2}"#, "0"] {
        written(docs.put(&key("doc"), json(value), WriteCondition::None).await?)?;
        assert_eq!(docs.get(&key("doc")).await?.map(|document| document.value), Some(json(value)));
    }
    Ok(())
}

async fn what_was_deleted_is_not_there(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    written(docs.put(&key("doc"), json("1"), WriteCondition::None).await?)?;
    assert!(was_there(docs.delete(&key("doc"), WriteCondition::None).await?)?);
    assert_eq!(docs.get(&key("doc")).await?, None);
    assert_eq!(docs.list(folio::DocListOptions::default()).await?.docs, []);
    Ok(())
}

async fn deleting_what_is_not_there_is_fine(ctx: Ctx) -> Outcome {
    let driver = ctx.driver();
    for docs in [ctx.project().await?.docs(), driver.shared(), driver.collection(&ctx.fresh_collection()?)] {
        assert!(!was_there(docs.delete(&key(&ctx.fresh_name()), WriteCondition::None).await?)?);
    }
    Ok(())
}

async fn any_json_value_is_a_document(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    for value in ["null", "false", "0", r#""""#, "[]", "{}"] {
        written(docs.put(&key("doc"), json(value), WriteCondition::None).await?)?;
        assert_eq!(docs.get(&key("doc")).await?.map(|document| document.value), Some(json(value)), "{value} is there");
    }
    Ok(())
}

async fn keys_are_apart(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    let long = "k".repeat(128);
    let keys = ["a", "a-", "a_", "-a", "_", "0", "json", "logs", "con", "snapshot_1", "snapshot_10", &long];
    for (n, name) in keys.iter().enumerate() {
        written(docs.put(&key(name), json(&n.to_string()), WriteCondition::Absent).await?)?;
    }
    for (n, name) in keys.iter().enumerate() {
        let value = docs.get(&key(name)).await?.map(|document| document.value);
        assert_eq!(value, Some(json(&n.to_string())), "{name}");
    }
    Ok(())
}

async fn projects_shared_and_collections_are_apart(ctx: Ctx) -> Outcome {
    let (driver, name) = (ctx.driver(), key(&ctx.fresh_name()));
    let stores = [
        ctx.project().await?.docs(),
        ctx.project().await?.docs(),
        driver.shared(),
        driver.collection(&ctx.fresh_collection()?),
        driver.collection(&ctx.fresh_collection()?),
    ];
    for (n, docs) in stores.iter().enumerate() {
        assert_eq!(docs.get(&name).await?, None, "store {n}");
        written(docs.put(&name, json(&n.to_string()), WriteCondition::Absent).await?)?;
    }
    for (n, docs) in stores.iter().enumerate() {
        let value = docs.get(&name).await?.map(|document| document.value);
        assert_eq!(value, Some(json(&n.to_string())), "store {n}");
        assert!(was_there(docs.delete(&name, WriteCondition::None).await?)?, "store {n}");
    }
    Ok(())
}

async fn a_document_named_history_is_not_the_log(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    append(&project.log(&LogName::history()), numbers(1..=3)).await?;
    written(project.docs().put(&key("history"), json("1"), WriteCondition::Absent).await?)?;
    assert_eq!(project.history().status().await?.head.seq, 3);
    assert!(was_there(project.docs().delete(&key("history"), WriteCondition::None).await?)?);
    assert_eq!(append(&project.history(), numbers([4])).await?.first, 4);
    assert_eq!(project.docs().get(&key("history")).await?, None);
    Ok(())
}

async fn they_survive_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let docs = project.docs();
    for (name, value) in [("kept", "1"), ("changed", "2"), ("deleted", "3")] {
        written(docs.put(&key(name), json(value), WriteCondition::None).await?)?;
    }
    written(docs.put(&key("changed"), json("4"), WriteCondition::None).await?)?;
    was_there(docs.delete(&key("deleted"), WriteCondition::None).await?)?;
    let before = docs.list(folio::DocListOptions { etag: true, ..Default::default() }).await?;
    ctx.reopen().await?;
    let docs = ctx.again(&project).docs();
    assert_eq!(docs.get(&key("kept")).await?.map(|document| document.value), Some(json("1")));
    assert_eq!(docs.get(&key("changed")).await?.map(|document| document.value), Some(json("4")));
    assert_eq!(docs.get(&key("deleted")).await?, None);
    assert_eq!(docs.list(folio::DocListOptions { etag: true, ..Default::default() }).await?, before);
    Ok(())
}

async fn those_outside_projects_survive_reopening(ctx: Ctx) -> Outcome {
    let (shared, collection) = (key(&ctx.fresh_name()), ctx.fresh_collection()?);
    written(ctx.driver().shared().put(&shared, json("1"), WriteCondition::None).await?)?;
    written(ctx.driver().collection(&collection).put(&key("doc"), json("2"), WriteCondition::None).await?)?;
    ctx.reopen().await?;
    let driver = ctx.driver();
    assert_eq!(driver.shared().get(&shared).await?.map(|document| document.value), Some(json("1")));
    let document = driver.collection(&collection).get(&key("doc")).await?;
    assert_eq!(document.map(|document| document.value), Some(json("2")));
    was_there(driver.shared().delete(&shared, WriteCondition::None).await?)?;
    Ok(())
}
