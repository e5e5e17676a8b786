//! Memory of the daemon does not follow the length of a log or the slowness of its readers.

use std::fs;

use folio_e2e::{Daemon, Result};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const READERS: usize = 50;
const UNITS: usize = 24;
/// Payload of a unit, in four entries.
const UNIT_BYTES: usize = 1 << 20;

fn resident_mib(daemon: &Daemon) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()?))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.ok_or("the system tells no VmRSS")? / 1_024)
}

/// Readers that never read, on a log of 24 MiB that grows: each could ask for all of it.
#[tokio::test]
async fn readers_that_never_read_cost_little_and_delay_nobody() -> Result<()> {
    let (_root, daemon) = Daemon::fresh().await?;
    let api = daemon.api();
    api.send("PUT", "/v1/projects/big", &[], "").await?.ok()?;
    let part = format!("\"{}\"", "x".repeat(UNIT_BYTES / 4));
    let unit = format!("[{part},{part},{part},{part}]");
    let mut sleepers = Vec::new();
    for n in 0..UNITS {
        if n == UNITS / 2 {
            for _ in 0..READERS {
                let mut sleeper = TcpStream::connect(daemon.address()).await?;
                let head = format!("host: {}\r\naccept: text/event-stream", daemon.address());
                let request = format!("GET /v1/projects/big/history?since=0 HTTP/1.1\r\n{head}\r\n\r\n");
                sleeper.write_all(request.as_bytes()).await?;
                sleepers.push(sleeper);
            }
        }
        api.append("/v1/projects/big/history", unit.as_str(), &[]).await?;
    }
    // A reader that does read gets everything meanwhile.
    let mut events = api.events("/v1/projects/big/history?since=0", None).await?;
    for seq in 1..=UNITS * 4 {
        let frame = events.expect().await?;
        assert!(frame.data.starts_with(&format!("{{\"seq\":{seq},")), "{:.80}", frame.data);
    }
    assert_eq!(events.expect().await?.event, "caught-up");
    let resident = resident_mib(&daemon)?;
    println!("{resident} MiB resident with {READERS} readers that never read");
    // The log for each of them would be 1,200 MiB.
    assert!(resident < 150, "{resident} MiB");
    Ok(())
}
