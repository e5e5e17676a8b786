//! The segment that is written, and the next ones.

use super::batch::{self, Lsn, SECTOR, SegmentHead};
use super::memory::PageBuffer;
use super::pending::{ENDING, Found, Pending};
use super::{JournalOptions, Shared, State};
use crate::driver::Durability;
use crate::error::Result;
use crate::fs::vfs::{Access, Dir, File, VfsResult};

/// NUL bytes that are written at once.
const PIECE: usize = 1 << 20;

/// A file of the journal, all of whose bytes were written and synced once.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: String,
    file: File,
    pub(super) bytes: u64,
}

/// Writes batches. One at a time.
pub(super) struct Writer {
    folder: Dir,
    current: Segment,
    /// The current segment, to write past the system's memory; `None` where that can't be done, or nobody waits for it.
    through: Option<File>,
    durability: Durability,
    head: SegmentHead,
    /// Where the next batch begins.
    offset: u64,
    /// Everything before is synced.
    durable: Lsn,
    /// Number of the newest file.
    newest: u64,
    buffer: PageBuffer,
}

impl Writer {
    /// Goes on after what is pending, whose records are void now.
    pub(super) fn start(folder: Dir, pending: Pending, options: &JournalOptions, state: &mut State) -> Result<Self> {
        let root_id = pending.root_id;
        let last = pending.segments.last().map(|found| found.head);
        let newest = pending.files().filter_map(number).max().unwrap_or(0);
        // One without records to do again is used again; what else there is goes once the new one is durable.
        let reuse = pending.is_empty() && pending.segments.len() == 1 && pending.damage().is_none();
        let end = if reuse { pending.end } else { pending.end.max(last.map_or(0, |head| head.end())) };
        let generation = last.map_or(0, |head| head.generation);
        let Pending { mut segments, unused, .. } = pending;
        let (current, newest) = match segments.pop() {
            Some(Found { name, file, head }) if reuse => (Segment { name, file, bytes: head.bytes }, newest),
            found => {
                segments.extend(found);
                (create(&folder, newest + 1, options.first_segment)?, newest + 1)
            }
        };
        let head = SegmentHead { root_id, generation, first: end, bytes: current.bytes, durable: end, checkpoint: end };
        let (through, buffer, durability) = (None, PageBuffer::default(), options.durability);
        let mut writer = Self { folder, current, through, durability, head, offset: SECTOR, durable: end, newest, buffer };
        // A batch that was written and never synced must not follow a new one.
        writer.again(end)?;
        writer.folder.sync()?;
        if !segments.is_empty() || !unused.is_empty() {
            for name in segments.into_iter().map(|found| found.name).chain(unused) {
                writer.folder.unlink(&name)?;
            }
            writer.folder.sync()?;
        }
        (state.end, state.checkpoint) = (writer.lsn(), writer.lsn());
        (state.bytes, state.current) = (writer.current.bytes, writer.current.bytes);
        Ok(writer)
    }

    /// The segment is used anew, for what comes after `end`.
    fn again(&mut self, end: Lsn) -> VfsResult<()> {
        let generation = self.head.generation + 1;
        self.head = SegmentHead { generation, first: end, durable: end, checkpoint: end, ..self.head };
        (self.offset, self.durable) = (SECTOR, end);
        self.begin()
    }

    /// Writes the head of the current segment, durably: its batches may only come after that. Shows whether they can be
    /// written past the system's memory, too: every write there is durable at once, and nothing is written but its bytes.
    fn begin(&mut self) -> VfsResult<()> {
        self.through = None;
        if let Some(file) = self.open_through() {
            match file.write_through(self.buffer.fill(SECTOR, |out| out.extend(self.head.encode())), 0) {
                Ok(()) => {
                    self.through = Some(file);
                    return Ok(());
                }
                Err(error) if error.unsupported() => {}
                Err(error) => return Err(error),
            }
        }
        self.current.file.write_all_at(&self.head.encode(), 0)?;
        self.current.file.sync_data()
    }

    /// The current segment, to be written past the system's memory. `None` wherever that is not to be had, also where there is
    /// no descriptor for it now: the other way is always there. Not on file systems of other machines or programs: some take
    /// such a write and pass no sync on.
    fn open_through(&self) -> Option<File> {
        if self.durability != Durability::Sync || !self.folder.is_local().unwrap_or(false) {
            return None;
        }
        let file = self.folder.open(&self.current.name, Access::Through).ok()??;
        (file.identity().ok()? == self.current.file.identity().ok()?).then_some(file)
    }

