//! A whole log, from its first entry, by one reader.

use std::time::{Duration, Instant};

use super::Subject::Server;
use super::{Scene, Subject, Work};
use crate::Result;
use crate::peers::histogram::Histogram;
use crate::peers::results::{Figures, Metric, Usage};
use crate::peers::servers::{self, Kind};
use crate::peers::wire::payload::{self, Tally};
use crate::peers::wire::sse::Reader;

/// Entries of one append.
const BATCH: u64 = 1_000;

pub(super) fn works() -> Vec<Work> {
    let (folio, streams, nginx) = (Server(Kind::Folio), Server(Kind::DurableStreams), Server(Kind::Nginx));
    vec![
        work("replay-events", "replay of 1,000,000 entries of 157 bytes as an event stream", &[folio, streams], events),
        work(
            "replay-lines",
            "replay of 1,000,000 entries of 157 bytes as lines, arrays or a file",
            &[folio, streams, nginx],
            lines,
        ),
    ]
}

type Replay = fn(&Scene, &dyn servers::Server, u64) -> Result<Figures>;

fn work(id: &'static str, title: &'static str, subjects: &[Subject], replay: Replay) -> Work {
    Work::new(id, title, "entry", subjects, move |scene, subject| {
        let Server(kind) = subject else { return Err("the machine alone has no logs".into()) };
        let entries = if scene.quick { 200_000 } else { 1_000_000 };
        let mut server = scene.start(kind)?;
        server.make_logs(1)?;
        for from in (0..entries).step_by(usize::try_from(BATCH)?) {
            let batch: Vec<_> = (from..from + BATCH).map(payload::short).collect();
            server.append_many(0, &batch.iter().map(<[u8; payload::SHORT]>::as_slice).collect::<Vec<_>>())?;
        }
        let figures = replay(scene, &*server, entries)?;
        server.process_mut().stop()?;
        Ok(figures)
    })
}

/// As often as there is time, each checked as it comes.
fn events(scene: &Scene, server: &dyn servers::Server, entries: u64) -> Result<Figures> {
    let (request, port, mut buffer) = (server.follow(0)?, server.process().port(), vec![0; 1 << 20]);
    let begin = Usage::begin(server.process(), 0);
    let (at, mut count) = (Instant::now(), 0);
    while count == 0 || at.elapsed() < scene.time() {
        let mut times = Histogram::default();
        let mut reader = Reader::new(port, &request)?;
        reader.stream().set_read_timeout(Some(Duration::from_secs(20)))?;
        while reader.entries() < entries {
            reader.receive(&mut buffer, &mut times)?;
        }
        count += entries;
    }
    Ok(begin.end(server.process(), count).figures())
}

/// Once with every entry checked; then as often as there is time, where the same number of bytes must come.
fn lines(scene: &Scene, server: &dyn servers::Server, entries: u64) -> Result<Figures> {
    let mut tally = Tally::new(1);
    server.read_back(0, &mut tally)?;
    tally.check(&[entries])?;
    let length = length(server)?;
    let begin = Usage::begin(server.process(), 0);
    let (at, mut rounds) = (Instant::now(), 0);
    while rounds == 0 || at.elapsed() < scene.time() {
        if self::length(server)? != length {
            return Err("a log that nobody writes to has another length".into());
        }
        rounds += 1;
    }
    let usage = begin.end(server.process(), rounds * entries);
    let bytes = length * rounds;
    Ok(usage.figures().set(Metric::Megabytes, super::megabytes(bytes, usage.time())))
}

fn length(server: &dyn servers::Server) -> Result<u64> {
    let mut length = 0;
    server.catch_up(0, &mut |piece| {
        length += piece.len() as u64;
        Ok(())
    })?;
    Ok(length)
}
