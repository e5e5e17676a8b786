//! A disk that loses its power: a file system of its own in an image file, cut off from its medium at a chosen moment.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::ioctl::{Opcode, Setter, ioctl};
use tempfile::TempDir;

use crate::Result;

/// Sparse; large enough for XFS.
const SIZE: u64 = 400 << 20;
/// `EXT4_IOC_SHUTDOWN`, `XFS_IOC_GOINGDOWN`: from now on nothing reaches the medium.
const SHUTDOWN: Opcode = 0x8004_587d;
/// Not even what stands in the file system's own log.
const WITHOUT_FLUSHING_THE_LOG: u32 = 2;

/// A mounted disk. Unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    kind: &'static str,
    folder: TempDir,
}

impl Disk {
    /// Makes one with this file system: `ext4`, `xfs`.
    ///
    /// # Errors
    /// Why this machine can't.
    pub fn new(kind: &'static str) -> std::result::Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting a disk needs root".into());
        }
        let disk = Self { kind, folder: tempfile::tempdir().map_err(|e| e.to_string())? };
        disk.prepare().map_err(|e| format!("no disk with {kind} here: {e}"))?;
        Ok(disk)
    }

    fn prepare(&self) -> Result<()> {
        File::create(self.image())?.set_len(SIZE)?;
        run(Command::new(format!("mkfs.{}", self.kind)).arg("-q").arg(self.image()))?;
        fs::create_dir(self.root())?;
        self.mount()
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Cuts the power: whatever was not synced is lost, and every later write fails.
    ///
    /// # Errors
    /// Where the file system knows no such call.
    pub fn cut_power(&self) -> Result<()> {
        let root = File::open(self.root())?;
        // SAFETY: the call reads one u32 behind the pointer, which is what the setter passes.
        #[expect(unsafe_code, reason = "there is no other way to shut a file system down")]
        unsafe {
            ioctl(&root, Setter::<SHUTDOWN, u32>::new(WITHOUT_FLUSHING_THE_LOG))?;
        }
        Ok(())
    }

    /// Gives the power back: the file system recovers what reached the medium. Nothing may have a file open.
    ///
    /// # Errors
    /// Where something has, or the file system does not recover.
    pub fn restore_power(&self) -> Result<()> {
        run(Command::new("umount").arg(self.root()))?;
        self.mount()
    }

    fn mount(&self) -> Result<()> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.root()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(self.root()));
    }
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
