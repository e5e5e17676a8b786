//! Real input: a folder of projects that another tool left behind, served as it is.

use std::fs;
use std::path::Path;

use folio_e2e::studio::{self, history};
use folio_e2e::tree::{differences, snapshot};
use folio_e2e::{Api, Daemon, Result};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const PROJECTS: [&str; 5] = ["empty-project", "log-server", "odd-values", "streams-site", "torn-tail"];
/// Head of each history.
const HEADS: [(&str, u64); 4] = [("log-server", 575), ("odd-values", 68), ("streams-site", 528), ("torn-tail", 20)];

/// An entry with its data as it stood on the wire.
#[derive(serde::Deserialize)]
struct Entry<'a> {
    seq: u64,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(serde::Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    entries: Vec<Entry<'a>>,
    next: String,
}

fn history_url(project: &str) -> String {
    format!("/v1/projects/{project}/history")
}

/// The whole history through pages of 100: seq and tokens.
async fn read_pages(api: &Api, project: &str) -> Result<Vec<(u64, String)>> {
    let (mut all, mut since) = (Vec::new(), String::from("0"));
    loop {
        let first = all.is_empty();
        let body = api.get(&format!("{}?limit=100&since={since}", history_url(project))).await?.ok()?.text();
        let page: Page<'_> = serde_json::from_str(&body)?;
        if page.entries.is_empty() {
            assert!(!first || project == "empty-project");
            return Ok(all);
        }
        all.extend(page.entries.iter().map(|entry| (entry.seq, entry.data.get().to_owned())));
        since = page.next;
    }
}

/// The whole history through an event stream, up to where it is live.
async fn read_events(api: &Api, project: &str, last_event_id: &str) -> Result<Vec<(u64, String)>> {
    let mut events = api.events(&history_url(project), Some(last_event_id)).await?;
    let mut all = Vec::new();
    loop {
        let frame = events.expect().await?;
        match frame.event.as_str() {
            "message" => {
                let entry: Entry<'_> = serde_json::from_str(&frame.data)?;
                assert!(frame.id.ends_with(&format!("-{}", entry.seq)), "{frame:?}");
                all.push((entry.seq, entry.data.get().to_owned()));
            }
            "gap" => assert_eq!((project, frame.json()?["reason"].as_str()), ("odd-values", Some("truncated"))),
            "caught-up" => return Ok(all),
            _ => return Err(format!("unexpected {frame:?}").into()),
        }
    }
}

async fn append(api: &Api, project: &str, data: &Value) -> Result<Value> {
    api.append(&history_url(project), data.to_string(), &[]).await
}

