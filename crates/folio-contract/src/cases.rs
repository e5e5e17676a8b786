//! The registry: every case, by area.

mod append;
mod close;
mod expected_head;
mod fork;
mod gap;
mod key;
mod limits;
mod lives;
mod logs;
mod read;
mod subscribe;
mod time;
mod tokens;
mod truncate;

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
        subscribe::cases(),
        lives::cases(),
        truncate::cases(),
        close::cases(),
        fork::cases(),
        logs::cases(),
    ]
    .concat()
}
