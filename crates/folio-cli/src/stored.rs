//! What documents and files have in common: how writes, deletes and lists of them are answered.

use folio::{DeleteOutcome, Etag, WriteOutcome};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::style::{DIM, GOOD, NAME};
use crate::table::Table;
use crate::text;

/// A document or file.
pub(crate) struct Thing<'a> {
    /// What its name is called in JSON: `key` or `path`.
    pub(crate) member: &'static str,
    /// Its name.
    pub(crate) name: &'a str,
    /// Its name and place, for people.
    pub(crate) what: String,
}

impl Thing<'_> {
    /// Answers a write.
    pub(crate) fn written(&self, outcome: WriteOutcome, out: &mut Output) -> Result {
        let Self { member, name, what } = self;
        match outcome {
            WriteOutcome::Written { etag, created } => {
                let verb = if created { "Created" } else { "Replaced" };
                let text = format!("{GOOD}{verb}{GOOD:#} {what} {DIM}(ETag {etag}){DIM:#}");
                out.answer(|| json!({ *member: name, "etag": etag, "created": created }), text)
            }
            WriteOutcome::Precondition { current } => Err(Failure::precondition(what, current)),
        }
    }

    /// Answers a delete.
    pub(crate) fn deleted(&self, outcome: DeleteOutcome, out: &mut Output) -> Result {
        let Self { member, name, what } = self;
        match outcome {
            DeleteOutcome::Deleted(deleted) => {
                let text = if deleted { format!("{GOOD}Deleted{GOOD:#} {what}.") } else { format!("There was no {what}.") };
                out.answer(|| json!({ *member: name, "deleted": deleted }), text)
            }
            DeleteOutcome::Precondition { current } => Err(Failure::precondition(what, current)),
        }
    }
}

/// A list, page by page.
pub(crate) struct Listing {
    member: &'static str,
    etags: bool,
    table: Table<4>,
    empty: bool,
}

impl Listing {
    /// `member` as in [`Thing`], `heading` for people, `etags` where they were asked for.
    pub(crate) fn new(member: &'static str, heading: &'static str, etags: bool) -> Self {
        let table = Table::new([">SIZE", "MODIFIED (UTC)", if etags { "ETAG" } else { "" }, heading]);
        Self { member, etags, table, empty: true }
    }

    /// One line.
    pub(crate) fn line(&mut self, name: &str, size: u64, modified: u64, etag: Option<Etag>, out: &mut Output) -> Result {
        self.empty = false;
        if out.is_json() {
            let mut value = json!({ self.member: name, "size": size, "modified": modified });
            if let Some(etag) = etag {
                value["etag"] = json!(etag);
            }
            return out.line(value);
        }
        // a driver may know some ETags without reading; a column with holes would say nothing
        let etag = etag.filter(|_| self.etags).map(|etag| etag.to_string()).unwrap_or_default();
        self.table.row([text::size(size), text::time(modified), etag, format!("{NAME}{}{NAME:#}", text::visible(name))]);
        Ok(())
    }

    /// The end of a page.
    pub(crate) fn page(&mut self, out: &mut Output) -> Result {
        self.table.print(out)
    }

    /// The end of the list; a hint where nothing was in it.
    pub(crate) fn end(self, hint: &str, out: &mut Output) -> Result {
        if self.empty { out.hint(hint) } else { Ok(()) }
    }
}