#[tokio::test]
async fn reading_an_older_folder_changes_nothing_on_disk() -> Result<()> {
    let root = studio::copy()?;
    let before = snapshot(root.path())?;
    let daemon = Daemon::start(root.path()).await?;
    let api = daemon.api();

    let projects = api.get_json("/v1/projects").await?;
    assert_eq!(projects, json!({"projects": PROJECTS.map(|id| json!({"id": id})), "next": null}));
    for project in PROJECTS {
        let url = format!("/v1/projects/{project}");
        api.get_json(&url).await?;
        api.get_json(&format!("{url}/history?view=status")).await?;
        api.get_json(&format!("{url}/logs")).await?;
        for file in api.get_json(&format!("{url}/files?etag=true")).await?["files"].as_array().ok_or("no files")? {
            let path = file["path"].as_str().ok_or("no path")?;
            let got = api.get(&format!("{url}/files/{}", escaped(path))).await?.ok()?;
            assert_eq!(got.body, fs::read(studio::original().join(project).join(path))?, "{path}");
        }
        assert_eq!(api.events(&format!("{url}/changes"), None).await?.expect().await?.event, "ready");
    }
    for (project, head) in HEADS {
        let status = api.get_json(&format!("{}?view=status", history_url(project))).await?;
        assert_eq!(status["head"], format!("0-{head}"), "{project}");
        let expected = history(project)?;
        assert_eq!(read_pages(&api, project).await?, expected, "{project}");
        assert_eq!(read_events(&api, project, "0-0").await?, expected, "{project}");
    }
    let files = api.get_json("/v1/projects/streams-site/files").await?;
    let paths: Vec<_> = files["files"].as_array().ok_or("no files")?.iter().map(|file| &file["path"]).collect();
    assert_eq!(paths, ["index.html", "style.css", "uploads/notes ünï.txt"]);
    let docs = api.get_json("/v1/projects/streams-site/docs?etag=true").await?;
    let keys: Vec<_> = docs["docs"].as_array().ok_or("no docs")?.iter().map(|doc| &doc["key"]).collect();
    assert_eq!(keys, ["comments", "threads"]);
    let comments = api.get("/v1/projects/streams-site/docs/comments").await?.ok()?;
    let written = fs::read(studio::original().join("streams-site/.meta/comments.json"))?;
    assert_eq!(comments.json()?, serde_json::from_slice::<Value>(&written)?);
    for (url, file) in [
        ("/v1/shared/docs/assets", ".shared/assets.json"),
        ("/v1/collections/design_systems/docs/ink", ".collections/design_systems/ink.json"),
    ] {
        let expected: Value = serde_json::from_slice(&fs::read(studio::original().join(file))?)?;
        assert_eq!(api.get_json(url).await?, expected);
    }

    assert_eq!(differences(&before, &snapshot(root.path())?), Vec::<std::path::PathBuf>::new(), "while serving");
    assert!(daemon.stop().await?.success());
    assert_eq!(differences(&before, &snapshot(root.path())?), Vec::<std::path::PathBuf>::new(), "after it ended");
    Ok(())
}

fn escaped(path: &str) -> String {
    path.bytes().map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") }).collect()
}

#[tokio::test]
async fn the_first_append_seals_the_old_lines_byte_for_byte() -> Result<()> {
    let root = studio::copy()?;
    let before = snapshot(root.path())?;
    let daemon = Daemon::start(root.path()).await?;
    let api = daemon.api();
    for (project, head) in HEADS {
        let answer = append(&api, project, &json!({"kind": "new"})).await?;
        assert_eq!((&answer["first_seq"], &answer["last_seq"]), (&json!(head + 1), &json!(head + 1)), "{project}");
        let (first, mut expected) = (history(project)?[0].0, history(project)?);
        expected.push((head + 1, "{\"kind\":\"new\"}".into()));
        assert_eq!(read_pages(&api, project).await?, expected, "{project}");

        let meta = root.path().join(project).join(".meta");
        let sealed = fs::read(meta.join(format!("history.d/{first:020}.jsonl")))?;
        let original = fs::read(studio::original().join(project).join(".meta/history.jsonl"))?;
        assert_eq!(sealed, original, "{project}");
        let newest = fs::read_to_string(meta.join("history.jsonl"))?;
        let mut lines = newest.lines();
        assert!(lines.next().is_some_and(|line| line.starts_with("{\"folio\":1,")), "{newest}");
        assert!(lines.next().is_some_and(|line| line.starts_with(&format!("{{\"seq\":{},", head + 1))), "{newest}");
    }
    // Only the histories changed: everything else is the same file as before, to the nanosecond.
    for path in differences(&before, &snapshot(root.path())?) {
        let text = path.to_string_lossy();
        assert!(text.ends_with(".meta") || text.contains(".meta/history."), "{text} changed");
    }
    // And all of it holds in the next life.
    assert!(daemon.stop().await?.success());
    let daemon = Daemon::start(root.path()).await?;
    for (project, head) in HEADS {
        let pages = read_pages(&daemon.api(), project).await?;
        assert_eq!((pages[..pages.len() - 1].to_vec(), pages.len()), (history(project)?, history(project)?.len() + 1));
        assert_eq!(append(&daemon.api(), project, &json!(2)).await?["first_seq"], head + 2, "{project}");
    }
    Ok(())
}

