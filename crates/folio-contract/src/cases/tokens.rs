//! JSON is kept to the token, bytes to the byte, through every door.

use std::sync::Arc;

use bytes::Bytes;
use folio::{AppendLog, Cursor, Data, LogName, Start, WriteCondition};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{append, data, doc_etag, json, key, read_all, written};
use crate::wait::entries_up_to;

cases! { "tokens":
    entries_keep_their_tokens,
    documents_keep_their_tokens,
    bytes_are_kept,
    a_unit_may_mix_json_and_bytes,
    white_space_between_tokens_goes,
    entries_keep_their_tokens_over_reopening [Reopen],
    documents_keep_their_tokens_over_reopening [Reopen],
}

/// Texts that a parser on the way would change, or that could pass for something else.
const TEXTS: &[&str] = &[
    "null",
    "true",
    "0",
    "-0",
    "-0.0",
    "0.10",
    "1E5",
    "1e+5",
    "1e400",
    "-1e-400",
    "9007199254740993",
    "123456789012345678901234567890",
    "3.141592653589793238462643383279",
    r#""""#,
    r#""\u0000""#,
    r#""\ud83d""#,
    r#""\udc00\ud800""#,
    r#""\ud83d\ude00 and 😀""#,
    r#""\u0061\u002f\/""#,
    r#""line\nbreak\r\n\tand \b\f""#,
    "\"\u{2028}\u{2029}\u{85}\u{feff}\u{7f}\"",
    "\"\u{e000}\u{10ffff}\u{fffd}\"",
    r#""\n\ndata: forged\nid: 9\nevent: gap\n\n""#,
    r#"": comment""#,
    r#""\"},{\"seq\":9}""#,
    r#""</script><!--""#,
    "{}",
    "[]",
    "[[],{},[[]]]",
    r#"{"b":1,"a":2,"B":3,"10":4,"9":5}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"a":1,"\u0061":2}"#,
    r#"{"":0," ":1,"\u0000":2}"#,
    r#"{"__proto__":{"x":1},"constructor":null}"#,
    r#"{"$serde_json::private::Number":"1","$serde_json::private::RawValue":"2"}"#,
    r#"{"seq":1,"ts":1,"data":{"b64":"AA=="}}"#,
    r#"{"seq":2,"ts":1763900000123,"crc":"e5e8f62d","data":{"kind":"tweak"}}"#,
    r#"{"seq":3,"ts":1,"crc":"00000000","closed":true}"#,
    r#"{"folio":1,"epoch":1,"id":[1,1],"prev":[[0,0]],"base":0,"horizon":0,"ts":1,"crc":"00000000"}"#,
    r#""x\"}\n{\"seq\":2,\"ts\":1,\"crc\":\"00000000\",\"data\":1}\n""#,
    r#""text,\"crc\":\"e5e8f62d\"""#,
    r#"{"b64":"AAEC"}"#,
    r#"{"data":1}"#,
    r#"{"gap":{"reason":"truncated"}}"#,
];

fn all_json() -> Vec<Data> {
    TEXTS.iter().map(|text| Data::Json(json(text))).collect()
}

fn all_bytes() -> Vec<Data> {
    let every: Vec<u8> = (0..=255).collect();
    let pieces: [&[u8]; 8] = [b"", b"\n", b"\r\n", b"\0", b"\xff\xfe", b"{\"seq\":1}", b"null", &every];
    pieces.iter().map(|piece| Data::Bytes(Bytes::copy_from_slice(piece))).collect()
}

/// The log gives back `sent` to a reader and to a subscriber.
async fn expect_kept(log: &Arc<dyn AppendLog>, sent: &[Data]) -> Outcome {
    let mut stream = log.subscribe(Start::After(Cursor::START)).await?;
    let streamed = entries_up_to(&mut stream, sent.len() as u64).await?;
    for (how, entries) in [("read", read_all(log).await?), ("streamed", streamed)] {
        for (entry, sent) in entries.iter().zip(sent) {
            assert_eq!(&entry.data, sent, "{how}, seq {}", entry.seq);
        }
        assert_eq!(entries.len(), sent.len(), "{how}");
    }
    Ok(())
}

async fn entries_keep_their_tokens(ctx: Ctx) -> Outcome {
    // one unit, and units of one, whose lines differ
    let log = ctx.history().await?;
    append(&log, all_json()).await?;
    for data in all_json() {
        append(&log, vec![data]).await?;
    }
    expect_kept(&log, &[all_json(), all_json()].concat()).await
}

async fn documents_keep_their_tokens(ctx: Ctx) -> Outcome {
    let docs = ctx.project().await?.docs();
    for text in TEXTS {
        let etag = written(docs.put(&key("doc"), json(text), WriteCondition::None).await?)?;
        let stored = docs.get(&key("doc")).await?.ok_or_else(|| Failure::new("the document is not there"))?;
        assert_eq!((stored.value.as_str(), stored.etag), (*text, etag));
        assert_eq!(etag, doc_etag(&json(text)), "{text}");
    }
    Ok(())
}

async fn bytes_are_kept(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    append(&log, all_bytes()).await?;
    for data in all_bytes() {
        append(&log, vec![data]).await?;
    }
    expect_kept(&log, &[all_bytes(), all_bytes()].concat()).await
}

async fn a_unit_may_mix_json_and_bytes(ctx: Ctx) -> Outcome {
    let log = ctx.history().await?;
    let sent: Vec<Data> = all_json().into_iter().zip(all_bytes()).flat_map(|(one, other)| [one, other]).collect();
    append(&log, sent.clone()).await?;
    expect_kept(&log, &sent).await
}

async fn white_space_between_tokens_goes(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let log = project.log(&LogName::history());
    let spaced = "\r\n { \"a b\" : [ 1 ,\t2 , { } ] ,\n \"c\" : \" d \" } \n";
    append(&log, vec![Data::Json(json(spaced))]).await?;
    let compact = json(r#"{"a b":[1,2,{}],"c":" d "}"#);
    assert_eq!(data(&read_all(&log).await?), [Data::Json(compact.clone())]);
    let etag = written(project.docs().put(&key("doc"), json(spaced), WriteCondition::None).await?)?;
    assert_eq!(etag, doc_etag(&compact));
    Ok(())
}

async fn entries_keep_their_tokens_over_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let sent = [all_json(), all_bytes()].concat();
    append(&project.log(&LogName::history()), sent.clone()).await?;
    ctx.reopen().await?;
    expect_kept(&ctx.again(&project).log(&LogName::history()), &sent).await
}

async fn documents_keep_their_tokens_over_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    for (n, text) in TEXTS.iter().enumerate() {
        written(project.docs().put(&key(&format!("doc{n}")), json(text), WriteCondition::None).await?)?;
    }
    ctx.reopen().await?;
    let docs = ctx.again(&project).docs();
    for (n, text) in TEXTS.iter().enumerate() {
        let stored = docs.get(&key(&format!("doc{n}"))).await?.map(|document| document.value);
        assert_eq!(stored, Some(json(text)));
    }
    Ok(())
}
