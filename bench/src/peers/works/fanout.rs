//! One log, many readers: every reader gets every entry as an event.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Subject::Server;
use super::{Scene, Subject, Work};
use crate::Result;
use crate::peers::histogram::Histogram;
use crate::peers::results::{Figures, Metric, Usage};
use crate::peers::servers::Kind;
use crate::peers::wire::appender::Appender;
use crate::peers::wire::poll::Poll;
use crate::peers::wire::sse::Reader;

/// Who has event streams.
pub(super) const READABLE: [Subject; 3] = [Server(Kind::Folio), Server(Kind::DurableStreams), Server(Kind::Nginx)];

/// How fast entries are appended.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// As fast as they are acknowledged.
    Acknowledged,
    /// So many a second.
    PerSecond(u32),
}

pub(super) fn works() -> Vec<Work> {
    vec![
        work("fanout-burst", "1,000 readers, as fast as acknowledged", 1_000, Pace::Acknowledged),
        work("fanout-1000", "1,000 readers, 100 entries a second", 1_000, Pace::PerSecond(100)),
        work("fanout-5000", "5,000 readers, 10 entries a second", 5_000, Pace::PerSecond(10)),
    ]
}

fn work(id: &'static str, title: &'static str, readers: usize, pace: Pace) -> Work {
    Work::new(id, title, "delivery", &READABLE, move |scene, subject| match subject {
        Server(kind) => measure(scene, kind, readers, pace),
        Subject::Raw => Err("the machine alone has no readers".into()),
    })
}

/// How long readers may get nothing while entries are missing.
const PATIENCE: Duration = Duration::from_secs(20);

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn measure(scene: &Scene, kind: Kind, count: usize, pace: Pace) -> Result<Figures> {
    let mut server = scene.start(kind)?;
    server.make_logs(1)?;
    let mut crowd = Crowd::gather(server.process().port(), &server.follow(0)?, count)?;
    let mut appender = server.appender(0, 0)?;
    let time = scene.time() * if matches!(pace, Pace::Acknowledged) { 1 } else { 2 };
    let (appended, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let begin = Usage::begin(server.process(), 0);
    let (usage, times) = thread::scope(|scope| {
        let appending = scope.spawn(|| {
            let done = append(&mut appender, pace, time, &appended);
            over.store(true, Ordering::Release);
            done
        });
        let times = crowd.read(|| over.load(Ordering::Acquire).then(|| appended.load(Ordering::Acquire)));
        let entries = appended.load(Ordering::Acquire);
        let usage = begin.end(server.process(), entries * count as u64);
        appending.join().map_err(|_| "the thread that appends died")??;
        Result::Ok((usage, times?))
    })?;
    drop(crowd);
    server.process_mut().stop()?;
    let figures = usage.figures().times(&times);
    Ok(match pace {
        Pace::Acknowledged => figures,
        Pace::PerSecond(rate) => {
            let wanted = time.as_secs_f64() * f64::from(rate);
            figures.set(Metric::Pace, (appended.load(Ordering::Acquire) as f64 / wanted * 100.0).min(100.0))
        }
    })
}

/// Appends for a while; `appended` counts.
fn append(appender: &mut Appender, pace: Pace, time: Duration, appended: &AtomicU64) -> Result<()> {
    let (begin, mut buffer) = (Instant::now(), vec![0; 16 << 10]);
    let end = begin + time;
    let mut next = begin;
    while Instant::now() < end {
        appender.append(&mut buffer)?;
        appended.fetch_add(1, Ordering::Release);
        if let Pace::PerSecond(rate) = pace {
            next += Duration::from_secs(1) / rate;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
    Ok(())
}

/// Many readers, on one thread.
pub(super) struct Crowd {
    readers: Vec<Reader>,
    poll: Poll,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Connects so many readers; all of them were granted their stream then, and what they get at first has come.
    pub(super) fn gather(port: u16, request: &[u8], count: usize) -> Result<Self> {
        let mut crowd = Self { readers: Vec::with_capacity(count), poll: Poll::new()?, buffer: vec![0; 256 << 10] };
        let (mut ready, mut open, mut heard) = (Vec::new(), 0, Instant::now());
        let mut times = Histogram::default();
        loop {
            // more at a time would overflow the queue of those that wait to be accepted, and be dropped for a second
            while crowd.readers.len() < count && crowd.readers.len() - open < 64 {
                let reader = Reader::new(port, request)?;
                crowd.poll.add(reader.stream(), crowd.readers.len())?;
                crowd.readers.push(reader);
            }
            crowd.poll.wait(Duration::from_millis(300), &mut ready)?;
            for &number in &ready {
                let reader = &mut crowd.readers[number];
                let before = reader.is_open();
                reader.receive(&mut crowd.buffer, &mut times)?;
                open += usize::from(reader.is_open() && !before);
            }
            if !ready.is_empty() {
                heard = Instant::now();
            } else if open == count {
                return Ok(crowd);
            } else if heard.elapsed() > PATIENCE {
                return Err(format!("{open} of {count} readers got a stream").into());
            }
        }
    }

    /// Reads until every reader got as many entries as `wanted` says, once it says so. The time of each delivery.
    pub(super) fn read(&mut self, wanted: impl Fn() -> Option<u64>) -> Result<Histogram> {
        let (mut times, mut ready, mut heard) = (Histogram::default(), Vec::new(), Instant::now());
        loop {
            self.poll.wait(Duration::from_millis(5), &mut ready)?;
            for &number in &ready {
                self.readers[number].receive(&mut self.buffer, &mut times)?;
            }
            let Some(wanted) = wanted() else { continue };
            if self.readers.iter().all(|reader| reader.entries() >= wanted) {
                break;
            }
            if !ready.is_empty() {
                heard = Instant::now();
            } else if heard.elapsed() > PATIENCE {
                let (least, most) =
                    self.readers.iter().map(Reader::entries).fold((u64::MAX, 0), |(a, b), n| (a.min(n), b.max(n)));
                return Err(format!("{wanted} entries were acknowledged, readers got {least} to {most}").into());
            }
        }
        let wanted = wanted().unwrap_or_default();
        if let Some(reader) = self.readers.iter().find(|reader| reader.entries() != wanted || !reader.between_frames()) {
            return Err(format!("{wanted} entries were acknowledged, a reader got {} and more", reader.entries()).into());
        }
        Ok(times)
    }
}
