//! The body of a request as the store takes it: a stream of bytes whose failures are the store's own.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use folio::{ByteStream, Error};
use futures_util::{StreamExt, future};

use crate::body;
use crate::problem::Problem;

/// Why an upload ended badly, told beside the stream: the store's error can't hold it.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Option<Problem>>>);

impl Faults {
    /// The fault, if there was one.
    pub(crate) fn take(&self) -> Option<Problem> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    pub(crate) fn set(&self, problem: Problem) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(problem);
    }
}

/// The bytes of `body`, at most `limit` of them.
pub(crate) fn stream(body: Body, limit: Option<u64>) -> (ByteStream, Faults) {
    let faults = Faults::default();
    let told = faults.clone();
    let mut bytes: u64 = 0;
    let stream = body.into_data_stream().map(move |piece| {
        let problem = match piece {
            Ok(piece) => {
                bytes += piece.len() as u64;
                match limit.filter(|&limit| bytes > limit) {
                    None => return Ok(piece),
                    Some(limit) => Error::TooLarge { what: "a file".into(), bytes, limit }.into(),
                }
            }
            Err(error) => Problem::from(body::fault(error)),
        };
        let error = Error::Io { what: "receiving a file".into(), why: problem.detail() };
        told.set(problem);
        Err(error)
    });
    // Nothing after the first failure: a store that went on reading must not take the rest for the file.
    let stream = stream.scan(false, |failed, piece| {
        let over = *failed;
        *failed |= piece.is_err();
        future::ready((!over).then_some(piece))
    });
    (stream.boxed(), faults)
}
