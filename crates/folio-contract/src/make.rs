//! Short ways to write down what cases work with.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use folio::{
    AppendLog, AppendOptions, AppendOutcome, Appended, ByteStream, CommitOutcome, Cursor, Data, DeleteOutcome, DocKey, Done,
    Entry, Error, Etag, FilePath, Json, LogName, Operation, ReadOptions, Seq, WriteCondition, WriteOutcome,
};
use futures_util::{StreamExt, stream};

use crate::failure::{Failure, Outcome, here};

/// A JSON value, written down in the suite.
#[track_caller]
#[must_use]
#[expect(clippy::expect_used, reason = "only for text that stands in the suite; a slip there must not pass")]
pub fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).expect("valid JSON in the suite")
}

/// A document key, written down in the suite.
#[track_caller]
#[must_use]
#[expect(clippy::expect_used, reason = "only for names that stand in the suite; a slip there must not pass")]
pub fn key(name: &str) -> DocKey {
    DocKey::new(name).expect("a valid key in the suite")
}

/// A file path, written down in the suite.
#[track_caller]
#[must_use]
#[expect(clippy::expect_used, reason = "only for names that stand in the suite; a slip there must not pass")]
pub fn path(name: &str) -> FilePath {
    FilePath::new(name).expect("a valid path in the suite")
}

/// A log name, written down in the suite.
#[track_caller]
#[must_use]
#[expect(clippy::expect_used, reason = "only for names that stand in the suite; a slip there must not pass")]
pub fn log_name(name: &str) -> LogName {
    LogName::new(name).expect("a valid log name in the suite")
}

/// One entry of this JSON text.
#[track_caller]
#[must_use]
pub fn entry(text: &str) -> Vec<Data> {
    vec![Data::Json(json(text))]
}

/// Entries that hold these numbers.
#[must_use]
pub fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<Data> {
    range.into_iter().map(|n| Data::Json(json(&n.to_string()))).collect()
}

/// The ETag of a document that Folio wrote: of its compact JSON and a newline.
#[must_use]
pub fn doc_etag(value: &Json) -> Etag {
    Etag::of(format!("{value}\n").as_bytes())
}

/// A body that comes in these pieces.
pub fn body(pieces: impl IntoIterator<Item = impl Into<Bytes>>) -> ByteStream {
    let pieces: Vec<folio::Result<Bytes>> = pieces.into_iter().map(|piece| Ok(piece.into())).collect();
    stream::iter(pieces).boxed()
}

/// Appends without options.
///
/// # Errors
/// Where the driver refuses.
#[track_caller]
pub fn append(log: &Arc<dyn AppendLog>, entries: Vec<Data>) -> impl Future<Output = Outcome<Appended>> {
    here(async move { appended(log.append(entries, AppendOptions::default()).await?) })
}

/// Appends with an idempotency key.
///
/// # Errors
/// Where the driver refuses.
#[track_caller]
pub fn append_keyed(log: &Arc<dyn AppendLog>, key: &str, entries: Vec<Data>) -> impl Future<Output = Outcome<Appended>> {
    here(async move { appended(log.append(entries, keyed(key)).await?) })
}

/// Options of an append with an idempotency key.
#[must_use]
pub fn keyed(key: &str) -> AppendOptions {
    AppendOptions { idempotency_key: Some(key.to_owned()), ..AppendOptions::default() }
}

/// Options of an append that expects a head.
#[must_use]
pub fn expecting(head: impl Into<Cursor>) -> AppendOptions {
    AppendOptions { expected_head: Some(head.into()), ..AppendOptions::default() }
}

/// Options of an append that ends the log.
#[must_use]
pub fn closing() -> AppendOptions {
    AppendOptions { close: true, ..AppendOptions::default() }
}

/// Options of a read from a cursor.
#[must_use]
pub fn since(cursor: impl Into<Cursor>) -> ReadOptions {
    ReadOptions { since: Some(cursor.into()), ..ReadOptions::default() }
}

/// What was appended; a failed precondition is a failure.
///
/// # Errors
/// Where the outcome is a failed precondition.
#[track_caller]
pub fn appended(outcome: AppendOutcome) -> Outcome<Appended> {
    match outcome {
        AppendOutcome::Appended(appended) => Ok(appended),
        AppendOutcome::Precondition { head } => Err(Failure::new(format!("the append was refused: the head is {head}"))),
    }
}

