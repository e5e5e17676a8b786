//! The parts of a body of type `multipart/form-data`: operations first, then the files in the order of the operations
//! that take them. A file goes to the store as it comes in; nothing of it is gathered here.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use bytes::Bytes;
use folio::{ByteStream, Error, Operation};
use futures_util::{StreamExt, stream};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use multer::{Field, Multipart};
use tokio::sync::Mutex;

use super::operations::OPERATIONS;
use crate::accept;
use crate::body::{self, BodyFault};
use crate::budget::{Budget, Reservation};
use crate::problem::{Problem, Refusal, shown};
use crate::upload::Faults;

/// Bytes that the parser may hold back, looking for the end of a part's head or a boundary.
const HELD: usize = 1 << 20;

/// The parts of a body that are still to come.
pub(super) struct Parts(Arc<Shared>);

struct Shared {
    parser: Mutex<Multipart<'static>>,
    /// Bytes that went into the parser since something came out.
    held: Arc<AtomicUsize>,
    faults: Faults,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The parser holds back more than it may.
#[derive(Debug, thiserror::Error)]
#[error("the head of a part is larger than {HELD} bytes")]
struct Overfull;

impl Parts {
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(content_type).ok().filter(|boundary| !boundary.is_empty());
        let missing = || Error::invalid("the Content-Type of the body has no boundary between its parts");
        let boundary = boundary.ok_or_else(missing)?;
        let held = Arc::new(AtomicUsize::new(0));
        let into_parser = Arc::clone(&held);
        let pieces = body.into_data_stream().map(move |piece| {
            let piece = piece.map_err(|error| Cause::from(body::fault(error)))?;
            if into_parser.fetch_add(piece.len(), Ordering::Relaxed) > HELD {
                return Err(Cause::from(Overfull));
            }
            Ok(piece)
        });
        let parser = Mutex::new(Multipart::new(pieces, boundary));
        Ok(Self(Arc::new(Shared { parser, held, faults: Faults::default() })))
    }

    /// Why a body ended badly, once it did.
    pub(super) fn faults(&self) -> Faults {
        self.0.faults.clone()
    }

    /// The first part, whole.
    pub(super) async fn operations(&mut self, limit: usize, memory: &Budget) -> Result<(Bytes, Reservation), Problem> {
        let Some(mut part) = self.0.next().await? else {
            return Err(Error::invalid("the body has no parts; the first one holds the operations").into());
        };
        if part.name() != Some(OPERATIONS) {
            let what = format!("the first part is {}; it must be \"{OPERATIONS}\", with the operations as JSON", name(&part));
            return Err(Error::invalid(what).into());
        }
        if let Some(sent) = part.content_type().filter(|sent| sent.essence_str() != accept::JSON) {
            let content_type = shown(sent.essence_str().as_bytes());
            return Err(Refusal::UnsupportedMediaType { content_type, wanted: accept::JSON }.into());
        }
        let mut held = memory.reserve(0).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = self.0.chunk(&mut part).await? {
            let size = bytes.len() + piece.len();
            if size > limit {
                return Err(Error::TooLarge { what: "a body".into(), bytes: size as u64, limit: limit as u64 }.into());
            }
            // Once more for its parsed form, as for every body.
            held.grow(size.saturating_mul(2)).await?;
            bytes.extend_from_slice(&piece);
        }
        Ok((bytes.into(), held))
    }

    /// Gives the operations their files, each of at most `limit` bytes. The last one ends well only where the body does.
    pub(super) async fn give(
        self,
        operations: &mut [Operation],
        named: Vec<(usize, String)>,
        limit: Option<u64>,
    ) -> Result<(), Problem> {
        let Some(last) = named.len().checked_sub(1) else { return self.0.end(&HashSet::new()).await };
        let names: Arc<HashSet<String>> = Arc::new(named.iter().map(|(_, name)| name.clone()).collect());
        for (index, (at, name)) in named.into_iter().enumerate() {
            let Some(Operation::PutFile { body, .. }) = operations.get_mut(at) else { continue };
            let file = File { shared: Arc::clone(&self.0), at, name, names: Arc::clone(&names), last: index == last, limit };
            *body = file.stream();
        }
        Ok(())
    }
}

