//! One change of one file, as the journal keeps it: enough to do it again, and to tell whether it may be done again.
//!
//! A record of the journal is what one commit changes. Numbers are little-endian; `text` and `bytes` are a length of four
//! bytes and so many bytes; an `id` is an inode number and the nanoseconds of its birth, eight bytes each.
//!
//! ```text
//! record   version:1 (1)  count:4  op*
//! Append   1  path:text id offset:8 epoch:8 first:8 last:8 body
//! Put      2  path:text temp:text id mode:4 after:16 before? body
//! Delete   3  path:text temp:text before
//! Install  4  path:text temp:text id replaces?:id
//! Move     5  from:place to:place id
//! Remove   6  path:text id
//! Cut      7  path:text id len:8
//! body     0 bytes | 1 temp:text len:8
//! place    0 path:text | 1 temp:text
//! before   id size:8 modified_ns:8 etag?:16
//! x?       0 | 1 x
//! ```
//!
//! Paths are relative to the root; `temp` is a name in `.folio/tmp`.

use crate::cursor::{Epoch, Seq};
use crate::etag::Etag;
use crate::fs::vfs::Meta;

const VERSION: u8 = 1;

/// Which file or folder: inode number, unix nanoseconds of its making (0 where the file system does not keep it).
pub(crate) type Id = (u64, u64);

/// A file as it was found before a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Before {
    pub(crate) id: Id,
    pub(crate) size: u64,
    pub(crate) modified_ns: u64,
    /// Of its bytes, where they were read.
    pub(crate) etag: Option<Etag>,
}

impl Before {
    pub(crate) fn of(meta: &Meta, etag: Option<Etag>) -> Self {
        Self { id: meta.id(), size: meta.size, modified_ns: meta.modified_ns, etag }
    }

    /// True where `meta` is of the same file, which nobody wrote since.
    pub(crate) fn is(&self, meta: &Meta) -> bool {
        self.id == meta.id() && self.size == meta.size && self.modified_ns == meta.modified_ns
    }
}

/// Bytes that a change puts somewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    /// In the record itself.
    Inline(Vec<u8>),
    /// In a synced temporary file.
    Temp { name: String, len: u64 },
}

impl Body {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Temp { len, .. } => *len,
        }
    }
}

/// A name in the root, or among the temporary files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Path(String),
    Temp(String),
}

/// One change of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// Whole lines at the end of a segment.
    Append { path: String, id: Id, offset: u64, epoch: Epoch, first: Seq, last: Seq, body: Body },
    /// A document or file, made or replaced whole. `id` is that of the temporary file which gets the name.
    Put { path: String, temp: String, id: Id, mode: u32, after: Etag, before: Option<Before>, body: Body },
    /// A document or file, removed: it moves to `temp` first.
    Delete { path: String, temp: String, before: Before },
    /// A synced temporary file gets the name of a segment.
    Install { path: String, temp: String, id: Id, replaces: Option<Id> },
    /// A file or folder gets another name.
    Move { from: Place, to: Place, id: Id },
    /// A file is removed.
    Remove { path: String, id: Id },
    /// A segment loses what follows its end.
    Cut { path: String, id: Id, len: u64 },
}

impl Op {
    /// About how many bytes it takes in a record.
    pub(crate) fn size(&self) -> usize {
        const REST: usize = 256;
        match self {
            Self::Append { path, body: Body::Inline(bytes), .. } | Self::Put { path, body: Body::Inline(bytes), .. } => {
                path.len() + bytes.len() + REST
            }
            Self::Move { from: Place::Path(from), to: Place::Path(to), .. } => from.len() + to.len() + REST,
            other => other.path().len() + REST,
        }
    }

    /// Where it changes something, for people.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Append { path, .. }
            | Self::Put { path, .. }
            | Self::Delete { path, .. }
            | Self::Install { path, .. }
            | Self::Move { to: Place::Path(path), .. }
            | Self::Move { from: Place::Path(path), .. }
            | Self::Remove { path, .. }
            | Self::Cut { path, .. } => path,
            Self::Move { to: Place::Temp(name), .. } => name,
        }
    }
}

/// Writes the record of a commit.
pub(crate) fn encode<'a>(ops: impl ExactSizeIterator<Item = &'a Op>) -> Vec<u8> {
    let mut out = Out(vec![VERSION]);
    out.size(ops.len());
    ops.for_each(|op| out.op(op));
    out.0
}

