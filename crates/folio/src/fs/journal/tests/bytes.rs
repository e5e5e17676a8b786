//! What is read of a journal whose bytes are not what was written.

use super::rig::{Rig, commit, commit_together, tiny, unsynced};
use crate::fs::journal::JournalOptions;
use crate::fs::journal::batch::{self, SECTOR, SegmentHead};

/// Batches of one, three and one record; the second takes two sectors.
const LARGE: [u8; 700] = [b'L'; 700];
const BATCHES: [&[&[u8]]; 3] = [&[b"first"], &[b"second a", &LARGE, b"second c"], &[b"third"]];
/// Where each begins, its bytes without padding, and where the next begins.
const PLACES: [(usize, usize, usize); 3] = [(512, 32 + 9, 1024), (1024, 32 + 12 + 704 + 12, 2048), (2048, 32 + 9, 2560)];

fn records(batches: usize) -> Vec<Vec<u8>> {
    BATCHES[..batches].iter().flat_map(|batch| batch.iter().map(|record| record.to_vec())).collect()
}

fn written(options: JournalOptions) -> Rig {
    let rig = Rig::new(0);
    let journal = rig.open(options);
    BATCHES.iter().for_each(|batch| commit_together(&journal, batch));
    drop(journal);
    assert_eq!(rig.found().unwrap(), records(3));
    assert_eq!(rig.names(), ["1.journal"]);
    rig
}

/// The batch that a byte belongs to, padding left out.
fn batch_of(byte: usize) -> Option<usize> {
    PLACES.iter().position(|(begin, bytes, _)| (*begin..begin + bytes).contains(&byte))
}

#[test]
fn every_flipped_byte_is_told_or_ends_the_journal_and_none_alters_a_record() {
    for (options, synced) in [(tiny(), true), (unsynced(), false)] {
        let rig = written(options);
        let (file, good) = (rig.file("1.journal"), rig.bytes("1.journal"));
        for (at, byte) in good.iter().enumerate() {
            for flip in [0x01, 0x80, 0xff] {
                file.write_all_at(&[byte ^ flip], at as u64).unwrap();
                let found = rig.found();
                match batch_of(at) {
                    // A mark in a later batch says that this one was durable.
                    Some(batch) if synced && batch < 2 => {
                        let error = found.unwrap_err();
                        assert_eq!(error.code(), "damaged", "byte {at}");
                        assert!(error.to_string().contains(&format!("byte {}", PLACES[batch].0)), "{error}");
                    }
                    Some(batch) => assert_eq!(found.unwrap(), records(batch), "byte {at}"),
                    None if at < 68 => assert_eq!(found.unwrap_err().code(), "damaged", "byte {at}"),
                    None => assert_eq!(found.unwrap(), records(3), "byte {at}"),
                }
            }
            file.write_all_at(&[*byte], at as u64).unwrap();
        }
        assert_eq!(rig.found().unwrap(), records(3));
    }
}

#[test]
fn what_was_not_written_any_more_ends_the_journal_at_a_whole_batch() {
    let rig = written(tiny());
    let (file, good) = (rig.file("1.journal"), rig.bytes("1.journal"));
    for cut in 0..good.len() {
        file.write_all_at(&vec![0; good.len() - cut], cut as u64).unwrap();
        // The last byte of a record may be NUL anyhow.
        let whole = PLACES.iter().filter(|(begin, bytes, _)| cut >= begin + bytes).count();
        match cut {
            // The head was never whole: no batch can have been durable.
            0..68 => assert_eq!((rig.found().unwrap(), rig.pending().segments.len()), (records(0), 0), "cut at {cut}"),
            _ => assert_eq!(rig.found().unwrap(), records(whole), "cut at {cut}"),
        }
        file.write_all_at(&good, 0).unwrap();
    }
}

#[test]
fn a_lost_sector_below_the_mark_is_told_also_when_all_that_is_left_is_the_next_batch() {
    let (synced, unsynced) = (written(tiny()), written(unsynced()));
    for sector in 1..8 {
        let batch = PLACES.iter().position(|(begin, _, end)| (*begin..*end).contains(&(sector * 512)));
        for (rig, marked) in [(&synced, true), (&unsynced, false)] {
            let (file, good) = (rig.file("1.journal"), rig.bytes("1.journal"));
            file.write_all_at(&[0; 512], sector as u64 * 512).unwrap();
            match (batch, rig.found()) {
                (Some(0 | 1), Err(error)) if marked => assert_eq!(error.code(), "damaged"),
                (Some(0 | 1), found) if marked => panic!("sector {sector}: {found:?}"),
                (batch, found) => assert_eq!(found.unwrap(), records(batch.unwrap_or(3)), "sector {sector}"),
            }
            file.write_all_at(&good, 0).unwrap();
        }
    }
}

