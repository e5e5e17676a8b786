//! Limits on what is accepted; every driver takes them.

use crate::error::{Error, Result};
use crate::log::Data;

/// Longest idempotency key, in bytes.
pub const MAX_KEY: usize = 256;

/// How large things may be, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// One entry's payload. 1 MiB by default.
    pub entry: usize,
    /// All payloads of one append, one document, or all of both in one commit. 32 MiB by default.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entry: 1 << 20, body: 32 << 20 }
    }
}

impl Limits {
    /// Checks the payloads of one append.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn check_entries(&self, entries: &[Data]) -> Result<()> {
        let mut total = 0;
        for entry in entries {
            check("an entry", entry.len(), self.entry)?;
            total += entry.len();
        }
        check("an append", total, self.body)
    }

    /// Checks a document.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn check_document(&self, bytes: usize) -> Result<()> {
        check("a document", bytes, self.body)
    }

    /// Checks the values and entries of one commit, together.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn check_commit(&self, bytes: usize) -> Result<()> {
        check("a commit (without its files)", bytes, self.body)
    }

    /// Checks an idempotency key: visible ASCII only, because it has to come through an HTTP header unchanged.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check_key(key: &str) -> Result<()> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Error::invalid(format!("an idempotency key has 1 to {MAX_KEY} bytes, this one has {}", key.len())));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid("an idempotency key has only visible ASCII characters, without spaces"));
        }
        Ok(())
    }

    /// Checks the `limit` of a page.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check_page(limit: usize) -> Result<()> {
        if (1..=crate::log::MAX_PAGE_ENTRIES).contains(&limit) {
            Ok(())
        } else {
            Err(Error::invalid(format!("limit must be 1 to {}, not {limit}", crate::log::MAX_PAGE_ENTRIES)))
        }
    }
}

fn check(what: &'static str, bytes: usize, limit: usize) -> Result<()> {
    if bytes > limit {
        return Err(Error::TooLarge { what: what.into(), bytes: bytes as u64, limit: limit as u64 });
    }
    Ok(())
}
