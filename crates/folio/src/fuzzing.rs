//! For the targets in `fuzz/` alone: readers of stored bytes that the library keeps to itself. Each panics where what it
//! was given does not come back as it was.

use crate::fs::line::{self, Header};
use crate::fs::log::paths::{parse_sealed, sealed_name as name_of};

/// A line that verifies is written as a line that reads the same.
pub fn line(bytes: &[u8]) {
    if let Some(read) = line::parse(bytes)
        && let Some(entry) = read.entry()
    {
        let mut written = Vec::new();
        line::push_entry(&mut written, read.seq, read.ts, read.more, read.end, &entry.data);
        assert_eq!(line::parse(written.trim_ascii_end()), Some(read));
    }
    if let Ok(Some(header)) = Header::parse(bytes) {
        let mut written = Vec::new();
        header.push(&mut written);
        assert_eq!(Header::parse(written.trim_ascii_end()), Ok(Some(header)));
    }
    if let Some((at, found)) = line::recover(bytes, |_, _| true) {
        assert_eq!(bytes.get(at..).and_then(line::parse), Some(found));
    }
    let adopted = line::parse_adopted(bytes);
    assert!(adopted.is_none_or(|entry| entry.seq > 0));
    let _ = line::looks_adopted(bytes);
}

/// The file name of a sealed segment is taken in one spelling.
pub fn sealed_name(name: &str) {
    if let Some(first) = parse_sealed(name) {
        assert_eq!(name_of(first), name);
    }
}
