//! What the engines that read a log are made for: entries one at a time, or in runs of lines. They judge all alike.

use async_trait::async_trait;

use crate::cursor::Seq;
use crate::error::Result;
use crate::follow::{Budget, Item, Source};
use crate::lines::{Lines, push_entry};
use crate::log::Entry;

/// Text of one run of lines, in bytes; only a single line may be longer.
pub(crate) const PIECE: usize = 64 << 10;

/// One or more entries in a row.
#[async_trait]
pub(crate) trait Run: Sized + Send + 'static {
    /// What a follower holds at most, apart from the one entry that exceeds it.
    const BATCH: Budget;

    /// Seq of the first entry.
    fn first(&self) -> Seq;

    /// Seq of the last entry.
    fn last(&self) -> Seq;

    /// The entries up to `last`, which is not below the first one, and those behind.
    fn split(self, last: Seq) -> (Self, Option<Self>);

    /// [`Source::read_after`] for runs of this kind.
    async fn read_after(source: &dyn Source, after: Seq, budget: Budget) -> Result<Vec<Item<Self>>>;

    /// [`Source::read_before`] for runs of this kind: each of a single entry, since their order is falling.
    async fn read_before(source: &dyn Source, before: Seq, budget: Budget) -> Result<Vec<Item<Self>>>;
}

#[async_trait]
impl Run for Entry {
    const BATCH: Budget = Budget { entries: 256, bytes: 256 << 10 };

    fn first(&self) -> Seq {
        self.seq
    }

    fn last(&self) -> Seq {
        self.seq
    }

    fn split(self, _: Seq) -> (Self, Option<Self>) {
        (self, None)
    }

    async fn read_after(source: &dyn Source, after: Seq, budget: Budget) -> Result<Vec<Item>> {
        source.read_after(after, budget).await
    }

    async fn read_before(source: &dyn Source, before: Seq, budget: Budget) -> Result<Vec<Item>> {
        source.read_before(before, budget).await
    }
}

/// What lines hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// What readers are told: seq, time and payload.
    Told,
    /// All that is stored.
    Stored,
}

/// Lines as they are stored.
pub(crate) struct Kept(pub(crate) Lines);

#[async_trait]
impl Run for Kept {
    const BATCH: Budget = Lines::BATCH;

    fn first(&self) -> Seq {
        self.0.first()
    }

    fn last(&self) -> Seq {
        self.0.last()
    }

    fn split(self, last: Seq) -> (Self, Option<Self>) {
        let (kept, behind) = self.0.split(last);
        (Self(kept), behind.map(Self))
    }

    async fn read_after(source: &dyn Source, after: Seq, budget: Budget) -> Result<Vec<Item<Self>>> {
        Ok(source.read_lines_after(after, budget, Form::Stored).await?.into_iter().map(|item| item.map(Self)).collect())
    }

    async fn read_before(source: &dyn Source, before: Seq, budget: Budget) -> Result<Vec<Item<Self>>> {
        Ok(source.read_lines_before(before, budget, Form::Stored).await?.into_iter().map(|item| item.map(Self)).collect())
    }
}

#[async_trait]
impl Run for Lines {
    /// Lines cost little each, so there may be more of them.
    const BATCH: Budget = Budget { entries: 2_048, bytes: 256 << 10 };

    fn first(&self) -> Seq {
        self.first()
    }

    fn last(&self) -> Seq {
        self.last()
    }

    fn split(self, last: Seq) -> (Self, Option<Self>) {
        self.split(last)
    }

    async fn read_after(source: &dyn Source, after: Seq, budget: Budget) -> Result<Vec<Item<Self>>> {
        source.read_lines_after(after, budget, Form::Told).await
    }

    async fn read_before(source: &dyn Source, before: Seq, budget: Budget) -> Result<Vec<Item<Self>>> {
        source.read_lines_before(before, budget, Form::Told).await
    }
}

/// The same items with their entries as lines.
pub(crate) fn lines(items: Vec<Item>) -> Vec<Item<Lines>> {
    let mut runs = Runs::default();
    for item in items {
        match item {
            Item::Entry(entry) => runs.entry(&entry),
            Item::Hole { first, last } => runs.hole(first, last),
        }
    }
    runs.finish()
}

/// Makes runs of lines of the entries and holes that it is given in order.
#[derive(Default)]
pub(crate) struct Runs {
    items: Vec<Item<Lines>>,
    /// Of the run that is being made, if its last seq is not 0.
    text: Vec<u8>,
    first: Seq,
    last: Seq,
}

