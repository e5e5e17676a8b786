//! How many files and connections the daemon may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is asked for, where the system allows it.
const WANTED: u64 = 65_536;
/// For files of the store, and connections that are no event streams: three for each that gets a large file.
const OTHERS: u64 = 3_072;
/// Most event streams at a time.
const STREAMS: u64 = 32_768;

/// Raises the limit of open file descriptors as far as it is of use, and returns how many event streams there may be then;
/// at least `least`.
pub(crate) fn room_for_streams(least: usize) -> usize {
    let now = getrlimit(Resource::Nofile);
    let most = now.maximum.unwrap_or(u64::MAX).min(WANTED);
    // Where it can't be raised, what there is has to do.
    if now.current.is_some_and(|current| current < most) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: now.maximum });
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(WANTED);
    usize::try_from(allowed.saturating_sub(OTHERS).min(STREAMS)).unwrap_or(least).max(least)
}
