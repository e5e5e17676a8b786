//! What the end-to-end tests stand on: the real `folio` program, a plain HTTP client, an event-stream parser written
//! from the standard, snapshots of folders, and Chromium.
//!
//! Nothing here uses Folio's own crates, so a mistake in them cannot hide itself.

pub mod binary;
pub mod browser;
pub mod daemon;
pub mod disk;
pub mod events;
pub mod fuse;
pub mod http;
pub mod load;
pub mod studio;
pub mod thin;
pub mod tree;

pub use daemon::Daemon;
pub use events::{EventStream, Frame};
pub use fuse::Fuse;
pub use http::{Api, Reply};

/// Failures of the tests' own machinery, in words.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// See [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The seed of a randomized test: `FOLIO_SEED`, else a fresh one. Print it.
#[must_use]
pub fn seed() -> u64 {
    std::env::var("FOLIO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..))
}

/// A number from the environment, such as how long a sweep is.
#[must_use]
pub fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The README's example of the library runs with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
