//! What a file carries besides its bytes and names.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::file::Meta;

/// Bytes of all names of extended attributes, and of one value, that are looked at.
const MOST: usize = 1024;

/// What a file carries besides its bytes, names and times: owner, permissions, extended attributes, flags.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stamp {
    pub(super) owner: (u32, u32),
    /// Permission bits, with those that are set for a program.
    pub(super) mode: u32,
    pub(super) flags: u64,
    /// Names and values of all extended attributes, one after the other.
    pub(super) attributes: Vec<u8>,
}

impl Stamp {
    /// Of an open file, with what else is known of it.
    ///
    /// # Errors
    /// Also where there is more than fits in a small buffer.
    pub(super) fn of(file: BorrowedFd<'_>) -> Result<(Meta, Self), Errno> {
        let found = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
        let stamp = Self {
            owner: (found.stx_uid, found.stx_gid),
            mode: u32::from(found.stx_mode) & 0o7777,
            flags: found.stx_attributes.bits(),
            attributes: attributes(file)?,
        };
        Ok((Meta::from(&found), stamp))
    }
}

fn attributes(file: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut names = [0; MOST];
    let count = match rustix::fs::flistxattr(file, &mut names) {
        Ok(count) => count,
        Err(Errno::OPNOTSUPP) => 0,
        Err(errno) => return Err(errno),
    };
    let mut all = Vec::new();
    for name in names.get(..count).unwrap_or_default().split_inclusive(|byte| *byte == 0) {
        let mut value = [0; MOST];
        let count = rustix::fs::fgetxattr(file, name.strip_suffix(b"\0").unwrap_or(name), &mut value)?;
        all.extend_from_slice(name);
        all.extend_from_slice(&count.to_le_bytes());
        all.extend_from_slice(value.get(..count).unwrap_or_default());
    }
    Ok(all)
}
