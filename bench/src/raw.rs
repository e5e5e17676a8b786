//! The machine's own rate.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;
use crate::workload::{PAYLOAD, rate};

/// Appends lines of 256 bytes to a file, each followed by fdatasync. Returns appends per second.
pub(crate) fn measure(dir: &Path, time: Duration) -> Result<f64> {
    let folder = tempfile::tempdir_in(dir)?;
    let mut file = OpenOptions::new().create(true).append(true).open(folder.path().join("raw"))?;
    let mut line = vec![b'x'; PAYLOAD];
    line.push(b'\n');
    let (mut appends, begin) = (0, Instant::now());
    while begin.elapsed() < time {
        file.write_all(&line)?;
        file.sync_data()?;
        appends += 1;
    }
    Ok(rate(appends, begin))
}
