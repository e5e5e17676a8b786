//! What is too large is refused whole, and changes nothing.

use bytes::Bytes;
use folio::{Data, Error, Json, LogName, WriteCondition};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, data, json, key, log_name, numbers, read_all, refused, written};

cases! { "limits":
    an_entry_of_1_mib_is_accepted,
    an_entry_over_1_mib_is_refused,
    a_refused_unit_makes_no_log,
    an_append_over_32_mib_is_refused,
    a_document_over_32_mib_is_refused,
    json_nests_128_deep,
}

const MIB: usize = 1 << 20;

fn text_of(bytes: usize) -> Data {
    Data::Json(json(&format!("\"{}\"", "x".repeat(bytes - 2))))
}

fn bytes_of(bytes: usize) -> Data {
    Data::Bytes(Bytes::from(vec![0xa5; bytes]))
}

async fn an_entry_of_1_mib_is_accepted(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let sent = vec![text_of(MIB), bytes_of(MIB)];
    append(&log, sent.clone()).await?;
    assert!(data(&read_all(&log).await?) == sent, "two entries of 1 MiB did not come back as they went in");
    Ok(())
}

async fn an_entry_over_1_mib_is_refused(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers(1..=3)).await?;
    let status = log.status().await?;
    for large in [text_of(MIB + 1), bytes_of(MIB + 1)] {
        for unit in [vec![large.clone()], [numbers(4..=5), vec![large], numbers(6..=7)].concat()] {
            let error = refused(log.append(unit, folio::AppendOptions::default()).await, "too_large")?;
            let Error::TooLarge { bytes, limit, .. } = error else { unreachable_code(&error) };
            assert_eq!((bytes, limit), (MIB as u64 + 1, MIB as u64));
        }
    }
    assert_eq!(log.status().await?, status);
    assert_eq!(data(&read_all(&log).await?), numbers(1..=3));
    Ok(())
}

#[expect(clippy::panic, reason = "the code was checked a line before")]
fn unreachable_code(error: &Error) -> ! {
    panic!("{error:?} has the code {}", error.code())
}

async fn a_refused_unit_makes_no_log(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&log_name("runs/1"));
    refused(log.append(vec![bytes_of(MIB + 1)], folio::AppendOptions::default()).await, "too_large")?;
    refused(log.status().await, "no_log")?;
    assert_eq!(project.list_logs(None, 10).await?.logs, [LogName::history()]);
    Ok(())
}

async fn an_append_over_32_mib_is_refused(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, numbers([1])).await?;
    let whole = vec![bytes_of(MIB); 33];
    refused(log.append(whole, folio::AppendOptions::default()).await, "too_large")?;
    assert_eq!(data(&read_all(&log).await?), numbers([1]));
    Ok(())
}

async fn a_document_over_32_mib_is_refused(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    written(docs.put(&key("doc"), json("1"), WriteCondition::None).await?)?;
    let large = json(&format!("\"{}\"", "x".repeat(32 * MIB)));
    refused(docs.put(&key("doc"), large, WriteCondition::None).await, "too_large")?;
    assert_eq!(docs.get(&key("doc")).await?.map(|document| document.value), Some(json("1")));
    Ok(())
}

async fn json_nests_128_deep(ctx: Ctx) -> Outcome {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let project = ctx.project().await?;
    let deepest = json(&nested(128));
    let log = project.log(&LogName::history());
    append(&log, vec![Data::Json(deepest.clone())]).await?;
    assert_eq!(data(&read_all(&log).await?), [Data::Json(deepest.clone())]);
    written(project.docs().put(&key("doc"), deepest.clone(), WriteCondition::None).await?)?;
    assert_eq!(project.docs().get(&key("doc")).await?.map(|document| document.value), Some(deepest));
    refused(Json::parse(nested(129).as_bytes()), "invalid_json")?;
    Ok(())
}
