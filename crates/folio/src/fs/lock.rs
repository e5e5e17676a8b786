//! One writer process per root: a kernel lock on `.folio/lock`, whose content names the holder.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::vfs::{Access, Dir, File};
use crate::error::{Error, Result};

const NAME: &str = "lock";
const MAX_CONTENT: usize = 4_096;
/// What a holder leaves behind that has made everything durable.
const CLOSED: &[u8] = b"closed\n";
/// A holder that just took the lock gets this long to write who it is.
const INTRODUCTION: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(5);

/// Who holds the root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Holder {
    program: String,
    pid: i32,
    #[serde(default)]
    address: Option<String>,
}

impl Holder {
    fn read(file: &File) -> Option<Self> {
        let content = file.read_some(0, MAX_CONTENT).ok()?;
        serde_json::from_slice(&content).ok()
    }

    fn runs(&self) -> bool {
        Pid::from_raw(self.pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
    }

    fn describe(&self) -> String {
        match &self.address {
            Some(address) => format!("{} (pid {}, {address})", self.program, self.pid),
            None => format!("{} (pid {})", self.program, self.pid),
        }
    }
}

/// The held lock; dropping it lets others open the root.
#[derive(Debug)]
pub(crate) struct RootLock {
    file: File,
    holder: Mutex<Holder>,
    /// The holder before this one made everything durable.
    was_closed: bool,
    /// So does this one, and has said so.
    is_closed: bool,
}

impl RootLock {
    /// Takes the lock of the root at `root`, whose `.folio` is `folder`.
    ///
    /// # Errors
    /// [`Error::Locked`] where another process (or another store in this one) has it.
    pub(crate) fn take(folder: &Dir, root: &Path, program: &str) -> Result<Self> {
        let mut waited = Duration::ZERO;
        loop {
            let file = open(folder)?;
            if file.try_lock()? {
                // Someone may have removed the file between our opening and locking it: then it locks nothing.
                if folder.stat(NAME)?.is_some_and(|there| Some(there.inode) == file.meta().ok().map(|held| held.inode)) {
                    return Self::introduce(file, program);
                }
                continue;
            }
            let holder = Holder::read(&file);
            // What a holder before this one left behind names a process that is gone.
            if holder.as_ref().is_some_and(Holder::runs) || waited >= INTRODUCTION {
                return Err(Error::Locked {
                    root: root.display().to_string(),
                    holder: holder.as_ref().map_or_else(|| "another process".into(), Holder::describe),
                    address: holder.and_then(|holder| holder.address),
                });
            }
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
    }

    fn introduce(file: File, program: &str) -> Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let holder = Holder { program: program.to_owned(), pid, address: None };
        let was_closed = file.read_some(0, MAX_CONTENT)? == CLOSED;
        write(&file, &holder)?;
        Ok(Self { file, holder: Mutex::new(holder), was_closed, is_closed: false })
    }

    /// True where the holder before made everything durable. Else what is found may be in the system's memory alone.
    pub(crate) fn was_closed(&self) -> bool {
        self.was_closed
    }

    /// Lets go of the lock, and says that everything is durable.
    pub(crate) fn close(mut self) {
        self.is_closed = self.file.truncate(0).and_then(|()| self.file.write_all_at(CLOSED, 0)).is_ok();
    }

