//! Random choices: payloads of many shapes, cursors good and bad.

use bytes::Bytes;
use fastrand::Rng;
use folio::{Cursor, Data, Order, Position, ReadOptions};

use super::reference::Lives;
use crate::make::json;

/// True once in `n` times.
pub(super) fn one_in(random: &mut Rng, n: u32) -> bool {
    random.u32(0..n) == 0
}

pub(super) fn payload(random: &mut Rng) -> Data {
    const TEXTS: &[&str] = &[
        "null",
        "-0",
        "1e400",
        "98765432109876543210",
        r#""""#,
        r#""\ud83d""#,
        r#""\u0000 \n\r ""#,
        "\"\u{2028}ü😀\"",
        "[]",
        r#"{"b":1,"a":[{}],"b":2}"#,
        r#"{"seq":1,"ts":1,"crc":"00000000","data":1}"#,
        r#"{"b64":"AA=="}"#,
    ];
    match random.u32(0..8) {
        0 => Data::Bytes(Bytes::new()),
        1 => Data::Bytes((0..random.usize(1..400)).map(|_| random.u8(..)).collect()),
        2 => Data::Bytes(Bytes::from_static(b"\n{\"seq\":1}\r\n\0")),
        3 => Data::Json(json(&format!("\"{}\"", "x".repeat(random.usize(0..3_000))))),
        4 | 5 => Data::Json(json(&random.u32(..).to_string())),
        _ => Data::Json(json(random.choice(TEXTS).copied().unwrap_or("0"))),
    }
}

pub(super) fn payloads(random: &mut Rng, most: usize) -> Vec<Data> {
    (0..random.usize(0..=most)).map(|_| payload(random)).collect()
}

/// A cursor that some client may hand back: of this life or an earlier one, good, compacted, ahead or made up.
pub(super) fn cursor(random: &mut Rng, lives: &Lives) -> Cursor {
    let head = lives.present().map_or(0, super::reference::Life::head);
    let seq = random.u64(0..=head + 2);
    match random.u32(0..10) {
        0 => Cursor::START,
        1 => Position::START.into(),
        2 => Position { epoch: *random.choice(&[0, 7, 1 << 52]).unwrap_or(&0), seq }.into(),
        3 | 4 => Cursor::bare(seq),
        5 => lives.all.get(random.usize(0..lives.all.len().max(1))).map_or(Cursor::START, |life| life.position(seq).into()),
        _ => {
            let Some(life) = lives.present() else { return Cursor::bare(seq) };
            life.position(random.u64(0..=head)).into()
        }
    }
}

pub(super) fn read(random: &mut Rng, lives: &Lives) -> ReadOptions {
    let head = lives.present().map_or(0, super::reference::Life::head);
    ReadOptions {
        since: (!one_in(random, 3)).then(|| cursor(random, lives)),
        before: one_in(random, 3).then(|| random.u64(0..=head + 3)),
        order: if random.bool() { Order::Asc } else { Order::Desc },
        limit: if one_in(random, 3) { 10_000 } else { random.usize(1..=head as usize + 2) },
        max_bytes: if one_in(random, 3) { random.usize(0..4_000) } else { folio::log::MAX_PAGE_BYTES },
    }
}
