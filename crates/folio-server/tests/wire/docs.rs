//! Documents.

use crate::server::TestServer;
use serde_json::json;

#[tokio::test]
async fn written_read_patched_and_deleted_in_every_place() {
    let server = TestServer::furnished().await;
    for docs in ["/v1/projects/p/docs", "/v1/shared/docs", "/v1/collections/new/docs"] {
        let at = format!("{docs}/x");
        server.get(&at).await.refused(404, "not_found");
        let text = r#"{ "big": 12345678901234567890, "e": 1e400, "big": 1 }"#;
        let made = server.send("PUT", &at, &[("content-type", "application/json")], text).await;
        assert_eq!(made.status, 201, "{made:?}");
        let etag = made.json()["etag"].as_str().unwrap().to_owned();
        assert_eq!(made.json()["key"], "x");
        assert_eq!(made.header("etag"), Some(format!("\"{etag}\"").as_str()));

        let got = server.get(&at).await;
        assert_eq!(got.text(), "{\"big\":12345678901234567890,\"e\":1e400,\"big\":1}\n");
        assert_eq!(folio::Etag::of(&got.body).to_string(), etag, "the body is what is stored");
        assert_eq!(got.header("content-type"), Some("application/json"));
        assert_eq!(got.header("etag"), made.header("etag"));
        assert_eq!(got.header("content-length"), Some(got.body.len().to_string().as_str()));

        for media_type in ["application/merge-patch+json", "application/json"] {
            let patched = server.send("PATCH", &at, &[("content-type", media_type)], r#"{"big":null,"new":[1]}"#).await;
            assert_eq!((patched.status, patched.text()), (200, "{\"e\":1e400,\"new\":[1]}\n"));
            assert_eq!(patched.header("etag"), server.get(&at).await.header("etag"));
        }
        assert_eq!(server.send("PUT", &at, &[], "1").await.status, 200);
        let listed = server.get(&format!("{docs}?prefix=x&etag=true")).await.json();
        assert_eq!(listed["docs"][0]["key"], "x");
        assert_eq!(listed["docs"][0]["size"], 2);
        assert!(listed["docs"][0]["etag"].is_string() && listed["docs"][0]["modified"].is_u64());
        assert!(server.get(&format!("{docs}?prefix=x")).await.json()["docs"][0].get("etag").is_none());
        for existed in ["true", "false"] {
            let deleted = server.send("DELETE", &at, &[], "").await;
            assert_eq!((deleted.status, deleted.header("folio-existed")), (204, Some(existed)));
        }
    }
}

#[tokio::test]
async fn a_patch_creates() {
    let server = TestServer::furnished().await;
    let made = server.send("PATCH", "/v1/projects/p/docs/new", &[], r#"{"a":1,"b":null}"#).await;
    assert_eq!((made.status, made.text()), (200, "{\"a\":1}\n"));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = TestServer::furnished().await;
    for key in ["b1", "b2", "a1"] {
        server.send("PUT", &format!("/v1/projects/p/docs/{key}"), &[], "1").await;
    }
    let keys = |page: &serde_json::Value| -> Vec<String> {
        page["docs"].as_array().unwrap().iter().map(|doc| doc["key"].as_str().unwrap().to_owned()).collect()
    };
    let page = server.get("/v1/projects/p/docs?limit=3").await.json();
    assert_eq!((keys(&page), &page["next"]), (vec!["a1".into(), "b1".into(), "b2".into()], &json!("b2")));
    let page = server.get("/v1/projects/p/docs?limit=3&after=b2").await.json();
    assert_eq!((keys(&page), &page["next"]), (vec!["d".into()], &json!(null)));
    let page = server.get("/v1/projects/p/docs?prefix=b").await.json();
    assert_eq!(keys(&page), ["b1", "b2"]);
}

#[tokio::test]
async fn a_large_document_comes_back_whole() {
    let server = TestServer::furnished().await;
    for size in [1, 65_535, 65_536, 65_537, 4_000_000] {
        let text = "7".repeat(size);
        server.send("PUT", "/v1/projects/p/docs/large", &[], &text).await;
        assert!(server.get("/v1/projects/p/docs/large").await.text() == text + "\n", "{size}");
    }
}
