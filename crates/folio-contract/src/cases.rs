//! The registry: every case, by area.

mod append;
mod changes;
mod close;
mod commit;
mod commit_key;
mod conditions;
mod crash;
mod doc_list;
mod docs;
mod expected_head;
mod file_list;
mod files;
mod fork;
mod gap;
mod key;
mod limits;
mod lives;
mod logs;
mod missing;
mod patch;
mod paths;
mod plain;
mod project_fork;
mod projects;
mod ranges;
mod read;
mod subscribe;
mod time;
mod tokens;
mod truncate;

use crate::case::Case;
use crate::{model, races};

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
        docs::cases(),
        conditions::cases(),
        patch::cases(),
        doc_list::cases(),
        files::cases(),
        ranges::cases(),
        file_list::cases(),
        paths::cases(),
        changes::cases(),
        projects::cases(),
        project_fork::cases(),
        missing::cases(),
        commit::cases(),
        commit_key::cases(),
        crash::cases(),
        plain::cases(),
        races::writes::cases(),
        races::appends::cases(),
        races::commits::cases(),
        races::followers::cases(),
        model::all(),
    ]
    .concat()
}
