//! A new user's path with a browser: append, watch with `EventSource`, kill the daemon, start it again, and see the
//! page go on with the next entry: none lost, none twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use folio_e2e::browser::{PageServer, Report, WATCH, Window, chromium};
use folio_e2e::daemon::Plan;
use folio_e2e::{Api, Result};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

const LOG: &str = "/v1/projects/site/history";

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![Trial::ignorable_test("event_source_survives_kill_9", || run(survives_kill_9))];
    libtest_mimic::run(&arguments, trials).exit();
}

fn run<F: Future<Output = Result<()>>>(test: fn(std::path::PathBuf) -> F) -> Result<Completion, Failed> {
    let Some(chromium) = chromium() else {
        return Ok(Completion::ignored_with("no Chromium on this machine; install it, or name it in FOLIO_CHROMIUM"));
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(test(chromium))?;
    Ok(Completion::Completed)
}

async fn survives_kill_9(chromium: std::path::PathBuf) -> Result<()> {
    let root = tempfile::tempdir()?;
    let page = PageServer::reserve().await?;
    let mut plan = Plan::new(root.path()).option("--allow-origin", &page.origin());
    let mut page = page.serve(WATCH);
    let daemon = plan.start().await?;
    // The next life listens on the same port, as a daemon on a fixed port does.
    plan.listen = daemon.address();
    let api = daemon.api();
    api.send("PUT", "/v1/projects/site", &[], "").await?.ok()?;

    let writing = Writer::start(api.clone());
    let window = Window::open(&chromium, &page.url(&format!("http://{}{LOG}?since=0-0", daemon.address())))?;
    let mut seen = Seen::default();
    while seen.entries.len() < 100 {
        seen.take(page.next().await?)?;
    }
    daemon.kill().await?;
    while !seen.lost {
        seen.take(page.next().await?)?;
    }
    let daemon = plan.start().await?;
    let before = seen.entries.len();
    while seen.entries.len() < before + 100 {
        seen.take(page.next().await?)?;
    }
    let acknowledged = writing.stop().await?;

    let head = api.get_json(&format!("{LOG}?view=status")).await?;
    let head = head.get("head").and_then(Value::as_str).ok_or("no head")?.to_owned();
    while seen.entries.last().map(|(id, _)| id) != Some(&head) {
        seen.take(page.next().await?)?;
    }
    drop(window);

    // None lost, none twice, in order.
    let seqs: Vec<u64> = seen.entries.iter().map(|(_, entry)| entry["seq"].as_u64().unwrap_or(0)).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert_eq!(seen.opened, 2, "connected once per life of the daemon");
    // What was acknowledged is what the page saw.
    assert!(acknowledged.len() >= 200);
    for (seq, n) in acknowledged {
        assert_eq!(seen.entries[usize::try_from(seq)? - 1].1["data"]["n"], n, "entry {seq}");
    }
    assert!(daemon.stop().await?.success());
    Ok(())
}

/// What the page saw.
#[derive(Default)]
struct Seen {
    opened: usize,
    lost: bool,
    entries: Vec<(String, Value)>,
}

impl Seen {
    fn take(&mut self, report: Report) -> Result<()> {
        match report.kind.as_str() {
            "open" => self.opened += 1,
            "lost" => self.lost = true,
            "caught-up" => {}
            "message" => {
                let entry = serde_json::from_str(&report.data.ok_or("an entry without data")?)?;
                self.entries.push((report.id.ok_or("an entry without an id")?, entry));
            }
            _ => return Err(format!("the page was told {report:?}").into()),
        }
        Ok(())
    }
}

/// Appends `{"n":1}`, `{"n":2}` and so on, one after the other, until stopped. While the daemon is down it tries the
/// same append again, under the same key.
struct Writer {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<Vec<(u64, u64)>>>,
}

impl Writer {
    fn start(api: Api) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 1_u64.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (body, key) = (format!("{{\"n\":{n}}}"), n.to_string());
                let answer = loop {
                    match api.append(LOG, body.as_str(), &[("idempotency-key", &key)]).await {
                        Ok(answer) => break answer,
                        Err(e) if stopped.load(Ordering::Relaxed) => return Err(e),
                        // Paced, so that a daemon that is down is not hammered.
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                };
                acknowledged.push((answer["first_seq"].as_u64().ok_or("no seq")?, n));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(acknowledged)
        });
        Self { stop, task }
    }

    async fn stop(self) -> Result<Vec<(u64, u64)>> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
