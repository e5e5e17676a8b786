//! What can be set, and the values that stand otherwise.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use folio::{Error, Limits, Result};

/// The port of the default address.
pub const DEFAULT_PORT: u16 = 7460;

/// How a [`Server`](crate::Server) listens and what it bears.
///
/// ```
/// let config = folio_server::ServerConfig { max_streams: 64, ..Default::default() };
/// assert_eq!(config.listen.to_string(), "127.0.0.1:7460");
/// ```
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen: a loopback address, or [`Server::bind`](crate::Server::bind) refuses. Port 0 takes a free one.
    /// 127.0.0.1:7460 by default.
    pub listen: SocketAddr,
    /// Origins of other pages that may call, each spelled as browsers send it (`https://studio.example`).
    /// None by default; `*` and `null` are refused.
    pub allow_origins: Vec<String>,
    /// Sizes of entries, documents and bodies; give the driver the same.
    pub limits: Limits,
    /// Largest file that can be uploaded, in bytes. Unlimited by default: files are streamed, never held in memory.
    pub max_file: Option<u64>,
    /// Largest request head, in bytes. 32 KiB by default; what is larger gets 431.
    pub max_head: usize,
    /// Connections that are served at a time; more of them wait to be accepted. 768 by default.
    pub max_connections: usize,
    /// Event streams that are open at a time. Further ones are sent away with `retry: 10000`. 512 by default. Those of
    /// logs don't count as connections; each takes a file descriptor, so keep both together well below what the process
    /// may have of them.
    pub max_streams: usize,
    /// Bytes of request bodies and answers that are held in memory at a time, over all connections: half for the ones,
    /// half for the others. 256 MiB by default, at least four times [`Limits::body`].
    pub memory: usize,
    /// How long a request head may take from its first byte. 10 s by default; then the answer is 408.
    pub head_timeout: Duration,
    /// How long a request body may take, before [`ServerConfig::body_rate`] counts. 30 s by default; then the answer
    /// is 408.
    pub body_timeout: Duration,
    /// Bytes a second that earn a body more time than [`ServerConfig::body_timeout`], so that a large upload can last
    /// and a dribbling one cannot. 64 KiB/s by default.
    pub body_rate: u64,
    /// How long a client may leave what was sent to it unread before it is cut off. 30 s by default.
    pub write_timeout: Duration,
    /// How long a connection may stay open between requests. 75 s by default.
    pub idle_timeout: Duration,
    /// How long running requests may take to finish once [`Server::run`](crate::Server::run) was told to stop. 10 s by
    /// default.
    pub drain_timeout: Duration,
    /// Longest silence on an event stream; then a comment is sent. 15 s by default.
    pub keep_alive: Duration,
    /// How long an event source is told to wait before it connects again; up to a half more is added at random.
    /// 2 s by default.
    pub retry: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
            allow_origins: Vec::new(),
            limits: Limits::default(),
            max_file: None,
            max_head: 32 << 10,
            max_connections: 768,
            max_streams: 512,
            memory: 256 << 20,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_rate: 64 << 10,
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            retry: Duration::from_secs(2),
        }
    }
}

/// Smallest value of [`ServerConfig::max_head`].
const MIN_HEAD: usize = 8 << 10;

impl ServerConfig {
    /// Refuses what cannot be meant; [`Server::bind`](crate::Server::bind) does so too. For programs that want to know before
    /// they open a store.
    ///
    /// # Errors
    /// [`Error::Invalid`], which names the setting.
    pub fn check(&self) -> Result<()> {
        if !self.listen.ip().is_loopback() {
            return Err(Error::invalid(format!(
                "listening on {} is refused: only loopback addresses (127.0.0.1, [::1]) are allowed, because whoever \
                 reaches the port can read and write everything",
                self.listen
            )));
        }
        for origin in &self.allow_origins {
            crate::guard::check_origin(origin)?;
        }
        let least = self.limits.body.saturating_mul(4);
        if self.memory < least {
            return Err(Error::invalid(format!("memory of {} bytes is less than four bodies ({least} bytes)", self.memory)));
        }
        if self.memory > crate::budget::MOST {
            return Err(Error::invalid(format!("memory of {} bytes is more than {}", self.memory, crate::budget::MOST)));
        }
        if self.max_head < MIN_HEAD {
            return Err(Error::invalid(format!("max_head of {} bytes is less than {MIN_HEAD}", self.max_head)));
        }
        if self.max_connections == 0 || self.body_rate == 0 {
            return Err(Error::invalid("max_connections and body_rate must be at least 1"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let refusal = |change: fn(&mut ServerConfig)| {
            let mut config = ServerConfig::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(ServerConfig::default().check().is_ok());
        assert!(refusal(|c| c.listen = "0.0.0.0:7460".parse().unwrap()).contains("0.0.0.0:7460"));
        assert!(refusal(|c| c.listen = "[::]:0".parse().unwrap()).contains("[::]:0"));
        assert!(refusal(|c| c.listen = "192.168.1.7:80".parse().unwrap()).contains("192.168.1.7:80"));
        assert!(refusal(|c| c.allow_origins = vec!["*".into()]).contains("\"*\""));
        assert!(refusal(|c| c.memory = 1 << 20).contains("memory"));
        assert!(refusal(|c| c.memory = usize::MAX).contains("memory"));
        assert!(refusal(|c| c.max_head = 100).contains("max_head"));
        assert!(refusal(|c| c.max_connections = 0).contains("max_connections"));
    }
}
