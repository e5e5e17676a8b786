//! `folio log …`

mod append;
mod ndjson;
mod read;
mod show;
mod tail;
mod tend;

use std::sync::Arc;

use clap::{Args, Subcommand};
use folio::{AppendLog, Driver, LogName, ProjectId};

use crate::connect::Connect;
use crate::failure::Result;
use crate::output::Output;
use crate::signals::Signals;
use crate::text::visible;

/// What to do with logs.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Every project has the log `history`; --log NAME means another one, such as --log runs/42.

Examples:
  folio log append demo '{\"kind\":\"hello\"}'
  folio log tail -f demo
  folio log read demo --since 1763900000000-41 --json")]
pub(crate) enum LogCommand {
    /// Append entries; they are in the log together or not at all
    Append(append::Append),
    /// Print entries
    Read(read::Read),
    /// Print the newest entries, and with -f every new one as it comes
    Tail(tail::Tail),
    /// Compact: remove the oldest entries
    Truncate(tend::Truncate),
    /// Say where a log stands: head, horizon, size, lineage
    Status(Which),
    /// List the logs of a project
    List(tend::List),
    /// End a log: nothing can be appended any more
    Close(Which),
    /// Delete a named log; fine if there is none
    Delete(tend::Delete),
    /// Make a new log that begins with the entries of this one, up to a seq
    Fork(tend::Fork),
}

/// One log.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// Id of the project
    project: String,
    /// Name of the log
    #[arg(long, value_name = "NAME", default_value = LogName::HISTORY)]
    log: String,
}

/// A log whose names are valid.
struct Named {
    project: ProjectId,
    log: LogName,
}

impl Which {
    fn parse(&self) -> Result<Named> {
        Ok(Named { project: ProjectId::new(&self.project)?, log: LogName::new(&self.log)? })
    }
}

impl Named {
    fn open(&self, driver: &dyn Driver) -> Arc<dyn AppendLog> {
        driver.project(&self.project).log(&self.log)
    }

    fn what(&self) -> String {
        if self.log.is_history() {
            format!("the history of {}", self.project)
        } else {
            format!("the log {} of {}", visible(self.log.as_str()), self.project)
        }
    }
}

impl LogCommand {
    /// True for a command that ends by itself, in order, when it is asked to.
    pub(crate) fn stops_by_itself(&self) -> bool {
        matches!(self, Self::Append(append) if append.is_long())
    }
}

/// Runs a command.
pub(crate) async fn run(command: &LogCommand, connect: &mut Connect, signals: Signals, out: &mut Output) -> Result {
    match command {
        LogCommand::Append(args) => append::run(args, connect, signals, out).await,
        LogCommand::Read(args) => read::run(args, connect, out).await,
        LogCommand::Tail(args) => tail::run(args, connect, out).await,
        LogCommand::Truncate(args) => tend::truncate(args, connect, out).await,
        LogCommand::Status(which) => tend::status(which, connect, out).await,
        LogCommand::List(args) => tend::list(args, connect, out).await,
        LogCommand::Close(which) => tend::close(which, connect, out).await,
        LogCommand::Delete(args) => tend::delete(args, connect, out).await,
        LogCommand::Fork(args) => tend::fork(args, connect, out).await,
    }
}
