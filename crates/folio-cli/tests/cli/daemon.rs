//! `folio serve`

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;
use serde_json::json;

use crate::common::{Daemon, PATIENCE, Place, names_in};

#[test]
fn it_says_where_it_is_and_what_to_try() {
    let place = Place::new();
    let daemon = place.start(["serve", "--listen", "127.0.0.1:0"]);
    let first = daemon.line();
    let url = first.split_whitespace().last().unwrap().to_owned();
    assert_eq!(first, format!("Folio {} serves ./folio-data at {url}", env!("CARGO_PKG_VERSION")));
    let mut said = String::new();
    while !said.ends_with("Ctrl-C stops it.") {
        said = format!("{said}\n{}", daemon.line());
    }
    for part in ["curl -X PUT ", "curl -N -H 'accept: text/event-stream' ", "-d '{\"hello\":\"world\"}' "] {
        assert!(said.contains(&format!("{part}{url}/v1/projects/demo")), "{part}: {said}");
    }
    assert_eq!(place.json(["project", "create", "demo", "--url", &url]).json()["created"], true);
    assert_eq!(names_in(&place.path("folio-data")), [".folio", "demo"]);
}

#[test]
fn it_says_so_in_json() {
    let place = Place::new();
    let daemon = Daemon::start(&place, ["serve", "here", "--listen", "127.0.0.1:0", "--durability", "os", "--json"]);
    let said = &daemon.said;
    let expected = json!({
        "url": format!("http://{}", daemon.address()),
        "listen": daemon.address(),
        "root": place.path("here").canonicalize().unwrap(),
        "driver": "fs",
        "durability": "os",
        "pid": daemon.running.pid(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(said, &expected);
}

#[test]
fn weaker_modes_say_what_they_can_lose() {
    let place = Place::new();
    let loss = |args: &[&str]| {
        let daemon = place.start(["serve", "--listen", "127.0.0.1:0"].iter().chain(args).copied());
        (daemon.line(), daemon.line()).1
    };
    assert!(loss(&["--durability", "interval"]).contains("last second of acknowledged writes"));
    assert!(loss(&["--durability", "os"]).contains("last 30 seconds"));
    assert!(loss(&["--driver", "memory"]).contains("gone when the daemon ends"));
    assert_eq!(loss(&[]), "");
}

#[test]
fn in_memory_it_makes_no_folder() {
    let place = Place::new();
    let daemon = Daemon::start(&place, ["serve", "--driver", "memory", "--listen", "127.0.0.1:0", "--json"]);
    assert_eq!((&daemon.said["driver"], &daemon.said["root"]), (&json!("memory"), &json!(null)));
    place.json(["log", "append", "demo", "1", "--create", "--url", daemon.url()]).json();
    assert_eq!(place.json(["log", "status", "demo", "--url", daemon.url()]).json()["entries"], 1);
    assert_eq!(names_in(&place.path(".")), [""; 0]);
    for args in [&["serve", "x", "--driver", "memory"][..], &["serve", "--driver", "memory", "--durability", "os"]] {
        assert_eq!(place.json(args.iter().copied()).error(2)["code"], "usage");
    }
}

#[test]
fn a_signal_ends_it_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::with_demo();
        let daemon = place.serve("folio-data");
        place.json(["log", "append", "demo", "1"]).json();
        let mut stream = stream(daemon.address());
        daemon.running.signal(signal);
        // the open stream ends, and does not hold the daemon up
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        let (status, stdout, stderr) = daemon.running.end();
        assert_eq!((status.code(), stdout, stderr), (Some(0), vec![], vec![]), "{signal:?}");
        // and the folder is free again
        assert_eq!(place.json(["log", "append", "demo", "2", "--wait", "0"]).json()["first_seq"], 2);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Place::with_demo();
        let daemon = place.start(["serve", "--listen", "127.0.0.1:0"]);
        let address = daemon.line().split("http://").last().unwrap().to_owned();
        // a request that does not finish: its body stays away, and the daemon asks for it
        let mut upload = TcpStream::connect(&address).unwrap();
        upload.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "PUT /v1/projects/demo/docs/a HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
                    content-length: 9\r\nexpect: 100-continue\r\n\r\n";
        upload.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        upload.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100");
        daemon.signal(signal);
        let note = daemon.note();
        assert!(note.starts_with("Stopping"), "{note}");
        daemon.signal(signal);
        assert_eq!(daemon.end().0.code(), Some(exit), "{signal:?}");
        assert_eq!(place.json(["doc", "get", "demo", "a"]).error(3)["code"], "not_found");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let place = Place::with_demo();
    let mut daemon = place.serve("folio-data");
    for n in 1..=5 {
        assert_eq!(place.json(["log", "append", "demo", &n.to_string()]).json()["last_seq"], n);
    }
    place.json(["doc", "put", "demo", "a", "[1]"]).json();
    daemon.running.kill();
    let _daemon = place.serve("folio-data");
    assert_eq!(place.json(["log", "read", "demo"]).lines().len(), 5);
    assert_eq!(place.json(["doc", "get", "demo", "a"]).json()["value"], json!([1]));
}

#[test]
fn a_port_that_is_taken_is_told_and_leaves_no_folder() {
    let place = Place::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let error = place.json(["serve", "--listen", &address]).error(6);
    assert_eq!((&error["code"], &error["listen"]), (&json!("address_in_use"), &json!(address)));
    let said = place.run(["serve", "--listen", &address]);
    assert!(said.stderr.contains(&format!("{address} is taken by another program")), "{said:?}");
    assert!(said.stderr.contains("--listen 127.0.0.1:0"), "{said:?}");
    assert_eq!(names_in(&place.path(".")), [""; 0]);
}

#[test]
fn another_daemon_on_the_port_is_recognized() {
    let place = Place::new();
    let daemon = place.serve("one");
    let error = place.json(["serve", "two", "--listen", daemon.address()]).error(6);
    assert!(error["detail"].as_str().unwrap().contains("by another Folio daemon"), "{error}");
    assert_eq!(names_in(&place.path(".")), ["one"]);
    // the same command again: that it runs already is the better news
    let error = place.json(["serve", "one", "--listen", daemon.address()]).error(6);
    assert_eq!(error["code"], "locked");
}

#[test]
fn a_folder_has_one_daemon() {
    let place = Place::new();
    let daemon = place.serve("one");
    let error = place.json(["serve", "one", "--listen", "127.0.0.1:0"]).error(6);
    assert_eq!((&error["code"], &error["address"]), (&json!("locked"), &json!(daemon.url())));
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.contains("folio serve") && detail.contains(&daemon.running.pid().to_string()), "{error}");
}

#[test]
fn what_cannot_be_served_is_refused_and_leaves_no_folder() {
    let place = Place::new();
    let rows: [(&[&str], &str); 5] = [
        (&["--listen", "0.0.0.0:0"], "0.0.0.0:0"),
        (&["--listen", "127.0.0.1:0", "--allow-origin", "*"], "\"*\""),
        (&["--listen", "localhost"], "localhost"),
        (&["--url", "http://127.0.0.1:1"], "--url"),
        (&["--max-entry", "many"], "many"),
    ];
    for (args, named) in rows {
        let error = place.json(["serve"].iter().chain(args).copied()).error(2);
        assert!(error["detail"].as_str().unwrap().contains(named), "{args:?}: {error}");
    }
    assert_eq!(names_in(&place.path(".")), [""; 0]);
}

#[test]
fn limits_can_be_set() {
    let place = Place::with_demo();
    let args = ["serve", "folio-data", "--listen", "127.0.0.1:0", "--max-entry", "1KiB", "--max-body", "2KiB", "--json"];
    let _daemon = Daemon::start(&place, args);
    let value = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    place.json(["log", "append", "demo", &value(1024)]).json();
    assert_eq!(place.json(["log", "append", "demo", &value(1025)]).error(2)["code"], "too_large");
    assert_eq!(place.json(["doc", "put", "demo", "a", &value(2049)]).error(2)["code"], "too_large");
}

/// An event stream that has begun.
fn stream(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "GET /v1/projects/demo/history HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("caught-up") {
        let mut some = [0; 1_024];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0, "the stream ended: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&some[..count]);
    }
    stream
}
