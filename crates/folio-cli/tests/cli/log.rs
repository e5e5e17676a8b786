//! `folio log read`, and tending logs.

use serde_json::{Value, json};

use crate::common::{Place, Ran, column};

/// A project with entries `1` to `count` in its history.
fn place(count: u64) -> Place {
    let place = Place::with_demo();
    let input: String = (1..=count).map(|n| format!("{n}\n")).collect();
    place.fed(input.as_bytes(), ["log", "append", "demo", "--ndjson", "-"]).text();
    place
}

fn seqs(ran: &Ran) -> Vec<u64> {
    ran.lines().iter().map(|line| line["seq"].as_u64().unwrap()).collect()
}

#[test]
fn reading_by_since_before_limit_and_order() {
    let place = place(25);
    let rows: [(&[&str], Vec<u64>); 9] = [
        (&[], (1..=25).collect()),
        (&["--limit", "3"], vec![1, 2, 3]),
        (&["--desc", "--limit", "3"], vec![25, 24, 23]),
        (&["--since", "20"], (21..=25).collect()),
        (&["--since", "20", "--before", "23"], vec![21, 22]),
        (&["--before", "3", "--desc"], vec![2, 1]),
        (&["--since", "22", "--desc"], vec![25, 24, 23]),
        (&["--since", "25"], vec![]),
        (&["--before", "1"], vec![]),
    ];
    for (args, expected) in rows {
        let args: Vec<&str> = ["log", "read", "demo"].iter().chain(args).copied().collect();
        assert_eq!(seqs(&place.json(args.iter().copied())), expected, "{args:?}");
    }
    assert_eq!(place.run(["log", "read", "demo", "--limit", "0"]).code, Some(2));
}

/// More than one page, in both directions.
#[test]
fn pages_follow_each_other() {
    let place = place(2_345);
    assert_eq!(seqs(&place.json(["log", "read", "demo"])), (1..=2_345).collect::<Vec<_>>());
    assert_eq!(seqs(&place.json(["log", "read", "demo", "--desc"])), (1..=2_345).rev().collect::<Vec<_>>());
    assert_eq!(seqs(&place.json(["log", "read", "demo", "--limit", "1500"])), (1..=1_500).collect::<Vec<_>>());
}

#[test]
fn the_cursor_of_a_line_goes_into_since() {
    let place = place(3);
    let lines = place.json(["log", "read", "demo", "--limit", "2"]).lines();
    let cursor = lines[1]["cursor"].as_str().unwrap();
    assert_eq!(seqs(&place.json(["log", "read", "demo", "--since", cursor])), [3]);
}

#[test]
fn reading_in_words() {
    let place = Place::with_demo();
    place.json(["log", "append", "demo", "{\"a\":\"\u{9b}31m\"}"]).json();
    let read = place.run(["log", "read", "demo"]);
    let line: Vec<&str> = read.text().split("  ").collect();
    assert_eq!((line[0], line[2]), ("1", "{\"a\":\"\\u009b31m\"}"), "{read:?}");
    assert!(line[1].ends_with('Z') && line[1].len() == 24, "{read:?}");
}

#[test]
fn tail_shows_the_newest() {
    let place = place(25);
    assert_eq!(seqs(&place.json(["log", "tail", "demo"])), (16..=25).collect::<Vec<_>>());
    assert_eq!(seqs(&place.json(["log", "tail", "demo", "-n", "2"])), [24, 25]);
    assert_eq!(seqs(&place.json(["log", "tail", "demo", "-n", "100"])), (1..=25).collect::<Vec<_>>());
    assert_eq!(seqs(&place.json(["log", "tail", "demo", "-n", "0"])), [0; 0]);
    assert_eq!(seqs(&place.json(["log", "tail", "demo", "--since", "23"])), [24, 25]);
    place.json(["log", "truncate", "demo", "24"]).json();
    // what compaction removed was not asked for, so nothing is missing
    assert_eq!(seqs(&place.json(["log", "tail", "demo"])), [25]);
}

#[test]
fn gaps_are_told() {
    let place = place(10);
    place.json(["log", "truncate", "demo", "4"]).json();
    let lines = place.json(["log", "read", "demo", "--since", "1"]).lines();
    let head = lines.last().unwrap()["cursor"].as_str().unwrap();
    let resumes_after = head.replace("-10", "-4");
    let gap = json!({"reason": "truncated", "requested": "1", "lost": 3, "resumes_after": resumes_after});
    assert_eq!(lines[0], json!({ "gap": gap }));
    assert_eq!(lines[1]["seq"], 5);
    let said = place.run(["log", "read", "demo", "--since", "1", "--limit", "1"]);
    assert_eq!(said.code, Some(0));
    assert_eq!(said.stdout.lines().count(), 1, "{said:?}");
    assert_eq!(said.stderr, format!("gap after 1: 3 entries removed by compaction; entries go on after {resumes_after}\n"));
    let rows = [("99", "ahead", "beyond the newest"), ("77-3", "epoch", "another life")];
    for (since, reason, words) in rows {
        let lines = place.json(["log", "read", "demo", "--since", since]).lines();
        assert_eq!(lines[0]["gap"]["reason"], reason);
        let said = place.run(["log", "read", "demo", "--since", since]);
        assert!(said.stderr.contains(words), "{said:?}");
    }
}

