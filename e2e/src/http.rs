//! A plain HTTP client for the API.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::{EventStream, Result};

/// The API of one daemon.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    base: String,
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is not.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).map_err(|e| format!("{e} in {:?}", self.text()).into())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The answer itself where the status is a success.
    ///
    /// # Errors
    /// Any other status, with the body.
    pub fn ok(self) -> Result<Self> {
        if self.status.is_success() { Ok(self) } else { Err(format!("{}: {}", self.status, self.text()).into()) }
    }
}

impl Api {
    /// Speaks to `base`, such as `http://127.0.0.1:7460`.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        Self { client: Client::new(), base: base.into() }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Only where no whole answer came.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Result<Reply> {
        let mut request = self.client.request(method.parse::<Method>()?, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
        }
        let response = request.body(body.into()).send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Reply { status, headers, body: response.bytes().await?.into() })
    }

    /// `GET`, any status.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.send("GET", path, &[], "").await
    }

    /// `GET` of JSON.
    ///
    /// # Errors
    /// As [`Api::send`], a status that is no success, a body that is no JSON.
    pub async fn get_json(&self, path: &str) -> Result<Value> {
        self.get(path).await?.ok()?.json()
    }

    /// Appends JSON and returns the answer.
    ///
    /// # Errors
    /// As [`Api::get_json`].
    pub async fn append(&self, log: &str, body: impl Into<Vec<u8>>, headers: &[(&str, &str)]) -> Result<Value> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send("POST", log, &all, body).await?.ok()?.json()
    }

    /// Opens an event stream.
    ///
    /// # Errors
    /// Where the answer is no event stream.
    pub async fn events(&self, path: &str, last_event_id: Option<&str>) -> Result<EventStream> {
        let mut request = self.client.get(format!("{}{path}", self.base)).header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        EventStream::new(request.send().await?)
    }
}
