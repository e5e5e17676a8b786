//! What a daemon says when it is ready.

use std::net::SocketAddr;
use std::path::Path;

use folio::Durability;
use serde_json::json;

use crate::failure::Result;
use crate::output::Output;
use crate::style::{DIM, STRONG, WARN};
use crate::text::visible;

/// What is served, and where.
pub(super) struct Banner<'a> {
    pub(super) address: SocketAddr,
    /// `None`: in memory.
    pub(super) root: Option<&'a Path>,
    pub(super) durability: Durability,
}

impl Banner<'_> {
    pub(super) fn show(&self, out: &mut Output) -> Result {
        let version = env!("CARGO_PKG_VERSION");
        let url = format!("http://{}", self.address);
        if out.is_json() {
            let root = self.root.map(|root| std::path::absolute(root).unwrap_or_else(|_| root.to_owned()));
            return out.line(json!({
                "url": url,
                "listen": self.address.to_string(),
                "root": root.map(|root| root.to_string_lossy().into_owned()),
                "driver": if self.root.is_some() { "fs" } else { "memory" },
                "durability": self.durability.as_str(),
                "pid": std::process::id(),
                "version": version,
            }));
        }
        let what = self.root.map_or_else(|| "memory".into(), |root| visible(&root.to_string_lossy()).into_owned());
        out.line(format_args!("Folio {version} serves {STRONG}{what}{STRONG:#} at {STRONG}{url}{STRONG:#}"))?;
        if let Some(loss) = loss(self.durability) {
            out.line(format_args!("{WARN}{loss}{WARN:#}"))?;
        }
        out.line(format_args!(
            "
Try it in another terminal:
  {DIM}# a project, and the live stream of its history{DIM:#}
  curl -X PUT {url}/v1/projects/demo
  curl -N -H 'accept: text/event-stream' {url}/v1/projects/demo/history
  {DIM}# an entry, from a third one{DIM:#}
  curl -H 'content-type: application/json' -d '{{\"hello\":\"world\"}}' {url}/v1/projects/demo/history

Ctrl-C stops it."
        ))
    }
}

/// What a mode weaker than `sync` can lose.
fn loss(durability: Durability) -> Option<&'static str> {
    match durability {
        Durability::Sync => None,
        Durability::Interval => Some("Durability interval: a power cut can take the last second of acknowledged writes."),
        Durability::Os => Some("Durability os: a power cut can take acknowledged writes, often the last 30 seconds."),
        Durability::Memory => Some("In memory: everything is gone when the daemon ends."),
    }
}
