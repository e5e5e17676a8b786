//! The table of idempotency keys on disk: a `state` line after the header, and the keys of the lines that follow.

use serde::Deserialize;

use crate::cursor::{Position, Seq};
use crate::error::Result;
use crate::fs::line::Body;
use crate::fs::segment::{Before, Judge, Lines};
use crate::fs::vfs::File;
use crate::lineage::Lineage;
use crate::request::{Answer, Digest, KeyTable, Keyed};

#[derive(Deserialize)]
struct State<'a> {
    /// Key, request, first seq, position of the last entry.
    #[serde(borrow, default)]
    keys: Vec<(&'a str, &'a str, u64, &'a str)>,
}

/// The table as JSON, for the `state` line; `None` when there is nothing to remember.
pub(crate) fn encode(table: &KeyTable) -> Option<String> {
    let keys: Vec<String> = table
        .iter()
        .map(|(keyed, answer)| format!("[\"{}\",\"{}\",{},\"{}\"]", keyed.key, keyed.request, answer.first, answer.cursor))
        .collect();
    (!keys.is_empty()).then(|| format!("{{\"keys\":[{}]}}", keys.join(",")))
}

fn decode(text: &str, table: &mut KeyTable, head: Seq) -> Option<()> {
    let state: State<'_> = serde_json::from_str(text).ok()?;
    for (key, request, first, cursor) in state.keys {
        let keyed = Keyed { key: Digest::parse(key)?, request: Digest::parse(request)? };
        let cursor = cursor.parse::<Position>().ok()?;
        if cursor.seq <= head {
            table.remember(keyed, Answer { first, cursor });
        }
    }
    Some(())
}

/// What is known of a log's table of keys.
#[derive(Debug)]
pub(crate) enum Keys {
    /// Not looked for yet: it is read when the first key is asked for, or before it must be written again.
    Unread,
    /// All that is remembered.
    Table(KeyTable),
    /// Its line does not verify. It is kept as it lies, so that what it held is not taken for never given.
    Damaged { line: Vec<u8> },
}

/// A segment that the table is read from.
pub(crate) struct Place<'a> {
    pub(crate) file: &'a File,
    /// Offsets of the first line after the header, and where the log ends.
    pub(crate) range: (u64, u64),
    pub(crate) before: Before,
}

/// Reads the table from the newest segment. What it tells of entries after `head` is void: they were lost.
pub(crate) fn load(place: &Place<'_>, lineage: &Lineage, head: Seq) -> Result<Keys> {
    let mut table = KeyTable::default();
    let mut lines = Lines::new(place.file, place.range.0, place.range.1);
    let mut judge = Judge::new(place.before);
    while let Some(raw) = lines.next()? {
        let second = raw.start == place.range.0;
        let found = judge.line(raw.bytes);
        let damage = raw.bytes.get(..found.map_or(raw.bytes.len(), |(at, _)| at)).unwrap_or_default();
        if second && mentions_table(damage) {
            return Ok(Keys::Damaged { line: damage.to_vec() });
        }
        let Some((_, line)) = found else { continue };
        if let Body::State(text) = line.body {
            if decode(text, &mut table, head).is_none() {
                return Ok(Keys::Damaged { line: raw.bytes.to_vec() });
            }
        } else if let Some(keyed) = line.end.key
            && !table.knows(keyed)
            && line.seq <= head
        {
            let first = (line.seq + 1).saturating_sub(line.unit_entries());
            table.remember(keyed, Answer { first, cursor: lineage.position(line.seq) });
        }
    }
    Ok(Keys::Table(table))
}

/// True for a damaged line that was the table: it may have lost one of these words, hardly both. Those of an entry may be
/// in its data.
fn mentions_table(line: &[u8]) -> bool {
    let at = |word: &[u8]| memchr::memmem::find(line, word);
    let word = [at(b"\"state\":{"), at(b"{\"keys\":[")].into_iter().flatten().min();
    word.is_some_and(|word| at(b"\"data\":").is_none_or(|data| word < data))
}
