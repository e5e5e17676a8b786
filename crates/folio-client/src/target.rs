//! Addresses: the daemon's base, and the path and query of one call.

use folio::{Error, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

/// Everything outside the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Checks the address of a daemon and cuts the slash at its end.
pub(crate) fn base(address: &str) -> Result<String> {
    let refuse = |why: &str| {
        Error::invalid(format!("the address {address:?} cannot be used: {why}; expected something like http://127.0.0.1:7460"))
    };
    let url = Url::parse(address).map_err(|e| refuse(&e.to_string()))?;
    if url.scheme() != "http" {
        return Err(refuse("it must begin with http:// (there is no TLS in this client)"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it must not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it must end before '?' and '#'"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The path and query of a call, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    text: String,
    has_query: bool,
}

impl Target {
    /// `/v1`.
    pub(crate) fn root() -> Self {
        Self { text: "/v1".to_owned(), has_query: false }
    }

    /// `/readyz`, which is outside of any version.
    pub(crate) fn readiness() -> Self {
        Self { text: "/readyz".to_owned(), has_query: false }
    }

    /// One more segment; a `/` in it is encoded.
    pub(crate) fn segment(mut self, segment: &str) -> Self {
        self.text.push('/');
        self.text.extend(utf8_percent_encode(segment, RESERVED));
        self
    }

    /// More segments: the `/` in `path` separates them.
    pub(crate) fn segments(self, path: &str) -> Self {
        path.split('/').fold(self, Self::segment)
    }

    /// A query parameter.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.text.extend(utf8_percent_encode(value, RESERVED));
        self
    }

    /// A query parameter, where there is a value.
    pub(crate) fn query_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, &value.to_string()),
            None => self,
        }
    }

    /// Path and query.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (given, kept) in [
            ("http://127.0.0.1:7460", "http://127.0.0.1:7460"),
            ("http://localhost:7460/", "http://localhost:7460"),
            ("http://[::1]:7460", "http://[::1]:7460"),
            ("http://host/behind/a/proxy/", "http://host/behind/a/proxy"),
        ] {
            assert_eq!(base(given).unwrap(), kept);
        }
        for bad in [
            "",
            "127.0.0.1:7460",
            "localhost:7460",
            "https://a",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://a/?b",
            "http://a/#b",
        ] {
            let message = base(bad).unwrap_err().to_string();
            assert!(message.contains(&format!("{bad:?}")) && message.contains("http://127.0.0.1:7460"), "{message}");
        }
    }

    #[test]
    fn segments_are_encoded_one_by_one() {
        let target = Target::root().segment("projects").segment("a/b").segments("x y/%2F/ü~._-/a?b#c\\");
        assert_eq!(target.as_str(), "/v1/projects/a%2Fb/x%20y/%252F/%C3%BC~._-/a%3Fb%23c%5C");
    }

    #[test]
    fn queries_are_encoded() {
        let target = Target::root().query("prefix", "a&b=c d").query_if("after", None::<u64>).query_if("limit", Some(7));
        assert_eq!(target.as_str(), "/v1?prefix=a%26b%3Dc%20d&limit=7");
    }

    /// What the URL parser of the HTTP client makes of it must be the same bytes: it folds dot segments.
    #[test]
    fn no_name_is_folded_by_the_url_parser() {
        for name in ["...", "a/..b", "%2e%2e/x", "..%2f", ".a", "a//b", "\\..\\", "ü/\u{202e}", "a;b=c,d", "@:!$&'()*+,;="] {
            let target = Target::root().segments(name);
            let url = Url::parse(&format!("http://127.0.0.1:1{}", target.as_str())).unwrap();
            assert_eq!(url.path(), target.as_str(), "{name}");
        }
    }
}
