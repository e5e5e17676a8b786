//! Appends that wait at the same time, as one write and one commit.

use crate::cursor::{Cursor, END, Seq};
use crate::error::{Error, Result};
use crate::fs::line::{self, UnitEnd};
use crate::fs::log::disk::Disk;
use crate::fs::log::keys::Keys;
use crate::fs::log::rewrite::{After, Change, Planned};
use crate::fs::store::Store;
use crate::fs::txn::{self, Effect, Means, Op, Step, Txn};
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

/// Appends that are decided and encoded, not written.
pub(crate) struct Decided {
    lines: Vec<u8>,
    verdicts: Vec<Verdict>,
    keyed: Vec<(Keyed, usize)>,
    entries: Vec<Entry>,
    head: Seq,
    ts: u64,
    closed: bool,
}

/// Appends in the making.
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

    /// All requests are decided.
    pub(crate) fn decided(self) -> Decided {
        let Self { lines, verdicts, keyed, entries, head, ts, closed, .. } = self;
        Decided { lines, verdicts, keyed, entries, head, ts, closed }
    }
}

impl Decided {
    /// False when nothing has to be written.
    pub(crate) fn writes(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Bytes of its lines.
    pub(crate) fn bytes(&self) -> usize {
        self.lines.len()
    }

    /// Makes the write ready.
    pub(crate) fn plan(&mut self, disk: &mut Disk, store: &Store) -> Result<Planned> {
        disk.plan(store, std::mem::take(&mut self.lines), self.head)
    }

    /// Commits the batch.
    ///
    /// # Errors
    /// Nothing was written, unless it is [`Error::OutcomeUnknown`]. The error is the answer to every request.
    pub(crate) fn commit(mut self, disk: &mut Disk, store: &Store) -> Result<Done> {
        let wrote = self.writes();
        if wrote {
            let planned = self.plan(disk, store)?;
            disk.commit(store, planned)?;
        }
        Ok(self.done(disk, wrote))
    }

    /// Takes note of what was written, and answers.
    pub(crate) fn done(self, disk: &mut Disk, wrote: bool) -> Done {
        let Self { verdicts, keyed, entries, head, ts, closed, .. } = self;
        if wrote {
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
        Done { answers, entries, wrote }
    }
}

impl Disk {
    /// True where `added` bytes of lines only make the newest segment longer.
    pub(crate) fn only_grows(&self, store: &Store, added: u64) -> bool {
        !self.needs_header() && !self.is_full(store, added)
    }

    fn is_full(&self, store: &Store, added: u64) -> bool {
        let newest = self.newest.as_ref();
        newest.is_some_and(|newest| newest.base < self.head && newest.end + added > store.options.segment_bytes)
    }

    /// Makes ready that whole units are appended which bring the head to `last`.
    pub(crate) fn plan(&mut self, store: &Store, lines: Vec<u8>, last: Seq) -> Result<Planned> {
        let full = self.is_full(store, lines.len() as u64);
        if full || self.needs_header() {
            return self.plan_header(store, Change { seal: full, ..Change::default() }, lines);
        }
        self.open_writer()?;
        let Some((newest, writer)) = self.newest.as_mut().and_then(|newest| newest.writer.clone().map(|writer| (newest, writer)))
        else {
            return Err(Error::Retry { what: "the log went away".into() });
        };
        let lines = if newest.ended { lines } else { [b"\n", lines.as_slice()].concat() };
        newest.reserve(&writer, lines.len() as u64)?;
        let added = lines.len() as u64;
        let (offset, id) = (newest.end, newest.id);
        let (body, spilled) = txn::lines(store, lines)?;
        let (first, epoch) = (self.head + 1, self.lineage.epoch());
        let path = self.place(store);
        let op = Op::Append { path, id, offset, epoch, first, last, body };
        let steps = vec![Step { op, means: Means::Writer(writer, spilled) }];
        Ok(Planned { steps, after: After::Grown { added } })
    }

    /// Commits what was made ready.
    ///
    /// # Errors
    /// Nothing was written, unless it is [`Error::OutcomeUnknown`].
    pub(crate) fn commit(&mut self, store: &Store, planned: Planned) -> Result<()> {
        let Planned { steps, after } = planned;
        let effects = store.commit(Txn { steps })?;
        self.take(after, effects)
    }

    /// Takes note of what became of a planned write.
    ///
    /// # Errors
    /// [`Error::Retry`] where another program got in between.
    pub(crate) fn take(&mut self, after: After, effects: Vec<Effect>) -> Result<()> {
        match after {
            After::Grown { added } => {
                if effects.iter().any(|effect| matches!(effect, Effect::Replaced)) {
                    let what = format!("another program wrote to {} at the same moment", self.file_name());
                    return Err(Error::Retry { what });
                }
                if let Some(newest) = &mut self.newest {
                    newest.end += added;
                    newest.len = newest.end;
                    newest.ended = true;
                }
                Ok(())
            }
            After::New(new) => self.take_new(*new, effects),
        }
    }

    pub(crate) fn open_writer(&mut self) -> Result<()> {
        let path = self.paths.newest();
        let Some(newest) = &mut self.newest else { return Ok(()) };
        if newest.writer.is_none() {
            let went = || Error::Retry { what: format!("{path} was replaced while it was opened") };
            let file = self.project.open(&path, Access::Append)?.ok_or_else(went)?;
            if file.identity()? != newest.id {
                return Err(went());
            }
            newest.writer = Some(std::sync::Arc::new(file));
        }
        Ok(())
    }
}
