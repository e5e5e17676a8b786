//! Appends that came the quick way, and their answers.

use std::sync::Arc;

use bytes::Bytes;
use folio::{AppendLog, AppendOptions, AppendOutcome, Appended, Data, Json, LogName, ProjectId};

use super::answer::Answer;
use super::head::Append;
use super::{Last, Outcome};
use crate::problem::Problem;
use crate::state::App;
use crate::{accept, append};

/// How every answer to an append begins. A test holds it together with that of the stack.
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\n";

/// Carries out an append with this body.
pub(super) async fn answer(
    append: &Append<'_>,
    body: &[u8],
    logs: &mut Last<dyn AppendLog>,
    answer: &mut Answer,
    app: &App,
) -> Outcome {
    let (Some(log), Some(entries)) = (logs.get(append.path, || log(append.path, app)), entries(append.content_type, body)) else {
        return Outcome::Stack;
    };
    let idempotency_key = append.key.map(str::to_owned);
    if idempotency_key.as_deref().is_some_and(|key| folio::Limits::check_key(key).is_err()) {
        return Outcome::Stack;
    }
    let options = AppendOptions { idempotency_key, ..AppendOptions::default() };
    let outcome = log.append(entries, options).await;
    match outcome {
        Ok(AppendOutcome::Appended(appended)) => tell(&appended, answer),
        // None was asked for.
        Ok(AppendOutcome::Precondition { head }) => answer.refused(&Problem::head_differs(head)),
        Err(error) => answer.refused(&error.into()),
    }
    Outcome::Answer
}

fn log(path: &str, app: &App) -> Option<Arc<dyn AppendLog>> {
    let (project, log) = path.strip_prefix("/v1/projects/")?.split_once('/')?;
    let name = match log.strip_prefix("logs/") {
        Some(name) => LogName::new(name).ok()?,
        None => LogName::history(),
    };
    Some(app.driver.project(&ProjectId::new(project).ok()?).log(&name))
}

fn tell(appended: &Appended, answer: &mut Answer) {
    let Appended { first, last, cursor, replayed } = appended;
    let replayed = if *replayed { "idempotency-replayed: true\r\n" } else { "" };
    let body = [("{\"first_seq\":", *first), (",\"last_seq\":", *last), (",\"cursor\":\"", cursor.epoch), ("-", cursor.seq)];
    answer.numbers([HEAD, replayed], body, "\"}\n");
}

/// The entries of a body; `None` for one that the stack has to say something about.
fn entries(content_type: &'static str, body: &[u8]) -> Option<Vec<Data>> {
    let one = content_type == accept::JSON && body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[');
    if one {
        return Some(vec![Data::Json(Json::parse(body).ok()?)]);
    }
    append::entries(content_type, &Bytes::copy_from_slice(body)).ok()
}
