//! Folio's contract over HTTP: [`HttpDriver`] is a [`Driver`](folio::Driver) that speaks to a running Folio daemon.

mod call;
mod changes;
mod docs;
mod driver;
mod events;
mod files;
mod follow;
mod http;
mod log;
mod modified;
mod options;
mod pause;
mod problem;
mod project;
mod sse;
mod target;
mod upload;
mod wire;

pub use driver::HttpDriver;
pub use options::ClientOptions;
