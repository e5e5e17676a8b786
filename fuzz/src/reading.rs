//! A log read whole, in every way there is, and held against the contract.

use folio::{AppendLog, Cursor, Entry, Error, Gap, Lines, LogEvent, Order, Position, ReadOptions, Start};
use futures_util::{FutureExt, StreamExt};

/// More pages than any input has entries and holes: reading that goes on longer does not end.
const MANY: usize = 20_000;

/// What a reader of the whole log gets.
#[derive(Clone, PartialEq, Debug)]
pub struct Reading {
    pub entries: Vec<Entry>,
    pub gaps: Vec<Gap>,
    pub head: Position,
    pub lineage: Vec<folio::Piece>,
}

/// Errors that a damaged or foreign log may be answered with.
pub fn allowed(error: &Error) {
    let code = error.code();
    let known = ["damaged", "newer_format", "invalid", "closed", "no_project", "no_log", "gone"];
    // Something else may stand where a file or folder should.
    let foreign = [
        "Not a directory",
        "Is a directory",
        "a folder stands there",
        "a file stands there",
        "a symbolic link stands on the way",
        "File name too long",
    ];
    let text = error.to_string();
    assert!(known.contains(&code) || foreign.iter().any(|what| text.contains(what)), "{code}: {error}");
}

/// Reads everything, oldest first, in pages of `limit`.
pub async fn ascending(log: &dyn AppendLog, limit: usize) -> Result<Reading, Error> {
    let mut options = ReadOptions { limit, ..ReadOptions::default() };
    let mut reading: Option<Reading> = None;
    for _ in 0..MANY {
        let page = log.read(options.clone()).await?;
        let whole = reading.get_or_insert_with(|| Reading {
            entries: Vec::new(),
            gaps: Vec::new(),
            head: page.head,
            lineage: page.lineage.clone(),
        });
        assert_eq!((whole.head, &whole.lineage), (page.head, &page.lineage), "nobody writes meanwhile");
        assert!(page.entries.len() <= limit);
        let next = page.next.expect("ascending, it is always given");
        if let Some(gap) = page.gap {
            let last = whole.entries.last().map_or(0, |entry| entry.seq);
            assert!(gap.resumes_after.seq >= last, "{gap:?} goes back before {last}");
            whole.gaps.push(gap);
        }
        if page.entries.is_empty() && page.gap.is_none() {
            check(whole);
            return Ok(whole.clone());
        }
        whole.entries.extend(page.entries);
        options.since = Some(next.into());
    }
    panic!("reading does not end: {:?}", log.read(options).await);
}

/// Every entry of a reading comes once and in order; what is missing between them was told.
fn check(whole: &Reading) {
    let mut told = whole.gaps.iter();
    let mut before: Option<u64> = None;
    for entry in &whole.entries {
        if let Some(before) = before {
            assert!(entry.seq > before, "seq {} after {before}", entry.seq);
        }
        if before.is_some_and(|before| entry.seq > before + 1) {
            assert!(
                told.any(|gap| gap.resumes_after.seq + 1 == entry.seq),
                "an untold hole before {}: {:?}",
                entry.seq,
                whole.gaps
            );
        }
        before = Some(entry.seq);
    }
    assert!(before.is_none_or(|last| last <= whole.head.seq));
    let rising = |pieces: &[folio::Piece]| pieces.windows(2).all(|two| two[0].epoch < two[1].epoch && two[0].last <= two[1].last);
    assert!(rising(&whole.lineage), "{:?}", whole.lineage);
}

/// Reads everything, newest first, and returns the entries in rising order.
pub async fn descending(log: &dyn AppendLog, limit: usize) -> Result<Vec<Entry>, Error> {
    let mut options = ReadOptions { limit, order: Order::Desc, ..ReadOptions::default() };
    let mut entries = Vec::new();
    for _ in 0..MANY {
        let page = log.read(options.clone()).await?;
        entries.extend(page.entries);
        match page.next_before {
            Some(before) => options.before = Some(before),
            None => {
                entries.reverse();
                return Ok(entries);
            }
        }
    }
    panic!("reading does not end: {:?}", log.read(options).await);
}

