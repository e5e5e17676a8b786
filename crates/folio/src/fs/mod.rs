//! The filesystem driver: projects as plain folders.

mod changes;
mod content;
mod copy;
mod docs;
mod draft;
mod driver;
mod epochs;
mod failure;
mod files;
mod flush;
mod fold;
mod gates;
mod line;
mod lock;
#[allow(dead_code, unused_imports, reason = "the doctor, which comes next, uses the rest")]
pub(crate) mod log;
mod options;
mod project;
mod projects;
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

pub use driver::FsDriver;
pub use options::FsOptions;
