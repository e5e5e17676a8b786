//! JSON Merge Patch (RFC 7396) on text, so that what the patch does not name keeps its tokens.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in order, values unparsed.
struct Members<'a>(Vec<(String, &'a str)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                    members.push((name.get().to_owned(), value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

fn members(text: &str) -> Option<Vec<(String, &str)>> {
    serde_json::from_str::<Members<'_>>(text).ok().map(|members| members.0)
}

/// The name that a quoted token spells, so that `"\u0061"` and `"a"` are one member.
fn spelled(token: &str) -> String {
    serde_json::from_str(token).unwrap_or_else(|_| token.to_owned())
}

pub(super) fn merge(target: Option<&str>, patch: &str) -> String {
    let Some(changes) = members(patch) else { return patch.to_owned() };
    let mut merged: Vec<(String, String)> =
        target.and_then(members).unwrap_or_default().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    for (name, change) in changes {
        let wanted = spelled(&name);
        let mut found = merged.iter().rposition(|(present, _)| spelled(present) == wanted);
        if change == "null" {
            merged.retain(|(present, _)| spelled(present) != wanted);
            continue;
        }
        // A duplicate name in the target: the last one counts, and only one is left.
        if let Some(at) = found {
            let mut index = 0;
            merged.retain(|(present, _)| {
                index += 1;
                index - 1 == at || spelled(present) != wanted
            });
            found = merged.iter().position(|(present, _)| spelled(present) == wanted);
        }
        match found.and_then(|at| merged.get_mut(at)) {
            Some((_, value)) => *value = merge(Some(value), change),
            None => merged.push((name, merge(None, change))),
        }
    }
    let body: Vec<String> = merged.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
    format!("{{{}}}", body.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn rfc_examples() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merge(Some(target), patch), result, "{target} + {patch}");
        }
    }

    #[test]
    fn untouched_tokens_stay() {
        assert_eq!(
            merge(Some(r#"{"n":12345678901234567890,"e":1e400}"#), r#"{"x":0.10}"#),
            r#"{"n":12345678901234567890,"e":1e400,"x":0.10}"#
        );
        assert_eq!(merge(Some(r#"{"a":1,"\u0061":2}"#), r#"{"a":3}"#), r#"{"\u0061":3}"#);
    }
}
