//! Appenders and compaction under followers: each gets every later entry once and in order, or a gap that accounts for
//! what is missing.

use std::collections::HashMap;
use std::sync::Arc;

use folio::{AppendLog, AppendOptions, Cursor, Gap, GapReason, LogEvent, Position, ReadOptions, Seq, Start};
use futures_util::future::{join_all, try_join_all};
use tokio::sync::watch;

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{append, appended, log_name};
use crate::units::Unit;
use crate::wait::{next_event, within};

cases! { "race":
    followers_miss_nothing_without_a_gap,
    followers_of_a_log_that_dies_and_lives,
}

const APPENDERS: u64 = 8;
const UNITS: u64 = 25;
const SUBSCRIBERS: usize = 10;
const PAGERS: usize = 3;

/// Author of the unit that is appended last, after which nothing is removed.
const LAST: u64 = 99;

/// What a follower saw, checked for holes as it comes.
struct Trail {
    /// What the next gap must tell as asked for.
    cursor: Cursor,
    start: Seq,
    entries: Vec<(Seq, Unit, u64)>,
    gaps: Vec<Gap>,
}

impl Trail {
    fn from(cursor: Cursor) -> Self {
        Self { cursor, start: cursor.seq, entries: Vec::new(), gaps: Vec::new() }
    }

    /// True once the last entry of all came.
    fn entry(&mut self, entry: &folio::Entry, position: Position) -> Outcome<bool> {
        if entry.seq != self.cursor.seq + 1 || position.seq != entry.seq {
            crate::fail!("the entry {} at {position} came after {}", entry.seq, self.cursor);
        }
        let (unit, place) = Unit::of(entry)?;
        self.entries.push((entry.seq, unit, place));
        self.cursor = position.into();
        Ok(unit.author == LAST)
    }

    fn gap(&mut self, gap: Gap) -> Outcome {
        let lost = gap.resumes_after.seq.checked_sub(self.cursor.seq).filter(|lost| *lost > 0);
        if gap.reason != GapReason::Truncated || gap.requested != self.cursor || lost.is_none() || gap.lost != lost {
            crate::fail!("{gap:?} came after {}", self.cursor);
        }
        self.gaps.push(gap);
        self.cursor = gap.resumes_after.into();
        Ok(())
    }

    /// Against what was appended and removed.
    fn check(&self, truth: &HashMap<Seq, (Unit, u64)>, horizon: Seq, head: Seq) -> Outcome {
        for (seq, unit, place) in &self.entries {
            assert_eq!(truth.get(seq), Some(&(*unit, *place)), "the entry {seq}");
        }
        let lost: u64 = self.gaps.iter().filter_map(|gap| gap.lost).sum();
        assert_eq!(self.entries.len() as u64 + lost, head - self.start, "entries and gaps account for all after the start");
        assert!(self.gaps.iter().all(|gap| gap.resumes_after.seq <= horizon), "{:?} beyond {horizon}", self.gaps);
        Ok(())
    }
}

/// Follows from `cursor` (from now, where there is none), loses its connection now and then, and falls behind.
async fn subscriber(
    log: Arc<dyn AppendLog>,
    cursor: Option<Cursor>,
    mut progress: watch::Receiver<u64>,
    mut random: fastrand::Rng,
) -> Outcome<Trail> {
    let mut trail = cursor.map(Trail::from);
    loop {
        let start = trail.as_ref().map_or(Start::Now, |trail| Start::After(trail.cursor));
        let mut stream = log.subscribe(start).await?;
        let mut caught_up = false;
        for _ in 0..random.usize(1..120) {
            if random.u32(0..10) == 0 {
                fall_behind(&mut progress, random.u64(1..20)).await?;
            }
            match next_event(&mut stream, "the next entry or gap").await? {
                LogEvent::CaughtUp { head } if caught_up => crate::fail!("caught up at {head}, for the second time"),
                LogEvent::CaughtUp { head } => {
                    caught_up = true;
                    let trail = trail.get_or_insert_with(|| Trail::from(head.into()));
                    assert_eq!(trail.cursor.seq, head.seq, "caught up at {head}");
                }
                other => {
                    let Some(trail) = &mut trail else { crate::fail!("{other:?} came before caught up, from now") };
                    match other {
                        LogEvent::Gap(gap) => trail.gap(gap)?,
                        LogEvent::Entry { entry, position } if trail.entry(&entry, position)? => break,
                        LogEvent::Entry { .. } => {}
                        other => crate::fail!("{other:?} came from a log that goes on"),
                    }
                }
            }
        }
        if trail.as_ref().is_some_and(|trail| trail.entries.last().is_some_and(|(_, unit, _)| unit.author == LAST)) {
            return trail.ok_or_else(|| Failure::new("no trail"));
        }
    }
}

