//! Documents that are written the quick way.

use std::sync::Arc;

use folio::{DocKey, Json, JsonKv, ProjectId, WriteOutcome};

use super::Outcome;
use super::answer::Answer;
use super::head::PutDoc;
use crate::problem::Problem;
use crate::state::App;

/// The writes of one connection.
#[derive(Default)]
pub(super) struct Writer {
    /// The documents of the last one's project, under its name.
    last: Option<(String, Arc<dyn JsonKv>)>,
}

impl Writer {
    /// Carries out a write; `request` is its head and body. What can't be taken is the stack's to refuse.
    pub(super) async fn answer(&mut self, head: &PutDoc<'_>, request: &[u8], answer: &mut Answer, app: &App) -> Outcome {
        let body = request.get(head.head..).unwrap_or_default();
        if !app.guard.serves(head.host) || body.len() > app.config.limits.body {
            return Outcome::Stack;
        }
        let (Some(docs), Ok(key), Ok(value)) = (self.docs(head.project, app), DocKey::new(head.key), Json::parse(body)) else {
            return Outcome::Stack;
        };
        match docs.put(&key, value, head.condition).await {
            Ok(WriteOutcome::Written { etag, created }) => answer.written(&key, etag, created),
            Ok(WriteOutcome::Precondition { current }) => answer.refused(&Problem::tag_differs(current)),
            Err(error) => answer.refused(&error.into()),
        }
        Outcome::Answer
    }

    fn docs(&mut self, project: &str, app: &App) -> Option<Arc<dyn JsonKv>> {
        if let Some((last, docs)) = &self.last
            && last == project
        {
            return Some(Arc::clone(docs));
        }
        let docs = app.driver.project(&ProjectId::new(project).ok()?).docs();
        self.last = Some((project.to_owned(), Arc::clone(&docs)));
        Some(docs)
    }
}
