//! A log over HTTP.

use std::sync::Arc;

use async_trait::async_trait;
use folio::{
    AppendLog, AppendOptions, AppendOutcome, Data, LogName, LogStatus, LogStream, Order, Page, Position, ReadOptions, Result,
    Seq, Start, Truncated,
};
use reqwest::Method;
use reqwest::header::{HeaderName, IF_MATCH};

use crate::call::{Call, Repeat, ascii};
use crate::follow;
use crate::http::{Answer, Http};
use crate::target::Target;
use crate::upload::Payload;
use crate::wire;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Entries that say of themselves whether they are JSON or bytes.
const ENTRIES: &str = "application/vnd.folio.entries+json";

pub(crate) struct HttpLog {
    http: Arc<Http>,
    name: LogName,
    logs: Target,
}

impl HttpLog {
    /// `logs` is where the project's logs are.
    pub(crate) fn new(http: Arc<Http>, name: LogName, logs: Target) -> Self {
        Self { http, name, logs }
    }

    fn target(&self) -> Target {
        self.logs.clone().segments(self.name.as_str())
    }
}

/// What was asked for had been done before.
pub(crate) fn was_replayed(answer: &Answer) -> bool {
    answer.headers.get(IDEMPOTENCY_REPLAYED).is_some_and(|value| value == "true")
}

#[async_trait]
impl AppendLog for HttpLog {
    async fn append(&self, entries: Vec<Data>, options: AppendOptions) -> Result<AppendOutcome> {
        let AppendOptions { expected_head, idempotency_key, close } = options;
        let target = self.target().query_if("close", close.then_some("true"));
        let mut call = Call::new(Method::POST, target).body(ENTRIES, Payload::Bytes(wire::entries(&entries).into()));
        if let Some(head) = expected_head {
            call = call.header(IF_MATCH, ascii(&format!("\"{head}\"")));
        }
        if let Some(key) = &idempotency_key {
            // The key is looked up before anything else, so the second answer is the first one.
            call = call.header_text(IDEMPOTENCY_KEY, key, "the idempotency key")?.repeat(Repeat::Safe);
        }
        match self.http.fetch(&call).await? {
            Ok(answer) => {
                let appended: wire::AppendAnswer = self.http.understand(&call, wire::parse(&answer.body))?;
                Ok(AppendOutcome::Appended(appended.appended(was_replayed(&answer))))
            }
            Err(problem) => match problem.unmet_head() {
                Some(head) => Ok(AppendOutcome::Precondition { head }),
                None => Err(problem.into_error()),
            },
        }
    }

    async fn read(&self, options: ReadOptions) -> Result<Page> {
        let ReadOptions { since, before, order, limit, max_bytes } = options;
        let target = self.target().query_if("since", since).query_if("before", before);
        let target = target.query_if("order", (order == Order::Desc).then_some("desc")).query("limit", &limit.to_string());
        let call = Call::get(target);
        let answer = self.http.done(&call).await?;
        self.http.understand(&call, wire::page(&answer.body, order, max_bytes))
    }

    async fn subscribe(&self, start: Start) -> Result<LogStream> {
        follow::subscribe(Arc::clone(&self.http), self.target(), start).await
    }

    async fn truncate(&self, up_to: Seq) -> Result<Truncated> {
        let call = Call::new(Method::PATCH, self.target()).json(format!("{{\"horizon\":{up_to}}}"));
        let wire::Compacted { removed, horizon } = self.http.json(&call).await?;
        Ok(Truncated { removed, horizon })
    }

    async fn status(&self) -> Result<LogStatus> {
        let call = Call::get(self.target().query("view", "status"));
        self.http.json::<wire::Status>(&call).await.map(LogStatus::from)
    }

    async fn close(&self) -> Result<Position> {
        // Closing a closed log is fine and answers the same.
        let call = Call::new(Method::PATCH, self.target()).json("{\"closed\":true}").repeat(Repeat::Safe);
        self.http.json::<wire::Head>(&call).await.map(|closed| closed.head)
    }

    async fn fork(&self, at: Seq, target: &LogName) -> Result<()> {
        let source = folio::Json::from_value(&self.name)?;
        // Not repeated: a fork that a lost try made would be told as one that stood there before.
        let call = Call::new(Method::PUT, self.logs.clone().segments(target.as_str())).repeat(Repeat::Unsent);
        self.http.done(&call.json(format!("{{\"fork\":{source},\"at\":{at}}}"))).await.map(drop)
    }

    async fn delete(&self) -> Result<()> {
        self.http.done(&Call::new(Method::DELETE, self.target())).await.map(drop)
    }
}
