//! The one thread that writes and syncs for everybody: what waits at the same time shares one write and one sync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::batch::Lsn;
use super::{Applying, Shared, State, Weight};
use crate::driver::Durability;
use crate::error::{Error, Result};
use crate::fs::vfs::Looks;

/// Bytes of one batch; what waits still goes into the next.
const BATCH: usize = 6 << 20;
/// Bytes that may wait.
const QUEUE: usize = 16 << 20;
/// From a write to its sync, in the mode `interval`.
const DELAY: Duration = Duration::from_millis(200);

/// Something small to commit that is done on the committer's own thread, which saves two changes of threads.
pub(crate) trait Job: Send {
    /// Makes ready what is to be changed, and says what to record of it. `None`: nothing, and the job is over. Must not
    /// commit, and must not take long. `looks` serves all jobs that share a write.
    fn prepare(&mut self, looks: &mut Looks) -> Option<(Vec<u8>, Weight)>;

    /// The last look before what [`Job::prepare`] said is written: no checkpoint begins until then. Another record, of the same
    /// length, takes its place.
    ///
    /// # Errors
    /// It is not recorded, and that is its outcome.
    fn look_again(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Makes the changes, or tells why not.
    fn finish(self: Box<Self>, outcome: Result<Applying>);

    /// It was taken and will not be done: the thread ended before.
    fn lost(self: Box<Self>) {}
}

/// What waits for the committer.
pub(super) enum Request {
    Record(Entry),
    Job(Box<dyn Job>),
}

/// A record that waits to be written.
pub(super) struct Entry {
    record: Vec<u8>,
    weight: Weight,
    then: Then,
}

/// Who goes on once a record is written.
enum Then {
    Answer(Arc<Answer>),
    Job(Box<dyn Job>),
}

/// Where the answer to one request comes.
pub(super) struct Answer {
    outcome: Mutex<Option<Result<Lsn>>>,
    there: Condvar,
}

impl Answer {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { outcome: Mutex::new(None), there: Condvar::new() })
    }

    fn give(&self, outcome: Result<Lsn>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.there.notify_one();
    }

    pub(super) fn wait(&self) -> Result<Lsn> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = outcome.take() {
                return outcome;
            }
            outcome = self.there.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Then {
    fn tell(self, shared: &Arc<Shared>, outcome: &Result<Lsn>) {
        match self {
            Self::Answer(answer) => answer.give(outcome.clone()),
            Self::Job(job) => {
                let outcome = outcome.clone().map(|end| Applying { shared: Arc::clone(shared), end, done: false });
                // Whatever happens in one job, the others go on.
                let _ = catch_unwind(AssertUnwindSafe(|| job.finish(outcome)));
            }
        }
    }
}

impl Entry {
    /// As it is written; or who has to be told why it is not.
    fn looked_at_again(mut self) -> Result<Self, (Then, Error)> {
        let Then::Job(job) = &mut self.then else { return Ok(self) };
        let looked = catch_unwind(AssertUnwindSafe(|| job.look_again()));
        match looked.unwrap_or_else(|_| Err(Error::invalid("the commit ended in a panic"))) {
            Ok(None) => Ok(self),
            Ok(Some(record)) if record.len() == self.record.len() => Ok(Self { record, ..self }),
            // There is room for as much as there was.
            Ok(Some(_)) => Err((self.then, Error::Retry { what: "a commit became longer".into() })),
            Err(error) => Err((self.then, error)),
        }
    }
}

/// From the last look at what is written until it is: no checkpoint begins.
struct Writing<'a>(&'a Shared);

impl<'a> Writing<'a> {
    /// Also where the last checkpoint was.
    fn begin(shared: &'a Shared) -> (Self, Lsn) {
        let mut state = shared.held();
        while state.beginning {
            state = shared.wait_moved(state);
        }
        state.writing = true;
        (Self(shared), state.checkpoint)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.held();
        state.writing = false;
        if state.beginning {
            self.0.moved.notify_all();
        }
    }
}

/// Answers those whose answer never came, where the thread ends in a panic.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    entries: Vec<Entry>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for entry in self.entries.drain(..) {
            let why = "the thread that writes the journal ended".into();
            entry.then.tell(self.shared, &Err(Error::OutcomeUnknown { what: "the journal".into(), why }));
        }
    }
}

impl Shared {
    /// Puts a record into the queue.
    pub(super) fn submit(&self, record: Vec<u8>, weight: Weight, answer: &Arc<Answer>) -> Result<()> {
        let mut state = self.held();
        while state.queued > QUEUE && !state.committer_ended {
            state = self.wait_moved(state);
        }
        if state.committer_ended {
            self.failure.check()?;
            return Err(Error::invalid("the store was closed; open it again"));
        }
        state.queued += record.len();
        self.push(&mut state, Request::Record(Entry { record, weight, then: Then::Answer(Arc::clone(answer)) }));
        Ok(())
    }

