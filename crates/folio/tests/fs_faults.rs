//! The filesystem driver on real trouble: a full disk, no inodes, a read-only or failing disk, no file descriptors, the
//! limit on watches. What this machine can't do (mounting needs root, some tools may be absent) is reported as ignored,
//! with the reason.

#![expect(clippy::print_stderr, reason = "how a child process tells its parent what failed")]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use folio::fs::{FsDriver, FsOptions};
use folio::{
    AppendLog, AppendLogExt, BlobStoreExt, Change, Cursor, Data, DocKey, Driver, Error, FilePath, FileReadOptions, JsonKvExt,
    LogName, Project, ProjectExt, ProjectId, ReadOptions, WriteCondition,
};
use futures_util::StreamExt;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Builder;

/// Set for a child process, to the scenario that it is to play and the root that it plays on.
const SCENARIO: &str = "FOLIO_FAULT_SCENARIO";
const ROOT: &str = "FOLIO_FAULT_ROOT";

type Outcome<T = ()> = Result<T, Failed>;

fn main() -> ExitCode {
    if let Ok(scenario) = std::env::var(SCENARIO) {
        let root = std::env::var_os(ROOT).map(PathBuf::from).unwrap_or_default();
        return match play(&scenario, &root) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => {
                eprintln!("{}", failed.message().unwrap_or("failed"));
                ExitCode::FAILURE
            }
        };
    }
    let tests: Vec<Trial> = vec![
        Trial::ignorable_test("a_full_disk_refuses_cleanly_and_heals", || mounted("size=2m", |root| block_on(full_disk(root)))),
        Trial::ignorable_test("a_full_disk_leaves_logs_as_they_were", || mounted("size=2m", |root| block_on(log_rooms(root)))),
        Trial::ignorable_test("an_entry_whose_sync_failed_is_not_read", failing_appends),
        Trial::ignorable_test("a_disk_without_inodes_is_full_too", || {
            mounted("size=16m,nr_inodes=60", |root| block_on(no_inodes(root)))
        }),
        Trial::ignorable_test("a_read_only_root_is_refused_and_says_why", || mounted("size=4m", read_only)),
        Trial::ignorable_test("a_journal_that_cannot_be_synced_stops_the_writes", failing_sync),
        Trial::ignorable_test("without_file_descriptors_calls_fail_and_heal", no_descriptors),
        Trial::ignorable_test("what_cannot_be_watched_is_told_as_a_rescan", few_watches),
    ];
    // One after the other: a child process holds what others have open until it runs its own program.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, tests).exit_code()
}

fn play(scenario: &str, root: &Path) -> Outcome {
    match scenario {
        // One thread for all disk work, because strace counts the calls of each thread on its own.
        "failing_sync" => runtime().max_blocking_threads(1).build()?.block_on(play_failing_sync(root)),
        "failing_append" => runtime().max_blocking_threads(1).build()?.block_on(play_failing_append(root)),
        "no_descriptors" => block_on(play_no_descriptors(root)),
        "few_watches" => block_on(play_few_watches(root)),
        other => Err(format!("there is no scenario {other}").into()),
    }
}

fn runtime() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    builder
}

fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    runtime().build()?.block_on(work)
}

