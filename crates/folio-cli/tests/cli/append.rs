//! `folio log append`

use std::io::Write;

use rustix::process::Signal;
use serde_json::json;

use crate::common::{Daemon, Place, Running, column};

fn data(place: &Place, args: &[&str]) -> Vec<String> {
    let args: Vec<&str> = ["log", "read", "demo"].iter().chain(args).copied().collect();
    column(&place.json(args).lines(), "data")
}

#[test]
fn arguments_are_entries_of_one_unit() {
    let place = Place::with_demo();
    let one = place.run(["log", "append", "demo", "{\"a\": 1}"]);
    assert!(one.text().starts_with("Appended 1 entry to the history of demo as seq 1 (cursor "), "{one:?}");
    let two = place.json(["log", "append", "demo", "[1, 2]", "-3"]).json();
    let cursor = two["cursor"].as_str().unwrap().to_owned();
    assert_eq!(two, json!({"entries": 2, "first_seq": 2, "last_seq": 3, "cursor": cursor, "replayed": 0}));
    assert!(cursor.ends_with("-3"), "{cursor}");
    assert_eq!(data(&place, &[]), ["{\"a\":1}", "[1,2]", "-3"]);
    // one bad argument, and nothing of the others is appended
    let error = place.json(["log", "append", "demo", "4", "{"]).error(2);
    assert_eq!(error["code"], "invalid_json");
    assert!(error["detail"].as_str().unwrap().contains("entry 2 of 2"), "{error}");
    assert_eq!(data(&place, &[]).len(), 3);
}

#[test]
fn stdin_is_one_entry() {
    let place = Place::with_demo();
    let ran = place.fed(b"{\"a\":\n 1}\n", ["log", "append", "demo", "-", "--log", "runs/42"]);
    assert!(ran.text().contains("to the log runs/42 of demo as seq 1"), "{ran:?}");
    assert_eq!(data(&place, &["--log", "runs/42"]), ["{\"a\":1}"]);
    assert_eq!(place.fed(b"1", ["log", "append", "demo", "-", "-"]).code, Some(2));
}

#[test]
fn tokens_are_kept() {
    let place = Place::with_demo();
    let value = r#"{"b":90071992547409931234,"a":1e400,"a":"\u001b"}"#;
    place.run(["log", "append", "demo", value]).text();
    let read = place.run(["log", "read", "demo", "--json"]);
    assert!(read.text().ends_with(&format!("\"data\":{value}}}")), "{read:?}");
}

#[test]
fn bytes_are_entries_too() {
    let place = Place::with_demo();
    place.fed(b"\x00\xff", ["log", "append", "demo", "--bytes", "-"]).text();
    let line = place.json(["log", "read", "demo"]).json();
    assert_eq!((line["b64"].as_str(), line.get("data")), (Some("AP8="), None));
    assert!(place.run(["log", "read", "demo"]).text().ends_with("2 B in base64: AP8="));
}

#[test]
fn a_key_makes_it_safe_to_run_again() {
    let place = Place::with_demo();
    let first = place.json(["log", "append", "demo", "1", "--key", "k"]).json();
    let again = place.json(["log", "append", "demo", "1", "--key", "k"]).json();
    assert_eq!((again["cursor"].clone(), again["replayed"].clone()), (first["cursor"].clone(), json!(1)));
    let said = place.run(["log", "append", "demo", "1", "--key", "k"]);
    assert!(said.text().starts_with("1 entry had been appended to the history of demo with this key before"), "{said:?}");
    assert_eq!(place.json(["log", "append", "demo", "2", "--key", "k"]).error(4)["code"], "key_reused");
    assert_eq!(data(&place, &[]), ["1"]);
}

