//! Running the program, and daemons.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Far longer than anything here takes: a test that would hang fails instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An empty folder to work in, and the program.
pub(crate) struct Place {
    dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The only JSON value on stdout, after a success.
    pub(crate) fn json(&self) -> Value {
        let [value] = &self.lines()[..] else { panic!("not one line: {self:?}") };
        value.clone()
    }

    /// The JSON values on stdout, after a success.
    pub(crate) fn lines(&self) -> Vec<Value> {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        parse_lines(&self.stdout)
    }

    /// The text on stdout, after a success without a word on stderr.
    pub(crate) fn text(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout.trim_end()
    }

    /// The JSON error on stderr, after a failure with this exit code.
    pub(crate) fn error(&self, exit: i32) -> Value {
        assert_eq!(self.code, Some(exit), "{self:?}");
        let [error] = &parse_lines(&self.stderr)[..] else { panic!("not one line: {self:?}") };
        assert!(error["code"].is_string() && error["detail"].is_string(), "{self:?}");
        error.clone()
    }
}

pub(crate) fn parse_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The values under a name, as text.
pub(crate) fn column(lines: &[Value], name: &str) -> Vec<String> {
    lines.iter().map(|line| line[name].as_str().map_or_else(|| line[name].to_string(), str::to_owned)).collect()
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With a project `demo` in the default folder.
    pub(crate) fn with_demo() -> Self {
        let place = Self::new();
        place.json(["project", "create", "demo"]);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, in this folder, untouched by the environment of the tests.
    pub(crate) fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_folio"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        for name in ["FOLIO_ROOT", "FOLIO_URL", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        ran(self.command(args).output().unwrap())
    }

    /// With `--json`.
    pub(crate) fn json<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        self.run(args.into_iter().chain(["--json"]))
    }

    /// With this on stdin.
    pub(crate) fn fed<'a>(&self, input: &[u8], args: impl IntoIterator<Item = &'a str>) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // a program that ends early does not read all of it
            scope.spawn(move || drop(stdin.write_all(input)));
            ran(child.wait_with_output().unwrap())
        })
    }

    /// Starts a command that goes on by itself.
    pub(crate) fn start<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Running {
        Running::start(self.command(args))
    }

    /// Starts a daemon on the folder `root` here.
    pub(crate) fn serve(&self, root: &str) -> Daemon {
        Daemon::start(self, ["serve", root, "--listen", "127.0.0.1:0", "--json"])
    }
}

fn ran(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command that runs. It ends with the test, whatever happens.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: mpsc::Receiver<String>,
    stderr: mpsc::Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = lines_of(child.stdout.take().unwrap());
        let stderr = lines_of(child.stderr.take().unwrap());
        Self { stdin: child.stdin.take(), child, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line on stdout.
    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("no line: {e}; stderr: {:?}", self.heard()))
    }

    /// The next line on stdout, as JSON.
    pub(crate) fn value(&self) -> Value {
        parse_lines(&self.line()).remove(0)
    }

    /// The next line on stderr.
    pub(crate) fn note(&self) -> String {
        self.stderr.recv_timeout(PATIENCE).expect("no line on stderr")
    }

    /// What else stands on stderr by now.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end. What it said and was not yet read.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>, Vec<String>) {
        drop(self.stdin.take());
        // both end when the program does
        let stdout = self.rest(&self.stdout);
        let stderr = self.rest(&self.stderr);
        (self.child.wait().unwrap(), stdout, stderr)
    }

    fn rest(&self, lines: &mpsc::Receiver<String>) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => all.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return all,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("pid {} does not end; it said {all:?}", self.pid()),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

/// A daemon, ready.
pub(crate) struct Daemon {
    pub(crate) running: Running,
    /// What it said of itself.
    pub(crate) said: Value,
}

impl Daemon {
    pub(crate) fn start<'a>(place: &Place, args: impl IntoIterator<Item = &'a str>) -> Self {
        let running = place.start(args);
        let said = running.value();
        Self { running, said }
    }

    pub(crate) fn url(&self) -> &str {
        self.said["url"].as_str().unwrap()
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.said["listen"].as_str().unwrap()
    }
}

/// The names in a folder, sorted.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