/// Waits while others append so many units more, if they still do.
async fn fall_behind(progress: &mut watch::Receiver<u64>, by: u64) -> Outcome {
    let until = (*progress.borrow() + by).min(APPENDERS * UNITS);
    within("more appends", progress.wait_for(|count| *count >= until)).await?.map(|_| ()).map_err(Failure::new)
}

/// Reads page after page, and waits for more.
async fn pager(log: Arc<dyn AppendLog>, mut progress: watch::Receiver<u64>, mut random: fastrand::Rng) -> Outcome<Trail> {
    let mut trail = Trail::from(Cursor::START);
    loop {
        progress.borrow_and_update();
        let options = ReadOptions { since: Some(trail.cursor), limit: random.usize(1..60), ..ReadOptions::default() };
        let page = log.read(options).await?;
        if let Some(gap) = page.gap {
            trail.gap(gap)?;
        }
        for entry in &page.entries {
            // within one life, all positions have the epoch of the head
            if trail.entry(entry, Position { epoch: page.head.epoch, seq: entry.seq })? {
                return Ok(trail);
            }
        }
        if page.entries.is_empty() && page.gap.is_none() {
            within("more to read", progress.changed()).await?.map_err(Failure::new)?;
        }
    }
}

async fn appender(
    log: Arc<dyn AppendLog>,
    author: u64,
    progress: Arc<watch::Sender<u64>>,
    mut random: fastrand::Rng,
) -> Outcome<Vec<(Seq, Unit)>> {
    let mut acknowledged = Vec::new();
    for number in 0..UNITS {
        let unit = Unit { author, number, size: random.u64(1..=9) };
        let done = appended(log.append(unit.entries(), AppendOptions::default()).await?)?;
        assert_eq!(done.last - done.first + 1, unit.size);
        acknowledged.push((done.first, unit));
        progress.send_modify(|count| *count += 1);
    }
    Ok(acknowledged)
}

/// Compacts up to random places until the appenders are done; how many entries it removed.
async fn compactor(log: Arc<dyn AppendLog>, mut progress: watch::Receiver<u64>, mut random: fastrand::Rng) -> Outcome<u64> {
    let mut removed = 0;
    while *progress.borrow_and_update() < APPENDERS * UNITS {
        let status = log.status().await?;
        let up_to = random.u64(status.horizon..=status.head.seq);
        removed += log.truncate(up_to).await?.removed;
        within("the next append", progress.changed()).await?.map_err(Failure::new)?;
    }
    Ok(removed)
}