#[test]
fn if_head_appends_only_there() {
    let place = Place::with_demo();
    let first = place.json(["log", "append", "demo", "1", "--if-head", "0"]).json();
    let head = first["cursor"].as_str().unwrap();
    place.json(["log", "append", "demo", "2", "--if-head", head]).json();
    let error = place.json(["log", "append", "demo", "3", "--if-head", head]).error(4);
    assert_eq!(error["code"], "precondition_failed");
    assert!(error["head"].as_str().unwrap().ends_with("-2"), "{error}");
    let said = place.run(["log", "append", "demo", "3", "--if-head", head]);
    assert!(said.stderr.contains(error["head"].as_str().unwrap()), "{said:?}");
    assert_eq!(data(&place, &[]), ["1", "2"]);
}

#[test]
fn closing_with_and_without_entries() {
    let place = Place::with_demo();
    let said = place.run(["log", "append", "demo", "1", "--close", "--log", "a"]);
    assert!(said.text().contains(", and closed it "), "{said:?}");
    assert_eq!(place.json(["log", "append", "demo", "2", "--log", "a"]).error(4)["code"], "closed");
    let said = place.run(["log", "append", "demo", "--close"]);
    assert!(said.text().starts_with("Closed the history"), "{said:?}");
    assert_eq!(place.json(["log", "status", "demo"]).json()["closed"], true);
}

#[test]
fn a_project_that_is_missing_is_told_or_made() {
    let place = Place::with_demo();
    assert_eq!(place.json(["log", "append", "other", "1"]).error(3)["code"], "no_project");
    place.json(["log", "append", "other", "1", "--create"]).json();
    place.json(["log", "append", "other", "2", "--create"]).json();
    assert_eq!(place.json(["log", "status", "other"]).json()["entries"], 2);
}

