//! Many projects, each used once.

use std::thread;
use std::time::Duration;

use super::{Scene, Subject, Work};
use crate::Result;
use crate::peers::results::{Figures, Metric};
use crate::peers::servers::Kind;
use crate::peers::wire::http::Client;

/// Connections that use them.
const CONNECTIONS: usize = 8;
const JSON: (&str, &str) = ("Content-Type", "application/json");

pub(super) fn works() -> Vec<Work> {
    let folio = [Subject::Server(Kind::Folio)];
    vec![Work::new(
        "projects",
        "10,000 projects made, appended to once, one document each; then idle",
        "project",
        &folio,
        |scene, _| measure(scene),
    )]
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn measure(scene: &Scene) -> Result<Figures> {
    let count = if scene.quick { 1_000 } else { 10_000 };
    let mut server = scene.start(Kind::Folio)?;
    let port = server.process().port();
    thread::scope(|scope| {
        let running: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                scope.spawn(move || {
                    let mut client = Client::new(port)?;
                    (connection..count).step_by(CONNECTIONS).try_for_each(|project| use_once(&mut client, project))
                })
            })
            .collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread that sends died")?)
    })?;
    thread::sleep(Duration::from_secs(if scene.quick { 1 } else { 5 }));
    let memory = server.process().memory();
    let mut client = Client::new(port)?;
    for project in (0..count).step_by(count / 100) {
        let url = format!("/v1/projects/project-{project}");
        let document = client.send("GET", &format!("{url}/docs/settings"), &[], b"")?.ok()?.body;
        let log = client.send("GET", &format!("{url}/history"), &[("Accept", "application/x-ndjson")], b"")?.ok()?.body;
        let (document, log) = (String::from_utf8(document)?, String::from_utf8(log)?);
        let wanted = format!("{{\"project\":{project}}}");
        if document.trim() != wanted || !log.contains(&wanted) || log.lines().count() != 1 {
            return Err(format!("project {project} has the document {document} and the log {log}").into());
        }
    }
    server.process_mut().stop()?;
    Ok(Figures::default().set(Metric::Memory, memory as f64 / f64::from(1 << 20)))
}

fn use_once(client: &mut Client, project: usize) -> Result<()> {
    let (url, value) = (format!("/v1/projects/project-{project}"), format!("{{\"project\":{project}}}"));
    client.send("PUT", &url, &[], b"")?.ok()?;
    client.send("POST", &format!("{url}/history"), &[JSON], value.as_bytes())?.ok()?;
    client.send("PUT", &format!("{url}/docs/settings"), &[JSON], value.as_bytes())?.ok()?;
    Ok(())
}
