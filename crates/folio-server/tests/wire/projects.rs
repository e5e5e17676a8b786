//! The server's own description, and projects.

use crate::server::TestServer;
use serde_json::json;

#[tokio::test]
async fn info() {
    let server = TestServer::start().await;
    let info = json!({"name": "folio", "version": "0.1.0", "driver": "memory", "contract": 1, "durability": "memory"});
    assert_eq!(server.get("/v1").await.json(), info);
}

#[tokio::test]
async fn made_listed_told_and_deleted() {
    let server = TestServer::start().await;
    for id in ["b", "a", "c"] {
        let made = server.send("PUT", &format!("/v1/projects/{id}"), &[], "").await;
        assert_eq!((made.status, made.json()), (201, json!({"id": id})));
        assert_eq!(server.send("PUT", &format!("/v1/projects/{id}"), &[], "").await.status, 200);
    }
    let page = server.get("/v1/projects?limit=2").await.json();
    assert_eq!(page, json!({"projects": [{"id": "a"}, {"id": "b"}], "next": "b"}));
    let page = server.get("/v1/projects?limit=2&after=b").await.json();
    assert_eq!(page, json!({"projects": [{"id": "c"}], "next": null}));

    let summary = server.get("/v1/projects/a").await.json();
    let history =
        json!({"head": "0-0", "horizon": 0, "first": 1, "lineage": [[0, 0]], "closed": false, "bytes": 0, "entries": 0});
    assert_eq!(summary, json!({"id": "a", "history": history}));

    for existed in ["true", "false"] {
        let deleted = server.send("DELETE", "/v1/projects/a", &[], "").await;
        assert_eq!((deleted.status, deleted.header("folio-existed")), (204, Some(existed)));
    }
    server.get("/v1/projects/a").await.refused(404, "no_project");
}

#[tokio::test]
async fn copies() {
    let server = TestServer::furnished().await;
    let copy = server.send("POST", "/v1/projects/p/fork", &[], r#"{"id":"q"}"#).await;
    assert_eq!((copy.status, copy.header("location"), copy.json()), (201, Some("/v1/projects/q"), json!({"id": "q"})));
    assert_eq!(server.get("/v1/projects/q/files/a.txt").await.text(), "0123456789");
    server.send("POST", "/v1/projects/p/fork", &[], r#"{"id":"q"}"#).await.refused(409, "exists");
    server.send("POST", "/v1/projects/none/fork", &[], "").await.refused(404, "no_project");
    for body in ["", "{}", r#"{"id":null}"#] {
        let copy = server.send("POST", "/v1/projects/p/fork", &[], body).await;
        let id = copy.json()["id"].as_str().unwrap().to_owned();
        assert!(id.starts_with("p-") && id.len() == 10, "{id}");
        assert_eq!(copy.header("location"), Some(format!("/v1/projects/{id}").as_str()));
        assert_eq!(server.get(&format!("/v1/projects/{id}/docs/d")).await.status, 200);
    }
}
