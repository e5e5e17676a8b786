//! The driver: a root of projects.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::copy;
use super::docs::FsDocs;
use super::draft::Draft;
use super::log::{Logs, copy_logs};
use super::options::FsOptions;
use super::project::FsProject;
use super::projects;
use super::scope::Scope;
use super::store::{Store, off_runtime};
use crate::docs::JsonKv;
use crate::driver::{CONTRACT_VERSION, Driver, DriverInfo, Project, ProjectList};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::name::{CollectionName, ProjectId};

/// A log that nobody uses is kept ready for this long.
const IDLE: Duration = Duration::from_secs(30);

/// Keeps projects in the folders of a root, which one process owns at a time. Cheap to clone; clones share the root.
///
/// The root is free again for other processes after [`Driver::close`], or when the driver and all handles and streams
/// that came from it are dropped.
///
/// ```
/// use folio::fs::{FsDriver, FsOptions};
/// use folio::{AppendLogExt, Driver, ProjectExt, ProjectId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> folio::Result<()> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let root = folder.path().join("folio-data");
/// let store = FsDriver::open(&root, FsOptions::default()).await?;
/// let id = ProjectId::new("demo")?;
/// store.create_project(&id).await?;
/// store.project(&id).history().append_value("hello").await?;
/// store.close().await?;
/// assert!(root.join("demo/.meta/history.jsonl").exists());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FsDriver {
    logs: Arc<Logs>,
    _sweeper: Arc<Sweeper>,
}

impl fmt::Debug for FsDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.store();
        f.debug_struct("FsDriver").field("root", &store.root.path()).field("options", &store.options).finish_non_exhaustive()
    }
}

/// Lets go of idle logs now and then; ends when dropped.
struct Sweeper(AbortHandle);

