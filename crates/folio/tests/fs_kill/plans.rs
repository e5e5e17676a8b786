//! In which order workloads do what.

use super::ops::{Op, Step};

pub(super) const NAMES: [&str; 5] = ["documents", "files", "commits", "together", "lives"];

const DOCS: [&str; 4] = ["a", "b", "c", "d"];
const FILES: [&str; 5] = ["f", "g", "folder/f", "folder/g", "folder/deep/f"];
const LOGS: [&str; 4] = ["history", "runs/1", "runs/2", "other"];

/// A plan is the same each time.
pub(super) fn plan(name: &str) -> Vec<Step> {
    let mut rng = fastrand::Rng::with_seed(7);
    let one = |op| Step::Together(vec![op]);
    match name {
        "documents" => (0..90).map(|_| one(document(&mut rng))).collect(),
        "files" => (0..70).map(|_| one(file(&mut rng, 300_000))).collect(),
        "commits" => (0..45).map(|_| one(commit(&mut rng))).collect(),
        "together" => (0..35).map(|at| together(&mut rng, at)).collect(),
        _ => (0..60).map(|at| life(&mut rng, at)).collect(),
    }
}

fn pick(rng: &mut fastrand::Rng, of: &[&'static str]) -> &'static str {
    of[rng.usize(0..of.len())]
}

fn document(rng: &mut fastrand::Rng) -> Op {
    let key = pick(rng, &DOCS);
    match rng.u8(0..10) {
        0..=5 => Op::PutDoc(key, rng.usize(0..9_000)),
        6..=7 => Op::PatchDoc(key),
        _ => Op::DeleteDoc(key),
    }
}

/// Small ones stand in the record, larger ones are a file that gets its name.
fn file(rng: &mut fastrand::Rng, large: usize) -> Op {
    let path = pick(rng, &FILES);
    match rng.u8(0..10) {
        0..=4 => Op::PutFile(path, rng.usize(0..6_000)),
        5..=7 => Op::PutFile(path, rng.usize(60_000..large)),
        _ => Op::DeleteFile(path),
    }
}

/// Of several kinds, each target once.
fn commit(rng: &mut fastrand::Rng) -> Op {
    let mut ops = vec![
        Op::PutDoc("a", rng.usize(0..3_000)),
        if rng.bool() { Op::DeleteDoc("b") } else { Op::PutDoc("b", 9) },
        Op::PutFile("f", rng.usize(0..90_000)),
        Op::Append("history", rng.u64(1..4)),
    ];
    if rng.bool() {
        ops.push(if rng.bool() { Op::DeleteFile("folder/f") } else { Op::PutFile("folder/f", 500) });
    }
    if rng.bool() {
        ops.push(Op::Append("runs/1", 2));
    }
    if rng.u8(0..6) == 0 { Op::Refused(ops) } else { Op::Commit(ops) }
}

/// Several logs, a document and a file, so that some share a batch.
fn together(rng: &mut fastrand::Rng, at: u64) -> Step {
    let mut ops: Vec<Op> = LOGS.iter().filter(|_| rng.u8(0..4) > 0).map(|log| Op::Append(log, 1 + at % 3)).collect();
    if at.is_multiple_of(3) {
        ops.push(document(rng));
        ops.push(file(rng, 70_000));
    }
    if at % 8 == 7 {
        ops = vec![Op::Truncate("history", 5), Op::DeleteLog("other"), Op::Append("runs/1", 1)];
    }
    Step::Together(ops)
}

/// Of everything, with ends between: some clean, some not.
fn life(rng: &mut fastrand::Rng, at: u64) -> Step {
    match at % 7 {
        6 if at.is_multiple_of(2) => Step::Close,
        6 => Step::Leave,
        0 => Step::Together(vec![commit(rng)]),
        1 => Step::Together(vec![file(rng, 70_000)]),
        2 | 3 => Step::Together(vec![Op::Append(pick(rng, &LOGS), 2), document(rng)]),
        4 if at > 30 => Step::Together(vec![Op::Truncate("history", 4)]),
        _ => Step::Together(vec![document(rng)]),
    }
}
