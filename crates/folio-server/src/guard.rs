//! Who may call: looked at before every route, the unknown ones too.
//!
//! A browser lets any page send requests to this machine. So a request must call the server by one of its own names
//! (or a foreign name that was pointed here would do: DNS rebinding), and one that comes from a page must come from
//! this server's own or from an origin that was allowed.

use std::net::{IpAddr, SocketAddr};

use folio::{Error, Result};
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::problem::{Problem, Refusal, shown};

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The names of this server and the origins that may call it.
#[derive(Debug)]
pub(crate) struct Guard {
    /// In lower case, each alone and with the port.
    hosts: Vec<String>,
    /// As browsers spell them.
    origins: Vec<String>,
}

/// Who calls.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A program, or a page of this server.
    Own,
    /// A page of this allowed origin; its browser wants CORS headers.
    Page(HeaderValue),
}

impl Guard {
    pub(crate) fn new(address: SocketAddr, origins: &[String]) -> Self {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
        let own = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        if !names.contains(&own) {
            names.push(own);
        }
        let port = address.port();
        let hosts = names.into_iter().flat_map(|name| [format!("{name}:{port}"), name]).collect();
        Self { hosts, origins: origins.to_vec() }
    }

    /// Lets the request pass, or says why not.
    pub(crate) fn check(&self, head: &Parts) -> Result<Caller, Problem> {
        let host = self.check_host(head)?;
        let mut origins = head.headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => self.check_site(head),
            (Some(origin), None) => self.check_page(origin, &host),
            (Some(_), Some(_)) => Err(forbidden("a request with two Origin headers")),
        }
    }

    /// True for a name of this server.
    pub(crate) fn serves(&self, host: &[u8]) -> bool {
        self.hosts.iter().any(|served| served.as_bytes().eq_ignore_ascii_case(host))
    }

    fn check_host(&self, head: &Parts) -> Result<String, Problem> {
        let mut hosts = head.headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host,
            (None, _) => return Err(Refusal::InvalidHost { why: "no Host header" }.into()),
            (Some(_), Some(_)) => return Err(Refusal::InvalidHost { why: "more than one Host header" }.into()),
        };
        // A target in absolute form names a host too, and would win over the header.
        let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
        for name in [Some(host.as_bytes()), target].into_iter().flatten() {
            if !self.serves(name) {
                return Err(Refusal::ForbiddenHost { host: shown(name), served: self.hosts.join(", ") }.into());
            }
        }
        Ok(String::from_utf8_lossy(host.as_bytes()).to_ascii_lowercase())
    }

    fn check_page(&self, origin: &HeaderValue, host: &str) -> Result<Caller, Problem> {
        if origin.as_bytes().strip_prefix(b"http://") == Some(host.as_bytes()) {
            return Ok(Caller::Own);
        }
        if self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
            return Ok(Caller::Page(origin.clone()));
        }
        Err(forbidden(&format!("a page of the origin \"{}\"", shown(origin.as_bytes()))))
    }

    /// Browsers leave Origin out where a page only embeds or links, and say so in Sec-Fetch-Site. Following a link is
    /// fine: the page that had it sees nothing of the answer. Embedding is not.
    fn check_site(&self, head: &Parts) -> Result<Caller, Problem> {
        let own = |site: &HeaderValue| site == "same-origin" || site == "none";
        if head.headers.get_all(SITE).iter().all(own) {
            return Ok(Caller::Own);
        }
        let reading = head.method == Method::GET || head.method == Method::HEAD;
        if reading && is(&head.headers, &MODE, "navigate") && is(&head.headers, &DEST, "document") {
            return Ok(Caller::Own);
        }
        Err(forbidden("a page of another site that sends no Origin"))
    }
}

fn is(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    matches!((values.next(), values.next()), (Some(only), None) if only == value)
}

fn forbidden(who: &str) -> Problem {
    Refusal::ForbiddenOrigin { who: who.to_owned() }.into()
}

