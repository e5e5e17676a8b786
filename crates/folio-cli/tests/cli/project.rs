//! `folio project`

use crate::common::{Place, column};

#[test]
fn create_list_fork_delete_in_words() {
    let place = Place::new();
    assert_eq!(place.run(["project", "create", "b"]).text(), "Created project b.");
    assert_eq!(place.run(["project", "create", "b"]).text(), "Project b exists already.");
    assert_eq!(place.run(["project", "fork", "b", "a"]).text(), "Copied project b to a.");
    assert_eq!(place.run(["project", "list"]).text(), "a\nb");
    assert_eq!(place.run(["project", "delete", "b", "--yes"]).text(), "Deleted project b.");
    assert_eq!(place.run(["project", "delete", "b", "--yes"]).text(), "There was no project b.");
    assert_eq!(place.run(["project", "list"]).text(), "a");
}

#[test]
fn create_list_fork_delete_in_json() {
    let place = Place::new();
    assert_eq!(place.json(["project", "create", "b"]).json(), serde_json::json!({"id": "b", "created": true}));
    assert_eq!(place.json(["project", "create", "b"]).json(), serde_json::json!({"id": "b", "created": false}));
    assert_eq!(place.json(["project", "fork", "b", "a"]).json(), serde_json::json!({"id": "a", "source": "b"}));
    assert_eq!(column(&place.json(["project", "list"]).lines(), "id"), ["a", "b"]);
    assert_eq!(place.json(["project", "delete", "b", "-y"]).json(), serde_json::json!({"id": "b", "deleted": true}));
    assert_eq!(place.json(["project", "delete", "b", "-y"]).json(), serde_json::json!({"id": "b", "deleted": false}));
    assert_eq!(column(&place.json(["project", "list"]).lines(), "id"), ["a"]);
}

#[test]
fn an_empty_store_lists_nothing() {
    let place = Place::with_demo();
    place.run(["project", "delete", "demo", "--yes"]).text();
    assert_eq!(place.run(["project", "list"]).text(), "");
}

#[test]
fn deleting_asks_and_without_a_terminal_does_nothing() {
    let place = Place::with_demo();
    let error = place.json(["project", "delete", "demo"]).error(2);
    assert_eq!(error["code"], "usage");
    assert!(error["detail"].as_str().unwrap().contains("--yes"), "{error}");
    assert_eq!(column(&place.json(["project", "list"]).lines(), "id"), ["demo"]);
}

#[test]
fn forking_tells_what_is_missing_or_in_the_way() {
    let place = Place::with_demo();
    assert_eq!(place.json(["project", "fork", "nothing", "copy"]).error(3)["code"], "no_project");
    assert_eq!(place.json(["project", "fork", "demo", "demo"]).error(4)["code"], "exists");
}