/// Fails with a message unless it is so.
fn expect(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

fn expect_code<T: std::fmt::Debug>(outcome: folio::Result<T>, code: &str, what: &str) -> Outcome {
    match outcome {
        Err(error) if error.code() == code => Ok(()),
        other => Err(format!("{what}: {other:?} instead of {code}").into()),
    }
}

/// Runs this program again, by `wrapper`, to play a scenario.
fn in_child(wrapper: &mut Command, scenario: &str, root: &Path) -> Outcome<Completion> {
    let output = match wrapper.arg(std::env::current_exe()?).env(SCENARIO, scenario).env(ROOT, root).output() {
        Ok(output) => output,
        Err(error) => {
            let tool = wrapper.get_program().to_string_lossy();
            return Ok(Completion::ignored_with(format!("{tool} can't be run: {error}")));
        }
    };
    if output.status.success() {
        return Ok(Completion::Completed);
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// A small file system of its own, gone when dropped.
struct Mount(tempfile::TempDir);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

fn mounted(options: &str, work: impl FnOnce(&Path) -> Outcome) -> Outcome<Completion> {
    let mount = Mount(tempfile::tempdir()?);
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(mount.0.path()).output();
    match mounted {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Ok(Completion::ignored_with(format!("a small file system can't be mounted: {why}")));
        }
        Err(error) => return Ok(Completion::ignored_with(format!("mount can't be run: {error}"))),
    }
    work(mount.0.path())?;
    Ok(Completion::Completed)
}

async fn open(root: &Path) -> Outcome<FsDriver> {
    Ok(FsDriver::open(root, FsOptions::default()).await?)
}

fn names() -> Outcome<(ProjectId, DocKey, FilePath)> {
    Ok((ProjectId::new("p")?, DocKey::new("doc")?, FilePath::new("folder/file")?))
}

/// A project with one value of each kind.
async fn filled(driver: &FsDriver) -> Outcome<std::sync::Arc<dyn Project>> {
    let (id, key, path) = names()?;
    driver.create_project(&id).await?;
    let project = driver.project(&id);
    let _ = project.docs().put_value(&key, "old", WriteCondition::None).await?;
    let _ = project.files().write_bytes(&path, "old", WriteCondition::None).await?;
    project.history().append_value("old").await?;
    Ok(project)
}

/// Everything is as [`filled`] left it, and nothing half made lies about.
async fn is_as_before(root: &Path, project: &std::sync::Arc<dyn Project>) -> Outcome {
    let (_, key, path) = names()?;
    let doc = project.docs().get_as::<String>(&key).await?.map(|(value, _)| value);
    expect(doc.as_deref() == Some("old"), format!("the document is {doc:?}"))?;
    let file = project.files().read_text(&path).await?;
    expect(file.as_deref() == Some("old"), format!("the file is {file:?}"))?;
    let status = project.history().status().await?;
    expect(status.head.seq == 1, format!("the log is at {}", status.head))?;
    let left: Vec<_> = std::fs::read_dir(root.join(".folio/tmp"))?.collect();
    expect(left.is_empty(), format!("{left:?} lie about"))
}

/// Tries to write what needs room, and expects to be told that there is none.
async fn expect_full(driver: &FsDriver, project: &std::sync::Arc<dyn Project>) -> Outcome {
    let (id, key, path) = names()?;
    let (text, large) = ("x".repeat(500_000), vec![1; 4 << 20]);
    expect_code(project.docs().put_value(&key, &text, WriteCondition::None).await, "disk_full", "put")?;
    expect_code(project.docs().put_value(&DocKey::new("new")?, &text, WriteCondition::None).await, "disk_full", "put new")?;
    let written = project.files().write_bytes(&path, large.clone(), WriteCondition::None).await;
    expect_code(written, "disk_full", "write")?;
    let written = project.files().write_bytes(&FilePath::new("other/file")?, large, WriteCondition::Absent).await;
    expect_code(written, "disk_full", "write new")?;
    expect_code(project.history().append_value(&text).await, "disk_full", "append")?;
    expect_code(driver.fork_project(&id, &ProjectId::new("copy")?).await, "disk_full", "fork")?;
    expect(!driver.has_project(&ProjectId::new("copy")?).await?, "half a copy is there")
}

/// Writes all there is, and goes on from there.
async fn expect_healed(driver: &FsDriver, project: &std::sync::Arc<dyn Project>) -> Outcome {
    let (id, key, path) = names()?;
    let _ = project.docs().put_value(&key, "new", WriteCondition::Exists).await?;
    let _ = project.files().write_bytes(&path, "new", WriteCondition::Exists).await?;
    expect(project.history().append_value("new").await?.last == 2, "the next entry is the second")?;
    driver.fork_project(&id, &ProjectId::new("copy")?).await?;
    Ok(())
}

async fn full_disk(root: &Path) -> Outcome {
    let driver = open(root).await?;
    let project = filled(&driver).await?;
    let _ = project.files().write_bytes(&FilePath::new("large")?, vec![1; 200_000], WriteCondition::None).await?;
    // Room for a few small files, but not for what is written next.
    let mut room = 2_i64 << 20;
    let filler = root.join("filler");
    while std::fs::write(&filler, vec![0; usize::try_from(room)?]).is_err() {
        room -= 16 << 10;
    }
    std::fs::write(&filler, vec![0; usize::try_from(room - (64 << 10))?])?;
    for _ in 0..3 {
        expect_full(&driver, &project).await?;
        is_as_before(root, &project).await?;
    }
    std::fs::remove_file(filler)?;
    expect_healed(&driver, &project).await?;
    driver.close().await?;
    open(root).await?.close().await?;
    Ok(())
}

/// Leaves so many bytes free.
fn leave(root: &Path, free: usize) -> Outcome {
    let filler = root.join("filler");
    let _ = std::fs::remove_file(&filler);
    let mut size = 2 << 20;
    while std::fs::write(&filler, vec![0; size]).is_err() {
        size -= 4 << 10;
    }
    // Not written anew: the store may take what is free for a moment.
    Ok(std::fs::OpenOptions::new().write(true).open(&filler)?.set_len(size.saturating_sub(free) as u64)?)
}

/// Every kind of write to logs with every little room: each is done or refused, and nothing is in between.
async fn log_rooms(root: &Path) -> Outcome {
    let options = FsOptions { segment_bytes: 40_000, ..FsOptions::default() };
    let driver = FsDriver::open(root, options.clone()).await?;
    let (id, ..) = names()?;
    driver.create_project(&id).await?;
    let history = driver.project(&id).history();
    let mut model = Model::default();
    let (mut done, mut refused) = (0, 0);
    for round in 0..80 {
        let free = round % 8 * 4_096;
        leave(root, free)?;
        let text = "x".repeat(1_000 + model.entries.len() % 9 * 1_000);
        let target = LogName::new(format!("forks/{round}"))?;
        let outcomes = [
            history.append_value(&text).await.map(|appended| {
                model.entries.push(text.clone());
                model.epoch = if model.epoch == 0 { appended.cursor.epoch } else { model.epoch };
            }),
            history.truncate(model.last().saturating_sub(5)).await.map(|done| model.horizon = done.horizon),
            history.fork(model.last(), &target).await,
            driver.project(&id).log(&target).append_value("fork").await.map(drop),
            driver.project(&id).log(&target).delete().await,
            driver.project(&id).log(&LogName::new(format!("new/{round}"))?).append_value(&"y".repeat(9_000)).await.map(drop),
        ];
        for outcome in &outcomes {
            match outcome {
                Ok(()) => done += 1,
                Err(error) if error.code() == "disk_full" => refused += 1,
                Err(error) => return Err(format!("with {free} bytes: {error}").into()),
            }
        }
        model.holds(&*history).await?;
        let made = driver.project(&id).log(&LogName::new(format!("new/{round}"))?).status().await;
        let right = made.as_ref().map_or_else(|error| error.code() == "no_log", |status| status.head.seq > 0);
        expect(right, format!("a log that was {:?} is {made:?}", outcomes[5]))?;
    }
    expect(done > 50 && refused > 50, format!("{done} were done and {refused} refused: that proves little"))?;
    std::fs::remove_file(root.join("filler"))?;
    history.append_value("room").await?;
    model.entries.push("room".into());
    model.holds(&*history).await?;
    driver.close().await?;
    let driver = FsDriver::open(root, options).await?;
    model.holds(&*driver.project(&id).history()).await
}

/// What a log should hold.
#[derive(Default)]
struct Model {
    horizon: u64,
    /// Of its piece, once there is one.
    epoch: u64,
    /// All that were ever appended.
    entries: Vec<String>,
}

impl Model {
    fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    async fn holds(&self, log: &dyn AppendLog) -> Outcome {
        let page = log.read(ReadOptions { since: Some(Cursor::bare(self.horizon)), ..ReadOptions::default() }).await?;
        let mut found = Vec::new();
        for entry in &page.entries {
            if let Data::Json(text) = &entry.data {
                found.push(text.to::<String>()?);
            }
        }
        let wanted = self.entries.get(usize::try_from(self.horizon)?..).unwrap_or_default();
        // Nothing was lost, so no new piece began.
        let piece = page.lineage.last().map(|piece| piece.epoch).filter(|&epoch| epoch > 0);
        let whole = page.gap.is_none() && page.first == self.horizon + 1 && (self.epoch == 0 || piece == Some(self.epoch));
        expect(
            whole && found == wanted,
            format!("{} entries instead of {}, {:?}, {:?}", found.len(), wanted.len(), page.gap, page.lineage),
        )
    }
}

async fn no_inodes(root: &Path) -> Outcome {
    let driver = open(root).await?;
    let project = filled(&driver).await?;
    let (id, key, path) = names()?;
    let mut fillers = Vec::new();
    loop {
        let filler = root.join(format!("filler{}", fillers.len()));
        if std::fs::write(&filler, "").is_err() {
            break;
        }
        fillers.push(filler);
    }
    expect_code(project.docs().put_value(&key, "new", WriteCondition::None).await, "disk_full", "put")?;
    expect_code(project.files().write_bytes(&path, "new", WriteCondition::None).await, "disk_full", "write")?;
    expect_code(driver.create_project(&ProjectId::new("copy")?).await, "disk_full", "create")?;
    expect_code(driver.fork_project(&id, &ProjectId::new("copy")?).await, "disk_full", "fork")?;
    is_as_before(root, &project).await?;
    fillers.iter().try_for_each(std::fs::remove_file)?;
    expect_healed(&driver, &project).await
}

fn read_only(root: &Path) -> Outcome {
    block_on(async {
        let driver = open(root).await?;
        filled(&driver).await?;
        Ok(driver.close().await?)
    })?;
    let remount = |how: &str| {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(root).status();
        expect(done.is_ok_and(|status| status.success()), "it can be mounted again")
    };
    remount("ro")?;
    block_on(async {
        let error = FsDriver::open(root, FsOptions::default()).await.err().ok_or("a read-only root was opened")?;
        let told = error.to_string();
        expect(error.code() == "io" && told.contains("Read-only"), format!("{told} does not say what is wrong"))
    })?;
    remount("rw")?;
    block_on(async { is_as_before(root, &open(root).await?.project(&names()?.0)).await })
}

/// Why no failure can be injected here.
fn cannot_trace() -> Option<String> {
    match Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).status() {
        Err(error) => Some(format!("strace, which injects the failure, can't be run: {error}")),
        Ok(status) if !status.success() => Some("this process may not trace others, so no failure can be injected".into()),
        Ok(_) => None,
    }
}

fn failing_sync() -> Outcome<Completion> {
    let temp = tempfile::tempdir()?;
    std::fs::create_dir_all(temp.path().join("p/.meta"))?;
    if let Some(why) = cannot_trace() {
        return Ok(Completion::ignored_with(why));
    }
    let played = in_child(&mut failing_journal(temp.path(), 2)?, "failing_sync", temp.path())?;
    // Here no sync fails: opening it again syncs, too.
    block_on(after_failing_sync(temp.path()))?;
    Ok(played)
}

async fn after_failing_sync(root: &Path) -> Outcome {
    let (id, key, _) = names()?;
    let driver = open(root).await?;
    let doc = driver.project(&id).docs().get_as::<String>(&key).await?;
    expect(doc.is_none_or(|(value, _)| value == "new"), "the old or the new value, whole")?;
    let _ = driver.project(&id).docs().put_value(&key, "newer", WriteCondition::None).await?;
    Ok(driver.close().await?)
}

/// Has the n-th sync of the journal fail that its thread makes, once the root is open.
fn failing_journal(root: &Path, when: usize) -> Outcome<Command> {
    block_on(async { Ok(open(root).await?.close().await?) })?;
    let journal = root.canonicalize()?.join(".folio/journal/1.journal");
    let mut strace = Command::new("strace");
    let inject = format!("inject=pwritev2:error=EIO:when={when}");
    strace.args(["-f", "-o", "/dev/null", "-P"]).arg(journal).args(["-e", &inject, "--"]);
    Ok(strace)
}

/// The second commit can't be synced; later ones could.
async fn play_failing_sync(root: &Path) -> Outcome {
    let driver = open(root).await?;
    let (id, key, path) = names()?;
    let project = driver.project(&id);
    let _ = project.files().write_bytes(&path, "old", WriteCondition::None).await?;
    let put = project.docs().put_value(&key, "new", WriteCondition::None).await;
    expect_code(put, "outcome_unknown", "a put that can't be synced")?;
    for _ in 0..2 {
        let put = project.docs().put_value(&key, "newer", WriteCondition::None).await;
        expect_code(put, "store_failed", "a put afterwards")?;
        let written = project.files().write_bytes(&path, "new", WriteCondition::None).await;
        expect_code(written, "store_failed", "a write afterwards")?;
        expect_code(driver.create_project(&ProjectId::new("q")?).await, "store_failed", "a project afterwards")?;
        expect_code(driver.delete_project(&id).await, "store_failed", "a deletion afterwards")?;
    }
    expect(project.files().read_text(&path).await?.as_deref() == Some("old"), "reads go on")?;
    Ok(driver.close().await?)
}

fn failing_appends() -> Outcome<Completion> {
    for when in 2..=7 {
        let temp = tempfile::tempdir()?;
        if let Some(why) = cannot_trace() {
            return Ok(Completion::ignored_with(why));
        }
        in_child(&mut failing_journal(temp.path(), when)?, "failing_append", temp.path())?;
    }
    Ok(Completion::Completed)
}

/// One of the commits to some logs can't be synced, of which nobody has read any yet; later ones would not.
async fn play_failing_append(root: &Path) -> Outcome {
    let driver = open(root).await?;
    let (id, ..) = names()?;
    driver.create_project(&id).await?;
    let logs = ["a", "b", "history"].map(|name| LogName::new(name).map(|name| driver.project(&id).log(&name)));
    let mut failed = false;
    let mut models = Vec::new();
    for round in 0..2 {
        for (at, log) in logs.iter().enumerate() {
            let log = log.as_ref().map_err(Clone::clone)?;
            if round == 0 {
                models.push(Model::default());
            }
            let appended = log.append_value(&format!("{round}")).await;
            match appended {
                Ok(_) if !failed => models[at].entries.push(format!("{round}")),
                other if failed => expect_code(other, "store_failed", "an append afterwards")?,
                other => {
                    expect_code(other, "outcome_unknown", "an append whose sync fails")?;
                    failed = true;
                }
            }
        }
    }
    expect(failed, "no sync failed")?;
    for (model, log) in models.iter().zip(&logs) {
        let log = log.as_ref().map_err(Clone::clone)?;
        if model.entries.is_empty() && log.status().await.is_err_and(|error| error.code() == "no_log") {
            continue;
        }
        model.holds(&**log).await?;
    }
    Ok(())
}

fn no_descriptors() -> Outcome<Completion> {
    let temp = tempfile::tempdir()?;
    in_child(Command::new("prlimit").args(["--nofile=64:64", "--"]), "no_descriptors", temp.path())
}

async fn play_no_descriptors(root: &Path) -> Outcome {
    let driver = open(root).await?;
    let project = filled(&driver).await?;
    let (_, key, path) = names()?;
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    expect_code(project.docs().put_value(&key, "new", WriteCondition::None).await, "io", "put")?;
    expect_code(project.docs().get(&key).await, "io", "get")?;
    expect_code(project.files().read(&path, FileReadOptions::default()).await.map(drop), "io", "read")?;
    expect_code(project.files().write_bytes(&path, "new", WriteCondition::None).await, "io", "write")?;
    drop(taken);
    is_as_before(root, &project).await?;
    expect_healed(&driver, &project).await
}

fn few_watches() -> Outcome<Completion> {
    let temp = tempfile::tempdir()?;
    for folder in ["p/a/b/c", "p/d/e/f"] {
        std::fs::create_dir_all(temp.path().join(folder))?;
    }
    let tried = Command::new("unshare").args(["--user", "--map-root-user", "true"]).status();
    if !tried.is_ok_and(|status| status.success()) {
        return Ok(Completion::ignored_with("unshare can't make a user namespace, whose limit on watches could be lowered"));
    }
    let mut limited = Command::new("unshare");
    let lower = "echo 3 > /proc/sys/user/max_inotify_watches && exec \"$0\"";
    in_child(limited.args(["--user", "--map-root-user", "sh", "-c", lower]), "few_watches", temp.path())
}

async fn play_few_watches(root: &Path) -> Outcome {
    let driver = open(root).await?;
    let (id, ..) = names()?;
    let mut changes = driver.project(&id).changes().await?;
    for expected in [Change::Ready, Change::Rescan] {
        let change = tokio::time::timeout(Duration::from_secs(20), changes.next()).await?;
        expect(matches!(&change, Some(Ok(change)) if *change == expected), format!("{change:?} instead of {expected:?}"))?;
    }
    let _: Error = match driver.project(&ProjectId::new("none")?).changes().await {
        Err(error) => error,
        Ok(_) => return Err("there is no such project".into()),
    };
    Ok(())
}
