//! Any bytes as the files of a log: it opens, reads, takes appends, compacts and forks, and keeps what it had.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use folio::fs::{FsDriver, FsOptions, doctor};
use folio::{AppendLog, AppendOptions, AppendOutcome, Data, Driver, Json, LogName, ManualClock, ProjectExt, ProjectId};
use folio_fuzz::reading::{self, Reading, allowed, ascending, descending, followed};
use folio_fuzz::scratch::{Scratch, pick, run};
use folio_fuzz::{image, sums};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

/// An error that such a log may be answered with ends the run.
macro_rules! or_stop {
    ($outcome:expr) => {
        match $outcome {
            Ok(value) => value,
            Err(error) => return allowed(&error),
        }
    };
}

fn project() -> ProjectId {
    ProjectId::new("p").expect("an id")
}

async fn open(root: &Path, input: &[u8]) -> folio::Result<FsDriver> {
    // Small segments are sealed at once, large ones never.
    let segment_bytes = if pick(input, 1).is_multiple_of(2) { 200 } else { 64 << 20 };
    let clock = Arc::new(ManualClock::new(1_763_900_000_000));
    FsDriver::open(root, FsOptions { segment_bytes, clock, ..FsOptions::default() }).await
}

async fn reopened(driver: FsDriver, root: &Path, input: &[u8]) -> (FsDriver, Arc<dyn AppendLog>) {
    driver.close().await.expect("closing");
    drop(driver);
    let driver = open(root, input).await.expect("what was closed opens");
    let log = driver.project(&project()).history();
    (driver, log)
}

/// What was there is there: nothing that was read before is another now, or gone.
fn keeps(before: &Reading, after: &Reading, horizon: u64) {
    let kept: Vec<_> = before.entries.iter().filter(|entry| entry.seq > horizon).collect();
    let now: Vec<_> = after.entries.iter().filter(|entry| entry.seq <= before.head.seq).collect();
    assert_eq!(kept, now);
    assert!(after.head.seq >= before.head.seq);
}

/// The same, in every way that lines are told.
async fn tells(log: &dyn AppendLog, limit: usize, reading: &Reading) -> folio::Result<()> {
    let text = reading::text(&reading.entries);
    assert_eq!(reading::ascending_lines(log, 1_000).await?, (text.clone(), reading.gaps.clone()), "lines");
    assert_eq!(reading::ascending_lines(log, limit).await?.0, text, "lines in pages of {limit}");
    assert_eq!(reading::descending_lines(log, limit).await?, text, "lines, descending");
    assert_eq!(reading::followed_lines(log).await?, text, "lines, followed");
    Ok(())
}

async fn append(log: &dyn AppendLog, key: Option<&str>) -> folio::Result<folio::Appended> {
    let entries = vec![Data::Json(Json::parse(b"{\"new\":1}").expect("JSON")), Data::Bytes(vec![0, 10, 255].into())];
    let options = AppendOptions { idempotency_key: key.map(Into::into), ..AppendOptions::default() };
    match log.append(entries, options).await? {
        AppendOutcome::Appended(appended) => Ok(appended),
        AppendOutcome::Precondition { .. } => panic!("none was asked for"),
    }
}