/// Checks an origin of the configuration: scheme, host, perhaps a port, and nothing else.
pub(crate) fn check_origin(origin: &str) -> Result<()> {
    let host = ["https://", "http://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_:[]".contains(&byte);
    match host {
        Some(host) if !host.is_empty() && host.bytes().all(plain) => Ok(()),
        _ => Err(Error::invalid(format!(
            "\"{}\" is not an origin that can be allowed: expected scheme, host and port as browsers send them, in lower \
             case, such as https://studio.example or http://localhost:5173",
            shown(origin.as_bytes())
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn check(lines: &[(&str, &str)]) -> Result<Caller, String> {
        check_at("/v1", Method::GET, lines)
    }

    fn check_at(target: &str, method: Method, lines: &[(&str, &str)]) -> Result<Caller, String> {
        let guard = Guard::new("127.0.0.1:7460".parse().unwrap(), &["https://studio.example".to_owned()]);
        let mut request = Request::builder().uri(target).method(method);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        guard.check(&head).map_err(|problem| {
            let body: serde_json::Value = serde_json::from_slice(&problem.body()).unwrap();
            body["code"].as_str().unwrap().to_owned()
        })
    }

    #[test]
    fn hosts() {
        for host in ["localhost", "LOCALHOST:7460", "127.0.0.1", "127.0.0.1:7460", "[::1]", "[::1]:7460"] {
            assert_eq!(check(&[("host", host)]), Ok(Caller::Own), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:7460",
            "localhost:80",
            "localhost.",
            "a.localhost",
            "127.0.0.1:7460 ",
            "127.1",
            "::1",
        ] {
            assert_eq!(check(&[("host", host)]), Err("forbidden_host".into()), "{host:?}");
        }
        assert_eq!(check(&[]), Err("invalid_host".into()));
        assert_eq!(check(&[("host", "localhost"), ("host", "localhost")]), Err("invalid_host".into()));
    }

    #[test]
    fn an_absolute_target_counts_as_a_host() {
        let at = |target| check_at(target, Method::GET, &[("host", "localhost")]);
        assert_eq!(at("http://localhost/v1"), Ok(Caller::Own));
        assert_eq!(at("http://evil.example/v1"), Err("forbidden_host".into()));
        assert_eq!(at("http://user@localhost/v1"), Err("forbidden_host".into()));
    }

    #[test]
    fn origins() {
        let from = |origin| check(&[("host", "localhost:7460"), ("origin", origin)]);
        assert_eq!(from("http://localhost:7460"), Ok(Caller::Own));
        assert_eq!(from("https://studio.example"), Ok(Caller::Page(HeaderValue::from_static("https://studio.example"))));
        for origin in [
            "null",
            "",
            "http://localhost",
            "https://localhost:7460",
            "http://127.0.0.1:7460",
            "http://localhost:3000",
            "http://evil.example",
            "https://studio.example.evil.example",
            "https://STUDIO.example",
            "https://studio.example, http://localhost:7460",
        ] {
            assert_eq!(from(origin), Err("forbidden_origin".into()), "{origin:?}");
        }
        let doubled = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")];
        assert_eq!(check(&doubled), Err("forbidden_origin".into()));
    }

    #[test]
    fn embedding_is_refused_and_links_are_followed() {
        let link = [("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        let with = |method: Method, extra: &[(&'static str, &'static str)]| {
            check_at("/", method, &link.iter().chain(extra).copied().collect::<Vec<_>>())
        };
        assert_eq!(with(Method::GET, &[("sec-fetch-dest", "document")]), Ok(Caller::Own));
        assert_eq!(with(Method::POST, &[("sec-fetch-dest", "document")]), Err("forbidden_origin".into()));
        assert_eq!(with(Method::GET, &[("sec-fetch-dest", "iframe")]), Err("forbidden_origin".into()));
        assert_eq!(with(Method::GET, &[]), Err("forbidden_origin".into()));
        for site in ["cross-site", "same-site", "junk"] {
            assert_eq!(check(&[("host", "localhost"), ("sec-fetch-site", site)]), Err("forbidden_origin".into()), "{site}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(check(&[("host", "localhost"), ("sec-fetch-site", site)]), Ok(Caller::Own), "{site}");
        }
    }

    #[test]
    fn origins_of_the_configuration() {
        for good in ["https://studio.example", "http://localhost:5173", "http://[::1]:80"] {
            assert!(check_origin(good).is_ok(), "{good}");
        }
        for bad in ["*", "null", "", "studio.example", "https://", "https://a/", "https://A", "ftp://a", "https://a b"] {
            assert!(check_origin(bad).is_err(), "{bad}");
        }
    }
}
