//! The contract suite on the filesystem driver, as it is opened by default.

mod files;

use std::process::ExitCode;

use folio::fs::FsOptions;

fn main() -> ExitCode {
    folio_contract::main("fs", || files::Files::new(FsOptions::default()))
}
