//! The contract of Folio's drivers as a suite of tests: what `folio::Driver` promises, every driver proves.
//!
//! A *case* is one guarantee under a name that says it. [`cases`] lists them all; a driver runs them all. What a driver
//! cannot do by its nature (open again on the same storage, be edited by other programs) is a [`Need`]: cases that have
//! one are reported as ignored with the driver's reason, never as passed. There are no other exemptions.
//!
//! # Running the suite on a driver
//!
//! A test target without the standard harness:
//!
//! ```toml
//! [dev-dependencies]
//! folio-contract.workspace = true
//!
//! [[test]]
//! name = "contract_memory"
//! harness = false
//! ```
//!
//! and a [`Harness`], which is made anew for each case:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use folio::memory::MemoryDriver;
//! use folio::{Driver, Result};
//! use folio_contract::{Harness, Need};
//!
//! struct Memory(Arc<MemoryDriver>);
//!
//! impl Harness for Memory {
//!     fn driver(&self) -> Arc<dyn Driver> {
//!         self.0.clone()
//!     }
//!
//!     fn lacks(&self, need: Need) -> Option<&'static str> {
//!         match need {
//!             Need::Clock => Some("this harness leaves the system's clock in place"),
//!             Need::Reopen | Need::Crash => Some("what is kept in memory is gone with the driver"),
//!             Need::PlainFiles => Some("nothing is kept on disk"),
//!         }
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     folio_contract::main("memory", || async { Ok(Memory(Arc::default())) })
//! }
//! ```
//!
//! A harness that can, also implements [`Harness::reopen`], [`Harness::crash`], [`Harness::clock`] and
//! [`Harness::root`], and answers `None` for their needs.
//!
//! Each case is a test of its own, `memory::append::the_first_entry_has_seq_1`, so the filters of `cargo test` work:
//! `cargo test -p folio --test contract_memory -- gap::`.
//!
//! # Adding a case
//!
//! Write an `async fn` with the guarantee as its name into the file of its area under `cases/`, and name it in the
//! `cases!` list at the top, with what it needs in brackets. Work in a fresh project ([`Ctx::project`]), and check what
//! the contract says rather than what drivers happen to do. Then break a driver and see the case fail.
//!
//! # Randomness
//!
//! Races and the model make random choices. All of them come from one seed; a failure prints the line that makes the
//! same choices again.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `FOLIO_SEED` | the seed; another one for each run where it is not set |
//! | `FOLIO_SEQUENCES` | how many random sequences each model case runs; 20 where it is not set |
//!
//! # Waiting
//!
//! Nothing here sleeps to let things happen. Whatever must come is awaited under a deadline ([`PATIENCE`]) that fails
//! naming what was awaited, and a case that hangs fails after its [`BUDGET`]. The helpers for that ([`next_event`],
//! [`collect_until_caught_up`], [`next_change`] and others) serve other tests as well.

mod case;
mod cases;
mod ctx;
mod failure;
mod harness;
mod make;
mod model;
mod races;
mod runner;
mod settings;
mod units;
mod wait;

pub use case::{BUDGET, Case};
pub use cases::cases;
pub use ctx::Ctx;
pub use failure::{Failure, Outcome};
pub use harness::{Harness, Need};
pub use make::{
    append, append_keyed, appended, body, closing, committed, data, delete_doc, delete_file, doc_etag, entry, expecting, json,
    key, keyed, log_name, numbers, on_log, patch_doc, path, put_doc, put_file, read_all, refused, seqs, since, was_there,
    written,
};
pub use runner::main;
pub use settings::seed;
pub use wait::{
    PATIENCE, caught_up, changes_until, closed_and_ended, collect_until_caught_up, deleted, entries_up_to, next_change,
    next_entry, next_event, next_gap, ready, within,
};
