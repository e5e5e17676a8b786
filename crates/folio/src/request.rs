//! Requests that carry an idempotency key: their digests, and the table of the answers they got.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::commit::Operation;
use crate::cursor::{Position, Seq};
use crate::error::{Error, Result};
use crate::etag::Etag;
use crate::limits::Limits;
use crate::log::{AppendOptions, Appended, Data};

/// Keyed appends whose answers a log remembers.
pub(crate) const REMEMBERED_KEYS: usize = 10_000;

/// The first 64 bits of SHA-256; written as 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Digest(pub(crate) u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Digest {
    /// The reverse of its text form.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Self))?
    }

    fn of_key(key: &str) -> Self {
        Self::finish(Sha256::new().chain_update(key))
    }

    fn finish(hasher: Sha256) -> Self {
        let digest: [u8; 32] = hasher.finalize().into();
        Self(digest.iter().take(8).fold(0, |all, &byte| all << 8 | u64::from(byte)))
    }
}

/// Adds one thing of a request: what it is, and its parts, each after its length.
fn add<B: AsRef<[u8]>>(request: &mut Sha256, tag: u8, parts: &[B]) {
    request.update([tag]);
    for part in parts.iter().map(AsRef::as_ref) {
        request.update((part.len() as u64).to_le_bytes());
        request.update(part);
    }
}

/// Adds the entries of an append and the wish to close.
fn add_unit(request: &mut Sha256, entries: &[Data], close: bool) {
    for entry in entries {
        match entry {
            Data::Json(value) => add(request, b'j', &[value.as_str()]),
            Data::Bytes(bytes) => add(request, b'b', &[bytes]),
        }
    }
    if close {
        request.update(b"c");
    }
}

/// What is remembered of a keyed request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Keyed {
    /// Of the key.
    pub(crate) key: Digest,
    /// Of the entries and the wish to close. Not of the expected head: a retry that has learned the head since is
    /// still the same request.
    pub(crate) request: Digest,
}

impl Keyed {
    /// The digests of an append, if it has a key.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key that is too short or too long.
    pub(crate) fn of(entries: &[Data], options: &AppendOptions) -> Result<Option<Self>> {
        let Some(key) = &options.idempotency_key else { return Ok(None) };
        Limits::check_key(key)?;
        let mut request = Sha256::new();
        add_unit(&mut request, entries, options.close);
        Ok(Some(Self { key: Digest::of_key(key), request: Digest::finish(request) }))
    }

    /// The digests of a commit whose operation at `keyed` carries the key: of all that it does, files by the `tags` of
    /// their bodies (by place in `operations`). Not of its conditions, as with the expected head of an append.
    pub(crate) fn of_commit(operations: &[Operation], keyed: usize, tags: &[Option<Etag>]) -> Option<Self> {
        let key = operations.get(keyed)?.idempotency_key()?;
        let mut request = Sha256::new();
        // No append begins so: its first byte would be `j` or `b`, or `c` and the end.
        request.update(b"commit");
        for (at, operation) in operations.iter().enumerate() {
            match operation {
                Operation::PutDoc { key, value, .. } => add(&mut request, b'p', &[key.as_str(), value.as_str()]),
                Operation::PatchDoc { key, patch, .. } => add(&mut request, b'm', &[key.as_str(), patch.as_str()]),
                Operation::DeleteDoc { key, .. } => add(&mut request, b'd', &[key.as_str()]),
                Operation::PutFile { path, .. } => {
                    let tag = tags.get(at).copied().flatten()?;
                    add(&mut request, b'w', &[path.as_str(), &tag.to_string()]);
                }
                Operation::DeleteFile { path, .. } => add(&mut request, b'r', &[path.as_str()]),
                Operation::Append { log, entries, options } => {
                    add(&mut request, if at == keyed { b'k' } else { b'a' }, &[log.as_str(), &entries.len().to_string()]);
                    add_unit(&mut request, entries, options.close);
                }
            }
        }
        Some(Self { key: Digest::of_key(key), request: Digest::finish(request) })
    }
}

/// The first answer to a keyed append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// See [`Appended::first`].
    pub(crate) first: Seq,
    /// See [`Appended::cursor`].
    pub(crate) cursor: Position,
}

/// The newest [`REMEMBERED_KEYS`] keyed appends of a log, and what they were answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyTable {
    answers: HashMap<Digest, (Digest, Answer)>,
    order: VecDeque<Digest>,
}

impl KeyTable {
    /// The first answer again where the request is known; `None` where the key is new.
    ///
    /// # Errors
    /// [`Error::KeyReused`] where the key came with another request; `key` is only for the message.
    pub(crate) fn find(&self, keyed: Keyed, key: &str) -> Result<Option<Appended>> {
        let Some((request, Answer { first, cursor })) = self.answers.get(&keyed.key) else { return Ok(None) };
        if *request == keyed.request {
            Ok(Some(Appended { first: *first, last: cursor.seq, cursor: *cursor, replayed: true }))
        } else {
            Err(Error::key_reused(key))
        }
    }

