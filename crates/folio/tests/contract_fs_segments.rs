//! The contract suite on the filesystem driver with tiny segments, so that every log is sealed over and over, in a
//! mode that leaves syncing to the operating system.

mod files;

use std::process::ExitCode;

use folio::Durability;
use folio::fs::FsOptions;

fn main() -> ExitCode {
    let options = || FsOptions { segment_bytes: 1_024, durability: Durability::Os, ..FsOptions::default() };
    folio_contract::main("fs_segments", move || files::Files::new(options()))
}
