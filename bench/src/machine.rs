//! What was measured on.

use std::fs;
use std::path::Path;
use std::thread;

/// Processor, cores, kernel and file system, as far as Linux tells.
pub(crate) fn describe(dir: &Path) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let processor =
        read("/proc/cpuinfo").lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1.to_owned()));
    let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
    let processor = processor.unwrap_or_else(|| "an unknown processor".into());
    format!("{cores} cores of {processor}, Linux {kernel}, {}", file_system(dir))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The type of the mount with the longest path above `dir`.
fn file_system(dir: &Path) -> String {
    let Ok(dir) = dir.canonicalize() else { return "an unknown file system".into() };
    let mounts = read("/proc/mounts");
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    let nearest = above.filter(|(mount, _)| dir.starts_with(mount)).max_by_key(|(mount, _)| mount.as_os_str().len());
    nearest.map_or_else(|| "an unknown file system".into(), |(_, kind)| kind.to_owned())
}
