//! Files over HTTP.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use folio::{
    BlobStore, ByteStream, ChangeStream, DeleteOutcome, Error, FileInfo, FileList, FileListOptions, FilePath, FileRange,
    FileRead, FileReadOptions, Result, WriteCondition, WriteOutcome,
};
use futures_util::{StreamExt, stream};
use reqwest::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName, LAST_MODIFIED, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::time::timeout;

use crate::call::{Call, ascii};
use crate::changes;
use crate::docs::{delete, etag, write};
use crate::http::{Http, cause};
use crate::modified::http_date;
use crate::problem::Problem;
use crate::target::Target;
use crate::upload::Payload;
use crate::wire::{self, Understood};

/// A file can change between two calls; so often that is tried again.
const ROUNDS: u32 = 5;

/// Unix milliseconds of the last write; `Last-Modified` has only seconds.
const FOLIO_MODIFIED: HeaderName = HeaderName::from_static("folio-modified");

pub(crate) struct HttpFiles {
    http: Arc<Http>,
    target: Target,
    changes: Target,
}

impl HttpFiles {
    pub(crate) fn new(http: Arc<Http>, target: Target, changes: Target) -> Self {
        Self { http, target, changes }
    }

    fn call(&self, method: Method, path: &FilePath) -> Call {
        Call::new(method, self.target.clone().segments(path.as_str()))
    }

    fn reading(&self, method: Method, path: &FilePath, etag: bool) -> Call {
        let target = self.target.clone().segments(path.as_str()).query_if("etag", etag.then_some("true"));
        Call::new(method, target)
    }

    /// What is asked for holds no bytes of the file as it is now; then only its size is needed.
    async fn read_nothing(&self, path: &FilePath, options: &FileReadOptions) -> Result<Option<Option<FileRead>>> {
        let Some(info) = self.stat(path, options.etag).await? else { return Ok(Some(None)) };
        let range = options.range.within(info.size);
        let empty = range.is_empty();
        Ok(empty.then(|| Some(FileRead { info, range, body: stream::empty().boxed(), file: None })))
    }
}

#[async_trait]
impl BlobStore for HttpFiles {
    async fn stat(&self, path: &FilePath, etag: bool) -> Result<Option<FileInfo>> {
        let call = self.reading(Method::HEAD, path, etag);
        // A refusal of HEAD has no body that says why.
        let why = self.reading(Method::GET, path, etag).header(RANGE, ascii("bytes=0-0"));
        for _ in 0..ROUNDS {
            if let Ok(response) = self.http.open(&call).await? {
                let size = content_length(response.headers());
                return self.http.understand(&call, size.and_then(|size| info(path, size, response.headers()))).map(Some);
            }
            match self.http.open(&why).await? {
                Ok(response) => {
                    let size = extent(&response).map(|(_, size)| size);
                    return self.http.understand(&why, size.and_then(|size| info(path, size, response.headers()))).map(Some);
                }
                Err(problem) if problem.is_missing() => return Ok(None),
                Err(problem) if is_beyond(&problem) => {}
                Err(problem) => return Err(problem.into_error()),
            }
        }
        Err(unsettled(path))
    }

    async fn read(&self, path: &FilePath, options: FileReadOptions) -> Result<Option<FileRead>> {
        let mut call = self.reading(Method::GET, path, options.etag);
        match options.range {
            FileRange::Whole => {}
            FileRange::Span(from, to) if from < to => call = call.header(RANGE, ascii(&format!("bytes={from}-{}", to - 1))),
            FileRange::From(from) => call = call.header(RANGE, ascii(&format!("bytes={from}-"))),
            FileRange::Last(count) if count > 0 => call = call.header(RANGE, ascii(&format!("bytes=-{count}"))),
            // HTTP has no word for an empty range.
            FileRange::Span(..) | FileRange::Last(_) => {
                return Ok(self.read_nothing(path, &options).await?.flatten());
            }
        }
        for _ in 0..ROUNDS {
            match self.http.open(&call).await? {
                Ok(response) => {
                    let (range, size) = self.http.understand(&call, extent(&response))?;
                    let info = self.http.understand(&call, info(path, size, response.headers()))?;
                    if range != options.range.within(size) {
                        return Err(self.http.misunderstood(&call, "it is not the range that was asked for"));
                    }
                    return Ok(Some(FileRead { info, range, body: body(Arc::clone(&self.http), call, response), file: None }));
                }
                Err(problem) if problem.is_missing() => return Ok(None),
                Err(problem) if is_beyond(&problem) => {
                    if let Some(nothing) = self.read_nothing(path, &options).await? {
                        return Ok(nothing);
                    }
                }
                Err(problem) => return Err(problem.into_error()),
            }
        }
        Err(unsettled(path))
    }

