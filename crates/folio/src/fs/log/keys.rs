//! The table of idempotency keys on disk: a `state` line after the header, and the keys of the lines that follow.

use serde::Deserialize;

use crate::cursor::{Position, Seq};
use crate::error::{Error, Result};
use crate::fs::line::Body;
use crate::fs::log::disk::Disk;
use crate::fs::log::paths::LogPaths;
use crate::fs::segment::{Before, Content, Judged, Kind, Opening, Stretch};
use crate::fs::vfs::Dir;
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
    /// Its line does not verify, or says that an earlier one did not: so what it held is not taken for never given.
    Damaged {
        /// Offsets of the damaged line in the newest segment and after it, while it lies there.
        range: Option<(u64, u64)>,
    },
}

/// The table in the place of one that is damaged. Damaged bytes would be judged together with the lines that follow; this
/// line is a good one, which every version takes for a table that it can't read.
pub(crate) const DAMAGED: &str = "{\"keys\":\"damaged\"}";

/// Reads the table from the lines of the newest segment. What it tells of entries after `head` is void: they were lost.
pub(crate) fn load(stretch: &Stretch<'_>, lineage: &Lineage, head: Seq) -> Result<Keys> {
    let start = stretch.range.0;
    let mut table = KeyTable::default();
    let mut lines = stretch.lines();
    while let Some(judged) = lines.next()? {
        let place = (judged.raw.start, judged.raw.next);
        if place.0 == start && mentions_table(judged.damage()) {
            return Ok(Keys::Damaged { range: Some(place) });
        }
        let Content::Line(line) = judged.content else { continue };
        if let Body::State(text) = line.body {
            if decode(text, &mut table, head).is_none() {
                return Ok(Keys::Damaged { range: (text != DAMAGED).then_some(place) });
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

impl Disk {
    /// The table of keys, read from the newest segment on first use.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the line with the table is.
    pub(crate) fn keys(&mut self) -> Result<&mut KeyTable> {
        self.read_keys()?;
        match &mut self.keys {
            Keys::Table(table) => Ok(table),
            Keys::Damaged { .. } | Keys::Unread => Err(damaged_keys(&self.project, &self.paths)),
        }
    }

    /// True where the table of keys is damaged.
    pub(crate) fn lost_keys(&mut self) -> Result<bool> {
        self.read_keys()?;
        Ok(matches!(self.keys, Keys::Damaged { .. }))
    }

    /// Makes sure that the table was looked for.
    pub(crate) fn read_keys(&mut self) -> Result<()> {
        if matches!(self.keys, Keys::Unread) {
            self.keys = match (&self.newest, self.sealed.last()) {
                (Some(newest), _) if newest.kind == Kind::Ours => {
                    let mut lines = newest.stretch();
                    if newest.end == newest.start {
                        // A damaged table with nothing behind it is no part of the log.
                        lines.range.1 = newest.len;
                    }
                    load(&lines, &self.lineage, self.head)?
                }
                (None, Some(&first)) => self.keys_of_sealed(first)?,
                _ => Keys::Table(KeyTable::default()),
            };
        }
        Ok(())
    }

    /// The newest segment is gone; the table of the one before is the best there is.
    fn keys_of_sealed(&self, first: Seq) -> Result<Keys> {
        let Some(file) = self.open_sealed(first)? else { return Ok(Keys::Table(KeyTable::default())) };
        let opening = Opening::read(&file)?;
        if opening.kind() == Kind::Adopted {
            return Ok(Keys::Table(KeyTable::default()));
        }
        let keys = load(&opening.sealed(&file, first), &self.lineage, self.head)?;
        // It stays where it is.
        Ok(if let Keys::Damaged { .. } = keys { Keys::Damaged { range: None } } else { keys })
    }
}

fn damaged_keys(project: &Dir, paths: &LogPaths) -> Error {
    let path = project.path().join(paths.newest());
    Error::Damaged {
        what: format!("the table of idempotency keys, in the second line of {}", path.display()),
        why: "its line does not verify, so a retry could be taken for a new append; appends without a key go on".into(),
        etag: None,
    }
}

/// Offset of the first line behind the table, which a new header writes anew.
pub(crate) fn end_of_table(stretch: &Stretch<'_>) -> Result<u64> {
    Ok(match stretch.lines().next()? {
        // With another seq it would tell what can follow.
        Some(Judged { raw, at: 0, content: Content::Line(line) })
            if matches!(line.body, Body::State(_)) && stretch.before == Before::Seq(line.seq) =>
        {
            raw.next
        }
        _ => stretch.range.0,
    })
}

/// True for a damaged line that was the table: it may have lost one of these words, hardly both. Those of an entry may be
/// in its data.
fn mentions_table(line: &[u8]) -> bool {
    let at = |word: &[u8]| memchr::memmem::find(line, word);
    let word = [at(b"\"state\":{"), at(b"{\"keys\":[")].into_iter().flatten().min();
    word.is_some_and(|word| at(b"\"data\":").is_none_or(|data| word < data))
}
