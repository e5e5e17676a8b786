//! `folio doctor`

use std::io::Write;

use serde_json::json;

use crate::common::Place;

#[test]
fn a_healthy_folder_in_words_and_in_json() {
    let place = Place::with_demo();
    place.run(["log", "append", "demo", "1", "2"]).text();
    let healthy = place.run(["doctor"]);
    assert!(healthy.text().starts_with("healthy: 1 project, 1 log, 2 entries, 0 documents in "), "{healthy:?}");
    let report = place.json(["doctor", "folio-data"]).json();
    assert_eq!((&report["entries"], &report["lost"], &report["findings"]), (&json!(2), &json!(0), &json!([])));
}

#[test]
fn damage_is_told_with_its_place_and_repaired_without_loss() {
    let place = Place::with_demo();
    place.run(["log", "append", "demo", "1"]).text();
    let log = place.path("folio-data/demo/.meta/history.jsonl");
    std::fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"{\"seq\":2,\"t").unwrap();
    std::fs::write(place.path("folio-data/demo/.meta/doc.json"), "{\"a\":\n oops}").unwrap();
    let before = std::fs::read(&log).unwrap();
    let found = place.run(["doctor"]);
    assert_eq!(found.code, Some(5), "{found:?}");
    for part in [
        "demo/.meta/history.jsonl: its last 11 bytes",
        "demo/.meta/doc.json: it is not valid JSON: line 2, column 2",
        "--repair:",
    ] {
        assert!(found.stdout.contains(part), "{part}: {found:?}");
    }
    assert_eq!(std::fs::read(&log).unwrap(), before, "a check changes nothing");
    let repaired = place.run(["doctor", "--repair"]);
    assert_eq!((repaired.code, repaired.stdout.matches("repaired").count()), (Some(0), 2), "{repaired:?}");
    place.run(["doctor"]).text();
    let index = std::fs::read_to_string(place.path("folio-data/.folio/quarantine/index.jsonl")).unwrap();
    assert_eq!(index.lines().count(), 2, "{index}");
}

#[test]
fn a_folder_in_use_is_checked_but_not_repaired() {
    let place = Place::with_demo();
    let daemon = place.serve("folio-data");
    let checked = place.run(["doctor"]);
    assert!(checked.code == Some(0) && checked.stderr.contains("in use by folio serve"), "{checked:?}");
    assert_eq!(place.json(["doctor", "--repair"]).error(6)["code"], "locked");
    drop(daemon);
    assert_eq!(place.json(["doctor", "nowhere"]).error(3)["code"], "no_root");
}
