//! Where a log lies in its project.

use std::fmt::Write;

use crate::cursor::{END, Seq};
use crate::name::LogName;

/// Names of a log's files, relative to the project's folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LogPaths {
    /// Without an ending: `.meta/history`, `.meta/logs/runs/42`.
    stem: String,
    name: LogName,
}

impl LogPaths {
    pub(crate) fn of(name: &LogName) -> Self {
        let stem = if name.is_history() { ".meta/history".to_owned() } else { format!(".meta/logs/{}", name.encoded()) };
        Self { stem, name: name.clone() }
    }

    /// The log's name.
    pub(crate) fn name(&self) -> &LogName {
        &self.name
    }

    /// The newest segment.
    pub(crate) fn newest(&self) -> String {
        format!("{}.jsonl", self.stem)
    }

    /// The folder of the newest segment.
    pub(crate) fn folder(&self) -> &str {
        self.stem.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The folder of the sealed segments.
    pub(crate) fn sealed(&self) -> String {
        format!("{}.d", self.stem)
    }

    /// The folder of the markers of living forks.
    pub(crate) fn forks(&self) -> String {
        format!("{}.d/forks", self.stem)
    }

    /// The marker that says that the fork `fork` of this log lives. The ending keeps `a` and `a/b` apart.
    pub(crate) fn marker(&self, fork: &LogName) -> String {
        format!("{}.d/forks/{}.fork", self.stem, fork.encoded())
    }
}

/// Name of the sealed segment whose first entry is `first`.
pub(crate) fn sealed_name(first: Seq) -> String {
    let mut name = String::with_capacity(26);
    // Writing into a String cannot fail.
    let _ = write!(name, "{first:020}.jsonl");
    name
}

/// The reverse of [`sealed_name`]; `None` also for a seq that no entry can have.
pub(crate) fn parse_sealed(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(".jsonl")?;
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    let first = plain.then(|| digits.parse::<Seq>().ok())??;
    (0 < first && first < END).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let paths = LogPaths::of(&LogName::new("runs/4.2").unwrap());
        assert_eq!(paths.newest(), ".meta/logs/runs/4%2E2.jsonl");
        assert_eq!(paths.folder(), ".meta/logs/runs");
        assert_eq!(paths.marker(&LogName::new("a/b").unwrap()), ".meta/logs/runs/4%2E2.d/forks/a/b.fork");
        assert_eq!(LogPaths::of(&LogName::history()).sealed(), ".meta/history.d");
        assert_eq!(sealed_name(51), "00000000000000000051.jsonl");
        assert_eq!(parse_sealed("00000000000000000051.jsonl"), Some(51));
        for bad in [
            "51.jsonl",
            "00000000000000000000.jsonl",
            "+0000000000000000051.jsonl",
            "00000000000000000051.jsonl.tmp",
            "00009007199254740992.jsonl",
            "99999999999999999999.jsonl",
        ] {
            assert_eq!(parse_sealed(bad), None, "{bad}");
        }
    }
}
