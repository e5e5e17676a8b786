//! Lists of documents.

use std::sync::Arc;

use folio::{BlobStoreExt, DocInfo, DocList, DocListOptions, JsonKv, WriteCondition};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, doc_etag, json, key, log_name, numbers, path, refused, written};

cases! { "doc_list":
    it_is_in_byte_order_of_the_keys,
    it_comes_in_pages,
    a_prefix_narrows_it,
    after_is_exclusive_and_need_not_be_there,
    a_limit_is_1_to_10000,
    it_tells_the_size_and_the_tag_if_asked,
    an_empty_collection_has_an_empty_list,
    logs_and_files_do_not_show_up,
}

const KEYS: &[&str] =
    &["-", "10", "9", "A", "Z", "_", "a", "a-b", "a0", "a_b", "ab", "b", "snapshot_1", "snapshot_10", "snapshot_2"];

async fn filled(docs: &Arc<dyn JsonKv>) -> Outcome {
    for name in KEYS.iter().rev() {
        written(docs.put(&key(name), json(&format!("\"{name}\"")), WriteCondition::None).await?)?;
    }
    Ok(())
}

fn names(docs: &[DocInfo]) -> Vec<&str> {
    docs.iter().map(|doc| doc.key.as_str()).collect()
}

async fn pages(docs: &Arc<dyn JsonKv>, options: DocListOptions) -> Outcome<Vec<DocInfo>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let DocList { docs: page, next } = docs.list(DocListOptions { after, ..options.clone() }).await?;
        assert!(page.len() <= options.limit, "{} documents on a page of {}", page.len(), options.limit);
        assert!(next.is_none() || next.as_ref() == page.last().map(|doc| &doc.key), "next is {next:?}");
        all.extend(page);
        after = next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

async fn it_is_in_byte_order_of_the_keys(ctx: Ctx) -> Outcome {
    let driver = ctx.driver();
    for docs in [ctx.project().await?.docs(), driver.collection(&ctx.fresh_collection()?)] {
        filled(&docs).await?;
        let list = docs.list(DocListOptions::default()).await?;
        assert_eq!((names(&list.docs), list.next), (KEYS.to_vec(), None));
    }
    Ok(())
}

async fn it_comes_in_pages(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    filled(&docs).await?;
    for limit in [1, 2, 4, 5, 14, 15, 16] {
        let all = pages(&docs, DocListOptions { limit, ..DocListOptions::default() }).await?;
        assert_eq!(names(&all), KEYS, "pages of {limit}");
    }
    let whole = docs.list(DocListOptions { limit: KEYS.len(), ..DocListOptions::default() }).await?;
    assert_eq!(whole.next, None, "a page that ends with the last key is the last one");
    Ok(())
}

async fn a_prefix_narrows_it(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    filled(&docs).await?;
    for prefix in ["a", "snapshot_", "snapshot_1", "snapshot_10", "Z", "-", "nothing", "snapshot_100"] {
        let expected: Vec<_> = KEYS.iter().copied().filter(|name| name.starts_with(prefix)).collect();
        for limit in [1, 2, 1_000] {
            let all = pages(&docs, DocListOptions { prefix: prefix.into(), limit, ..DocListOptions::default() }).await?;
            assert_eq!(names(&all), expected, "prefix {prefix}, pages of {limit}");
        }
    }
    // a prefix that no key can begin with
    let list = docs.list(DocListOptions { prefix: "../".into(), ..DocListOptions::default() }).await?;
    assert_eq!(list.docs, []);
    Ok(())
}

async fn after_is_exclusive_and_need_not_be_there(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    filled(&docs).await?;
    for after in ["a", "a1", "0", "zzz", "snapshot_1"] {
        for prefix in ["", "a", "snapshot_"] {
            let expected: Vec<_> = KEYS.iter().copied().filter(|name| *name > after && name.starts_with(prefix)).collect();
            let options = DocListOptions { after: Some(key(after)), prefix: prefix.into(), ..DocListOptions::default() };
            assert_eq!(names(&docs.list(options).await?.docs), expected, "after {after}, prefix {prefix}");
        }
    }
    Ok(())
}

async fn a_limit_is_1_to_10000(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    for limit in [0, 10_001] {
        refused(docs.list(DocListOptions { limit, ..DocListOptions::default() }).await, "invalid")?;
    }
    assert_eq!(docs.list(DocListOptions { limit: 10_000, ..DocListOptions::default() }).await?.docs, []);
    Ok(())
}

async fn it_tells_the_size_and_the_tag_if_asked(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    filled(&docs).await?;
    for doc in docs.list(DocListOptions { etag: true, ..DocListOptions::default() }).await?.docs {
        let value = json(&format!("\"{}\"", doc.key));
        assert_eq!((doc.size, doc.etag), (value.as_str().len() as u64 + 1, Some(doc_etag(&value))), "{}", doc.key);
        assert!(doc.modified > 0, "{} was written at some time", doc.key);
    }
    Ok(())
}

async fn an_empty_collection_has_an_empty_list(ctx: Ctx) -> Outcome {
    let docs = ctx.driver().collection(&ctx.fresh_collection()?);
    assert_eq!(docs.list(DocListOptions::default()).await?, DocList { docs: Vec::new(), next: None });
    assert_eq!(docs.get(&key("doc")).await?, None);
    Ok(())
}

async fn logs_and_files_do_not_show_up(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    for name in ["history", "runs/1", "doc"] {
        append(&project.log(&log_name(name)), numbers(1..=3)).await?;
        project.log(&log_name(name)).truncate(2).await?;
    }
    written(project.files().write_bytes(&path("meta/doc.json"), "1", WriteCondition::None).await?)?;
    assert_eq!(project.docs().list(DocListOptions::default()).await?.docs, []);
    written(project.docs().put(&key("doc"), json("1"), WriteCondition::Absent).await?)?;
    append(&project.log(&log_name("runs/2")), numbers(1..=3)).await?;
    assert_eq!(names(&project.docs().list(DocListOptions::default()).await?.docs), ["doc"]);
    Ok(())
}
