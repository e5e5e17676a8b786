//! Whatever is stored comes out of an event stream as it went in, and nothing of it becomes a frame of its own.

use crate::event_source::{Parser, Stream};
use crate::server::TestServer;
use folio::{AppendOptions, Data, Json, LogName, ProjectId};

/// Pieces that a stream could trip over.
const PIECES: [&str; 22] = [
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\0",
    "data: x",
    "event: closed",
    "id: 1-1",
    "retry: 1",
    ": c",
    ":",
    " ",
    "\u{feff}",
    "\u{2028}",
    "\u{85}",
    "\u{1}",
    "\u{7f}",
    "\"",
    "\\",
    "ü",
    "🦀",
    "x",
];

fn random_text(random: &mut fastrand::Rng) -> String {
    (0..random.usize(0..12)).map(|_| *random.choice(&PIECES).unwrap()).collect()
}

fn random_value(random: &mut fastrand::Rng, depth: usize) -> serde_json::Value {
    match random.usize(0..if depth == 0 { 3 } else { 5 }) {
        0 => random.u64(..).into(),
        1 | 2 => random_text(random).into(),
        3 => (0..random.usize(0..4)).map(|_| random_value(random, depth - 1)).collect(),
        _ => (0..random.usize(0..4)).map(|_| (random_text(random), random_value(random, depth - 1))).collect(),
    }
}

#[tokio::test]
async fn what_goes_in_comes_out() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let server = TestServer::furnished().await;
    let log = server.driver.project(&ProjectId::new("p").unwrap()).log(&LogName::new("l2").unwrap());
    let mut expected = Vec::new();
    for _ in 0..400 {
        let data = if random.u8(..) < 200 {
            let value = random_value(&mut random, 3);
            // In spellings that people send, with white space of every kind between the tokens.
            let text =
                serde_json::to_string_pretty(&value).unwrap().replace('\n', random.choice(["\n", "\r\n", "\r", "\t"]).unwrap());
            expected.push(serde_json::json!({ "data": value }));
            Data::Json(Json::parse(text.as_bytes()).unwrap())
        } else {
            let bytes = random_text(&mut random).into_bytes();
            let b64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &bytes);
            expected.push(serde_json::json!({ "b64": b64 }));
            Data::Bytes(bytes.into())
        };
        let _ = log.append(vec![data], AppendOptions::default()).await.unwrap();
    }
    let mut stream = Stream::open(&server, "/v1/projects/p/logs/l2?since=0", &[]).await;
    let mut events = Vec::new();
    loop {
        let event = stream.next().await.unwrap();
        if event.name == "caught-up" {
            break;
        }
        events.push(event);
    }
    assert_eq!(events.len(), expected.len());
    for (index, (event, expected)) in events.iter().zip(&expected).enumerate() {
        let mut value: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        let members = value.as_object_mut().unwrap();
        assert_eq!(members.remove("seq").unwrap(), index + 1);
        assert!(members.remove("ts").unwrap().is_u64());
        assert_eq!(&value, expected);
        assert_eq!(event.name, "message");
        assert!(event.last_event_id.ends_with(&format!("-{}", index + 1)));
    }
    // However the network cuts it, the same events come out.
    for _ in 0..20 {
        let mut parser = Parser::default();
        let (mut rest, mut cut) = (stream.raw.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(random.usize(1..=rest.len().min(300)));
            cut.extend(parser.feed(piece));
            rest = later;
        }
        assert_eq!(cut[..events.len()], events);
    }
    assert!(!stream.raw.contains(&b'\r') && !stream.raw.contains(&0));
}
