//! `folio log tail -f`

use std::io::Read;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{Daemon, Place, Running};

/// A project in a folder that a daemon serves, and a tail on it that is live.
fn following(args: &[&str]) -> (Place, Daemon, Running) {
    let place = Place::with_demo();
    let daemon = place.serve("folio-data");
    let tail = place.start(["log", "tail", "-f", "demo", "--json"].iter().chain(args).copied());
    assert_eq!(tail.value()["caught_up"]["head"], "0-0");
    (place, daemon, tail)
}

fn append(place: &Place, value: &str) {
    place.json(["log", "append", "demo", value]).json();
}

#[test]
fn it_shows_the_newest_and_then_what_comes() {
    let place = Place::with_demo();
    place.fed(b"1\n2\n3\n", ["log", "append", "demo", "--ndjson", "-"]).text();
    let _daemon = place.serve("folio-data");
    let tail = place.start(["log", "tail", "-f", "-n", "2", "demo"]);
    let data = |line: String| line.rsplit("  ").next().unwrap().to_owned();
    assert_eq!([data(tail.line()), data(tail.line())], ["2", "3"]);
    append(&place, "4");
    assert_eq!(data(tail.line()), "4");
    tail.signal(Signal::INT);
    let (status, stdout, stderr) = tail.end();
    assert_eq!((status.code(), stdout, stderr), (Some(130), vec![], vec![]));
}

#[test]
fn a_script_is_told_where_to_go_on() {
    let (place, _daemon, tail) = following(&["-n", "0"]);
    append(&place, "1");
    let entry = tail.value();
    tail.signal(Signal::TERM);
    let (status, _, stderr) = tail.end();
    assert_eq!(status.code(), Some(143));
    assert_eq!(serde_json::from_str::<Value>(&stderr.concat()).unwrap()["code"], "terminated");
    append(&place, "2");
    let tail = place.start(["log", "tail", "-f", "demo", "--json", "--since", entry["cursor"].as_str().unwrap()]);
    assert_eq!(tail.value()["seq"], 2);
}

/// The promise of `tail -f`: nothing lost, nothing twice, whatever happens to the daemon.
#[test]
fn it_goes_on_when_the_daemon_is_killed_and_started_again() {
    let (place, mut daemon, tail) = following(&[]);
    let port = daemon.address().to_owned();
    let mut seqs = 1..;
    let mut append_some = |count| seqs.by_ref().take(count).for_each(|seq: u64| append(&place, &seq.to_string()));
    for life in 0..3 {
        append_some(10);
        // at least the first ones are seen before the kill; of the others as many as come through
        let (first, last) = (life * 20 + 1, life * 20 + 20);
        for seq in first..=first + 4 {
            assert_eq!(tail.value()["seq"], seq, "life {life}");
        }
        daemon.running.kill();
        // while nobody serves, the folder is free for others
        append_some(5);
        daemon = Daemon::start(&place, ["serve", "folio-data", "--listen", &port, "--json"]);
        append_some(5);
        for seq in first + 5..=last {
            let entry = tail.value();
            assert_eq!((&entry["seq"], &entry["data"]), (&json!(seq), &json!(seq)), "life {life}");
        }
    }
    tail.signal(Signal::INT);
    let (status, stdout, _) = tail.end();
    assert_eq!((status.code(), stdout), (Some(130), vec![]));
}

#[test]
fn a_lost_connection_is_told_once_and_so_is_its_return() {
    let place = Place::with_demo();
    let mut daemon = place.serve("folio-data");
    append(&place, "1");
    let tail = place.start(["log", "tail", "-f", "demo"]);
    assert!(tail.line().starts_with("1  "));
    daemon.running.kill();
    let (url, port) = (daemon.url().to_owned(), daemon.address().to_owned());
    let note = tail.note();
    assert_eq!(note, format!("Lost the connection to {url}; trying again until it is back."));
    let _daemon = Daemon::start(&place, ["serve", "folio-data", "--listen", &port, "--json"]);
    append(&place, "2");
    assert!(tail.line().starts_with("2  "));
    assert_eq!(tail.note(), format!("Connected again to {url}."));
    tail.signal(Signal::INT);
    assert_eq!(tail.end().2, [""; 0]);
}

