//! The HTTP face of Folio: any [`folio::Driver`] as JSON over HTTP, with event streams that resume.
//!
//! [`Server::bind`] checks the configuration and takes the address; [`Server::run`] serves until it is told to stop.
//! What is spoken is written down in `docs/http.md`.
//!
//! It is not a web framework and not a door to the open internet: it listens on the loopback interface only, answers
//! only to its own names, and refuses requests that other web pages make.

mod accept;
mod append;
mod body;
mod budget;
mod changes;
mod commit;
mod conditions;
mod config;
mod connection;
mod cors;
mod cursor;
mod date;
mod docs;
mod events;
mod fast;
mod files;
mod frame;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gap;
mod guard;
mod health;
mod home;
mod listen;
mod log;
mod media;
mod page;
mod path;
mod problem;
mod projects;
mod query;
mod range;
mod reply;
mod routes;
mod send;
mod socket;
mod sse;
mod state;
mod stream;
mod upload;
mod values;
mod whole;

pub use commit::{Operations, Results};
pub use config::{DEFAULT_PORT, ServerConfig};
pub use listen::Server;
pub use routes::{ROUTES, Route};
