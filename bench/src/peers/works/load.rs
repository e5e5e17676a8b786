//! Many connections, each with one call under way at a time.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Scene;
use crate::Result;
use crate::peers::histogram::Histogram;
use crate::peers::results::{Figures, Usage};
use crate::peers::servers::Process;
use crate::peers::wire::appender::Appender;
use crate::peers::wire::payload;
use crate::peers::wire::poll::Poll;

/// Threads that send, at most: more than one only where one thread can't keep a server busy.
const THREADS: usize = 2;
/// Connections that one thread keeps busy.
const FEW: usize = 31;

/// A connection that calls and is answered.
pub(crate) trait Caller: Send {
    fn stream(&self) -> &TcpStream;

    /// Sends the next call; the time at which.
    fn send(&mut self) -> Result<u64>;

    /// Reads what came. True where the call is answered, rightly.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool>;
}

impl Caller for Appender {
    fn stream(&self) -> &TcpStream {
        self.stream()
    }

    fn send(&mut self) -> Result<u64> {
        self.send()
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        self.receive(buffer)
    }
}

/// What came of it.
pub(crate) struct Driven<C> {
    pub(crate) figures: Figures,
    /// The connections, in the order in which they were given.
    pub(crate) callers: Vec<C>,
}

/// Keeps all connections busy for the time of the scene, and measures. All calls are answered when it returns.
pub(crate) fn drive<C: Caller>(scene: &Scene, process: &Process, callers: Vec<C>) -> Result<Driven<C>> {
    let threads = if callers.len() <= FEW { 1 } else { THREADS };
    let mut shares: Vec<Vec<C>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, caller) in callers.into_iter().enumerate() {
        shares[number % threads].push(caller);
    }
    let control = Control::default();
    let (usage, finished) = thread::scope(|scope| {
        let running: Vec<_> = shares.into_iter().map(|share| scope.spawn(|| send(share, &control))).collect();
        thread::sleep(scene.warming());
        control.measured.store(true, Ordering::Relaxed);
        let begin = Usage::begin(process, control.count());
        let end = Instant::now() + scene.time();
        // a thread that failed must not be waited for
        while Instant::now() < end && !running.iter().any(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(5));
        }
        let usage = begin.end(process, control.count());
        control.measured.store(false, Ordering::Relaxed);
        control.stop.store(true, Ordering::Relaxed);
        let finished: Result<Vec<_>> =
            running.into_iter().map(|thread| thread.join().map_err(|_| "a thread that sends died")?).collect();
        (usage, finished)
    });
    let mut times = Histogram::default();
    let mut shares = Vec::new();
    for (callers, seen) in finished? {
        times.merge(&seen);
        shares.push(callers.into_iter());
    }
    let mut callers = Vec::new();
    while let Some(caller) = shares.get_mut(callers.len() % threads).and_then(Iterator::next) {
        callers.push(caller);
    }
    Ok(Driven { figures: usage.figures().times(&times), callers })
}

/// What the threads that send are told, and tell.
#[derive(Default)]
struct Control {
    measured: AtomicBool,
    stop: AtomicBool,
    counts: [Count; THREADS],
    next: AtomicU64,
}

/// On a cache line of its own: every thread counts often.
#[repr(align(128))]
#[derive(Default)]
struct Count(AtomicU64);

impl Control {
    fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.0.load(Ordering::Relaxed)).sum()
    }
}

/// Keeps one call under way on every connection until it is told to stop, and all are answered.
fn send<C: Caller>(mut callers: Vec<C>, control: &Control) -> Result<(Vec<C>, Histogram)> {
    let (mut poll, mut times, mut sent) = (Poll::new()?, Histogram::default(), Vec::new());
    let count = usize::try_from(control.next.fetch_add(1, Ordering::Relaxed))?;
    let count = &control.counts.get(count).ok_or("too many threads")?.0;
    let (mut ready, mut buffer, mut under_way) = (Vec::new(), vec![0; 16 << 10], callers.len());
    for (number, caller) in callers.iter_mut().enumerate() {
        poll.add(caller.stream(), number)?;
        sent.push(caller.send()?);
    }
    let patience = Duration::from_secs(20);
    while under_way > 0 {
        poll.wait(patience, &mut ready)?;
        if ready.is_empty() {
            return Err(format!("{under_way} calls were not answered for {patience:?}").into());
        }
        for &number in &ready {
            let caller = &mut callers[number];
            if !caller.receive(&mut buffer)? {
                continue;
            }
            if control.measured.load(Ordering::Relaxed) {
                times.record(payload::now() - sent[number]);
            }
            count.fetch_add(1, Ordering::Relaxed);
            if control.stop.load(Ordering::Relaxed) {
                under_way -= 1;
            } else {
                sent[number] = caller.send()?;
            }
        }
    }
    Ok((callers, times))
}