impl Runs {
    pub(crate) fn entry(&mut self, entry: &Entry) {
        self.begin(entry.seq, entry.data.len());
        push_entry(&mut self.text, entry);
    }

    /// An entry whose line is there already, in two parts and without its newline.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn line(&mut self, seq: Seq, [head, tail]: [&[u8]; 2]) {
        self.begin(seq, head.len() + tail.len());
        for part in [head, tail, b"\n"] {
            self.text.extend_from_slice(part);
        }
    }

    pub(crate) fn hole(&mut self, first: Seq, last: Seq) {
        self.end();
        self.items.push(Item::Hole { first, last });
    }

    pub(crate) fn finish(mut self) -> Vec<Item<Lines>> {
        self.end();
        self.items
    }

    fn begin(&mut self, seq: Seq, size: usize) {
        if self.last != 0 && (seq != self.last + 1 || self.text.len() + size >= PIECE) {
            self.end();
        }
        if self.last == 0 {
            self.first = seq;
        }
        self.last = seq;
    }

    fn end(&mut self) {
        if self.last != 0 {
            // A run that is full is seldom the last: the next one will be as long.
            let room = if self.text.len() > PIECE / 2 { PIECE } else { 0 };
            let text = std::mem::replace(&mut self.text, Vec::with_capacity(room));
            self.items.push(Item::Entry(Lines::new(self.first, self.last, text.into())));
            self.last = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use crate::log::Data;

    fn entry(seq: Seq, data: Data) -> Entry {
        Entry { seq, ts: 5, data }
    }

    fn json(seq: Seq, text: &str) -> Entry {
        entry(seq, Data::Json(Json::parse(text.as_bytes()).unwrap()))
    }

    fn runs(entries: &[Entry]) -> Vec<Item<Lines>> {
        let mut runs = Runs::default();
        entries.iter().for_each(|entry| runs.entry(entry));
        runs.finish()
    }

    fn only(items: Vec<Item<Lines>>) -> Lines {
        match items.as_slice() {
            [Item::Entry(lines)] => lines.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tokens_are_copied() {
        let value = json(7, r#"{"n":12345678901234567890, "n": 1e400}"#);
        let bytes = entry(8, Data::Bytes(vec![0, 255].into()));
        let told =
            "{\"seq\":7,\"ts\":5,\"data\":{\"n\":12345678901234567890,\"n\":1e400}}\n{\"seq\":8,\"ts\":5,\"b64\":\"AP8=\"}\n";
        assert_eq!(only(runs(&[value.clone(), bytes])).text(), told);
        let mut sliced = Runs::default();
        sliced.line(7, [br#"{"seq":7,"ts":5"#, br#","data":{"n":12345678901234567890,"n":1e400}}"#]);
        assert_eq!(only(sliced.finish()), Lines::from(&value));
    }

    #[test]
    fn a_run_is_in_a_row_and_no_longer_than_a_piece() {
        let spans = |items: Vec<Item<Lines>>| items.iter().map(|item| (item.first(), item.last())).collect::<Vec<_>>();
        assert_eq!(spans(runs(&[json(3, "1"), json(4, "2"), json(6, "3")])), [(3, 4), (6, 6)]);
        let mut holed = Runs::default();
        holed.entry(&json(1, "1"));
        holed.hole(2, 5);
        holed.entry(&json(6, "1"));
        assert_eq!(spans(holed.finish()), [(1, 1), (2, 5), (6, 6)]);
        let long = format!("\"{}\"", "x".repeat(PIECE / 2 - 100));
        assert_eq!(spans(runs(&[json(1, &long), json(2, &long), json(3, &long)])), [(1, 2), (3, 3)]);
        assert_eq!(runs(&[]), []);
    }

    #[test]
    fn a_run_is_split_between_its_entries() {
        let lines = only(runs(&[json(9, "1"), json(10, "\"é\""), json(11, "3")]));
        assert_eq!(lines.iter().collect::<Vec<_>>().join(&b'\n'), lines.text().strip_suffix(b"\n").unwrap());
        let (head, tail) = lines.clone().split(10);
        let tail = tail.unwrap();
        assert_eq!((head.first(), head.last(), tail.first(), tail.last()), (9, 10, 11, 11));
        assert_eq!([head.text().as_ref(), tail.text().as_ref()].concat(), lines.text().as_ref());
        assert_eq!(tail, Lines::from(&json(11, "3")));
        assert_eq!(lines.clone().split(11), (lines, None));
    }
}
