//! Asking before something is lost for good.

use std::io::{self, IsTerminal, Write};

use crate::failure::{Failure, Result};

/// True after a `y` on the terminal.
///
/// # Errors
/// A usage error where there is no terminal to ask on: scripts say `--yes`.
pub(crate) fn confirmed(question: &str) -> Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(format!("{question} There is no terminal to ask on: say --yes if you mean it")));
    }
    let read = || {
        write!(anstream::stderr().lock(), "{question} [y/N] ")?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(line)
    };
    let answer = read().map_err(|e| Failure::io("asking on the terminal", &e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
