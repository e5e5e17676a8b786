//! The `folio` program.

#![allow(rustdoc::invalid_html_tags, rustdoc::bare_urls, reason = "the comments on arguments are help for a terminal")]

mod args;
mod ask;
mod commit;
mod completions;
mod condition;
mod connect;
mod descriptors;
mod doc;
mod doctor;
mod exit;
mod failure;
mod file;
mod input;
mod log;
mod output;
mod place;
mod pretty;
mod progress;
mod project;
mod serve;
mod signals;
mod size;
mod stored;
mod style;
mod table;
mod text;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};

use crate::args::{Cli, Command, StoreCommand};
use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::place::Place;
use crate::signals::Signals;

fn main() -> ExitCode {
    let (cli, name) = match parse() {
        Ok(parsed) => parsed,
        Err(exit) => return exit.code().into(),
    };
    let mut out = Output::new(cli.global.json);
    let done = tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build();
    let done = match done {
        Ok(runtime) => {
            let done = runtime.block_on(run(cli, name, &mut out)).and_then(|()| out.flush());
            // a thread that still waits for input must not hold up the end
            runtime.shutdown_background();
            done
        }
        Err(e) => Err(Failure::io("starting", &e)),
    };
    let exit = match done {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            out.failed(&failure);
            failure.exit
        }
    };
    exit.code().into()
}

/// The arguments, and how the command is called (`folio log append`). Help, the version and wrong usage are printed here.
fn parse() -> Result<(Cli, String), Exit> {
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        let mut name = String::from("folio");
        let mut level = &matches;
        while let Some((command, deeper)) = level.subcommand() {
            name = format!("{name} {command}");
            level = deeper;
        }
        Ok((Cli::from_arg_matches(&matches)?, name))
    });
    parsed.map_err(|error| {
        if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
            let text = error.render().to_string();
            let what = text.split("\n\nUsage:").next().unwrap_or(&text).trim_start_matches("error: ").trim_end();
            Output::new(true).failed(&Failure::usage(what));
        } else {
            // nobody reads it: nothing to do about it
            let _ = error.print();
        }
        if error.use_stderr() { Exit::Usage } else { Exit::Ok }
    })
}

async fn run(cli: Cli, name: String, out: &mut Output) -> Result {
    let mut signals = Signals::listen().map_err(|e| Failure::io("listening for signals", &e))?;
    let env = |name: &str| std::env::var(name).ok();
    let command = match &cli.command {
        Command::Serve(args) => return serve::run(args, &cli.global, env, &mut signals, out).await,
        Command::Doctor(args) => {
            return tokio::select! {
                done = doctor::run(args, &cli.global, env, out) => done,
                exit = signals.first() => Err(Failure::interrupted(exit)),
            };
        }
        Command::Completions(args) => return completions::run(args, out),
        Command::Store(command) => command,
    };
    let place = Place::choose(&cli.global, env)?;
    let mut connect = Connect::new(place, Duration::from_secs(cli.global.wait.into()), name);
    let done = on_store(command, &mut connect, signals, out).await;
    // even a command that failed may have written something before
    let closed = connect.close().await;
    done.and(closed)
}

async fn on_store(command: &StoreCommand, connect: &mut Connect, mut signals: Signals, out: &mut Output) -> Result {
    let stopping = signals.clone();
    let work = async {
        match command {
            StoreCommand::Project(command) => project::run(command, connect, out).await,
            StoreCommand::Log(command) => log::run(command, connect, stopping, out).await,
            StoreCommand::Doc(command) => doc::run(command, connect, out).await,
            StoreCommand::File(command) => file::run(command, connect, out).await,
        }
    };
    // a long append ends after the batch that is under way, and says how far it came
    if matches!(command, StoreCommand::Log(command) if command.stops_by_itself()) {
        return work.await;
    }
    tokio::select! {
        done = work => done,
        exit = signals.first() => Err(Failure::interrupted(exit)),
    }
}

/// Threads for connections: half of the processors. The other half is for the threads that write, sync and fan out, and
/// threads that wake each other in turn make every answer later.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}
