//! The program under test.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::Result;

/// The `folio` program: `FOLIO_BIN` where that is set, else built from this tree, once per process, the way a user
/// builds it and in the profile of the caller.
///
/// # Errors
/// Where it does not build.
pub fn folio() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    Ok(BINARY.get_or_init(|| find().map_err(|e| e.to_string())).clone()?)
}

fn find() -> Result<PathBuf> {
    if let Some(path) = env::var_os("FOLIO_BIN") {
        return Ok(path.into());
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    cargo.args(["build", "--quiet", "--package=folio-cli", "--bin=folio", "--message-format=json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("cargo could not build folio: {}", output.status).into());
    }
    let executable = output.stdout.split(|&byte| byte == b'\n').find_map(|line| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    Ok(executable.ok_or("cargo named no executable")?)
}
