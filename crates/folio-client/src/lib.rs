//! folio-client
mod options;
mod pause;
mod sse;
mod target;
pub use options::ClientOptions;