#[test]
fn truncating() {
    let place = place(10);
    assert_eq!(place.json(["log", "truncate", "demo", "3"]).json(), json!({"removed": 3, "horizon": 3}));
    assert_eq!(place.json(["log", "truncate", "demo", "--keep", "2"]).json(), json!({"removed": 5, "horizon": 8}));
    assert_eq!(place.json(["log", "truncate", "demo", "--keep", "50"]).json(), json!({"removed": 0, "horizon": 8}));
    let said = place.run(["log", "truncate", "demo", "99"]);
    assert_eq!(said.text(), "Removed 2 entries from the history of demo; the horizon is 10.");
    assert_eq!(place.run(["log", "truncate", "demo"]).code, Some(2));
    assert_eq!(place.run(["log", "truncate", "demo", "1", "--keep", "1"]).code, Some(2));
    assert_eq!(place.json(["log", "append", "demo", "11"]).json()["first_seq"], 11);
}

#[test]
fn status() {
    let place = place(10);
    place.json(["log", "truncate", "demo", "4"]).json();
    let status = place.json(["log", "status", "demo"]).json();
    let head = status["head"].as_str().unwrap();
    let epoch: u64 = head.split('-').next().unwrap().parse().unwrap();
    for (name, value) in [("horizon", json!(4)), ("first", json!(5)), ("closed", json!(false)), ("entries", json!(6))] {
        assert_eq!(status[name], value, "{name}: {status}");
    }
    let newest = status["lineage"].as_array().unwrap().last().unwrap();
    assert_eq!(newest, &json!([epoch, 10]));
    assert!(status["bytes"].as_u64().unwrap() > 0);
    let said = place.run(["log", "status", "demo"]);
    for row in ["log      history", "project  demo", "entries  6 (seq 5 to 10)", "horizon  4", "closed   no"] {
        assert!(said.text().contains(row), "{row}: {said:?}");
    }
    assert!(said.text().contains(&format!("head     {head}")), "{said:?}");
    // lives without an entry are of no interest to people
    assert!(said.text().ends_with(&format!("lineage  epoch {epoch} to seq 10")), "{said:?}");
}

#[test]
fn named_logs_are_listed_closed_forked_and_deleted() {
    let place = place(3);
    let names = |place: &Place| column(&place.json(["log", "list", "demo"]).lines(), "name");
    assert_eq!(names(&place), ["history"]);
    assert_eq!(place.json(["log", "read", "demo", "--log", "runs/1"]).error(3)["code"], "no_log");
    let forked = place.json(["log", "fork", "demo", "runs/1", "--at", "2"]).json();
    assert_eq!(forked, json!({"name": "runs/1", "source": "history", "at": 2}));
    let said = place.run(["log", "fork", "demo", "runs/2"]);
    assert_eq!(said.text(), "Forked the history of demo at 3 as the log runs/2.");
    assert_eq!(place.json(["log", "fork", "demo", "runs/2"]).error(4)["code"], "exists");
    assert_eq!(place.json(["log", "fork", "demo", "runs/3", "--at", "4"]).error(2)["code"], "invalid");
    assert_eq!(names(&place), ["history", "runs/1", "runs/2"]);
    assert_eq!(place.run(["log", "list", "demo"]).text(), "history\nruns/1\nruns/2");
    assert_eq!(place.json(["log", "read", "demo", "--log", "runs/1"]).lines().len(), 2);

    let closed = place.json(["log", "close", "demo", "--log", "runs/1"]).json();
    assert_eq!(closed["closed"], true);
    assert!(closed["head"].as_str().unwrap().ends_with("-2"), "{closed}");
    assert!(place.run(["log", "close", "demo", "--log", "runs/1"]).text().starts_with("Closed the log runs/1 of demo at "));

    assert_eq!(place.json(["log", "delete", "demo", "--log", "runs/1"]).json(), json!({"name": "runs/1", "deleted": true}));
    assert!(place.run(["log", "delete", "demo", "--log", "runs/2"]).text().starts_with("Deleted the log runs/2 of demo"));
    assert_eq!(names(&place), ["history"]);
    assert_eq!(place.run(["log", "delete", "demo"]).code, Some(2));
    assert_eq!(place.json(["log", "delete", "demo", "--log", "history"]).error(2)["code"], "invalid");
}

/// A folder that another tool made: its log is read as it is, and goes on.
#[test]
fn the_log_of_another_tool_is_read_and_goes_on() {
    let place = Place::new();
    let old = "{\"seq\":7,\"ts\":1700000000000,\"data\":{\"a\":1}}\n{\"ts\": 1700000000001, \"seq\": 8, \"data\": 2}\n";
    std::fs::create_dir_all(place.path("studio/site/.meta")).unwrap();
    std::fs::write(place.path("studio/site/.meta/history.jsonl"), old).unwrap();
    let read = place.json(["log", "read", "site", "--root", "studio"]).lines();
    let first = json!({"seq": 7, "ts": 1_700_000_000_000_u64, "cursor": "0-7", "data": {"a": 1}});
    assert_eq!((&read[0], &read[1]["cursor"]), (&first, &Value::from("0-8")));
    assert_eq!(std::fs::read_to_string(place.path("studio/site/.meta/history.jsonl")).unwrap(), old);
    assert_eq!(place.json(["log", "append", "site", "3", "--root", "studio"]).json()["first_seq"], 9);
    assert_eq!(seqs(&place.json(["log", "read", "site", "--root", "studio"])), [7, 8, 9]);
}