async fn examine(root: &Path, input: &[u8]) {
    let driver = or_stop!(open(root, input).await);
    let log = driver.project(&project()).history();
    let small = 1 + usize::try_from(pick(input, 2) % 5).expect("small");
    let first = or_stop!(ascending(&*log, 1_000).await);
    assert_eq!(or_stop!(ascending(&*log, small).await).entries, first.entries, "in pages of {small}");
    assert_eq!(or_stop!(descending(&*log, small).await), first.entries, "descending");
    assert_eq!(or_stop!(followed(&*log).await), first.entries, "followed");
    or_stop!(tells(&*log, small, &first).await);

    let status = or_stop!(log.status().await);
    assert_eq!(status.head, first.head);
    let mut last = first.clone();
    match append(&*log, Some("key")).await {
        Ok(once) => {
            let twice = append(&*log, Some("key")).await.expect("the first answer again");
            assert_eq!((twice.first, twice.last, twice.replayed), (once.first, once.last, true));
            if !once.replayed {
                assert_eq!((once.first, once.last), (first.head.seq + 1, first.head.seq + 2));
                last = ascending(&*log, 1_000).await.expect("reading after an append");
                assert_eq!(last.head.seq, once.last);
                assert_eq!(last.entries.last().map(|entry| entry.seq), Some(once.last), "it is read back");
                keeps(&first, &last, 0);
            }
        }
        Err(error) => {
            allowed(&error);
            if let Err(error) = append(&*log, None).await {
                allowed(&error);
            }
            last = or_stop!(ascending(&*log, 1_000).await);
            keeps(&first, &last, 0);
        }
    }
    tells(&*log, small, &last).await.expect("it was read before");
    let (driver, log) = reopened(driver, root, input).await;
    let again = ascending(&*log, 1_000).await.expect("it was read before");
    assert_eq!((&again.entries, again.head, &again.lineage), (&last.entries, last.head, &last.lineage), "after reopening");

    let at = status.horizon + pick(input, 3) % (last.head.seq - status.horizon + 1);
    let fork = LogName::new("a/fork").expect("a name");
    match log.fork(at, &fork).await {
        Ok(()) => {
            let forked = ascending(&*driver.project(&project()).log(&fork), 1_000).await.expect("a fork reads");
            let kept: Vec<_> = last.entries.iter().filter(|entry| entry.seq <= at).cloned().collect();
            assert_eq!((forked.entries, forked.head.seq), (kept, at), "a fork at {at}");
            driver.project(&project()).log(&fork).delete().await.expect("deleting a fork");
        }
        // A log of that name may lie there already.
        Err(error) if error.code() == "exists" => {}
        Err(error) => allowed(&error),
    }

    let up_to = status.horizon + pick(input, 4) % (last.head.seq - status.horizon + 1);
    match log.truncate(up_to).await {
        Ok(truncated) => {
            assert_eq!(truncated.horizon, up_to.max(status.horizon));
            let cut = ascending(&*log, 1_000).await.expect("reading after a compaction");
            keeps(&last, &cut, truncated.horizon);
            last = cut;
        }
        Err(error) => allowed(&error),
    }
    let (driver, log) = reopened(driver, root, input).await;
    let again = ascending(&*log, 1_000).await.expect("it was read before");
    assert_eq!((&again.entries, again.head), (&last.entries, last.head), "reopened after a compaction");

    let copy = ProjectId::new("copy").expect("an id");
    match driver.fork_project(&project(), &copy).await {
        Ok(()) => {
            let copied = ascending(&*driver.project(&copy).history(), 1_000).await.expect("a copy reads");
            assert_eq!((copied.entries, copied.head.seq), (last.entries.clone(), last.head.seq), "a copy");
            driver.delete_project(&copy).await.expect("deleting a copy");
        }
        // A project of that name may be there already.
        Err(error) if error.code() == "exists" => {}
        Err(error) => allowed(&error),
    }

    let horizon = log.status().await.expect("it was read before").horizon;
    driver.close().await.expect("closing");
    drop((driver, log));
    let before = image::tree(root, &[".folio/lock"]);
    let report = doctor::check(root, |_| {}).await.expect("doctor");
    if report.logs == 1 {
        let entries = last.entries.len() as u64;
        assert_eq!((report.entries, report.lost), (entries, last.head.seq - horizon - entries), "{:?}", report.findings);
    }
    assert_eq!(image::tree(root, &[".folio/lock"]), before, "doctor changes nothing");
    let repaired = doctor::repair(root, FsOptions::default(), |_| {}).await;
    if let Err(error) = repaired {
        return allowed(&error);
    }
    let driver = open(root, input).await.expect("what was repaired opens");
    let log = driver.project(&project()).history();
    let healed = or_stop!(ascending(&*log, 1_000).await);
    // Of lines with good sums and seqs that make no sense, repair may keep other ones; the file as it was is set aside.
    let aside = image::tree(&root.join(".folio/quarantine"), &[]);
    let is_aside = |seq: u64| {
        let start = format!("\"seq\":{seq},");
        aside.iter().any(|(_, bytes)| bytes.windows(start.len()).any(|window| window == start.as_bytes()))
    };
    let lost = last.entries.iter().filter(|entry| !healed.entries.contains(entry));
    assert!(lost.clone().all(|entry| is_aside(entry.seq)), "repair lost {:?}", lost.collect::<Vec<_>>());
    driver.close().await.expect("closing");
}

fuzz_target!(|input: &[u8]| {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path().join("p/.meta")).expect("a folder");
    image::write(input, scratch.path());
    run(examine(scratch.path(), input));
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { sums::mutate(data, size, max_size, seed) });
