//! A project on a temporary root, and short words for its log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;

use crate::clock::ManualClock;
use crate::cursor::Seq;
use crate::fs::FsOptions;
use crate::fs::line;
use crate::fs::log::{FsLog, Logs};
use crate::fs::store::Store;
use crate::json::Json;
use crate::lines::Lines;
use crate::log::{AppendLog, AppendOptions, AppendOutcome, Appended, Data, Entry, LogEvent, LogStream, Page, ReadOptions, Start};
use crate::name::{LogName, ProjectId};

pub(super) struct Rig {
    folder: tempfile::TempDir,
    options: FsOptions,
    pub(super) store: Arc<Store>,
    pub(super) logs: Arc<Logs>,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(FsOptions { clock: Arc::new(ManualClock::new(1_763_900_000_000)), ..FsOptions::default() })
    }

    pub(super) fn with(options: FsOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("p/.meta")).unwrap();
        let store = Store::open(folder.path(), options.clone()).unwrap();
        let logs = Arc::new(Logs::new(Arc::clone(&store)));
        Self { folder, options, store, logs }
    }

    /// Closes the store and opens it again.
    pub(super) async fn reopen(&mut self) {
        self.store.close().await.unwrap();
        self.store = Store::open(self.folder.path(), self.options.clone()).unwrap();
        self.logs = Arc::new(Logs::new(Arc::clone(&self.store)));
    }

    pub(super) fn path(&self, rel: &str) -> PathBuf {
        self.folder.path().join("p/.meta").join(rel)
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn history(&self) -> FsLog {
        self.log("history")
    }

    pub(super) fn log(&self, name: &str) -> FsLog {
        FsLog::new(Arc::clone(&self.logs), ProjectId::new("p").unwrap(), LogName::new(name).unwrap())
    }

    pub(super) fn text(&self, rel: &str) -> String {
        std::fs::read_to_string(self.path(rel)).unwrap()
    }

    pub(super) fn write(&self, rel: &str, bytes: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(rel).parent().unwrap()).unwrap();
        std::fs::write(self.path(rel), bytes).unwrap();
    }

    /// Names in the folder of sealed segments of the history.
    pub(super) fn sealed(&self) -> Vec<String> {
        let Ok(folder) = std::fs::read_dir(self.path("history.d")) else { return Vec::new() };
        let mut names: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What lies in quarantine, the index left out.
    pub(super) fn quarantined(&self) -> Vec<Vec<u8>> {
        let folder = std::fs::read_dir(self.folder.path().join(".folio/quarantine")).unwrap();
        let paths = folder.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("index.jsonl"));
        paths.map(|path| std::fs::read(path).unwrap()).collect()
    }
}

pub(super) fn json(text: &str) -> Data {
    Data::Json(Json::parse(text.as_bytes()).unwrap())
}

