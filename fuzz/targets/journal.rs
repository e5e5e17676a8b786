//! Any bytes as a journal, and any records under right checksums: the root opens or is refused, twice the same way, and
//! nothing changes that no record names, nor anything outside the root.
#![no_main]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use folio::fs::{FsDriver, FsOptions, doctor};
use folio::{Driver, ManualClock, ProjectExt, ProjectId};
use folio_fuzz::reading::{allowed, ascending};
use folio_fuzz::scratch::{Scratch, run};
use folio_fuzz::{image, sums};
use libfuzzer_sys::fuzz_target;

const ROOT: &str = r#"{"format":1,"id":"00000000000000000000000000000001","epoch_reserve":0,"life":0}"#;
/// What records can speak of. In them the eight bytes `F0 F0 F0 F0 F0 F0 F0` and a place in this list stand for the inode
/// of one, with `F1` for the time of its making, and with `F2` for that of its last change.
const KNOWN: [&str; 8] = [
    "p/.meta/history.jsonl",
    "p/.meta/d.json",
    "p/f.txt",
    ".folio/tmp/aa",
    ".folio/tmp/bb",
    "p",
    ".folio/tmp/cc",
    "p/.meta/history.d/00000000000000000001.jsonl",
];

fn prepare(base: &Path) {
    let root = base.join("root");
    for folder in ["outside", "root/p/.meta/history.d", "root/.folio/journal", "root/.folio/tmp/cc", "root/.folio/quarantine"] {
        std::fs::create_dir_all(base.join(folder)).expect("a folder");
    }
    let header = |base| {
        let head = r#"{"folio":1,"epoch":9,"id":[1,1],"prev":[[0,0]],"#;
        sums::line(&format!("{head}\"base\":{base},\"horizon\":0,\"ts\":1"), "}\n")
    };
    let entry = |seq| sums::line(&format!(r#"{{"seq":{seq},"ts":1"#), ",\"data\":1}\n");
    let files = [
        (".folio/root.json", format!("{ROOT}\n")),
        (KNOWN[0], format!("{}{}", header(1), entry(2))),
        (KNOWN[1], "{}\n".to_owned()),
        (KNOWN[2], "text\n".to_owned()),
        (KNOWN[3], "{\"new\":1}\n".to_owned()),
        (KNOWN[4], header(2)),
        (KNOWN[7], format!("{}{}", header(0), entry(1))),
    ];
    for (path, bytes) in files {
        std::fs::write(root.join(path), bytes).expect("a file");
    }
    std::fs::write(base.join("outside/secret"), "secret").expect("a file");
    std::os::unix::fs::symlink("../../outside", root.join("p/link")).expect("a link");
}

/// Puts what is true of the files into records that speak of them.
fn place(record: &mut [u8], root: &Path) {
    for at in 0..record.len().saturating_sub(7) {
        let Some(&[kind, a, b, c, d, e, f, which]) = record.get(at..at + 8) else { continue };
        if !(0xF0..=0xF2).contains(&kind) || [a, b, c, d, e, f] != [0xF0; 6] {
            continue;
        }
        let meta = std::fs::metadata(root.join(KNOWN[usize::from(which) % KNOWN.len()])).expect("it is there");
        let ns = |time: std::time::SystemTime| {
            u64::try_from(time.duration_since(UNIX_EPOCH).expect("later").as_nanos()).expect("soon")
        };
        let value = match kind {
            0xF0 => meta.ino(),
            0xF1 => meta.created().map_or(0, ns),
            _ => meta.modified().map_or(0, ns),
        };
        record[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
}

/// The records in `input`, each behind its length of two bytes.
fn records(mut input: &[u8], root: &Path) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let [low, high, rest @ ..] = input {
        let (record, rest) = rest.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(rest.len()));
        let mut record = record.to_vec();
        place(&mut record, root);
        records.push(record);
        input = rest;
    }
    records
}

/// A segment with these batches, as `docs/design.md` has it.
fn segment(batches: &[Vec<Vec<u8>>], torn: bool) -> Vec<u8> {
    const BYTES: usize = 64 << 10;
    let root_id: [u8; 16] = 1_u128.to_be_bytes();
    let (generation, first) = (1_u64, 0_u64);
    let mut out = b"folioJN1".to_vec();
    out.extend_from_slice(&root_id);
    for number in [generation, first, BYTES as u64, 0, 0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out.resize(512, 0);
    for records in batches {
        let lsn = first + out.len() as u64 - 512;
        let mut payload = Vec::new();
        for record in records {
            payload.extend_from_slice(&u32::try_from(record.len()).expect("short").to_le_bytes());
            payload.extend_from_slice(record);
        }
        let mut rest = u32::try_from(payload.len()).expect("short").to_le_bytes().to_vec();
        rest.extend_from_slice(&u32::try_from(records.len()).expect("few").to_le_bytes());
        rest.extend_from_slice(&lsn.to_le_bytes());
        rest.extend_from_slice(&0_u64.to_le_bytes());
        rest.extend_from_slice(&payload);
        let mut sum = crc32c::crc32c(&root_id);
        for part in [&generation.to_le_bytes()[..], &lsn.to_le_bytes(), &rest] {
            sum = crc32c::crc32c_append(sum, part);
        }
        out.extend_from_slice(b"FJB1");
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&rest);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    if torn && out.len() > 1024 {
        let last = out.len() - 512;
        out[last..].fill(0);
    }
    out.resize(BYTES.max(out.len()), 0);
    out
}

async fn open(root: &Path) -> folio::Result<()> {
    let clock = Arc::new(ManualClock::new(1_763_900_000_000));
    let driver = FsDriver::open(root, FsOptions { clock, ..FsOptions::default() }).await?;
    let log = driver.project(&ProjectId::new("p").expect("an id")).history();
    if let Err(error) = ascending(&*log, 100).await {
        allowed(&error);
    }
    driver.close().await
}

async fn examine(base: &Path, told: &[u8]) {
    let root = &base.join("root");
    let outside = image::tree(base, &["root"]);
    let before = image::tree(root, &[".folio"]);
    if let Err(error) = doctor::check(root, |_| {}).await {
        allowed(&error);
    }
    assert_eq!(image::tree(root, &[".folio"]), before, "doctor changes nothing");
    let first = open(root).await;
    let after = image::tree(root, &[".folio"]);
    let id = std::fs::read_to_string(root.join(".folio/root.json")).expect("it stays");
    assert!(id.contains("00000000000000000000000000000001"), "{id}");
    let changed = |file: &&(String, Vec<u8>)| !(before.contains(file) && after.contains(file));
    for (path, _) in before.iter().chain(&after).filter(changed) {
        // A record names it, or a folder that it lies in, as a whole or by another way to write it.
        let named = path
            .split('/')
            .any(|part| part != "p" && part != ".meta" && told.windows(part.len()).any(|window| window == part.as_bytes()));
        let moved = told.windows(2).any(|window| window == b"\x01p" || window == b"\x00p");
        assert!(named || moved, "{path} changed, and no record names it");
    }
    assert_eq!(image::tree(base, &["root"]), outside, "outside of the root");
    let second = open(root).await;
    assert_eq!(first.as_ref().map_err(|error| error.code()), second.as_ref().map_err(|error| error.code()));
    assert_eq!(image::tree(root, &[".folio"]), after, "a second open changes nothing more");
    assert_eq!(image::tree(base, &["root"]), outside, "outside of the root");
    if let Err(error) = first {
        allowed(&error);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&mode, rest)) = input.split_first() else { return };
    let scratch = Scratch::new();
    prepare(scratch.path());
    let root = scratch.path().join("root");
    let journal = if mode & 1 == 0 {
        rest.to_vec()
    } else {
        let records = records(rest, &root);
        let batches: Vec<_> =
            if mode & 2 == 0 { vec![records] } else { records.into_iter().map(|record| vec![record]).collect() };
        segment(&batches, mode & 4 != 0)
    };
    std::fs::write(root.join(".folio/journal/1.journal"), &journal).expect("a file");
    run(examine(scratch.path(), rest));
});
