use super::*;
use crate::error::Error;
use crate::lineage::{Lineage, Piece};
use crate::name::LogName;

fn line(seq: Seq, more: u64, end: UnitEnd, json: &str) -> String {
    let mut out = Vec::new();
    push_entry(&mut out, seq, 1_763_900_000_123, more, end, &Data::Json(Json::parse(json.as_bytes()).unwrap()));
    String::from_utf8(out).unwrap()
}

#[test]
fn the_test_vector_of_the_format() {
    assert_eq!(
        line(1, 0, UnitEnd::default(), r#"{"kind":"tweak"}"#),
        "{\"seq\":1,\"ts\":1763900000123,\"crc\":\"e5e8f62d\",\"data\":{\"kind\":\"tweak\"}}\n"
    );
}

#[test]
fn what_was_written_is_read() {
    let key = Keyed { key: Digest(0xab), request: Digest(u64::MAX) };
    for (more, end) in [
        (0, UnitEnd::default()),
        (7, UnitEnd::default()),
        (0, UnitEnd { entries: Some(3), key: Some(key) }),
        (0, UnitEnd { entries: None, key: Some(Keyed { key: Digest(5), request: Digest(5) }) }),
    ] {
        let text = line(42, more, end, r#"{"x":",\"crc\":\"00000000\"","seq":1}"#);
        let parsed = parse(text.trim_end().as_bytes()).unwrap();
        assert_eq!((parsed.seq, parsed.more, parsed.end), (42, more, end));
        assert_eq!(parsed.body, Body::Json(r#"{"x":",\"crc\":\"00000000\"","seq":1}"#));
    }
    let mut out = Vec::new();
    push_entry(&mut out, 1, 2, 0, UnitEnd::default(), &Data::Bytes(vec![0, 255].into()));
    assert_eq!(parse(out.trim_ascii_end()).unwrap().entry().unwrap().data, Data::Bytes(vec![0, 255].into()));
    out.clear();
    push_closed(&mut out, 3, 9, UnitEnd { entries: Some(2), key: None });
    assert_eq!(parse(out.trim_ascii_end()).unwrap().body, Body::Closed);
    out.clear();
    push_state(&mut out, 3, 9, "{\"keys\":[]}");
    assert_eq!(parse(out.trim_ascii_end()).unwrap().body, Body::State("{\"keys\":[]}"));
}

/// Usual lines are read a quicker way. What that says of any line is what the other one says.
#[test]
fn both_ways_to_read_a_line_say_the_same() {
    let signed = |head: &str, tail: &str| {
        let mut out = head.as_bytes().to_vec();
        finish(&mut out, 0, |out| out.extend_from_slice(tail.as_bytes()));
        out.trim_ascii_end().to_vec()
    };
    let key = ",\"key\":[\"00000000000000ab\",\"ffffffffffffffff\"]";
    let mut usual = 0;
    for beginning in ["{\"seq\":7,\"ts\":5", "{\"seq\":0,\"ts\":5", "{\"seq\":9007199254740992,\"ts\":5", "{\"seq\":07,\"ts\":5"]
    {
        for more in ["", ",\"more\":3", ",\"more\":0", ",\"more\":-1", ",\"more\":99999999999999999999", ",\"new\":[1]"] {
            for n in ["", ",\"n\":12", ",\"n\":\"x\"", ",\"n\":1,\"more\":2"] {
                for key in ["", key, &key.replace("ab", "aB"), &key.replace("00ab", "ab"), &key.replace(",\"f", ", \"f")] {
                    for tail in
                        [",\"data\":{\"a\":1}}", ",\"b64\":\"AP8=\"}", ",\"closed\":true}", ",\"data\":1", ",\"x\":1}", ""]
                    {
                        let line = signed(&format!("{beginning}{more}{n}{key}"), tail);
                        let found = parse(&line);
                        assert_eq!(found, parse_any(&line), "{}", String::from_utf8_lossy(&line));
                        let Some(plain) = plain(&line) else { continue };
                        usual += 1;
                        let found = found.unwrap();
                        assert_eq!((Some(plain.entry()), plain.line), (found.entry(), found.text));
                        assert_eq!(plain.told().concat(), format!("{beginning}{tail}").as_bytes());
                    }
                }
            }
        }
    }
    assert!(usual > 10, "{usual}");
}

#[test]
fn every_flipped_bit_is_found() {
    let text = line(9, 0, UnitEnd { entries: Some(2), key: Some(Keyed { key: Digest(1), request: Digest(2) }) }, "[1,2,3]");
    let whole = text.trim_end().as_bytes();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.to_vec();
            flipped[at] ^= 1 << bit;
            assert!(parse(&flipped).is_none(), "byte {at} bit {bit}: {}", String::from_utf8_lossy(&flipped));
        }
    }
    for cut in 0..whole.len() {
        assert!(parse(&whole[..cut]).is_none());
    }
}

#[test]
fn a_glued_line_is_recovered() {
    let torn = r#"{"seq":8,"ts":1763900000000,"crc":"aaaaaaaa","data":{"a":"{\"seq\":"#;
    let glued = format!("{torn}{}", line(9, 0, UnitEnd::default(), "1").trim_end());
    let (at, inner) = recover(glued.as_bytes(), |_, seq| seq == 9).unwrap();
    assert_eq!((at, inner.seq), (torn.len(), 9));
    assert!(recover(glued.as_bytes(), |_, seq| seq == 8).is_none());
    assert!(recover(torn.as_bytes(), |_, _| true).is_none());
    let shortest = line(1, 0, UnitEnd::default(), "1").replace("1763900000123", "0");
    assert_eq!(shortest.len(), SHORTEST);
}

#[test]
fn headers() {
    let ended = vec![Piece { epoch: 0, last: 0 }, Piece { epoch: 5, last: 9 }];
    let lineage = Lineage::from_parts(ended, 1_763_900_000_000).unwrap();
    let header = Header {
        lineage,
        id: (8123, 17),
        base: 9,
        horizon: 4,
        closed: true,
        fork_of: Some(LogName::new("a/b.c").unwrap()),
        ts: 1,
    };
    let mut out = Vec::new();
    header.push(&mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("{\"folio\":1,\"epoch\":1763900000000,\"id\":[8123,17],\"prev\":[[0,0],[5,9]],\"base\":9,\"horizon\":4,\"closed\":true,\"fork\":\"a/b%2Ec\",\"ts\":1,\"crc\":\""));
    assert_eq!(Header::parse(text.trim_end().as_bytes()).unwrap(), Some(header));
    assert_eq!(Header::parse(text.trim_end().replace("\"base\":9", "\"base\":8").as_bytes()).unwrap(), None);
    let signed = |body: &str| {
        let mut out = body.as_bytes().to_vec();
        finish(&mut out, 0, |out| out.push(b'}'));
        out.trim_ascii_end().to_vec()
    };
    let known = r#"{"folio":1,"epoch":1,"id":[1,1],"prev":[],"base":0,"horizon":0,"ts":1"#;
    assert!(Header::parse(&signed(&format!("{known},\"unknown\":[1]"))).unwrap().is_some());
    assert!(matches!(Header::parse(&signed(&format!("{known},\"needs\":[\"zstd\"]"))), Err(Error::NewerFormat { .. })));
    assert!(matches!(Header::parse(&signed(&known.replace("folio\":1", "folio\":2"))), Err(Error::NewerFormat { .. })));
    assert!(matches!(Header::parse(&signed(r#"{"folio":9,"other":1"#)), Err(Error::NewerFormat { .. })));
}

#[test]
fn adopted_lines_in_any_spelling() {
    let entry = parse_adopted(br#"{ "ts": 7, "data": { "n": 12345678901234567890 }, "seq": 3, "by": "x" }"#).unwrap();
    assert_eq!((entry.seq, entry.ts), (3, 7));
    assert_eq!(entry.data, Data::Json(Json::parse(br#"{"n":12345678901234567890}"#).unwrap()));
    for bad in [
        r#"{"seq":0,"ts":1,"data":1}"#,
        r#"{"seq":9007199254740992,"ts":1,"data":1}"#,
        r#"{"seq":1,"ts":1}"#,
        r#"{"seq":1,"ts":1,"data":{"#,
        "",
        "null",
    ] {
        assert!(parse_adopted(bad.as_bytes()).is_none(), "{bad}");
    }
    assert!(looks_adopted(br#"{"seq":1,"ts":1,"data":{"a":1,"crc":"x"}}"#));
    assert!(!looks_adopted(line(1, 0, UnitEnd::default(), "1").as_bytes()));
    assert!(!looks_adopted(b"{\"folio\":1"));
}
