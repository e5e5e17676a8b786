//! Mutated heads.

use super::compare::is_understood_the_same;

const TRIES: u64 = 30_000;

const APPEND: &str = "POST /v1/projects/p/logs/a HTTP/1.1\r\nHost: localhost:7460\r\nContent-Type: application/json\r\n\
    User-Agent: x/1\r\nAccept: */*\r\nConnection: keep-alive\r\nIdempotency-Key: k-1\r\nContent-Length: 5\r\n\r\n[1,2]";

const DOC: &str = "PUT /v1/projects/p/docs/a HTTP/1.1\r\nHost: localhost:7460\r\nContent-Type: application/json\r\n\
    User-Agent: x/1\r\nAccept: */*\r\nConnection: keep-alive\r\nIf-Match: \"2cf24dba5fb0a30e26e83b2ac5b9e29e\"\r\n\
    Content-Length: 5\r\n\r\n[1,2]";

const FILE: &str = "GET /v1/projects/p/files/a/b.txt HTTP/1.1\r\nHost: localhost:7460\r\nUser-Agent: x/1\r\nAccept: */*\r\n\
    Accept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n";

/// Pieces that change what a head means.
const PIECES: [&str; 26] = [
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    "\0",
    "Content-Length: 5\r\n",
    "content-length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: evil.example\r\n",
    "X: y\r\n",
    " folded\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Range: bytes=0-1\r\n",
    "If-None-Match: *\r\n",
    "If-Match: *\r\n",
    "W/",
    "HTTP/1.0",
    "?close=true",
    "%2e",
    "/../",
    "//",
    ",",
    "é",
];

fn mutated(plain: &str, rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut text = plain.as_bytes().to_vec();
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(0..text.len());
        match rng.u8(0..6) {
            0 => text[at] = rng.u8(..),
            1 => drop(text.remove(at)),
            2 => drop(text.splice(at..at, rng.choice(PIECES).unwrap().bytes())),
            3 => {
                // At the beginning of a line.
                let lines: Vec<_> = (2..text.len()).filter(|&at| text[..at].ends_with(b"\r\n")).collect();
                let at = rng.choice(lines).unwrap_or(at);
                drop(text.splice(at..at, rng.choice(PIECES).unwrap().bytes()));
            }
            4 => text[at] = text[at].to_ascii_uppercase(),
            _ => {
                let end = rng.usize(at..=text.len().min(at + 20));
                let piece = text[at..end].to_vec();
                let at = rng.usize(0..=text.len());
                drop(text.splice(at..at, piece));
            }
        }
    }
    text
}

#[tokio::test(start_paused = true)]
async fn the_stack_understands_it_the_same() {
    for plain in [APPEND, FILE, DOC] {
        let mut understood = 0;
        for seed in 0..TRIES {
            let text = mutated(plain, &mut fastrand::Rng::with_seed(seed));
            understood += u64::from(is_understood_the_same(&text).await);
        }
        assert!(understood > TRIES / 20, "{understood} of {TRIES} were understood");
    }
}
