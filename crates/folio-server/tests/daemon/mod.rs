//! A daemon in this process, and a client of it.

use std::sync::{Arc, Mutex, PoisonError};

use folio::{Driver, Error, Result};
use folio_client::HttpDriver;
use folio_server::{Server, ServerConfig};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Serves a driver on a free port until it is stopped, cut off or dropped.
pub(crate) struct Daemon {
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<()>>,
    client: Arc<HttpDriver>,
}

impl Daemon {
    pub(crate) async fn start(driver: Arc<dyn Driver>) -> Result<Self> {
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(driver, ServerConfig { listen, ..ServerConfig::default() }).await?;
        let client = HttpDriver::connect(&format!("http://{}", server.local_addr()))?;
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move {
            // Dropping the sender stops it too.
            let _ = stopped.await;
        }));
        Ok(Self { stop: Some(stop), running, client: Arc::new(client) })
    }

    pub(crate) fn client(&self) -> Arc<dyn Driver> {
        self.client.clone()
    }

    /// Stops it the way a signal does, and waits for the end.
    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.stop.take());
        (&mut self.running).await.map_err(|e| Error::Io { what: "stopping the server".into(), why: e.to_string() })?
    }

    /// Ends it in the middle of whatever it does.
    #[allow(dead_code, reason = "only what is kept on disk survives that")]
    pub(crate) async fn cut_off(mut self) {
        self.running.abort();
        let _ = (&mut self.running).await;
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A place for the daemon in use, and for the next one after it.
#[derive(Default)]
pub(crate) struct Place(Mutex<Option<Daemon>>);

impl Place {
    pub(crate) fn take(&self) -> Option<Daemon> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn put(&self, daemon: Daemon) -> Arc<dyn Driver> {
        let client = daemon.client();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(daemon);
        client
    }

    #[expect(clippy::expect_used, reason = "the harness fills it before anybody asks")]
    pub(crate) fn client(&self) -> Arc<dyn Driver> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().expect("a daemon runs").client()
    }
}
