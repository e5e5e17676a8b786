//! A real server over the memory driver.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use folio::Driver;
use folio::memory::MemoryDriver;
use folio_client::HttpDriver;
use folio_server::{Server, ServerConfig};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::scripted::quick;

/// A running server.
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<folio::Result<()>>,
}

impl Daemon {
    /// Over this store, on a free port.
    pub(crate) async fn start(store: &MemoryDriver) -> Self {
        Self::start_at(store, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// On the second loopback address, so that a proxy can have the first one.
    pub(crate) async fn start_behind(store: &MemoryDriver) -> Self {
        Self::start_at(store, SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0))).await
    }

    /// At this address.
    pub(crate) async fn start_at(store: &MemoryDriver, listen: SocketAddr) -> Self {
        let driver: Arc<dyn Driver> = Arc::new(store.clone());
        let config = ServerConfig { listen, retry: Duration::from_millis(1), ..Default::default() };
        let server = Server::bind(driver, config).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { address, stop, task }
    }

    pub(crate) fn driver(&self) -> HttpDriver {
        HttpDriver::with_options(&format!("http://{}", self.address), quick()).unwrap()
    }

    /// Ends it, and waits until its port is free.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}
