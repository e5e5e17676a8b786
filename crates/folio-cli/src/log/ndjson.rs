//! NDJSON input: one JSON value a line, read ahead by a thread of its own, taken in bounded batches.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use folio::{Data, Error, Json};
use tokio::sync::mpsc;

use crate::failure::{Failure, Result};
use crate::input;
use crate::output::Output;
use crate::text::visible;

/// Most entries of a batch.
const MAX_ENTRIES: usize = 1_000;
/// Most payload of a batch, in bytes; one larger entry is a batch alone.
const MAX_BYTES: usize = 1 << 20;
/// Bytes of lines that are handed over at once.
const CHUNK: usize = 256 << 10;
/// Longest line that is taken in; what the store accepts as one entry is its own matter.
const MAX_LINE: u64 = 64 << 20;

/// One line of the input.
struct Line {
    /// From 1.
    number: u64,
    value: Json,
}

/// What the reading thread sends.
struct Chunk {
    lines: Vec<Line>,
    /// Bytes of the input up to the end of these lines.
    read: u64,
    /// The input cannot be read past these lines.
    error: Option<Failure>,
}

/// Entries that are appended together.
pub(crate) struct Batch {
    pub(crate) entries: Vec<Data>,
    /// Numbers of its first and last line.
    pub(crate) lines: (u64, u64),
    /// Bytes of the input up to its end, roughly: for a progress bar.
    pub(crate) read: u64,
    /// Nothing follows.
    pub(crate) last: bool,
}

/// The batches of an input.
pub(crate) struct Batches {
    receive: mpsc::Receiver<Chunk>,
    waiting: VecDeque<Line>,
    read: u64,
    ended: bool,
    error: Option<Failure>,
    /// Cut batches by the input alone, so that the same input gives the same batches again.
    steady: bool,
}

impl Batches {
    /// Begins to read a file, or stdin (`-`). Also tells its size, where that is known.
    ///
    /// `steady`: wait until a batch is full. Otherwise what has come is a batch, so that lines which come slowly are
    /// appended at once.
    pub(crate) fn open(path: &Path, steady: bool, out: &mut Output) -> Result<(Self, Option<u64>)> {
        let (send, receive) = mpsc::channel(2);
        let size = if input::is_stdin(path) {
            input::tell_if_typed(out)?;
            std::thread::spawn(move || read(BufReader::with_capacity(CHUNK, io::stdin()), "stdin", &send));
            None
        } else {
            let file = input::open(path)?;
            let size = file.metadata().ok().filter(|meta| meta.is_file()).map(|meta| meta.len());
            let shown = visible(&path.to_string_lossy()).into_owned();
            std::thread::spawn(move || read(BufReader::with_capacity(CHUNK, file), &shown, &send));
            size
        };
        let batches = Self { receive, waiting: VecDeque::new(), read: 0, ended: false, error: None, steady };
        Ok((batches, size))
    }

    /// The next batch, or `None` at the end. What was read before an error comes first, so the error is the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch>> {
        while !self.ended && (self.waiting.is_empty() || (self.steady && !self.full())) {
            match self.receive.recv().await {
                Some(chunk) => self.take(chunk),
                None => self.ended = true,
            }
        }
        while !self.ended && !self.full() {
            match self.receive.try_recv() {
                Ok(chunk) => self.take(chunk),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => self.ended = true,
            }
        }
        let Some(first) = self.waiting.front().map(|line| line.number) else {
            return self.error.take().map_or(Ok(None), Err);
        };
        let mut batch = Batch { entries: Vec::new(), lines: (first, first), read: self.read, last: false };
        let mut bytes = 0;
        while let Some(line) = self.waiting.pop_front() {
            if !fits(batch.entries.len(), bytes, &line) {
                self.waiting.push_front(line);
                break;
            }
            bytes += line.value.as_str().len();
            batch.lines.1 = line.number;
            batch.entries.push(line.value.into());
        }
        batch.last = self.ended && self.waiting.is_empty() && self.error.is_none();
        Ok(Some(batch))
    }

    fn take(&mut self, chunk: Chunk) {
        self.waiting.extend(chunk.lines);
        self.read = chunk.read;
        self.ended |= chunk.error.is_some();
        self.error = chunk.error.or(self.error.take());
    }

    /// True when what waits is enough for a batch, and the batch would not change if more came.
    fn full(&self) -> bool {
        let (mut count, mut bytes) = (0, 0);
        for line in &self.waiting {
            if !fits(count, bytes, line) {
                return true;
            }
            count += 1;
            bytes += line.value.as_str().len();
        }
        count == MAX_ENTRIES
    }
}

fn fits(count: usize, bytes: usize, line: &Line) -> bool {
    count == 0 || (count < MAX_ENTRIES && bytes + line.value.as_str().len() <= MAX_BYTES)
}

