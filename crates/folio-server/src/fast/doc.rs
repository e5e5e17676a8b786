//! Documents that are written the quick way.

use folio::{DocKey, Json, JsonKv, ProjectId, WriteOutcome};

use super::answer::Answer;
use super::head::PutDoc;
use super::{Last, Outcome};
use crate::problem::Problem;
use crate::state::App;

/// Writes this body. What can't be taken is the stack's to refuse.
pub(super) async fn answer(
    put: &PutDoc<'_>,
    body: &[u8],
    docs: &mut Last<dyn JsonKv>,
    answer: &mut Answer,
    app: &App,
) -> Outcome {
    let docs = docs.get(put.project, || Some(app.driver.project(&ProjectId::new(put.project).ok()?).docs()));
    let (Some(docs), Ok(key), Ok(value)) = (docs, DocKey::new(put.key), Json::parse(body)) else { return Outcome::Stack };
    match docs.put(&key, value, put.condition).await {
        Ok(WriteOutcome::Written { etag, created }) => answer.written(&key, etag, created),
        Ok(WriteOutcome::Precondition { current }) => answer.refused(&Problem::tag_differs(current)),
        Err(error) => answer.refused(&error.into()),
    }
    Outcome::Answer
}
