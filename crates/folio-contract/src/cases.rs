//! The registry: every case, by area.

mod append;
mod expected_head;
mod gap;
mod key;
mod limits;
mod read;
mod time;
mod tokens;

use crate::case::Case;

/// All cases, in a fixed order.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        append::cases(),
        expected_head::cases(),
        key::cases(),
        time::cases(),
        read::cases(),
        gap::cases(),
        tokens::cases(),
        limits::cases(),
    ]
    .concat()
}
