//! Files that are asked for the quick way.

use bytes::Bytes;
use folio::{ByteStream, FilePath, FileReadOptions, ProjectId};
use futures_util::StreamExt;

use super::Outcome;
use super::answer::Answer;
use super::head::GetFile;
use crate::files;
use crate::state::App;

/// What follows the head of an answer.
pub(super) struct Body {
    pub(super) first: Bytes,
    pub(super) rest: ByteStream,
}

/// Opens a file and describes it. What is not there, or can't be read, is the stack's: it asks again.
pub(super) async fn answer(head: &GetFile<'_>, answer: &mut Answer, app: &App) -> Outcome {
    if !app.guard.serves(head.host) {
        return Outcome::Stack;
    }
    let (Ok(id), Ok(path)) = (ProjectId::new(head.project), FilePath::new(head.path)) else { return Outcome::Stack };
    let Ok(Some(file)) = app.driver.project(&id).files().read(&path, FileReadOptions::default()).await else {
        return Outcome::Stack;
    };
    let (response, mut rest) = files::whole(file);
    let first = match rest.next().await {
        Some(Ok(first)) => first,
        None => Bytes::new(),
        Some(Err(_)) => return Outcome::Stack,
    };
    answer.described(response);
    Outcome::Body(Body { first, rest })
}