#[tokio::test]
async fn odd_values_come_back_token_for_token() -> Result<()> {
    let root = studio::copy()?;
    let daemon = Daemon::start(root.path()).await?;
    let api = daemon.api();
    let adopted = history("odd-values")?;
    // The same values once more, as entries of Folio's own: one request per value, the tokens as they are.
    for (seq, token) in &adopted {
        // An array is one entry per element, so arrays go in as the one element of another.
        let body = if token.starts_with('[') { format!("[{token}]") } else { token.clone() };
        let answer = api.append(&history_url("odd-values"), body, &[]).await?;
        assert_eq!(answer["first_seq"], seq + 18, "{token:.60}");
    }
    let own = adopted.iter().map(|(seq, token)| (seq + 18, token.clone()));
    let expected: Vec<_> = adopted.iter().cloned().chain(own).collect();
    assert_eq!(read_pages(&api, "odd-values").await?, expected);
    assert_eq!(read_events(&api, "odd-values", "0-50").await?, expected);
    let ndjson = api.send("GET", &history_url("odd-values"), &[("accept", "application/x-ndjson")], "").await?.ok()?.text();
    let lines: Vec<Entry<'_>> =
        ndjson.lines().filter(|line| !line.starts_with("{\"gap\"")).map(serde_json::from_str).collect::<Result<_, _>>()?;
    let lines: Vec<_> = lines.iter().map(|line| (line.seq, line.data.get().to_owned())).collect();
    assert_eq!(lines, expected);
    Ok(())
}

#[tokio::test]
async fn cursors_from_before_adoption_stay_good() -> Result<()> {
    let root = studio::copy()?;
    let daemon = Daemon::start(root.path()).await?;
    let api = daemon.api();
    append(&api, "streams-site", &json!("after")).await?;
    let after = (529, "\"after\"".to_owned());
    let tail: Vec<_> = history("streams-site")?.into_iter().skip(300).chain([after]).collect();

    let page = api.get_json(&format!("{}?since=0-300", history_url("streams-site"))).await?;
    assert_eq!(page.get("gap"), None);
    assert_eq!(page["entries"][0]["seq"], 301);
    assert_eq!(read_events(&api, "streams-site", "0-300").await?, tail);
    assert_eq!(read_events(&api, "streams-site", "0-528").await?, tail[tail.len() - 1..]);

    // One that had not yet seen what the other tool removed is told so.
    append(&api, "odd-values", &json!("after")).await?;
    let page = api.get_json(&format!("{}?since=0-20&limit=1", history_url("odd-values"))).await?;
    assert_eq!(page["gap"], json!({"reason": "truncated", "requested": "0-20", "lost": 30, "resumes_after": 50}));
    Ok(())
}

#[tokio::test]
async fn a_torn_tail_is_set_aside_and_the_log_goes_on() -> Result<()> {
    let root = studio::copy()?;
    let original = fs::read(studio::original().join("torn-tail/.meta/history.jsonl"))?;
    let half = original.split(|&byte| byte == b'\n').next_back().ok_or("no last line")?;
    assert!(!half.is_empty());
    let daemon = Daemon::start(root.path()).await?;
    let api = daemon.api();
    assert_eq!(api.get_json(&format!("{}?view=status", history_url("torn-tail"))).await?["head"], "0-20");

    let answer = append(&api, "torn-tail", &json!("next")).await?;
    assert_eq!(answer["first_seq"], 21);
    assert!(answer["cursor"].as_str().is_some_and(|cursor| cursor.ends_with("-21") && !cursor.starts_with("0-")));
    let quarantine = files_below(&root.path().join(".folio/quarantine"))?;
    assert!(
        quarantine.iter().any(|bytes| bytes.windows(half.len()).any(|window| window == half)),
        "the half line is in quarantine"
    );
    // Whoever had seen everything that was whole goes on; whoever claims to have seen the half line is told.
    let good = api.get_json(&format!("{}?since=0-20", history_url("torn-tail"))).await?;
    assert_eq!((good.get("gap"), &good["entries"][0]["data"]), (None, &json!("next")));
    let claims = api.get_json(&format!("{}?since=0-21", history_url("torn-tail"))).await?;
    assert_eq!(claims["gap"], json!({"reason": "epoch", "requested": "0-21", "resumes_after": 20}));
    Ok(())
}

