//! A folder that somebody else has: a daemon, or another command.

use std::io::Write;

use serde_json::json;

use crate::common::{Place, column};

/// Every noun, on the folder and not on the address: the user need not know that a daemon runs.
#[test]
fn commands_go_through_the_daemon_that_owns_the_folder() {
    let place = Place::new();
    let daemon = place.serve("folio-data");
    place.json(["project", "create", "demo"]).json();
    place.json(["log", "append", "demo", "{\"a\":90071992547409931234}"]).json();
    place.json(["log", "append", "demo", "2", "--log", "runs/ä 1"]).json();
    place.json(["doc", "put", "demo", "a", "[1]"]).json();
    place.json(["doc", "put", "@shared", "s", "[2]"]).json();
    place.json(["doc", "put", "@collection/c", "k", "[3]"]).json();
    place.fed(b"hello", ["file", "put", "demo", "a/ü 1.txt", "-"]).text();

    for at in [&["--root", "folio-data"][..], &["--url", daemon.url()]] {
        let json = |args: &[&str]| place.json(args.iter().chain(at).copied());
        assert_eq!(column(&json(&["project", "list"]).lines(), "id"), ["demo"]);
        assert!(json(&["log", "read", "demo"]).text().ends_with("\"data\":{\"a\":90071992547409931234}}"));
        assert_eq!(column(&json(&["log", "list", "demo"]).lines(), "name"), ["history", "runs/ä 1"]);
        assert_eq!(json(&["log", "tail", "demo", "--log", "runs/ä 1"]).json()["data"], 2);
        assert_eq!(json(&["doc", "get", "demo", "a"]).json()["value"], json!([1]));
        assert_eq!(json(&["doc", "get", "@shared", "s"]).json()["value"], json!([2]));
        assert_eq!(json(&["doc", "get", "@collection/c", "k"]).json()["value"], json!([3]));
        assert_eq!(json(&["file", "get", "demo", "a/ü 1.txt"]).text(), "hello");
        assert_eq!(column(&json(&["file", "list", "demo", "a"]).lines(), "path"), ["a/ü 1.txt"]);
    }
    // the same errors on both ways
    drop(daemon);
    let daemon = place.serve("folio-data");
    let through = place.json(["log", "read", "demo", "--log", "nothing"]).error(3);
    let missing = place.json(["doc", "get", "demo", "nothing"]).error(3);
    let moved = place.json(["log", "append", "demo", "1", "--if-head", "0"]).error(4);
    drop(daemon);
    assert_eq!(place.json(["log", "read", "demo", "--log", "nothing"]).error(3), through);
    assert_eq!(place.json(["doc", "get", "demo", "nothing"]).error(3), missing);
    assert_eq!(place.json(["log", "append", "demo", "1", "--if-head", "0"]).error(4), moved);
}

/// Two commands on a folder take turns.
#[test]
fn a_command_waits_for_another_one() {
    let place = Place::with_demo();
    let mut first = place.start(["log", "append", "demo", "--ndjson", "-"]);
    writeln!(first.stdin.as_mut().unwrap(), "1").unwrap();
    // until the first one has the folder
    let error = loop {
        let second = place.json(["log", "status", "demo", "--wait", "0"]);
        if second.code == Some(6) {
            break second.error(6);
        }
        assert_eq!(second.code, Some(0), "{second:?}");
    };
    assert_eq!((&error["code"], &error["address"]), (&json!("locked"), &json!(null)));
    let holder = error["holder"].as_str().unwrap();
    assert_eq!(holder, format!("folio log append (pid {})", first.pid()));
    assert!(error["detail"].as_str().unwrap().contains("folio serve"), "{error}");

    let second = place.start(["log", "append", "demo", "2", "--json", "--wait", "60"]);
    writeln!(first.stdin.as_mut().unwrap(), "3").unwrap();
    assert_eq!(first.end().0.code(), Some(0));
    let second = second.value();
    assert_eq!(second["first_seq"], 3, "it waited until the first was done: {second}");
}
