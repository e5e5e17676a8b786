//! If-Match and If-None-Match, strictly: what can't be kept to is refused, not ignored.

use folio::{Cursor, Etag, WriteCondition};
use http::header::{IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::problem::{Problem, Refusal, shown};

/// The condition of a write or delete.
pub(crate) fn of_write(headers: &HeaderMap) -> Result<WriteCondition, Problem> {
    if let Some(value) = headers.get(IF_UNMODIFIED_SINCE) {
        return Err(bad("If-Unmodified-Since", value, "times are too coarse to be conditions here; use If-Match"));
    }
    let matches = single(headers, &IF_MATCH, "If-Match")?;
    let absent = single(headers, &IF_NONE_MATCH, "If-None-Match")?;
    match (matches, absent) {
        (None, None) => Ok(WriteCondition::None),
        (Some(value), None) if value == "*" => Ok(WriteCondition::Exists),
        (Some(value), None) => Ok(WriteCondition::Match(tag("If-Match", value)?)),
        (None, Some(value)) if value == "*" => Ok(WriteCondition::Absent),
        (None, Some(value)) => Err(bad("If-None-Match", value, "on a write it can only be *")),
        (Some(value), Some(_)) => Err(bad("If-Match", value, "it cannot be combined with If-None-Match")),
    }
}

/// The conditions of a read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadConditions {
    matches: Option<Tags>,
    none_match: Option<Tags>,
}

#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<Etag>),
}

impl Tags {
    fn hold(&self, etag: Option<Etag>) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => etag.is_some_and(|etag| tags.contains(&etag)),
        }
    }
}

/// What the conditions of a read come to.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Verdict {
    Send,
    NotModified,
    Failed,
}

impl ReadConditions {
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, Problem> {
        let tags = |name: HeaderName, header: &'static str, weak: bool| {
            let Some(value) = single(headers, &name, header)? else { return Ok::<_, Problem>(None) };
            if value == "*" {
                return Ok(Some(Tags::Any));
            }
            let list = value.to_str().map_err(|_| bad(header, value, "it is not text"))?;
            let one = |text: &str| {
                let text = text.trim();
                let strong = if weak { text.strip_prefix("W/").unwrap_or(text) } else { text };
                unquoted(header, strong)
            };
            let tags: Vec<Etag> = list.split(',').map(one).collect::<Result<_, _>>()?;
            Ok(Some(Tags::These(tags)))
        };
        // If-None-Match compares weakly: a proxy that recoded the body marks our tag so.
        Ok(Self { matches: tags(IF_MATCH, "If-Match", false)?, none_match: tags(IF_NONE_MATCH, "If-None-Match", true)? })
    }

    /// True where they can't be judged without the ETag.
    pub(crate) fn need_tag(&self) -> bool {
        let named = |tags: &Option<Tags>| matches!(tags, Some(Tags::These(_)));
        named(&self.matches) || named(&self.none_match)
    }

    /// Judges what is there.
    pub(crate) fn judge(&self, etag: Option<Etag>) -> Verdict {
        if self.matches.as_ref().is_some_and(|tags| !tags.hold(etag)) {
            return Verdict::Failed;
        }
        if self.none_match.as_ref().is_some_and(|tags| tags.hold(etag)) {
            return Verdict::NotModified;
        }
        Verdict::Send
    }
}

/// The head that an append expects: `If-Match: "<cursor>"`.
pub(crate) fn expected_head(headers: &HeaderMap) -> Result<Option<Cursor>, Problem> {
    if let Some(value) = headers.get(IF_NONE_MATCH) {
        return Err(bad("If-None-Match", value, "an append takes only If-Match: \"<cursor>\""));
    }
    let mut values = headers.get_all(IF_MATCH).iter();
    let (first, second) = (values.next(), values.next());
    let refuse = |value: &HeaderValue, why| {
        Problem::from(Refusal::InvalidCursor { header: "If-Match", text: shown(value.as_bytes()), why })
    };
    let Some(value) = first else { return Ok(None) };
    if second.is_some() {
        return Err(refuse(value, "it is given twice"));
    }
    let text = value.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    let cursor = text.and_then(|text| text.parse().ok());
    cursor.map(Some).ok_or_else(|| refuse(value, "expected \"<epoch>-<seq>\" or \"<seq>\", in quotes"))
}

/// One of our tags in quotes, for If-Range; `None` for anything else.
pub(crate) fn strong_tag(value: &HeaderValue) -> Option<Etag> {
    value.to_str().ok()?.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// The header's one value, or `None`.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName, header: &'static str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), Some(_)) => Err(bad(header, value, "it is given twice")),
        (value, _) => Ok(value),
    }
}

