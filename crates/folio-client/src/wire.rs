//! The JSON that goes over the wire, as far as it isn't the library's own types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use folio::{
    Appended, Change, Cursor, Data, DocInfo, DocKey, Entry, Error, Etag, FileInfo, FilePath, Gap, GapReason, Json, Lineage,
    LogName, LogStatus, Order, Page, Piece, Position, ProjectId, Seq, Target,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Why something that came is not understood.
pub(crate) type Understood<T> = Result<T, String>;

/// Reads JSON into a type of this module.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Understood<T> {
    serde_json::from_slice(text).map_err(|e| e.to_string())
}

fn in_words(error: &Error) -> String {
    error.to_string()
}

/// `GET /v1`.
#[derive(Deserialize)]
pub(crate) struct Info {
    pub(crate) driver: String,
    pub(crate) contract: u32,
    pub(crate) durability: String,
}

#[derive(Deserialize)]
pub(crate) struct Id {
    pub(crate) id: ProjectId,
}

#[derive(Deserialize)]
pub(crate) struct Projects {
    pub(crate) projects: Vec<Id>,
    pub(crate) next: Option<ProjectId>,
}

#[derive(Deserialize)]
pub(crate) struct Log {
    pub(crate) name: LogName,
}

#[derive(Deserialize)]
pub(crate) struct Logs {
    pub(crate) logs: Vec<Log>,
    pub(crate) next: Option<LogName>,
}

#[derive(Deserialize)]
pub(crate) struct Docs {
    docs: Vec<Doc>,
    pub(crate) next: Option<DocKey>,
}

#[derive(Deserialize)]
struct Doc {
    key: DocKey,
    size: u64,
    modified: u64,
    etag: Option<Etag>,
}

impl Docs {
    pub(crate) fn infos(self) -> (Vec<DocInfo>, Option<DocKey>) {
        let info = |Doc { key, size, modified, etag }| DocInfo { key, size, modified, etag };
        (self.docs.into_iter().map(info).collect(), self.next)
    }
}

#[derive(Deserialize)]
pub(crate) struct Files {
    files: Vec<File>,
    next: Option<FilePath>,
}

#[derive(Deserialize)]
struct File {
    path: FilePath,
    size: u64,
    modified: u64,
    etag: Option<Etag>,
}

impl Files {
    pub(crate) fn infos(self) -> (Vec<FileInfo>, Option<FilePath>) {
        let info = |File { path, size, modified, etag }| FileInfo { path, size, modified, etag };
        (self.files.into_iter().map(info).collect(), self.next)
    }
}

/// The answer to a write of a document or file.
#[derive(Deserialize)]
pub(crate) struct Written {
    pub(crate) etag: Etag,
}

/// The answer to an append.
#[derive(Deserialize)]
pub(crate) struct AppendAnswer {
    pub(crate) first_seq: Seq,
    pub(crate) last_seq: Seq,
    pub(crate) cursor: Position,
}

impl AppendAnswer {
    pub(crate) fn appended(self, replayed: bool) -> Appended {
        let Self { first_seq: first, last_seq: last, cursor } = self;
        Appended { first, last, cursor, replayed }
    }
}

/// The answer to a compaction.
#[derive(Deserialize)]
pub(crate) struct Compacted {
    pub(crate) removed: u64,
    pub(crate) horizon: Seq,
}

/// What states a head: the answer to a close; `caught-up` and `closed` in event streams.
#[derive(Deserialize)]
pub(crate) struct Head {
    pub(crate) head: Position,
}

/// `?view=status`.
#[derive(Deserialize)]
pub(crate) struct Status {
    head: Position,
    horizon: Seq,
    lineage: Vec<(u64, Seq)>,
    closed: bool,
    bytes: u64,
}

impl From<Status> for LogStatus {
    fn from(status: Status) -> Self {
        let Status { head, horizon, lineage, closed, bytes } = status;
        Self { head, horizon, lineage: pieces(&lineage), closed, bytes }
    }
}

fn pieces(lineage: &[(u64, Seq)]) -> Vec<Piece> {
    lineage.iter().map(|&(epoch, last)| Piece { epoch, last }).collect()
}

/// The lineage that was told: all pieces but the newest have ended.
fn lineage(pieces: &[Piece]) -> Understood<Lineage> {
    let (open, ended) = pieces.split_last().ok_or("the lineage is empty")?;
    Lineage::from_parts(ended.to_vec(), open.epoch).map_err(|e| in_words(&e))
}

#[derive(Deserialize)]
struct EntryWire<'a> {
    seq: Seq,
    ts: u64,
    #[serde(borrow, default, deserialize_with = "given")]
    data: Option<&'a RawValue>,
    b64: Option<String>,
}

