//! The operations of a commit as JSON. Strict: a member that is not known is refused, and so is one that is missing.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use folio::{
    AppendOptions, ByteStream, Data, DocKey, Error, FilePath, LogName, MAX_OPERATIONS, Operation, Result, WriteCondition,
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::problem::shown;
use crate::values::{self, present};

/// The name of the part that holds the operations.
pub(super) const OPERATIONS: &str = "operations";

/// The operations of a commit as JSON, `{"operations":[…]}`: what `POST …/commit` takes, and the command line.
#[derive(Debug)]
pub struct Operations {
    /// A file whose body comes from elsewhere has an empty body here.
    pub operations: Vec<Operation>,
    /// Which operations take their file from a `part` of a body, in their order.
    pub parts: Vec<(usize, String)>,
    /// Which operations take their file `from` a path of the caller's machine, in their order.
    pub from: Vec<(usize, String)>,
}

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the member `operations`")]
struct Commit<'a> {
    #[serde(borrow)]
    operations: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with the member `op`")]
struct Kind<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
}

/// Members of an operation on a document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDoc<'a> {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    patch: Option<&'a RawValue>,
    #[serde(borrow, default)]
    if_match: Text<'a>,
    #[serde(borrow, default)]
    if_none_match: Text<'a>,
}

/// Members of an operation on a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnFile<'a> {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    base64: Text<'a>,
    #[serde(borrow, default)]
    part: Text<'a>,
    #[serde(borrow, default)]
    from: Text<'a>,
    #[serde(borrow, default)]
    if_match: Text<'a>,
    #[serde(borrow, default)]
    if_none_match: Text<'a>,
}

/// Members of an append.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnLog<'a> {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    entry: Option<&'a RawValue>,
    #[serde(borrow, default)]
    entries: Option<Vec<&'a RawValue>>,
    /// As in a body of type `application/vnd.folio.entries+json`.
    #[serde(borrow, default)]
    mixed: Option<&'a RawValue>,
    #[serde(borrow, default)]
    if_match: Text<'a>,
    #[serde(borrow, default)]
    idempotency_key: Text<'a>,
    #[serde(default)]
    close: bool,
}

impl Operations {
    /// Reads them.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] with the place, [`Error::InvalidName`] and others for what cannot be meant; of an operation
    /// where one is to blame.
    pub fn read(body: &[u8]) -> Result<Self> {
        if body.trim_ascii_start().first() == Some(&b'[') {
            return Err(Error::invalid("a commit is an object with the member `operations`, and not an array"));
        }
        let commit: Commit<'_> = values::read(body, body)?;
        let count = commit.operations.len();
        if count > MAX_OPERATIONS {
            return Err(Error::invalid(format!("a commit has at most {MAX_OPERATIONS} operations, this one has {count}")));
        }
        let mut read = Self { operations: Vec::with_capacity(count), parts: Vec::new(), from: Vec::new() };
        let mut taken = HashMap::new();
        for (at, raw) in commit.operations.into_iter().enumerate() {
            let (operation, elsewhere) = operation(body, raw.get().as_bytes()).map_err(|error| error.in_operation(at))?;
            match elsewhere {
                None => {}
                Some(Elsewhere::From(path)) => read.from.push((at, path)),
                Some(Elsewhere::Part(part)) => {
                    if let Some(first) = taken.insert(part.clone(), at) {
                        let what = format!("the part \"{}\" is named twice, also by operation {first}", shown(part.as_bytes()));
                        return Err(Error::invalid(what).in_operation(at));
                    }
                    read.parts.push((at, part));
                }
            }
            read.operations.push(operation);
        }
        Ok(read)
    }
}

/// Where the body of a file comes from, if it is not in the operation.
enum Elsewhere {
    Part(String),
    From(String),
}

/// One operation, and where its file comes from.
fn operation(body: &[u8], text: &[u8]) -> Result<(Operation, Option<Elsewhere>)> {
    // An array would do for serde: its elements for the members, in order.
    if text.first() == Some(&b'[') {
        return Err(Error::invalid("an operation is an object with the member `op`, and not an array"));
    }
    let Kind { op } = values::read(body, text)?;
    match op.as_ref() {
        "put_doc" | "patch_doc" | "delete_doc" => Ok((on_doc(&op, body, values::read(body, text)?)?, None)),
        "put_file" | "delete_file" => on_file(&op, values::read(body, text)?),
        "append" => Ok((on_log(body, values::read(body, text)?)?, None)),
        other => Err(Error::invalid(format!(
            "the op \"{}\" is not known; there are put_doc, patch_doc, delete_doc, put_file, delete_file and append",
            shown(other.as_bytes())
        ))),
    }
}

