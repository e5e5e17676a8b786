//! The machine's own rate.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Result;
use crate::workload::{PAYLOAD, Rate};

/// A file that lines of 256 bytes are appended to, each followed by fdatasync.
pub(crate) struct Raw {
    file: File,
    line: Vec<u8>,
    rate: Rate,
    _folder: TempDir,
}

impl Raw {
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(dir)?;
        let file = OpenOptions::new().create(true).append(true).open(folder.path().join("raw"))?;
        let mut line = vec![b'x'; PAYLOAD];
        line.push(b'\n');
        Ok(Self { file, line, rate: Rate::default(), _folder: folder })
    }

    pub(crate) fn run(&mut self, time: Duration) -> Result<()> {
        let (mut appends, begin) = (0, Instant::now());
        while begin.elapsed() < time {
            self.file.write_all(&self.line)?;
            self.file.sync_data()?;
            appends += 1;
        }
        self.rate.add(appends, begin);
        Ok(())
    }

    /// Appends per second.
    pub(crate) fn finish(self) -> f64 {
        self.rate.per_second()
    }
}
