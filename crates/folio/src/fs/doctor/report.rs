//! What doctor found.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Remark,
    /// Something is damaged or missing.
    Damage,
}

/// What can be done about a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Remedy {
    /// Nothing: what is lost is lost, and readers are told.
    None,
    /// Write a new header, which sets a torn end aside.
    NewHeader,
    /// Make the newest segment anew from its good lines.
    Remake,
    /// Set the document aside.
    SetAside,
    /// Open the root, which sets a damaged journal aside.
    Reopen,
}

/// One thing that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The file, relative to the root.
    pub path: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and where (byte offsets from 0, lines and columns from 1).
    pub what: String,
    /// What `--repair` does about it; `None` where nothing can be done.
    pub repair: Option<String>,
    /// True once that was done.
    pub repaired: bool,
    #[serde(skip)]
    pub(crate) remedy: Remedy,
}

impl Finding {
    pub(crate) fn damage(path: &str, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { path: path.to_owned(), severity: Severity::Damage, what, repair: None, repaired: false, remedy: Remedy::None }
    }

    pub(crate) fn remark(path: &str, what: impl Into<String>) -> Self {
        Self { severity: Severity::Remark, ..Self::damage(path, what) }
    }

    pub(crate) fn with(self, remedy: Remedy, repair: &str) -> Self {
        Self { repair: Some(repair.to_owned()), remedy, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)?;
        match &self.repair {
            Some(repair) if self.repaired => write!(f, " (done: {repair})"),
            Some(repair) => write!(f, " (--repair: {repair})"),
            None => Ok(()),
        }
    }
}

/// What doctor saw and found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Projects looked at.
    pub projects: u64,
    /// Logs looked at.
    pub logs: u64,
    /// Entries whose line is good.
    pub entries: u64,
    /// Entries that are lost: no good line holds them any more, and compaction did not remove them.
    pub lost: u64,
    /// Documents looked at.
    pub documents: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Who uses the root at the moment, if somebody does.
    pub in_use: Option<String>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl Report {
    /// True where something is damaged and was not repaired.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Damage && !finding.repaired)
    }
}

/// How far doctor is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What is being read, relative to the root.
    pub path: String,
    /// Bytes read so far.
    pub bytes: u64,
}

/// Gathers a report.
pub(crate) struct Collector {
    pub(crate) report: Report,
    progress: Box<dyn FnMut(&Progress) + Send>,
}

impl Collector {
    pub(crate) fn new(progress: impl FnMut(&Progress) + Send + 'static) -> Self {
        Self { report: Report::default(), progress: Box::new(progress) }
    }

    pub(crate) fn note(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    /// Counts bytes of `path` that were read.
    pub(crate) fn read(&mut self, path: &str, bytes: u64) {
        self.report.bytes += bytes;
        (self.progress)(&Progress { path: path.to_owned(), bytes: self.report.bytes });
    }

    /// A remark for what may only look wrong because it is being written.
    pub(crate) fn maybe_in_progress(&self) -> &'static str {
        if self.report.in_use.is_some() { "; the root is in use, so this may be a write in progress" } else { "" }
    }
}
