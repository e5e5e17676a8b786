//! A server to test against, with a few things in it.

use std::net::SocketAddr;
use std::sync::Arc;

use folio::Driver;
use folio::memory::MemoryDriver;
use folio_server::{Server, ServerConfig};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Answer, Connection, Request, call, within};

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) driver: Arc<dyn Driver>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<folio::Result<()>>,
}

/// The origin that test servers allow.
pub(crate) const FRIEND: &str = "https://studio.example";

pub(crate) fn config() -> ServerConfig {
    ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), allow_origins: vec![FRIEND.into()], ..ServerConfig::default() }
}

impl TestServer {
    /// An empty one.
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: ServerConfig) -> Self {
        Self::over(Arc::new(MemoryDriver::default()), config).await
    }

    pub(crate) async fn over(driver: Arc<dyn Driver>, config: ServerConfig) -> Self {
        let server = Server::bind(Arc::clone(&driver), config).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { address, driver, stop: Some(stop), running }
    }

    /// With project `p`, file `a.txt`, document `d`, entries 1 to 3 in the history, log `l`, document `s` in `shared` and
    /// `c` in the collection `k`.
    pub(crate) async fn furnished() -> Self {
        let server = Self::start().await;
        server.furnish().await;
        server
    }

    pub(crate) async fn furnish(&self) {
        for (method, path, body) in [
            ("PUT", "/v1/projects/p", ""),
            ("PUT", "/v1/projects/p/files/a.txt", "0123456789"),
            ("PUT", "/v1/projects/p/docs/d", r#"{"n":1}"#),
            ("POST", "/v1/projects/p/history", r#"[{"i":1},{"i":2},{"i":3}]"#),
            ("POST", "/v1/projects/p/logs/l", "1"),
            ("PUT", "/v1/shared/docs/s", "1"),
            ("PUT", "/v1/collections/k/docs/c", "1"),
        ] {
            let answer = self.send(method, path, &[], body).await;
            assert!(answer.status < 300, "{method} {path}: {answer:?}");
        }
    }

    /// One call on a connection of its own. Anything but a `Host` header must be given.
    pub(crate) async fn call(&self, request: Request) -> Answer {
        call(self.address, request).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        let mut request = Request::new(method, path).body(body.as_ref());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.call(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Everything that the furnished things hold, to see that nothing changed.
    pub(crate) async fn snapshot(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for path in [
            "/v1/projects",
            "/v1/projects/p/docs?etag=true",
            "/v1/projects/p/files?etag=true",
            "/v1/projects/p/logs",
            "/v1/projects/p/history?view=status",
            "/v1/projects/p/logs/l?view=status",
            "/v1/shared/docs?etag=true",
            "/v1/collections/k/docs?etag=true",
        ] {
            let answer = self.get(path).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            all.push(answer.json());
        }
        all
    }

    /// Tells the server to stop.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits until it has.
    pub(crate) async fn stopped(&mut self) {
        within("the server stops", &mut self.running).await.unwrap().unwrap();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.running.abort();
    }
}
