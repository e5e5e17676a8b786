//! What the exit code says: the one table, and where each error stands in it.

use folio::Error;

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Failed in a way that has no code of its own.
    Failure = 1,
    /// Arguments or input that cannot be meant.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// A condition did not hold, or something stands in the way.
    Conflict = 4,
    /// Something on disk is damaged.
    Damaged = 5,
    /// The store cannot do it now.
    Unavailable = 6,
    /// Ended by Ctrl-C.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

/// The table that `--help` and `docs/cli.md` show.
pub(crate) const TABLE: [(Exit, &str); 9] = [
    (Exit::Ok, "done (also when the reader of a pipe went away)"),
    (Exit::Failure, "failed: the system refused, or what has no code of its own"),
    (Exit::Usage, "arguments or input that cannot be meant: nothing was done with them"),
    (Exit::NotFound, "not there: folder, project, log, document, file"),
    (Exit::Conflict, "a condition did not hold, or something stands in the way: exists, closed, key reused"),
    (Exit::Damaged, "damage on disk"),
    (Exit::Unavailable, "not now: in use, unreachable, disk full, port taken, outcome unknown"),
    (Exit::Interrupted, "interrupted (Ctrl-C, SIGINT)"),
    (Exit::Terminated, "terminated (SIGTERM)"),
];

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// Where an error of the library stands in the table.
    pub(crate) fn of(error: &Error) -> Self {
        match error.cause() {
            Error::InvalidName { .. }
            | Error::InvalidCursor { .. }
            | Error::InvalidEtag { .. }
            | Error::InvalidJson { .. }
            | Error::Invalid { .. }
            | Error::TooLarge { .. } => Self::Usage,
            Error::NoProject { .. } | Error::NoLog { .. } | Error::Gone { .. } => Self::NotFound,
            Error::Exists { .. } | Error::PathConflict { .. } | Error::Closed { .. } | Error::KeyReused { .. } => Self::Conflict,
            Error::Damaged { .. } => Self::Damaged,
            Error::DiskFull { .. }
            | Error::OutcomeUnknown { .. }
            | Error::StoreFailed { .. }
            | Error::Locked { .. }
            | Error::Retry { .. }
            | Error::Transport { .. } => Self::Unavailable,
            Error::NewerFormat { .. } | Error::Unsupported { .. } | Error::Io { .. } => Self::Failure,
            // a code that a later version of the library adds
            _ => Self::Failure,
        }
    }
}

/// The table as lines for `--help`.
pub(crate) fn help() -> String {
    TABLE.iter().map(|(exit, meaning)| format!("  {:>3}  {meaning}\n", exit.code())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_about_the_command_line_shows_the_table() {
        let page = include_str!("../../../docs/cli.md");
        for (exit, meaning) in TABLE {
            let row = format!("| {} | {meaning} |", exit.code());
            assert!(page.contains(&row), "docs/cli.md lacks the row: {row}");
        }
    }
}
