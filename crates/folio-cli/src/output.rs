//! What the program says: answers on stdout, everything about them on stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use serde_json::Value;
use tokio::io::Interest;
use tokio::net::unix::pipe;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::style::{BAD, DIM, WARN};

/// Answers are collected up to so many bytes before they are written.
const BUFFER: usize = 64 << 10;

/// Stdout and stderr, for people or (with `--json`) for scripts.
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    buffer: String,
}

impl Output {
    /// `json`: one JSON value a line instead of text.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, terminal: io::stdout().is_terminal(), buffer: String::new() }
    }

    /// True with `--json`.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// True when a person reads stdout: headings and hints are for them alone.
    pub(crate) fn for_terminal(&self) -> bool {
        self.terminal && !self.json
    }

    /// One line on stdout, as it is.
    pub(crate) fn line(&mut self, line: impl Display) -> Result {
        use std::fmt::Write as _;
        // writing to a String cannot fail
        let _ = writeln!(self.buffer, "{line}");
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// The answer of a command, in the form that was asked for.
    pub(crate) fn answer(&mut self, json: impl FnOnce() -> Value, text: impl Display) -> Result {
        if self.json { self.line(json()) } else { self.line(text) }
    }

    /// Writes out what was collected.
    pub(crate) fn flush(&mut self) -> Result {
        let text = std::mem::take(&mut self.buffer);
        if text.is_empty() {
            return Ok(());
        }
        // JSON goes out untouched; text goes through the filter that drops colours where they don't belong
        let written = if self.json {
            write_all(&mut io::stdout().lock(), text.as_bytes())
        } else {
            write_all(&mut anstream::stdout().lock(), text.as_bytes())
        };
        written.map_err(|e| stdout_failed(&e))
    }

    /// Bytes on stdout, untouched, after what was collected.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result {
        self.flush()?;
        write_all(&mut io::stdout().lock(), bytes).map_err(|e| stdout_failed(&e))
    }

    /// Something to know about the answer, for people: on stderr, and not with `--json`.
    pub(crate) fn note(&mut self, text: impl Display) -> Result {
        self.aside(format_args!("{WARN}{text}{WARN:#}"))
    }

    /// What to try next: only where a person reads.
    pub(crate) fn hint(&mut self, text: impl Display) -> Result {
        if self.for_terminal() { self.aside(format_args!("{DIM}{text}{DIM:#}")) } else { Ok(()) }
    }

    fn aside(&mut self, text: impl Display) -> Result {
        if !self.json {
            self.flush()?;
            // nobody reads stderr: nothing to do about it
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
        Ok(())
    }

    /// Writes out what was collected, then says why the command failed.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        let _ = self.flush();
        let silent = failure.detail.is_empty() && (!self.json || failure.exit == Exit::Ok);
        if silent {
            return;
        }
        let mut stderr = anstream::stderr().lock();
        let _ = if self.json {
            writeln!(stderr, "{}", failure.to_json())
        } else {
            writeln!(stderr, "{BAD}error:{BAD:#} {}", failure.detail)
        };
    }
}

/// Waits until nobody reads stdout any more: the other end of a pipe was closed. Never, where that can't be seen.
pub(crate) async fn reader_gone() {
    // "unchecked" leaves the pipe as it is, so that writing to it still waits
    let pipe = io::stdout().as_fd().try_clone_to_owned().and_then(pipe::Sender::from_owned_fd_unchecked);
    match pipe {
        Ok(pipe) if pipe.ready(Interest::ERROR).await.is_ok_and(|ready| ready.is_error()) => {}
        _ => std::future::pending().await,
    }
}

fn write_all(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

fn stdout_failed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe { Failure::broken_pipe() } else { Failure::io("writing to stdout", error) }
}