/// Follows from the beginning until it is live.
pub async fn followed(log: &dyn AppendLog) -> Result<Vec<Entry>, Error> {
    let mut stream = log.subscribe(Start::After(Cursor::START)).await?;
    let mut entries = Vec::new();
    for _ in 0..MANY {
        match stream.next().await {
            Some(Ok(LogEvent::Entry { entry, position })) => {
                assert_eq!(position.seq, entry.seq);
                entries.push(entry);
            }
            Some(Ok(LogEvent::Gap(_))) => {}
            Some(Ok(LogEvent::CaughtUp { .. })) => {
                let more = stream.next().now_or_never();
                assert!(matches!(more, None | Some(Some(Ok(LogEvent::Closed { .. })))), "after caught-up: {more:?}");
                return Ok(entries);
            }
            Some(Ok(LogEvent::Closed { .. })) | None => return Ok(entries),
            Some(Ok(other)) => panic!("{other:?}"),
            Some(Err(error)) => return Err(error),
        }
    }
    panic!("following does not catch up");
}

/// Entries as the text that is passed on.
pub fn text(entries: &[Entry]) -> String {
    entries.iter().map(|entry| text_of(&Lines::from(entry))).collect()
}

fn text_of(run: &Lines) -> String {
    assert_eq!(run.iter().count() as u64, run.last() - run.first() + 1, "{run:?}");
    String::from_utf8(run.text().to_vec()).expect("lines are text")
}

/// As [`ascending`], as lines: their text, and what holes were told.
pub async fn ascending_lines(log: &dyn AppendLog, limit: usize) -> Result<(String, Vec<Gap>), Error> {
    let mut options = ReadOptions { limit, ..ReadOptions::default() };
    let (mut text, mut gaps) = (String::new(), Vec::new());
    for _ in 0..MANY {
        let page = log.read_lines(options.clone()).await?;
        if page.entries.is_empty() && page.gap.is_none() {
            return Ok((text, gaps));
        }
        assert!(page.entries.iter().map(|run| run.last() - run.first() + 1).sum::<u64>() <= limit as u64);
        gaps.extend(page.gap);
        text.extend(page.entries.iter().map(text_of));
        options.since = page.next.map(Into::into);
    }
    panic!("reading does not end: {:?}", log.read_lines(options).await);
}

/// As [`descending`], as lines.
pub async fn descending_lines(log: &dyn AppendLog, limit: usize) -> Result<String, Error> {
    let mut options = ReadOptions { limit, order: Order::Desc, ..ReadOptions::default() };
    let mut texts = Vec::new();
    for _ in 0..MANY {
        let page = log.read_lines(options.clone()).await?;
        texts.extend(page.entries.iter().map(text_of));
        match page.next_before {
            Some(before) => options.before = Some(before),
            None => {
                texts.reverse();
                return Ok(texts.concat());
            }
        }
    }
    panic!("reading does not end: {:?}", log.read_lines(options).await);
}

/// As [`followed`], as lines.
pub async fn followed_lines(log: &dyn AppendLog) -> Result<String, Error> {
    let mut stream = log.subscribe_lines(Start::After(Cursor::START)).await?;
    let mut text = String::new();
    for _ in 0..MANY {
        match stream.next().await {
            Some(Ok(LogEvent::Entry { entry: run, position })) => {
                assert_eq!(position.seq, run.last());
                text.push_str(&text_of(&run));
            }
            Some(Ok(LogEvent::Gap(_))) => {}
            Some(Ok(LogEvent::CaughtUp { .. } | LogEvent::Closed { .. })) | None => return Ok(text),
            Some(Ok(other)) => panic!("{other:?}"),
            Some(Err(error)) => return Err(error),
        }
    }
    panic!("following does not catch up");
}
