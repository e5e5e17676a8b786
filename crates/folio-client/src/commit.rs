//! A commit over HTTP: the operations as JSON, and files, where there are any, as further parts behind it.

use std::fmt::Write as _;

use bytes::Bytes;
use folio::{ByteStream, CommitOutcome, Document, Done, Error, Etag, Json, Operation, Result, WriteCondition};
use futures_util::{StreamExt, stream};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::call::{Call, Repeat, ascii};
use crate::http::Http;
use crate::log::was_replayed;
use crate::target::Target;
use crate::upload::Payload;
use crate::wire::{self, Understood, given};

/// What an operation answers when it is done.
#[derive(Clone, Copy)]
enum Answers {
    Written,
    Patched,
    Deleted,
    Appended,
}

/// A commit as it is sent.
struct Request {
    json: String,
    answers: Vec<Answers>,
    /// By the operation that takes it.
    files: Vec<(usize, ByteStream)>,
    keyed: bool,
}

pub(crate) async fn commit(http: &Http, target: Target, operations: Vec<Operation>) -> Result<CommitOutcome> {
    let Request { json, answers, files, keyed } = request(operations);
    let call = Call::new(Method::POST, target);
    let call = if files.is_empty() { call.json(json) } else { multipart(call, json, files).await? };
    // The key is looked up before anything else, so the second answer is the first one.
    let call = call.repeat(if keyed { Repeat::Safe } else { Repeat::Unsent });
    match http.fetch(&call).await? {
        Ok(answer) => http.understand(&call, outcome(&answer.body, &answers, was_replayed(&answer))),
        Err(problem) => match problem.unmet_operation() {
            Some((at, current)) => Ok(CommitOutcome::Precondition { at, current }),
            None => Err(problem.into_error()),
        },
    }
}

fn request(operations: Vec<Operation>) -> Request {
    let mut request = Request { json: "{\"operations\":[".into(), answers: Vec::new(), files: Vec::new(), keyed: false };
    for (at, operation) in operations.into_iter().enumerate() {
        request.json.push_str(if at == 0 { "{" } else { ",{" });
        request.add(at, operation);
        request.json.push('}');
    }
    request.json.push_str("]}");
    request
}

impl Request {
    fn add(&mut self, at: usize, operation: Operation) {
        let json = &mut self.json;
        let (answers, condition) = match operation {
            Operation::PutDoc { key, value, condition } => {
                members(json, "put_doc", "key", key.as_str());
                member(json, "value", value.as_str());
                (Answers::Written, condition)
            }
            Operation::PatchDoc { key, patch, condition } => {
                members(json, "patch_doc", "key", key.as_str());
                member(json, "patch", patch.as_str());
                (Answers::Patched, condition)
            }
            Operation::DeleteDoc { key, condition } => {
                members(json, "delete_doc", "key", key.as_str());
                (Answers::Deleted, condition)
            }
            Operation::PutFile { path, body, condition } => {
                members(json, "put_file", "path", path.as_str());
                member(json, "part", &format!("\"{at}\""));
                self.files.push((at, body));
                (Answers::Written, condition)
            }
            Operation::DeleteFile { path, condition } => {
                members(json, "delete_file", "path", path.as_str());
                (Answers::Deleted, condition)
            }
            Operation::Append { log, entries, options } => {
                members(json, "append", "log", log.as_str());
                member(json, "mixed", &wire::entries(&entries));
                member(json, "close", if options.close { "true" } else { "false" });
                if let Some(head) = options.expected_head {
                    member(json, "if_match", &format!("\"{head}\""));
                }
                if let Some(key) = options.idempotency_key {
                    member(json, "idempotency_key", &text(&key));
                    self.keyed = true;
                }
                (Answers::Appended, WriteCondition::None)
            }
        };
        match condition {
            WriteCondition::None => {}
            WriteCondition::Match(etag) => member(&mut self.json, "if_match", &format!("\"{etag}\"")),
            WriteCondition::Exists => member(&mut self.json, "if_match", "\"*\""),
            WriteCondition::Absent => member(&mut self.json, "if_none_match", "\"*\""),
        }
        self.answers.push(answers);
    }
}

fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// The first members of an operation.
fn members(out: &mut String, op: &str, target: &str, name: &str) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\"op\":\"{op}\",\"{target}\":{}", text(name));
}

/// One more member; `value` is JSON.
fn member(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, ",\"{name}\":{value}");
}

/// The operations and then the files, each as it is read.
async fn multipart(call: Call, json: String, files: Vec<(usize, ByteStream)>) -> Result<Call> {
    // Long enough that no file contains it but by malice, and random against that.
    let boundary = format!("folio-{:032x}", fastrand::u128(..));
    let piece = |text: String| stream::once(std::future::ready(Ok::<Bytes, Error>(text.into()))).boxed();
    let head = |name: &str, kind: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n")
    };
    let mut pieces = vec![piece(format!("{}{json}\r\n", head("operations", "application/json")))];
    for (at, body) in files {
        pieces.push(piece(head(&at.to_string(), "application/octet-stream")));
        pieces.push(body.map(move |piece| piece.map_err(|error| error.in_operation(at))).boxed());
        pieces.push(piece("\r\n".to_owned()));
    }
    pieces.push(piece(format!("--{boundary}--\r\n")));
    let payload = Payload::of_stream(stream::iter(pieces).flatten().boxed()).await?;
    let content_type = ascii(&format!("multipart/form-data; boundary={boundary}"));
    Ok(call.body("multipart/form-data", payload).header(CONTENT_TYPE, content_type))
}

#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<Option<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Written {
    etag: Etag,
    created: bool,
}

#[derive(Deserialize)]
struct Patched<'a> {
    etag: Etag,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Deleted {
    existed: bool,
}

fn outcome(body: &[u8], answers: &[Answers], replayed: bool) -> Understood<CommitOutcome> {
    let Results { results } = wire::parse(body)?;
    if results.len() != answers.len() {
        return Err(format!("{} results for {} operations", results.len(), answers.len()));
    }
    if replayed {
        let first = results.into_iter().flatten().next().ok_or("no result of the append with the key")?;
        let first: wire::AppendAnswer = wire::parse(first.get().as_bytes())?;
        return Ok(CommitOutcome::Replayed(first.appended(true)));
    }
    let one = |(result, answers): (Option<&RawValue>, &Answers)| {
        let result = result.ok_or("a result is missing")?.get().as_bytes();
        Ok(match answers {
            Answers::Written => wire::parse(result).map(|Written { etag, created }| Done::Written { etag, created })?,
            Answers::Patched => {
                let Patched { etag, value } = wire::parse(result)?;
                let value = value.ok_or("the patched document is missing")?;
                let value = Json::parse_stored(value.get().as_bytes()).map_err(|e| e.to_string())?;
                Done::Patched(Document { value, etag })
            }
            Answers::Deleted => wire::parse(result).map(|Deleted { existed }| Done::Deleted(existed))?,
            Answers::Appended => Done::Appended(wire::parse::<wire::AppendAnswer>(result)?.appended(false)),
        })
    };
    results.into_iter().zip(answers).map(one).collect::<Understood<_>>().map(CommitOutcome::Committed)
}
