//! A disk that holds less than it says: ext4 in a sparse image on a small memory file system. Once a filler has taken the
//! rest, what ext4 had granted can't be written. A sync fails for that, and later ones succeed although the data is gone.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::Result;
use crate::disk::run;

const SAYS: u64 = 64 << 20;
const HOLDS: &str = "size=24m";

/// A mounted thin disk. Unmounted when dropped.
#[derive(Debug)]
pub struct Thin {
    folder: TempDir,
}

impl Thin {
    /// Makes one.
    ///
    /// # Errors
    /// Why this machine can't.
    pub fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting a disk needs root".into());
        }
        let thin = Self { folder: tempfile::tempdir().map_err(|e| e.to_string())? };
        thin.prepare().map_err(|e| format!("no thin disk here: {e}"))?;
        Ok(thin)
    }

    fn prepare(&self) -> Result<()> {
        fs::create_dir(self.medium())?;
        fs::create_dir(self.root())?;
        run(Command::new("mount").args(["-t", "tmpfs", "-o", HOLDS, "folio-thin"]).arg(self.medium()))?;
        File::create(self.image())?.set_len(SAYS)?;
        run(Command::new("mkfs.ext4").arg("-q").arg(self.image()))?;
        self.mount()
    }

    fn medium(&self) -> PathBuf {
        self.folder.path().join("medium")
    }

    fn image(&self) -> PathBuf {
        self.medium().join("image")
    }

    fn filler(&self) -> PathBuf {
        self.medium().join("filler")
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Takes all room that is left. What the disk holds by now it holds for good.
    ///
    /// # Errors
    /// Where the filler can't be made.
    pub fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.filler())?;
        let piece = [1; 4096];
        while filler.write_all(&piece).is_ok() {}
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// Where the filler can't be removed.
    pub fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    /// As a new start of the machine: nothing that was only in memory is left. Nothing may have a file open.
    ///
    /// # Errors
    /// Where something has, or the file system does not recover.
    pub fn restart(&self) -> Result<()> {
        run(Command::new("umount").arg(self.root()))?;
        self.mount()
    }

    fn mount(&self) -> Result<()> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.root()))
    }
}

impl Drop for Thin {
    fn drop(&mut self) {
        for folder in [self.root(), self.medium()] {
            let _ = run(Command::new("umount").arg("--lazy").arg(folder));
        }
    }
}
