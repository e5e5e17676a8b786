//! Gaps as JSON text.

use std::io::Write;

use folio::Gap;

/// `{"reason":…,"requested":…,"lost":…,"resumes_after":…}`.
pub(crate) fn write(out: &mut Vec<u8>, gap: &Gap) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{{\"reason\":\"{}\",\"requested\":\"{}\",", gap.reason.as_str(), gap.requested);
    if let Some(lost) = gap.lost {
        let _ = write!(out, "\"lost\":{lost},");
    }
    let _ = write!(out, "\"resumes_after\":{}}}", gap.resumes_after.seq);
}

#[cfg(test)]
mod tests {
    use super::*;
    use folio::{Cursor, GapReason, Position};

    fn text(gap: &Gap) -> String {
        let mut out = Vec::new();
        write(&mut out, gap);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn gaps() {
        let resumes_after = Position { epoch: 9, seq: 57 };
        let mut gap = Gap { reason: GapReason::Truncated, requested: Cursor::bare(42), lost: Some(15), resumes_after };
        assert_eq!(text(&gap), r#"{"reason":"truncated","requested":"42","lost":15,"resumes_after":57}"#);
        gap.lost = None;
        assert_eq!(text(&gap), r#"{"reason":"truncated","requested":"42","resumes_after":57}"#);
    }
}
