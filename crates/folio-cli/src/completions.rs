//! `folio completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Result;
use crate::output::Output;

/// Which shell.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  folio completions bash > ~/.local/share/bash-completion/completions/folio
  folio completions zsh  > ~/.zfunc/_folio        (a folder in your $fpath)
  folio completions fish > ~/.config/fish/completions/folio.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs, out: &mut Output) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "folio", &mut script);
    out.bytes(&script)
}
