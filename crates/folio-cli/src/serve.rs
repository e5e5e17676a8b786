//! `folio serve`: the daemon.

mod banner;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use folio::fs::{FsDriver, FsOptions};
use folio::memory::{MemoryDriver, MemoryOptions};
use folio::{Driver, Durability, Limits};
use folio_client::{ClientOptions, HttpDriver};
use folio_server::{Server, ServerConfig};

use crate::descriptors::room_for_streams;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::place::{Global, Place};
use crate::signals::Signals;
use crate::size;
use crate::text::visible;
use banner::Banner;

/// How long the holder of a port gets to say whether it is a daemon.
const PROBE: Duration = Duration::from_secs(1);

/// How to serve.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  folio serve                                      # ./folio-data on http://127.0.0.1:7460
  folio serve ~/studio --listen 127.0.0.1:8000
  folio serve --driver memory --listen 127.0.0.1:0 # throw-away, on any free port
  folio serve --json | head -1                     # {\"url\":…,\"pid\":…} for scripts

The first Ctrl-C (or SIGTERM) ends open streams, lets running requests finish and exits with 0. The second ends at once, with 130 (143); nothing acknowledged is lost by that.")]
pub(crate) struct ServeArgs {
    /// The folder of projects; made if there is none [env: FOLIO_ROOT] [default: ./folio-data]
    #[arg(value_name = "ROOT")]
    folder: Option<PathBuf>,
    /// Where to listen: a loopback address; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value_t = ServerConfig::default().listen, value_parser = address)]
    listen: SocketAddr,
    /// When a write is acknowledged
    #[arg(long, value_enum, default_value_t = Promise::Sync)]
    durability: Promise,
    /// Where the projects live
    #[arg(long, value_enum, default_value_t = Kind::Fs)]
    driver: Kind,
    /// An origin whose pages may call the daemon, such as https://studio.example; can be given several times
    #[arg(long, value_name = "URL")]
    allow_origin: Vec<String>,
    /// Largest entry of a log
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size::parse)]
    max_entry: usize,
    /// Largest document, and largest append
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = size::parse)]
    max_body: usize,
}

/// [`Durability`] on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Promise {
    /// Synced to the disk first: survives a power cut
    Sync,
    /// Synced a moment later: a power cut can take the last second of acknowledged writes
    Interval,
    /// Left to the system: a power cut can take what it had not written yet, often the last 30 seconds
    Os,
}

impl Promise {
    fn durability(self) -> Durability {
        match self {
            Self::Sync => Durability::Sync,
            Self::Interval => Durability::Interval,
            Self::Os => Durability::Os,
        }
    }
}

/// Which driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    /// In a folder, on plain files
    Fs,
    /// In memory, gone with the daemon
    Memory,
}

/// Serves until a signal comes.
pub(crate) async fn run(
    args: &ServeArgs,
    global: &Global,
    env: impl Fn(&str) -> Option<String>,
    signals: &mut Signals,
    out: &mut Output,
) -> Result {
    let limits = Limits { entry: args.max_entry, body: args.max_body };
    let defaults = ServerConfig::default();
    let config = ServerConfig {
        listen: args.listen,
        allow_origins: args.allow_origin.clone(),
        limits,
        max_streams: room_for_streams(defaults.max_streams),
        memory: defaults.memory.max(limits.body.saturating_mul(4)),
        ..defaults
    };
    // before anything is opened or made
    config.check()?;
    match args.driver {
        Kind::Memory => {
            if args.folder.is_some() || global.root.is_some() || args.durability != Promise::Sync {
                return Err(Failure::usage("--driver memory has no folder and no durability to choose"));
            }
            if port_is_taken(args.listen) {
                return Err(port_taken(args.listen).await);
            }
            let driver = MemoryDriver::new(MemoryOptions { limits, ..MemoryOptions::default() });
            let server = Server::bind(Arc::new(driver), config).await?;
            let address = server.local_addr();
            serve(server, Banner { address, root: None, durability: Durability::Memory }, signals, out).await
        }
        Kind::Fs => {
            let root = Place::root(args.folder.clone(), global, env)?;
            let driver = Arc::new(open(args, &root, limits).await?);
            for note in driver.recovered() {
                out.note(visible(&note))?;
            }
            let served = async {
                let server = Server::bind(driver.clone(), config).await?;
                let address = server.local_addr();
                driver.announce(&format!("http://{address}")).await?;
                serve(server, Banner { address, root: Some(&root), durability: args.durability.durability() }, signals, out).await
            };
            let served = served.await;
            let closed = driver.close().await;
            served?;
            Ok(closed?)
        }
    }
}

/// Opens the folder, after a look at the port: one that is taken should leave no new folder behind, and a folder that
/// a daemon owns is the better news of the two.
async fn open(args: &ServeArgs, root: &Path, limits: Limits) -> Result<FsDriver> {
    let taken = port_is_taken(args.listen);
    if taken && !root.exists() {
        return Err(port_taken(args.listen).await);
    }
    let options = FsOptions {
        durability: args.durability.durability(),
        limits,
        tasks: true,
        holder: "folio serve".into(),
        ..FsOptions::default()
    };
    let driver = FsDriver::open(root, options).await?;
    if taken {
        driver.close().await?;
        return Err(port_taken(args.listen).await);
    }
    Ok(driver)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:7460 or [::1]:7460".to_owned())
}

fn port_is_taken(listen: SocketAddr) -> bool {
    TcpListener::bind(listen).is_err_and(|e| e.kind() == std::io::ErrorKind::AddrInUse)
}

async fn port_taken(listen: SocketAddr) -> Failure {
    let by = if answers_as_folio(listen).await { "by another Folio daemon" } else { "by another program" };
    let other = SocketAddr::new(listen.ip(), listen.port().checked_add(1).unwrap_or(0));
    let detail =
        format!("{listen} is taken {by}; choose another port (--listen {other}), or any free one (--listen {}:0)", listen.ip());
    Failure::new(Exit::Unavailable, "address_in_use", detail).with("listen", listen.to_string().into())
}

async fn answers_as_folio(listen: SocketAddr) -> bool {
    let options = ClientOptions { attempts: 1, ..ClientOptions::default() };
    let Ok(client) = HttpDriver::with_options(&format!("http://{listen}"), options) else { return false };
    tokio::time::timeout(PROBE, client.info()).await.is_ok_and(|info| info.is_ok())
}

async fn serve(server: Server, banner: Banner<'_>, signals: &mut Signals, out: &mut Output) -> Result {
    // whoever started the daemon may not care to read this; it serves all the same
    let _ = banner.show(out).and_then(|()| out.flush());
    let mut stopping = signals.clone();
    let stop = async move {
        stopping.first().await;
    };
    let mut told = false;
    let mut running = std::pin::pin!(server.run(stop));
    loop {
        tokio::select! {
            done = &mut running => return Ok(done?),
            _ = signals.first(), if !told => {
                told = true;
                out.note("Stopping: running requests finish. Press Ctrl-C again to end at once.")?;
            }
        }
    }
}
