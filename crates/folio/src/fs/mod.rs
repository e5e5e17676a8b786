//! The filesystem driver: projects as plain folders, which people and other programs may read and edit.
//!
//! ```text
//! <root>/.folio/                   the driver's own: lock, root.json, journal/, tmp/, quarantine/
//! <root>/.shared/<key>.json        shared documents
//! <root>/.collections/<name>/…     documents of a collection
//! <root>/<project>/…               files
//! <root>/<project>/.meta/          documents <key>.json, the log history.jsonl, named logs in logs/
//! ```
//!
//! It needs Linux 5.8 or newer. Edits by other programs are noticed on file systems of this machine; on a network file
//! system the edits of other machines are not.
//!
//! | room | what it knows |
//! | --- | --- |
//! | `vfs`, `temp`, `tree`, `fold` | file operations that stay inside a folder; files in the making; whole folders; folded names |
//! | `store`, `lock`, `root`, `epochs` | an open root: who holds it, what it gave out |
//! | `gates`, `failure`, `quarantine`, `pace`, `crew` | who waits for whom; fail stop; what was set aside; threads |
//! | `spares` | displaced files that are used again |
//! | `journal` | what commits at the same moment shares one sync: records as bytes |
//! | `txn` | what records mean: making changes ready, making them, making them again after a crash |
//! | `replace`, `docs`, `files`, `log`, `commit` | one file replaced whole; the three kinds of things in a project; several at once |
//! | `changes`, `telling`, `watch` | who is told of what; edits of other programs |
//! | `doctor` | checks a root, repairs what can be |
//! | `projects`, `draft`, `copy`, `project`, `driver` | projects, and the contract |

mod changes;
mod commit;
mod content;
mod copy;
mod crew;
mod docs;
pub mod doctor;
mod draft;
mod driver;
mod epochs;
mod failure;
mod files;
mod fold;
mod gates;
mod journal;
pub(crate) mod line;
mod lock;
pub(crate) mod log;
mod options;
mod pace;
mod project;
mod projects;
pub(crate) mod quarantine;
mod replace;
mod root;
mod scope;
pub(crate) mod segment;
mod select;
#[cfg(test)]
mod sim_tests;
mod spares;
pub(crate) mod store;
mod telling;
pub(crate) mod temp;
mod tree;
mod txn;
pub(crate) mod vfs;
mod watch;

pub use driver::FsDriver;
pub use options::FsOptions;
