//! Appends that wait at the same time, as one write and one sync.

use crate::cursor::{Cursor, END, Seq};
use crate::error::{Error, Result};
use crate::fs::line::{self, UnitEnd};
use crate::fs::log::disk::Disk;
use crate::fs::log::keys::Keys;
use crate::fs::log::rewrite::Change;
use crate::fs::store::Store;
use crate::fs::vfs::Access;
use crate::log::{AppendOptions, AppendOutcome, Appended, Data, Entry};
use crate::request::{Answer, Keyed};

/// A batch is written when it holds so many bytes; what waits still goes into the next.
const BATCH_BYTES: usize = 8 << 20;

/// One append as it was asked for, with the digests of its key.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) entries: Vec<Data>,
    pub(crate) options: AppendOptions,
    pub(crate) keyed: Option<Keyed>,
}

/// What became of one request, before positions are known.
enum Verdict {
    Refused(Error),
    Replayed(Appended),
    Moved {
        head: Seq,
    },
    /// Now, or (`replayed`) as a request before it in the same batch.
    Landed {
        first: Seq,
        last: Seq,
        replayed: bool,
    },
}

/// Appends in the making: decided and encoded, not written.
pub(crate) struct Batch<'d> {
    disk: &'d mut Disk,
    lines: Vec<u8>,
    verdicts: Vec<Verdict>,
    /// Keyed appends of this batch, by place in `verdicts`.
    keyed: Vec<(Keyed, usize)>,
    /// For readers that wait.
    entries: Vec<Entry>,
    keep_entries: bool,
    head: Seq,
    ts: u64,
    closed: bool,
    now: u64,
}

/// A written batch: an answer for each request in order, and the new entries.
pub(crate) struct Done {
    pub(crate) answers: Vec<Result<AppendOutcome>>,
    pub(crate) entries: Vec<Entry>,
    /// False when nothing had to be written.
    pub(crate) wrote: bool,
}

impl<'d> Batch<'d> {
    pub(crate) fn new(disk: &'d mut Disk, now: u64, keep_entries: bool) -> Self {
        let (head, ts, closed) = (disk.head, disk.ts, disk.closed);
        Self {
            disk,
            lines: Vec::new(),
            verdicts: Vec::new(),
            keyed: Vec::new(),
            entries: Vec::new(),
            keep_entries,
            head,
            ts,
            closed,
            now: now.max(ts),
        }
    }

    /// True when no more should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_BYTES
    }

    /// Decides one request and encodes its lines.
    pub(crate) fn add(&mut self, request: Request) {
        let verdict = match self.decide(&request) {
            Ok(Some(verdict)) => verdict,
            Ok(None) => self.encode(request),
            Err(error) => Verdict::Refused(error),
        };
        self.verdicts.push(verdict);
    }

    fn decide(&mut self, request: &Request) -> Result<Option<Verdict>> {
        self.disk.refuse_in_trouble()?;
        if let Some(keyed) = request.keyed {
            let key = request.options.idempotency_key.as_deref().unwrap_or_default();
            if let Some(appended) = self.disk.keys()?.find(keyed, key)? {
                return Ok(Some(Verdict::Replayed(appended)));
            }
            if let Some(verdict) = self.known_in_batch(keyed, key)? {
                return Ok(Some(verdict));
            }
        }
        if self.closed {
            let head = self.disk.lineage.position(self.head);
            return Err(Error::closed(self.disk.paths.name(), head));
        }
        if self.head + request.entries.len() as u64 >= END {
            return Err(Error::invalid(format!("the log is full: a seq can be at most {}", END - 1)));
        }
        match request.options.expected_head {
            Some(expected) if !self.is_head(expected) => Ok(Some(Verdict::Moved { head: self.head })),
            _ => Ok(None),
        }
    }

    /// A retry that waits together with its first try.
    fn known_in_batch(&self, keyed: Keyed, key: &str) -> Result<Option<Verdict>> {
        let Some((known, at)) = self.keyed.iter().find(|(known, _)| known.key == keyed.key) else { return Ok(None) };
        if known.request != keyed.request {
            return Err(Error::key_reused(key));
        }
        Ok(match self.verdicts.get(*at) {
            Some(&Verdict::Landed { first, last, .. }) => Some(Verdict::Landed { first, last, replayed: true }),
            _ => None,
        })
    }

    fn is_head(&self, expected: Cursor) -> bool {
        let head = self.disk.lineage.position(self.head);
        // Inside a batch the newest entries belong to the piece that this write may still begin.
        let known_epoch = self.head == self.disk.head || !self.disk.needs_header();
        expected.seq == self.head && expected.epoch.is_none_or(|epoch| known_epoch && epoch == head.epoch)
    }

    fn encode(&mut self, request: Request) -> Verdict {
        let Request { entries, options, keyed } = request;
        let count = entries.len() as u64;
        let total = count + u64::from(options.close);
        let first = self.head + 1;
        if let Some(keyed) = keyed {
            self.keyed.push((keyed, self.verdicts.len()));
        }
        let end_of = |at: u64| {
            if at < total { UnitEnd::default() } else { UnitEnd { entries: (total > 1).then_some(count), key: keyed } }
        };
        for (at, data) in (1..).zip(entries) {
            self.head += 1;
            line::push_entry(&mut self.lines, self.head, self.now, total - at, end_of(at), &data);
            if self.keep_entries {
                self.entries.push(Entry { seq: self.head, ts: self.now, data });
            }
        }
        if options.close {
            line::push_closed(&mut self.lines, self.head, self.now, end_of(total));
            self.closed = true;
        }
        self.ts = self.now;
        Verdict::Landed { first, last: self.head, replayed: false }
    }

    /// Writes and syncs the batch.
    ///
    /// # Errors
    /// Nothing was written, unless it is [`Error::OutcomeUnknown`]. The error is the answer to every request.
    pub(crate) fn commit(self, store: &Store) -> Result<Done> {
        let Self { disk, lines, verdicts, keyed, entries, head, ts, closed, .. } = self;
        let wrote = !lines.is_empty();
        if wrote {
            disk.write(store, &lines)?;
            disk.head = head;
            disk.ts = ts;
            disk.closed = closed;
            for (keyed, at) in keyed {
                if let (Some(Verdict::Landed { first, last, .. }), Keys::Table(table)) = (verdicts.get(at), &mut disk.keys) {
                    table.remember(keyed, Answer { first: *first, cursor: disk.lineage.position(*last) });
                }
            }
        }
        let position = |seq: Seq| disk.lineage.position(seq);
        let answers = verdicts
            .into_iter()
            .map(|verdict| match verdict {
                Verdict::Refused(error) => Err(error),
                Verdict::Replayed(appended) => Ok(AppendOutcome::Appended(appended)),
                Verdict::Moved { head } => Ok(AppendOutcome::Precondition { head: position(head) }),
                Verdict::Landed { first, last, replayed } => {
                    Ok(AppendOutcome::Appended(Appended { first, last, cursor: position(last), replayed }))
                }
            })
            .collect();
        Ok(Done { answers, entries, wrote })
    }
}