/// Reads lines until the end, an error, or nobody takes them.
fn read(mut from: BufReader<impl Read>, shown: &str, send: &mpsc::Sender<Chunk>) {
    let mut number = 0;
    let mut read = 0;
    let mut chunk = Chunk { lines: Vec::new(), read: 0, error: None };
    let mut held = 0;
    let mut line = Vec::new();
    loop {
        // about to wait for more input: hand over what is there
        let waits = !from.buffer().contains(&b'\n');
        if !chunk.lines.is_empty() && (waits || held >= CHUNK) {
            held = 0;
            let full = std::mem::replace(&mut chunk, Chunk { lines: Vec::new(), read, error: None });
            if send.blocking_send(full).is_err() {
                return;
            }
        }
        line.clear();
        number += 1;
        let next = match (&mut from).take(MAX_LINE + 1).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(count) => {
                read += count as u64;
                chunk.read = read;
                parse(&line, number)
            }
            Err(e) => Err(Failure::io(format!("reading line {number} of {shown}"), &e)),
        };
        match next {
            Ok(Some(value)) => {
                held += value.as_str().len();
                chunk.lines.push(Line { number, value });
            }
            Ok(None) => {}
            Err(error) => {
                chunk.error = Some(error.with("line", number.into()));
                break;
            }
        }
    }
    if !chunk.lines.is_empty() || chunk.error.is_some() {
        let _ = send.blocking_send(chunk);
    }
}

/// The value of a line; `None` for a blank one.
fn parse(line: &[u8], number: u64) -> Result<Option<Json>> {
    if line.len() as u64 > MAX_LINE {
        return Err(Error::TooLarge { what: format!("line {number}").into(), bytes: line.len() as u64, limit: MAX_LINE }.into());
    }
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    // so that a place at the end of the line is told there, and not in the next line
    Json::parse(line.trim_ascii_end()).map(Some).map_err(|error| match error {
        Error::InvalidJson { column, why, .. } => Error::InvalidJson { line: number as usize, column, why }.into(),
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As from a pipe that gives a few bytes at a time.
    async fn batches(text: &'static [u8], steady: bool) -> Vec<Result<Batch, Failure>> {
        let (send, receive) = mpsc::channel(2);
        std::thread::spawn(move || read(BufReader::with_capacity(64, text), "test", &send));
        let mut batches = Batches { receive, waiting: VecDeque::new(), read: 0, ended: false, error: None, steady };
        let mut all = Vec::new();
        loop {
            match batches.next().await {
                Ok(Some(batch)) => all.push(Ok(batch)),
                Ok(None) => return all,
                Err(error) => {
                    all.push(Err(error));
                    return all;
                }
            }
        }
    }

    fn leak(text: String) -> &'static [u8] {
        text.leak().as_bytes()
    }

    #[tokio::test]
    async fn steady_batches_depend_on_the_input_alone() {
        let text = leak((0..2_500).map(|n| format!("{{\"n\":{n}}}\n")).collect());
        let all = batches(text, true).await;
        let sizes: Vec<_> = all.iter().flatten().map(|batch| (batch.entries.len(), batch.lines, batch.last)).collect();
        assert_eq!(sizes, [(1_000, (1, 1_000), false), (1_000, (1_001, 2_000), false), (500, (2_001, 2_500), true)]);
    }

    #[tokio::test]
    async fn a_batch_is_bounded_by_bytes_too() {
        let large = format!("\"{}\"\n", "x".repeat(400_000));
        let text = leak(large.repeat(5));
        let sizes: Vec<_> = batches(text, true).await.iter().flatten().map(|batch| batch.entries.len()).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[tokio::test]
    async fn the_lines_before_a_bad_one_come_first() {
        for steady in [true, false] {
            let all = batches(b"1\n\n2\n  {\"a\":}\n3\n", steady).await;
            let entries: usize = all.iter().flatten().map(|batch| batch.entries.len()).sum();
            assert_eq!(entries, 2);
            assert!(all.iter().flatten().all(|batch| !batch.last));
            let error = all.last().unwrap().as_ref().err().unwrap();
            assert_eq!(error.code, "invalid_json");
            assert_eq!((error.fields["line"].clone(), error.fields["column"].clone()), (4.into(), 8.into()), "{}", error.detail);
        }
    }

    #[tokio::test]
    async fn a_last_line_without_its_newline_counts() {
        let all = batches(b"1\n2", false).await;
        let entries: usize = all.iter().flatten().map(|batch| batch.entries.len()).sum();
        assert_eq!(entries, 2);
    }

    #[tokio::test]
    async fn nothing_gives_nothing() {
        assert!(batches(b"", true).await.is_empty());
        assert!(batches(b"\n \n", false).await.is_empty());
    }
}