/// A member that is there, also when it is `null`: that is a value like any other.
pub(crate) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl EntryWire<'_> {
    fn entry(self) -> Understood<Entry> {
        let data = match (self.data, self.b64) {
            (Some(data), None) => Data::Json(Json::parse_stored(data.get().as_bytes()).map_err(|e| in_words(&e))?),
            (None, Some(b64)) => Data::Bytes(BASE64.decode(b64).map_err(|e| format!("b64 of entry {}: {e}", self.seq))?.into()),
            _ => return Err(format!("entry {} needs either data or b64", self.seq)),
        };
        Ok(Entry { seq: self.seq, ts: self.ts, data })
    }
}

/// An entry of an event stream.
pub(crate) fn entry(text: &str) -> Understood<Entry> {
    parse::<EntryWire<'_>>(text.as_bytes())?.entry()
}

#[derive(Deserialize)]
struct GapWire {
    reason: String,
    requested: Cursor,
    lost: Option<u64>,
    resumes_after: Seq,
}

impl GapWire {
    /// `position` finds the position of a seq.
    fn gap(self, position: impl FnOnce(Seq) -> Position) -> Understood<Gap> {
        let reason = GapReason::parse(&self.reason).ok_or_else(|| format!("unknown reason {:?} of a gap", self.reason))?;
        Ok(Gap { reason, requested: self.requested, lost: self.lost, resumes_after: position(self.resumes_after) })
    }
}

/// A gap of an event stream, in the frame with this position.
pub(crate) fn gap(text: &str, position: Position) -> Understood<Gap> {
    let gap = parse::<GapWire>(text.as_bytes())?.gap(|seq| Position { seq, ..position })?;
    if gap.resumes_after == position {
        Ok(gap)
    } else {
        Err(format!("a gap that ends at {position} and resumes after {}", gap.resumes_after.seq))
    }
}

#[derive(Deserialize)]
struct PageWire<'a> {
    #[serde(borrow)]
    entries: Vec<EntryWire<'a>>,
    first: Seq,
    head: Position,
    lineage: Vec<(u64, Seq)>,
    #[serde(borrow)]
    next: &'a RawValue,
    gap: Option<GapWire>,
}

/// A page of a log that was read in this order, cut after the entry that brings it to `max_bytes`.
pub(crate) fn page(body: &[u8], order: Order, max_bytes: usize) -> Understood<Page> {
    let wire: PageWire<'_> = parse(body)?;
    let pieces = pieces(&wire.lineage);
    let lineage = lineage(&pieces)?;
    let gap = wire.gap.map(|gap| gap.gap(|seq| lineage.position(seq))).transpose()?;
    let (mut next, mut next_before) = match order {
        Order::Asc => (Some(parse::<Position>(wire.next.get().as_bytes())?), None),
        Order::Desc => (None, parse::<Option<Seq>>(wire.next.get().as_bytes())?),
    };
    let given = wire.entries.len();
    let mut entries = Vec::with_capacity(given);
    let mut bytes = 0;
    for entry in wire.entries {
        let entry = entry.entry()?;
        bytes += entry.data.len();
        entries.push(entry);
        if bytes >= max_bytes {
            break;
        }
    }
    if let Some(last) = entries.last().filter(|_| entries.len() < given) {
        match order {
            Order::Asc => next = Some(lineage.position(last.seq)),
            Order::Desc => next_before = Some(last.seq),
        }
    }
    Ok(Page { entries, gap, first: wire.first, head: wire.head, lineage: pieces, next, next_before })
}

/// The body of an append: `[{"data":…},{"b64":"…"}]`, tokens as they are.
pub(crate) fn entries(entries: &[Data]) -> String {
    let mut body = String::with_capacity(2 + entries.iter().map(|entry| entry.len() * 4 / 3 + 16).sum::<usize>());
    body.push('[');
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        match entry {
            Data::Json(value) => {
                body.push_str("{\"data\":");
                body.push_str(value.as_str());
                body.push('}');
            }
            Data::Bytes(bytes) => {
                body.push_str("{\"b64\":\"");
                BASE64.encode_string(bytes, &mut body);
                body.push_str("\"}");
            }
        }
    }
    body.push(']');
    body
}

#[derive(Deserialize)]
struct ChangeWire {
    file: Option<FilePath>,
    doc: Option<DocKey>,
    etag: Option<Etag>,
}