impl Sweeper {
    fn start(logs: &Arc<Logs>) -> Self {
        let logs = Arc::downgrade(logs);
        let sweeping = async move {
            loop {
                tokio::time::sleep(IDLE / 2).await;
                let Some(logs) = Weak::upgrade(&logs) else { return };
                logs.sweep(IDLE);
            }
        };
        Self(tokio::spawn(sweeping).abort_handle())
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl FsDriver {
    /// Opens the root at `root`, or makes it. Projects that are there already, made by whatever program, are taken as
    /// they are: opening and reading change nothing in them.
    ///
    /// # Errors
    /// [`Locked`](Error::Locked) where another process has it, and who; [`NewerFormat`](Error::NewerFormat) where a newer
    /// version of Folio wrote it; [`Damaged`](Error::Damaged) where `.folio/root.json` can't be read;
    /// [`Invalid`](Error::Invalid) for options that can't be meant.
    pub async fn open(root: impl AsRef<Path>, options: FsOptions) -> Result<Self> {
        let root = root.as_ref().to_owned();
        off_runtime(move || Store::open(&root, options)).await.map(Self::on)
    }

    /// As [`FsDriver::open`], in a folder that is open.
    #[cfg(test)]
    pub(in crate::fs) async fn open_in(root: super::vfs::Dir, options: FsOptions) -> Result<Self> {
        off_runtime(move || Store::open_in(root, options)).await.map(Self::on)
    }

    fn on(store: Arc<Store>) -> Self {
        let logs = Arc::new(Logs::new(store));
        Self { _sweeper: Arc::new(Sweeper::start(&logs)), logs }
    }

    /// What a person should know of how the root was opened: where the journal of an earlier run told of a change and
    /// another program had been there meanwhile. What the journal had of it lies in quarantine.
    #[must_use]
    pub fn recovered(&self) -> Vec<String> {
        self.store().recovered.iter().map(ToString::to_string).collect()
    }

    /// Writes into the lock of the root where this process can be reached, for others who try to open it.
    ///
    /// # Errors
    /// [`Io`](Error::Io); [`Invalid`](Error::Invalid) once the driver is closed.
    pub async fn announce(&self, address: &str) -> Result<()> {
        let address = address.to_owned();
        self.store().run(move |store| store.announce(&address)).await
    }

    pub(in crate::fs) fn store(&self) -> &Arc<Store> {
        self.logs.store()
    }

    fn docs(&self, scope: Scope) -> Arc<dyn JsonKv> {
        Arc::new(FsDocs::new(Arc::clone(self.store()), scope))
    }
}

#[async_trait]
impl Driver for FsDriver {
    async fn info(&self) -> Result<DriverInfo> {
        Ok(DriverInfo { name: "fs".into(), contract: CONTRACT_VERSION, durability: self.store().options.durability })
    }

    fn committing(&self) -> Option<Handle> {
        self.store().committing()
    }

    async fn ready(&self) -> Result<()> {
        self.store().writable()
    }

    async fn create_project(&self, id: &ProjectId) -> Result<bool> {
        self.store().writable()?;
        if self.has_project(id).await? {
            return Ok(false);
        }
        let running = self.store().enter().await?;
        // Nobody may be at work on a log of it that is taken for void then.
        let gate = self.store().gates.alone(id).await;
        let (logs, id) = (Arc::clone(&self.logs), id.clone());
        let create = move |store: &Arc<Store>| {
            let created = projects::create(store, &id)?;
            if created {
                logs.forget(&id);
            }
            drop(gate);
            Ok(created)
        };
        self.store().run_on(running, create).await
    }

    async fn has_project(&self, id: &ProjectId) -> Result<bool> {
        let id = id.clone();
        self.store().run(move |store| projects::exists(store, &id)).await
    }

    async fn delete_project(&self, id: &ProjectId) -> Result<bool> {
        let running = self.store().enter().await?;
        let gate = self.store().gates.alone(id).await;
        let (logs, id) = (Arc::clone(&self.logs), id.clone());
        let delete = move |store: &Arc<Store>| {
            let removed = projects::remove(store, &id);
            logs.forget(&id);
            drop(gate);
            let removed = removed?;
            let existed = removed.is_some();
            removed.into_iter().for_each(|removed| removed.clear(store));
            Ok(existed)
        };
        self.store().run_on(running, delete).await
    }

    async fn list_projects(&self, after: Option<&ProjectId>, limit: usize) -> Result<ProjectList> {
        Limits::check_page(limit)?;
        let after = after.cloned();
        self.store().run(move |store| projects::list(store, after.as_ref(), limit)).await
    }

    async fn fork_project(&self, source: &ProjectId, target: &ProjectId) -> Result<()> {
        let running = self.store().enter().await?;
        let (gate, target_gate) = self.store().gates.both(source, target).await;
        let (logs, source, target) = (Arc::clone(&self.logs), source.clone(), target.clone());
        let fork = move |store: &Arc<Store>| {
            store.writable()?;
            let from = store.project_dir(&source)?;
            if projects::exists(store, &target)? {
                return Err(Error::project_exists(&target));
            }
            let draft = Draft::new(store)?;
            copy::docs(&from, draft.dir())?;
            copy_logs(store, &from, draft.dir())?;
            // Each file is whole, whenever it is copied.
            drop(gate);
            copy::files(&from, draft.dir())?;
            if !draft.publish(store, &target)? {
                return Err(Error::project_exists(&target));
            }
            logs.forget(&target);
            drop(target_gate);
            Ok(())
        };
        self.store().run_on(running, fork).await
    }

    fn project(&self, id: &ProjectId) -> Arc<dyn Project> {
        Arc::new(FsProject::new(Arc::clone(&self.logs), id.clone()))
    }

    fn shared(&self) -> Arc<dyn JsonKv> {
        self.docs(Scope::Shared)
    }

    fn collection(&self, name: &CollectionName) -> Arc<dyn JsonKv> {
        self.docs(Scope::Collection(name.clone()))
    }

    async fn close(&self) -> Result<()> {
        self.store().close().await
    }
}

#[cfg(test)]
mod tests;
