//! Heads of requests that are understood completely.

use crate::accept;

/// Headers that mean nothing to an append.
const INDIFFERENT: [&str; 5] = ["user-agent", "accept", "accept-encoding", "accept-language", "x-request-id"];
/// Most headers.
const HEADERS: usize = 16;

/// What the bytes of a connection begin with.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Parsed<'a> {
    /// Less than a head.
    Part,
    Append(Append<'a>),
    /// Something else, or something that only the stack understands.
    Other,
}

/// The head of an append.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Append<'a> {
    /// Of the log: plain characters only, so nothing is to be decoded.
    pub(super) path: &'a str,
    pub(super) host: &'a [u8],
    pub(super) content_type: &'static str,
    pub(super) key: Option<&'a str>,
    /// Bytes of the head.
    pub(super) head: usize,
    /// Bytes of the body.
    pub(super) length: usize,
}

/// Reads a head; `largest` bytes may it take, with its body.
pub(super) fn parse(bytes: &[u8], largest: usize) -> Parsed<'_> {
    // What is not an append is seen by its first bytes.
    let start = b"POST /v1/projects/";
    let known = bytes.len().min(start.len());
    if bytes.get(..known) != start.get(..known) {
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
        Some(append) if head + append.length <= largest => Parsed::Append(append),
        _ => Parsed::Other,
    }
}

fn understood<'a>(request: &httparse::Request<'_, 'a>, head: usize) -> Option<Append<'a>> {
    if request.version != Some(1) {
        return None;
    }
    let path = request.path.filter(|path| is_log(path))?;
    let (mut host, mut length, mut content_type, mut key) = (None, None, None, None);
    let is = |header: &httparse::Header<'_>, name: &str| header.name.eq_ignore_ascii_case(name);
    for header in request.headers.iter() {
        let value = header.value;
        let doubled = if is(header, "host") {
            host.replace(value).is_some()
        } else if is(header, "content-length") {
            length.replace(number(value)?).is_some()
        } else if is(header, "content-type") {
            let known = [accept::JSON, accept::NDJSON].into_iter().find(|known| known.as_bytes() == value)?;
            content_type.replace(known).is_some()
        } else if is(header, "idempotency-key") {
            let plain = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
            key.replace(std::str::from_utf8(value).ok().filter(|_| plain)?).is_some()
        } else if is(header, "connection") {
            !value.eq_ignore_ascii_case(b"keep-alive")
        } else {
            !INDIFFERENT.iter().any(|name| is(header, name))
        };
        if doubled {
            return None;
        }
    }
    Some(Append { path, host: host?, content_type: content_type.unwrap_or(accept::JSON), key, head, length: length? })
}

/// True for the path of a log whose names have plain characters only, and no parameters.
fn is_log(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let Some((project, rest)) = path.strip_prefix("/v1/projects/").and_then(|rest| rest.split_once('/')) else { return false };
    let log = if rest == "history" { Some("history") } else { rest.strip_prefix("logs/") };
    !project.is_empty() && project.bytes().all(plain) && log.is_some_and(|log| log.bytes().all(|b| plain(b) || b == b'/'))
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
            Parsed::Append(_) => "append",
            Parsed::Other => "other",
        }
    }

    #[test]
    fn a_plain_append_is_understood() {
        let text = format!("{PLAIN}content-type: application/x-ndjson\r\nidempotency-key: k-1\r\nUser-Agent: x\r\n\r\n12");
        let Parsed::Append(append) = parse(text.as_bytes(), 16 << 10) else { panic!("{text}") };
        assert_eq!((append.path, append.host, append.key), ("/v1/projects/p/history", &b"localhost"[..], Some("k-1")));
        assert_eq!((append.content_type, append.length, append.head), (accept::NDJSON, 2, text.len() - 2));
        for cut in 0..append.head {
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
}