/// Reads the record of a commit; `None` where it is none of this version.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Op>> {
    let mut from = In(bytes);
    if from.byte()? != VERSION {
        return None;
    }
    let count = from.size()?;
    // An operation takes more bytes than one.
    let mut ops = Vec::with_capacity(count.min(bytes.len()));
    for _ in 0..count {
        ops.push(from.op()?);
    }
    from.0.is_empty().then_some(ops)
}

struct Out(Vec<u8>);

impl Out {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn size(&mut self, size: usize) {
        self.0.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.size(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn id(&mut self, id: Id) {
        self.number(id.0);
        self.number(id.1);
    }

    fn optional<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    fn etag(&mut self, etag: Etag) {
        self.0.extend_from_slice(&etag.bytes());
    }

    fn before(&mut self, before: &Before) {
        self.id(before.id);
        self.number(before.size);
        self.number(before.modified_ns);
        self.optional(before.etag, Self::etag);
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Inline(bytes) => {
                self.byte(0);
                self.bytes(bytes);
            }
            Body::Temp { name, len } => {
                self.byte(1);
                self.text(name);
                self.number(*len);
            }
        }
    }

    fn place(&mut self, place: &Place) {
        let (kind, name) = match place {
            Place::Path(path) => (0, path),
            Place::Temp(name) => (1, name),
        };
        self.byte(kind);
        self.text(name);
    }

    fn op(&mut self, op: &Op) {
        match op {
            Op::Append { path, id, offset, epoch, first, last, body } => {
                self.byte(1);
                self.text(path);
                self.id(*id);
                [*offset, *epoch, *first, *last].into_iter().for_each(|number| self.number(number));
                self.body(body);
            }
            Op::Put { path, temp, id, mode, after, before, body } => {
                self.byte(2);
                self.text(path);
                self.text(temp);
                self.id(*id);
                self.0.extend_from_slice(&mode.to_le_bytes());
                self.etag(*after);
                self.optional(before.as_ref(), Self::before);
                self.body(body);
            }
            Op::Delete { path, temp, before } => {
                self.byte(3);
                self.text(path);
                self.text(temp);
                self.before(before);
            }
            Op::Install { path, temp, id, replaces } => {
                self.byte(4);
                self.text(path);
                self.text(temp);
                self.id(*id);
                self.optional(*replaces, Self::id);
            }
            Op::Move { from, to, id } => {
                self.byte(5);
                self.place(from);
                self.place(to);
                self.id(*id);
            }
            Op::Remove { path, id } => {
                self.byte(6);
                self.text(path);
                self.id(*id);
            }
            Op::Cut { path, id, len } => {
                self.byte(7);
                self.text(path);
                self.id(*id);
                self.number(*len);
            }
        }
    }
}

struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn size(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let size = self.size()?;
        self.take(size)
    }

    fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.bytes()?).ok().map(str::to_owned)
    }

    /// A path in the root in its plain form, which never leads into Folio's own folder.
    fn path(&mut self) -> Option<String> {
        let path = self.text()?;
        let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
        let ours = path.split('/').next() == Some(crate::fs::store::FOLDER);
        (!ours && path.split('/').all(plain)).then_some(path)
    }

    /// The name of a temporary file: one plain segment.
    fn temp(&mut self) -> Option<String> {
        let name = self.text()?;
        (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(name)
    }

    fn id(&mut self) -> Option<Id> {
        Some((self.number()?, self.number()?))
    }

    fn optional<T>(&mut self, get: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => get(self).map(Some),
            _ => None,
        }
    }

    fn etag(&mut self) -> Option<Etag> {
        self.array().map(Etag::from_bytes)
    }

    fn before(&mut self) -> Option<Before> {
        let (id, size, modified_ns) = (self.id()?, self.number()?, self.number()?);
        Some(Before { id, size, modified_ns, etag: self.optional(Self::etag)? })
    }

    fn body(&mut self) -> Option<Body> {
        match self.byte()? {
            0 => Some(Body::Inline(self.bytes()?.to_vec())),
            1 => Some(Body::Temp { name: self.temp()?, len: self.number()? }),
            _ => None,
        }
    }

    fn place(&mut self) -> Option<Place> {
        match self.byte()? {
            0 => self.path().map(Place::Path),
            1 => self.temp().map(Place::Temp),
            _ => None,
        }
    }

    fn op(&mut self) -> Option<Op> {
        Some(match self.byte()? {
            1 => Op::Append {
                path: self.path()?,
                id: self.id()?,
                offset: self.number()?,
                epoch: self.number()?,
                first: self.number()?,
                last: self.number()?,
                body: self.body()?,
            },
            2 => Op::Put {
                path: self.path()?,
                temp: self.temp()?,
                id: self.id()?,
                mode: u32::from_le_bytes(self.array()?) & 0o777,
                after: self.etag()?,
                before: self.optional(Self::before)?,
                body: self.body()?,
            },
            3 => Op::Delete { path: self.path()?, temp: self.temp()?, before: self.before()? },
            4 => Op::Install { path: self.path()?, temp: self.temp()?, id: self.id()?, replaces: self.optional(Self::id)? },
            5 => Op::Move { from: self.place()?, to: self.place()?, id: self.id()? },
            6 => Op::Remove { path: self.path()?, id: self.id()? },
            7 => Op::Cut { path: self.path()?, id: self.id()?, len: self.number()? },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(random: &mut fastrand::Rng) -> String {
        (0..random.usize(1..40)).map(|_| random.alphanumeric()).collect()
    }

    fn temp(random: &mut fastrand::Rng) -> String {
        format!("{:032x}", random.u128(..))
    }

    fn before(random: &mut fastrand::Rng) -> Before {
        let etag = random.bool().then(|| Etag::of(&[random.u8(..)]));
        Before { id: (random.u64(..), random.u64(..)), size: random.u64(..), modified_ns: random.u64(..), etag }
    }

    fn body(random: &mut fastrand::Rng) -> Body {
        if random.bool() {
            Body::Inline((0..random.usize(..100)).map(|_| random.u8(..)).collect())
        } else {
            Body::Temp { name: temp(random), len: random.u64(..) }
        }
    }

    fn place(random: &mut fastrand::Rng) -> Place {
        if random.bool() { Place::Path(text(random)) } else { Place::Temp(temp(random)) }
    }

    fn any(random: &mut fastrand::Rng) -> Op {
        let (path, id) = (text(random), (random.u64(..), random.u64(..)));
        match random.u8(..7) {
            0 => {
                let (offset, epoch, first, last) = (random.u64(..), random.u64(..), random.u64(..), random.u64(..));
                Op::Append { path, id, offset, epoch, first, last, body: body(random) }
            }
            1 => {
                let before = random.bool().then(|| before(random));
                let (mode, after) = (random.u32(..0o1000), Etag::of(path.as_bytes()));
                Op::Put { path, temp: temp(random), id, mode, after, before, body: body(random) }
            }
            2 => Op::Delete { path, temp: temp(random), before: before(random) },
            3 => Op::Install { path, temp: temp(random), id, replaces: random.bool().then_some((1, 2)) },
            4 => Op::Move { from: place(random), to: place(random), id },
            5 => Op::Remove { path, id },
            _ => Op::Cut { path, id, len: random.u64(..) },
        }
    }

    #[test]
    fn every_record_is_read_as_it_was_written_and_no_part_of_it_is() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..500 {
            let ops: Vec<Op> = (0..random.usize(..5)).map(|_| any(&mut random)).collect();
            let bytes = encode(ops.iter());
            assert_eq!(decode(&bytes), Some(ops), "seed {seed}");
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut]), None, "seed {seed}, cut at {cut}");
            }
        }
    }

    #[test]
    fn no_record_leads_out_of_the_root_or_into_our_own_folder() {
        for path in [".folio", ".folio/lock", "./.folio/lock", "p/../../x", "..", "/etc/x", "p//x", "p/", "", "p/\0"] {
            assert_eq!(decode(&encode([Op::Remove { path: path.into(), id: (1, 1) }].iter())), None);
        }
        for name in ["../lock", "", "x"] {
            let op = Op::Move { from: Place::Temp(name.into()), to: Place::Path("p".into()), id: (1, 1) };
            assert_eq!(decode(&encode([op].iter())), None, "{name}");
        }
    }
}
