//! The table of idempotency keys on disk: a `state` line after the header, and the keys of the lines that follow.

use serde::Deserialize;

use crate::cursor::Position;
use crate::error::Result;
use crate::fs::line::{self, Body};
use crate::fs::log::disk::Newest;
use crate::fs::segment::Lines;
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

fn decode(text: &str, table: &mut KeyTable) -> Option<()> {
    let state: State<'_> = serde_json::from_str(text).ok()?;
    for (key, request, first, cursor) in state.keys {
        let keyed = Keyed { key: Digest::parse(key)?, request: Digest::parse(request)? };
        table.remember(keyed, Answer { first, cursor: cursor.parse::<Position>().ok()? });
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

/// Reads the table from the newest segment.
pub(crate) fn load(newest: &Newest, lineage: &Lineage) -> Result<Keys> {
    let mut table = KeyTable::default();
    let mut lines = Lines::new(&newest.file, newest.start, newest.end);
    while let Some(raw) = lines.next()? {
        let second = raw.start == newest.start;
        let Some(line) = line::parse(raw.bytes) else {
            if second && mentions_table(raw.bytes) {
                return Ok(Keys::Damaged { line: raw.bytes.to_vec() });
            }
            continue;
        };
        if let Body::State(text) = line.body {
            if decode(text, &mut table).is_none() {
                return Ok(Keys::Damaged { line: raw.bytes.to_vec() });
            }
        } else if let Some(keyed) = line.end.key
            && !table.knows(keyed)
        {
            let first = line.seq + 1 - line.unit_entries();
            table.remember(keyed, Answer { first, cursor: lineage.position(line.seq) });
        }
    }
    Ok(Keys::Table(table))
}

/// True for a damaged line that was the table: it may have lost one of these words, hardly both.
fn mentions_table(line: &[u8]) -> bool {
    let has = |word: &[u8]| line.windows(word.len()).any(|part| part == word);
    has(b"\"state\":{") || has(b"{\"keys\":[")
}
