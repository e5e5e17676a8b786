//! What a journal holds that may not have been made durable elsewhere. Read without writing anything.

use super::batch::{self, Head, Lsn, SECTOR, SegmentHead};
use crate::error::{Error, Result};
use crate::fs::vfs::{Access, Dir, File, Kind, VfsResult};

pub(super) const ENDING: &str = ".journal";

/// A record and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stored {
    pub(crate) position: Lsn,
    pub(crate) bytes: Vec<u8>,
}

/// A segment that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) file: File,
    pub(super) head: SegmentHead,
}

/// A batch that counts.
#[derive(Clone, Copy, Debug)]
struct Batch {
    segment: usize,
    offset: u64,
}

/// Where the journal is not what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Damage {
    /// The file, relative to the root.
    pub(crate) path: String,
    pub(crate) why: String,
}

/// The journal as it was found.
#[derive(Debug)]
pub(crate) struct Pending {
    /// By generation.
    pub(super) segments: Vec<Found>,
    /// Files that were made ready and never used.
    pub(super) unused: Vec<String>,
    batches: Vec<Batch>,
    /// LSN after the last batch.
    pub(super) end: Lsn,
    pub(super) checkpoint: Lsn,
    /// Everything before was synced, as a later batch or head says.
    durable: Lsn,
    pub(super) root_id: [u8; 16],
    damage: Option<Damage>,
}

impl Pending {
    /// Reads the journal in `folder`, which belongs to the root of that id.
    ///
    /// # Errors
    /// Where it can't be read. Damage is told by [`Pending::check`].
    pub(crate) fn read(folder: &Dir, root_id: [u8; 16]) -> Result<Self> {
        let mut pending = Self {
            segments: Vec::new(),
            unused: Vec::new(),
            batches: Vec::new(),
            end: 0,
            checkpoint: 0,
            durable: 0,
            root_id,
            damage: None,
        };
        for listed in folder.list()? {
            let listed = listed?;
            let Some(name) = listed.name.to_str().filter(|name| name.ends_with(ENDING)) else { continue };
            if listed.kind == Kind::File
                && let Some(file) = folder.open(name, Access::ReadWrite)?
            {
                pending.add(name, file)?;
            }
        }
        pending.segments.sort_by_key(|found| found.head.generation);
        pending.walk()?;
        Ok(pending)
    }

    fn add(&mut self, name: &str, file: File) -> Result<()> {
        match SegmentHead::decode(&file.read_some(0, 512)?) {
            // A kill while it was made can leave a part of its head.
            Head::Unused | Head::Bad if is_nul(&file, SECTOR)? => self.unused.push(name.to_owned()),
            Head::Segment(head) if head.root_id != self.root_id => {
                self.damaged(name, "it is of another root: a journal can't be copied alone".into());
            }
            // A file that is shorter or longer than it says was changed by another program.
            Head::Segment(head) if head.bytes != file.len()? => self.damaged(name, "it has not the length that it says".into()),
            Head::Segment(head) => self.segments.push(Found { name: name.to_owned(), file, head }),
            Head::Unused | Head::Bad => self.damaged(name, "its first 512 bytes don't verify".into()),
        }
        Ok(())
    }

    fn damaged(&mut self, name: &str, why: String) {
        let path = format!("{}/journal/{name}", crate::fs::store::FOLDER);
        self.damage.get_or_insert(Damage { path, why });
    }

    /// Finds the batches that count, and where they end.
    fn walk(&mut self) -> Result<()> {
        self.checkpoint = self.segments.iter().map(|found| found.head.checkpoint).max().unwrap_or(0);
        self.durable = self.segments.iter().map(|found| found.head.durable).max().unwrap_or(0);
        let begin = self.segments.iter().rposition(|found| found.head.first <= self.checkpoint);
        let Some(begin) = begin else {
            if let Some(name) = self.segments.first().map(|found| found.name.clone()) {
                self.damaged(&name, "what comes before it is missing".into());
            }
            return Ok(());
        };
        let mut buffer = Vec::new();
        self.end = self.segments.get(begin).map_or(0, |found| found.head.first);
        for at in begin..self.segments.len() {
            let Some(found) = self.segments.get(at) else { break };
            if found.head.first != self.end {
                break;
            }
            let mut offset = SECTOR;
            let mut checkpoint = self.checkpoint;
            while let Some(head) = batch::read(&found.file, &found.head, offset, &mut buffer)? {
                if head.records > 0 {
                    self.batches.push(Batch { segment: at, offset });
                }
                checkpoint = checkpoint.max(head.checkpoint);
                self.durable = self.durable.max(head.durable);
                offset += head.bytes;
            }
            self.end = found.head.lsn(offset);
            self.checkpoint = checkpoint;
            // The last batch of a full segment is followed by the first one of the next.
            let goes_on = self.segments.get(at + 1).is_some_and(|next| next.head.first <= self.end);
            if !goes_on && let Some(proof) = self.proof(at, offset)? {
                let name = found.name.clone();
                self.damaged(&name, format!("the batch at byte {offset} is damaged; {proof} says that it was durable"));
                break;
            }
        }
        let (segments, checkpoint) = (&self.segments, self.checkpoint);
        self.batches.retain(|batch| segments.get(batch.segment).is_some_and(|found| found.head.lsn(batch.offset) >= checkpoint));
        Ok(())
    }

