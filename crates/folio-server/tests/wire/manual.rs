//! Runs `docs/http.md`: every example, in order, against an empty store.

use crate::client::{Answer, Request, call};
use crate::server::TestServer;

const MANUAL: &str = include_str!("../../../../docs/http.md");

/// A command of the manual and what it prints there.
struct Example {
    command: String,
    output: Vec<String>,
}

fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for line in MANUAL.lines() {
        match (inside, line.strip_prefix("$ ")) {
            (false, _) => inside = line == "```console",
            (true, _) if line == "```" => inside = false,
            (true, Some(command)) => examples.push(Example { command: command.into(), output: Vec::new() }),
            (true, None) => examples.last_mut().unwrap().output.push(line.into()),
        }
    }
    examples
}

/// Splits a command into words; quotes keep them together.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut open) = (Vec::new(), String::new(), None);
    for character in command.chars() {
        match (character, open) {
            (quote, Some(opened)) if quote == opened => open = None,
            ('\'' | '"', None) => open = Some(character),
            (' ', None) => words.push(std::mem::take(&mut word)),
            (other, _) => word.push(other),
        }
    }
    words.push(word);
    words
}

/// The request that curl makes of a command, and whether it prints the head, and whether it follows a stream.
fn parse(command: &str) -> (Request, bool, bool) {
    let mut words = words(command).into_iter();
    assert_eq!(words.next().as_deref(), Some("curl"), "{command}");
    let (mut method, mut target, mut headers, mut body) = (None, None, Vec::new(), Vec::new());
    let (mut with_head, mut stream) = (false, false);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-X" => method = words.next(),
            "-H" => headers.push(words.next().unwrap()),
            "-i" => with_head = true,
            "-N" => stream = true,
            "--json" | "--data-binary" => {
                body = words.next().unwrap().into_bytes();
                method = method.or(Some("POST".into()));
                let kind = if word == "--json" { "application/json" } else { "application/x-www-form-urlencoded" };
                headers.push(format!("Content-Type: {kind}"));
            }
            url => target = Some(url.strip_prefix("$F").unwrap_or_else(|| panic!("{url} in {command}")).to_owned()),
        }
    }
    let mut request = Request::new(&method.unwrap_or_else(|| "GET".into()), &target.unwrap()).body(&body);
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        request = request.header(&name.to_ascii_lowercase(), value);
    }
    (request, with_head, stream)
}

/// Epochs, times and waits are others each time.
fn levelled(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let changing = digits.len() == 13 || out.ends_with("retry: ");
        out.push_str(if changing { "…" } else { &digits });
        digits.clear();
        out.push(character);
    }
    out.pop();
    out
}

/// True where `text` is `pattern`, in which `…` stands for anything.
fn fits(text: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('…');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return rest.is_empty() };
    for piece in between {
        match rest.split_once(piece) {
            Some((_, later)) => rest = later,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What the manual shows of the head must be in it.
fn check_head(answer: &Answer, shown: &[String], command: &str) {
    let (status, headers) = shown.split_first().unwrap();
    assert_eq!(status.split(' ').nth(1).unwrap(), answer.status.to_string(), "{command}: {answer:?}");
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap_or_else(|| panic!("{header} in {command}"));
        let sent = answer.header(&name.to_ascii_lowercase()).unwrap_or_else(|| panic!("{name} in {command}: {answer:?}"));
        assert!(fits(&levelled(sent), &levelled(value)), "{command}: {name} is {sent}");
    }
}

#[tokio::test]
async fn every_example_is_true() {
    let server = TestServer::start().await;
    let examples = examples();
    assert!(examples.len() > 35, "the examples of the manual are found");
    for Example { command, output } in examples {
        // A cursor that an example needs is that of this run.
        let head = server.get("/v1/projects/demo/history?view=status").await;
        let epoch = (head.status == 200).then(|| head.json()["head"].as_str().unwrap().split_once('-').unwrap().0.to_owned());
        let (request, with_head, stream) = parse(&command.replace("1763900000000", epoch.as_deref().unwrap_or("0")));
        if stream {
            let mut connection = server.connect().await;
            connection.send(&request).await;
            let head = connection.head().await;
            assert_eq!(head.status, 200);
            let expected = levelled(&output.join("\n"));
            let mut text = String::new();
            while text.len() < output.join("\n").len() {
                text += std::str::from_utf8(&connection.piece(&head).await.unwrap()).unwrap();
            }
            assert!(fits(levelled(&text).trim_end(), expected.trim_end()), "{command}:\n{text}");
            continue;
        }
        let answer = call(server.address, request).await;
        let shown_head = if with_head {
            let lines = output.iter().skip(1).take_while(|line| !line.starts_with(['{', '<']) && line.contains(": ")).count();
            check_head(&answer, &output[..=lines], &command);
            lines + 1
        } else {
            assert!(answer.status < 300, "{command}: {answer:?}");
            0
        };
        let (text, shown) = (answer.text().trim_end(), output[shown_head..].join("\n"));
        assert!(fits(&levelled(text), &levelled(&shown)), "{command}:\n{text}\ninstead of\n{shown}");
    }
}

#[test]
fn every_route_is_there() {
    for route in folio_server::ROUTES {
        assert!(MANUAL.contains(&format!("`{}`", route.path)), "{}", route.path);
    }
}

#[test]
fn the_patterns_can_fail() {
    assert!(fits("a b c", "a … c") && fits("a", "a") && fits("abab", "…ab"));
    assert!(!fits("a b d", "a … c") && !fits("ab", "a") && !fits("a", "ab"));
    assert_eq!(levelled("{\"ts\":1763900000123,\"n\":12} retry: 2345\n\n"), "{\"ts\":…,\"n\":12} retry: …\n\n");
}