    async fn write(&self, path: &FilePath, body: ByteStream, condition: WriteCondition) -> Result<WriteOutcome> {
        let payload = Payload::of_stream(body).await?;
        let call = self.call(Method::PUT, path).body("application/octet-stream", payload).condition(condition);
        write(&self.http, &call).await
    }

    async fn delete(&self, path: &FilePath, condition: WriteCondition) -> Result<DeleteOutcome> {
        delete(&self.http, &self.call(Method::DELETE, path).condition(condition)).await
    }

    async fn list(&self, options: FileListOptions) -> Result<FileList> {
        let FileListOptions { folder, after, limit, etag } = options;
        let target = self.target.clone().query_if("prefix", folder).query_if("after", after).query("limit", &limit.to_string());
        let target = target.query_if("etag", etag.then_some("true"));
        let (files, next) = self.http.json::<wire::Files>(&Call::get(target)).await?.infos();
        Ok(FileList { files, next })
    }

    async fn subscribe(&self) -> Result<ChangeStream> {
        changes::subscribe(Arc::clone(&self.http), self.changes.clone()).await
    }
}

fn is_beyond(problem: &Problem) -> bool {
    problem.status() == StatusCode::RANGE_NOT_SATISFIABLE
}

fn unsettled(path: &FilePath) -> Error {
    Error::Retry { what: format!("the file {path:?} changed again and again while it was being read") }
}

fn content_length(headers: &HeaderMap) -> Understood<u64> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.ok_or_else(|| "a file without a Content-Length".to_owned())
}

fn info(path: &FilePath, size: u64, headers: &HeaderMap) -> Understood<FileInfo> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let modified = match text(&FOLIO_MODIFIED) {
        Some(ms) => ms.parse().ok(),
        None => text(&LAST_MODIFIED).and_then(http_date),
    };
    let modified = modified.ok_or_else(|| "a file without the time of its last write".to_owned())?;
    Ok(FileInfo { path: path.clone(), size, modified, etag: etag(headers)? })
}

/// The bytes that an answer holds, and the size of the whole file.
fn extent(response: &Response) -> Understood<(Range<u64>, u64)> {
    let headers = response.headers();
    if response.status() != StatusCode::PARTIAL_CONTENT {
        if headers.get(ACCEPT_RANGES).is_none() {
            return Err("a file without Accept-Ranges".to_owned());
        }
        let size = content_length(headers)?;
        return Ok((0..size, size));
    }
    let parsed = headers.get(CONTENT_RANGE).and_then(|value| {
        let (range, size) = value.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some((first..last.checked_add(1)?, size.parse().ok()?))
    });
    parsed.ok_or_else(|| "a part of a file without a Content-Range".to_owned())
}

/// The body of a file; a connection that breaks is told as an error, never as an early end.
fn body(http: Arc<Http>, call: Call, response: Response) -> ByteStream {
    let reading = stream::try_unfold((http, call, response), |(http, call, mut response)| async move {
        let patience = http.options.answer_timeout;
        let piece: Option<Bytes> = match timeout(patience, response.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(e)) => return Err(Error::Transport { what: broke(&http, &call, &cause(&e)) }),
            Err(_) => {
                return Err(Error::Transport { what: broke(&http, &call, &format!("silent for {} s", patience.as_secs_f32())) });
            }
        };
        Ok(piece.map(|piece| (piece, (http, call, response))))
    });
    reading.boxed()
}

fn broke(http: &Http, call: &Call, why: &str) -> String {
    format!("the connection broke in the middle of the file of {} ({why}); read it again", http.shown(call))
}
