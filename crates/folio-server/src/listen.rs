//! The server: its address, its connections, its end.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use folio::{Driver, Error, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::ServerConfig;
use crate::connection;
use crate::routes;
use crate::state::App;

/// How long to wait where the system can't give another connection now (no file descriptors).
const OUT_OF_SOCKETS: Duration = Duration::from_millis(100);

/// An HTTP server over a driver, bound to its address.
///
/// ```no_run
/// # async fn example(driver: std::sync::Arc<dyn folio::Driver>) -> folio::Result<()> {
/// use folio_server::{Server, ServerConfig};
///
/// let server = Server::bind(driver, ServerConfig::default()).await?;
/// println!("http://{}", server.local_addr());
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// server.run(async { let _ = stopped.await; }).await?;
/// # drop(stop);
/// # Ok(())
/// # }
/// ```
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    drain: watch::Sender<bool>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Checks the configuration and takes the address. From here on clients can connect; they are answered by
    /// [`Server::run`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a configuration that cannot be meant, such as an address beyond loopback;
    /// [`Error::Io`] where the address is taken.
    pub async fn bind(driver: Arc<dyn Driver>, config: ServerConfig) -> Result<Self> {
        config.check()?;
        let failed = |e: std::io::Error| Error::Io { what: format!("listening on {}", config.listen), why: e.to_string() };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (drain, draining) = watch::channel(false);
        let app = Arc::new(App::new(driver, config, address, draining));
        Ok(Self { listener, address, app, drain })
    }

    /// The address it listens on, with the port that was found for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done: then no connection is accepted any more, event streams end, and running
    /// requests may finish for [`ServerConfig::drain_timeout`]; what is left after that is cut off. The driver stays
    /// open: it belongs to the caller.
    ///
    /// # Errors
    /// None at present: a connection that fails concerns its client only.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let Self { listener, app, drain, .. } = self;
        let router = routes::router(Arc::clone(&app));
        let slots = Arc::new(Semaphore::new(app.config.max_connections));
        let mut shutdown = pin!(shutdown);
        let mut connections = JoinSet::new();
        loop {
            let (stream, slot) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                next = accept(&listener, &slots) => next,
            };
            let serving = connection::serve(stream, Arc::clone(&app), router.clone());
            connections.spawn(async move {
                // On the heap, and no longer than it is needed: there are many.
                let streaming = Box::pin(serving).await;
                drop(slot);
                if let Some(streaming) = streaming {
                    streaming.await;
                }
            });
        }
        drop(listener);
        let _ = drain.send(true);
        let streaming = Arc::clone(&app);
        // It ends also if nobody waits for it.
        let streams = tokio::task::spawn_blocking(move || streaming.fanout.stop());
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(app.config.drain_timeout, finished).await.is_err() {
            connections.shutdown().await;
        }
        let _ = streams.await;
        Ok(())
    }
}

/// The next client, once there is room for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there always is a permit.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) if is_about_the_client(&error) => {}
            Err(_) => tokio::time::sleep(OUT_OF_SOCKETS).await,
        }
    }
}

/// The client was gone before it was accepted.
fn is_about_the_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
