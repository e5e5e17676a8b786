//! What is wrong with a commit whatever the store holds; the same for every driver.

use std::collections::BTreeMap;

use super::{MAX_OPERATIONS, Operation};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::name::FilePath;

/// Checks a commit for itself, before a body is taken. Answers the place of the append that carries the idempotency key.
///
/// # Errors
/// [`Error::Invalid`] for too many operations, a target that is there twice, a file inside of another, a second key or
/// one that would not be remembered; [`Error::TooLarge`].
pub(crate) fn check(operations: &[Operation], limits: &Limits) -> Result<Option<usize>> {
    if operations.len() > MAX_OPERATIONS {
        let count = operations.len();
        return Err(Error::invalid(format!("a commit has at most {MAX_OPERATIONS} operations, this one has {count}")));
    }
    check_targets(operations)?;
    check_sizes(operations, limits)?;
    key(operations)
}

/// Each thing at most once, because nothing says which of two would come first.
fn check_targets(operations: &[Operation]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for (at, operation) in operations.iter().enumerate() {
        let target = operation.target();
        if let Some(first) = seen.insert(target, at) {
            let what = format!("{target} is in this commit twice, in operations {first} and {at} (counted from 0)");
            return Err(Error::invalid(what).in_operation(at));
        }
    }
    let put: BTreeMap<&str, usize> =
        operations.iter().enumerate().filter_map(|(at, one)| Some((put_path(one)?.as_str(), at))).collect();
    for (path, at) in &put {
        let folders = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
        for folder in folders {
            if let Some(other) = put.get(folder) {
                let what = format!("{folder:?} cannot be a file (operation {other}) and the folder of {path:?} (operation {at})");
                return Err(Error::invalid(what).in_operation(*at.max(other)));
            }
        }
    }
    Ok(())
}

fn put_path(operation: &Operation) -> Option<&FilePath> {
    match operation {
        Operation::PutFile { path, .. } => Some(path),
        _ => None,
    }
}

fn check_sizes(operations: &[Operation], limits: &Limits) -> Result<()> {
    let mut total = 0;
    for (at, operation) in operations.iter().enumerate() {
        total += match operation {
            Operation::PutDoc { value, .. } => {
                limits.check_document(value.as_str().len()).map_err(|error| error.in_operation(at))?;
                value.as_str().len()
            }
            Operation::PatchDoc { patch, .. } => patch.as_str().len(),
            Operation::Append { entries, .. } => {
                limits.check_entries(entries).map_err(|error| error.in_operation(at))?;
                entries.iter().map(crate::log::Data::len).sum()
            }
            Operation::DeleteDoc { .. } | Operation::PutFile { .. } | Operation::DeleteFile { .. } => 0,
        };
    }
    limits.check_commit(total)
}

fn key(operations: &[Operation]) -> Result<Option<usize>> {
    let mut keyed = None;
    for (at, operation) in operations.iter().enumerate() {
        let Operation::Append { entries, options, .. } = operation else { continue };
        let Some(key) = &options.idempotency_key else { continue };
        let invalid = |what: String| Err(Error::invalid(what).in_operation(at));
        Limits::check_key(key).map_err(|error| error.in_operation(at))?;
        if let Some(first) = keyed.replace(at) {
            return invalid(format!(
                "one append of a commit can carry an idempotency key, and operation {first} has one already"
            ));
        }
        if entries.is_empty() && !options.close {
            return invalid("an append of nothing cannot carry the idempotency key: nothing would remember it".to_owned());
        }
    }
    Ok(keyed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::WriteCondition;
    use crate::commit::On;
    use crate::json::Json;
    use crate::log::{AppendOptions, Data};
    use crate::name::{DocKey, LogName};

    fn put(key: &str) -> Operation {
        let value = Json::parse(b"12345").unwrap();
        Operation::PutDoc { key: DocKey::new(key).unwrap(), value, condition: WriteCondition::None }
    }

    fn file(path: &str) -> Operation {
        let body = Box::pin(futures_util::stream::empty());
        Operation::PutFile { path: FilePath::new(path).unwrap(), body, condition: WriteCondition::None }
    }

    fn delete(path: &str) -> Operation {
        Operation::DeleteFile { path: FilePath::new(path).unwrap(), condition: WriteCondition::None }
    }

    fn append(log: &str, key: Option<&str>, entries: usize) -> Operation {
        let entries = vec![Data::Bytes("12345".into()); entries];
        let options = AppendOptions { idempotency_key: key.map(str::to_owned), ..AppendOptions::default() };
        Operation::Append { log: LogName::new(log).unwrap(), entries, options }
    }

    fn told(operations: &[Operation]) -> String {
        check(operations, &Limits { entry: 10, body: 20 }).unwrap_err().to_string()
    }

    #[test]
    fn what_can_be_meant_is_let_through() {
        let fine = |operations: &[Operation]| check(operations, &Limits { entry: 10, body: 20 });
        assert_eq!(fine(&[]), Ok(None));
        assert_eq!(fine(&[put("a"), file("a"), append("a", Some("k"), 1), append("b", None, 0)]), Ok(Some(2)));
        assert_eq!(fine(&[file("a/b"), file("a/c"), file("ab"), delete("a")]), Ok(None));
        assert_eq!(fine(&(0..MAX_OPERATIONS).map(|n| delete(&format!("f{n}"))).collect::<Vec<_>>()), Ok(None));
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_its_place() {
        assert!(told(&[put("a"), put("b"), put("a")]).contains("operations 0 and 2"));
        assert!(told(&[file("a"), delete("a")]).contains("the file \"a\""));
        assert!(told(&[append("a", None, 1), append("a", None, 1)]).contains("the log \"a\""));
        assert!(told(&[file("a/b/c"), file("a-b"), file("a")]).contains("\"a\" cannot be a file (operation 2)"));
        assert!(told(&[append("a", Some("k"), 1), append("b", Some("l"), 1)]).contains("operation 0 has one already"));
        assert!(told(&[append("a", Some("k"), 0)]).contains("append of nothing"));
        assert!(told(&[append("a", Some("a b"), 1)]).contains("visible ASCII"));
        assert!(told(&(0..=MAX_OPERATIONS).map(|n| delete(&format!("f{n}"))).collect::<Vec<_>>()).contains("1001"));
    }

    #[test]
    fn what_a_commit_holds_is_bounded_as_a_whole() {
        assert!(told(&[put("a"), put("b"), append("c", None, 3)]).contains("25 bytes"));
        let error = check(&[put("a")], &Limits { entry: 10, body: 4 }).unwrap_err();
        assert_eq!((error.code(), error.operation()), ("too_large", Some(0)));
    }

    #[test]
    fn targets_of_different_kinds_are_different() {
        let (key, path, log) = (DocKey::new("a").unwrap(), FilePath::new("a").unwrap(), LogName::new("a").unwrap());
        assert!(On::Doc(&key) < On::File(&path) && On::File(&path) < On::Log(&log));
    }
}
