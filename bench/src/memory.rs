//! What the daemon holds in memory when it has many projects.

use std::fs;
use std::path::Path;

use folio_e2e::{Api, Daemon};

use crate::Result;

const PROJECTS: usize = 10_000;
const APPENDS: usize = 100;

/// Makes 10,000 projects, starts the daemon, lists all of them and uses one. Resident memory then, in MiB.
pub(crate) async fn measure(dir: &Path) -> Result<f64> {
    let root = tempfile::tempdir_in(dir)?;
    for n in 0..PROJECTS {
        let meta = root.path().join(id(n)).join(".meta");
        fs::create_dir_all(&meta)?;
        fs::write(meta.join("history.jsonl"), "{\"seq\":1,\"ts\":1763900000000,\"data\":\"made\"}\n")?;
    }
    let daemon = Daemon::start(root.path()).await?;
    let api = daemon.api();
    list_all(&api).await?;
    use_one(&api).await?;
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()?))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    if !daemon.stop().await?.success() {
        return Err("the daemon did not end well".into());
    }
    Ok(resident.ok_or("the system tells no VmRSS")? / 1_024.0)
}

fn id(n: usize) -> String {
    format!("project-{n:05}")
}

async fn list_all(api: &Api) -> Result<()> {
    let (mut listed, mut after) = (0, String::new());
    loop {
        let page = api.get_json(&format!("/v1/projects?limit=1000{after}")).await?;
        for project in page["projects"].as_array().ok_or("no projects")? {
            if project["id"] != id(listed) {
                return Err(format!("the list has {project} in place of {}", id(listed)).into());
            }
            listed += 1;
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None if listed == PROJECTS => return Ok(()),
            None => return Err(format!("{listed} projects are listed").into()),
        }
    }
}

async fn use_one(api: &Api) -> Result<()> {
    let url = format!("/v1/projects/{}", id(PROJECTS / 2));
    let mut events = api.events(&format!("{url}/history?since=0"), None).await?;
    for n in 0..APPENDS {
        api.append(&format!("{url}/history"), format!("{{\"n\":{n}}}"), &[]).await?;
    }
    let headers = [("content-type", "application/json")];
    api.send("PUT", &format!("{url}/docs/settings"), &headers, "{\"a\":1}").await?.ok()?;
    api.send("PUT", &format!("{url}/files/index.html"), &[], "<p>hello").await?.ok()?;
    let mut seq = 0;
    while seq < APPENDS as u64 + 1 {
        let frame = events.expect().await?;
        if frame.event == "message" {
            seq += 1;
            if frame.json()?["seq"] != seq {
                return Err(format!("entry {seq} came as {frame:?}").into());
            }
        }
    }
    Ok(())
}
