use folio::{Data, Gap, GapReason, Json};

use super::*;

fn frame(event: &str, id: &str, data: &str) -> Frame {
    Frame { event: event.into(), id: id.into(), data: data.into() }
}

fn entry(id: &str, seq: Seq) -> Frame {
    frame("message", id, &format!(r#"{{"seq":{seq},"ts":5,"data":{{"n":{seq}}}}}"#))
}

fn position(text: &str) -> Position {
    text.parse().unwrap()
}

fn told(id: &str, seq: Seq) -> LogEvent {
    let data = Data::Json(Json::parse(format!(r#"{{"n":{seq}}}"#).as_bytes()).unwrap());
    LogEvent::Entry { entry: folio::Entry { seq, ts: 5, data }, position: position(id) }
}

fn after(cursor: &str) -> Progress {
    Progress::new(Start::After(cursor.parse().unwrap()))
}

fn at(progress: &Progress) -> String {
    progress.cursor.map_or_else(String::new, |cursor| cursor.to_string())
}

#[test]
fn entries_move_the_cursor() {
    let mut progress = after("7-41");
    assert_eq!(progress.take(&entry("7-42", 42)), Ok(Some(told("7-42", 42))));
    assert_eq!(progress.take(&entry("8-43", 43)), Ok(Some(told("8-43", 43))));
    assert_eq!(at(&progress), "8-43");
}

#[test]
fn an_entry_out_of_order_is_an_error() {
    for (id, seq) in [("7-41", 41), ("7-43", 43), ("7-42", 43), ("7-43", 42), ("", 42), ("junk", 42), ("42", 42)] {
        let mut progress = after("7-41");
        assert!(progress.take(&entry(id, seq)).is_err(), "{id} {seq}");
        assert_eq!(at(&progress), "7-41");
    }
    assert!(Progress::new(Start::Now).take(&entry("7-42", 42)).is_err(), "before it is known where now is");
    assert!(after("7-41").take(&frame("message", "7-42", "{}")).is_err());
}

#[test]
fn caught_up_is_told_once_and_states_the_position() {
    let mut now = Progress::new(Start::Now);
    let caught_up = frame("caught-up", "7-41", r#"{"head":"7-41"}"#);
    assert_eq!(now.take(&caught_up), Ok(Some(LogEvent::CaughtUp { head: position("7-41") })));
    assert_eq!(at(&now), "7-41");
    assert_eq!(now.take(&caught_up), Ok(None));

    let mut bare = after("41");
    assert!(bare.take(&caught_up).unwrap().is_some());
    assert_eq!(at(&bare), "7-41", "a bare seq learns its epoch");
    assert!(after("40").take(&caught_up).is_err(), "caught up without having delivered everything");
}

#[test]
fn gaps_move_the_cursor() {
    let mut progress = after("41");
    let gap = frame("gap", "7-57", r#"{"reason":"truncated","requested":"41","lost":16,"resumes_after":57}"#);
    let expected =
        Gap { reason: GapReason::Truncated, requested: Cursor::bare(41), lost: Some(16), resumes_after: position("7-57") };
    assert_eq!(progress.take(&gap), Ok(Some(LogEvent::Gap(expected))));
    assert_eq!(progress.take(&entry("7-58", 58)), Ok(Some(told("7-58", 58))));

    let back = frame("gap", "7-50", r#"{"reason":"epoch","requested":"8-58","resumes_after":50}"#);
    assert!(progress.take(&back).unwrap().is_some());
    assert_eq!(progress.take(&entry("9-51", 51)), Ok(Some(told("9-51", 51))));
}

#[test]
fn a_deleted_log_begins_again() {
    let mut progress = after("7-41");
    assert_eq!(progress.take(&frame("deleted", "7-41", "{}")), Ok(Some(LogEvent::Deleted)));
    assert_eq!(at(&progress), "0-0");
    assert_eq!(progress.take(&entry("8-1", 1)), Ok(Some(told("8-1", 1))));
}

#[test]
fn closed_needs_every_entry() {
    let closed = frame("closed", "7-41-end", r#"{"head":"7-41"}"#);
    assert_eq!(after("7-41").take(&closed), Ok(Some(LogEvent::Closed { head: position("7-41") })));
    assert!(after("7-40").take(&closed).is_err());
}

#[test]
fn unknown_events_are_passed_over() {
    let mut progress = after("7-41");
    assert_eq!(progress.take(&frame("news", "7-99", "junk")), Ok(None));
    assert_eq!(at(&progress), "7-41");
    assert_eq!(progress.take(&frame("position", "7-45", "{}")), Ok(None));
    assert_eq!(at(&progress), "7-45");
}