/// What a part is called, for messages.
fn name(part: &Field<'_>) -> String {
    part.name().map_or_else(|| "a part without a name".to_owned(), |name| format!("the part \"{}\"", shown(name.as_bytes())))
}

impl Shared {
    async fn next(&self) -> Result<Option<Field<'static>>, Problem> {
        let next = self.parser.lock().await.next_field().await.map_err(problem);
        self.held.store(0, Ordering::Relaxed);
        next
    }

    async fn chunk(&self, part: &mut Field<'static>) -> Result<Option<Bytes>, Problem> {
        let piece = part.chunk().await.map_err(problem);
        self.held.store(0, Ordering::Relaxed);
        piece
    }

    /// Refuses whatever comes yet; `known` are the parts that operations name.
    async fn end(&self, known: &HashSet<String>) -> Result<(), Problem> {
        match self.next().await? {
            None => Ok(()),
            Some(part) if part.name().is_some_and(|name| known.contains(name)) => {
                Err(Error::invalid(format!("{} is there twice", name(&part))).into())
            }
            Some(part) => Err(Error::invalid(format!("{} is named by no operation", name(&part))).into()),
        }
    }
}

/// Where a file is in the body.
enum At {
    Before,
    /// With the bytes that came.
    In(Box<Field<'static>>, u64),
}

/// A part that holds a file.
struct File {
    shared: Arc<Shared>,
    /// The operation that takes it.
    at: usize,
    name: String,
    /// All parts that operations name.
    names: Arc<HashSet<String>>,
    last: bool,
    limit: Option<u64>,
}

impl File {
    fn stream(self) -> ByteStream {
        let file = Arc::new(self);
        let pieces = stream::try_unfold(At::Before, move |at| {
            let file = Arc::clone(&file);
            async move {
                file.step(at).await.map_err(|problem| {
                    let error = Error::Io { what: "receiving a file".into(), why: problem.detail() };
                    file.shared.faults.set(problem);
                    error
                })
            }
        });
        pieces.boxed()
    }

    async fn step(&self, at: At) -> Result<Option<(Bytes, At)>, Problem> {
        let (mut part, bytes) = match at {
            At::Before => (Box::new(self.begin().await?), 0),
            At::In(part, bytes) => (part, bytes),
        };
        let Some(piece) = self.shared.chunk(&mut part).await? else {
            drop(part);
            if self.last {
                self.shared.end(&self.names).await?;
            }
            return Ok(None);
        };
        let bytes = bytes + piece.len() as u64;
        if let Some(limit) = self.limit.filter(|&limit| bytes > limit) {
            return Err(Error::TooLarge { what: "a file".into(), bytes, limit }.in_operation(self.at).into());
        }
        Ok(Some((piece, At::In(part, bytes))))
    }

    async fn begin(&self) -> Result<Field<'static>, Problem> {
        let refuse = |what: String| Err(Error::invalid(what).in_operation(self.at).into());
        let own = shown(self.name.as_bytes());
        match self.shared.next().await? {
            Some(part) if part.name() == Some(&self.name) => Ok(part),
            None => refuse(format!("the part \"{own}\" is missing")),
            Some(part) if part.name().is_some_and(|name| self.names.contains(name)) => refuse(format!(
                "the part \"{own}\" is missing where {} stands: each comes once, in the order of the operations",
                name(&part)
            )),
            Some(part) => refuse(format!("{} is named by no operation", name(&part))),
        }
    }
}

/// Why the parser gave up.
fn problem(error: multer::Error) -> Problem {
    let multer::Error::StreamReadFailed(cause) = error else {
        return Error::invalid(format!("the parts of the body are malformed: {error}")).into();
    };
    match cause.downcast::<BodyFault>() {
        Ok(fault) => (*fault).into(),
        Err(other) => Error::invalid(format!("the parts of the body are malformed: {other}")).into(),
    }
}
