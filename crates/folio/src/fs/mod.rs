//! The filesystem driver: projects as plain folders.

#![allow(dead_code, unused_imports, reason = "the rooms that use these operations land one after the other")]

pub(crate) mod vfs;