    /// Puts a job into the queue. Given back where nobody does it any more.
    pub(super) fn submit_job(&self, job: Box<dyn Job>) -> Option<Box<dyn Job>> {
        let mut state = self.held();
        if state.committer_ended {
            return Some(job);
        }
        self.push(&mut state, Request::Job(job));
        None
    }

    fn push(&self, state: &mut State, request: Request) {
        state.queue.push(request);
        if state.queue.len() == 1 {
            self.work.notify_one();
        }
    }

    /// The committer's work, until the journal is closed. What it calls blocks: it is for a thread of its own.
    pub(super) async fn commits(self: Arc<Self>) {
        let _ended = Ended(&self);
        let mut late: Option<Instant> = None;
        while let Some(waiting) = self.next(late).await {
            let mut looks = Looks::default();
            let entries = waiting.into_iter().filter_map(|request| prepared(request, &mut looks)).collect();
            drop(looks);
            let mut waiting = Waiting { shared: &self, entries };
            while !waiting.entries.is_empty() {
                self.write_batch(take_batch(&mut waiting));
                late = late.or_else(|| (self.options.durability == Durability::Interval).then(|| Instant::now() + DELAY));
            }
            if late.is_some_and(|late| late <= Instant::now()) {
                late = None;
                self.sync_late();
            }
            if !self.held().queue.is_empty() {
                // Those that were answered on this thread may have more, which then shares the next sync.
                tokio::task::yield_now().await;
            }
        }
        if self.options.durability != Durability::Os {
            self.sync_late();
        }
    }

    /// What waits; nothing, where nothing came until then. `None`: the journal is closed.
    async fn next(&self, until: Option<Instant>) -> Option<Vec<Request>> {
        loop {
            {
                let mut state = self.held();
                if !state.queue.is_empty() {
                    if std::mem::take(&mut state.queued) > QUEUE {
                        self.moved.notify_all();
                    }
                    return Some(std::mem::take(&mut state.queue));
                }
                if state.closing {
                    return None;
                }
            }
            match until {
                Some(until) if timeout_at(until, self.work.notified()).await.is_err() => return Some(Default::default()),
                Some(_) => {}
                None => self.work.notified().await,
            }
        }
    }

