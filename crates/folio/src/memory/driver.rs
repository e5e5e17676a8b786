//! The driver: projects, and what lies outside them.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;

use super::docs::{MemoryDocs, Scope};
use super::log::Log;
use super::project::MemoryProject;
use super::store::{ProjectState, State, Store};
use crate::clock::{Clock, SystemClock};
use crate::docs::JsonKv;
use crate::driver::{CONTRACT_VERSION, Driver, DriverInfo, Durability, Project, ProjectList};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::name::{CollectionName, LogName, ProjectId};

/// How a [`MemoryDriver`] works.
#[derive(Clone, Debug)]
pub struct MemoryOptions {
    /// How large things may be.
    pub limits: Limits,
    /// Tells the time of entries and writes, and the epochs.
    pub clock: Arc<dyn Clock>,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), clock: Arc::new(SystemClock) }
    }
}

/// Keeps everything in memory. Cheap to clone; clones share what they keep, and it is gone with the last of them.
///
/// ```
/// use folio::memory::MemoryDriver;
/// use folio::{AppendLogExt, Driver, ProjectExt, ProjectId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> folio::Result<()> {
/// let store = MemoryDriver::default();
/// let id = ProjectId::new("demo")?;
/// store.create_project(&id).await?;
/// let history = store.project(&id).history();
/// history.append_value("hello").await?;
/// assert_eq!(history.status().await?.head.seq, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryDriver {
    pub(super) store: Arc<Store>,
}

impl fmt::Debug for MemoryDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDriver").field("options", &self.store.options).finish_non_exhaustive()
    }
}

impl Default for MemoryDriver {
    fn default() -> Self {
        Self::new(MemoryOptions::default())
    }
}

impl MemoryDriver {
    /// An empty store.
    #[must_use]
    pub fn new(options: MemoryOptions) -> Self {
        Self { store: Arc::new(Store::new(options)) }
    }

    fn docs(&self, scope: Scope) -> Arc<dyn JsonKv> {
        Arc::new(MemoryDocs::new(Arc::clone(&self.store), scope))
    }
}

#[async_trait]
impl Driver for MemoryDriver {
    async fn info(&self) -> Result<DriverInfo> {
        Ok(DriverInfo { name: "memory".into(), contract: CONTRACT_VERSION, durability: Durability::Memory })
    }

    async fn create_project(&self, id: &ProjectId) -> Result<bool> {
        let mut state = self.store.lock();
        if state.projects.contains_key(id) {
            return Ok(false);
        }
        let mut project = ProjectState::default();
        let life = state.counters.life();
        project.logs.get_or_insert(&LogName::history(), || Log::new(life));
        state.projects.insert(id.clone(), project);
        state.wake_all(id);
        Ok(true)
    }

    async fn has_project(&self, id: &ProjectId) -> Result<bool> {
        Ok(self.store.lock().projects.contains_key(id))
    }

    async fn delete_project(&self, id: &ProjectId) -> Result<bool> {
        let removed = {
            let mut state = self.store.lock();
            let removed = state.projects.remove(id);
            if removed.is_some() {
                state.wake_all(id);
                state.hubs.remove(&Scope::Project(id.clone()));
            }
            removed
        };
        Ok(removed.is_some())
    }

    async fn list_projects(&self, after: Option<&ProjectId>, limit: usize) -> Result<ProjectList> {
        Limits::check_page(limit)?;
        let state = self.store.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = state.projects.range::<ProjectId, _>((from, Bound::Unbounded)).map(|(id, _)| id);
        let projects: Vec<ProjectId> = found.by_ref().take(limit).cloned().collect();
        let next = found.next().and(projects.last().cloned());
        Ok(ProjectList { projects, next })
    }

    async fn fork_project(&self, source: &ProjectId, target: &ProjectId) -> Result<()> {
        let mut state = self.store.lock();
        let State { projects, counters, .. } = &mut *state;
        let original = projects.get(source).ok_or_else(|| Error::no_project(source))?;
        if projects.contains_key(target) {
            return Err(Error::project_exists(target));
        }
        let copy = ProjectState {
            docs: original.docs.clone(),
            files: original.files.clone(),
            logs: original.logs.copy(counters, self.store.now()),
        };
        projects.insert(target.clone(), copy);
        state.wake_all(target);
        Ok(())
    }

    fn project(&self, id: &ProjectId) -> Arc<dyn Project> {
        Arc::new(MemoryProject::new(Arc::clone(&self.store), id.clone()))
    }

    fn shared(&self) -> Arc<dyn JsonKv> {
        self.docs(Scope::Shared)
    }

    fn collection(&self, name: &CollectionName) -> Arc<dyn JsonKv> {
        self.docs(Scope::Collection(name.clone()))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
