//! On a terminal: colours, headings, questions, progress.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::common::{PATIENCE, Place};

/// A program on a terminal of its own.
struct Terminal {
    child: Child,
    keys: File,
    shown: mpsc::Receiver<Vec<u8>>,
    screen: String,
}

/// Which streams are the terminal; the others are pipes.
struct Streams {
    stdin: bool,
    stdout: bool,
}

const ALL: Streams = Streams { stdin: true, stdout: true };

impl Terminal {
    fn start(place: &Place, args: &[&str], env: &[(&str, &str)], streams: &Streams) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        tcsetwinsize(&keys, Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap();
        let line = || Stdio::from(File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap());
        let mut command = place.command(args.iter().copied());
        command.env("TERM", "xterm-256color").envs(env.iter().copied());
        command.stdin(if streams.stdin { line() } else { Stdio::piped() });
        command.stdout(if streams.stdout { line() } else { Stdio::piped() }).stderr(line());
        let child = command.spawn().unwrap();
        // or the terminal stays open when the program ends
        drop(command);
        let keys = File::from(keys);
        let mut screen = keys.try_clone().unwrap();
        let (send, shown) = mpsc::channel();
        std::thread::spawn(move || {
            let mut some = [0; 4_096];
            // the kernel answers with an error once the program has ended
            while let Ok(count @ 1..) = screen.read(&mut some) {
                if send.send(some[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys, shown, screen: String::new() }
    }

    /// Waits until this is shown.
    fn wait_for(&mut self, text: &str) {
        while !self.screen.contains(text) {
            let some = self.shown.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("no {text:?}: {e}: {:?}", self.screen));
            self.screen.push_str(&String::from_utf8_lossy(&some));
        }
    }

    /// Everything that was shown, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        drop(self.child.stdin.take());
        loop {
            match self.shown.recv_timeout(PATIENCE) {
                Ok(some) => self.screen.push_str(&String::from_utf8_lossy(&some)),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end: {:?}", self.screen),
            }
        }
        (std::mem::take(&mut self.screen), self.child.wait().unwrap().code())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shown(place: &Place, args: &[&str], env: &[(&str, &str)]) -> String {
    Terminal::start(place, args, env, &ALL).end().0
}

#[test]
fn colours_are_for_terminals_and_honour_no_color() {
    let place = Place::with_demo();
    place.json(["log", "append", "demo", "{\"a\":1}"]).json();
    let commands: [&[&str]; 4] =
        [&["log", "read", "demo"], &["project", "list"], &["log", "status", "demo"], &["log", "read", "nothing"]];
    for args in commands {
        assert!(shown(&place, args, &[]).contains("\u{1b}["), "{args:?}");
        assert!(!shown(&place, args, &[("NO_COLOR", "1")]).contains('\u{1b}'), "{args:?}");
        let json: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        assert!(!shown(&place, &json, &[]).contains('\u{1b}'), "{args:?}");
        let piped = place.run(args.iter().copied());
        assert!(!piped.stdout.contains('\u{1b}') && !piped.stderr.contains('\u{1b}'), "{args:?}");
    }
}

#[test]
fn headings_and_hints_are_for_terminals() {
    let place = Place::with_demo();
    assert!(shown(&place, &["file", "list", "demo"], &[]).contains("folio file put"));
    assert!(shown(&place, &["log", "read", "demo"], &[]).contains("No entries"));
    place.json(["doc", "put", "demo", "a", "1"]).json();
    let list = shown(&place, &["doc", "list", "demo"], &[("NO_COLOR", "1")]);
    let heading: Vec<&str> = list.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["SIZE", "MODIFIED", "(UTC)", "KEY"]);
    assert_eq!(place.run(["doc", "list", "demo"]).text().lines().count(), 1);
}

#[test]
fn deleting_a_project_asks() {
    let place = Place::with_demo();
    let answer = |keys: &str| {
        let mut terminal = Terminal::start(&place, &["project", "delete", "demo"], &[], &ALL);
        terminal.wait_for("[y/N] ");
        terminal.keys.write_all(keys.as_bytes()).unwrap();
        terminal.end().1
    };
    assert_eq!(answer("\n"), Some(2));
    assert_eq!(answer("n\n"), Some(2));
    assert_eq!(place.run(["project", "list"]).text(), "demo");
    assert_eq!(answer("y\n"), Some(0));
    assert_eq!(place.run(["project", "list"]).text(), "");
}

#[test]
fn binary_is_kept_from_the_terminal_unless_asked_for() {
    let place = Place::with_demo();
    place.fed(b"\x00\x01binary", ["file", "put", "demo", "a", "-"]).text();
    let (screen, exit) = Terminal::start(&place, &["file", "get", "demo", "a"], &[], &ALL).end();
    assert_eq!(exit, Some(2));
    assert!(screen.contains("looks like binary"), "{screen:?}");
    let (screen, exit) = Terminal::start(&place, &["file", "get", "demo", "a", "-"], &[], &ALL).end();
    assert_eq!((exit, screen.contains("\u{1}binary")), (Some(0), true));
}

#[test]
fn typing_an_entry() {
    let place = Place::with_demo();
    let mut terminal = Terminal::start(&place, &["log", "append", "demo", "-"], &[], &ALL);
    terminal.wait_for("end with Ctrl-D");
    terminal.keys.write_all(b"{\"typed\":1}\n\x04").unwrap();
    assert_eq!(terminal.end().1, Some(0));
    assert_eq!(place.json(["log", "read", "demo"]).json()["data"], serde_json::json!({"typed": 1}));
}

/// A bar comes when the work has taken a second, and goes when it is done.
#[test]
fn long_work_shows_its_progress() {
    let place = Place::with_demo();
    let streams = Streams { stdin: false, stdout: false };
    let mut terminal = Terminal::start(&place, &["file", "put", "demo", "a", "-"], &[], &streams);
    let mut stdin = terminal.child.stdin.take().unwrap();
    let piece = vec![b'x'; 64 << 10];
    while !terminal.screen.contains("storing") {
        stdin.write_all(&piece).unwrap();
        // the pause keeps the file small; what is waited for is the bar
        if let Ok(some) = terminal.shown.recv_timeout(std::time::Duration::from_millis(5)) {
            terminal.screen.push_str(&String::from_utf8_lossy(&some));
        }
    }
    terminal.wait_for("MiB");
    drop(stdin);
    let (screen, exit) = terminal.end();
    assert_eq!(exit, Some(0), "{screen:?}");
    assert!(!screen.split("\u{1b}[2K").last().unwrap().contains("storing"), "the bar stays: {screen:?}");
}

#[test]
fn short_work_shows_none() {
    let place = Place::with_demo();
    let streams = Streams { stdin: false, stdout: false };
    let mut terminal = Terminal::start(&place, &["file", "put", "demo", "a", "-"], &[], &streams);
    terminal.child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert_eq!(terminal.end(), (String::new(), Some(0)));
}