    /// Looks behind the end, at `offset` in the segment `at`, for something that says that more was durable.
    fn proof(&self, at: usize, offset: u64) -> VfsResult<Option<String>> {
        let end = self.segments.get(at).map_or(0, |found| found.head.lsn(offset));
        for (place, found) in self.segments.iter().enumerate().skip(at) {
            if place > at && found.head.durable > end {
                return Ok(Some(format!("the head of {}", found.name)));
            }
            let from = if place == at { offset + SECTOR } else { SECTOR };
            if let Some(byte) = durable_beyond(found, from, end)? {
                return Ok(Some(format!("the batch at byte {byte} of {}", found.name)));
            }
        }
        Ok(None)
    }

    /// Makes durable what was read here and may be seen without being so: after a failed sync the system shows bytes that
    /// the medium does not hold, and no later sync writes them. Records that went in the middle of a replay would leave
    /// half of what they tell of. Equal bytes are written again, so a crash here does no harm.
    ///
    /// # Errors
    /// Where the disk can't be read or written.
    pub(crate) fn settle(&self) -> Result<()> {
        const PIECE: u64 = 1 << 20;
        for Found { file, head, .. } in &self.segments {
            let offset = |lsn: Lsn| SECTOR + lsn.saturating_sub(head.first).min(head.bytes.saturating_sub(SECTOR));
            let (mut at, end) = (offset(self.durable), offset(self.end));
            if at >= end {
                continue;
            }
            file.write_all_at(&file.read_some(0, usize::try_from(SECTOR).unwrap_or(512))?, 0)?;
            while at < end {
                let piece = file.read_some(at, usize::try_from(PIECE.min(end - at)).unwrap_or(usize::MAX))?;
                if piece.is_empty() {
                    break;
                }
                file.write_all_at(&piece, at)?;
                at += piece.len() as u64;
            }
            file.sync_data()?;
        }
        Ok(())
    }

    /// True where nothing has to be done again.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// # Errors
    /// [`Error::Damaged`] where a record that was durable can't be read.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.damage {
            None => Ok(()),
            Some(Damage { path, why }) => {
                Err(Error::Damaged { what: format!("the journal, in {path},"), why: why.clone(), etag: None })
            }
        }
    }

    /// Where it is damaged.
    pub(crate) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Bytes of its segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|found| found.head.bytes).sum()
    }

    /// Names of all its files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|found| found.name.as_str()).chain(self.unused.iter().map(String::as_str))
    }

    /// The records that may not have been made durable elsewhere, in order. Memory is bounded to one batch.
    pub(crate) fn records(&self) -> impl Iterator<Item = Result<Stored>> + '_ {
        self.batches.iter().flat_map(|batch| {
            let (records, error) = match self.batch(*batch) {
                Ok(records) => (records, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            records.into_iter().map(Ok).chain(error)
        })
    }

    fn batch(&self, at: Batch) -> Result<Vec<Stored>> {
        let Some(found) = self.segments.get(at.segment) else { return Ok(Vec::new()) };
        let mut payload = Vec::new();
        if batch::read(&found.file, &found.head, at.offset, &mut payload)?.is_none() {
            return Err(Error::Retry { what: format!("the journal's {} was changed while it was read", found.name) });
        }
        let position = found.head.lsn(at.offset);
        Ok(batch::records(&payload).map(|record| Stored { position, bytes: record.to_vec() }).collect())
    }
}

/// True where nothing but NUL bytes follow.
fn is_nul(file: &File, from: u64) -> VfsResult<bool> {
    const PIECE: usize = 1 << 20;
    let mut at = from;
    loop {
        let piece = file.read_some(at, PIECE)?;
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if piece.len() < PIECE {
            return Ok(true);
        }
        at += PIECE as u64;
    }
}

/// The first good batch from `from` on that says that something beyond `end` was durable.
fn durable_beyond(found: &Found, from: u64, end: Lsn) -> VfsResult<Option<u64>> {
    const PIECE: usize = 1 << 20;
    let (mut at, mut payload) = (from, Vec::new());
    while at < found.head.bytes {
        let piece = found.file.read_some(at, PIECE)?;
        let sector = usize::try_from(SECTOR).unwrap_or(512);
        for (nth, bytes) in piece.chunks(sector).enumerate() {
            let offset = at + nth as u64 * SECTOR;
            if batch::may_begin(bytes)
                && let Some(head) = batch::read(&found.file, &found.head, offset, &mut payload)?
                && head.durable > end
            {
                return Ok(Some(offset));
            }
        }
        if piece.len() < PIECE {
            break;
        }
        at += PIECE as u64;
    }
    Ok(None)
}
