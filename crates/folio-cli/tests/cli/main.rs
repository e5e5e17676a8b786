//! The program as its users meet it: the real binary, real folders, real daemons on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod append;
mod commit;
mod common;
mod daemon;
mod doc;
mod doctor;
mod file;
mod locked;
mod log;
mod project;
mod tail;
mod terminal;
mod usage;
