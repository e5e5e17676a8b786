//! Folio's contract over HTTP: [`HttpDriver`] is a [`Driver`](folio::Driver) that speaks to a running Folio daemon, so a
//! program that was written for the library works on a daemon, and the daemon is held to the library's guarantees.
//!
//! ```
//! use folio::{AppendLogExt, Driver, LogEvent, ProjectExt, ProjectId, Start};
//! use folio_client::HttpDriver;
//! use futures_util::StreamExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> folio::Result<()> {
//! # let store = std::sync::Arc::new(folio::memory::MemoryDriver::default());
//! # let config = folio_server::ServerConfig { listen: ([127, 0, 0, 1], 0).into(), ..Default::default() };
//! # let daemon = folio_server::Server::bind(store, config).await?;
//! # let url = format!("http://{}", daemon.local_addr());
//! # tokio::spawn(daemon.run(std::future::pending()));
//! // `url` is where the daemon listens: http://127.0.0.1:7460 unless it was told otherwise.
//! let folio = HttpDriver::connect(&url)?;
//! let site = ProjectId::new("streams-site")?;
//! folio.create_project(&site).await?;
//! let history = folio.project(&site).history();
//!
//! // Stands when this returns, and goes on over lost connections without a gap or a duplicate.
//! let mut events = history.subscribe(Start::Now).await?;
//! history.append_value("hello").await?;
//! while let Some(event) = events.next().await {
//!     if let LogEvent::Entry { entry, position } = event? {
//!         println!("{position}: {:?}", entry.data);
//!         assert_eq!(entry.seq, 1);
//!         break;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is retried and what is not, and how subscriptions survive, stands on [`HttpDriver`]; the bounds on waiting and
//! memory are [`ClientOptions`]. It speaks plain HTTP without TLS and goes past proxies, because the daemon listens on the same machine.

mod call;
mod changes;
mod commit;
mod docs;
mod driver;
mod events;
mod files;
mod follow;
mod http;
mod log;
mod modified;
mod options;
mod pause;
mod problem;
mod project;
mod sse;
mod target;
mod upload;
mod wire;

pub use driver::HttpDriver;
pub use options::ClientOptions;
