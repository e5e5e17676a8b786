//! The Range header: one range of bytes, or the whole file.

use folio::FileRange;
use http::HeaderMap;
use http::header::RANGE;

/// The range asked for. `None` where there is none that we serve: then the whole file is the right answer (RFC 9110,
/// 14.2), as for several ranges, other units and malformed headers.
pub(crate) fn requested(headers: &HeaderMap) -> Option<FileRange> {
    let mut values = headers.get_all(RANGE).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?,
        _ => return None,
    };
    let (unit, set) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (from, to) = set.trim().split_once('-')?;
    match (from, to) {
        ("", last) => Some(FileRange::Last(number(last)?)),
        (from, "") => Some(FileRange::From(number(from)?)),
        (from, to) => {
            let (from, to) = (number(from)?, number(to)?);
            // The header counts the last byte in.
            (from <= to).then(|| FileRange::Span(from, to.saturating_add(1)))
        }
    }
}

/// Decimal digits; what doesn't fit lies beyond the end of any file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn table() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_str(value).unwrap());
            requested(&headers)
        };
        for (value, range) in [
            ("bytes=0-0", Some(FileRange::Span(0, 1))),
            ("bytes=2-5", Some(FileRange::Span(2, 6))),
            ("Bytes=2-", Some(FileRange::From(2))),
            ("bytes=-3", Some(FileRange::Last(3))),
            ("bytes=-0", Some(FileRange::Last(0))),
            ("bytes=0-99999999999999999999999", Some(FileRange::Span(0, u64::MAX))),
            ("bytes=5-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("lines=0-1", None),
            ("0-1", None),
        ] {
            assert_eq!(of(value), range, "{value}");
        }
        assert_eq!(requested(&HeaderMap::new()), None);
    }
}