    /// LSN of the next batch.
    pub(super) fn lsn(&self) -> Lsn {
        self.head.lsn(self.offset)
    }

    /// True where everything written is synced.
    pub(super) fn is_durable(&self) -> bool {
        self.durable == self.lsn()
    }

    /// Goes on in the next segment where this one has no room for a batch of records of these lengths. May wait for a checkpoint.
    pub(super) fn make_room<'a>(&mut self, shared: &Shared, records: impl Iterator<Item = &'a [u8]> + Clone) -> Result<()> {
        let bytes = batch::batch_bytes(records);
        if self.offset + bytes > self.current.bytes { self.rotate(shared, bytes) } else { Ok(()) }
    }

    /// Writes a batch, for which there [is room](Writer::make_room). Returns the LSN after it.
    ///
    /// # Errors
    /// A part of it may stand there.
    pub(super) fn write(&mut self, shared: &Shared, records: &[Vec<u8>], checkpoint: Lsn) -> Result<Lsn> {
        let slices = || records.iter().map(Vec::as_slice);
        let bytes = batch::batch_bytes(slices());
        let (head, lsn, durable) = (&self.head, self.lsn(), self.durable);
        let batch = self.buffer.fill(bytes, |out| batch::encode(head, lsn, durable, checkpoint, slices(), out));
        let written = match &self.through {
            Some(file) => file.write_through(batch, self.offset),
            None => self.current.file.write_all_at(batch, self.offset),
        };
        written.map_err(|error| shared.unknown(&error))?;
        self.offset += bytes;
        if self.through.is_some() {
            self.durable = self.lsn();
        }
        self.buffer.shrink(PIECE);
        Ok(self.lsn())
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self, shared: &Shared) -> Result<()> {
        if self.through.is_some() {
            return Ok(());
        }
        self.current.file.sync_data().map_err(|error| shared.unknown(&error))?;
        self.durable = self.lsn();
        Ok(())
    }

    /// Goes on in another segment, which takes at least `bytes`.
    fn rotate(&mut self, shared: &Shared, bytes: u64) -> Result<()> {
        let step = shared.options.first_segment.max(SECTOR);
        let wanted = wanted(&shared.options, self.current.bytes).max((bytes + SECTOR).next_multiple_of(step));
        let next = self.next(shared, bytes + SECTOR, wanted)?;
        // In a weak mode what stands in the full one must not be less durable than what follows.
        if self.durability != Durability::Os {
            self.sync(shared)?;
        }
        let (first, generation) = (self.lsn(), self.head.generation + 1);
        let full = std::mem::replace(&mut self.current, next);
        let checkpoint = {
            let mut state = shared.held();
            state.full.push((full, first));
            state.current = self.current.bytes;
            state.checkpoint
        };
        let bytes = self.current.bytes;
        self.head = SegmentHead { generation, first, bytes, durable: self.durable, checkpoint, ..self.head };
        self.offset = SECTOR;
        self.begin().map_err(|error| shared.unknown(&error))?;
        // The head says now that everything in them is void.
        let small = shared.take_small(self.current.bytes);
        small.iter().try_for_each(|segment| self.folder.unlink(&segment.name).map(drop)).map_err(|error| shared.unknown(&error))
    }

    /// A segment of at least `least` bytes to go on in.
    ///
    /// # Errors
    /// [`Error::DiskFull`](crate::Error::DiskFull), with nothing written.
    fn next(&mut self, shared: &Shared, least: u64, wanted: u64) -> Result<Segment> {
        loop {
            if let Some(free) = shared.take_free(least, wanted)? {
                return Ok(free);
            }
            self.newest += 1;
            match create(&self.folder, self.newest, wanted).and_then(|made| self.folder.sync().map(|()| made)) {
                Ok(made) => return Ok(made),
                Err(error) if error.disk_full() => {
                    shared.held().bytes -= wanted;
                    if !shared.free_one()? {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(shared.unknown(&error)),
            }
        }
    }

    /// Writes down the checkpoint where nothing follows it yet; nothing where there is no room.
    pub(super) fn mark(&mut self, shared: &Shared, checkpoint: Lsn) -> Result<()> {
        if self.offset + SECTOR > self.current.bytes {
            return Ok(());
        }
        self.write(shared, &[], checkpoint)?;
        if self.durability == Durability::Os { Ok(()) } else { self.sync(shared) }
    }

    /// Makes a next segment ready where this one fills up. Not while anybody writes.
    pub(super) fn plan_ahead(&mut self, shared: &Shared) -> Option<(u64, u64)> {
        let wanted = wanted(&shared.options, self.current.bytes);
        let mut state = shared.held();
        if self.offset < self.current.bytes / 2 || !state.free.is_empty() || state.bytes + wanted > shared.options.most {
            return None;
        }
        state.bytes += wanted;
        self.newest += 1;
        Some((self.newest, wanted))
    }

    /// Leaves one small segment without records.
    pub(super) fn finish(&mut self, shared: &Shared) -> Result<()> {
        let end = self.lsn();
        if self.current.bytes > shared.options.first_segment {
            self.newest += 1;
            let old = std::mem::replace(&mut self.current, create(&self.folder, self.newest, shared.options.first_segment)?);
            self.head.bytes = self.current.bytes;
            self.again(end)?;
            self.folder.sync()?;
            self.folder.unlink(&old.name)?;
        } else if self.offset > SECTOR {
            self.again(end)?;
        }
        let mut state = shared.held();
        let rest: Vec<Segment> = state.full.drain(..).map(|(segment, _)| segment).collect();
        let rest: Vec<Segment> = rest.into_iter().chain(state.free.drain(..)).collect();
        drop(state);
        for segment in rest {
            self.folder.unlink(&segment.name)?;
        }
        Ok(self.folder.sync()?)
    }
}

/// Bytes of the segment that comes after one of `current` bytes.
pub(super) fn wanted(options: &JournalOptions, current: u64) -> u64 {
    (current * 2).min(options.segment).max(options.first_segment)
}

/// Makes a file of NUL bytes, synced: writing over them later changes nothing but bytes. Sync the folder afterwards.
pub(super) fn create(folder: &Dir, number: u64, bytes: u64) -> VfsResult<Segment> {
    let name = format!("{number}{ENDING}");
    let file = folder.create_new(&name, Access::ReadWrite)?;
    let zeros = vec![0; PIECE.min(usize::try_from(bytes).unwrap_or(PIECE))];
    let mut at = 0;
    let filled = loop {
        let piece = usize::try_from(bytes - at).unwrap_or(PIECE).min(zeros.len());
        if piece == 0 {
            break file.sync_all();
        }
        if let Err(error) = file.write_all_at(zeros.get(..piece).unwrap_or_default(), at) {
            break Err(error);
        }
        at += piece as u64;
    };
    if let Err(error) = filled {
        // The disk may be full.
        let _ = folder.unlink(&name);
        return Err(error);
    }
    Ok(Segment { name, file, bytes })
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(ENDING)?.parse().ok()
}

impl Shared {
    /// A segment that can be used, of at least `least` bytes. `None`: make one of `wanted` bytes. Waits for a checkpoint
    /// where there may be no more.
    fn take_free(&self, least: u64, wanted: u64) -> Result<Option<Segment>> {
        loop {
            let mut state = self.held();
            let large = state.current.max(least);
            let fitting = |state: &State, least| state.free.iter().position(|free: &Segment| free.bytes >= least);
            if let Some(at) = fitting(&state, large) {
                return Ok(Some(state.free.swap_remove(at)));
            }
            let may_grow = state.bytes + wanted <= self.options.most || state.closing;
            if !may_grow && let Some(at) = fitting(&state, least) {
                return Ok(Some(state.free.swap_remove(at)));
            }
            if may_grow || state.full.is_empty() {
                state.bytes += wanted;
                return Ok(None);
            }
            drop(state);
            self.free_one()?;
        }
    }

    /// Free segments that are smaller than the one that is written: they are not used again.
    fn take_small(&self, bytes: u64) -> Vec<Segment> {
        let mut state = self.held();
        let (small, free): (Vec<_>, Vec<_>) = std::mem::take(&mut state.free).into_iter().partition(|free| free.bytes < bytes);
        state.free = free;
        state.bytes -= small.iter().map(|segment| segment.bytes).sum::<u64>();
        small
    }

    /// Waits for a checkpoint that frees segments; `false` where there are none to free.
    fn free_one(&self) -> Result<bool> {
        if self.options.inline {
            let some = !self.held().full.is_empty();
            self.make_checkpoint()?;
            return Ok(some);
        }
        let state = self.held();
        if state.full.is_empty() || state.closing {
            return Ok(false);
        }
        self.wait_for_checkpoint(state);
        self.failure.check()?;
        Ok(true)
    }
}