#[test]
fn the_end_of_a_log_is_the_end_of_its_tail() {
    let (place, _daemon, tail) = following(&["--log", "runs/1"]);
    place.json(["log", "append", "demo", "1", "--log", "runs/1", "--close"]).json();
    let (status, stdout, stderr) = tail.end();
    assert_eq!((status.code(), stderr), (Some(0), vec![]));
    let lines = crate::common::parse_lines(&stdout.join("\n"));
    assert_eq!(lines[0]["data"], 1);
    assert_eq!(lines[1]["closed"]["head"], lines[0]["cursor"]);

    let tail = place.start(["log", "tail", "-f", "demo", "--log", "runs/1"]);
    assert!(tail.line().starts_with("1  "));
    let head = lines[0]["cursor"].as_str().unwrap();
    assert_eq!(tail.note(), format!("Closed at {head}: the log runs/1 of demo. Nothing comes any more."));
    assert_eq!(tail.end().0.code(), Some(0));
}

/// As in `folio log tail -f demo | grep -m 1 done`: no further entry is needed for the end.
#[test]
fn it_ends_when_nobody_reads_any_more() {
    let place = Place::with_demo();
    let _daemon = place.serve("folio-data");
    append(&place, "1");
    let mut tail = Command::new(env!("CARGO_BIN_EXE_folio"));
    tail.args(["log", "tail", "-f", "demo"]).current_dir(place.path("."));
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 3];
    tail.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
    assert_eq!(&some, b"1  ");
    drop(tail.stdout.take());
    let ended = tail.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), vec![]));
}

#[test]
fn a_deleted_log_is_told_and_its_next_life_followed() {
    let (place, _daemon, tail) = following(&["--log", "a"]);
    place.json(["log", "append", "demo", "1", "--log", "a"]).json();
    assert_eq!(tail.value()["data"], 1);
    place.json(["log", "delete", "demo", "--log", "a"]).json();
    assert_eq!(tail.value(), json!({"deleted": {}}));
    place.json(["log", "append", "demo", "2", "--log", "a"]).json();
    let entry = tail.value();
    assert_eq!((&entry["seq"], &entry["data"]), (&json!(1), &json!(2)));
}

#[test]
fn a_deleted_project_is_told_too() {
    let (place, _daemon, tail) = following(&[]);
    place.json(["project", "delete", "demo", "--yes"]).json();
    assert_eq!(tail.value(), json!({"deleted": {}}));
    place.json(["log", "append", "demo", "1", "--create"]).json();
    assert_eq!(tail.value()["seq"], 1);
}

#[test]
fn a_gap_is_told_before_what_follows() {
    let place = Place::with_demo();
    place.fed(b"1\n2\n3\n4\n", ["log", "append", "demo", "--ndjson", "-"]).text();
    place.json(["log", "truncate", "demo", "3"]).json();
    let _daemon = place.serve("folio-data");
    let tail = place.start(["log", "tail", "-f", "demo", "--since", "1", "--json"]);
    let gap = tail.value();
    assert_eq!((&gap["gap"]["reason"], &gap["gap"]["lost"]), (&json!("truncated"), &json!(2)));
    assert_eq!(tail.value()["seq"], 4);
    let tail = place.start(["log", "tail", "-f", "demo", "--since", "1"]);
    assert!(tail.line().starts_with("4  "));
    assert!(tail.note().starts_with("gap after 1: 2 entries removed by compaction;"));
}

#[test]
fn without_a_daemon_there_is_nothing_to_follow() {
    let place = Place::with_demo();
    let error = place.json(["log", "tail", "-f", "demo"]).error(6);
    assert_eq!(error["code"], "no_daemon");
    assert!(error["detail"].as_str().unwrap().contains("folio serve ./folio-data"), "{error}");
}

#[test]
fn what_is_missing_is_told_at_once() {
    let place = Place::with_demo();
    let daemon = place.serve("folio-data");
    assert_eq!(place.json(["log", "tail", "-f", "other"]).error(3)["code"], "no_project");
    assert_eq!(place.json(["log", "tail", "demo", "--log", "a"]).error(3)["code"], "no_log");
    let url = daemon.url().to_owned();
    drop(daemon);
    assert_eq!(place.json(["log", "tail", "-f", "demo", "--url", &url]).error(6)["code"], "transport");
}
