//! How the client behaves when things go wrong.

use std::time::Duration;

/// Bounds on waiting, retrying and memory. Every field has a default that suits a daemon on the same machine.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How often a call is tried in all, when it may be tried again (see [`HttpDriver`](crate::HttpDriver)).
    /// 4 by default; 1 turns retries off.
    pub attempts: u32,
    /// Pause before the second try; it doubles with each try and is shortened by up to half at random. 100 ms by default.
    pub backoff: Duration,
    /// Longest pause between two tries. 5 s by default.
    pub backoff_cap: Duration,
    /// No try begins later than this after the first one. 30 s by default.
    pub deadline: Duration,
    /// Longest wait for a connection. 5 s by default.
    pub connect_timeout: Duration,
    /// Longest wait for an answer to begin once the request is sent, and for each piece of it after that; a body that
    /// is sent from memory has one second more for each MiB. 60 s by default.
    pub answer_timeout: Duration,
    /// An event stream that is silent for so long counts as lost. The daemon says something every 15 s. 45 s by default.
    pub stream_idle: Duration,
    /// Pause before a lost event stream is opened again, unless the daemon names another one; it doubles with each
    /// failure and is lengthened by up to half at random. 1 s by default.
    pub reconnect: Duration,
    /// Longest pause between two such tries (before the random part), unless the daemon asks for more. 30 s by default.
    pub reconnect_cap: Duration,
    /// Give a subscription up, with an error, when it could not be opened again for so long. `None`, the default:
    /// never.
    pub give_up_after: Option<Duration>,
    /// Largest event that is accepted from a stream, in bytes. Raise it where the daemon accepts larger entries.
    /// 16 MiB by default.
    pub max_event: usize,
    /// Largest answer that is taken into memory (a document, a page), in bytes; files are streamed. 128 MiB by default.
    pub max_answer: usize,
    /// Seed of the randomness in pauses; `None`: a fresh one.
    pub seed: Option<u64>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            attempts: 4,
            backoff: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(5),
            deadline: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(60),
            stream_idle: Duration::from_secs(45),
            reconnect: Duration::from_secs(1),
            reconnect_cap: Duration::from_secs(30),
            give_up_after: None,
            max_event: 16 << 20,
            max_answer: 128 << 20,
            seed: None,
        }
    }
}
