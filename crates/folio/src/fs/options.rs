//! How a root is opened.

use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::driver::Durability;
use crate::limits::Limits;

/// How a root is opened.
///
/// ```
/// use folio::fs::FsOptions;
/// use folio::Durability;
/// let options = FsOptions { durability: Durability::Interval, ..FsOptions::default() };
/// assert_eq!(options.segment_bytes, 64 << 20);
/// ```
#[derive(Clone, Debug)]
pub struct FsOptions {
    /// What an acknowledgement means: see [`Durability`]. `Memory` is refused. `Sync` by default.
    ///
    /// In every mode a document or file is whole on the disk before it gets its name, so a power loss never leaves a
    /// torn one; the weaker modes can lose that it got the name. After a crash in a weaker mode every log begins a new
    /// epoch with its next write, because readers may have seen what is gone now.
    pub durability: Durability,
    /// How large things may be.
    pub limits: Limits,
    /// Tells the time for entries and epochs.
    pub clock: Arc<dyn Clock>,
    /// Size in bytes at which the newest segment of a log is sealed and a new one begun. 64 MiB by default.
    pub segment_bytes: u64,
    /// The thread that commits can run tasks of others, too, with timers and sockets ([`Driver::committing`]): for servers. Not by
    /// default.
    ///
    /// [`Driver::committing`]: crate::Driver::committing
    pub tasks: bool,
    /// The program's name, told to others who try to open the root meanwhile. `folio` by default.
    pub holder: String,
}

impl Default for FsOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
            segment_bytes: 64 << 20,
            tasks: false,
            holder: "folio".into(),
        }
    }
}
