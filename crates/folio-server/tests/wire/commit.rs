//! Commits: what the request may say, bodies in parts, and refusals that change nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use folio::memory::MemoryDriver;
use folio::{CollectionName, Driver, DriverInfo, Error, Etag, JsonKv, Project, ProjectId, ProjectList};
use folio_server::ServerConfig;
use serde_json::{Value, json};

use crate::client::{Answer, Request, within};
use crate::server::{FRIEND, TestServer, config};

const AT: &str = "/v1/projects/p/commit";
const TYPE: &str = "multipart/form-data; boundary=XX";

async fn commit(server: &TestServer, operations: &str) -> Answer {
    server.send("POST", AT, &[], format!("{{\"operations\":[{operations}]}}")).await
}

/// A body of parts: name, type where there is one, content.
fn parts(parts: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, kind, content) in parts {
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        body.extend(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{kind}\r\n").into_bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    body
}

async fn in_parts(server: &TestServer, body: &[u8]) -> Answer {
    server.send("POST", AT, &[("content-type", TYPE)], body).await
}

fn tag(bytes: &str) -> Value {
    Etag::of(bytes.as_bytes()).to_string().into()
}

#[tokio::test]
async fn each_operation_has_its_result() {
    let server = TestServer::furnished().await;
    let answer = commit(
        &server,
        r#"{"op":"put_doc","key":"d","value":{"n": 90071992547409931234, "n": 1e400}},
        {"op":"patch_doc","key":"new","patch":{"a":null,"b":1.50},"if_none_match":"*"},
        {"op":"delete_doc","key":"none"},
        {"op":"put_file","path":"a.txt","text":"ü\n","if_match":"*"},
        {"op":"put_file","path":"b/ü.bin","base64":"AP8="},
        {"op":"delete_file","path":"none"},
        {"op":"append","log":"history","entries":[[4],null]},
        {"op":"append","log":"runs/1","mixed":[{"b64":"AP8="},{"data":2}],"close":true,"if_match":"0-0"},
        {"op":"append","log":"l","entry":[2]}"#,
    )
    .await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
    assert_eq!(answer.header("idempotency-replayed"), None);
    let doc = "{\"n\":90071992547409931234,\"n\":1e400}\n";
    let told = answer.json();
    let results = told["results"].as_array().unwrap();
    assert_eq!(results[0], json!({"key": "d", "etag": tag(doc), "created": false}));
    assert!(answer.text().contains(r#""value":{"b":1.50}}"#), "{}", answer.text());
    assert_eq!(results[2], json!({"key": "none", "existed": false}));
    assert_eq!(results[3], json!({"path": "a.txt", "etag": tag("ü\n"), "created": false}));
    assert_eq!((&results[4]["path"], &results[4]["created"]), (&json!("b/ü.bin"), &json!(true)));
    assert_eq!(results[5], json!({"path": "none", "existed": false}));
    let head = server.get("/v1/projects/p/history?view=status").await.json()["head"].clone();
    assert_eq!(results[6], json!({"log": "history", "first_seq": 4, "last_seq": 5, "cursor": head}));
    assert_eq!((&results[7]["log"], &results[7]["last_seq"]), (&json!("runs/1"), &json!(2)));
    assert_eq!(server.get("/v1/projects/p/docs/d").await.text(), doc, "kept to the token");
    assert_eq!(server.get("/v1/projects/p/files/b/%C3%BC.bin").await.body, [0, 255]);
    let entries = server.get("/v1/projects/p/logs/runs/1").await.json()["entries"].clone();
    assert_eq!((&entries[0]["b64"], &entries[1]["data"]), (&json!("AP8="), &json!(2)));
    assert_eq!(server.get("/v1/projects/p/logs/l").await.json()["entries"][1]["data"], json!([2]));
    assert_eq!(server.send("POST", AT, &[], r#"{"operations":[]}"#).await.json(), json!({"results": []}));
}

#[tokio::test]
async fn files_come_in_parts() {
    let server = TestServer::furnished().await;
    let large = vec![b'\r'; 3 << 20];
    let operations = r#"{"operations":[
        {"op":"put_file","path":"one","part":"first","if_none_match":"*"},
        {"op":"append","log":"history","entry":4},
        {"op":"put_file","path":"two","text":"2"},
        {"op":"put_file","path":"three","part":"ü \"3\""}]}"#;
    for kind in ["application/json", "", "application/json; charset=utf-8"] {
        let body = parts(&[
            ("operations", kind, operations.as_bytes()),
            ("first", "video/mp4", &large),
            ("ü %223%22", "", b"3\r\n--X\r\n--XY"),
        ]);
        let body = String::from_utf8_lossy(&body).replace("%22", "\\\"");
        let answer = in_parts(&server, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{kind}: {answer:?}");
        assert_eq!(answer.json()["results"][0]["etag"], tag(std::str::from_utf8(&large).unwrap()));
        for (path, content) in [("one", &large[..]), ("two", b"2"), ("three", b"3\r\n--X\r\n--XY")] {
            let stored = server.get(&format!("/v1/projects/p/files/{path}")).await;
            assert!(stored.body == content, "{path} has {} bytes", stored.body.len());
            server.send("DELETE", &format!("/v1/projects/p/files/{path}"), &[], "").await;
        }
    }
    assert_eq!(server.get("/v1/projects/p/history?view=status").await.json()["entries"], 6);
    let none = parts(&[("operations", "", br#"{"operations":[{"op":"put_doc","key":"d","value":2}]}"#)]);
    assert_eq!(in_parts(&server, &none).await.status, 200);
}

#[tokio::test]
async fn conditions_tell_the_operation() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    let doc = server.get("/v1/projects/p/docs/d").await.header("etag").unwrap().replace('"', "");
    let refused = |answer: Answer| {
        let detail = answer.refused(412, "precondition_failed");
        assert!(detail.contains("operation 1"), "{detail}");
        let problem = answer.json();
        (problem["operation"].clone(), problem["current_etag"].clone(), problem["head"].clone())
    };
    let first = r#"{"op":"put_doc","key":"x","value":1}"#;
    let differs = commit(&server, &format!(r#"{first},{{"op":"delete_doc","key":"d","if_match":"{}"}}"#, "0".repeat(32))).await;
    assert_eq!(refused(differs), (json!(1), json!(doc), Value::Null));
    let missing = commit(&server, &format!(r#"{first},{{"op":"put_file","path":"none","text":"","if_match":"*"}}"#)).await;
    assert_eq!(refused(missing), (json!(1), Value::Null, Value::Null));
    let head = server.get("/v1/projects/p/history?view=status").await.json()["head"].clone();
    let moved = commit(&server, &format!(r#"{first},{{"op":"append","log":"history","entry":1,"if_match":"2"}}"#)).await;
    assert_eq!(refused(moved), (json!(1), Value::Null, head));
    let closed = commit(&server, r#"{"op":"append","log":"c","close":true}"#).await;
    assert_eq!(closed.status, 200, "{closed:?}");
    let closed = commit(&server, &format!(r#"{first},{{"op":"append","log":"c","entry":1}}"#)).await;
    closed.refused(409, "closed");
    assert_eq!((&closed.json()["operation"], &closed.json()["log"]), (&json!(1), &json!("c")));
    server.send("DELETE", "/v1/projects/p/logs/c", &[], "").await;
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn a_retry_is_told_as_one() {
    let server = TestServer::furnished().await;
    let operations = r#"{"op":"put_doc","key":"x","value":1},{"op":"append","log":"l","entry":2,"idempotency_key":"k"}"#;
    let first = commit(&server, operations).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None));
    let before = server.snapshot().await;
    let again = commit(&server, operations).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.json(), json!({"results": [null, first.json()["results"][1]]}));
    let other = commit(&server, &operations.replace("\"value\":1", "\"value\":2")).await;
    other.refused(422, "key_reused");
    assert_eq!(other.json()["operation"], 1);
    assert_eq!(server.snapshot().await, before);
}

/// What the JSON of an operation may not be: text, code, what the sentence must name.
const BAD: &[(&str, &str, &str)] = &[
    ("1", "invalid_json", "an object with the member `op`"),
    (r#"["delete_doc","d"]"#, "invalid", "an object with the member `op`"),
    ("{}", "invalid_json", "`op`"),
    (r#"{"op":1}"#, "invalid_json", "op"),
    (r#"{"op":"move"}"#, "invalid", "\"move\""),
    (r#"{"op":"put_doc","key":"k"}"#, "invalid", "value"),
    (r#"{"op":"put_doc","value":1}"#, "invalid_json", "`key`"),
    (r#"{"op":"put_doc","key":"a b","value":1}"#, "invalid_name", "a b"),
    (r#"{"op":"put_doc","key":"k","value":1,"patch":1}"#, "invalid", "no patch"),
    (r#"{"op":"put_doc","key":"k","value":1,"if-match":"*"}"#, "invalid_json", "`if-match`"),
    (r#"{"op":"put_doc","key":"k","key":"l","value":1}"#, "invalid_json", "`key`"),
    (r#"{"op":"put_doc","key":"k","value":1,"path":"x"}"#, "invalid_json", "`path`"),
    (r#"{"op":"put_doc","key":"k","value":1,"if_match":"abc"}"#, "invalid_etag", "abc"),
    (r#"{"op":"put_doc","key":"k","value":1,"if_match":"*","if_none_match":"*"}"#, "invalid", "combined"),
    (r#"{"op":"put_doc","key":"k","value":1,"if_none_match":"00000000000000000000000000000000"}"#, "invalid", "only be"),
    (r#"{"op":"patch_doc","key":"k","value":1}"#, "invalid", "patch"),
    (r#"{"op":"delete_doc","key":"k","value":1}"#, "invalid", "neither"),
    (r#"{"op":"put_file","path":"../x","text":""}"#, "invalid_name", "../x"),
    (r#"{"op":"put_file","path":".meta/d.json","text":""}"#, "invalid_name", ".meta"),
    (r#"{"op":"put_file","path":"x"}"#, "invalid", "one of"),
    (r#"{"op":"put_file","path":"x","text":"","base64":""}"#, "invalid", "one of"),
    (r#"{"op":"put_file","path":"x","base64":"?"}"#, "invalid", "base64"),
    (r#"{"op":"put_file","path":"x","part":"a"}"#, "invalid", "multipart/form-data"),
    (r#"{"op":"put_file","path":"x","part":"operations"}"#, "invalid", "operations"),
    (r#"{"op":"put_file","path":"x","from":"/etc/passwd"}"#, "invalid", "`from`"),
    (r#"{"op":"delete_file","path":"x","text":""}"#, "invalid", "no body"),
    (r#"{"op":"append","log":"l"}"#, "invalid", "entry"),
    (r#"{"op":"append","log":"l","entry":1,"entries":[1]}"#, "invalid", "one of"),
    (r#"{"op":"append","log":"l","entries":1}"#, "invalid_json", "sequence"),
    (r#"{"op":"append","log":"l","mixed":[{"b64":"?"}]}"#, "invalid", "base64"),
    (r#"{"op":"append","log":"../x","entry":1}"#, "invalid_name", "../x"),
    (r#"{"op":"append","log":"l","entry":1,"if_match":"x"}"#, "invalid_cursor", "x"),
    (r#"{"op":"append","log":"l","entry":1,"idempotency_key":""}"#, "invalid", "key"),
    (r#"{"op":"append","log":"l","entry":1,"close":"yes"}"#, "invalid_json", "bool"),
    (r#"{"op":"delete_doc","key":"fine"}"#, "invalid", "twice"),
];

#[tokio::test]
async fn operations_that_cannot_be_meant() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    for (operation, code, names) in BAD {
        let answer = commit(&server, &format!("{{\"op\":\"delete_doc\",\"key\":\"fine\"}},{operation}")).await;
        let detail = answer.refused(400, code);
        assert!(detail.contains(names), "{operation}: {detail} does not name {names}");
        assert_eq!(answer.json()["operation"], 1, "{operation}: {detail}");
    }
    let deep = format!("{}1{}", "[".repeat(129), "]".repeat(129));
    let many = vec![r#"{"op":"delete_doc","key":"d"}"#; 1_001].join(",");
    let many = format!("{{\"operations\":[{many}]}}");
    let deep = format!("{{\"operations\":[{{\"op\":\"put_doc\",\"key\":\"k\",\"value\":{deep}}}]}}");
    for (body, code, names) in [
        ("", "invalid_json", "line 1"),
        ("[[]]", "invalid", "an object with the member `operations`"),
        ("{}", "invalid_json", "`operations`"),
        (r#"{"operations":{}}"#, "invalid_json", "sequence"),
        (r#"{"operations":[],"dry_run":true}"#, "invalid_json", "`dry_run`"),
        (r#"{"operations":[{"op":"delete_doc","key":"d"}"#, "invalid_json", "column 45"),
        (r#"{"operations":[{"op":"put_doc","key":"k","value":01}]}"#, "invalid_json", "column 51"),
        (&deep, "invalid_json", "128"),
        (&many, "invalid", "1001"),
    ] {
        let detail = server.send("POST", AT, &[], body).await.refused(400, code);
        assert!(detail.contains(names), "{body:.80}: {detail} does not name {names}");
    }
    server.send("POST", "/v1/projects/none/commit", &[], r#"{"operations":[]}"#).await.refused(404, "no_project");
    server.send("POST", "/v1/projects/p/commit?x=1", &[], r#"{"operations":[]}"#).await.refused(400, "unknown_parameter");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    server.send("POST", AT, &form, r#"{"operations":[]}"#).await.refused(415, "unsupported_media_type");
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn parts_that_cannot_be_meant() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    let two = r#"{"operations":[{"op":"put_doc","key":"x","value":1},{"op":"put_file","path":"one","part":"one"},{"op":"put_file","path":"two","part":"two"}]}"#;
    let same = two.replace("\"part\":\"two\"", "\"part\":\"one\"");
    let none = r#"{"operations":[{"op":"put_doc","key":"x","value":1}]}"#;
    let (operations, one, two_): (_, (_, _, &[u8]), (_, _, &[u8])) =
        (("operations", "application/json", two.as_bytes()), ("one", "", b"1"), ("two", "", b"2"));
    for (body, names) in [
        (parts(&[operations]), "\"one\" is missing"),
        (parts(&[operations, one]), "\"two\" is missing"),
        (parts(&[operations, two_, one]), "in the order"),
        (parts(&[operations, one, one, two_]), "\"two\" is missing where the part \"one\" stands"),
        (parts(&[operations, one, two_, two_]), "\"two\" is there twice"),
        (parts(&[operations, one, two_, ("three", "", b"3")]), "\"three\" is named by no operation"),
        (parts(&[operations, ("zero", "", b"0"), one, two_]), "\"zero\" is named by no operation"),
        (parts(&[("operations", "", none.as_bytes()), one]), "\"one\" is named by no operation"),
        (parts(&[("operations", "", same.as_bytes()), one]), "\"one\" is named twice"),
        (parts(&[one, operations, two_]), "must be \"operations\""),
        (parts(&[("operations", "", b"{")]), "line 1, column 2"),
        (parts(&[]), "no parts"),
        (b"junk".to_vec(), "parts"),
        (b"--XX\r\nContent-Disposition: form-data\r\n\r\n{}\r\n--XX--\r\n".to_vec(), "without a name"),
    ] {
        let answer = in_parts(&server, &body).await;
        let detail = answer.refused(400, answer.json()["code"].as_str().unwrap());
        assert!(detail.contains(names), "{detail} does not name {names}");
        assert_eq!(server.snapshot().await, before, "{names}");
    }
    let typed = parts(&[("operations", "text/plain", two.as_bytes()), one, two_]);
    in_parts(&server, &typed).await.refused(415, "unsupported_media_type");
    for kind in ["multipart/form-data", "multipart/form-data; boundary="] {
        let answer = server.send("POST", AT, &[("content-type", kind)], parts(&[operations, one, two_])).await;
        assert!(answer.refused(400, "invalid").contains("boundary"), "{kind}");
    }
    assert_eq!(server.snapshot().await, before);
}

/// What comes before the file of a commit in parts.
fn begin(more: &str) -> String {
    let operations = r#"{"operations":[{"op":"put_doc","key":"x","value":1},{"op":"put_file","path":"one","part":"one"}]}"#;
    format!(
        "--XX\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{operations}\r\n--XX\r\n\
         Content-Disposition: form-data; name=\"one\"\r\n{more}"
    )
}

#[tokio::test]
async fn parts_that_break_off_leave_nothing() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    let whole = format!("{}\r\n12345\r\n--XX--\r\n", begin(""));
    // Cut after every few bytes: with a good length, the body ends too early.
    for cut in (1..whole.len() - 5).step_by(7) {
        let answer = in_parts(&server, &whole.as_bytes()[..cut]).await;
        assert_eq!(answer.status, 400, "cut at {cut}: {answer:?}");
    }
    // The connection ends too early.
    for cut in [10, whole.len() / 2, whole.len() - 12, whole.len() - 3] {
        let mut connection = server.connect().await;
        let head = format!(
            "POST {AT} HTTP/1.1\r\nhost: {}\r\ncontent-type: {TYPE}\r\ncontent-length: {}\r\n\r\n",
            server.address,
            whole.len()
        );
        connection.send_bytes(&[head.as_bytes(), &whole.as_bytes()[..cut]].concat()).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut connection.stream).await;
        within("the server lets go", connection.ended()).await;
    }
    assert_eq!(server.snapshot().await, before);
    assert_eq!(in_parts(&server, whole.as_bytes()).await.status, 200, "and whole it is taken");
}

#[tokio::test]
async fn parts_that_come_too_slowly_leave_nothing() {
    let server = TestServer::with(ServerConfig { body_timeout: Duration::from_millis(150), ..config() }).await;
    server.furnish().await;
    let before = server.snapshot().await;
    for sent in ["--XX\r\n".to_owned(), begin(""), begin("\r\n12345")] {
        let mut connection = server.connect().await;
        let head =
            format!("POST {AT} HTTP/1.1\r\nhost: {}\r\ncontent-type: {TYPE}\r\ncontent-length: 9000\r\n\r\n", server.address);
        connection.send_bytes(&[head.as_bytes(), sent.as_bytes()].concat()).await;
        connection.answer().await.refused(408, "request_timeout");
    }
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn what_is_held_in_memory_is_bounded() {
    let limits = ServerConfig { limits: folio::Limits { entry: 1_000, body: 4_000 }, max_file: Some(5_000), ..config() };
    let server = TestServer::with(limits).await;
    server.furnish().await;
    let before = server.snapshot().await;
    let large = format!(r#"{{"op":"put_doc","key":"x","value":"{}"}}"#, "x".repeat(4_000));
    commit(&server, &large).await.refused(413, "too_large");
    let operations = format!("{{\"operations\":[{large}]}}");
    in_parts(&server, &parts(&[("operations", "", operations.as_bytes())])).await.refused(413, "too_large");
    let file = format!("{}\r\n{}\r\n--XX--\r\n", begin(""), "x".repeat(5_001));
    let answer = in_parts(&server, file.as_bytes()).await;
    answer.refused(413, "too_large");
    assert_eq!(answer.json()["operation"], 1);
    // The head of a part that never ends.
    let mut connection = server.connect().await;
    connection
        .send(
            &Request::new("POST", AT)
                .header("content-type", TYPE)
                .header("content-length", "99000000")
                .body(begin("X: ").as_bytes()),
        )
        .await;
    for _ in 0..40 {
        connection.send_bytes(&[b'x'; 64 << 10]).await;
    }
    let detail = connection.answer().await.refused(400, "invalid");
    assert!(detail.contains("head of a part"), "{detail}");
    assert_eq!(server.snapshot().await, before);
}

#[tokio::test]
async fn the_door_is_the_same_as_elsewhere() {
    let server = TestServer::furnished().await;
    let before = server.snapshot().await;
    let body = r#"{"operations":[{"op":"put_doc","key":"x","value":1}]}"#;
    server.send("POST", AT, &[("origin", "https://evil.example")], body).await.refused(403, "forbidden_origin");
    server.send("POST", AT, &[("host", "evil.example")], body).await.refused(403, "forbidden_host");
    // A form of another page needs no preflight, so its origin must be enough.
    let form = [("origin", "null"), ("content-type", TYPE)];
    server.send("POST", AT, &form, begin("\r\n1\r\n--XX--\r\n")).await.refused(403, "forbidden_origin");
    assert_eq!(server.snapshot().await, before);
    let friend = server.send("POST", AT, &[("origin", FRIEND)], body).await;
    assert_eq!((friend.status, friend.header("access-control-allow-origin")), (200, Some(FRIEND)));
}

/// A store whose writes are refused since one failed.
struct Failed(MemoryDriver);

#[async_trait]
impl Driver for Failed {
    async fn info(&self) -> folio::Result<DriverInfo> {
        self.0.info().await
    }
    async fn create_project(&self, id: &ProjectId) -> folio::Result<bool> {
        self.0.create_project(id).await
    }
    async fn has_project(&self, id: &ProjectId) -> folio::Result<bool> {
        self.0.has_project(id).await
    }
    async fn delete_project(&self, id: &ProjectId) -> folio::Result<bool> {
        self.0.delete_project(id).await
    }
    async fn list_projects(&self, after: Option<&ProjectId>, limit: usize) -> folio::Result<ProjectList> {
        self.0.list_projects(after, limit).await
    }
    async fn fork_project(&self, source: &ProjectId, target: &ProjectId) -> folio::Result<()> {
        self.0.fork_project(source, target).await
    }
    fn project(&self, id: &ProjectId) -> Arc<dyn Project> {
        self.0.project(id)
    }
    fn shared(&self) -> Arc<dyn JsonKv> {
        self.0.shared()
    }
    fn collection(&self, name: &CollectionName) -> Arc<dyn JsonKv> {
        self.0.collection(name)
    }
    async fn ready(&self) -> folio::Result<()> {
        Err(Error::StoreFailed { what: "the root".into(), why: "no medium".into() })
    }
    async fn close(&self) -> folio::Result<()> {
        self.0.close().await
    }
}

#[tokio::test]
async fn a_store_that_failed_is_alive_and_not_ready() {
    let server = TestServer::over(Arc::new(Failed(MemoryDriver::default())), config()).await;
    assert_eq!(server.get("/healthz").await.status, 200);
    let answer = server.get("/readyz").await;
    let detail = answer.refused(503, "store_failed");
    assert!(detail.contains("no medium") && detail.contains("restart"), "{detail}");
    assert_eq!(answer.json()["why"], "no medium");
    let client = folio_client::HttpDriver::connect(&format!("http://{}", server.address)).unwrap();
    assert_eq!(client.ready().await.unwrap_err().code(), "store_failed");
    let fine = TestServer::start().await;
    assert_eq!(folio_client::HttpDriver::connect(&format!("http://{}", fine.address)).unwrap().ready().await, Ok(()));
}
