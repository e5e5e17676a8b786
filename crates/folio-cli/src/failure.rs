//! Why a command failed: a code, words, and an exit code.

use std::fmt::Display;
use std::io;

use folio::{Current, Error, Etag, Position};
use serde_json::{Map, Value, json};

use crate::exit::Exit;

/// The result of everything here.
pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// A failure that ends the command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The stable word, shared with the library and HTTP.
    pub(crate) code: &'static str,
    /// What, where, what to do.
    pub(crate) detail: String,
    /// What a script may want to know besides; members of the JSON error.
    pub(crate) fields: Map<String, Value>,
    /// The exit code.
    pub(crate) exit: Exit,
}

impl Failure {
    /// A failure that the library has no error for.
    pub(crate) fn new(exit: Exit, code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), fields: Map::new(), exit }
    }

    /// Arguments that cannot be meant together.
    pub(crate) fn usage(detail: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", detail)
    }

    /// A document or file that is not there.
    pub(crate) fn not_found(what: impl Display) -> Self {
        Self::new(Exit::NotFound, "not_found", format!("there is no {what}"))
    }

    /// A call of the system on a path outside the store.
    pub(crate) fn io(what: impl Into<String>, error: &io::Error) -> Self {
        Error::Io { what: what.into(), why: error.to_string() }.into()
    }

    /// `--if-match` or `--if-absent` on a document or file did not hold.
    pub(crate) fn precondition(what: impl Display, current: Option<Etag>) -> Self {
        let detail = match current {
            Some(etag) => format!("{what} was not changed: its ETag is {etag} now; read it again and decide"),
            None => format!("{what} was not changed: there is nothing there now"),
        };
        Self::new(Exit::Conflict, "precondition_failed", detail).with("current_etag", json!(current))
    }

    /// `--if-head` did not hold.
    pub(crate) fn moved(log: impl Display, head: Position) -> Self {
        let detail = format!("nothing was appended: the head of {log} is {head} now; read what is new and decide");
        Self::new(Exit::Conflict, "precondition_failed", detail).with("head", json!(head))
    }

    /// The condition of an operation of a commit did not hold.
    pub(crate) fn operation(at: usize, target: impl Display, current: Current) -> Self {
        let failure = |detail: String| Self::new(Exit::Conflict, "precondition_failed", detail).with("operation", json!(at));
        let what = format!("nothing was changed: the condition of operation {at} (counted from 0) did not hold");
        match current {
            Current::Tag(Some(etag)) => failure(format!("{what}: the ETag of {target} is {etag} now")),
            Current::Tag(None) => failure(format!("{what}: there is no {target} now")),
            Current::Head(head) => failure(format!("{what}: the head of {target} is {head} now")).with("head", json!(head)),
        }
        .with_tag(current)
    }

    fn with_tag(self, current: Current) -> Self {
        match current {
            Current::Tag(etag) => self.with("current_etag", json!(etag)),
            Current::Head(_) => self,
        }
    }

    /// The reader of our output went away: end at once, quietly.
    pub(crate) fn broken_pipe() -> Self {
        Self::new(Exit::Ok, "broken_pipe", "")
    }

    /// Somebody asked the command to end: they need no words for it, scripts get the code.
    pub(crate) fn interrupted(exit: Exit) -> Self {
        Self::new(exit, if exit == Exit::Terminated { "terminated" } else { "interrupted" }, "")
    }

    /// With one more member in the JSON error.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// With words after the others.
    pub(crate) fn and(mut self, more: impl Display) -> Self {
        let separator = if self.detail.is_empty() { "" } else { "\n" };
        self.detail = format!("{}{separator}{more}", self.detail);
        self
    }

    /// The JSON error, on one line: `code`, `detail`, and the fields.
    pub(crate) fn to_json(&self) -> String {
        let detail = if self.detail.is_empty() { self.code } else { &self.detail };
        let mut line = format!("{{\"code\":{},\"detail\":{}", Value::from(self.code), Value::from(detail));
        for (name, value) in &self.fields {
            line.push_str(&format!(",{}:{value}", Value::from(name.as_str())));
        }
        line.push('}');
        line
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut failure = Self::new(Exit::of(&error), error.code(), error.to_string());
        if let Ok(Value::Object(mut fields)) = serde_json::to_value(&error) {
            fields.remove("code");
            failure.fields = fields;
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_library_keep_their_code_words_and_fields() {
        let failure = Failure::from(Error::NoProject { id: "x".into() });
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(failure.to_json(), r#"{"code":"no_project","detail":"there is no project \"x\"; create it first","id":"x"}"#);
    }
}
