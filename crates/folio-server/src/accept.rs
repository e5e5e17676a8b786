//! Which of the types on offer the client prefers.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::problem::{Problem, Refusal};

/// The media type of JSON answers.
pub(crate) const JSON: &str = "application/json";
/// The media type of one JSON value a line.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// The media type of event streams.
pub(crate) const EVENTS: &str = "text/event-stream";

/// The best offer by Accept; the first of them where Accept is absent or has no preference.
pub(crate) fn preferred(headers: &HeaderMap, offers: &[&'static str]) -> Result<&'static str, Problem> {
    let ranges: Vec<Range> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Range::parse)
        .collect();
    let mut best: Option<(&'static str, u16)> = None;
    for &offer in offers {
        let weight = if ranges.is_empty() { 1_000 } else { weight(&ranges, offer) };
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((offer, weight));
        }
    }
    match best {
        Some((offer, _)) => Ok(offer),
        None => Err(Refusal::NotAcceptable { offers: offers.join(", ") }.into()),
    }
}

/// One range of Accept, with its weight in thousandths.
struct Range {
    kind: String,
    weight: u16,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().filter(|kind| !kind.is_empty())?.to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(Self { kind, weight: weight.map_or(1_000, thousandths) })
    }

    /// How exactly this range means `offer`: 0 for not at all.
    fn meets(&self, offer: &str) -> u8 {
        let group = offer.split('/').next().unwrap_or_default();
        match self.kind.as_str() {
            kind if kind == offer => 3,
            "*/*" | "*" => 1,
            kind if kind.strip_suffix("/*") == Some(group) => 2,
            _ => 0,
        }
    }
}

fn weight(ranges: &[Range], offer: &str) -> u16 {
    let exactest = ranges.iter().filter(|range| range.meets(offer) > 0).max_by_key(|range| range.meets(offer));
    exactest.map_or(0, |range| range.weight)
}

fn thousandths(text: &str) -> u16 {
    match text.parse::<f32>() {
        // In range by the guard, so nothing is cut off.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000 after the guard")]
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0) as u16,
        _ => 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(accept: &[&'static str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, http::HeaderValue::from_static(value));
        }
        preferred(&headers, &[JSON, NDJSON, EVENTS]).ok()
    }

    #[test]
    fn table() {
        for (accept, chosen) in [
            (&[][..], Some(JSON)),
            (&[""], Some(JSON)),
            (&["*/*"], Some(JSON)),
            (&["text/event-stream"], Some(EVENTS)),
            (&["Text/Event-Stream"], Some(EVENTS)),
            (&["text/*"], Some(EVENTS)),
            (&["application/x-ndjson"], Some(NDJSON)),
            (&["application/x-ndjson, */*;q=0.1"], Some(NDJSON)),
            (&["application/json;q=0.5, text/event-stream;q=0.6"], Some(EVENTS)),
            (&["application/json;q=0, */*"], Some(NDJSON)),
            (&["text/html", "text/event-stream"], Some(EVENTS)),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], Some(JSON)),
            (&["application/json; charset=utf-8"], Some(JSON)),
            (&["text/html"], None),
            (&["*/*;q=0"], None),
        ] {
            assert_eq!(choose(accept), chosen, "{accept:?}");
        }
    }
}