    /// Writes into the lock where the holder can be reached.
    pub(crate) fn announce(&self, address: &str) -> Result<()> {
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        holder.address = Some(address.to_owned());
        write(&self.file, &holder)
    }
}

impl Drop for RootLock {
    fn drop(&mut self) {
        if !self.is_closed {
            // So that nobody is told of a holder that is gone; if it fails, the check of the pid covers most of it.
            let _ = self.file.truncate(0);
        }
    }
}

/// Who uses the root at `root`, if somebody does. Writes nothing.
pub(crate) fn holder_of(root: &Dir) -> Result<Option<String>> {
    let Some(folder) = root.dir(".folio")? else { return Ok(None) };
    let Some(file) = folder.open(NAME, Access::Read)? else { return Ok(None) };
    if file.try_lock()? {
        return Ok(None);
    }
    Ok(Some(Holder::read(&file).as_ref().map_or_else(|| "another process".into(), Holder::describe)))
}

fn open(folder: &Dir) -> Result<File> {
    loop {
        if let Some(file) = folder.open(NAME, Access::ReadWrite)? {
            return Ok(file);
        }
        match folder.create_new(NAME, Access::ReadWrite) {
            Err(error) if error.exists() => {}
            made => return Ok(made?),
        }
    }
}

/// In place, because a rename would leave the lock on the old file. Whoever reads half of it reads again.
fn write(file: &File, holder: &Holder) -> Result<()> {
    let mut content = serde_json::to_vec(holder)
        .map_err(|error| Error::Io { what: "cannot write the holder of the lock".into(), why: error.to_string() })?;
    content.push(b'\n');
    file.truncate(0)?;
    Ok(file.write_all_at(&content, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        (temp, dir)
    }

    #[test]
    fn of_many_starts_one_runs_and_the_others_name_it() {
        let (temp, dir) = folder();
        let barrier = std::sync::Barrier::new(16);
        let outcomes: Vec<(String, Result<RootLock>)> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..16)
                .map(|n| {
                    let (dir, barrier, root) = (&dir, &barrier, temp.path());
                    scope.spawn(move || {
                        let program = format!("program-{n}");
                        barrier.wait();
                        (program.clone(), RootLock::take(dir, root, &program))
                    })
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        let winners: Vec<&String> = outcomes.iter().filter(|(_, lock)| lock.is_ok()).map(|(program, _)| program).collect();
        let [winner] = winners[..] else { panic!("{outcomes:?}") };
        for error in outcomes.iter().filter_map(|(_, lock)| lock.as_ref().err()) {
            let Error::Locked { root, holder, address: None } = error else { panic!("{error}") };
            assert_eq!(root, &temp.path().display().to_string());
            assert_eq!(holder, &format!("{winner} (pid {})", std::process::id()));
        }
    }

    #[test]
    fn the_address_is_told_and_the_next_holder_follows() {
        let (temp, dir) = folder();
        let first = RootLock::take(&dir, temp.path(), "first").unwrap();
        first.announce("http://127.0.0.1:7460").unwrap();
        let error = RootLock::take(&dir, temp.path(), "second").unwrap_err();
        assert!(matches!(&error, Error::Locked { address: Some(address), .. } if address == "http://127.0.0.1:7460"), "{error}");
        assert!(error.to_string().contains("first (pid"), "{error}");
        drop(first);
        drop(RootLock::take(&dir, temp.path(), "second").unwrap());
    }

    /// The content left by a process that was killed is not mistaken for the holder.
    #[test]
    fn a_holder_that_is_gone_is_not_named() {
        let (temp, dir) = folder();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let stale = open(&dir).unwrap();
        write(&stale, &Holder { program: "killed".into(), pid, address: Some("http://127.0.0.1:1".into()) }).unwrap();
        assert!(stale.try_lock().unwrap());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| RootLock::take(&dir, temp.path(), "second"));
            let holder = Holder { program: "alive".into(), pid: std::process::id().try_into().unwrap(), address: None };
            write(&stale, &holder).unwrap();
            let error = second.join().unwrap().unwrap_err();
            assert!(error.to_string().contains("alive"), "{error}");
        });
        drop(stale);
        RootLock::take(&dir, temp.path(), "third").unwrap();
    }

    #[test]
    fn a_removed_lock_file_is_made_again() {
        let (temp, dir) = folder();
        drop(RootLock::take(&dir, temp.path(), "first").unwrap());
        dir.unlink(NAME).unwrap();
        let _held = RootLock::take(&dir, temp.path(), "second").unwrap();
        assert!(matches!(RootLock::take(&dir, temp.path(), "third"), Err(Error::Locked { .. })));
    }
}
