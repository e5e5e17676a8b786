//! Heads of requests that are understood completely.

use folio::WriteCondition;

use crate::accept;

/// Headers that mean nothing to these calls.
const INDIFFERENT: [&str; 5] = ["user-agent", "accept", "accept-encoding", "accept-language", "x-request-id"];
/// Most headers.
const HEADERS: usize = 16;

/// What the bytes of a connection begin with.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Parsed<'a> {
    /// Less than a head.
    Part,
    Request(Request<'a>),
    /// Something else, or something that only the stack understands.
    Other,
}

/// The head of a request.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Request<'a> {
    pub(super) host: &'a [u8],
    /// Bytes of the head.
    pub(super) head: usize,
    /// Bytes of the body.
    pub(super) length: usize,
    pub(super) call: Call<'a>,
}

impl Request<'_> {
    /// Bytes of all of it.
    pub(super) fn whole(&self) -> usize {
        self.head + self.length
    }
}

/// What it asks for. Paths and names are of plain characters only, so nothing is to be decoded.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Call<'a> {
    Append(Append<'a>),
    File(GetFile<'a>),
    Doc(PutDoc<'a>),
}

/// An append.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Append<'a> {
    /// Of the log.
    pub(super) path: &'a str,
    pub(super) content_type: &'static str,
    pub(super) key: Option<&'a str>,
}

/// A file, all of it and without conditions.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct GetFile<'a> {
    pub(super) project: &'a str,
    pub(super) path: &'a str,
}

/// A document of a project is written.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct PutDoc<'a> {
    pub(super) project: &'a str,
    pub(super) key: &'a str,
    pub(super) condition: WriteCondition,
}

/// How requests begin that may be understood.
const STARTS: [&[u8]; 3] = [b"POST /v1/projects/", b"GET /v1/projects/", b"PUT /v1/projects/"];

/// Reads a head; `largest` bytes may it take, with its body.
pub(super) fn parse(bytes: &[u8], largest: usize) -> Parsed<'_> {
    // Most of what is nothing of this is seen by its first bytes.
    let begins = |start: &[u8]| bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted);
    if !STARTS.into_iter().any(begins) {
        return Parsed::Other;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() < largest => return Parsed::Part,
        _ => return Parsed::Other,
    };
    match understood(&request, head) {
        Some(request) if request.whole() <= largest => Parsed::Request(request),
        _ => Parsed::Other,
    }
}

/// The headers that are known, each there once at most, with values that mean what they seem to.
#[derive(Default)]
struct Headers<'a> {
    host: Option<&'a [u8]>,
    length: Option<usize>,
    content_type: Option<&'static str>,
    key: Option<&'a str>,
    condition: Option<WriteCondition>,
}

fn understood<'a>(request: &httparse::Request<'_, 'a>, head: usize) -> Option<Request<'a>> {
    if request.version != Some(1) {
        return None;
    }
    let (path, Headers { host, length, content_type, key, condition }) = (request.path?, headers(request.headers)?);
    let call = match (request.method?, length, content_type, key, condition) {
        ("POST", Some(_), content_type, key, None) if is_log(path) => {
            Call::Append(Append { path, content_type: content_type.unwrap_or(accept::JSON), key })
        }
        // Nothing that speaks of a body or of a write.
        ("GET", None, None, None, None) => {
            let (project, path) = below(path, "files/")?;
            Call::File(GetFile { project, path })
        }
        ("PUT", Some(_), None | Some(accept::JSON), None, condition) => {
            let (project, key) = below(path, "docs/").filter(|(_, key)| !key.contains('/'))?;
            Call::Doc(PutDoc { project, key, condition: condition.unwrap_or(WriteCondition::None) })
        }
        _ => return None,
    };
    Some(Request { host: host?, head, length: length.unwrap_or(0), call })
}

fn headers<'a>(all: &[httparse::Header<'a>]) -> Option<Headers<'a>> {
    let is = |header: &httparse::Header<'_>, name: &str| header.name.eq_ignore_ascii_case(name);
    let mut found = Headers::default();
    for header in all {
        let value = header.value;
        let doubled = if is(header, "host") {
            found.host.replace(value).is_some()
        } else if is(header, "content-length") {
            found.length.replace(number(value)?).is_some()
        } else if is(header, "content-type") {
            let known = [accept::JSON, accept::NDJSON].into_iter().find(|known| known.as_bytes() == value)?;
            found.content_type.replace(known).is_some()
        } else if is(header, "idempotency-key") {
            let plain = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
            found.key.replace(std::str::from_utf8(value).ok().filter(|_| plain)?).is_some()
        } else if is(header, "if-match") {
            found.condition.replace(matching(value)?).is_some()
        } else if is(header, "if-none-match") {
            found.condition.replace((value == b"*").then_some(WriteCondition::Absent)?).is_some()
        } else if is(header, "connection") {
            !value.eq_ignore_ascii_case(b"keep-alive")
        } else {
            !INDIFFERENT.iter().any(|name| is(header, name))
        };
        if doubled {
            return None;
        }
    }
    Some(found)
}

