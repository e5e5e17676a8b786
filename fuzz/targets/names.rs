//! Names, cursors and tags: exactly what the rules allow is taken, and it prints as it was.
#![no_main]

use folio::{CollectionName, Cursor, DocKey, Durability, Etag, FilePath, GapReason, LogName, Position, ProjectId};
use libfuzzer_sys::fuzz_target;

/// The rules, written a second time.
mod rule {
    pub fn token(text: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        (1..=128).contains(&text.len()) && text.chars().all(plain)
    }

    pub fn path(text: &str) -> bool {
        let segment = |part: &str| (1..=255).contains(&part.len()) && !part.starts_with('.') && !part.contains('\0');
        text.len() <= 3_072 && text.split('/').all(segment)
    }

    pub fn encoded(text: &str) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/".contains(&byte);
        text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
    }

    pub fn log(text: &str) -> bool {
        let segment = |part: &str| !["", ".", ".."].contains(&part) && !part.contains('\0') && encoded(part).len() <= 200;
        encoded(text).len() <= 1_000 && text.split('/').all(segment)
    }

    pub fn number(text: &str) -> bool {
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        digits && (text == "0" || !text.starts_with('0')) && text.len() <= 16 && text.parse::<u64>().unwrap() < 1 << 53
    }

    pub fn position(text: &str) -> bool {
        text.split_once('-').is_some_and(|(epoch, seq)| number(epoch) && number(seq))
    }

    pub fn tag(text: &str) -> bool {
        text.len() == 32 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
    }
}

/// `$kind` takes `$text` just where the rule does; then it prints the same, and comes back from JSON.
macro_rules! same {
    ($kind:ty, $text:expr, $rule:expr) => {{
        let parsed = $text.parse::<$kind>();
        assert_eq!(parsed.is_ok(), $rule, "{}: {parsed:?}", stringify!($kind));
        let quoted = serde_json::Value::from($text).to_string();
        let read = serde_json::from_str::<$kind>(&quoted);
        match &parsed {
            Ok(value) => {
                assert_eq!(value.to_string(), $text);
                assert_eq!(read.as_ref().ok(), Some(value));
                assert_eq!(serde_json::to_string(value).unwrap(), quoted);
            }
            Err(error) => {
                assert!(read.is_err());
                let message = error.to_string();
                assert!(message.len() < 2_000 && !message.contains(['\n', '\r', '\0']), "{message:?}");
            }
        }
        parsed.ok()
    }};
}

fuzz_target!(|text: &str| {
    same!(ProjectId, text, rule::token(text));
    same!(DocKey, text, rule::token(text));
    same!(CollectionName, text, rule::token(text));
    same!(FilePath, text, rule::path(text));
    same!(Etag, text, rule::tag(text));
    same!(Cursor, text, rule::number(text) || rule::position(text));
    same!(Position, text, rule::position(text));
    if let Some(name) = same!(LogName, text, rule::log(text)) {
        let encoded = name.encoded();
        assert_eq!(encoded, rule::encoded(text));
        assert_eq!(LogName::decode(&encoded), Some(name));
    }
    if let Some(name) = LogName::decode(text) {
        assert_eq!(name.encoded(), text);
    }
    assert!(GapReason::parse(text).is_none_or(|reason| reason.as_str() == text));
    assert!(Durability::parse(text).is_none_or(|durability| durability.as_str() == text));
    folio::fuzzing::sealed_name(text);
});
