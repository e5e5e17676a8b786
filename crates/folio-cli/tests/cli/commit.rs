//! `folio project commit`

use serde_json::json;

use crate::common::{Daemon, Place};

/// A daemon with a project `demo`.
fn daemon(place: &Place) -> Daemon {
    let daemon = Daemon::start(place, ["serve", "--driver", "memory", "--listen", "127.0.0.1:0", "--json"]);
    place.json(["project", "create", "demo", "--url", daemon.url()]).json();
    daemon
}

const OPERATIONS: &str = r#"{"operations":[
    {"op":"put_file","path":"a/b.txt","from":"local.txt"},
    {"op":"patch_doc","key":"meta","patch":{"n":1.50}},
    {"op":"delete_doc","key":"none"},
    {"op":"append","log":"history","entries":[1,2],"idempotency_key":"k"}]}"#;

#[test]
fn several_operations_in_words_and_in_json() {
    let place = Place::new();
    let daemon = daemon(&place);
    let url = ["--url", daemon.url()];
    std::fs::write(place.path("local.txt"), vec![b'x'; 3 << 20]).unwrap();
    std::fs::write(place.path("operations.json"), OPERATIONS).unwrap();
    let words = place.run(["project", "commit", "demo", "operations.json"].into_iter().chain(url));
    let lines: Vec<&str> = words.text().lines().collect();
    assert_eq!((lines.len(), lines[0]), (5, "Committed 4 operations to project demo."));
    for (line, begin) in lines[1..].iter().zip([
        "  file a/b.txt: created, ETag ",
        "  document meta: patched, ETag ",
        "  document none: was not there",
        "  log history: entries 1 to 2, head ",
    ]) {
        assert!(line.starts_with(begin), "{line}");
    }
    let again = place.run(["project", "commit", "demo", "operations.json"].into_iter().chain(url));
    assert!(
        again.text().starts_with("This commit was done before; nothing was changed. Its entries: entries 1 to 2"),
        "{again:?}"
    );
    let again = place.json(["project", "commit", "demo", "operations.json"].into_iter().chain(url)).json();
    assert_eq!(
        (&again["replayed"], &again["results"][0], &again["results"][3]["last_seq"]),
        (&json!(true), &json!(null), &json!(2))
    );
    let other = OPERATIONS.replace("\"k\"", "\"l\"");
    let done = place.fed(other.as_bytes(), ["project", "commit", "demo", "--json"].into_iter().chain(url));
    assert!(done.stdout.contains(r#""value":{"n":1.50}}"#), "{done:?}");
    let done = done.json();
    assert_eq!((&done["replayed"], &done["results"][0]["created"]), (&json!(false), &json!(false)));
    assert_eq!(place.run(["file", "get", "demo", "a/b.txt"].into_iter().chain(url)).text().len(), 3 << 20);
}

#[test]
fn refusals_tell_the_operation_and_change_nothing() {
    let place = Place::new();
    let daemon = daemon(&place);
    let refused = |operation: &str, exit: i32| {
        let input = format!(r#"{{"operations":[{{"op":"put_doc","key":"x","value":1}},{operation}]}}"#);
        let args = ["project", "commit", "demo", "-", "--json", "--url", daemon.url()];
        let error = place.fed(input.as_bytes(), args).error(exit);
        assert_eq!(error["operation"], 1, "{error}");
        error
    };
    let differs = refused(r#"{"op":"put_doc","key":"y","value":1,"if_match":"*"}"#, 4);
    assert_eq!((&differs["code"], &differs["current_etag"]), (&json!("precondition_failed"), &json!(null)));
    let moved = refused(r#"{"op":"append","log":"history","entry":1,"if_match":"7"}"#, 4);
    assert_eq!((&moved["code"], &moved["head"]), (&json!("precondition_failed"), &json!("0-0")));
    assert_eq!(refused(r#"{"op":"put_doc","key":"a b","value":1}"#, 2)["code"], "invalid_name");
    assert_eq!(refused(r#"{"op":"put_doc","key":"x","value":2}"#, 2)["code"], "invalid");
    let missing = refused(r#"{"op":"put_file","path":"y","from":"missing.txt"}"#, 1);
    assert!(missing["detail"].as_str().unwrap().contains("missing.txt"), "{missing}");
    let part = refused(r#"{"op":"put_file","path":"y","part":"y"}"#, 2);
    assert!(part["detail"].as_str().unwrap().contains("from"), "{part}");
    assert_eq!(place.json(["doc", "get", "demo", "x", "--url", daemon.url()]).error(3)["code"], "not_found");
}
