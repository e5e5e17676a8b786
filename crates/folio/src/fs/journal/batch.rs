//! How a batch of records and the head of a segment lie in the file. Numbers are little-endian.
//!
//! ```text
//! head of a segment, 512 bytes      batch, at a multiple of 512 bytes
//!  0  magic "folioJN1"               0  magic "FJB1"
//!  8  root id (16)                   4  sum (4)
//! 24  generation (8)                 8  bytes of the payload (4)
//! 32  first LSN (8)                 12  number of records (4)
//! 40  bytes of the file (8)         16  durable up to: LSN (8)
//! 48  durable up to: LSN (8)        24  checkpoint: LSN (8)
//! 56  checkpoint: LSN (8)           32  payload: each record as its length (4) and its bytes
//! 64  sum of what stands before (4)     then NUL bytes up to a multiple of 512
//! ```
//!
//! A log sequence number (LSN) is a place in the journal in bytes, rising over all segments for ever: that of a batch is
//! the segment's first one, and its distance from the end of the head. Sums are CRC-32C. A batch's is seeded with root id,
//! generation and LSN, so what a segment held before it was used again never verifies. No sector of a durable batch is
//! written again, but with equal bytes before a replay.

use crate::fs::vfs::{File, VfsResult};

/// Batches and the head of a segment begin at multiples of this.
pub(super) const SECTOR: u64 = 512;
/// Bytes of a batch before its payload.
const HEAD: usize = 32;
const SEGMENT_MAGIC: &[u8; 8] = b"folioJN1";
const BATCH_MAGIC: &[u8; 4] = b"FJB1";

/// A place in the journal.
pub(crate) type Lsn = u64;

/// The head of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentHead {
    pub(super) root_id: [u8; 16],
    pub(super) generation: u64,
    pub(super) first: Lsn,
    pub(super) bytes: u64,
    /// All records before were synced when this was written.
    pub(super) durable: Lsn,
    /// All changes before were made and synced when this was written.
    pub(super) checkpoint: Lsn,
}

/// What the first bytes of a file are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Head {
    /// NUL bytes: made ready, never used.
    Unused,
    Segment(SegmentHead),
    Bad,
}

impl SegmentHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(SEGMENT_MAGIC);
        out.extend_from_slice(&self.root_id);
        for number in [self.generation, self.first, self.bytes, self.durable, self.checkpoint] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.resize(512, 0);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Head {
        if bytes.iter().all(|byte| *byte == 0) {
            return Head::Unused;
        }
        Self::verified(bytes).map_or(Head::Bad, Head::Segment)
    }

    fn verified(bytes: &[u8]) -> Option<Self> {
        let sum = u32::from_le_bytes(array(bytes, 64)?);
        if bytes.get(..8)? != SEGMENT_MAGIC || crc32c::crc32c(bytes.get(..64)?) != sum {
            return None;
        }
        let number = |at| array(bytes, at).map(u64::from_le_bytes);
        Some(Self {
            root_id: array(bytes, 8)?,
            generation: number(24)?,
            first: number(32)?,
            bytes: number(40)?,
            durable: number(48)?,
            checkpoint: number(56)?,
        })
    }

    /// LSN of an offset in the file.
    pub(super) fn lsn(&self, offset: u64) -> Lsn {
        self.first.saturating_add(offset.saturating_sub(SECTOR))
    }

    /// The first LSN after this segment.
    pub(super) fn end(&self) -> Lsn {
        self.lsn(self.bytes)
    }

    fn seed(&self, lsn: Lsn) -> u32 {
        let seed = crc32c::crc32c(&self.root_id);
        let seed = crc32c::crc32c_append(seed, &self.generation.to_le_bytes());
        crc32c::crc32c_append(seed, &lsn.to_le_bytes())
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// What the head of a batch says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BatchHead {
    /// Bytes in the file, with the padding.
    pub(super) bytes: u64,
    pub(super) records: u32,
    pub(super) durable: Lsn,
    pub(super) checkpoint: Lsn,
}

/// Bytes that a batch takes in the file.
pub(super) fn batch_bytes<'a>(records: impl Iterator<Item = &'a [u8]>) -> u64 {
    let payload: usize = records.map(|record| record.len() + 4).sum();
    ((HEAD + payload) as u64).next_multiple_of(SECTOR)
}

/// Writes a batch into `out`.
pub(super) fn encode<'a>(
    segment: &SegmentHead,
    lsn: Lsn,
    durable: Lsn,
    checkpoint: Lsn,
    records: impl Iterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
) {
    let begin = out.len();
    out.extend_from_slice(BATCH_MAGIC);
    out.extend_from_slice(&[0; HEAD - 4]);
    let mut count = 0_u32;
    for record in records {
        out.extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(record);
        count += 1;
    }
    let payload = u32::try_from(out.len() - begin - HEAD).unwrap_or(u32::MAX);
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = out.get_mut(begin + at..begin + at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(8, &payload.to_le_bytes());
    put(12, &count.to_le_bytes());
    put(16, &durable.to_le_bytes());
    put(24, &checkpoint.to_le_bytes());
    let sum = crc32c::crc32c_append(segment.seed(lsn), out.get(begin + 8..).unwrap_or_default());
    if let Some(place) = out.get_mut(begin + 4..begin + 8) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    let sector = usize::try_from(SECTOR).unwrap_or(512);
    out.resize(begin + (out.len() - begin).next_multiple_of(sector), 0);
}

/// Reads the batch at `offset`, with its payload in `buffer`. `None`: there is no good one.
pub(super) fn read(file: &File, segment: &SegmentHead, offset: u64, buffer: &mut Vec<u8>) -> VfsResult<Option<BatchHead>> {
    let mut head = [0; HEAD];
    if file.read_at(&mut head, offset)? < HEAD || !head.starts_with(BATCH_MAGIC) {
        return Ok(None);
    }
    let number = |at| array(&head, at).map_or(0, u32::from_le_bytes);
    let (sum, payload, records) = (number(4), number(8), number(12));
    let lsn = |at| array(&head, at).map_or(0, u64::from_le_bytes);
    let bytes = (HEAD as u64 + u64::from(payload)).next_multiple_of(SECTOR);
    if bytes > segment.bytes.saturating_sub(offset) {
        return Ok(None);
    }
    buffer.clear();
    buffer.resize(usize::try_from(payload).unwrap_or(usize::MAX), 0);
    if file.read_at(buffer, offset + HEAD as u64)? < buffer.len() {
        return Ok(None);
    }
    let seed = crc32c::crc32c_append(segment.seed(segment.lsn(offset)), head.get(8..).unwrap_or_default());
    let good = crc32c::crc32c_append(seed, buffer) == sum;
    Ok(good.then(|| BatchHead { bytes, records, durable: lsn(16), checkpoint: lsn(24) }))
}

/// The records of a payload; fewer than the batch says where it is not what it should be.
pub(super) fn records(mut payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_le_bytes(array(payload, 0)?)).ok()?;
        let record = payload.get(4..)?.get(..length)?;
        payload = payload.get(4 + length..)?;
        Some(record)
    })
}

/// True where a batch may begin with these bytes.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    bytes.starts_with(BATCH_MAGIC)
}
