//! A page in headless Chromium that follows an event stream and reports what it is told.

use std::env;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Result;

/// A page that follows the event stream in its query (`?watch=`) and reports what it is told.
pub const WATCH: &str = include_str!("watch.html");
/// What makes any page report its text, whenever that changes, as the kind of a report.
pub const REPORT_TEXT: &str = r#"<script>
  new MutationObserver(() => {
    fetch("/report", { method: "POST", body: JSON.stringify({ kind: document.body.innerText }) });
  }).observe(document.body, { childList: true, subtree: true });
</script>"#;
/// How long the page may say nothing before a test is called stuck.
const PATIENCE: Duration = Duration::from_secs(90);

/// Chromium on this machine: `FOLIO_CHROMIUM`, or one of its usual names on the path.
#[must_use]
pub fn chromium() -> Option<PathBuf> {
    if let Some(path) = env::var_os("FOLIO_CHROMIUM") {
        return Some(path.into());
    }
    let folders = env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    env::split_paths(&folders).flat_map(|folder| names.map(|name| folder.join(name))).find(|path| path.is_file())
}

/// A browser window, closed when dropped.
#[derive(Debug)]
pub struct Window {
    child: Child,
    _profile: TempDir,
}

impl Window {
    /// Opens a page.
    ///
    /// # Errors
    /// Where Chromium does not start.
    pub fn open(chromium: &Path, url: &str) -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let mut command = Command::new(chromium);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        // A process group of its own, so that all of its helpers end with it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn()?, _profile: profile })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// What the page told: `open`, `lost` (the browser will reconnect), `given-up`, or the name of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// See [`Report`].
    pub kind: String,
    /// `lastEventId` of an event.
    pub id: Option<String>,
    /// Its data.
    pub data: Option<String>,
}

/// A port, and so an origin, for a page: a daemon must know it before the page can name the daemon.
#[derive(Debug)]
pub struct Reserved {
    listener: TcpListener,
    address: SocketAddr,
}

impl Reserved {
    /// The page's origin.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts serving.
    #[must_use]
    pub fn serve(self, page: impl Into<Arc<str>>) -> PageServer {
        let Self { listener, address } = self;
        let (sender, reports) = mpsc::unbounded_channel();
        let page = page.into();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&page), sender.clone()));
            }
        });
        PageServer { address, reports, task }
    }
}

/// Serves a page and takes its reports.
#[derive(Debug)]
pub struct PageServer {
    address: SocketAddr,
    reports: mpsc::UnboundedReceiver<Report>,
    task: JoinHandle<()>,
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PageServer {
    /// Takes a free port.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn reserve() -> Result<Reserved> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok(Reserved { listener, address })
    }

    /// The page's URL, with the event stream that it should watch.
    #[must_use]
    pub fn url(&self, stream: &str) -> String {
        let escaped: String = stream.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("http://{}/?watch={escaped}", self.address)
    }

    /// The next report.
    ///
    /// # Errors
    /// When the page falls silent.
    pub async fn next(&mut self) -> Result<Report> {
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
        Ok(report.map_err(|_| "the page fell silent")?.ok_or("the page's server ended")?)
    }
}

/// Answers one request; every connection is closed after it.
async fn answer(stream: TcpStream, page: Arc<str>, reports: mpsc::UnboundedSender<Report>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = if request.starts_with("POST /report ") {
        let said: Value = serde_json::from_slice(&body)?;
        let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
        reports.send(Report { kind: text("kind").unwrap_or_default(), id: text("id"), data: text("data") })?;
        ""
    } else if request.starts_with("GET /?watch=") {
        &page
    } else {
        ""
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n";
    stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    Ok(stream.shutdown().await?)
}
