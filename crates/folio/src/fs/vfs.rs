//! The few file operations that the driver uses; all its access to files goes through here.
//!
//! Paths are resolved by the kernel below an open folder (`openat2`): no link is followed, no other file system is
//! entered, nothing outside is reached, also when someone swaps a folder for a link during the call. Only regular
//! files are opened. Every call blocks; none but [`Dir::read_now`] belongs on the async runtime's own threads.

mod blanking;
mod dir;
mod error;
mod file;
mod handle;
mod lease;
mod looks;
mod now;
#[cfg(test)]
pub(crate) mod sim;
mod stamp;

pub(crate) use blanking::Blanking;
pub(crate) use dir::Dir;
#[cfg(test)]
pub(crate) use dir::Listed;
#[cfg(test)]
pub(crate) use error::Reason;
pub(crate) use error::{VfsError, VfsResult};
#[cfg(test)]
pub(crate) use file::COPY_PIECE;
pub(crate) use file::{Access, BLANK, Blank, File, Kind, Meta, Spot};
pub(crate) use looks::Looks;
pub(crate) use stamp::Stamp;

#[cfg(test)]
mod tests;
