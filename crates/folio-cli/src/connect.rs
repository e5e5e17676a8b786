//! Opens the store that a command means: a folder, the daemon that owns it, or an address.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use folio::fs::{FsDriver, FsOptions};
use folio::{Driver, Error, ProjectId};
use folio_client::{ClientOptions, HttpDriver};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::place::Place;
use crate::text::visible;

/// First and longest pause between two tries at a folder that is in use.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// The store of one command, opened when the command is ready for it: a folder is owned for as short as can be, so that
/// commands in a pipe don't wait for each other.
pub(crate) struct Connect {
    place: Place,
    wait: Duration,
    holder: String,
    opened: Option<Opened>,
}

struct Opened {
    driver: Arc<dyn Driver>,
    /// The address, if a daemon is between.
    daemon: Option<String>,
}

impl Connect {
    /// `wait`: how long to wait for a folder that another command is using. `holder`: how this one is called there.
    pub(crate) fn new(place: Place, wait: Duration, holder: String) -> Self {
        Self { place, wait, holder, opened: None }
    }

    /// The store, which must exist.
    pub(crate) async fn open(&mut self) -> Result<Arc<dyn Driver>> {
        if let Place::Root(root) = &self.place {
            must_exist(root)?;
        }
        self.open_or_create().await
    }

    /// The store; a folder is made where there is none.
    pub(crate) async fn open_or_create(&mut self) -> Result<Arc<dyn Driver>> {
        if let Some(opened) = &self.opened {
            return Ok(opened.driver.clone());
        }
        let opened = match &self.place {
            Place::Url(url) => daemon(url)?,
            Place::Root(root) => self.open_root(root).await?,
        };
        Ok(self.opened.insert(opened).driver.clone())
    }

    /// The store with this project in it, both made where there is none.
    pub(crate) async fn with_project(&mut self, id: &ProjectId) -> Result<Arc<dyn Driver>> {
        let driver = self.open_or_create().await?;
        driver.create_project(id).await?;
        Ok(driver)
    }

    /// True when the store is open and a daemon is between.
    pub(crate) fn through_daemon(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.daemon.is_some())
    }

    /// The folder or address, as the user knows it.
    pub(crate) fn shown(&self) -> String {
        match (&self.place, self.opened.as_ref().and_then(|opened| opened.daemon.as_ref())) {
            (_, Some(address)) => visible(address).into_owned(),
            (Place::Url(url), None) => visible(url).into_owned(),
            (Place::Root(root), None) => visible(&root.to_string_lossy()).into_owned(),
        }
    }

    /// Lets go of the store.
    pub(crate) async fn close(&mut self) -> Result {
        match self.opened.take() {
            Some(opened) => Ok(opened.driver.close().await?),
            None => Ok(()),
        }
    }

    async fn open_root(&self, root: &Path) -> Result<Opened> {
        let started = Instant::now();
        let (mut pause, longest) = PAUSE;
        loop {
            let options = FsOptions { holder: self.holder.clone(), ..FsOptions::default() };
            let refusal = match FsDriver::open(root, options).await {
                Ok(driver) => return Ok(Opened { driver: Arc::new(driver), daemon: None }),
                Err(Error::Locked { address: Some(address), root, holder }) => {
                    let opened = daemon(&address)?;
                    match opened.driver.info().await {
                        Ok(_) => return Ok(opened),
                        // it is just ending, or it takes no calls
                        Err(Error::Transport { what }) => {
                            let locked = Error::Locked { root, holder, address: Some(address) };
                            Failure::from(locked).and(format_args!("It does not answer: {what}"))
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error @ Error::Locked { .. }) => {
                    Failure::from(error).and("To let several commands work at once, start a daemon on it: folio serve")
                }
                Err(error) => return Err(error.into()),
            };
            if started.elapsed() >= self.wait {
                return Err(refusal);
            }
            tokio::time::sleep(pause.min(self.wait.saturating_sub(started.elapsed()))).await;
            pause = (pause * 2).min(longest);
        }
    }
}

fn daemon(url: &str) -> Result<Opened> {
    // a person waits: rather say soon that nobody answers, also in the middle of a stream (`tail` goes on by itself)
    let options = ClientOptions { attempts: 2, give_up_after: Some(Duration::ZERO), ..ClientOptions::default() };
    let driver = HttpDriver::with_options(url, options)?;
    Ok(Opened { driver: Arc::new(driver), daemon: Some(url.to_owned()) })
}

/// Reading never makes a folder: a mistyped name would look like an empty store.
pub(crate) fn must_exist(root: &Path) -> Result {
    match std::fs::metadata(root) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(Failure::usage(format!("{} is not a folder; --root names a folder of projects", shown(root)))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(no_root(root)),
        Err(e) => Err(Failure::io(format!("opening {}", shown(root)), &e)),
    }
}

fn no_root(root: &Path) -> Failure {
    let root = shown(root);
    Failure::new(
        Exit::NotFound,
        "no_root",
        format!("there is no folder {root}; `folio serve` or `folio project create` makes it, --root names another one"),
    )
    .with("root", root.into())
}

fn shown(root: &Path) -> String {
    visible(&PathBuf::from(root).to_string_lossy()).into_owned()
}