fn lines(count: u64) -> String {
    (1..=count).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

#[test]
fn ndjson_in_batches() {
    let place = Place::with_demo();
    std::fs::write(place.path("in.ndjson"), format!("\n{}", lines(2_500))).unwrap();
    let done = place.json(["log", "append", "demo", "--ndjson", "in.ndjson"]).json();
    assert_eq!((&done["entries"], &done["first_seq"], &done["last_seq"]), (&json!(2_500), &json!(1), &json!(2_500)));
    let read = place.json(["log", "read", "demo"]).lines();
    let expected: Vec<_> = (1..=2_500).map(|n| json!({ "n": n })).collect();
    assert_eq!(read.iter().map(|line| line["data"].clone()).collect::<Vec<_>>(), expected);
    let said = place.fed(b"1\n2", ["log", "append", "demo", "--ndjson", "-", "--close"]);
    assert!(said.text().starts_with("Appended 2 entries to the history of demo as seq 2501 to 2502, and closed it"), "{said:?}");
    assert_eq!(place.json(["log", "status", "demo"]).json()["closed"], true);
}

#[test]
fn nothing_in_is_nothing_appended() {
    let place = Place::with_demo();
    let said = place.fed(b"\n", ["log", "append", "demo", "--ndjson", "-"]);
    assert_eq!(said.text(), "Nothing to append to the history of demo.");
    let closed = place.fed(b"", ["log", "append", "demo", "--ndjson", "-", "--close"]);
    assert!(closed.text().starts_with("Closed the history"), "{closed:?}");
}

#[test]
fn a_bad_line_ends_it_and_says_how_far_it_came() {
    let place = Place::with_demo();
    let input = format!("{}{{\"n\":\n{}", lines(1_500), lines(10));
    let failed = place.fed(input.as_bytes(), ["log", "append", "demo", "--ndjson", "-", "--json"]);
    let error = failed.error(2);
    assert_eq!(error["code"], "invalid_json");
    assert_eq!((&error["line"], &error["entries"]), (&json!(1_501), &json!(1_500)));
    assert!(error["cursor"].as_str().unwrap().ends_with("-1500"), "{error}");
    let said = place.fed(b"3\n}\n", ["log", "append", "demo", "--ndjson", "-"]);
    assert!(said.stderr.contains("line 2, column 1"), "{said:?}");
    assert!(said.stderr.contains("Before that, 1 entry was appended"), "{said:?}");
    assert_eq!(place.json(["log", "status", "demo"]).json()["entries"], 1_501);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let place = Place::with_demo();
    for (path, exit) in [("missing.ndjson", 1), ("folio-data", 2)] {
        let error = place.json(["log", "append", "demo", "--ndjson", path]).error(exit);
        assert!(error["detail"].as_str().unwrap().contains(path), "{error}");
    }
}

/// An import that failed half way goes on where it ended.
#[test]
fn a_keyed_import_appends_only_what_is_missing() {
    let place = Place::with_demo();
    let import =
        |input: &str| place.fed(input.as_bytes(), ["log", "append", "demo", "--ndjson", "-", "--key", "import", "--json"]);
    let cut = format!("{}oops\n", lines(2_000));
    assert_eq!(import(&cut).error(2)["entries"], 2_000);
    let done = import(&lines(2_500)).json();
    assert_eq!((&done["entries"], &done["replayed"]), (&json!(2_500), &json!(2_000)));
    let done = import(&lines(2_500)).json();
    assert_eq!((&done["entries"], &done["replayed"]), (&json!(2_500), &json!(2_500)));
    let read = place.json(["log", "read", "demo"]).lines();
    let expected: Vec<_> = (1..=2_500).map(|n| json!({ "n": n })).collect();
    assert_eq!(read.iter().map(|line| line["data"].clone()).collect::<Vec<_>>(), expected);
}

#[test]
fn if_head_holds_between_batches() {
    let place = Place::with_demo();
    place.json(["log", "append", "demo", "0"]).json();
    let refused = place.fed(lines(10).as_bytes(), ["log", "append", "demo", "--ndjson", "-", "--if-head", "0", "--json"]);
    let error = refused.error(4);
    assert_eq!((&error["code"], &error["lines"], &error["entries"]), (&json!("precondition_failed"), &json!([1, 10]), &json!(0)));
    let done = place.fed(lines(2_500).as_bytes(), ["log", "append", "demo", "--ndjson", "-", "--if-head", "1", "--json"]).json();
    assert_eq!(done["last_seq"], 2_501);
}

/// An import whose lines come one by one, and what it appends as it does so.
struct Slow {
    place: Place,
    _daemon: Daemon,
    tail: Running,
    append: Running,
}

impl Slow {
    fn start() -> Self {
        let place = Place::with_demo();
        let _daemon = place.serve("folio-data");
        let tail = place.start(["log", "tail", "-f", "demo", "--json"]);
        assert_eq!(tail.value()["caught_up"]["head"], "0-0");
        let append = place.start(["log", "append", "demo", "--ndjson", "-"]);
        Self { place, _daemon, tail, append }
    }

    /// Gives it a line, and sees it in the log.
    fn line(&mut self, value: u64) {
        writeln!(self.append.stdin.as_mut().unwrap(), "{value}").unwrap();
        assert_eq!(self.tail.value()["data"], value);
    }
}

/// Lines that come slowly are in the log before the pipe ends.
#[test]
fn lines_are_appended_as_they_come() {
    let mut slow = Slow::start();
    (1..=3).for_each(|value| slow.line(value));
    let (status, stdout, _) = slow.append.end();
    assert!(status.success());
    assert!(stdout.concat().starts_with("Appended 3 entries to the history of demo as seq 1 to 3"), "{stdout:?}");
}

#[test]
fn an_interrupted_import_says_how_far_it_came() {
    let mut slow = Slow::start();
    slow.line(1);
    slow.append.signal(Signal::INT);
    // stdin stays open: the signal alone ends it
    let note = slow.append.note();
    assert!(note.contains("1 entry was appended"), "{note}");
    let (status, ..) = slow.append.end();
    assert_eq!(status.code(), Some(130));
    assert_eq!(data(&slow.place, &[]), ["1"]);
}
