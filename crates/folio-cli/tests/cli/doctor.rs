//! `folio doctor`

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::common::{Place, Ran};

/// A project with five entries and a document.
fn place() -> Place {
    let place = Place::with_demo();
    place.fed(b"1\n2\n3\n4\n5\n", ["log", "append", "demo", "--ndjson", "-"]).text();
    for n in 6..=8 {
        place.json(["log", "append", "demo", &n.to_string()]).json();
    }
    place.json(["doc", "put", "demo", "a", "[1]"]).json();
    place
}

fn history(place: &Place) -> PathBuf {
    place.path("folio-data/demo/.meta/history.jsonl")
}

/// Changes one byte of the line that holds entry 7.
fn damage_entry_seven(place: &Place) {
    let text = fs::read_to_string(history(place)).unwrap();
    assert!(text.contains("\"data\":7}"));
    fs::write(history(place), text.replace("\"data\":7}", "\"data\":9}")).unwrap();
}

/// Every file and its bytes.
fn tree(folder: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { tree(&path, into) } else { into.push((path.clone(), fs::read(path).unwrap())) }
    }
}

fn contents(place: &Place) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    tree(&place.path("folio-data"), &mut all);
    all.sort();
    all
}

/// The report on stdout, and the error on stderr.
fn damaged(ran: &Ran) -> serde_json::Value {
    assert_eq!(ran.error(5)["code"], "damaged");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn a_good_folder() {
    let place = place();
    let report = place.json(["doctor"]).json();
    for (name, value) in [("projects", 1), ("logs", 1), ("entries", 8), ("documents", 1), ("lost", 0)] {
        assert_eq!(report[name], value, "{name}: {report}");
    }
    assert_eq!(report["findings"], json!([]));
    let said = place.run(["doctor", "folio-data"]);
    assert!(said.text().starts_with("Healthy: folio-data with 1 project, 1 log, 8 entries, 1 document ("), "{said:?}");
}

#[test]
fn damage_is_found_with_its_place_and_nothing_is_written() {
    let place = place();
    damage_entry_seven(&place);
    fs::write(place.path("folio-data/demo/.meta/a.json"), "{oops").unwrap();
    let before = contents(&place);
    let report = damaged(&place.json(["doctor"]));
    assert_eq!(report["lost"], 1, "{report}");
    let paths: Vec<&str> = report["findings"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"demo/.meta/history.jsonl") && paths.contains(&"demo/.meta/a.json"), "{report}");
    assert_eq!(contents(&place), before);
    let said = place.run(["doctor"]);
    assert_eq!(said.code, Some(5));
    assert!(said.stdout.contains("damage   demo/.meta/a.json: "), "{said:?}");
    assert!(said.stdout.contains("--repair would: ") && said.stdout.contains("Damage in "), "{said:?}");
    assert!(said.stdout.ends_with("1 entry is lost; readers are told of the gap\n"), "{said:?}");
    assert!(said.stderr.ends_with(" things are damaged; `folio doctor --repair ./folio-data` repairs what can be\n"), "{said:?}");
}

#[test]
fn repairing_keeps_what_it_takes_out() {
    let place = place();
    damage_entry_seven(&place);
    fs::write(place.path("folio-data/demo/.meta/a.json"), "{oops").unwrap();
    let said = place.run(["doctor", "--repair"]);
    assert!(said.stdout.contains("repaired demo/.meta/a.json: ") && said.stdout.contains("done: "), "{said:?}");
    let kept: Vec<u8> = contents(&place)
        .into_iter()
        .filter(|(path, _)| path.starts_with(place.path("folio-data/.folio/quarantine")))
        .flat_map(|(_, bytes)| bytes)
        .collect();
    assert!(String::from_utf8_lossy(&kept).contains("{oops"), "{said:?}");
    assert_eq!(place.json(["doc", "get", "demo", "a"]).error(3)["code"], "not_found");
    place.json(["log", "append", "demo", "9"]).json();
    let lines = place.json(["log", "read", "demo", "--since", "5"]).lines();
    assert_eq!(lines[1]["gap"]["reason"], "corrupt", "{lines:?}");
    assert_eq!(lines.last().unwrap()["seq"], 9);
}

/// What the next write would set aside.
#[test]
fn a_torn_end_is_told_and_set_aside() {
    let place = place();
    let log = history(&place);
    fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"{\"seq\":9,\"t").unwrap();
    fs::write(place.path("folio-data/demo/.meta/doc.json"), "{\"a\":\n oops}").unwrap();
    let found = place.run(["doctor"]);
    assert_eq!(found.code, Some(5), "{found:?}");
    for part in ["demo/.meta/history.jsonl: its last 11 bytes", "demo/.meta/doc.json: it is not valid JSON: line 2, column 2"] {
        assert!(found.stdout.contains(part), "{part}: {found:?}");
    }
    let repaired = place.run(["doctor", "--repair"]);
    assert_eq!((repaired.code, repaired.stdout.matches("repaired").count()), (Some(0), 2), "{repaired:?}");
    assert!(repaired.stdout.contains("Repaired in 2 places: "), "{repaired:?}");
    place.run(["doctor"]).text();
    let index = fs::read_to_string(place.path("folio-data/.folio/quarantine/index.jsonl")).unwrap();
    assert_eq!(index.lines().count(), 2, "{index}");
}

#[test]
fn a_folder_in_use_is_checked_and_not_repaired() {
    let place = place();
    let daemon = place.serve("folio-data");
    let report = place.json(["doctor"]).json();
    let holder = report["in_use"].as_str().unwrap();
    assert!(holder.contains(&daemon.running.pid().to_string()), "{report}");
    let said = place.run(["doctor"]);
    assert!(said.stderr.starts_with("The folder is in use by folio serve"), "{said:?}");
    assert_eq!(place.json(["doctor", "--repair"]).error(6)["code"], "locked");
}

#[test]
fn a_folder_that_is_missing_is_told() {
    let place = Place::new();
    assert_eq!(place.json(["doctor", "nowhere"]).error(3)["code"], "no_root");
    assert_eq!(place.json(["doctor", "--url", "http://127.0.0.1:1"]).error(2)["code"], "usage");
}