fn tag(header: &'static str, value: &HeaderValue) -> Result<Etag, Problem> {
    match value.to_str() {
        Ok(text) if text.contains(',') => Err(bad(header, value, "a write takes one ETag, not a list")),
        Ok(text) if text.starts_with("W/") => Err(bad(header, value, "a write needs a strong ETag")),
        Ok(text) => unquoted(header, text),
        Err(_) => Err(bad(header, value, "it is not text")),
    }
}

fn unquoted(header: &'static str, text: &str) -> Result<Etag, Problem> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let refused = || {
        let why = "expected 32 lower-case hex digits in quotes";
        Problem::from(Refusal::InvalidEtag { header, text: shown(text.as_bytes()), why })
    };
    inner.and_then(|text| text.parse().ok()).ok_or_else(refused)
}

fn bad(header: &'static str, value: &HeaderValue, why: &'static str) -> Problem {
    Refusal::InvalidEtag { header, text: shown(value.as_bytes()), why }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn a() -> Etag {
        Etag::of(b"a")
    }

    #[test]
    fn writes() {
        let of = |lines: &[(&'static str, &str)]| of_write(&headers(lines)).map_err(|problem| problem.detail());
        let quoted = format!("\"{}\"", a());
        assert_eq!(of(&[]), Ok(WriteCondition::None));
        assert_eq!(of(&[("if-match", &quoted)]), Ok(WriteCondition::Match(a())));
        assert_eq!(of(&[("if-match", "*")]), Ok(WriteCondition::Exists));
        assert_eq!(of(&[("if-none-match", "*")]), Ok(WriteCondition::Absent));
        let weak = format!("W/{quoted}");
        let list = format!("{quoted}, {quoted}");
        for (lines, why) in [
            (&[("if-match", quoted.as_str()), ("if-match", &quoted)][..], "given twice"),
            (&[("if-match", "*"), ("if-none-match", "*")], "combined"),
            (&[("if-match", &weak)], "strong"),
            (&[("if-match", &list)], "list"),
            (&[("if-match", "")], "32"),
            (&[("if-match", "\"abc\"")], "32"),
            (&[("if-match", "00000000000000000000000000000000")], "quotes"),
            (&[("if-none-match", &quoted)], "only be *"),
            (&[("if-unmodified-since", "x")], "If-Match"),
        ] {
            let message = of(lines).unwrap_err();
            assert!(message.contains(why), "{lines:?}: {message}");
        }
    }

    #[test]
    fn reads() {
        let judge = |lines: &[(&'static str, &str)]| ReadConditions::parse(&headers(lines)).unwrap().judge(Some(a()));
        let (own, other) = (format!("\"{}\"", a()), format!("\"{}\"", Etag::of(b"b")));
        assert_eq!(judge(&[]), Verdict::Send);
        assert_eq!(judge(&[("if-none-match", &own)]), Verdict::NotModified);
        assert_eq!(judge(&[("if-none-match", &format!("{other}, W/{own}"))]), Verdict::NotModified);
        assert_eq!(judge(&[("if-none-match", "*")]), Verdict::NotModified);
        assert_eq!(judge(&[("if-none-match", &other)]), Verdict::Send);
        assert_eq!(judge(&[("if-match", &own)]), Verdict::Send);
        assert_eq!(judge(&[("if-match", "*")]), Verdict::Send);
        assert_eq!(judge(&[("if-match", &other)]), Verdict::Failed);
        assert_eq!(judge(&[("if-match", &other), ("if-none-match", &own)]), Verdict::Failed);
        for bad in ["abc", "\"abc\"", "", "\"", "W/*"] {
            assert!(ReadConditions::parse(&headers(&[("if-none-match", bad)])).is_err(), "{bad}");
        }
    }

    #[test]
    fn heads() {
        let of = |lines: &[(&'static str, &str)]| expected_head(&headers(lines)).map_err(|problem| problem.status().as_u16());
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("if-match", "\"7-3\"")]), Ok(Some("7-3".parse().unwrap())));
        assert_eq!(of(&[("if-match", "\"3\"")]), Ok(Some(Cursor::bare(3))));
        for bad in ["7-3", "*", "\"x\"", "\"7-3\", \"7-4\"", "W/\"7-3\"", "\""] {
            assert_eq!(of(&[("if-match", bad)]), Err(400), "{bad}");
        }
        assert_eq!(of(&[("if-match", "\"7-3\""), ("if-match", "\"7-3\"")]), Err(400));
        assert_eq!(of(&[("if-none-match", "*")]), Err(400));
    }
}
