//! What a case works with.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use folio::{AppendLog, CollectionName, Driver, Error, ManualClock, Project, ProjectExt, ProjectId, Result};

use crate::harness::{Harness, Need, not_met};
use crate::settings::{repeat, seed};

/// The driver under test, fresh names, and randomness that can be repeated. Cheap to clone.
#[derive(Clone)]
pub struct Ctx {
    inner: Arc<Inner>,
}

struct Inner {
    harness: Box<dyn Harness>,
    /// Unlike those of any other case or run, on storage that outlives both.
    prefix: String,
    names: AtomicU64,
    /// The variables to set so that the same random choices are made again.
    repeat: Mutex<Option<String>>,
}

impl Ctx {
    /// For one case.
    #[must_use]
    pub fn new(harness: Box<dyn Harness>) -> Self {
        let prefix = format!("case-{:016x}", fastrand::u64(..));
        Self { inner: Arc::new(Inner { harness, prefix, names: AtomicU64::new(0), repeat: Mutex::default() }) }
    }

    /// The driver, as of the last reopen.
    #[must_use]
    pub fn driver(&self) -> Arc<dyn Driver> {
        self.inner.harness.driver()
    }

    /// An id that no project has, and that no other call returns. Ids of one case rise in byte order.
    ///
    /// # Errors
    /// None in practice; the name is valid.
    pub fn fresh_id(&self) -> Result<ProjectId> {
        ProjectId::new(self.fresh_name())
    }

    /// The name of a collection that nobody has written to.
    ///
    /// # Errors
    /// None in practice; the name is valid.
    pub fn fresh_collection(&self) -> Result<CollectionName> {
        CollectionName::new(self.fresh_name())
    }

    /// A name that nothing has.
    #[must_use]
    pub fn fresh_name(&self) -> String {
        format!("{}-{:04}", self.inner.prefix, self.inner.names.fetch_add(1, Ordering::Relaxed))
    }

    /// What all fresh names of this case begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// A new project.
    ///
    /// # Errors
    /// What the driver answers.
    pub async fn project(&self) -> Result<Arc<dyn Project>> {
        let id = self.fresh_id()?;
        let driver = self.driver();
        driver.create_project(&id).await?;
        Ok(driver.project(&id))
    }

    /// The history of a new project.
    ///
    /// # Errors
    /// What the driver answers.
    pub async fn history(&self) -> Result<Arc<dyn AppendLog>> {
        Ok(self.project().await?.history())
    }

    /// A handle to the same project on the driver in use now.
    #[must_use]
    pub fn again(&self, project: &Arc<dyn Project>) -> Arc<dyn Project> {
        self.driver().project(project.id())
    }

    /// True where the harness meets `need`; for steps that a case takes only where it can.
    #[must_use]
    pub fn has(&self, need: Need) -> bool {
        self.inner.harness.lacks(need).is_none()
    }

    /// The first of `needs` that is not met, with the reason.
    #[must_use]
    pub fn lacks(&self, needs: &[Need]) -> Option<String> {
        needs.iter().find_map(|&need| {
            let why = self.inner.harness.lacks(need)?;
            Some(format!("needs {need}: {why}"))
        })
    }

    /// Closes the driver and opens it again. For cases that need [`Need::Reopen`].
    ///
    /// # Errors
    /// What the driver answers.
    pub async fn reopen(&self) -> Result<Arc<dyn Driver>> {
        self.inner.harness.reopen().await
    }

    /// Opens again without having closed. For cases that need [`Need::Crash`].
    ///
    /// # Errors
    /// What the driver answers.
    pub async fn crash(&self) -> Result<Arc<dyn Driver>> {
        self.inner.harness.crash().await
    }

    /// The driver's clock. For cases that need [`Need::Clock`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the harness has none.
    pub fn clock(&self) -> Result<Arc<ManualClock>> {
        self.inner.harness.clock().ok_or_else(|| not_met(Need::Clock))
    }

    /// The folder of a project as other programs see it. For cases that need [`Need::PlainFiles`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the harness has none.
    pub fn folder(&self, project: &Arc<dyn Project>) -> Result<PathBuf> {
        let root = self.inner.harness.root().ok_or_else(|| -> Error { not_met(Need::PlainFiles) })?;
        Ok(root.join(project.id().as_str()))
    }

    /// Random choices that a failure report tells how to repeat.
    #[must_use]
    pub fn random(&self) -> fastrand::Rng {
        self.repeat_with(repeat(seed(), None));
        fastrand::Rng::with_seed(seed())
    }

    /// Says which variables repeat what comes now.
    pub(crate) fn repeat_with(&self, variables: String) {
        *self.inner.repeat.lock().unwrap_or_else(PoisonError::into_inner) = Some(variables);
    }

    /// The variables that repeat the random choices, if there were any.
    pub(crate) fn repeat(&self) -> Option<String> {
        self.inner.repeat.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