fn files_below(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files_below(&path)?) } else { found.push(fs::read(path)?) }
    }
    Ok(found)
}

#[tokio::test]
async fn a_broken_document_is_damaged_with_its_place() -> Result<()> {
    let root = studio::copy()?;
    let daemon = Daemon::start(root.path()).await?;
    let api = daemon.api();
    let url = "/v1/projects/torn-tail/docs/broken";
    let path = root.path().join("torn-tail/.meta/broken.json");
    let bytes = fs::read(&path)?;

    let refused = api.get(url).await?;
    let problem = refused.json()?;
    assert_eq!((refused.status.as_u16(), &problem["code"]), (409, &json!("damaged")), "{problem}");
    let detail = problem["detail"].as_str().ok_or("no detail")?;
    assert!(detail.contains("line 2, column 1"), "{detail}");
    let etag = problem["etag"].as_str().ok_or("no etag")?;

    let json_body = ("content-type", "application/json");
    let blind = api.send("PUT", url, &[json_body], "{}").await?;
    assert_eq!((blind.status.as_u16(), &blind.json()?["code"]), (409, &json!("damaged")));
    assert_eq!(fs::read(&path)?, bytes, "a refused write changes nothing");
    let knowing = api.send("PUT", url, &[json_body, ("if-match", &format!("\"{etag}\""))], "{\"whole\":true}").await?;
    assert_eq!(knowing.status.as_u16(), 200, "{}", knowing.text());
    assert_eq!(api.get_json(url).await?, json!({"whole": true}));
    Ok(())
}

#[tokio::test]
async fn edits_by_other_programs_are_told_and_own_writes_are_not_echoed() -> Result<()> {
    let root = studio::copy()?;
    let daemon = Daemon::start(root.path()).await?;
    let api = daemon.api();
    let project = root.path().join("streams-site");
    let mut changes = api.events("/v1/projects/streams-site/changes", None).await?;
    assert_eq!(changes.expect().await?.event, "ready");

    let own = api.send("PUT", "/v1/projects/streams-site/files/own.txt", &[], "by folio").await?.ok()?.json()?;
    fs::create_dir(project.join("new"))?;
    fs::write(project.join("new/edited.txt"), "by an editor")?;
    fs::remove_file(project.join("style.css"))?;

    // Each change is told once; the last one is waited for, so what else came has come.
    let mut told = Vec::new();
    while told.len() < 3 {
        let frame = changes.expect().await?;
        told.push((frame.event.clone(), frame.json()?));
    }
    let edited = api.get("/v1/projects/streams-site/files/new/edited.txt").await?.ok()?;
    let edited_tag = edited.headers.get("etag").ok_or("no etag")?.to_str()?.trim_matches('"').to_owned();
    told.sort_by_key(|(_, change)| change["file"].to_string());
    let expected = [
        ("put".to_owned(), json!({"file": "new/edited.txt", "etag": edited_tag})),
        ("put".to_owned(), json!({"file": "own.txt", "etag": own["etag"]})),
        ("delete".to_owned(), json!({"file": "style.css"})),
    ];
    assert_eq!(told, expected);

    // A later change is the next event: nothing was echoed in between.
    fs::write(project.join("last.txt"), "last")?;
    assert_eq!(changes.expect().await?.json()?["file"], "last.txt");
    Ok(())
}
