//! What every call can reach.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use folio::Driver;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::budget::Budget;
use crate::config::ServerConfig;
use crate::guard::Guard;
use crate::stream::Streams;

/// Readers that are told at a time what a log holds already; others wait.
const CATCHING_UP: usize = 512;

/// Connections that are served on the thread that commits, at a time: where more append, each sync is for many anyway, and
/// a second processor has something to do.
const BESIDE: usize = 32;

/// The server's parts; one per server, shared by all calls.
pub(crate) struct App {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) config: ServerConfig,
    pub(crate) guard: Guard,
    /// For bodies of requests.
    pub(crate) bodies: Budget,
    /// For answers. Apart from the bodies, so that a call that holds one and waits for the other gets it in the end.
    pub(crate) answers: Budget,
    /// A permit for every event stream that may be open.
    pub(crate) streams: Arc<Semaphore>,
    /// Those that are open, but for the ones that go through the HTTP stack.
    pub(crate) fanout: Streams,
    /// For readers that are told what a log holds already: each holds a part of that in memory.
    pub(crate) catching_up: Semaphore,
    /// For connections on the thread that commits.
    beside: Arc<Semaphore>,
    /// Turns true when the server is told to stop.
    pub(crate) draining: watch::Receiver<bool>,
    /// The page at `/`.
    pub(crate) home: Bytes,
}

impl App {
    pub(crate) fn new(
        driver: Arc<dyn Driver>,
        config: ServerConfig,
        address: SocketAddr,
        draining: watch::Receiver<bool>,
    ) -> Self {
        Self {
            driver,
            guard: Guard::new(address, &config.allow_origins),
            bodies: Budget::new(config.memory / 2),
            answers: Budget::new(config.memory / 2),
            streams: Arc::new(Semaphore::new(config.max_streams)),
            fanout: Streams::new(),
            catching_up: Semaphore::new(CATCHING_UP),
            beside: Arc::new(Semaphore::new(BESIDE)),
            draining,
            home: crate::home::page(address),
            config,
        }
    }

    /// A place on the thread that commits; `None`: there is no such thread, or no room.
    pub(crate) fn committing(&self) -> Option<Seat> {
        let runtime = self.driver.committing()?;
        let permit = Arc::clone(&self.beside).try_acquire_owned().ok()?;
        Some(Seat { runtime, permit })
    }
}

/// A place for a connection on the thread that commits.
pub(crate) struct Seat {
    pub(crate) runtime: Handle,
    pub(crate) permit: OwnedSemaphorePermit,
}