/// A change that is about one thing, or `None` for an event that is not known here.
pub(crate) fn change(event: &str, text: &str) -> Understood<Option<Change>> {
    if !matches!(event, "put" | "delete" | "conflict") {
        return Ok(None);
    }
    let ChangeWire { file, doc, etag } = parse(text.as_bytes())?;
    let target = match (file, doc) {
        (Some(path), None) => Target::File(path),
        (None, Some(key)) => Target::Doc(key),
        _ => return Err(format!("a {event} needs either file or doc")),
    };
    Ok(Some(match event {
        "put" => Change::Put { target, etag },
        "delete" => Change::Delete { target },
        _ => Change::Conflict { target },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const PAGE: &str = r#"{"entries":[{"seq":8,"ts":1,"data":{"b":90071992547409931234,"a": 1}},{"seq":9,"ts":2,"b64":"AP8="},
        {"seq":10,"ts":2,"data":null}],"first":8,"head":"200-12","lineage":[[0,5],[100,9],[200,12]],"next":NEXT,
        "gap":{"reason":"truncated","requested":"0-3","lost":4,"resumes_after":7},"new":true}"#;

    fn read(next: &str, order: Order, max_bytes: usize) -> Understood<Page> {
        page(PAGE.replace("NEXT", next).as_bytes(), order, max_bytes)
    }

    #[test]
    fn pages_keep_tokens_and_place_their_gap_by_the_lineage() {
        let page = read("\"200-10\"", Order::Asc, usize::MAX).unwrap();
        assert_eq!(page.entries[0].data, Data::Json(Json::parse(br#"{"b":90071992547409931234,"a":1}"#).unwrap()));
        assert_eq!(page.entries[1].data, Data::Bytes(Bytes::from_static(&[0, 255])));
        assert_eq!(page.entries[2].data, Data::Json(Json::parse(b"null").unwrap()));
        assert_eq!(page.gap.unwrap().resumes_after, Position { epoch: 100, seq: 7 });
        assert_eq!(page.lineage[2], Piece { epoch: 200, last: 12 });
        assert_eq!((page.next, page.next_before), (Some(Position { epoch: 200, seq: 10 }), None));

        assert_eq!(read("10", Order::Desc, usize::MAX).unwrap().next_before, Some(10));
        assert_eq!(read("null", Order::Desc, usize::MAX).unwrap().next_before, None);
        assert!(read("null", Order::Asc, usize::MAX).is_err());
    }

    #[test]
    fn a_page_is_cut_at_the_bytes_asked_for() {
        let asc = read("\"200-10\"", Order::Asc, 33).unwrap();
        assert_eq!((asc.entries.len(), asc.next), (2, Some(Position { epoch: 100, seq: 9 })));
        let desc = read("null", Order::Desc, 1).unwrap();
        assert_eq!((desc.entries.len(), desc.next_before), (1, Some(8)));
        let whole = read("\"200-11\"", Order::Asc, 37).unwrap();
        assert_eq!((whole.entries.len(), whole.next), (3, Some(Position { epoch: 200, seq: 11 })));
    }

    #[test]
    fn deep_values_of_other_programs_are_read() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(entry(&format!(r#"{{"seq":1,"ts":2,"data":{deep}}}"#)).unwrap().data.len(), 20_001);
    }

    #[test]
    fn entries_that_are_none() {
        for bad in [r#"{"seq":1,"ts":2}"#, r#"{"seq":1,"ts":2,"data":1,"b64":""}"#, r#"{"seq":1,"ts":2,"b64":"?"}"#, "[]", ""] {
            assert!(entry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn appends() {
        let data = [Data::Json(Json::parse(b"{\"a\": 1e400}").unwrap()), Data::Bytes(Bytes::from_static(&[0, 255]))];
        assert_eq!(entries(&data), r#"[{"data":{"a":1e400}},{"b64":"AP8="}]"#);
        assert_eq!(entries(&[]), "[]");
    }

    #[test]
    fn gaps_of_event_streams() {
        let at = Position { epoch: 7, seq: 57 };
        let text = r#"{"reason":"epoch","requested":"41","resumes_after":57}"#;
        let expected = Gap { reason: GapReason::Epoch, requested: Cursor::bare(41), lost: None, resumes_after: at };
        assert_eq!(gap(text, at), Ok(expected));
        assert!(gap(text, Position { epoch: 7, seq: 56 }).is_err());
        assert!(gap(&text.replace("epoch", "new"), at).is_err());
    }

    #[test]
    fn changes() {
        let target = Target::File(FilePath::new("a/b.txt").unwrap());
        let tag = Etag::of(b"x");
        let put = change("put", &format!(r#"{{"file":"a/b.txt","etag":"{tag}"}}"#));
        assert_eq!(put, Ok(Some(Change::Put { target: target.clone(), etag: Some(tag) })));
        assert_eq!(change("delete", r#"{"file":"a/b.txt"}"#), Ok(Some(Change::Delete { target: target.clone() })));
        assert_eq!(change("conflict", r#"{"file":"a/b.txt"}"#), Ok(Some(Change::Conflict { target })));
        assert_eq!(change("new", "junk"), Ok(None));
        assert!(change("put", r#"{"file":"../x"}"#).is_err());
        assert!(change("put", "{}").is_err());
    }
}
