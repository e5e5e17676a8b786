//! JSON over several lines, with the tokens as they were stored.

use crate::style::KEY;
use crate::text::visible;

/// Deepest level that gets lines of its own; what lies deeper stays on one line.
const MAX_INDENT: usize = 64;

/// Spreads compact JSON (a [`folio::Json`]) over lines, keys in colour.
///
/// It works on tokens and not on a tree, so large integers, key order and duplicate keys stay as they are.
pub(crate) fn pretty(compact: &str) -> String {
    let mut out = String::with_capacity(compact.len() * 2);
    let mut rest = compact;
    let mut depth = 0_usize;
    while let Some(c) = rest.chars().next() {
        let mut token = c.len_utf8();
        match c {
            '{' | '[' => {
                out.push(c);
                if rest[token..].starts_with(['}', ']']) {
                    out.push_str(&rest[token..token + 1]);
                    token += 1;
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if depth < MAX_INDENT {
                    new_line(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                token = string_len(rest);
                let text = visible(&rest[..token]);
                if rest[token..].starts_with(':') {
                    out.push_str(&format!("{KEY}{text}{KEY:#}"));
                } else {
                    out.push_str(&text);
                }
            }
            c => out.push(c),
        }
        rest = &rest[token..];
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    if depth <= MAX_INDENT {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

/// Length of the string at the start of `text`, with both quotes.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return i + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use folio::Json;

    fn plain(compact: &str) -> String {
        anstream::adapter::strip_str(&pretty(compact)).to_string()
    }

    #[test]
    fn tokens_stay() {
        let compact = r#"{"b":90071992547409931234,"a":[1,{"x\"y:{":"},["}],"a":{},"e":[],"n":1e400}"#;
        let text = plain(compact);
        assert_eq!(
            text,
            "{\n  \"b\": 90071992547409931234,\n  \"a\": [\n    1,\n    {\n      \"x\\\"y:{\": \"},[\"\n    }\n  ],\n  \"a\": {},\n  \"e\": [],\n  \"n\": 1e400\n}"
        );
        assert_eq!(Json::parse(text.as_bytes()).unwrap().as_str(), compact);
    }

    #[test]
    fn scalars() {
        for value in ["1", "\"a\"", "null", "[]", "{}"] {
            assert_eq!(plain(value), value);
        }
    }

    #[test]
    fn deep_values_stay_bounded() {
        let compact = format!("{}1,2{}", "[".repeat(20_000), "]".repeat(20_000));
        let text = plain(&compact);
        assert!(text.len() < 60_000, "{}", text.len());
        assert_eq!(Json::parse_stored(text.as_bytes()).unwrap().as_str(), compact);
    }
}
