//! Logs that nobody uses at the moment are let go of, whoever begins to use them just then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::rig::{Rig, append, page};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_that_is_let_go_of_while_it_is_used_stays_one() {
    let rig = Arc::new(Rig::new());
    append(&rig.history(), &["0"]).await;
    let over = Arc::new(AtomicBool::new(false));
    let sweeps = {
        let (rig, over) = (Arc::clone(&rig), Arc::clone(&over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                rig.logs.sweep(Duration::ZERO);
            }
        })
    };
    // Handles that know the log from before, all of them for a moment without use.
    let writers = (0..4).map(|writer| {
        let log = rig.history();
        tokio::spawn(async move {
            for n in 0..200 {
                append(&log, &[&format!("[{writer},{n}]")]).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    sweeps.join().unwrap();
    let page = page(&rig.history(), None).await;
    let seqs: Vec<u64> = page.entries.iter().map(|entry| entry.seq).collect();
    assert_eq!((seqs, page.gap, page.head.seq), ((1..=801).collect(), None, 801));
}
