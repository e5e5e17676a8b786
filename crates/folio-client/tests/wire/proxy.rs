//! A proxy that cuts connections after a random number of bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The proxy. It stops taking connections when it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    cuts: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// In front of a server; a connection is cut before `most` bytes came back through it, often in the head.
    ///
    /// The server answers only to names with its own port, so the proxy has the same port on another loopback address.
    /// `None` where that is taken.
    pub(crate) async fn start(server: SocketAddr, seed: u64, most: usize) -> Option<Self> {
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
        let listener = TcpListener::bind(own).await.ok()?;
        let url = format!("http://{own}");
        let cuts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&cuts);
        let task = tokio::spawn(async move {
            let mut rng = fastrand::Rng::with_seed(seed);
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let budget = if rng.u8(..8) == 0 { rng.usize(..300) } else { rng.usize(..most) };
                let reset = rng.bool();
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    // Whatever ends it, both sides are dropped.
                    let _ = relay(client, server, budget, reset, &counted).await;
                });
            }
        });
        Some(Self { url, cuts, task })
    }

    /// How many connections were cut, now and later.
    pub(crate) fn cuts(&self) -> Cuts {
        Cuts(Arc::clone(&self.cuts))
    }
}

/// Counts the connections that were cut.
#[derive(Clone)]
pub(crate) struct Cuts(Arc<AtomicUsize>);

impl Cuts {
    /// True while a test that has done all its work must go on, because too little was cut for it to mean something.
    pub(crate) fn are_few(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 20
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    mut client: TcpStream,
    server: SocketAddr,
    mut budget: usize,
    reset: bool,
    cuts: &AtomicUsize,
) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(server).await?;
    upstream.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (mut to, mut from) = ([0; 4_096], [0; 4_096]);
    loop {
        tokio::select! {
            read = client.read(&mut to) => match read? {
                0 => return Ok(()),
                read => upstream.write_all(&to[..read]).await?,
            },
            read = upstream.read(&mut from) => {
                let read = read?;
                let passed = read.min(budget);
                client.write_all(&from[..passed]).await?;
                budget -= passed;
                if read == 0 {
                    return Ok(());
                }
                if budget == 0 {
                    cuts.fetch_add(1, Ordering::Relaxed);
                    if reset {
                        client.set_zero_linger()?;
                    }
                    return Ok(());
                }
            }
        }
    }
}
