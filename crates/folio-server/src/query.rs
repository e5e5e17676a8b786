//! The query of a URL, strictly: what is unknown or given twice is refused by name.

use folio::{Error, Result};
use http::Uri;
use percent_encoding::percent_decode;

use crate::problem::{Problem, Refusal, shown};

/// The parameters of a request, each at most once.
#[derive(Debug)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Takes the query apart. `known` are the parameters that this call understands.
    pub(crate) fn parse(uri: &Uri, known: &'static [&'static str]) -> Result<Self, Problem> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let Some(&name) = known.iter().find(|&&candidate| candidate == name) else { return Err(unknown(&name, known)) };
            if found.iter().any(|(present, _)| *present == name) {
                return Err(Error::invalid(format!("the query parameter \"{name}\" is given twice")).into());
            }
            found.push((name, decode(value)?));
        }
        Ok(Self(found))
    }

    /// For calls that take no parameters.
    pub(crate) fn none(uri: &Uri) -> Result<(), Problem> {
        Self::parse(uri, &[]).map(|_| ())
    }

    /// Refuses what is known in general but not beside what else was said.
    pub(crate) fn only(&self, known: &'static [&'static str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) => Err(unknown(name, known)),
            None => Ok(()),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(present, _)| *present == name).map(|(_, value)| value.as_str())
    }

    /// `true` or `false`; false where it is not given.
    pub(crate) fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Error::invalid(format!("{name} must be true or false, not \"{}\"", shown(other.as_bytes())))),
        }
    }

    /// A plain decimal number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Some(number)),
            _ => Err(Error::invalid(format!("{name} must be a whole number, not \"{}\"", shown(text.as_bytes())))),
        }
    }

    /// How long a page may be; the store says what is too much.
    pub(crate) fn limit(&self) -> Result<usize> {
        let limit = self.number("limit")?.unwrap_or(1_000);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        folio::Limits::check_page(limit)?;
        Ok(limit)
    }

    /// A name, cursor or the like.
    pub(crate) fn parsed<T: std::str::FromStr<Err = Error>>(&self, name: &str) -> Result<Option<T>> {
        self.get(name).map(str::parse).transpose()
    }
}

fn unknown(name: &str, known: &'static [&'static str]) -> Problem {
    Refusal::UnknownParameter { name: shown(name.as_bytes()), known: known.join(", ") }.into()
}

fn decode(text: &str) -> Result<String> {
    let spaced = text.replace('+', " ");
    if !crate::path::escapes_are_whole(&spaced) {
        return Err(Error::invalid(format!("the query has a '%' without two hex digits in \"{}\"", shown(text.as_bytes()))));
    }
    let bytes: Vec<u8> = percent_decode(spaced.as_bytes()).collect();
    String::from_utf8(bytes)
        .map_err(|_| Error::invalid(format!("the query is not UTF-8 once decoded: \"{}\"", shown(text.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, Problem> {
        Query::parse(&Uri::try_from(format!("/x?{query}")).unwrap(), &["since", "limit", "etag"])
    }

    #[test]
    fn values_are_decoded_once() {
        let query = parse("since=a+b%2B%2541&limit=5&&etag=true").unwrap();
        assert_eq!(query.get("since"), Some("a b+%41"));
        assert_eq!(query.limit().unwrap(), 5);
        assert!(query.flag("etag").unwrap());
        assert_eq!(parse("").unwrap().limit().unwrap(), 1_000);
    }

    #[test]
    fn what_is_unknown_or_doubled_is_named() {
        let detail = |query: &str| parse(query).unwrap_err().detail();
        assert!(detail("sinse=1").contains("\"sinse\""));
        assert!(detail("sinse=1").contains("this call takes since, limit, "), "{}", detail("sinse=1"));
        assert!(detail("since=1&since=1").contains("\"since\" is given twice"));
        assert!(detail("since=%zz").contains('%'));
        assert!(detail("since=%ff").contains("UTF-8"));
        for bad in
            ["limit=", "limit=-1", "limit=+1", "limit=1.0", "limit=x", "limit=0", "limit=10001", "limit=99999999999999999999"]
        {
            assert!(parse(bad).unwrap().limit().is_err(), "{bad}");
        }
        for bad in ["etag", "etag=1", "etag=TRUE"] {
            assert!(parse(bad).unwrap().flag("etag").is_err(), "{bad}");
        }
    }
}