/// True for the path of a log whose names have plain characters only, and no parameters.
fn is_log(path: &str) -> bool {
    let Some((_, rest)) = in_project(path) else { return false };
    rest == "history" || rest.starts_with("logs/")
}

/// The project and what follows `folder` in it, on the same terms.
fn below<'a>(path: &'a str, folder: &str) -> Option<(&'a str, &'a str)> {
    let (project, rest) = in_project(path)?;
    Some((project, rest.strip_prefix(folder)?))
}

/// What `If-Match` asks for, where it is `*` or one of our tags.
fn matching(value: &[u8]) -> Option<WriteCondition> {
    if value == b"*" {
        return Some(WriteCondition::Exists);
    }
    let tag = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    std::str::from_utf8(tag).ok()?.parse().ok().map(WriteCondition::Match)
}

/// A project and what follows it, both of plain characters.
fn in_project(path: &str) -> Option<(&str, &str)> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let (project, rest) = path.strip_prefix("/v1/projects/")?.split_once('/')?;
    let is_plain = !project.is_empty() && project.bytes().all(plain) && rest.bytes().all(|byte| plain(byte) || byte == b'/');
    is_plain.then_some((project, rest))
}

/// A length without signs or spaces.
fn number(digits: &[u8]) -> Option<usize> {
    let plain = !digits.is_empty() && digits.len() <= 7 && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "POST /v1/projects/p/history HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n";

    fn kind(text: &str) -> &'static str {
        match parse(text.as_bytes(), 16 << 10) {
            Parsed::Part => "part",
            Parsed::Request(Request { call: Call::Append(_), .. }) => "append",
            Parsed::Request(Request { call: Call::File(_), .. }) => "file",
            Parsed::Request(Request { call: Call::Doc(_), .. }) => "doc",
            Parsed::Other => "other",
        }
    }

    #[test]
    fn a_plain_append_is_understood() {
        let text = format!("{PLAIN}content-type: application/x-ndjson\r\nidempotency-key: k-1\r\nUser-Agent: x\r\n\r\n12");
        let Parsed::Request(request) = parse(text.as_bytes(), 16 << 10) else { panic!("{text}") };
        let Call::Append(append) = request.call else { panic!("{text}") };
        assert_eq!((append.path, request.host, append.key), ("/v1/projects/p/history", &b"localhost"[..], Some("k-1")));
        assert_eq!((append.content_type, request.length, request.head), (accept::NDJSON, 2, text.len() - 2));
        for cut in 0..request.head {
            assert_eq!(kind(&text[..cut]), "part", "{cut}");
        }
    }

    #[test]
    fn whatever_else_it_is_the_stack_gets_it() {
        for header in [
            "host: localhost",
            "content-length: 2",
            "transfer-encoding: chunked",
            "expect: 100-continue",
            "origin: http://localhost",
            "sec-fetch-site: cross-site",
            "if-match: \"1-1\"",
            "connection: close",
            "connection: keep-alive, upgrade",
            "upgrade: h2c",
            "content-type: text/plain",
            "content-type: application/json; charset=utf-8",
            "idempotency-key:",
            "idempotency-key: a b",
            "idempotency-key: \u{fc}",
            "cookie: a=b",
            "x: y",
        ] {
            assert_eq!(kind(&format!("{PLAIN}{header}\r\n\r\n12")), "other", "{header}");
        }
        for (from, to) in [
            ("POST", "PUT"),
            ("POST", "GET"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("/history", "/history?close=1"),
            ("/history", "/docs/a"),
            ("/history", "/logs/a%20b"),
            ("/history", "/commit"),
            ("projects/p", "projects/"),
            ("Length: 2", "Length: +2"),
            ("Length: 2", "Length: 99999"),
            ("Length: 2", "Length: "),
            ("Content-Length: 2", "A: b"),
            ("Host: localhost\r\n", ""),
            ("Host: localhost", "Host: localhost\r\n b"),
        ] {
            assert_eq!(kind(&(PLAIN.replace(from, to) + "\r\n12")), "other", "{from} {to}");
        }
    }

    const FILE: &str = "GET /v1/projects/p/files/a/b.txt HTTP/1.1\r\nHost: localhost\r\n";

    #[test]
    fn a_file_is_asked_for() {
        let text = format!("{FILE}accept: text/html\r\nUser-Agent: x\r\n\r\n");
        let call = Call::File(GetFile { project: "p", path: "a/b.txt" });
        let wanted = Request { host: b"localhost", head: text.len(), length: 0, call };
        assert_eq!(parse(text.as_bytes(), 16 << 10), Parsed::Request(wanted));
        for cut in 0..text.len() {
            assert_eq!(kind(&text[..cut]), "part", "{cut}");
        }
        for header in [
            "content-length: 0",
            "content-type: application/json",
            "transfer-encoding: chunked",
            "idempotency-key: k",
            "range: bytes=0-1",
            "if-match: *",
            "if-none-match: \"a\"",
            "if-range: \"a\"",
            "origin: http://localhost",
            "sec-fetch-site: cross-site",
            "connection: close",
            "host: localhost",
            "expect: 100-continue",
        ] {
            assert_eq!(kind(&format!("{FILE}{header}\r\n\r\n")), "other", "{header}");
        }
        for (from, to) in [
            ("GET", "PUT"),
            ("GET", "HEAD"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("b.txt", "b.txt?etag=true"),
            ("b.txt", "%62"),
            ("b.txt", "~"),
            ("/files/a/b.txt", "/files"),
            ("/files/", "/docs/"),
            ("projects/p", "projects/"),
            ("projects/p", "projects/p%70"),
            ("Host: localhost\r\n", ""),
        ] {
            assert_eq!(kind(&(FILE.replace(from, to) + "\r\n")), "other", "{from} {to}");
        }
    }

    const DOC: &str = "PUT /v1/projects/p/docs/a.b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n";
    const TAG: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e";

    #[test]
    fn a_document_is_written() {
        let condition = |header: &str| {
            let text = format!("{DOC}Content-Type: application/json\r\n{header}\r\n12");
            for cut in 0..text.len() - 2 {
                assert_eq!(kind(&text[..cut]), "part", "{cut}");
            }
            let Parsed::Request(request) = parse(text.as_bytes(), 16 << 10) else { panic!("{text}") };
            let Call::Doc(doc) = request.call else { panic!("{text}") };
            assert_eq!((doc.project, doc.key, request.host), ("p", "a.b", &b"localhost"[..]));
            assert_eq!((request.length, request.head), (2, text.len() - 2));
            doc.condition
        };
        assert_eq!(condition(""), WriteCondition::None);
        assert_eq!(condition("If-Match: *\r\n"), WriteCondition::Exists);
        assert_eq!(condition(&format!("if-match: \"{TAG}\"\r\n")), WriteCondition::Match(TAG.parse().unwrap()));
        assert_eq!(condition("If-None-Match: *\r\n"), WriteCondition::Absent);
        for header in [
            "if-match: a".to_owned(),
            format!("if-match: {TAG}"),
            format!("if-match: W/\"{TAG}\""),
            format!("if-match: \"{TAG}\", \"{TAG}\""),
            "if-match: *\r\nif-match: *".into(),
            "if-match: *\r\nif-none-match: *".into(),
            format!("if-none-match: \"{TAG}\""),
            "if-unmodified-since: Thu, 01 Jan 1970 00:00:00 GMT".into(),
            "idempotency-key: k".into(),
            "content-type: application/x-ndjson".into(),
            "content-type: application/merge-patch+json".into(),
            "transfer-encoding: chunked".into(),
            "origin: http://localhost".into(),
            "expect: 100-continue".into(),
        ] {
            assert_eq!(kind(&format!("{DOC}{header}\r\n\r\n12")), "other", "{header}");
        }
        for (from, to) in [
            ("PUT", "PATCH"),
            ("PUT", "DELETE"),
            ("a.b", "a/b"),
            ("a.b", "%61"),
            ("a.b", "a?x=1"),
            ("/docs/a.b", "/docs"),
            ("/docs/", "/files/"),
            ("/projects/p/", "/collections/p/"),
            ("Content-Length: 2", "A: b"),
            ("Length: 2", "Length: 99999"),
        ] {
            assert_eq!(kind(&(DOC.replace(from, to) + "\r\n12")), "other", "{from} {to}");
        }
    }
}
