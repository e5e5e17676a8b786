//! What a URL's path names. It is split on raw `/` and every segment is decoded once.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use folio::{AppendLog, BlobStore, CollectionName, DocKey, Error, FilePath, JsonKv, LogName, Project, ProjectId, Result};
use http::Uri;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::problem::{Problem, shown};
use crate::state::App;

/// The decoded segments of the path, without the empty one before the first `/`.
fn segments(uri: &Uri) -> Result<Vec<String>> {
    uri.path().split('/').skip(1).map(segment).collect()
}

fn segment(raw: &str) -> Result<String> {
    let refuse = |why| Error::invalid(format!("the path segment \"{}\" {why}", shown(raw.as_bytes())));
    if !escapes_are_whole(raw) {
        return Err(refuse("has a '%' without two hex digits"));
    }
    let bytes: Vec<u8> = percent_decode(raw.as_bytes()).collect();
    if bytes.contains(&b'/') {
        return Err(refuse("has an encoded '/', which is not a separator and cannot be part of a name"));
    }
    if bytes.contains(&0) {
        return Err(refuse("has an encoded NUL"));
    }
    String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 once decoded"))
}

/// True where every `%` has two hex digits after it.
pub(crate) fn escapes_are_whole(text: &str) -> bool {
    let mut pieces = text.split('%');
    pieces.next();
    pieces.all(|piece| piece.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// What stays as it is in the path of a URL that we make.
const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// The path of a log.
pub(crate) fn of_log(project: &ProjectId, name: &LogName) -> String {
    format!("/v1/projects/{project}/logs/{}", utf8_percent_encode(name.as_str(), &KEPT))
}

/// The path of a project.
pub(crate) fn of_project(project: &ProjectId) -> String {
    format!("/v1/projects/{project}")
}

fn at(segments: &[String], index: usize) -> &str {
    segments.get(index).map_or("", String::as_str)
}

fn tail(segments: &[String], from: usize) -> String {
    segments.get(from..).unwrap_or_default().join("/")
}

/// `/v1/projects/{id}…`: the id, whether the project exists or not.
pub(crate) struct AtProject(pub(crate) ProjectId);

/// `/v1/projects/{id}/…`: the project.
pub(crate) struct InProject(pub(crate) Arc<dyn Project>);

/// `/v1/projects/{id}/files/{path…}`.
pub(crate) struct AtFile {
    pub(crate) files: Arc<dyn BlobStore>,
    pub(crate) path: FilePath,
}

/// `…/docs`: of a project, shared, or of a collection.
pub(crate) struct InDocs(pub(crate) Arc<dyn JsonKv>);

/// `…/docs/{key}`.
pub(crate) struct AtDoc {
    pub(crate) docs: Arc<dyn JsonKv>,
    pub(crate) key: DocKey,
}

/// `/v1/projects/{id}/history` or `/v1/projects/{id}/logs/{name…}`.
pub(crate) struct AtLog {
    pub(crate) project: ProjectId,
    pub(crate) name: LogName,
    pub(crate) log: Arc<dyn AppendLog>,
}

impl FromRequestParts<Arc<App>> for AtProject {
    type Rejection = Problem;
    async fn from_request_parts(head: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        Ok(Self(ProjectId::new(at(&segments(&head.uri)?, 2))?))
    }
}

impl FromRequestParts<Arc<App>> for InProject {
    type Rejection = Problem;
    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let AtProject(id) = AtProject::from_request_parts(head, app).await?;
        Ok(Self(app.driver.project(&id)))
    }
}

impl FromRequestParts<Arc<App>> for AtFile {
    type Rejection = Problem;
    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let segments = segments(&head.uri)?;
        let id = ProjectId::new(at(&segments, 2))?;
        let path = FilePath::new(tail(&segments, 4))?;
        Ok(Self { files: app.driver.project(&id).files(), path })
    }
}

/// The documents that the path stands in, and the index of the segment after `docs`.
fn docs(segments: &[String], app: &App) -> Result<(Arc<dyn JsonKv>, usize)> {
    match at(segments, 1) {
        "projects" => Ok((app.driver.project(&ProjectId::new(at(segments, 2))?).docs(), 4)),
        "collections" => Ok((app.driver.collection(&CollectionName::new(at(segments, 2))?), 4)),
        _ => Ok((app.driver.shared(), 3)),
    }
}

impl FromRequestParts<Arc<App>> for InDocs {
    type Rejection = Problem;
    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        Ok(Self(docs(&segments(&head.uri)?, app)?.0))
    }
}

impl FromRequestParts<Arc<App>> for AtDoc {
    type Rejection = Problem;
    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let segments = segments(&head.uri)?;
        let (docs, key) = docs(&segments, app)?;
        Ok(Self { docs, key: DocKey::new(at(&segments, key))? })
    }
}

impl FromRequestParts<Arc<App>> for AtLog {
    type Rejection = Problem;
    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let segments = segments(&head.uri)?;
        let project = ProjectId::new(at(&segments, 2))?;
        let name = match at(&segments, 3) {
            "logs" => LogName::new(tail(&segments, 4))?,
            _ => LogName::history(),
        };
        let log = app.driver.project(&project).log(&name);
        Ok(Self { project, name, log })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(path: &str) -> Result<Vec<String>, String> {
        segments(&Uri::try_from(path).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(split("/v1/a%20b/%2541/+").unwrap(), ["v1", "a b", "%41", "+"]);
        assert_eq!(split("/a//b/").unwrap(), ["a", "", "b", ""]);
        assert_eq!(split("/%C3%BC").unwrap(), ["ü"]);
        for (path, why) in [
            ("/a%2Fb", "'/'"),
            ("/a%2fb", "'/'"),
            ("/%00", "NUL"),
            ("/%ff", "UTF-8"),
            ("/%", "'%'"),
            ("/%4", "'%'"),
            ("/%zz", "'%'"),
        ] {
            let message = split(path).unwrap_err();
            assert!(message.contains(why), "{path}: {message}");
        }
    }

    #[test]
    fn paths_that_we_make_can_be_read_back() {
        let name = LogName::new("runs/4 2/ü%?#").unwrap();
        let path = of_log(&ProjectId::new("p").unwrap(), &name);
        assert_eq!(tail(&split(&path).unwrap(), 4), name.as_str());
    }
}
