//! What every call can reach.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use folio::Driver;
use tokio::sync::{Semaphore, watch};

use crate::budget::Budget;
use crate::config::ServerConfig;
use crate::guard::Guard;

/// The server's parts; one per server, shared by all calls.
pub(crate) struct App {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) config: ServerConfig,
    pub(crate) guard: Guard,
    pub(crate) memory: Budget,
    /// A permit for every event stream that may be open.
    pub(crate) streams: Arc<Semaphore>,
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
            memory: Budget::new(config.memory),
            streams: Arc::new(Semaphore::new(config.max_streams)),
            draining,
            home: crate::home::page(address),
            config,
        }
    }
}
