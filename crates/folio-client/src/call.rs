//! One call: what is sent, and when it may be sent again.

use folio::{Error, Etag, Result, WriteCondition};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use crate::target::Target;
use crate::upload::Payload;

/// Whether a call may be sent again once the daemon may have acted on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Repeat {
    /// Yes: doing it twice leaves the same, and the second answer can't be misread.
    Safe,
    /// No: only while it surely did not arrive.
    Unsent,
}

/// A request.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    pub(crate) repeat: Repeat,
}

impl Call {
    /// A call that is safe to repeat where its method is: GET, HEAD, PUT, DELETE.
    pub(crate) fn new(method: Method, target: Target) -> Self {
        let repeat = if method.is_idempotent() { Repeat::Safe } else { Repeat::Unsent };
        Self { method, target, headers: HeaderMap::new(), payload: Payload::None, repeat }
    }

    /// `GET`.
    pub(crate) fn get(target: Target) -> Self {
        Self::new(Method::GET, target)
    }

    /// With a body.
    pub(crate) fn body(mut self, content_type: &'static str, payload: Payload) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.payload = payload;
        self
    }

    /// With a JSON body.
    pub(crate) fn json(self, body: impl Into<bytes::Bytes>) -> Self {
        self.body("application/json", Payload::Bytes(body.into()))
    }

    /// With a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With a header whose text comes from outside.
    ///
    /// # Errors
    /// [`Error::Invalid`] for text that no header can carry unchanged; `what` names it.
    pub(crate) fn header_text(self, name: HeaderName, text: &str, what: &str) -> Result<Self> {
        let refuse = |why: &str| Error::invalid(format!("{what} {text:?} cannot be sent over HTTP: {why}"));
        if text.trim_matches([' ', '\t']) != text {
            return Err(refuse("it begins or ends with a blank"));
        }
        let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| refuse("it contains a control character"))?;
        Ok(self.header(name, value))
    }

    /// Only under this condition; then never repeated once it may have arrived, because the second answer would be
    /// about what the first one wrote.
    pub(crate) fn condition(mut self, condition: WriteCondition) -> Self {
        let (name, value) = match condition {
            WriteCondition::None => return self,
            WriteCondition::Match(etag) => (IF_MATCH, quoted(etag)),
            WriteCondition::Exists => (IF_MATCH, HeaderValue::from_static("*")),
            WriteCondition::Absent => (IF_NONE_MATCH, HeaderValue::from_static("*")),
        };
        self.repeat = Repeat::Unsent;
        self.header(name, value)
    }

    /// Whether it may be sent again.
    pub(crate) fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }
}

/// The header value of something whose text form is plain ASCII.
pub(crate) fn ascii(text: &str) -> HeaderValue {
    debug_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn quoted(etag: Etag) -> HeaderValue {
    ascii(&format!("\"{etag}\""))
}