pub(super) async fn append_with(log: &FsLog, texts: &[&str], options: AppendOptions) -> Appended {
    match log.append(texts.iter().map(|text| json(text)).collect(), options).await.unwrap() {
        AppendOutcome::Appended(appended) => appended,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn append(log: &FsLog, texts: &[&str]) -> Appended {
    append_with(log, texts, AppendOptions::default()).await
}

pub(super) fn keyed(key: &str) -> AppendOptions {
    AppendOptions { idempotency_key: Some(key.into()), ..AppendOptions::default() }
}

pub(super) async fn page(log: &FsLog, since: Option<&str>) -> Page {
    read(log, ReadOptions { since: since.map(|since| since.parse().unwrap()), ..ReadOptions::default() }).await
}

/// A page of entries, when it is the same as lines.
pub(super) async fn read(log: &FsLog, options: ReadOptions) -> Page {
    let lines = log.read_lines(options.clone()).await.unwrap();
    let read = log.read(options.clone()).await.unwrap();
    let told: Vec<&[u8]> = lines.entries.iter().flat_map(Lines::iter).collect();
    let expected: Vec<_> = read.entries.iter().map(|entry| Lines::from(entry).text().trim_ascii_end().to_vec()).collect();
    assert_eq!(told, expected);
    let Page { gap, first, head, lineage, next, next_before, .. } = lines;
    assert_eq!(Page { entries: read.entries.clone(), gap, first, head, lineage, next, next_before }, read);
    let stored = log.read_stored(options).await.unwrap();
    let entries: Vec<Entry> = stored.entries.iter().flat_map(Lines::iter).map(entry_of).collect();
    // Its budget counts more of a line.
    assert!(entries.is_empty() == read.entries.is_empty() && read.entries.starts_with(&entries), "{entries:?} {read:?}");
    assert_eq!((stored.gap, stored.head, stored.first), (gap, head, first));
    if entries.len() == read.entries.len() {
        assert_eq!((stored.next, stored.next_before), (next, next_before));
    }
    read
}

/// What a line holds as it is stored.
pub(super) fn entry_of(line: &[u8]) -> Entry {
    let adopted = || line::parse_adopted(line).filter(|_| line::looks_adopted(line));
    line::parse(line).and_then(|line| line.entry()).or_else(adopted).unwrap()
}

pub(super) fn texts(entries: &[Entry]) -> Vec<(Seq, String)> {
    let text = |data: &Data| match data {
        Data::Json(value) => value.to_string(),
        Data::Bytes(bytes) => format!("{bytes:?}"),
    };
    entries.iter().map(|entry| (entry.seq, text(&entry.data))).collect()
}

/// Everything that a reader from `since` is told until it has caught up, in short: `1 2 gap:corrupt(3..5) 6`. One of lines
/// is told the same.
pub(super) async fn told(log: &FsLog, since: &str) -> String {
    let start = Start::After(since.parse().unwrap());
    let entries = words(log.subscribe(start).await.unwrap(), |entry| vec![(entry.seq, Lines::from(entry).text().to_vec())]).await;
    let lines = words(log.subscribe_lines(start).await.unwrap(), |lines| {
        (lines.first()..).zip(lines.iter().map(|line| [line, b"\n"].concat())).collect()
    })
    .await;
    assert_eq!(lines, entries);
    entries.into_iter().map(|(word, _)| word).collect::<Vec<_>>().join(" ")
}

/// Each word with the line of its entry.
async fn words<E>(mut stream: LogStream<E>, of: impl Fn(&E) -> Vec<(Seq, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let mut words = Vec::new();
    let word = |word: String| (word, Vec::new());
    loop {
        match stream.next().await.unwrap().unwrap() {
            LogEvent::CaughtUp { .. } => return words,
            LogEvent::Entry { entry, .. } => words.extend(of(&entry).into_iter().map(|(seq, line)| (seq.to_string(), line))),
            LogEvent::Gap(gap) => {
                let lost = gap.lost.unwrap_or_default();
                words.push(word(format!("{}:{lost}>{}", gap.reason.as_str(), gap.resumes_after.seq)));
            }
            LogEvent::Closed { head } => words.push(word(format!("closed {head}"))),
            LogEvent::Deleted => words.push(word("deleted".into())),
        }
    }
}

/// A line with a good sum; `body` is all of it without the sum, which goes before the last member.
pub(super) fn summed(head: &str, tail: &str) -> String {
    let sum = crc32c::crc32c_append(crc32c::crc32c(head.as_bytes()), tail.as_bytes());
    format!("{head},\"crc\":\"{sum:08x}\"{tail}")
}

pub(super) fn entry(seq: u64, more: &str, data: &str) -> String {
    summed(&format!("{{\"seq\":{seq},\"ts\":1{more}"), &format!(",\"data\":{data}}}"))
}

pub(super) fn header(epoch: u64, prev: &str, base: u64, horizon: u64) -> String {
    let head =
        format!("{{\"folio\":1,\"epoch\":{epoch},\"id\":[1,1],\"prev\":{prev},\"base\":{base},\"horizon\":{horizon},\"ts\":1");
    summed(&head, "}")
}