impl Disk {
    /// Appends whole units to the newest segment, after a new header where one is due.
    fn write(&mut self, store: &Store, lines: &[u8]) -> Result<()> {
        let is_new = self.newest.is_none() && self.sealed.is_empty();
        let full = |disk: &Self| {
            let newest = disk.newest.as_ref();
            newest.is_some_and(|newest| newest.base < disk.head && newest.end + lines.len() as u64 > store.options.segment_bytes)
        };
        if self.needs_header() {
            self.new_header(store, Change::default())?;
        }
        if full(self) {
            self.new_header(store, Change { seal: true, ..Change::default() })?;
        }
        let written = self.write_lines(store, lines);
        if is_new && matches!(written, Err(Error::DiskFull { .. })) {
            // An append that is refused makes no log.
            let _ = self.project.unlink(self.paths.newest());
            *self = Self::empty(&self.project, &self.paths);
        }
        written
    }

    fn write_lines(&mut self, store: &Store, lines: &[u8]) -> Result<()> {
        self.open_writer()?;
        let Some((newest, writer)) = self.newest.as_mut().and_then(|newest| newest.writer.clone().map(|writer| (newest, writer)))
        else {
            return Err(Error::Retry { what: "the log went away".into() });
        };
        let written = if newest.ended { writer.append_all(lines) } else { writer.append_all(&[b"\n", lines].concat()) };
        let added = lines.len() as u64 + u64::from(!newest.ended);
        let end = newest.end;
        let failed = match written.and_then(|()| store.sync_file(&writer)) {
            Ok(()) => {
                newest.end += added;
                newest.len = newest.end;
                newest.ended = true;
                return Ok(());
            }
            Err(error) => error,
        };
        // What nobody was told of is taken back, so that no reader finds it, and takes it for durable.
        let taken_back = writer.truncate(end).is_ok();
        if taken_back && failed.doing == "write" && failed.disk_full() {
            // A full disk showed before anything was synced.
            return Err(failed.into());
        }
        Err(self.unknown(store, &failed))
    }

    pub(crate) fn open_writer(&mut self) -> Result<()> {
        let path = self.paths.newest();
        let Some(newest) = &mut self.newest else { return Ok(()) };
        if newest.writer.is_none() {
            let went = || Error::Retry { what: format!("{path} was replaced while it was opened") };
            let file = self.project.open(&path, Access::Append)?.ok_or_else(went)?;
            if file.meta()?.inode != newest.inode {
                return Err(went());
            }
            newest.writer = Some(std::sync::Arc::new(file));
        }
        Ok(())
    }
}
