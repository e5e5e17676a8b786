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

type Cores = HashMap<(ProjectId, LogName), Arc<LogCore>>;

/// The logs in use.
pub(crate) struct Logs {
    store: Arc<Store>,
    cores: Mutex<Cores>,
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

    fn held(&self) -> MutexGuard<'_, Cores> {
        self.cores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The one core of a log. Costs no disk access.
    pub(crate) fn core(&self, project: &ProjectId, name: &LogName) -> Arc<LogCore> {
        let mut cores = self.held();
        let key = (project.clone(), name.clone());
        if let Some(core) = cores.get(&key) {
            core.used.touch();
            return Arc::clone(core);
        }
        if cores.len() >= READY {
            self.let_go(&mut cores, READY / 2);
        }
        let core = Arc::new(LogCore::new(Arc::clone(&self.store), project.clone(), name.clone()));
        cores.insert(key, Arc::clone(&core));
        core
    }

    /// Lets go of logs that nobody used for `idle`.
    pub(crate) fn sweep(&self, idle: Duration) {
        // After a failed write the files may show what is not durable, so what is known is kept.
        if self.store.writable().is_ok() {
            let now = Instant::now();
            let mut cores = self.held();
            for (_, key) in unused(&cores).into_iter().take_while(|(used, _)| now.duration_since(*used) >= idle) {
                remove(&mut cores, key);
            }
            if cores.capacity() > 4 * (cores.len() + READY) {
                cores.shrink_to_fit();
            }
        }
    }

    /// Lets go of the longest unused ones, until `left` are there or all are in use.
    fn let_go(&self, cores: &mut Cores, left: usize) {
        if self.store.writable().is_err() {
            return;
        }
        let surplus = cores.len().saturating_sub(left);
        for (_, key) in unused(cores).into_iter().take(surplus) {
            remove(cores, key);
        }
    }

    /// A project was made, deleted or replaced while nobody wrote in it: what is known of its logs is void.
    pub(crate) fn forget(&self, project: &ProjectId) {
        let cores: Vec<Arc<LogCore>> =
            self.held().iter().filter(|((id, _), _)| id == project).map(|(_, core)| Arc::clone(core)).collect();
        for core in cores {
            core.forget();
        }
    }
}

/// Those that nobody uses, the longest unused first.
fn unused(cores: &Cores) -> Vec<(Instant, (ProjectId, LogName))> {
    let unused = cores.iter().filter(|(_, core)| Arc::strong_count(core) == 1);
    let mut unused: Vec<_> = unused.map(|(key, core)| (core.used.at(), key.clone())).collect();
    unused.sort_by_key(|(used, _)| *used);
    unused
}

/// Takes one out, unless somebody began to use it just now: there is one core of a log at most.
fn remove(cores: &mut Cores, key: (ProjectId, LogName)) {
    let Some(core) = cores.remove(&key) else { return };
    if let Err(core) = Arc::try_unwrap(core) {
        cores.insert(key, core);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::options::FsOptions;

    #[test]
    fn what_somebody_began_to_use_stays_the_one() {
        let temp = tempfile::tempdir().unwrap();
        let logs = Logs::new(Store::open(temp.path(), FsOptions::default()).unwrap());
        let (project, name) = (ProjectId::new("p").unwrap(), LogName::history());
        let key = || (project.clone(), name.clone());
        let known = Arc::downgrade(&logs.core(&project, &name));
        // After it was found unused, and before it is taken out.
        let unused = unused(&logs.held());
        let user = known.upgrade().unwrap();
        unused.into_iter().for_each(|(_, key)| remove(&mut logs.held(), key));
        assert!(Arc::ptr_eq(&user, &logs.core(&project, &name)));
        drop(user);
        remove(&mut logs.held(), key());
        assert!(known.upgrade().is_none());
    }
}
