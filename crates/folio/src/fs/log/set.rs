//! The logs in use of a root. One that nobody uses any more is let go of, with its files and memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fs::log::core::LogCore;
use crate::fs::store::Store;
use crate::name::{LogName, ProjectId};

/// Logs that are kept ready although nobody uses them at the moment, at most.
const READY: usize = 128;

struct Used {
    core: Arc<LogCore>,
    at: Instant,
}

/// The logs in use.
pub(crate) struct Logs {
    store: Arc<Store>,
    cores: Mutex<HashMap<(ProjectId, LogName), Used>>,
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logs").field("ready", &self.held().len()).finish_non_exhaustive()
    }
}

impl Logs {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, cores: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<(ProjectId, LogName), Used>> {
        self.cores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The one core of a log. Costs no disk access.
    pub(crate) fn core(&self, project: &ProjectId, name: &LogName) -> Arc<LogCore> {
        let mut cores = self.held();
        let (key, at) = ((project.clone(), name.clone()), Instant::now());
        if let Some(used) = cores.get_mut(&key) {
            used.at = at;
            return Arc::clone(&used.core);
        }
        if cores.len() >= READY {
            self.let_go(&mut cores, READY / 2);
        }
        let core = Arc::new(LogCore::new(Arc::clone(&self.store), project.clone(), name.clone()));
        cores.insert(key, Used { core: Arc::clone(&core), at });
        core
    }

    /// Lets go of logs that nobody used for `idle`.
    pub(crate) fn sweep(&self, idle: Duration) {
        // After a failed write the files may show what is not durable, so what is known is kept.
        if self.store.writable().is_ok() {
            let now = Instant::now();
            let mut cores = self.held();
            cores.retain(|_, used| Arc::strong_count(&used.core) > 1 || now.duration_since(used.at) < idle);
            if cores.capacity() > 4 * (cores.len() + READY) {
                cores.shrink_to_fit();
            }
        }
    }

    /// Lets go of the longest unused ones, until `left` are there or all are in use.
    fn let_go(&self, cores: &mut HashMap<(ProjectId, LogName), Used>, left: usize) {
        if self.store.writable().is_err() {
            return;
        }
        let mut unused: Vec<(Instant, (ProjectId, LogName))> = cores
            .iter()
            .filter(|(_, used)| Arc::strong_count(&used.core) == 1)
            .map(|(key, used)| (used.at, key.clone()))
            .collect();
        unused.sort_by_key(|(at, _)| *at);
        let surplus = cores.len().saturating_sub(left);
        for (_, key) in unused.into_iter().take(surplus) {
            cores.remove(&key);
        }
    }

    /// A project was made, deleted or replaced while nobody wrote in it: what is known of its logs is void.
    pub(crate) fn forget(&self, project: &ProjectId) {
        let cores: Vec<Arc<LogCore>> =
            self.held().iter().filter(|((id, _), _)| id == project).map(|(_, used)| Arc::clone(&used.core)).collect();
        for core in cores {
            core.forget();
        }
    }
}