#[test]
fn a_file_of_another_length_is_told() {
    let rig = written(tiny());
    let good = rig.bytes("1.journal");
    let lengths = (SECTOR..good.len() as u64).step_by(512).chain([68, 69, 511, 513, 1025, 2559, 4095, 4097, 8192]);
    for length in lengths {
        let file = rig.file("1.journal");
        file.truncate(length).unwrap();
        assert_eq!(rig.found().unwrap_err().code(), "damaged", "{length} bytes");
        file.truncate(0).unwrap();
        file.write_all_at(&good, 0).unwrap();
    }
    assert_eq!(rig.found().unwrap(), records(3));
}

fn head(rig: &Rig, name: &str) -> SegmentHead {
    match SegmentHead::decode(&rig.bytes(name)[..512]) {
        batch::Head::Segment(head) => head,
        other => panic!("{other:?}"),
    }
}

/// A record of which two fit into the first segment, and five into the next.
const TWO_A_SEGMENT: [u8; 1000] = [b'x'; 1000];

/// The first segment's last batch is lost; the head of the second, or a batch in it, says that it was durable.
#[test]
fn the_next_segment_proves_what_the_one_before_held() {
    for (by_head, by_batch) in [(true, true), (true, false), (false, true), (false, false)] {
        let rig = Rig::new(0);
        let journal = rig.open(tiny());
        (0..4).for_each(|_| commit(&journal, &TWO_A_SEGMENT));
        drop(journal);
        assert_eq!(rig.names(), ["1.journal", "2.journal"]);
        assert_eq!(rig.found().unwrap().len(), 4);
        rig.file("1.journal").write_all_at(&[0; 512], SECTOR + 1536).unwrap();
        if !by_head {
            let lower = SegmentHead { durable: 0, ..head(&rig, "2.journal") };
            rig.file("2.journal").write_all_at(&lower.encode(), 0).unwrap();
        }
        if !by_batch {
            rig.file("2.journal").write_all_at(&[0; 2 * 1536], SECTOR).unwrap();
        }
        let proof = match (by_head, by_batch) {
            (true, _) => "the head of 2.journal",
            (false, true) => "the batch at byte 512 of 2.journal",
            (false, false) => {
                assert_eq!(rig.found().unwrap().len(), 1, "nothing says that there was more");
                continue;
            }
        };
        let error = rig.found().unwrap_err().to_string();
        assert!(error.contains("byte 2048") && error.contains(proof), "{error}");
    }
}

#[test]
fn a_segment_that_is_missing_is_told() {
    for missing in ["1.journal", "2.journal"] {
        let rig = Rig::new(0);
        let journal = rig.open(tiny());
        (0..9).for_each(|_| commit(&journal, &TWO_A_SEGMENT));
        drop(journal);
        assert_eq!(rig.names(), ["1.journal", "2.journal", "3.journal"]);
        assert_eq!(rig.found().unwrap().len(), 9);
        rig.folder.unlink(missing).unwrap();
        assert_eq!(rig.found().unwrap_err().code(), "damaged", "{missing}");
    }
}

#[test]
fn a_segment_of_another_root_is_told() {
    let rig = written(tiny());
    let other = SegmentHead { root_id: [1; 16], ..head(&rig, "1.journal") };
    rig.file("1.journal").write_all_at(&other.encode(), 0).unwrap();
    assert!(rig.found().unwrap_err().to_string().contains("another root"));
}

#[test]
fn a_batch_is_good_in_its_own_root_generation_and_place_alone() {
    let rig = written(tiny());
    let (file, own) = (rig.file("1.journal"), head(&rig, "1.journal"));
    let mut payload = Vec::new();
    let mut good = |head: &SegmentHead, offset| batch::read(&file, head, offset, &mut payload).unwrap().is_some();
    assert!(good(&own, SECTOR));
    assert!(!good(&SegmentHead { root_id: [1; 16], ..own }, SECTOR));
    assert!(!good(&SegmentHead { generation: own.generation + 1, ..own }, SECTOR));
    assert!(!good(&SegmentHead { first: own.first + 512, ..own }, SECTOR));
    // The same bytes one sector on, where the journal may have ended.
    file.write_all_at(&rig.bytes("1.journal")[512..1024], 2560).unwrap();
    assert!(!good(&own, 2560));
    assert_eq!(rig.found().unwrap(), records(3));
}

/// Any bytes behind a head: nothing but what was written is ever read as a record.
#[test]
fn random_bytes_are_no_records() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let rig = written(tiny());
    let (file, good) = (rig.file("1.journal"), rig.bytes("1.journal"));
    for _ in 0..2_000 {
        let mut bytes = good.clone();
        for _ in 0..rng.usize(1..6) {
            let (from, count) = (rng.usize(512..4096), rng.usize(1..600));
            let to = (from + count).min(bytes.len());
            match rng.u8(0..3) {
                0 => bytes[from..to].fill_with(|| rng.u8(..)),
                1 => {
                    let source = rng.usize(512..=4096 - (to - from));
                    bytes.copy_within(source..source + (to - from), from);
                }
                _ => bytes[from..to].fill(0),
            }
        }
        file.write_all_at(&bytes, 0).unwrap();
        if let Ok(found) = rig.found() {
            assert!((0..4).any(|whole| found == records(whole)), "seed {seed}: {found:?}");
        }
    }
}
