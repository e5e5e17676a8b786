//! The commands and their arguments.

use clap::{Parser, Subcommand};

use crate::completions::CompletionsArgs;
use crate::doc::DocCommand;
use crate::doctor::DoctorArgs;
use crate::exit;
use crate::file::FileCommand;
use crate::log::LogCommand;
use crate::place::Global;
use crate::project::ProjectCommand;
use crate::serve::ServeArgs;

/// Folio keeps files, JSON documents and an append-only history, per project, on plain files.
#[derive(Parser, Debug)]
#[command(
    name = "folio",
    version,
    max_term_width = 100,
    after_help = "\
Try:
  folio serve                                  start the daemon on ./folio-data
  folio project create demo                    in another terminal
  folio log append demo '{\"kind\":\"hello\"}'
  folio log tail -f demo

`folio COMMAND --help` has examples; `folio --help` ends with the exit codes.",
    after_long_help = long_help()
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to work on.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Start the daemon: HTTP and live streams over a folder of projects
    Serve(ServeArgs),
    #[command(flatten)]
    Store(StoreCommand),
    /// Check a folder of projects: every line of every log, every document; and repair it
    Doctor(DoctorArgs),
    /// Print a script that completes commands in your shell
    Completions(CompletionsArgs),
}

/// What works on a store.
#[derive(Subcommand, Debug)]
pub(crate) enum StoreCommand {
    /// Projects: list, create, delete, fork
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Logs: append, read, tail, truncate, status, list, close, delete, fork
    #[command(subcommand)]
    Log(LogCommand),
    /// JSON documents: get, put, patch, delete, list
    #[command(subcommand)]
    Doc(DocCommand),
    /// Files: get, put, delete, list
    #[command(subcommand)]
    File(FileCommand),
}

fn long_help() -> String {
    format!(
        "\
Try:
  folio serve                                  start the daemon on ./folio-data
  folio project create demo                    in another terminal
  folio log append demo '{{\"kind\":\"hello\"}}'
  folio log tail -f demo

Which store: a command works on the folder given by --root (or FOLIO_ROOT, or ./folio-data). If a daemon owns that folder, the command goes through the daemon by itself. --url (or FOLIO_URL) goes to a daemon by address. Flags go before the environment. Commands on a folder that no daemon owns take turns; --wait is how long one waits for its turn.

Output: text for people, in colour on a terminal (NO_COLOR is honoured). With --json, one JSON value on stdout, lists as one value a line, and an error as one JSON object on stderr, {{\"code\":…,\"detail\":…}}, with the codes of the library and of HTTP.

Exit codes:
{}",
        exit::help()
    )
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    /// Every line of help that begins with `folio`, as far as it is ours.
    #[test]
    fn the_examples_in_the_help_are_right() {
        let mut examples = Vec::new();
        collect(&Cli::command(), &mut examples);
        assert!(examples.len() > 30, "{examples:?}");
        for example in examples {
            let words = words(&example);
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{example}\n{words:?}\n{error}");
            }
        }
    }

    fn collect(command: &Command, into: &mut Vec<String>) {
        for help in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
            let text = help.to_string();
            let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
            // what stands in a pipe behind another program too
            into.extend(lines.flat_map(|line| line.split(" | ")).filter(|part| part.starts_with("folio ")).map(str::to_owned));
        }
        command.get_subcommands().for_each(|command| collect(command, into));
    }

    /// As a shell splits it: single quotes, and nothing behind `#`, `>` or three spaces.
    fn words(example: &str) -> Vec<String> {
        let example = example.split("   ").next().unwrap_or(example);
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in example.chars() {
            match c {
                '\'' => quoted = !quoted,
                '#' | '>' if !quoted => break,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().unwrap().push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }
}