    /// True where this very request is remembered.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn knows(&self, keyed: Keyed) -> bool {
        self.answers.get(&keyed.key).is_some_and(|(request, _)| *request == keyed.request)
    }

    /// Remembers an answer and forgets the oldest one beyond the bound.
    pub(crate) fn remember(&mut self, keyed: Keyed, answer: Answer) {
        if self.answers.insert(keyed.key, (keyed.request, answer)).is_none() {
            self.order.push_back(keyed.key);
        }
        if self.order.len() > REMEMBERED_KEYS
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }

    /// All that is remembered, oldest first.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Keyed, Answer)> + '_ {
        self.order.iter().filter_map(|key| {
            let (request, answer) = self.answers.get(key)?;
            Some((Keyed { key: *key, request: *request }, *answer))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::WriteCondition;
    use crate::cursor::Cursor;
    use crate::json::Json;
    use crate::name::{DocKey, FilePath, LogName};

    fn keyed(key: &str, entries: &[Data], close: bool) -> Keyed {
        let options = AppendOptions { idempotency_key: Some(key.into()), close, ..AppendOptions::default() };
        Keyed::of(entries, &options).unwrap().unwrap()
    }

    fn json(text: &str) -> Data {
        Data::Json(Json::parse(text.as_bytes()).unwrap())
    }

    /// These digests lie on disk, so they must never change. The values are those of `sha256sum`.
    #[test]
    fn digests_are_fixed() {
        assert_eq!(keyed("hello", &[], false).key.to_string(), "2cf24dba5fb0a30e");
        assert_eq!(keyed("k", &[], false).request.to_string(), "e3b0c44298fc1c14");
        let request = keyed("k", &[json("1"), Data::Bytes("ab".into())], true).request;
        // printf 'j\1\0\0\0\0\0\0\0001b\2\0\0\0\0\0\0\0abc' | sha256sum
        assert_eq!(request.to_string(), "322cfec24fd4b6fc");
    }

    fn of_commit(operations: &[Operation], keyed: usize) -> Keyed {
        let tags: Vec<_> = operations.iter().map(|_| Some(Etag::of(b"body"))).collect();
        Keyed::of_commit(operations, keyed, &tags).unwrap()
    }

    fn operations(log: &str, entries: &[&str], condition: WriteCondition, expected_head: Option<Cursor>) -> Vec<Operation> {
        let key = DocKey::new("k").unwrap();
        let path = FilePath::new("a/b").unwrap();
        let value = Json::parse(b"{}").unwrap();
        let body = Box::pin(futures_util::stream::empty());
        let options = AppendOptions { expected_head, idempotency_key: Some("hello".into()), close: false };
        vec![
            Operation::PutDoc { key, value, condition },
            Operation::PutFile { path, body, condition },
            Operation::Append {
                log: LogName::new(log).unwrap(),
                entries: entries.iter().map(|text| json(text)).collect(),
                options,
            },
        ]
    }

    #[test]
    fn a_commits_digest_is_fixed_and_covers_all_but_its_conditions() {
        let plain = of_commit(&operations("history", &["1"], WriteCondition::None, None), 2);
        assert_eq!(plain.key.to_string(), "2cf24dba5fb0a30e", "that of the key alone");
        // The value is that of `sha256sum`, of: commit p<1>k<2>{} w<3>a/b<32>(tag) k<7>history<1>1 j<1>1, without spaces,
        // each <n> as 8 bytes, the lowest first.
        assert_eq!(plain.request.to_string(), "528fcce0699b0a35");
        let conditional = operations("history", &["1"], WriteCondition::Absent, Some(Cursor::bare(7)));
        assert_eq!(of_commit(&conditional, 2), plain, "a retry that has learned since is the same request");
        let others = [
            of_commit(&operations("other", &["1"], WriteCondition::None, None), 2),
            of_commit(&operations("history", &["2"], WriteCondition::None, None), 2),
            of_commit(&operations("history", &["1"], WriteCondition::None, None)[1..], 1),
            of_commit(&operations("history", &["1"], WriteCondition::None, None)[2..], 0),
            keyed("hello", &[json("1")], false),
        ];
        for other in others {
            assert_ne!(other.request, plain.request);
        }
        let operations = operations("history", &["1"], WriteCondition::None, None);
        let another_body = [None, Some(Etag::of(b"another body")), None];
        assert_ne!(Keyed::of_commit(&operations, 2, &another_body).unwrap().request, plain.request);
    }

    #[test]
    fn different_requests_differ() {
        let requests = [
            keyed("k", &[], true),
            keyed("k", &[json("1")], false),
            keyed("k", &[json("1")], true),
            keyed("k", &[Data::Bytes("1".into())], false),
            keyed("k", &[json("1"), json("2")], false),
            keyed("k", &[json("12")], false),
        ];
        for (n, one) in requests.iter().enumerate() {
            assert!(requests.iter().skip(n + 1).all(|other| other.request != one.request));
        }
    }

    #[test]
    fn the_oldest_key_is_forgotten_first() {
        let mut table = KeyTable::default();
        let key = |n: usize| keyed(&format!("k{n}"), &[], true);
        let answer = |n: usize| Answer { first: n as u64, cursor: Position { epoch: 1, seq: n as u64 } };
        for n in 0..=REMEMBERED_KEYS {
            table.remember(key(n), answer(n));
        }
        assert_eq!(table.find(key(0), "k0").unwrap(), None);
        let first = table.find(key(1), "k1").unwrap().unwrap();
        assert_eq!((first.first, first.last, first.replayed), (1, 1, true));
        assert_eq!(table.iter().count(), REMEMBERED_KEYS);
        assert_eq!(table.iter().next(), Some((key(1), answer(1))));
    }

    #[test]
    fn another_request_under_the_same_key_is_refused() {
        let mut table = KeyTable::default();
        table.remember(keyed("k", &[json("1")], false), Answer { first: 1, cursor: Position { epoch: 1, seq: 1 } });
        let refused = table.find(keyed("k", &[json("2")], false), "k").unwrap_err();
        assert_eq!(refused, Error::KeyReused { key: "k".into() });
    }
}
