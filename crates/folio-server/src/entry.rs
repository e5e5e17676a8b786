//! Entries and gaps as JSON text, written by hand: the values of users are copied, never taken apart.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use folio::{Data, Entry, Gap};

/// `{"seq":…,"ts":…,"data":…}`, or `b64` in place of `data`.
pub(crate) fn write(out: &mut String, entry: &Entry) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{{\"seq\":{},\"ts\":{},", entry.seq, entry.ts);
    match &entry.data {
        Data::Json(value) => {
            out.push_str("\"data\":");
            out.push_str(value.as_str());
        }
        Data::Bytes(bytes) => {
            out.push_str("\"b64\":\"");
            STANDARD.encode_string(bytes, out);
            out.push('"');
        }
    }
    out.push('}');
}

/// `{"reason":…,"requested":…,"lost":…,"resumes_after":…}`.
pub(crate) fn write_gap(out: &mut String, gap: &Gap) {
    let _ = write!(out, "{{\"reason\":\"{}\",\"requested\":\"{}\",", gap.reason.as_str(), gap.requested);
    if let Some(lost) = gap.lost {
        let _ = write!(out, "\"lost\":{lost},");
    }
    let _ = write!(out, "\"resumes_after\":{}}}", gap.resumes_after.seq);
}

#[cfg(test)]
mod tests {
    use super::*;
    use folio::{Cursor, GapReason, Json, Position};

    fn text(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn tokens_are_copied() {
        let data = Data::Json(Json::parse(br#"{"n":12345678901234567890, "n": 1e400}"#).unwrap());
        let entry = Entry { seq: 7, ts: 5, data };
        assert_eq!(text(|out| write(out, &entry)), r#"{"seq":7,"ts":5,"data":{"n":12345678901234567890,"n":1e400}}"#);
        let entry = Entry { seq: 8, ts: 5, data: Data::Bytes(vec![0, 255].into()) };
        assert_eq!(text(|out| write(out, &entry)), r#"{"seq":8,"ts":5,"b64":"AP8="}"#);
    }

    #[test]
    fn gaps() {
        let resumes_after = Position { epoch: 9, seq: 57 };
        let mut gap = Gap { reason: GapReason::Truncated, requested: Cursor::bare(42), lost: Some(15), resumes_after };
        assert_eq!(text(|out| write_gap(out, &gap)), r#"{"reason":"truncated","requested":"42","lost":15,"resumes_after":57}"#);
        gap.lost = None;
        assert_eq!(text(|out| write_gap(out, &gap)), r#"{"reason":"truncated","requested":"42","resumes_after":57}"#);
    }
}