    /// Syncs what nobody waits for. A failure is told by the next write; after one, another sync would prove nothing.
    fn sync_late(&self) {
        let mut writer = self.writer();
        if self.failure.check().is_ok() && !writer.is_durable() {
            let _ = writer.sync(self);
        }
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, super::Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one batch and tells those who wait for it.
    fn write_batch(self: &Arc<Self>, mut waiting: Waiting<'_>) {
        let mut refused = Vec::new();
        let outcome = self.write_entries(&mut waiting.entries, &mut refused);
        for (then, error) in refused {
            then.tell(self, &Err(error));
        }
        // Who waits on another thread goes on while jobs are done here.
        let (answers, jobs): (Vec<_>, Vec<_>) =
            waiting.entries.drain(..).map(|entry| entry.then).partition(|then| matches!(then, Then::Answer(_)));
        answers.into_iter().chain(jobs).for_each(|then| then.tell(self, &outcome));
    }

    /// Writes the records of all as one batch, but for those that are `refused` in their last look.
    fn write_entries(&self, entries: &mut Vec<Entry>, refused: &mut Vec<(Then, Error)>) -> Result<Lsn> {
        self.failure.check()?;
        let mut writer = self.writer();
        writer.make_room(self, entries.iter().map(|entry| entry.record.as_slice()))?;
        let (_writing, checkpoint) = Writing::begin(self);
        let looked = std::mem::take(entries).into_iter().map(Entry::looked_at_again);
        *entries = looked.filter_map(|entry| entry.map_err(|why| refused.push(why)).ok()).collect();
        if entries.is_empty() {
            return Ok(writer.lsn());
        }
        let records: Vec<Vec<u8>> = entries.iter_mut().map(|entry| std::mem::take(&mut entry.record)).collect();
        let structure = entries.iter().any(|entry| entry.weight == Weight::Structure);
        let end = writer.write(self, &records, checkpoint)?;
        if structure || self.options.durability == Durability::Sync {
            writer.sync(self)?;
        }
        self.written(end, entries.iter().map(|entry| entry.weight));
        Ok(end)
    }

    /// Notes that the changes of a batch are about to be made.
    fn written(&self, end: Lsn, weights: impl Iterator<Item = Weight>) {
        let mut state = self.held();
        state.end = end;
        for weight in weights {
            *state.applying.entry(end).or_default() += 1;
            state.structure |= weight == Weight::Structure;
        }
        if !std::mem::replace(&mut state.unmarked, true) {
            self.due.notify_one();
        }
    }

    /// Everything in the caller's thread, as one batch.
    pub(super) fn commit_inline(&self, records: Vec<(Vec<u8>, Weight)>) -> Result<Lsn> {
        let entry = |(record, weight)| Entry { record, weight, then: Then::Answer(Answer::new()) };
        self.write_entries(&mut records.into_iter().map(entry).collect(), &mut Vec::new())
    }

    /// As [`Shared::commit_inline`], for a job.
    pub(super) fn do_inline(self: &Arc<Self>, job: Box<dyn Job>) {
        let Some(entry) = prepared(Request::Job(job), &mut Looks::default()) else { return };
        self.write_batch(Waiting { shared: self, entries: vec![entry] });
    }

    /// Writes down that everything before `checkpoint` is checkpointed, for the next open. Where more was written
    /// meanwhile, that tells it.
    pub(super) fn mark(&self, checkpoint: Lsn) -> Result<()> {
        let Ok(mut writer) = self.writer.try_lock() else { return Ok(()) };
        if writer.lsn() != checkpoint {
            return Ok(());
        }
        writer.mark(self, checkpoint)?;
        let end = writer.lsn();
        drop(writer);
        let mut state = self.held();
        if state.end == checkpoint {
            (state.end, state.checkpoint) = (end, end);
        }
        Ok(())
    }
}

fn prepared(request: Request, looks: &mut Looks) -> Option<Entry> {
    match request {
        Request::Record(entry) => Some(entry),
        Request::Job(mut job) => {
            let (record, weight) = catch_unwind(AssertUnwindSafe(|| job.prepare(looks))).unwrap_or(None)?;
            Some(Entry { record, weight, then: Then::Job(job) })
        }
    }
}

fn take_batch<'a>(waiting: &mut Waiting<'a>) -> Waiting<'a> {
    let (mut bytes, mut count) = (0, 0);
    for entry in &waiting.entries {
        if count > 0 && bytes + entry.record.len() > BATCH {
            break;
        }
        bytes += entry.record.len();
        count += 1;
    }
    let rest = waiting.entries.split_off(count);
    Waiting { shared: waiting.shared, entries: std::mem::replace(&mut waiting.entries, rest) }
}

/// Whoever waits is told when the thread has ended, also in a panic.
struct Ended<'a>(&'a Arc<Shared>);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.held();
        state.committer_ended = true;
        let left = std::mem::take(&mut state.queue);
        drop(state);
        let entries = left.into_iter().filter_map(|request| match request {
            Request::Record(entry) => Some(entry),
            Request::Job(job) => {
                let _ = catch_unwind(AssertUnwindSafe(|| job.lost()));
                None
            }
        });
        drop(Waiting { shared: self.0, entries: entries.collect() });
        self.0.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::fs::failure::Failure;
    use crate::fs::journal::{Journal, JournalOptions, Pending};
    use crate::fs::spares::Spares;
    use crate::fs::vfs::Dir;

    /// A job that may be the last one to hold the journal.
    struct Last {
        journal: Option<Arc<Journal>>,
        over: mpsc::Sender<()>,
    }

    impl Job for Last {
        fn prepare(&mut self, _: &mut Looks) -> Option<(Vec<u8>, Weight)> {
            Some((Vec::new(), Weight::Data))
        }

        fn finish(mut self: Box<Self>, outcome: Result<Applying>) {
            outcome.unwrap().done(crate::fs::journal::Dirty::default());
            while Arc::strong_count(self.journal.as_ref().unwrap()) > 1 {
                std::thread::yield_now();
            }
            self.journal = None;
            self.over.send(()).unwrap();
        }
    }

    #[test]
    fn a_job_may_be_the_last_to_hold_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(folder.path()).unwrap();
        let pending = Pending::read(&dir, [7; 16]).unwrap();
        let failure = Arc::new(Failure::none(String::new()));
        let (options, spares) = (JournalOptions::default(), Arc::new(Spares::new(dir.clone())));
        let journal = Journal::start(dir.clone(), dir, pending, options, failure, Box::new(|_| Ok(())), spares).unwrap();
        let (over, ended) = mpsc::channel();
        assert!(journal.has_done(Box::new(Last { journal: Some(Arc::clone(&journal)), over })));
        drop(journal);
        ended.recv().expect("a thread does not wait for itself");
    }
}
