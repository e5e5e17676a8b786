//! A log too large to be written anew, whose last entry was lost: until a new piece has begun, that must show.

use std::fs::OpenOptions;
use std::path::Path;

use folio::fs::{FsDriver, FsOptions};
use folio::{AppendLog, AppendOptions, AppendOutcome, Data, Driver, GapReason, Json, Position, ReadOptions};
use libtest_mimic::Failed;

use super::Outcome;
use super::logs::{log, project, unit};
use super::strace::{self, Tally};

const POINTS: usize = 15;

pub(super) fn sweep() -> Outcome {
    let torn = |strace: &[&str], root: &Path| strace::child("torn", root, Path::new("/dev/null"), strace);
    let whole = tempfile::tempdir()?;
    make(whole.path())?;
    let calls = strace::calls_of(|strace| torn(strace, whole.path()))?;
    let mut tally = Tally::new("kill", "torn");
    for (name, at) in strace::points(calls, "FOLIO_KILL_POINTS", POINTS) {
        let temp = tempfile::tempdir()?;
        let lost = make(temp.path())?;
        let kill = format!("inject={name}:signal=KILL:when={at}");
        tally.point(!torn(&["-o", "/dev/null", "-e", &kill], temp.path()).status()?.success());
        let root = temp.path().to_owned();
        strace::after(&format!("killed at {name} {at}"), async move {
            for _ in 0..2 {
                let driver = FsDriver::open(&root, FsOptions::default()).await?;
                let log = log(&driver, "history");
                expect_lost(&*log, lost).await?;
                let AppendOutcome::Appended(_) = log.append(unit(1), AppendOptions::default()).await? else { return Ok(()) };
                expect_lost(&*log, lost).await?;
                driver.close().await?;
            }
            Ok(())
        })?;
    }
    tally.end()
}

/// Returns the position of the entry whose line is torn.
fn make(root: &Path) -> Outcome<Position> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let head = runtime.block_on(async {
        let driver = FsDriver::open(root, FsOptions::default()).await?;
        driver.create_project(&project()).await?;
        let large = Json::from_value(&"x".repeat(600_000))?;
        let entries = vec![Data::Json(large.clone()), Data::Json(large)];
        let log = log(&driver, "history");
        let _ = log.append(entries, AppendOptions::default()).await?;
        let _ = log.append(unit(0), AppendOptions::default()).await?;
        let head = log.status().await?.head;
        driver.close().await?;
        Ok::<_, Failed>(head)
    })?;
    let file = OpenOptions::new().write(true).open(root.join("p/.meta/history.jsonl"))?;
    file.set_len(file.metadata()?.len() - 5)?;
    Ok(head)
}

/// The child.
pub(super) async fn work(root: &Path) {
    let driver = FsDriver::open(root, FsOptions::default()).await.unwrap();
    let _ = log(&driver, "history").append(unit(0), AppendOptions::default()).await.unwrap();
    driver.close().await.unwrap();
}

/// A reader that has seen the entry at `lost` is told that it is not there any more, before anything else.
async fn expect_lost(log: &dyn AppendLog, lost: Position) -> Outcome {
    let page = log.read(ReadOptions { since: Some(lost.into()), ..ReadOptions::default() }).await?;
    match page.gap {
        Some(gap) if gap.reason == GapReason::Epoch && gap.resumes_after.seq == lost.seq - 1 => Ok(()),
        gap => Err(format!("a reader at {lost} is told {gap:?}, and {} entries", page.entries.len()).into()),
    }
}