/// The ETag of what was written; a failed precondition is a failure.
///
/// # Errors
/// Where the outcome is a failed precondition.
#[track_caller]
pub fn written(outcome: WriteOutcome) -> Outcome<Etag> {
    match outcome {
        WriteOutcome::Written { etag, .. } => Ok(etag),
        WriteOutcome::Precondition { current } => Err(Failure::new(format!("the write was refused: {current:?} is there"))),
    }
}

/// Whether something was deleted; a failed precondition is a failure.
///
/// # Errors
/// Where the outcome is a failed precondition.
#[track_caller]
pub fn was_there(outcome: DeleteOutcome) -> Outcome<bool> {
    match outcome {
        DeleteOutcome::Deleted(was_there) => Ok(was_there),
        DeleteOutcome::Precondition { current } => Err(Failure::new(format!("the delete was refused: {current:?} is there"))),
    }
}

/// The error of a call that must be refused with this code.
///
/// # Errors
/// Where the call went through, or was refused otherwise.
#[track_caller]
pub fn refused<T: Debug>(result: folio::Result<T>, code: &str) -> Outcome<Error> {
    match result {
        Err(error) if error.code() == code => Ok(error),
        Err(error) => Err(Failure::new(format!("refused with {} ({error}) instead of {code}", error.code()))),
        Ok(value) => Err(Failure::new(format!("not refused with {code}: {value:?}"))),
    }
}

/// The whole log from its oldest entry, read in pages.
///
/// # Errors
/// Where a page has a gap, or the driver refuses.
#[track_caller]
pub fn read_all(log: &Arc<dyn AppendLog>) -> impl Future<Output = Outcome<Vec<Entry>>> {
    here(async move {
        let mut entries = Vec::new();
        let mut since = None;
        loop {
            let page = log.read(ReadOptions { since, ..ReadOptions::default() }).await?;
            if let Some(gap) = page.gap {
                return Err(Failure::new(format!("{gap:?} where the whole log was read")));
            }
            let Some(next) = page.next else { return Err(Failure::new("an ascending page without next")) };
            if page.entries.is_empty() {
                return Ok(entries);
            }
            entries.extend(page.entries);
            since = Some(next.into());
        }
    })
}

/// The payloads of entries.
#[must_use]
pub fn data(entries: &[Entry]) -> Vec<Data> {
    entries.iter().map(|entry| entry.data.clone()).collect()
}

/// The seqs of entries.
#[must_use]
pub fn seqs(entries: &[Entry]) -> Vec<Seq> {
    entries.iter().map(|entry| entry.seq).collect()
}

/// What each operation of a commit did; any other outcome is a failure.
///
/// # Errors
/// Where a condition did not hold, or the commit was done before.
#[track_caller]
pub fn committed(outcome: CommitOutcome) -> Outcome<Vec<Done>> {
    match outcome {
        CommitOutcome::Committed(done) => Ok(done),
        other => Err(Failure::new(format!("the commit was not done: {other:?}"))),
    }
}

/// Puts this JSON text.
#[track_caller]
#[must_use]
pub fn put_doc(name: &str, value: &str, condition: WriteCondition) -> Operation {
    Operation::PutDoc { key: key(name), value: json(value), condition }
}

/// Patches with this JSON text.
#[track_caller]
#[must_use]
pub fn patch_doc(name: &str, patch: &str, condition: WriteCondition) -> Operation {
    Operation::PatchDoc { key: key(name), patch: json(patch), condition }
}

/// Deletes a document.
#[track_caller]
#[must_use]
pub fn delete_doc(name: &str, condition: WriteCondition) -> Operation {
    Operation::DeleteDoc { key: key(name), condition }
}

/// Writes a file that comes in these pieces.
#[track_caller]
#[must_use]
pub fn put_file(name: &str, pieces: impl IntoIterator<Item = impl Into<Bytes>>, condition: WriteCondition) -> Operation {
    Operation::PutFile { path: path(name), body: body(pieces), condition }
}

/// Deletes a file.
#[track_caller]
#[must_use]
pub fn delete_file(name: &str, condition: WriteCondition) -> Operation {
    Operation::DeleteFile { path: path(name), condition }
}

/// Appends to a log.
#[track_caller]
#[must_use]
pub fn on_log(name: &str, entries: Vec<Data>, options: AppendOptions) -> Operation {
    Operation::Append { log: log_name(name), entries, options }
}
