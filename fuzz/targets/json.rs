//! `Json` against serde_json: the same texts are taken, no token changes, and patches do what RFC 7396 says.
#![no_main]

use folio::Json;
use folio::json::MAX_DEPTH;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

/// The text without white space between tokens, its depth, and its member names.
fn outline(text: &str) -> (String, usize, usize) {
    let (mut kept, mut depth, mut deepest, mut names) = (String::new(), 0_usize, 0, 0);
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if quoted {
            (quoted, escaped) = (escaped || c != '"', !escaped && c == '\\');
            kept.push(c);
            continue;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' => continue,
            '"' => quoted = true,
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            ':' => names += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
        kept.push(c);
    }
    (kept, deepest, names)
}

/// Member names in a tree, in which doubled ones are one.
fn names(value: &Value) -> usize {
    match value {
        Value::Array(all) => all.iter().map(names).sum(),
        Value::Object(all) => all.values().map(|value| 1 + names(value)).sum(),
        _ => 0,
    }
}

/// RFC 7396, section 2, word by word.
fn merge(target: Option<Value>, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut merged = match target {
        Some(Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    for (name, change) in changes {
        if change.is_null() {
            merged.remove(name);
        } else {
            let value = merge(merged.remove(name), change);
            merged.insert(name.clone(), value);
        }
    }
    Value::Object(merged)
}

fn check(bytes: &[u8]) -> Option<Json> {
    let oracle = std::str::from_utf8(bytes).ok().filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
    let stored = Json::parse_stored(bytes);
    assert_eq!(stored.is_ok(), oracle.is_some(), "{stored:?}");
    let parsed = Json::parse(bytes);
    let Some(text) = oracle else {
        assert!(parsed.is_err());
        let Err(folio::Error::InvalidJson { line, column, .. }) = stored else { panic!("{stored:?}") };
        let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
        assert!((1..=lines.len()).contains(&line) && (1..=lines[line - 1].len() + 1).contains(&column), "{line}:{column}");
        return None;
    };
    let (kept, depth, _) = outline(text);
    assert_eq!(parsed.is_ok(), depth <= MAX_DEPTH);
    let value = stored.expect("the oracle took it");
    assert_eq!(value.as_str(), kept);
    assert_eq!(Json::parse_stored(kept.as_bytes()).as_ref(), Ok(&value));
    if let Ok(parsed) = parsed {
        assert_eq!(parsed, value);
    }
    let elements: Option<Vec<&RawValue>> = serde_json::from_str(&kept).ok().filter(|_| kept.starts_with('['));
    let ours = value.elements();
    assert_eq!(
        ours.as_ref().map(|all| all.iter().map(Json::as_str).collect::<Vec<_>>()),
        elements.map(|all| all.into_iter().map(RawValue::get).collect())
    );
    Some(value)
}

/// A value, and a patch behind the first NUL.
fn patch(target: &Json, patch: &Json) {
    let merged = target.merge_patch(patch);
    assert_eq!(Json::parse_stored(merged.as_str().as_bytes()).as_ref(), Ok(&merged), "a patched value is a value");
    let (_, _, count) = outline(patch.as_str());
    let tree = |json: &Json| serde_json::from_str::<Value>(json.as_str()).ok();
    // What a doubled name in a patch means is nobody's rule.
    if let Some(change) = tree(patch)
        && names(&change) == count
    {
        if let Some(before) = tree(target) {
            assert_eq!(tree(&merged), Some(merge(Some(before), &change)), "{target:?} + {patch:?}");
        }
        assert_eq!(tree(&Json::patch_of_nothing(patch)), Some(merge(None, &change)));
    }
    // However deep it is, what is not named stays.
    let fresh = Json::parse(br#"{"a name that nobody has":1}"#).expect("a patch");
    let added = target.merge_patch(&fresh);
    if let Some(body) = target.as_str().strip_prefix('{').and_then(|text| text.strip_suffix('}'))
        && !body.contains("a name that nobody has")
    {
        let comma = if body.is_empty() { "" } else { "," };
        assert_eq!(added.as_str(), format!("{{{body}{comma}\"a name that nobody has\":1}}"));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (target, change) = match bytes.iter().position(|&byte| byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &b"{}"[..]),
    };
    if let (Some(target), Some(change)) = (check(target), check(change))
        && Json::parse(change.as_str().as_bytes()).is_ok()
    {
        patch(&target, &change);
    }
});
