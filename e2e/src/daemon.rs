//! `folio serve`, as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::{Api, Result, binary};

/// How long starting and stopping may take before a test is called stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    address: SocketAddr,
}

/// How to start a daemon.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The root.
    pub root: PathBuf,
    /// Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Further options of `folio serve`.
    pub options: Vec<String>,
    /// What it says on stderr goes nowhere: for starts that are meant to be refused.
    pub silent: bool,
}

impl Plan {
    /// On a free port, without options.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), listen: SocketAddr::from(([127, 0, 0, 1], 0)), options: Vec::new(), silent: false }
    }

    /// With one more option.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// The command, not started.
    ///
    /// # Errors
    /// Where the program does not build.
    pub async fn command(&self) -> Result<Command> {
        let program = tokio::task::spawn_blocking(binary::folio).await??;
        let mut command = Command::new(program);
        command.arg("serve").arg(&self.root).arg("--listen").arg(self.listen.to_string()).args(&self.options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        if self.silent {
            command.stderr(Stdio::null());
        }
        Ok(command)
    }

    /// Starts the daemon and waits until it says that it listens.
    ///
    /// # Errors
    /// When it ends before, or says nothing for a minute.
    pub async fn start(&self) -> Result<Daemon> {
        let mut child = self.command().await?.spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut said = String::new();
        let address = loop {
            if timeout(PATIENCE, output.read_line(&mut said)).await?? == 0 {
                let status = timeout(PATIENCE, child.wait()).await??;
                return Err(format!("folio serve ended with {status}; it said: {said}").into());
            }
            if let Some(address) = address_in(&said) {
                break address;
            }
        };
        // Whatever else it says must not fill the pipe.
        tokio::spawn(async move {
            let mut rest = Vec::new();
            let _ = output.read_to_end(&mut rest).await;
        });
        Ok(Daemon { child, address })
    }
}

fn address_in(said: &str) -> Option<SocketAddr> {
    let (_, rest) = said.split_once("http://")?;
    rest.split(|c: char| c.is_whitespace() || c == '/').next()?.parse().ok()
}

impl Daemon {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// As [`Plan::start`].
    pub async fn start(root: &Path) -> Result<Self> {
        Plan::new(root).start().await
    }

    /// Starts one in a fresh folder.
    ///
    /// # Errors
    /// As [`Plan::start`].
    pub async fn fresh() -> Result<(TempDir, Self)> {
        let root = tempfile::tempdir()?;
        let daemon = Self::start(root.path()).await?;
        Ok((root, daemon))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its API.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(format!("http://{}", self.address))
    }

    /// Its process id.
    ///
    /// # Errors
    /// Once it has ended.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.id().ok_or("the daemon has ended")?)
    }

    /// kill -9, and waits until the process is gone.
    ///
    /// # Errors
    /// Where that fails.
    pub async fn kill(mut self) -> Result<()> {
        timeout(PATIENCE, self.child.kill()).await??;
        Ok(())
    }

    /// Asks it to end (SIGTERM), and waits.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        let pid = i32::try_from(self.pid()?)?;
        kill_process(Pid::from_raw(pid).ok_or("no process id")?, Signal::TERM)?;
        Ok(timeout(PATIENCE, self.child.wait()).await??)
    }
}
