//! The sending side: payloads, clients as cheap as can be, and the reader of event streams.

pub(crate) mod appender;
pub(crate) mod http;
pub(crate) mod payload;
pub(crate) mod poll;
pub(crate) mod sse;
