use super::*;

const LIMIT: usize = 4_096;

/// Everything a stream gives when it comes in these chunks.
fn parse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<Duration>) {
    let mut parser = Parser::new(LIMIT);
    let mut frames = Vec::new();
    for chunk in chunks {
        parser.feed(Bytes::copy_from_slice(chunk));
        while let Some(frame) = parser.next().unwrap() {
            frames.push(frame);
        }
    }
    (frames, parser.retry())
}

fn whole(stream: &str) -> Vec<Frame> {
    parse([stream.as_bytes()]).0
}

fn frame(event: &str, data: &str, id: &str) -> Frame {
    Frame { event: event.into(), data: data.into(), id: id.into() }
}

#[test]
fn the_examples_of_the_standard() {
    assert_eq!(whole("data: YHOO\ndata: +2\ndata: 10\n\n"), [frame("message", "YHOO\n+2\n10", "")]);
    assert_eq!(
        whole(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"),
        [frame("message", "first event", "1"), frame("message", "second event", ""), frame("message", " third event", "")],
    );
    assert_eq!(whole("data\n\ndata\ndata\n\ndata:"), [frame("message", "", ""), frame("message", "\n", "")]);
    assert_eq!(whole("data:test\n\ndata: test\n\n"), [frame("message", "test", ""), frame("message", "test", "")]);
}

#[test]
fn line_ends_and_byte_order_mark() {
    for stream in [
        "data: a\ndata: b\n\n",
        "data: a\r\ndata: b\r\n\r\n",
        "data: a\rdata: b\r\r",
        "data: a\r\ndata: b\n\r\n",
        "\u{feff}data: a\ndata: b\n\n",
    ] {
        assert_eq!(whole(stream), [frame("message", "a\nb", "")], "{stream:?}");
    }
    assert_eq!(whole("\u{feff}\u{feff}data: a\n\n"), []);
    assert_eq!(whole("\n\u{feff}data: a\n\n"), [], "the mark counts only at the start");
}

#[test]
fn fields() {
    assert_eq!(whole("event: x\ndata: 1\n\ndata: 2\n\n"), [frame("x", "1", ""), frame("message", "2", "")]);
    assert_eq!(
        whole("event: x\n\ndata: 1\n\n"),
        [frame("message", "1", "")],
        "an event without data is none, and its type is forgotten"
    );
    assert_eq!(whole("id: 7\n\ndata: 1\n\n"), [frame("message", "1", "7")], "an id without data counts");
    assert_eq!(whole("id: 7\ndata: 1\n\nid: 8\0\ndata: 2\n\n"), [frame("message", "1", "7"), frame("message", "2", "7")]);
    assert_eq!(whole("Data: 1\ndata : 2\nfoo: 3\n data: 4\n\n"), []);
    assert_eq!(whole("data: a: b\n\n"), [frame("message", "a: b", "")]);
    assert_eq!(parse([b"data: \xff\xc3\n\n".as_slice()]).0, [frame("message", "\u{fffd}\u{fffd}", "")]);
    assert_eq!(whole("data: 1\n"), [], "an event that the stream does not end is none");
}

#[test]
fn reconnection_times() {
    let retry = |stream: &str| parse([stream.as_bytes()]).1.map(|retry| retry.as_millis());
    assert_eq!(retry("retry: 2000\n"), Some(2_000));
    assert_eq!(retry("retry: 1\nretry: 2\n\n"), Some(2));
    for ignored in ["retry: -1\n", "retry: 1s\n", "retry:\n", "retry: 1 \n", "retry: 1"] {
        assert_eq!(retry(ignored), None, "{ignored:?}");
    }
    assert_eq!(retry("retry: 99999999999999999999999\n"), Some(u128::from(u64::MAX)));
}

#[test]
fn the_last_comment_since_the_last_event() {
    let comment = |stream: &str| {
        let mut parser = Parser::new(LIMIT);
        parser.feed(Bytes::copy_from_slice(stream.as_bytes()));
        while parser.next().unwrap().is_some() {}
        parser.comment().to_owned()
    };
    assert_eq!(comment(": a\n\n: no room: come back\nretry: 1\n\n"), "no room: come back");
    assert_eq!(comment(": a\n\ndata: 1\n\n"), "");
    assert_eq!(comment(&format!(":{}\n", "x".repeat(1_000))), "x".repeat(300));
    assert_eq!(comment(&format!(":{}\n", "ü".repeat(151))).chars().filter(|&c| c == 'ü').count(), 150);
    assert_eq!(comment("data: 1\n"), "");
}

#[test]
fn lines_and_events_are_bounded() {
    let fed = |stream: String| {
        let mut parser = Parser::new(10);
        parser.feed(stream.into());
        parser.next()
    };
    assert_eq!(fed("data: 1234\n\n".into()), Ok(Some(frame("message", "1234", ""))));
    assert_eq!(fed("data: 12345\n\n".into()), Err(TooLong));
    assert_eq!(fed(":2345678901".into()), Err(TooLong), "before the line has ended");
    assert_eq!(fed("data:12345\ndata:6789\n\n".into()), Ok(Some(frame("message", "12345\n6789", ""))));
    assert_eq!(fed("data:12345\ndata:67890\n\n".into()), Err(TooLong));

    let mut parser = Parser::new(10);
    for _ in 0..10 {
        parser.feed(Bytes::from_static(b"x"));
        assert_eq!(parser.next(), Ok(None));
    }
    parser.feed(Bytes::from_static(b"x"));
    assert_eq!(parser.next(), Err(TooLong), "a line that comes byte by byte");
}

/// The standard's rules once more, on a whole stream and in the plainest way.
fn reference(stream: &[u8]) -> (Vec<Frame>, Option<Duration>) {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = unified.split('\n').collect();
    lines.pop();
    let (mut frames, mut retry) = (Vec::new(), None);
    let (mut event, mut data, mut id) = (String::new(), String::new(), String::new());
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                let event = if event.is_empty() { "message" } else { &event };
                frames.push(frame(event, data.strip_suffix('\n').unwrap(), &id));
            }
            event.clear();
            data.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => event = value.into(),
            "data" => data += &format!("{value}\n"),
            "id" if !value.contains('\0') => id = value.into(),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                retry = value.parse().ok().map(Duration::from_millis);
            }
            _ => {}
        }
    }
    (frames, retry)
}

/// A stream of the pieces that matter, in any order.
fn random_stream(rng: &mut fastrand::Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 26] = [
        b"\n",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"data",
        b"data:",
        b"data: ",
        b"id:",
        b"id: ",
        b"event:",
        b"retry:",
        b":",
        b" ",
        b"\0",
        b"1",
        b"42",
        b"x",
        "ü".as_bytes(),
        b"\xEF\xBB\xBF",
        b"\xEF\xBB",
        b"\xFF",
        b"{\"a\":1}",
        b"data: x\n\n",
        b"id: 1-2\n",
    ];
    let mut stream = Vec::new();
    for _ in 0..rng.usize(..40) {
        stream.extend_from_slice(PIECES[rng.usize(..PIECES.len())]);
    }
    stream
}

#[test]
fn any_cut_gives_what_the_standard_says() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for round in 0..3_000 {
        let stream = random_stream(&mut rng);
        let expected = reference(&stream);
        let shown = String::from_utf8_lossy(&stream);
        for cut in 0..=stream.len() {
            let (a, b) = stream.split_at(cut);
            assert_eq!(parse([a, b]), expected, "round {round}, cut at {cut} of {shown:?}");
        }
        assert_eq!(parse(stream.chunks(1)), expected, "round {round}, byte by byte: {shown:?}");
    }
}
