//! The bytes of a file: what is seen, what is durable, and the changes between.

use std::collections::BTreeMap;

/// Written whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// The bytes of a file.
#[derive(Clone, Default, Debug)]
pub(super) struct Bytes {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// What was done since the last sync, in order.
    pending: Vec<Change>,
}

/// How much of what is not durable survives.
#[derive(Clone, Copy)]
pub(super) enum Mercy {
    Nothing,
    Everything,
    Chance,
}

impl Mercy {
    pub(super) fn any(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(0..5) {
            0 => Self::Nothing,
            1 => Self::Everything,
            _ => Self::Chance,
        }
    }

    /// How many of `all` steps, which are taken in order, were taken.
    fn steps(self, rng: &mut fastrand::Rng, all: usize) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Everything => all,
            Self::Chance => match rng.u8(0..4) {
                0 => 0,
                1 => all,
                _ => rng.usize(0..=all),
            },
        }
    }
}

impl Bytes {
    /// Those that lie there, all durable.
    fn lying(bytes: Vec<u8>) -> Self {
        Self { durable: bytes.clone(), seen: bytes, pending: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn read(&self, buf: &mut [u8], at: usize) -> usize {
        let there = self.seen.get(at..).unwrap_or_default();
        let count = there.len().min(buf.len());
        buf[..count].copy_from_slice(&there[..count]);
        count
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        lay(&mut self.seen, at, bytes);
        self.pending.push(Change::Write { at, bytes: bytes.to_vec() });
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.seen.resize(len, 0);
        self.pending.push(Change::Truncate(len));
    }

    /// Makes durable what was done since the last sync.
    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write { at, bytes } => lay(&mut self.durable, at, &bytes),
                Change::Truncate(len) => self.durable.resize(len, 0),
            }
        }
    }

    /// A sync that failed: any part of the changes is durable, and none of them is ever tried again.
    pub(super) fn sync_badly(&mut self, rng: &mut fastrand::Rng) {
        self.durable = self.after_cut(rng);
        self.pending.clear();
    }

    /// What a power cut leaves.
    pub(super) fn cut(&self, rng: &mut fastrand::Rng) -> Self {
        Self::lying(self.after_cut(rng))
    }

    fn after_cut(&self, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mercy = Mercy::any(rng);
        let all = self.pending.len();
        // Length and truncations are kept by the file system's own journal, in order; the sectors come as they may.
        let lengths = mercy.steps(rng, all);
        let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
        let (mut bytes, mut len) = (self.durable.clone(), self.durable.len());
        for (step, change) in (1..).zip(&self.pending) {
            match change {
                Change::Write { at, bytes: written } => {
                    let end = at + written.len();
                    if step <= lengths {
                        len = len.max(end);
                    }
                    for sector in at / SECTOR..end.div_ceil(SECTOR) {
                        if step <= *reached.entry(sector).or_insert_with(|| mercy.steps(rng, all)) {
                            let (from, to) = ((sector * SECTOR).max(*at), ((sector + 1) * SECTOR).min(end));
                            lay(&mut bytes, from, &written[from - at..to - at]);
                        }
                    }
                }
                Change::Truncate(to) if step <= lengths => {
                    bytes.truncate(*to);
                    len = *to;
                }
                Change::Truncate(_) => {}
            }
        }
        bytes.resize(len, 0);
        bytes
    }
}

fn lay(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    let end = at + part.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(part);
}
