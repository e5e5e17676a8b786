//! A driver that keeps everything in memory: for tests, and for data that may go with the process.
//!
//! It follows the contract to the letter. Only durability is missing, and what comes from other programs' access to
//! plain files: outside edits, damage, a lock.

mod commit;
mod docs;
mod driver;
mod files;
mod history;
mod listeners;
mod log;
mod project;
mod store;

pub use driver::{MemoryDriver, MemoryOptions};

#[cfg(test)]
mod tests;