fn on_doc(op: &str, body: &[u8], doc: OnDoc<'_>) -> Result<Operation> {
    let OnDoc { key, value, patch, if_match, if_none_match, .. } = doc;
    let (key, condition) = (DocKey::new(key)?, condition(if_match, if_none_match)?);
    match (op, value, patch) {
        ("put_doc", Some(value), None) => Ok(Operation::PutDoc { key, value: values::value(body, value)?, condition }),
        ("patch_doc", None, Some(patch)) => Ok(Operation::PatchDoc { key, patch: values::value(body, patch)?, condition }),
        ("delete_doc", None, None) => Ok(Operation::DeleteDoc { key, condition }),
        ("put_doc", ..) => Err(Error::invalid("put_doc needs key and value, and takes no patch")),
        ("patch_doc", ..) => Err(Error::invalid("patch_doc needs key and patch, and takes no value")),
        _ => Err(Error::invalid("delete_doc needs a key, and takes neither value nor patch")),
    }
}

fn on_file(op: &str, file: OnFile<'_>) -> Result<(Operation, Option<Elsewhere>)> {
    let OnFile { path, text, base64, part, from, if_match, if_none_match, .. } = file;
    let (path, condition) = (FilePath::new(path)?, condition(if_match, if_none_match)?);
    let put = |body| Operation::PutFile { path: path.clone(), body, condition };
    let bodies = [&text, &base64, &part, &from].into_iter().flatten().count();
    if op == "delete_file" {
        let error = || Error::invalid("delete_file needs a path, and takes no body");
        return if bodies == 0 { Ok((Operation::DeleteFile { path, condition }, None)) } else { Err(error()) };
    }
    if bodies != 1 {
        return Err(Error::invalid("put_file needs path and one of text, base64 and part"));
    }
    let elsewhere = match (text, base64, part, from) {
        (Some(text), ..) => return Ok((put(whole(text.into_owned().into())), None)),
        (_, Some(base64), ..) => {
            let bytes = STANDARD.decode(base64.as_bytes());
            let bytes = bytes.map_err(|e| Error::invalid(format!("the file {path:?} is not base64: {e}")))?;
            return Ok((put(whole(bytes.into())), None));
        }
        (_, _, Some(part), _) if part == OPERATIONS || part.is_empty() => {
            return Err(Error::invalid(format!("the body of a file cannot be in the part \"{part}\"")));
        }
        (_, _, Some(part), _) => Elsewhere::Part(part.into_owned()),
        (.., from) => Elsewhere::From(from.unwrap_or_default().into_owned()),
    };
    Ok((put(stream::empty().boxed()), Some(elsewhere)))
}

fn whole(bytes: Bytes) -> ByteStream {
    stream::iter([Ok(bytes)]).boxed()
}

fn on_log(body: &[u8], append: OnLog<'_>) -> Result<Operation> {
    let OnLog { log, entry, entries, mixed, if_match, idempotency_key, close, .. } = append;
    let value = |value: &RawValue| values::value(body, value).map(Data::Json);
    let entries = match (entry, entries, mixed) {
        (Some(entry), None, None) => vec![value(entry)?],
        (None, Some(entries), None) => entries.into_iter().map(value).collect::<Result<_>>()?,
        (None, None, Some(mixed)) => values::mixed(body, mixed.get().as_bytes())?,
        (None, None, None) if close => Vec::new(),
        _ => return Err(Error::invalid("append needs log and one of entry, entries and mixed (or close alone)")),
    };
    let expected_head = if_match.map(|cursor| cursor.parse()).transpose()?;
    let options = AppendOptions { expected_head, idempotency_key: idempotency_key.map(Cow::into_owned), close };
    Ok(Operation::Append { log: LogName::new(log)?, entries, options })
}

fn condition(if_match: Text<'_>, if_none_match: Text<'_>) -> Result<WriteCondition> {
    match (if_match.as_deref(), if_none_match.as_deref()) {
        (None, None) => Ok(WriteCondition::None),
        (Some("*"), None) => Ok(WriteCondition::Exists),
        (Some(etag), None) => Ok(WriteCondition::Match(etag.parse()?)),
        (None, Some("*")) => Ok(WriteCondition::Absent),
        (None, Some(_)) => Err(Error::invalid("if_none_match can only be \"*\" here")),
        (Some(_), Some(_)) => Err(Error::invalid("if_match cannot be combined with if_none_match")),
    }
}
