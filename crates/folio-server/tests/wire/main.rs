//! The server as clients see it: everything here goes over real sockets to a server, over the memory driver for the most part.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod client;
mod commit;
mod committing;
mod conditions;
mod docs;
mod door;
mod event_source;
mod events;
mod files;
mod frames;
mod logs;
mod manual;
mod projects;
mod quick;
mod routes;
mod server;
mod shutdown;
mod slow;
