use folio::WriteCondition;
use reqwest::Method;

use super::*;
use crate::target::Target;

fn http(options: ClientOptions) -> Http {
    Http::new("http://127.0.0.1:1", ClientOptions { seed: Some(7), ..options }).unwrap()
}

fn lost() -> Result<Reply<()>, Failure> {
    Err(Failure::Lost("reset".into()))
}

fn unsent() -> Result<Reply<()>, Failure> {
    Err(Failure::Unsent("refused".into()))
}

fn refused(status: u16, retry_after: &'static str, body: &str) -> Result<Reply<()>, Failure> {
    let mut headers = HeaderMap::new();
    if !retry_after.is_empty() {
        headers.insert("retry-after", retry_after.parse().unwrap());
    }
    Ok(Err(Problem::new("GET x".into(), StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())))
}

const RETRY: &str = r#"{"code":"retry","what":"busy"}"#;

fn call(method: Method) -> Call {
    Call::new(method, Target::root())
}

/// Whether a call is sent again after its first try came to this.
async fn again(call: &Call, outcome: Result<Reply<()>, Failure>) -> bool {
    let http = http(ClientOptions::default());
    Tries::new(&http, call).judge(outcome).await.is_none()
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again() {
    let conditional = call(Method::PUT).condition(WriteCondition::Absent);
    let (get, put, delete, post, patch) =
        (call(Method::GET), call(Method::PUT), call(Method::DELETE), call(Method::POST), call(Method::PATCH));
    let keyed = call(Method::POST).repeat(Repeat::Safe);
    for safe in [&get, &put, &delete, &keyed] {
        assert!(again(safe, lost()).await, "{}", safe.method);
    }
    for unsafe_ in [&conditional, &post, &patch] {
        assert!(!again(unsafe_, lost()).await, "{}", unsafe_.method);
    }
    for any in [&get, &put, &delete, &keyed, &conditional, &post, &patch] {
        assert!(again(any, unsent()).await, "{}: nothing was sent", any.method);
        assert!(again(any, refused(503, "", RETRY)).await, "{}: nothing was done", any.method);
        assert!(!again(any, Ok(Ok(()))).await);
        assert!(!again(any, refused(503, "", r#"{"code":"outcome_unknown","what":"a","why":"b"}"#)).await);
        assert!(!again(any, refused(503, "", r#"{"code":"store_failed","what":"a","why":"b"}"#)).await);
        assert!(!again(any, refused(404, "", r#"{"code":"no_project","id":"a"}"#)).await);
        assert!(!again(any, Err(Failure::Final(Error::invalid("x")))).await);
    }
}

#[tokio::test(start_paused = true)]
async fn tries_are_bounded_in_number_and_time() {
    let get = call(Method::GET);
    let http = http(ClientOptions { attempts: 3, deadline: Duration::from_secs(10), ..Default::default() });

    let mut tries = Tries::new(&http, &get);
    assert!(tries.judge(lost()).await.is_none());
    assert!(tries.judge(unsent()).await.is_none());
    let error = tries.judge(lost()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("http://127.0.0.1:1/v1") && error.to_string().contains("reset"), "{error}");

    let begun = Instant::now();
    let mut tries = Tries::new(&http, &get);
    assert!(tries.judge(refused(503, "6", RETRY)).await.is_none());
    assert!(begun.elapsed() >= Duration::from_secs(6), "waits as long as the daemon asks");
    let error = tries.judge(refused(503, "6", RETRY)).await.unwrap().unwrap().unwrap_err().into_error();
    assert_eq!(error, Error::Retry { what: "busy".into() }, "the next try would come after the deadline");
}

#[tokio::test]
async fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let options = ClientOptions { attempts: 2, backoff: Duration::from_millis(1), ..Default::default() };
    let error = Http::new(&address, options).unwrap().fetch(&call(Method::POST)).await.unwrap_err();
    let message = error.to_string();
    assert_eq!(error.code(), "transport");
    assert!(message.contains(&address) && message.contains("folio serve"), "{message}");
}
