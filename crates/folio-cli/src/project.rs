//! `folio project …`

use clap::Subcommand;
use folio::ProjectId;
use serde_json::json;

use crate::ask::confirmed;
use crate::commit::{self, Commit};
use crate::connect::Connect;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::progress::spin;
use crate::style::{GOOD, NAME};

/// Projects asked for at once.
const PAGE: usize = 1_000;

/// What to do with projects.
#[derive(Subcommand, Debug)]
pub(crate) enum ProjectCommand {
    /// List the projects, one id a line
    List,
    /// Create a project (and the folder of projects, if there is none); fine if it exists
    #[command(after_help = "Example:\n  folio project create demo")]
    Create {
        /// Its id: 1 to 128 of A-Z a-z 0-9 _ -
        project: String,
    },
    /// Delete a project with its files, documents and logs; fine if there is none
    #[command(after_help = "Example:\n  folio project delete demo --yes")]
    Delete {
        /// Its id
        project: String,
        /// Don't ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Copy a project under a new id: logs and documents as of one moment, each file whole
    #[command(after_help = "Example:\n  folio project fork demo demo-experiment")]
    Fork {
        /// The project to copy
        project: String,
        /// Id of the copy
        copy: String,
    },
    /// Do several operations on a project, all or none: documents, files, entries of logs
    Commit(Commit),
}

/// Runs a command.
pub(crate) async fn run(command: &ProjectCommand, connect: &mut Connect, out: &mut Output) -> Result {
    match command {
        ProjectCommand::List => list(connect, out).await,
        ProjectCommand::Create { project } => create(&ProjectId::new(project)?, connect, out).await,
        ProjectCommand::Delete { project, yes } => delete(&ProjectId::new(project)?, *yes, connect, out).await,
        ProjectCommand::Fork { project, copy } => fork(&ProjectId::new(project)?, &ProjectId::new(copy)?, connect, out).await,
        ProjectCommand::Commit(args) => commit::run(args, connect, out).await,
    }
}

async fn list(connect: &mut Connect, out: &mut Output) -> Result {
    let driver = connect.open().await?;
    let mut after = None;
    let mut some = false;
    loop {
        let page = driver.list_projects(after.as_ref(), PAGE).await?;
        for id in &page.projects {
            some = true;
            out.answer(|| json!({ "id": id }), format_args!("{NAME}{id}{NAME:#}"))?;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if some { Ok(()) } else { out.hint("There are no projects yet. Create one: folio project create demo") }
}

async fn create(id: &ProjectId, connect: &mut Connect, out: &mut Output) -> Result {
    let created = connect.open_or_create().await?.create_project(id).await?;
    let text = if created { format!("{GOOD}Created{GOOD:#} project {id}.") } else { format!("Project {id} exists already.") };
    out.answer(|| json!({ "id": id, "created": created }), text)
}

async fn delete(id: &ProjectId, yes: bool, connect: &mut Connect, out: &mut Output) -> Result {
    let driver = connect.open().await?;
    if !yes && driver.has_project(id).await? && !confirmed(&format!("Delete project {id} with everything in it?"))? {
        return Err(Failure::usage("nothing was deleted"));
    }
    let deleted = spin(out, "deleting", driver.delete_project(id)).await?;
    let text = if deleted { format!("{GOOD}Deleted{GOOD:#} project {id}.") } else { format!("There was no project {id}.") };
    out.answer(|| json!({ "id": id, "deleted": deleted }), text)
}

async fn fork(source: &ProjectId, copy: &ProjectId, connect: &mut Connect, out: &mut Output) -> Result {
    let driver = connect.open().await?;
    spin(out, "copying", driver.fork_project(source, copy)).await?;
    out.answer(|| json!({ "id": copy, "source": source }), format_args!("{GOOD}Copied{GOOD:#} project {source} to {copy}."))
}
