//! `folio file`

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use crate::common::{Place, column, names_in};

/// Larger than every buffer on the way, and not a multiple of one.
fn large() -> Vec<u8> {
    (0..3_000_017_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

#[test]
fn put_get_delete_in_words() {
    let place = Place::with_demo();
    std::fs::write(place.path("in.bin"), large()).unwrap();
    let put = place.run(["file", "put", "demo", "a/b.bin", "in.bin"]);
    assert!(put.text().starts_with("Created file a/b.bin in project demo (ETag "), "{put:?}");
    assert!(place.run(["file", "put", "demo", "a/b.bin", "in.bin"]).text().starts_with("Replaced file"));
    assert_eq!(place.run(["file", "get", "demo", "a/b.bin", "out.bin"]).text(), "Wrote out.bin (2.9 MiB).");
    assert!(std::fs::read(place.path("out.bin")).unwrap() == large());
    assert_eq!(place.run(["file", "delete", "demo", "a/b.bin"]).text(), "Deleted file a/b.bin in project demo.");
    assert_eq!(place.run(["file", "delete", "demo", "a/b.bin"]).text(), "There was no file a/b.bin in project demo.");
    let missing = place.run(["file", "get", "demo", "a/b.bin"]);
    assert_eq!((missing.code, missing.stderr.as_str()), (Some(3), "error: there is no file a/b.bin in project demo\n"));
}

#[test]
fn put_get_delete_in_json() {
    let place = Place::with_demo();
    let put = place.fed(b"hello", ["file", "put", "demo", "a.txt", "-", "--json"]).json();
    assert_eq!(put, json!({"path": "a.txt", "etag": "2cf24dba5fb0a30e26e83b2ac5b9e29e", "created": true}));
    let get = place.json(["file", "get", "demo", "a.txt", "here.txt"]).json();
    assert_eq!(get, json!({"path": "a.txt", "to": "here.txt", "size": 5}));
    assert_eq!(place.json(["file", "delete", "demo", "a.txt"]).json(), json!({"path": "a.txt", "deleted": true}));
    assert_eq!(place.json(["file", "delete", "demo", "a.txt"]).json(), json!({"path": "a.txt", "deleted": false}));
    assert_eq!(place.json(["file", "get", "demo", "a.txt"]).error(3)["code"], "not_found");
    assert_eq!(place.json(["file", "get", "other", "a.txt"]).error(3)["code"], "no_project");
}

#[test]
fn stdin_and_stdout_carry_bytes_untouched() {
    let place = Place::with_demo();
    place.fed(&large(), ["file", "put", "demo", "b.bin", "-"]).text();
    for args in [&["file", "get", "demo", "b.bin"][..], &["file", "get", "demo", "b.bin", "-", "--json"]] {
        let output = place.command(args.iter().copied()).output().unwrap();
        assert!(output.status.success() && output.stdout == large(), "{args:?}");
    }
    // escape sequences are bytes like others
    place.fed(b"\x1b[31mred", ["file", "put", "demo", "c", "-"]).text();
    assert_eq!(place.command(["file", "get", "demo", "c"]).output().unwrap().stdout, b"\x1b[31mred");
    place.fed(b"", ["file", "put", "demo", "empty", "-"]).text();
    assert_eq!(place.run(["file", "get", "demo", "empty"]).text(), "");
}

#[test]
fn getting_into_a_folder_through_a_link_and_over_a_file() {
    let place = Place::with_demo();
    place.fed(b"new", ["file", "put", "demo", "a/b.txt", "-"]).text();
    std::fs::create_dir(place.path("into")).unwrap();
    place.run(["file", "get", "demo", "a/b.txt", "into"]).text();
    assert_eq!(std::fs::read(place.path("into/b.txt")).unwrap(), b"new");

    std::fs::write(place.path("old.sh"), "old").unwrap();
    std::fs::set_permissions(place.path("old.sh"), std::fs::Permissions::from_mode(0o750)).unwrap();
    symlink(place.path("old.sh"), place.path("link")).unwrap();
    place.run(["file", "get", "demo", "a/b.txt", "link"]).text();
    assert!(place.path("link").is_symlink());
    assert_eq!(std::fs::read(place.path("old.sh")).unwrap(), b"new");
    assert_eq!(std::fs::metadata(place.path("old.sh")).unwrap().permissions().mode() & 0o777, 0o750);
    // a device stays a device
    place.run(["file", "get", "demo", "a/b.txt", "/dev/null"]).text();
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());

    let error = place.json(["file", "get", "demo", "a/b.txt", "missing/there"]).error(1);
    assert!(error["detail"].as_str().unwrap().contains("missing/there"), "{error}");
    assert_eq!(names_in(&place.path(".")), ["folio-data", "into", "link", "old.sh"], "no temporary file stays");
}

#[test]
fn putting_what_cannot_be_read() {
    let place = Place::with_demo();
    for (from, exit) in [("missing", 1), ("folio-data", 2)] {
        let error = place.json(["file", "put", "demo", "a", from]).error(exit);
        assert!(error["detail"].as_str().unwrap().contains(from), "{error}");
    }
    assert_eq!(place.run(["file", "list", "demo"]).text(), "");
}

#[test]
fn conditions() {
    let place = Place::with_demo();
    let put = |content: &[u8], more: &[&str]| {
        let args: Vec<&str> = ["file", "put", "demo", "a", "-", "--json"].iter().chain(more).copied().collect();
        place.fed(content, args)
    };
    let first = put(b"1", &["--if-absent"]).json()["etag"].as_str().unwrap().to_owned();
    assert_eq!(put(b"2", &["--if-absent"]).error(4)["current_etag"], json!(first));
    put(b"2", &["--if-match", &first]).json();
    assert_eq!(put(b"3", &["--if-match", &first]).error(4)["code"], "precondition_failed");
    assert_eq!(place.json(["file", "delete", "demo", "a", "--if-match", &first]).error(4)["code"], "precondition_failed");
    assert_eq!(place.run(["file", "get", "demo", "a"]).stdout, "2");
    place.json(["file", "delete", "demo", "a", "--if-match", "*"]).json();
}

#[test]
fn what_stands_in_the_way_is_told() {
    let place = Place::with_demo();
    place.fed(b"1", ["file", "put", "demo", "a", "-"]).text();
    assert_eq!(place.fed(b"1", ["file", "put", "demo", "a/b", "-", "--json"]).error(4)["code"], "path_conflict");
}

#[test]
fn lists() {
    let place = Place::with_demo();
    for path in ["b.txt", "a/z.txt", "a/notes ünï.txt", "a/line\nbreak"] {
        place.fed(b"hello", ["file", "put", "demo", path, "-"]).text();
    }
    let lines = place.json(["file", "list", "demo"]).lines();
    assert_eq!(column(&lines, "path"), ["a/line\nbreak", "a/notes ünï.txt", "a/z.txt", "b.txt"]);
    for folder in ["a", "a/"] {
        assert_eq!(column(&place.json(["file", "list", "demo", folder]).lines(), "path").len(), 3);
    }
    let lines = place.json(["file", "list", "demo", "--etag"]).lines();
    assert!(lines.iter().all(|line| line["etag"] == "2cf24dba5fb0a30e26e83b2ac5b9e29e" && line["size"] == 5), "{lines:?}");
    let said = place.run(["file", "list", "demo"]);
    let paths: Vec<&str> = said.text().lines().map(|line| line.splitn(3, "  ").nth(2).unwrap()).collect();
    assert_eq!(paths, ["a/line\\nbreak", "a/notes ünï.txt", "a/z.txt", "b.txt"]);
}
