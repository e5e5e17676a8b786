//! `folio doc`

use serde_json::json;

use crate::common::{Place, column};

#[test]
fn put_get_patch_delete_in_words() {
    let place = Place::with_demo();
    let put = place.run(["doc", "put", "demo", "a", "{\"b\":[1,{}],\"c\":90071992547409931234}"]);
    assert!(put.text().starts_with("Created document a in demo (ETag "), "{put:?}");
    let get = place.run(["doc", "get", "demo", "a"]);
    assert_eq!(get.text(), "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"c\": 90071992547409931234\n}");
    assert!(place.run(["doc", "put", "demo", "a", "1"]).text().starts_with("Replaced document a in demo"));
    assert!(place.run(["doc", "patch", "demo", "a", "{\"x\":1}"]).text().starts_with("Patched document a in demo"));
    assert_eq!(place.run(["doc", "delete", "demo", "a"]).text(), "Deleted document a in demo.");
    assert_eq!(place.run(["doc", "delete", "demo", "a"]).text(), "There was no document a in demo.");
    let missing = place.run(["doc", "get", "demo", "a"]);
    assert_eq!((missing.code, missing.stderr.as_str()), (Some(3), "error: there is no document a in demo\n"));
}

#[test]
fn put_get_patch_delete_in_json() {
    let place = Place::with_demo();
    let put = place.json(["doc", "put", "demo", "a", "{ \"b\": 90071992547409931234, \"a\": 1 }"]).json();
    assert_eq!((&put["key"], &put["created"]), (&json!("a"), &json!(true)));
    let etag = put["etag"].as_str().unwrap();
    let get = place.json(["doc", "get", "demo", "a"]);
    let line = format!("{{\"key\":\"a\",\"etag\":\"{etag}\",\"value\":{{\"b\":90071992547409931234,\"a\":1}}}}");
    assert_eq!(get.text(), line);
    let patched = place.json(["doc", "patch", "demo", "a", "{\"a\":null,\"z\":2}"]);
    assert!(patched.text().ends_with("\"value\":{\"b\":90071992547409931234,\"z\":2}}"), "{patched:?}");
    assert_eq!(place.json(["doc", "delete", "demo", "a"]).json(), json!({"key": "a", "deleted": true}));
    assert_eq!(place.json(["doc", "get", "demo", "a"]).error(3)["code"], "not_found");
    assert_eq!(place.json(["doc", "get", "nothing", "a"]).error(3)["code"], "no_project");
}

#[test]
fn values_come_from_arguments_stdin_and_files() {
    let place = Place::with_demo();
    std::fs::write(place.path("value.json"), "[\n 3\n]\n").unwrap();
    place.run(["doc", "put", "demo", "a", "-1"]).text();
    place.fed(b" [2] ", ["doc", "put", "demo", "b", "-"]).text();
    place.run(["doc", "put", "demo", "c", "--file", "value.json"]).text();
    place.fed(b"[4]", ["doc", "put", "demo", "d", "--file", "-"]).text();
    for (key, value) in [("a", "-1"), ("b", "[2]"), ("c", "[3]"), ("d", "[4]")] {
        assert!(place.json(["doc", "get", "demo", key]).text().ends_with(&format!("\"value\":{value}}}")), "{key}");
    }
    assert_eq!(place.run(["doc", "put", "demo", "a"]).code, Some(2));
    assert_eq!(place.run(["doc", "put", "demo", "a", "1", "--file", "value.json"]).code, Some(2));
    let error = place.fed(b"[1,\n 2,,]", ["doc", "put", "demo", "a", "-", "--json"]).error(2);
    assert_eq!((&error["line"], &error["column"]), (&json!(2), &json!(4)));
}

