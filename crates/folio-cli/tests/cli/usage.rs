//! Arguments, places, help, completions, and what goes where.

use crate::common::{Place, names_in};

#[test]
fn a_folder_that_does_not_exist_is_told_and_not_made() {
    let place = Place::new();
    let reads: [&[&str]; 9] = [
        &["project", "list"],
        &["project", "delete", "demo", "--yes"],
        &["log", "read", "demo"],
        &["log", "append", "demo", "1"],
        &["log", "tail", "-f", "demo"],
        &["doc", "get", "demo", "a"],
        &["doc", "put", "@shared", "a", "1"],
        &["file", "get", "demo", "a"],
        &["file", "list", "demo"],
    ];
    for args in reads {
        let error = place.json(args.iter().copied()).error(3);
        assert_eq!((error["code"].as_str(), error["root"].as_str()), (Some("no_root"), Some("./folio-data")), "{args:?}");
        let said = place.run(args.iter().copied().chain(["--root", "elsewhere"]));
        assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{args:?}");
        assert!(said.stderr.starts_with("error: there is no folder elsewhere;"), "{said:?}");
    }
    assert_eq!(names_in(&place.path(".")), [""; 0]);
}

#[test]
fn commands_that_create_make_the_folder() {
    let creates: [&[&str]; 4] = [
        &["project", "create", "demo"],
        &["log", "append", "demo", "1", "--create"],
        &["doc", "put", "demo", "a", "1", "--create"],
        &["file", "put", "demo", "a.txt", "-", "--create"],
    ];
    for args in creates {
        let place = Place::new();
        place.json(args.iter().copied()).json();
        assert_eq!(place.run(["project", "list"]).text(), "demo", "{args:?}");
    }
}

#[test]
fn flags_go_before_the_environment() {
    let place = Place::new();
    for root in ["one", "two"] {
        place.json(["project", "create", root, "--root", root]).json();
    }
    let list = |args: &[&str], env: &[(&str, &str)]| {
        let output = place.command(args.iter().copied()).envs(env.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let nobody = "http://127.0.0.1:9";
    assert_eq!(list(&["project", "list"], &[("FOLIO_ROOT", "one")]), (Some(0), "one\n".into()));
    assert_eq!(list(&["project", "list", "--root", "two"], &[("FOLIO_ROOT", "one")]), (Some(0), "two\n".into()));
    assert_eq!(list(&["--root", "two", "project", "list"], &[("FOLIO_URL", nobody)]), (Some(0), "two\n".into()));
    assert_eq!(list(&["project", "list"], &[("FOLIO_ROOT", "one"), ("FOLIO_URL", nobody)]).0, Some(2));
    assert_eq!(list(&["project", "list", "--root", "one", "--url", nobody], &[]).0, Some(2));
}

#[test]
fn an_address_where_nobody_listens_is_unavailable() {
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = place.json(["project", "list", "--url", &format!("http://{free}")]).error(6);
    assert_eq!(error["code"], "transport");
    assert!(error["detail"].as_str().unwrap().contains(&free.to_string()), "{error}");
    assert_eq!(place.json(["project", "list", "--url", "nonsense"]).error(2)["code"], "invalid");
}

/// Each with the code of the library, whatever the command.
#[test]
fn bad_arguments_are_named() {
    let place = Place::with_demo();
    let rows: [(&[&str], &str, &str); 14] = [
        (&["project", "create", "a b"], "invalid_name", "\"a b\""),
        (&["log", "read", "../demo"], "invalid_name", "../demo"),
        (&["log", "read", "demo", "--log", "a//b"], "invalid_name", "a//b"),
        (&["log", "read", "demo", "--since", "x"], "invalid_cursor", "\"x\""),
        (&["log", "append", "demo", "1", "--if-head", "01"], "invalid_cursor", "\"01\""),
        (&["log", "append", "demo", "{\"a\":"], "invalid_json", "column"),
        (&["log", "append", "demo"], "usage", "--ndjson"),
        (&["log", "append", "demo", "1", "--key", "a b"], "invalid", "key"),
        (&["doc", "get", "demo", "a.b"], "invalid_name", "a.b"),
        (&["doc", "get", "@nowhere", "a"], "usage", "@nowhere"),
        (&["doc", "put", "demo", "a", "1", "--if-match", "abc"], "invalid_etag", "\"abc\""),
        (&["file", "get", "demo", "/etc/passwd"], "invalid_name", "/etc/passwd"),
        (&["file", "put", "demo", ".meta/a.json", "-"], "invalid_name", ".meta"),
        (&["log", "tail", "demo", "--lines", "2", "--since", "1"], "usage", "--since"),
    ];
    for (args, code, named) in rows {
        let error = place.json(args.iter().copied()).error(2);
        assert_eq!(error["code"], code, "{args:?}: {error}");
        assert!(error["detail"].as_str().unwrap().contains(named), "{args:?}: {error}");
        let said = place.run(args.iter().copied());
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(said.stderr.starts_with("error: ") && said.stderr.contains(named), "{args:?}: {said:?}");
    }
    assert_eq!(place.json(["log", "status", "demo"]).json()["entries"], 0);
}

#[test]
fn help_and_the_version_are_answers() {
    let place = Place::new();
    let version = place.run(["--version"]);
    assert_eq!(version.text(), concat!("folio ", env!("CARGO_PKG_VERSION")));
    let help = place.run(["--help"]);
    assert!(help.text().contains("Exit codes:\n    0  done"), "{help:?}");
    for noun in ["project", "log", "doc", "file"] {
        assert!(place.run([noun, "--help"]).text().contains("Usage: folio"), "{noun}");
    }
    let nothing = place.run([]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(2), ""), "{nothing:?}");
}

#[test]
fn completions_name_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(["completions", shell]);
        assert!(script.text().contains("truncate") && script.text().contains("durability"), "{shell}");
    }
    assert_eq!(place.run(["completions", "tcl"]).code, Some(2));
}

/// A reader that goes away is no failure: `folio log read demo | head -1`.
#[test]
fn a_broken_pipe_ends_quietly() {
    use std::process::Stdio;
    let place = Place::with_demo();
    let many: String = (0..50_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert_eq!(place.fed(many.as_bytes(), ["log", "append", "demo", "--ndjson", "-"]).code, Some(0));
    place.fed(&vec![b'x'; 8 << 20], ["file", "put", "demo", "big", "-"]).text();
    let reads: [&[&str]; 3] = [&["log", "read", "demo"], &["log", "read", "demo", "--json"], &["file", "get", "demo", "big"]];
    for args in reads {
        let mut child = place.command(args.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut some = [0; 64];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut some).unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn json_that_lost_its_quotes_to_the_shell_is_told_how_to_keep_them() {
    let place = Place::new();
    place.json(["project", "create", "demo"]).json();
    for lost in ["hello", "{a:1}"] {
        let said = place.run(["log", "append", "demo", lost]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains("invalid JSON at line 1, ") && said.stderr.contains("single quotes"), "{said:?}");
    }
    let said = place.run(["doc", "put", "demo", "a", "{\"a\":}"]);
    assert!(said.stderr.contains("column 6") && !said.stderr.contains("single quotes"), "{said:?}");
}

#[test]
fn an_address_that_is_none_is_told_what_one_looks_like() {
    for address in ["localhost:7460", "7460"] {
        let said = Place::new().run(["serve", "--listen", address]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains("such as 127.0.0.1:7460"), "{said:?}");
    }
}
