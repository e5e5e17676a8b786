//! The filesystem driver: projects as plain folders.

#![allow(dead_code, unused_imports, reason = "the rooms that use these operations land one after the other")]

mod changes;
mod content;
mod docs;
mod epochs;
mod failure;
mod files;
mod flush;
mod fold;
mod gates;
mod line;
mod lock;
pub(crate) mod log;
mod options;
pub(crate) mod quarantine;
mod replace;
mod root;
mod scope;
pub(crate) mod segment;
mod select;
pub(crate) mod store;
pub(crate) mod temp;
mod tree;
pub(crate) mod vfs;
mod watch;

pub use options::FsOptions;