#[test]
fn conditions() {
    let place = Place::with_demo();
    let put = |value: &str, more: &[&str]| {
        let args: Vec<&str> = ["doc", "put", "demo", "a", value].iter().chain(more).copied().collect();
        place.json(args)
    };
    assert_eq!(put("1", &["--if-match", "*"]).error(4)["current_etag"], json!(null));
    let first = put("1", &["--if-absent"]).json()["etag"].as_str().unwrap().to_owned();
    assert_eq!(put("2", &["--if-absent"]).error(4)["current_etag"], json!(first));
    let second = put("2", &["--if-match", &first]).json()["etag"].as_str().unwrap().to_owned();
    let error = put("3", &["--if-match", &first]).error(4);
    assert_eq!((&error["code"], &error["current_etag"]), (&json!("precondition_failed"), &json!(second)));
    put("3", &["--if-match", "*"]).json();
    // quoted, as HTTP has it
    let third = place.json(["doc", "get", "demo", "a"]).json()["etag"].as_str().unwrap().to_owned();
    place.json(["doc", "patch", "demo", "a", "4", "--if-match", &format!("\"{third}\"")]).json();
    assert_eq!(place.json(["doc", "patch", "demo", "a", "5", "--if-match", &third]).error(4)["code"], "precondition_failed");
    assert_eq!(place.json(["doc", "delete", "demo", "a", "--if-match", &third]).error(4)["code"], "precondition_failed");
    place.json(["doc", "delete", "demo", "a", "--if-match", "*"]).json();
    assert_eq!(place.run(["doc", "put", "demo", "a", "1", "--if-absent", "--if-match", "*"]).code, Some(2));
}

#[test]
fn lists() {
    let place = Place::with_demo();
    for key in ["b", "snapshot_2", "snapshot_1"] {
        place.json(["doc", "put", "demo", key, "[1]"]).json();
    }
    let lines = place.json(["doc", "list", "demo"]).lines();
    assert_eq!(column(&lines, "key"), ["b", "snapshot_1", "snapshot_2"]);
    assert!(lines.iter().all(|line| line["size"] == 4 && line["modified"].as_u64().unwrap() > 0), "{lines:?}");
    let lines = place.json(["doc", "list", "demo", "--prefix", "snapshot_", "--etag"]).lines();
    assert_eq!(column(&lines, "key"), ["snapshot_1", "snapshot_2"]);
    assert_eq!(lines[0]["etag"], place.json(["doc", "get", "demo", "snapshot_1"]).json()["etag"]);
    let said = place.run(["doc", "list", "demo"]);
    let rows: Vec<Vec<&str>> = said.text().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows.iter().map(|row| (row[0], row[1], row[3])).collect::<Vec<_>>(),
        [("4", "B", "b"), ("4", "B", "snapshot_1"), ("4", "B", "snapshot_2")]
    );
}

#[test]
fn shared_documents_and_collections() {
    let place = Place::with_demo();
    for at in ["@shared", "@collection/design_systems"] {
        place.json(["doc", "put", at, "ink", "{\"dark\":true}"]).json();
        assert_eq!(place.json(["doc", "get", at, "ink"]).json()["value"], json!({"dark": true}));
        assert_eq!(column(&place.json(["doc", "list", at]).lines(), "key"), ["ink"]);
    }
    assert_eq!(place.run(["project", "list"]).text(), "demo");
    place.json(["doc", "delete", "@shared", "ink"]).json();
    assert_eq!(place.run(["doc", "list", "@shared"]).text(), "");
}

#[test]
fn a_damaged_document_is_told_and_not_overwritten() {
    let place = Place::with_demo();
    place.json(["doc", "put", "demo", "a", "1"]).json();
    std::fs::write(place.path("folio-data/demo/.meta/a.json"), "{\"a\":\n  oops}").unwrap();
    let error = place.json(["doc", "get", "demo", "a"]).error(5);
    assert_eq!(error["code"], "damaged");
    assert!(error["why"].as_str().unwrap().contains("line 2"), "{error}");
    assert_eq!(place.json(["doc", "put", "demo", "a", "2"]).error(5)["code"], "damaged");
    place.json(["doc", "put", "demo", "a", "2", "--if-match", error["etag"].as_str().unwrap()]).json();
    assert_eq!(place.json(["doc", "get", "demo", "a"]).json()["value"], 2);
}

/// Both commands want the folder: the second takes it when the first is done with it.
#[test]
fn a_document_can_be_piped_from_one_command_to_the_next() {
    let place = Place::with_demo();
    place.json(["doc", "put", "demo", "a", "[1]"]).json();
    let program = env!("CARGO_BIN_EXE_folio");
    let script = format!("set -o pipefail; '{program}' doc get demo a | '{program}' doc put demo b -");
    let output = std::process::Command::new("bash").args(["-c", &script]).current_dir(place.path(".")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(place.json(["doc", "get", "demo", "b"]).json()["value"], json!([1]));
}
