//! The tour in the README, followed word for word: every command of its `console` blocks is run and must print what
//! stands below it.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use folio_e2e::browser::{PageServer, Window, chromium};
use folio_e2e::daemon::Plan;
use folio_e2e::{Daemon, Result};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

const README: &str = include_str!("../../README.md");
/// The address that the README speaks of.
const ADDRESS: &str = "127.0.0.1:7460";

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        Trial::ignorable_test("the_readme_does_what_it_says", || run(curl(), follow_the_tour)),
        Trial::ignorable_test("the_page_of_the_readme_watches", || run(chromium().ok_or("no Chromium on this machine"), watch)),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn run<T, F: Future<Output = Result<()>>>(needs: Result<T, &str>, test: fn(T) -> F) -> Result<Completion, Failed> {
    match needs {
        Err(missing) => Ok(Completion::ignored_with(missing)),
        Ok(needed) => {
            tokio::runtime::Runtime::new()?.block_on(test(needed))?;
            Ok(Completion::Completed)
        }
    }
}

/// The tour needs `curl --json`.
fn curl() -> Result<(), &'static str> {
    let understands = |output: Output| String::from_utf8_lossy(&output.stdout).contains("--json");
    let help = Command::new("curl").args(["--help", "http"]).stderr(Stdio::null()).output();
    if help.is_ok_and(understands) { Ok(()) } else { Err("no curl with --json (7.82 or newer) on this machine") }
}

/// A command and what it prints.
#[derive(Debug)]
struct Step {
    command: String,
    prints: String,
}

/// The blocks of the README in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let start = format!("```{language}\n");
    README.split(&start).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect()
}

fn steps(address: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks("console").concat().replace(ADDRESS, address).lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), prints: String::new() });
        } else if let Some(step) = steps.last_mut() {
            step.prints += line;
            step.prints += "\n";
        }
    }
    steps
}

async fn follow_the_tour((): ()) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = Daemon::start(&folder.path().join("folio-data")).await?;
    let steps = steps(&daemon.address().to_string());
    assert!(steps.len() >= 8, "the tour was found: {steps:?}");
    for Step { command, prints } in steps {
        let printed = if command.contains(" -N ") {
            first_lines(folder.path(), &command, prints.trim_end().lines().count()).await?
        } else {
            let output = bash(folder.path(), &command).output().await?;
            assert!(output.status.success(), "{command}: {output:?}");
            String::from_utf8(output.stdout)?
        };
        assert_eq!(plain(printed.trim_end()), plain(prints.trim_end()), "$ {command}");
    }
    assert!(daemon.stop().await?.success());
    Ok(())
}

fn bash(folder: &Path, command: &str) -> tokio::process::Command {
    let mut bash = tokio::process::Command::new("bash");
    bash.args(["-c", command]).current_dir(folder).kill_on_drop(true);
    bash.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    bash
}

/// What a command that does not end prints first.
async fn first_lines(folder: &Path, command: &str, count: usize) -> Result<String> {
    // exec, so that the process that is killed is the command itself.
    let mut child = bash(folder, &format!("exec {command}")).spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    let lines = tokio::time::timeout(Duration::from_secs(60), read_lines(output, count)).await??;
    child.kill().await?;
    Ok(lines)
}

async fn read_lines(output: impl AsyncRead + Unpin, count: usize) -> Result<String> {
    let (mut output, mut lines) = (BufReader::new(output), String::new());
    for _ in 0..count {
        output.read_line(&mut lines).await?;
    }
    Ok(lines)
}

/// Times, checksums over times, and the jittered delay differ from run to run; all else must be the same.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for line in text.lines() {
        let line = if line.starts_with("retry: ") { "retry: …" } else { line };
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("\"crc\":\"") {
            plain += &times(before);
            plain += "\"crc\":\"…";
            rest = after.get(8..).unwrap_or_default();
        }
        plain += &times(rest);
        plain += "\n";
    }
    plain
}

/// Numbers of 13 digits are unix milliseconds.
fn times(text: &str) -> String {
    let pieces = text.split_inclusive(|c: char| !c.is_ascii_digit());
    pieces
        .map(|piece| {
            let digits = piece.trim_end_matches(|c: char| !c.is_ascii_digit());
            if digits.len() == 13 { piece.replace(digits, "…") } else { piece.to_owned() }
        })
        .collect()
}

/// The page of the README, as it stands there, in a browser: it shows what is appended.
async fn watch(chromium: std::path::PathBuf) -> Result<()> {
    let root = tempfile::tempdir()?;
    let page = blocks("html").concat();
    assert!(page.contains("EventSource"), "the page was found");
    let server = PageServer::reserve().await?;
    let daemon = Plan::new(root.path()).option("--allow-origin", &server.origin()).start().await?;
    let api = daemon.api();
    api.send("PUT", "/v1/projects/demo", &[], "").await?.ok()?;
    api.append("/v1/projects/demo/history", "\"before\"", &[]).await?;

    // The page as it is, and a reporter behind it.
    let page = page.replace(ADDRESS, &daemon.address().to_string());
    let mut server = server.serve(format!("{page}{}", folio_e2e::browser::REPORT_TEXT));
    let window = Window::open(&chromium, &server.url(""))?;
    while !server.next().await?.kind.contains("before") {}
    api.append("/v1/projects/demo/history", "\"after\"", &[]).await?;
    while !server.next().await?.kind.contains("after") {}
    drop(window);
    Ok(())
}
