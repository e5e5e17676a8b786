//! Short work that may block, done by few threads one piece after the other: while they are busy, no piece costs the waking
//! of a thread, and for a while after that they wait for more.
//!
//! One thread does it all as long as it keeps up: threads that wake each other up cost more than the work, where there are few
//! processors and others need them, too. The next one comes when a piece was left lying.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::pace::Pace;

/// How long a thread waits for more before it ends.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a piece may lie before another thread is called.
const LATE: Duration = Duration::from_millis(3);

type Piece = Box<dyn FnOnce() + Send>;

/// Threads that share a queue.
#[derive(Debug)]
pub(crate) struct Crew {
    /// Most threads at a time.
    most: usize,
    state: Mutex<State>,
    called: Condvar,
}

#[derive(Default)]
struct State {
    /// Each with when it came.
    queue: VecDeque<(Instant, Piece)>,
    /// Threads that there are.
    working: usize,
    /// Those of them that wait.
    waiting: usize,
    /// Those of them that are to stop waiting and have not yet.
    calls: usize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { queue, working, waiting, calls: _ } = self;
        f.debug_struct("State").field("queue", &queue.len()).field("working", working).field("waiting", waiting).finish()
    }
}

impl Crew {
    /// Nobody works yet.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default(), called: Condvar::new() })
    }

    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `piece` done, whoever waits for it. Must be called on an async runtime.
    pub(crate) fn take(self: &Arc<Self>, piece: impl FnOnce() + Send + 'static) {
        let now = Instant::now();
        let mut state = self.held();
        let kept_up = state.queue.front().is_none_or(|(came, _)| now.duration_since(*came) < LATE);
        state.queue.push_back((now, Box::new(piece)));
        // One is at work, or will be.
        if !kept_up || state.working == state.waiting - state.calls {
            self.call(state);
        }
    }

    /// Waits for what a piece answers. While that lies behind others that take long, more threads are called.
    pub(crate) async fn wait<T>(self: &Arc<Self>, mut answered: impl Future<Output = T> + Unpin) -> T {
        let mut patience = LATE;
        loop {
            if let Ok(answer) = timeout(patience, &mut answered).await {
                return answer;
            }
            self.hurry();
            patience *= 2;
        }
    }

    /// Calls another thread where pieces were left lying. Must be called on an async runtime.
    fn hurry(self: &Arc<Self>) {
        let state = self.held();
        if state.queue.front().is_some_and(|(came, _)| came.elapsed() >= LATE) {
            self.call(state);
        }
    }

    /// One more works, if there may be one more.
    fn call(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.waiting > state.calls {
            state.calls += 1;
            drop(state);
            self.called.notify_one();
            return;
        }
        if state.working >= self.most {
            return;
        }
        state.working += 1;
        drop(state);
        let worker = Worker { crew: Arc::clone(self), done: false };
        match Pace::here() {
            // Where the system has no room for another thread, this one does it.
            Pace::Thread => drop(thread::Builder::new().name("folio-crew".into()).spawn(move || worker.stay())),
            #[cfg(test)]
            pace @ Pace::Inline => drop(pace.start(move || drop(worker))),
        }
    }
}

/// One of those that work.
struct Worker {
    crew: Arc<Crew>,
    done: bool,
}

impl Worker {
    /// Works until there was nothing to do for a while.
    fn stay(self) {
        loop {
            let mut state = self.crew.held();
            if let Some((_, piece)) = state.queue.pop_front() {
                drop(state);
                carry_out(piece);
                continue;
            }
            state.waiting += 1;
            let uncalled = |state: &mut State| state.calls == 0;
            let (mut state, _) =
                self.crew.called.wait_timeout_while(state, PATIENCE, uncalled).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
            if state.calls == 0 {
                return;
            }
            state.calls -= 1;
        }
    }

    /// What is to be done next. Where there is nothing, this one has ended: whoever brings more finds that.
    fn next(&mut self) -> Option<Piece> {
        let mut state = self.crew.held();
        let piece = state.queue.pop_front().map(|(_, piece)| piece);
        if piece.is_none() && !std::mem::replace(&mut self.done, true) {
            state.working -= 1;
        }
        piece
    }
}

impl Drop for Worker {
    /// What came meanwhile is done.
    fn drop(&mut self) {
        while let Some(piece) = self.next() {
            carry_out(piece);
        }
    }
}

/// Who waits for a piece that panics sees that it is gone; the others are done.
fn carry_out(piece: Piece) {
    let _ = catch_unwind(AssertUnwindSafe(piece));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn every_piece_is_done_by_at_most_so_many_at_a_time_whatever_becomes_of_one() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let crew = Crew::new(3);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, all) = mpsc::channel();
        for n in 0..2_000 {
            let (crew, now, most, done) = (Arc::clone(&crew), Arc::clone(&now), Arc::clone(&most), done.clone());
            runtime.spawn(async move {
                crew.take(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    done.send(n).unwrap();
                    assert!(n % 100 != 0, "one that panics");
                });
            });
        }
        drop(done);
        let mut got: Vec<i32> = all.iter().collect();
        got.sort_unstable();
        assert_eq!(got, (0..2_000).collect::<Vec<_>>());
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn one_that_does_not_end_does_not_hold_up_who_brings_more() {
        let crew = Crew::new(2);
        let (end, ended) = mpsc::channel::<()>();
        let (done, all) = mpsc::channel();
        crew.take(move || {
            let _ = ended.recv();
        });
        for n in 0.. {
            let done = done.clone();
            crew.take(move || {
                let _ = done.send(n);
            });
            if let Ok(first) = all.try_recv() {
                assert_eq!(first, 0);
                break;
            }
            std::thread::yield_now();
        }
        drop(end);
    }

    #[tokio::test]
    async fn one_that_does_not_end_does_not_hold_up_who_waits() {
        let crew = Crew::new(2);
        let (end, ended) = mpsc::channel::<()>();
        crew.take(move || {
            let _ = ended.recv();
        });
        let (answer, answered) = tokio::sync::oneshot::channel();
        crew.take(move || answer.send(7).unwrap());
        let in_time = timeout(Duration::from_secs(30), crew.wait(answered)).await;
        drop(end);
        assert_eq!(in_time.unwrap(), Ok(7));
    }

    #[test]
    fn threads_wait_for_more_and_are_called() {
        let crew = Crew::new(4);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _on = runtime.enter();
        let (done, all) = mpsc::channel();
        for _ in 0..5_000 {
            let done = done.clone();
            crew.take(move || done.send(std::thread::current().id()).unwrap());
            // Now it waits for more, or is about to.
            all.recv().unwrap();
        }
        let state = crew.held();
        assert!((1..=4).contains(&state.working) && state.calls <= state.waiting, "{state:?}");
    }

    #[test]
    fn a_runtime_that_ends_leaves_nothing_undone() {
        let crew = Crew::new(1);
        let (done, all) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for n in 0..100 {
                let done = done.clone();
                crew.take(move || done.send(n).unwrap());
            }
        });
        runtime.shutdown_background();
        let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
        other.block_on(async { crew.take(move || done.send(100).unwrap()) });
        assert_eq!(all.iter().count(), 101);
    }
}
