//! The logs of a project against the reference, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;
use folio::{
    AppendLog, AppendOptions, AppendOutcome, Clock, Cursor, Data, LogName, Position, Project, ProjectExt, ReadOptions, Seq,
    Start, Truncated,
};

use super::Trail;
use super::choice::{self, one_in};
use super::follower::Follower;
use super::reference::{Life, Lives};
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::harness::Need;
use crate::make::{entry, log_name, refused};

/// Most logs of a sequence, and most followers at a time.
const LOGS: usize = 6;
const FOLLOWERS: usize = 5;

/// A project with its logs, what they should be, and who follows them.
pub(super) struct Logs {
    ctx: Ctx,
    project: Arc<dyn Project>,
    random: Rng,
    trail: Trail,
    names: Vec<LogName>,
    lives: BTreeMap<LogName, Lives>,
    /// Living forks of each log.
    forks: BTreeMap<LogName, BTreeSet<LogName>>,
    followers: Vec<(LogName, Follower)>,
    keys: u32,
}

impl Logs {
    pub(super) async fn new(ctx: &Ctx, random: Rng, trail: Trail) -> Outcome<Self> {
        let names = vec![LogName::history(), log_name("runs/1"), log_name("runs/2")];
        let mut lives: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), Lives::default())).collect();
        lives.entry(LogName::history()).or_default().present_or_new();
        Ok(Self {
            ctx: ctx.clone(),
            project: ctx.project().await?,
            random,
            trail,
            names,
            lives,
            forks: BTreeMap::new(),
            followers: Vec::new(),
            keys: 0,
        })
    }

    /// Does one random thing and compares.
    pub(super) async fn step(&mut self) -> Outcome {
        let name = self.random.choice(&self.names).cloned().unwrap_or_else(LogName::history);
        self.trail.begin(format!("{name:?}"));
        match self.random.u32(0..100) {
            0..30 => self.append(&name).await,
            30..40 => self.retry(&name).await,
            40..60 => self.read(&name).await,
            60..66 => self.truncate(&name).await,
            66..76 => self.subscribe(&name).await,
            76..86 => self.drain_one().await,
            86..90 => self.status(&name).await,
            90 => self.close(&name).await,
            91..94 => self.delete(&name).await,
            94..97 => self.fork(&name).await,
            97 => self.reopen().await,
            98 => self.set_the_clock(),
            _ => self.list().await,
        }
    }

    /// Every follower gets everything, and nothing comes after it.
    pub(super) async fn finish(&mut self) -> Outcome {
        for name in self.names.clone() {
            if self.lives(&name).present().is_some_and(|life| !life.closed) {
                let outcome = self.log(&name).append(entry(r#""the last entry""#), AppendOptions::default()).await?;
                self.landed(&name, entry(r#""the last entry""#), outcome)?;
            }
            self.whole(&name).await?;
        }
        while let Some((name, mut follower)) = self.followers.pop() {
            follower.drain(self.lives_mut(&name)).await.map_err(|failure| failure.within(format!("a follower of {name:?}")))?;
        }
        Ok(())
    }

    fn log(&self, name: &LogName) -> Arc<dyn AppendLog> {
        self.project.log(name)
    }

    fn lives(&self, name: &LogName) -> &Lives {
        static NONE: Lives = Lives { all: Vec::new(), is_present: false };
        self.lives.get(name).unwrap_or(&NONE)
    }

    fn lives_mut(&mut self, name: &LogName) -> &mut Lives {
        self.lives.entry(name.clone()).or_default()
    }

    /// The refusal that every call on a log that isn't there gets.
    fn refusal(&self, name: &LogName) -> Option<&'static str> {
        if self.lives(name).is_present {
            return None;
        }
        Some(if self.forks.get(name).is_some_and(|forks| !forks.is_empty()) { "gone" } else { "no_log" })
    }

    async fn append(&mut self, name: &LogName) -> Outcome {
        let entries = choice::payloads(&mut self.random, 6);
        let empty = Life::default();
        let life = self.lives(name).present().unwrap_or(&empty);
        let (head, closed) = (life.position(life.head()), life.closed);
        let mut options = AppendOptions { close: one_in(&mut self.random, 60), ..AppendOptions::default() };
        if one_in(&mut self.random, 3) {
            self.keys += 1;
            options.idempotency_key = Some(format!("k{}", self.keys));
        }
        if one_in(&mut self.random, 3) {
            options.expected_head = Some(match self.random.u32(0..6) {
                0 => Position { epoch: head.epoch + 1, ..head }.into(),
                1 => Position { epoch: head.epoch.saturating_sub(1), ..head }.into(),
                2 => choice::cursor(&mut self.random, self.lives.get(name).unwrap_or(&Lives::default())),
                3 => Cursor::bare(head.seq),
                _ => head.into(),
            });
        }
        self.trail.say(format!("append {} {options:?}", entries.len()));
        let outcome = self.log(name).append(entries.clone(), options.clone()).await;
        if self.refusal(name) == Some("gone") {
            refused(outcome, "gone")?;
            return Ok(());
        }
        let nothing = entries.is_empty() && !options.close;
        if closed && !nothing {
            refused(outcome, "closed")?;
            return Ok(());
        }
        let met = options
            .expected_head
            .is_none_or(|expected| expected.seq == head.seq && expected.epoch.is_none_or(|epoch| epoch == head.epoch));
        if !met && !nothing {
            assert_eq!(outcome?, AppendOutcome::Precondition { head });
            return Ok(());
        }
        if nothing {
            let AppendOutcome::Appended(done) = outcome? else { crate::fail!("an append of nothing was refused") };
            assert_eq!((done.first, done.last, done.cursor, done.replayed), (head.seq + 1, head.seq, head, false));
            return Ok(());
        }
        self.landed(name, entries.clone(), outcome?)?;
        let life = self.lives_mut(name).present_or_new();
        life.closed = options.close;
        if let Some(key) = options.idempotency_key {
            let last = life.head();
            // a retry has to be the same request, and this model retries without closing
            if !options.close {
                life.keys.insert(key, (entries, head.seq, last));
            }
        }
        self.learn(name).await
    }

    /// Puts what was acknowledged into the reference, and compares where it landed.
    fn landed(&mut self, name: &LogName, entries: Vec<Data>, outcome: AppendOutcome) -> Outcome {
        let AppendOutcome::Appended(done) = outcome else { crate::fail!("{outcome:?} instead of an append") };
        let newest = self.lives(name).newest_epoch();
        let life = self.lives_mut(name).present_or_new();
        let (head, count) = (life.head(), entries.len() as Seq);
        let begins = life.epoch().is_none();
        if count > 0 {
            life.append(entries, done.cursor.epoch);
        }
        assert_eq!((done.first, done.last, done.replayed), (head + 1, head + count, false));
        assert_eq!(done.cursor, life.position(done.last));
        if begins && count > 0 && done.cursor.epoch <= newest {
            crate::fail!("the life that begins at {} does not lie above the epoch {newest} before", done.cursor);
        }
        Ok(())
    }

    async fn retry(&mut self, name: &LogName) -> Outcome {
        let Some(life) = self.lives(name).present() else { return Ok(()) };
        let with_cursor = |(key, (entries, before, last)): (&String, &(Vec<Data>, Seq, Seq))| {
            (*before, key.clone(), entries.clone(), life.position(*last))
        };
        let mut known: Vec<_> = life.keys.iter().map(with_cursor).collect();
        known.sort_by_key(|(before, ..)| *before);
        let Some((before, key, entries, cursor)) = self.random.choice(known) else { return Ok(()) };
        self.trail.say(format!("retry {key}"));
        let expected_head = one_in(&mut self.random, 2)
            .then(|| choice::cursor(&mut self.random, self.lives.get(name).unwrap_or(&Lives::default())));
        let options = AppendOptions { idempotency_key: Some(key), expected_head, close: false };
        if one_in(&mut self.random, 3) {
            let other = [entries, entry("0")].concat();
            refused(self.log(name).append(other, options).await, "key_reused")?;
            return Ok(());
        }
        let AppendOutcome::Appended(done) = self.log(name).append(entries, options).await? else {
            crate::fail!("a retry was refused for its expected head")
        };
        assert_eq!((done.first, done.last, done.cursor, done.replayed), (before + 1, cursor.seq, cursor, true));
        Ok(())
    }

    async fn read(&mut self, name: &LogName) -> Outcome {
        let options = choice::read(&mut self.random, self.lives.get(name).unwrap_or(&Lives::default()));
        self.trail.say(format!("read {options:?}"));
        self.compare(name, options).await
    }

    async fn whole(&mut self, name: &LogName) -> Outcome {
        self.compare(name, ReadOptions { limit: 10_000, ..ReadOptions::default() }).await
    }

    async fn compare(&mut self, name: &LogName, options: ReadOptions) -> Outcome {
        let page = self.log(name).read(options.clone()).await;
        if let Some(code) = self.refusal(name) {
            refused(page, code)?;
            return Ok(());
        }
        let page = page?;
        let Some(life) = self.lives_mut(name).present_mut() else { return Ok(()) };
        life.learn(&page.lineage)?;
        let expected = life.page(&options);
        let got = super::reference::Expected {
            entries: page.entries.iter().map(|entry| (entry.seq, entry.data.clone())).collect(),
            gap: page.gap,
            first: page.first,
            head: page.head,
            next: page.next,
            next_before: page.next_before,
        };
        assert_eq!(got, expected, "{name:?} read with {options:?}");
        match page.entries.iter().find(|entry| !life.tell_time(entry.seq, entry.ts)) {
            Some(entry) => Err(Failure::new(format!("the time of {entry:?} does not fit what was told before"))),
            None => Ok(()),
        }
    }

    async fn truncate(&mut self, name: &LogName) -> Outcome {
        let head = self.lives(name).present().map_or(0, Life::head);
        let up_to = if one_in(&mut self.random, 5) { head } else { self.random.u64(0..=head + 2) };
        self.trail.say(format!("truncate {up_to}"));
        let outcome = self.log(name).truncate(up_to).await;
        if let Some(code) = self.refusal(name) {
            refused(outcome, code)?;
            return Ok(());
        }
        let Some(life) = self.lives_mut(name).present_mut() else { return Ok(()) };
        let horizon = life.horizon.max(up_to.min(head));
        assert_eq!(outcome?, Truncated { removed: horizon - life.horizon, horizon });
        life.horizon = horizon;
        self.learn(name).await
    }

    async fn status(&mut self, name: &LogName) -> Outcome {
        self.trail.say("status");
        let status = self.log(name).status().await;
        if let Some(code) = self.refusal(name) {
            refused(status, code)?;
            return Ok(());
        }
        let (status, Some(life)) = (status?, self.lives_mut(name).present_mut()) else { return Ok(()) };
        assert_eq!((status.head, status.horizon, status.closed), (life.position(life.head()), life.horizon, life.closed));
        life.learn(&status.lineage)
    }

    async fn close(&mut self, name: &LogName) -> Outcome {
        self.trail.say("close");
        let outcome = self.log(name).close().await;
        if let Some(code) = self.refusal(name) {
            refused(outcome, code)?;
            return Ok(());
        }
        let Some(life) = self.lives_mut(name).present_mut() else { return Ok(()) };
        assert_eq!(outcome?, life.position(life.head()));
        life.closed = true;
        self.learn(name).await
    }

    /// Lets the reference learn from the log what only the log can know of its pieces.
    async fn learn(&mut self, name: &LogName) -> Outcome {
        if self.lives(name).is_present {
            let lineage = self.log(name).status().await?.lineage;
            if let Some(life) = self.lives_mut(name).present_mut() {
                life.learn(&lineage)?;
            }
        }
        Ok(())
    }

    async fn delete(&mut self, name: &LogName) -> Outcome {
        self.trail.say("delete");
        if name.is_history() {
            refused(self.log(name).delete().await, "invalid")?;
            return Ok(());
        }
        self.log(name).delete().await?;
        self.lives_mut(name).is_present = false;
        for forks in self.forks.values_mut() {
            forks.remove(name);
        }
        Ok(())
    }

    async fn fork(&mut self, name: &LogName) -> Outcome {
        let head = self.lives(name).present().map_or(0, Life::head);
        let at = self.random.u64(0..=head + 1);
        let fresh = self.names.len() < LOGS && !one_in(&mut self.random, 4);
        let target = match self.random.choice(&self.names) {
            Some(taken) if !fresh => taken.clone(),
            _ => log_name(&format!("forks/{}", self.names.len())),
        };
        self.trail.say(format!("fork at {at} to {target:?}"));
        // a name that had another life would make the followers' choice of a life ambiguous
        if !fresh && self.refusal(&target) == Some("no_log") {
            return Ok(());
        }
        let outcome = self.log(name).fork(at, &target).await;
        if let Some(code) = self.refusal(name) {
            refused(outcome, code)?;
            return Ok(());
        }
        let horizon = self.lives(name).present().map_or(0, |life| life.horizon);
        let outside = at < horizon || at > head;
        if !fresh {
            // which of two refusals comes first is not said
            let code = outcome.as_ref().err().map_or("none", folio::Error::code);
            if code != "exists" && !(outside && code == "invalid") {
                crate::fail!("forked to {target:?}, which is taken: {outcome:?}");
            }
            return Ok(());
        }
        if outside {
            refused(outcome, "invalid")?;
            return Ok(());
        }
        outcome?;
        let epoch = self.log(&target).status().await?.lineage.last().map_or(0, |piece| piece.epoch);
        let Some(source) = self.lives(name).present() else { return Ok(()) };
        let above = source.epoch().unwrap_or(0);
        if epoch <= above {
            crate::fail!("the epoch {epoch} of the fork does not lie above {above} of its source");
        }
        let life = source.fork(at, epoch);
        self.names.push(target.clone());
        *self.lives_mut(&target) = Lives { all: vec![life], is_present: true };
        self.forks.entry(name.clone()).or_default().insert(target.clone());
        self.whole(&target).await
    }

    /// Forwards or backwards; neither times nor epochs may fall.
    fn set_the_clock(&mut self) -> Outcome {
        if self.ctx.has(Need::Clock) {
            let clock = self.ctx.clock()?;
            let now = clock.now_ms().saturating_add(self.random.u64(0..2_000_000)).saturating_sub(1_000_000);
            self.trail.say(format!("the clock stands at {now}"));
            clock.set(now);
        }
        Ok(())
    }

    async fn list(&mut self) -> Outcome {
        self.trail.say("list");
        let mut expected: Vec<_> =
            self.lives.iter().filter(|(_, lives)| lives.is_present).map(|(name, _)| name.clone()).collect();
        expected.sort_by_key(LogName::encoded);
        assert_eq!(self.project.list_logs(None, 100).await?.logs, expected);
        assert_eq!(
            self.project.history().status().await?.closed,
            self.lives(&LogName::history()).all.iter().any(|life| life.closed)
        );
        Ok(())
    }

    async fn subscribe(&mut self, name: &LogName) -> Outcome {
        if self.followers.len() == FOLLOWERS {
            self.drain_one().await?;
            // and loses its connection
            let at = self.random.usize(0..FOLLOWERS);
            if at < self.followers.len() {
                self.followers.swap_remove(at);
            }
        }
        let start = if one_in(&mut self.random, 4) {
            Start::Now
        } else {
            Start::After(choice::cursor(&mut self.random, self.lives.get(name).unwrap_or(&Lives::default())))
        };
        self.trail.say(format!("subscribe {start:?}"));
        self.learn(name).await?;
        let follower = Follower::new(&*self.log(name), start, self.lives(name)).await?;
        self.followers.push((name.clone(), follower));
        Ok(())
    }

    async fn drain_one(&mut self) -> Outcome {
        if self.followers.is_empty() {
            return Ok(());
        }
        let at = self.random.usize(0..self.followers.len());
        let (name, mut follower) = self.followers.swap_remove(at);
        self.trail.say(format!("drain a follower of {name:?} after {}", follower.cursor));
        follower.drain(self.lives_mut(&name)).await.map_err(|failure| failure.within(format!("a follower of {name:?}")))?;
        if !follower.is_over() {
            self.followers.push((name, follower));
        }
        Ok(())
    }

    /// Followers go with the driver, and come back with their cursors.
    async fn reopen(&mut self) -> Outcome {
        if !self.ctx.has(Need::Reopen) {
            return Ok(());
        }
        self.trail.say("reopen");
        let mut cursors = Vec::new();
        while let Some((name, mut follower)) = self.followers.pop() {
            follower.drain(self.lives_mut(&name)).await.map_err(|failure| failure.within(format!("a follower of {name:?}")))?;
            cursors.push((name, follower.cursor));
        }
        self.ctx.reopen().await?;
        self.project = self.ctx.again(&self.project);
        for (name, cursor) in cursors {
            let follower = Follower::new(&*self.log(&name), Start::After(cursor), self.lives(&name)).await?;
            self.followers.push((name, follower));
        }
        for name in self.names.clone() {
            self.whole(&name).await?;
        }
        Ok(())
    }
}
