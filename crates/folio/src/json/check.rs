//! One pass over JSON text: grammar, depth, and insignificant white space taken out.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// The tokens of the one value in `bytes`, borrowed where there was nothing to take out.
pub(super) fn compact(bytes: &[u8], max_depth: usize) -> Result<Cow<'_, str>> {
    let text = std::str::from_utf8(bytes).map_err(|e| located(bytes, e.valid_up_to(), "it is not UTF-8"))?;
    let mut scanner = Scanner { text, at: 0, kept: None, copied: 0, max_depth };
    scanner.value()?;
    scanner.space();
    if scanner.at < bytes.len() {
        return Err(scanner.fault("nothing may follow the value"));
    }
    Ok(scanner.finish())
}

fn located(bytes: &[u8], at: usize, why: &str) -> Error {
    let before = bytes.get(..at).unwrap_or(bytes);
    let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
    Error::InvalidJson { line, column: at - line_start + 1, why: why.to_owned() }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Output so far, once white space was met; then `copied` says up to where the input is in it.
    kept: Option<String>,
    copied: usize,
    max_depth: usize,
}

impl<'a> Scanner<'a> {
    fn fault(&self, why: &str) -> Error {
        located(self.text.as_bytes(), self.at, why)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn finish(mut self) -> Cow<'a, str> {
        let rest = self.text.get(self.copied..).unwrap_or_default();
        match self.kept.take() {
            None => Cow::Borrowed(rest),
            Some(mut kept) => {
                kept.push_str(rest);
                Cow::Owned(kept)
            }
        }
    }

    /// Passes over white space, leaving it out of the output.
    fn space(&mut self) {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        if self.at > start {
            let before = self.text.get(self.copied..start).unwrap_or_default();
            if !before.is_empty() || self.kept.is_some() {
                let capacity = self.text.len();
                self.kept.get_or_insert_with(|| String::with_capacity(capacity)).push_str(before);
            }
            self.copied = self.at;
        }
    }

    fn value(&mut self) -> Result<()> {
        // One bit of state per open container: true for an object.
        let mut open: Vec<bool> = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(start @ (b'{' | b'[')) => {
                    if open.len() >= self.max_depth {
                        return Err(self.fault("it is nested deeper than 128"));
                    }
                    self.at += 1;
                    self.space();
                    let object = start == b'{';
                    let end = if object { b'}' } else { b']' };
                    if self.peek() == Some(end) {
                        self.at += 1;
                    } else {
                        open.push(object);
                        if object {
                            self.member_name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                Some(_) => return Err(self.fault("a value was expected here")),
                None => return Err(self.fault("the text ends where a value was expected")),
            }
            if !self.after_value(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Closes containers and passes a comma. False when the outermost value is complete.
    fn after_value(&mut self, open: &mut Vec<bool>) -> Result<bool> {
        while let Some(&object) = open.last() {
            self.space();
            match (self.peek(), object) {
                (Some(b','), _) => {
                    self.at += 1;
                    if object {
                        self.space();
                        self.member_name()?;
                    }
                    return Ok(true);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    open.pop();
                }
                (_, true) => return Err(self.fault("',' or '}' was expected here")),
                (_, false) => return Err(self.fault("',' or ']' was expected here")),
            }
        }
        Ok(false)
    }

    fn member_name(&mut self) -> Result<()> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("a member name in double quotes was expected here"));
        }
        self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.fault("':' was expected here"));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<()> {
        let found = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        if !found {
            return Err(self.fault("a value was expected here"));
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self) -> Result<()> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
                            if !digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)) {
                                return Err(self.fault("'\\u' needs four hex digits"));
                            }
                            self.at += 5;
                        }
                        _ => return Err(self.fault("this escape is unknown")),
                    }
                }
                Some(control) if control < 0x20 => return Err(self.fault("a control character in a string must be escaped")),
                Some(_) => self.at += 1,
                None => return Err(self.fault("the text ends inside a string")),
            }
        }
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("a digit was expected here")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> String {
        compact(text.as_bytes(), 128).unwrap().into_owned()
    }

    #[test]
    fn tokens_are_kept() {
        for text in [
            "null",
            "-0",
            "1e400",
            "9007199254740993",
            r#""\ud83d""#,
            r#""\u0000""#,
            r#"{"a":1,"a":2}"#,
            "[[[[1]]]]",
            r#""  ""#,
            "0.10E+3",
        ] {
            assert_eq!(ok(text), text);
            assert!(matches!(compact(text.as_bytes(), 128), Ok(Cow::Borrowed(_))));
        }
    }

    #[test]
    fn white_space_goes() {
        assert_eq!(ok(" { \"a\" :\t[ 1 ,\r\n 2 ] , \"b c\" : { } }\n"), r#"{"a":[1,2],"b c":{}}"#);
        assert_eq!(ok("\n1"), "1");
        assert_eq!(ok("1 "), "1");
    }

    #[test]
    fn faults_have_a_place() {
        for (text, line, column) in [
            ("", 1, 1),
            ("{\n\"a\":}", 2, 5),
            ("[1,]", 1, 4),
            ("{\"a\" 1}", 1, 6),
            ("01", 1, 2),
            ("1.", 1, 3),
            ("-", 1, 2),
            ("tru", 1, 1),
            ("\"a", 1, 3),
            ("\"\u{1}\"", 1, 2),
            ("\"\\x\"", 1, 3),
            ("{} {}", 1, 4),
            ("[1}", 1, 3),
            ("{,}", 1, 2),
            ("\u{feff}1", 1, 1),
            ("1\0", 1, 2),
        ] {
            match compact(text.as_bytes(), 128) {
                Err(Error::InvalidJson { line: l, column: c, .. }) => assert_eq!((l, c), (line, column), "{text:?}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
        assert!(compact(b"\"\xff\"", 128).is_err());
    }

    #[test]
    fn depth() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(compact(nested(128).as_bytes(), 128).is_ok());
        assert!(compact(nested(129).as_bytes(), 128).is_err());
        assert!(compact(nested(100_000).as_bytes(), usize::MAX).is_ok());
    }

    /// The same texts are accepted as by serde_json, apart from what it can't hold in its numbers and strings.
    #[test]
    fn agrees_with_serde_json_on_random_text() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let pieces = ["{", "}", "[", "]", ",", ":", "\"a\"", "\"\\n\"", "1", "-2.5", "0", "true", "null", " ", "\n", "\\", "x"];
        for _ in 0..50_000 {
            let text: String = (0..random.usize(1..9)).map(|_| *random.choice(&pieces).unwrap()).collect();
            let ours = compact(text.as_bytes(), 128);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{text:?}");
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                assert_eq!(serde_json::from_str::<serde_json::Value>(&ours).unwrap(), theirs);
                assert!(!ours.contains(['\n', ' ']));
            }
        }
    }
}