async fn followers_miss_nothing_without_a_gap(ctx: Ctx) -> Outcome {
    let (log, mut random) = (ctx.history().await?, ctx.random());
    let first = Unit { author: LAST - 1, number: 0, size: 50 };
    let head = append(&log, first.entries()).await?.cursor;
    let (progress, watching) = watch::channel(0);
    let progress = Arc::new(progress);

    let subscribers: Vec<_> = (0..SUBSCRIBERS)
        .map(|n| {
            let seq = random.u64(0..=50);
            let cursor = match n % 3 {
                0 => Some(Cursor::bare(seq)),
                1 => Some(if seq == 0 { Position::START.into() } else { Position { seq, ..head }.into() }),
                _ => None,
            };
            tokio::spawn(subscriber(Arc::clone(&log), cursor, watching.clone(), random.fork()))
        })
        .collect();
    let pagers: Vec<_> = (0..PAGERS).map(|_| tokio::spawn(pager(Arc::clone(&log), watching.clone(), random.fork()))).collect();
    let appenders: Vec<_> = (0..APPENDERS)
        .map(|author| tokio::spawn(appender(Arc::clone(&log), author, Arc::clone(&progress), random.fork())))
        .collect();
    let removing = tokio::spawn(compactor(Arc::clone(&log), watching, random.fork()));

    let mut acknowledged = vec![(1, first)];
    for appended in try_join_all(appenders).await.map_err(Failure::new)? {
        acknowledged.extend(appended?);
    }
    let removed = removing.await.map_err(Failure::new)??;
    let last = Unit { author: LAST, number: 0, size: 1 };
    let head = append(&log, last.entries()).await?.cursor.seq;
    acknowledged.push((head, last));
    progress.send_modify(|count| *count += 1);

    let truth: HashMap<_, _> =
        acknowledged.iter().flat_map(|&(first, unit)| (0..unit.size).map(move |place| (first + place, (unit, place)))).collect();
    let total: u64 = acknowledged.iter().map(|(_, unit)| unit.size).sum();
    assert_eq!((total, truth.len() as u64), (head, head), "units lie side by side from 1 to the head");
    let horizon = log.status().await?.horizon;
    assert_eq!(removed, horizon, "each entry is removed once");
    for joined in join_all(subscribers.into_iter().chain(pagers)).await {
        joined.map_err(Failure::new)??.check(&truth, horizon, head)?;
    }
    Ok(())
}

/// Follows over lives: each from its first entry, in order, and none after a later one.
async fn mourner(log: Arc<dyn AppendLog>) -> Outcome<Vec<Vec<(Position, u64)>>> {
    let mut stream = log.subscribe(Start::After(Cursor::START)).await?;
    let mut lives = vec![Vec::new()];
    loop {
        let Some(life) = lives.last_mut() else { crate::fail!("there is always a life") };
        match next_event(&mut stream, "the next entry, or a death").await? {
            LogEvent::Deleted => lives.push(Vec::new()),
            LogEvent::CaughtUp { .. } => {}
            LogEvent::Entry { entry, position } => {
                let (unit, place) = Unit::of(&entry)?;
                assert_eq!((entry.seq, place), (life.len() as u64 + 1, life.len() as u64), "in the life of {unit:?}");
                life.push((position, unit.number));
                if unit.author == LAST {
                    return Ok(lives);
                }
            }
            other => crate::fail!("{other:?} came from a log that dies and lives"),
        }
    }
}

async fn followers_of_a_log_that_dies_and_lives(ctx: Ctx) -> Outcome {
    let (project, mut random) = (ctx.project().await?, ctx.random());
    let log = project.log(&log_name("runs/1"));
    let followers: Vec<_> = (0..5).map(|_| tokio::spawn(mourner(Arc::clone(&log)))).collect();
    for number in 0..20 {
        append(&log, Unit { author: 0, number, size: random.u64(1..=9) }.entries()).await?;
        log.delete().await?;
    }
    append(&log, Unit { author: LAST, number: 20, size: 1 }.entries()).await?;
    for joined in join_all(followers).await {
        let mut newest = None;
        for life in joined.map_err(Failure::new)?? {
            let Some((position, number)) = life.first() else { continue };
            assert!(life.iter().all(|(other, of)| (other.epoch, of) == (position.epoch, number)), "two lives in one: {life:?}");
            let this = (position.epoch, *number);
            assert!(newest.is_none_or(|newest: (u64, u64)| newest.0 < this.0 && newest.1 < this.1), "{this:?} after {newest:?}");
            newest = Some(this);
        }
        assert_eq!(newest.map(|(_, number)| number), Some(20));
    }
    Ok(())
}
