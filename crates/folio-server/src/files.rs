//! Files: listed, sent and taken in streams.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use folio::{
    ByteStream, DeleteOutcome, Error, Etag, FileInfo, FileListOptions, FilePath, FileRange, FileRead, FileReadOptions,
    WriteOutcome,
};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, IF_RANGE, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use http_body::Body as _;
use serde::Serialize;

use crate::conditions::{self, ReadConditions, Verdict};
use crate::path::{AtFile, InProject};
use crate::problem::{Answer, Problem, Refusal};
use crate::query::Query;
use crate::state::App;
use crate::{body, date, media, range, reply, upload};

#[derive(Serialize)]
struct Listed {
    path: FilePath,
    size: u64,
    modified: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<Etag>,
}

#[derive(Serialize)]
struct List {
    files: Vec<Listed>,
    next: Option<FilePath>,
}

#[derive(Serialize)]
struct Written {
    path: FilePath,
    etag: Etag,
}

/// `GET …/files`.
pub(crate) async fn list(InProject(project): InProject, uri: Uri) -> Answer {
    let query = Query::parse(&uri, &["prefix", "after", "limit", "etag"])?;
    let folder = query.get("prefix").map(|prefix| prefix.strip_suffix('/').unwrap_or(prefix));
    let options = FileListOptions {
        folder: folder.filter(|folder| !folder.is_empty()).map(FilePath::new).transpose()?,
        after: query.parsed("after")?,
        limit: query.limit()?,
        etag: query.flag("etag")?,
    };
    let list = project.files().list(options).await?;
    let files =
        list.files.into_iter().map(|file| Listed { path: file.path, size: file.size, modified: file.modified, etag: file.etag });
    reply::json(StatusCode::OK, &List { files: files.collect(), next: list.next })
}

fn nothing_at(path: &FilePath) -> Problem {
    Problem::not_found(format!("file {path:?}"))
}

/// `GET …/files/{path}`.
pub(crate) async fn get(AtFile { files, path }: AtFile, uri: Uri, headers: HeaderMap) -> Answer {
    let query = Query::parse(&uri, &["etag"])?;
    let conditions = ReadConditions::parse(&headers)?;
    let range = range::requested(&headers);
    let since = headers.get(IF_RANGE).filter(|_| range.is_some());
    let etag = query.flag("etag")? || conditions.need_tag() || since.is_some();
    let options = FileReadOptions { range: range.unwrap_or_default(), etag };
    let Some(mut file) = files.read(&path, options).await? else { return Err(nothing_at(&path)) };
    match conditions.judge(file.info.etag) {
        Verdict::Failed => return Err(Problem::tag_differs(file.info.etag)),
        Verdict::NotModified => return Ok(described(StatusCode::NOT_MODIFIED, Body::empty(), &file.info)),
        Verdict::Send => {}
    }
    let Some(range) = range else { return Ok(sent(file)) };
    let unchanged = |tag: &HeaderValue| file.info.etag.is_some() && conditions::strong_tag(tag) == file.info.etag;
    if since.is_some_and(|tag| !unchanged(tag)) {
        let options = FileReadOptions { range: FileRange::Whole, etag };
        file = files.read(&path, options).await?.ok_or_else(|| nothing_at(&path))?;
        return Ok(sent(file));
    }
    part(file, range)
}

fn sent(file: FileRead) -> Response {
    let mut response = described(StatusCode::OK, Body::from_stream(file.body), &file.info);
    reply::set(response.headers_mut(), CONTENT_LENGTH, &file.info.size.to_string());
    response
}

fn part(file: FileRead, asked: FileRange) -> Answer {
    let (size, sent) = (file.info.size, file.range);
    if asked.within(size).is_empty() {
        return Err(Refusal::RangeNotSatisfiable { size }.into());
    }
    let mut response = described(StatusCode::PARTIAL_CONTENT, Body::from_stream(file.body), &file.info);
    let headers = response.headers_mut();
    reply::set(headers, CONTENT_LENGTH, &(sent.end - sent.start).to_string());
    reply::set(headers, CONTENT_RANGE, &format!("bytes {}-{}/{size}", sent.start, sent.end.saturating_sub(1)));
    Ok(response)
}

fn described(status: StatusCode, body: Body, info: &FileInfo) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // Kept by browsers, but asked about each time.
    reply::describe(headers, media::type_of(&info.path), "no-cache");
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    reply::set(headers, LAST_MODIFIED, &date::http_date(info.modified));
    reply::set(headers, reply::MODIFIED, &info.modified.to_string());
    if let Some(etag) = info.etag {
        reply::tag(headers, etag);
    }
    response
}

/// `HEAD …/files/{path}`: nothing is read but what the ETag needs.
pub(crate) async fn head(AtFile { files, path }: AtFile, uri: Uri, headers: HeaderMap) -> Answer {
    let query = Query::parse(&uri, &["etag"])?;
    let conditions = ReadConditions::parse(&headers)?;
    let etag = query.flag("etag")? || conditions.need_tag();
    let Some(info) = files.stat(&path, etag).await? else { return Err(nothing_at(&path)) };
    match conditions.judge(info.etag) {
        Verdict::Failed => Err(Problem::tag_differs(info.etag)),
        Verdict::NotModified => Ok(described(StatusCode::NOT_MODIFIED, Body::empty(), &info)),
        Verdict::Send => {
            let mut response = described(StatusCode::OK, Body::empty(), &info);
            reply::set(response.headers_mut(), CONTENT_LENGTH, &info.size.to_string());
            Ok(response)
        }
    }
}

/// `PUT …/files/{path}`.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    AtFile { files, path }: AtFile,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::none(&uri)?;
    let condition = conditions::of_write(&headers)?;
    let announced = body.size_hint().lower();
    if let Some(limit) = app.config.max_file.filter(|&limit| announced > limit) {
        return Err(Error::TooLarge { what: "a file".into(), bytes: announced, limit }.into());
    }
    let (upload, faults): (ByteStream, _) = upload::stream(body, app.config.max_file);
    let outcome = files.write(&path, upload, condition).await;
    // The store knows only that the body ended badly; why is known here.
    match (outcome, faults.take()) {
        (Err(_), Some(problem)) => Err(problem),
        (Err(error), None) => Err(error.into()),
        (Ok(WriteOutcome::Precondition { current }), _) => Err(Problem::tag_differs(current)),
        (Ok(WriteOutcome::Written { etag, created }), _) => {
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            let mut response = reply::json(status, &Written { path, etag })?;
            reply::tag(response.headers_mut(), etag);
            Ok(response)
        }
    }
}

/// `DELETE …/files/{path}`.
pub(crate) async fn delete(AtFile { files, path }: AtFile, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    Query::none(&uri)?;
    let condition = conditions::of_write(&headers)?;
    body::none(body).await?;
    match files.delete(&path, condition).await? {
        DeleteOutcome::Deleted(existed) => Ok(reply::deleted(existed)),
        DeleteOutcome::Precondition { current } => Err(Problem::tag_differs(current)),
    }
}
