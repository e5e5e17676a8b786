//! Files that are asked for the quick way.

use std::fs::File;

use bytes::Bytes;
use folio::{ByteStream, FilePath, FileRead, FileReadOptions, ProjectId};
use futures_util::StreamExt;

use super::Outcome;
use super::answer::Answer;
use super::head::GetFile;
use crate::state::App;

/// What follows the head of an answer.
pub(super) enum Body {
    /// These bytes, and then those.
    Read(Bytes, ByteStream),
    /// So many bytes of a file, which the system passes on; or these, where it can't.
    Passed(File, u64, ByteStream),
}

/// Opens a file and describes it. What is not there, or can't be read, is the stack's: it asks again.
pub(super) async fn answer(get: &GetFile<'_>, answer: &mut Answer, app: &App) -> Outcome {
    let (Ok(id), Ok(path)) = (ProjectId::new(get.project), FilePath::new(get.path)) else { return Outcome::Stack };
    let Ok(Some(file)) = app.driver.project(&id).files().read(&path, FileReadOptions::default()).await else {
        return Outcome::Stack;
    };
    let FileRead { info, mut body, file, .. } = file;
    let body = match file {
        Some(file) => Body::Passed(file, info.size, body),
        None => match body.next().await {
            Some(Ok(first)) => Body::Read(first, body),
            None => Body::Read(Bytes::new(), body),
            Some(Err(_)) => return Outcome::Stack,
        },
    };
    answer.file(&info);
    Outcome::Body(body)
}
