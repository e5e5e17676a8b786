//! Short work that may block, done by few threads one piece after the other: while they are busy, no piece costs the waking
//! of a thread of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pace::Pace;

type Piece = Box<dyn FnOnce() + Send>;

/// Threads that share a queue.
#[derive(Debug)]
pub(crate) struct Crew {
    /// Most threads at a time.
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Piece>,
    working: usize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("queue", &self.queue.len()).field("working", &self.working).finish()
    }
}

impl Crew {
    /// Nobody works yet.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default() })
    }

    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `piece` done, whoever waits for it. Must be called on an async runtime.
    pub(crate) fn take(self: &Arc<Self>, piece: impl FnOnce() + Send + 'static) {
        let mut state = self.held();
        state.queue.push_back(Box::new(piece));
        if state.working >= self.most {
            return;
        }
        state.working += 1;
        drop(state);
        let worker = Worker { crew: Arc::clone(self), done: false };
        drop(Pace::here().start(move || drop(worker)));
    }
}

/// One of those that work.
struct Worker {
    crew: Arc<Crew>,
    done: bool,
}

impl Worker {
    /// What is to be done next. Where there is nothing, this one has ended: whoever brings more finds that.
    fn next(&mut self) -> Option<Piece> {
        let mut state = self.crew.held();
        let piece = state.queue.pop_front();
        if piece.is_none() && !std::mem::replace(&mut self.done, true) {
            state.working -= 1;
        }
        piece
    }
}

impl Drop for Worker {
    /// Works; here, so that it is done also where a runtime ends and drops what it was to begin.
    fn drop(&mut self) {
        while let Some(piece) = self.next() {
            // Who waits for it sees that it is gone; the others are done.
            let _ = catch_unwind(AssertUnwindSafe(piece));
        }
    }
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
