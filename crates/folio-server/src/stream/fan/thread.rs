//! A thread of its own for many readers: it waits for all of their sockets, and for what their feeds have.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use folio::Position;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tokio::runtime::Handle;

use super::member::{Lag, Member, Wrote};
use super::{Joining, Team, Told};
use crate::frame;
use crate::socket::LINGER;
use crate::state::App;
use crate::stream::feed::{Feed, Since};
use crate::stream::reader;

/// The token of the thread's own waker.
pub(super) const WAKER: Token = Token(usize::MAX);
/// Events taken at a time.
const EVENTS: usize = 1_024;

pub(super) struct Thread {
    fan: usize,
    poll: Poll,
    team: Team,
    app: Weak<App>,
    runtime: Handle,
    keep_alive: Duration,
    write_timeout: Duration,
    /// From one look at the clock to the next.
    tick: Duration,
    members: Slab<Member>,
    groups: HashMap<u64, Group>,
}

/// The readers of one feed.
struct Group {
    feed: Arc<Feed>,
    /// Keys of those.
    ready: Vec<u32>,
    /// All, with those who lag.
    readers: usize,
    /// When something was sent last.
    spoke: Instant,
}

impl Thread {
    pub(super) fn new(fan: usize, poll: Poll, team: Team, app: &Arc<App>) -> Self {
        let (keep_alive, write_timeout) = (app.config.keep_alive, app.config.write_timeout);
        let tick = (keep_alive.min(write_timeout) / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let (app, runtime) = (Arc::downgrade(app), Handle::current());
        let (members, groups) = (Slab::new(), HashMap::new());
        Self { fan, poll, team, app, runtime, keep_alive, write_timeout, tick, members, groups }
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut ticked = Instant::now();
        loop {
            let wait = (!self.members.is_empty()).then(|| self.tick.saturating_sub(ticked.elapsed()));
            if self.poll.poll(&mut events, wait).is_err_and(|error| error.kind() != std::io::ErrorKind::Interrupted) {
                return;
            }
            for event in &events {
                if event.token() != WAKER {
                    self.on_event(event);
                }
            }
            let team = self.team.clone();
            for told in team.0.get(self.fan).map(super::Post::take).unwrap_or_default() {
                match told {
                    Told::Join(joining) => self.join(joining),
                    Told::Fresh(feed) => self.deliver(feed),
                    Told::Stop => return,
                }
            }
            if ticked.elapsed() >= self.tick {
                ticked = Instant::now();
                self.look_around(ticked);
            }
        }
    }

    fn join(&mut self, joining: Joining) {
        let Joining { stream, feed, spot, permit } = joining;
        let (number, deadline) = (feed.number, Instant::now() + self.write_timeout);
        let group =
            self.groups.entry(number).or_insert_with(|| Group { feed, ready: Vec::new(), readers: 0, spoke: Instant::now() });
        group.readers += 1;
        let first = group.readers == 1;
        // As one who lags until a look at the feed shows that it doesn't: what came since it was let in goes out at once.
        let lag = Some(Lag::new(spot.offset, spot.position, deadline));
        let stream = TcpStream::from_std(stream);
        let key = self.members.insert(Member { stream, permit, feed: number, next: spot.chunk, place: None, lag });
        let Some(member) = self.members.get_mut(key) else { return };
        let registered =
            self.poll.registry().register(&mut member.stream, Token(key), Interest::READABLE.add(Interest::WRITABLE));
        match registered {
            Ok(()) => self.catch_up(key),
            Err(_) => self.remove(key),
        }
        if first {
            // What the feed told before there was a group for it was told to nobody.
            self.deliver(number);
        }
    }

    fn on_event(&mut self, event: &Event) {
        let key = event.token().0;
        let Some(member) = self.members.get_mut(key) else { return };
        if (event.is_readable() || event.is_error() || event.is_read_closed()) && !member.is_there() {
            return self.remove(key);
        }
        if event.is_writable() && member.lag.as_ref().is_some_and(|lag| !lag.closing) {
            self.catch_up(key);
        }
    }

    fn catch_up(&mut self, key: usize) {
        let deadline = Instant::now() + self.write_timeout;
        let Some(member) = self.members.get_mut(key) else { return };
        let Some(group) = self.groups.get_mut(&member.feed) else { return };
        match member.catch_up(&group.feed, deadline) {
            Wrote::All => group.add(key, member),
            Wrote::Part => {}
            Wrote::Ended => member.close(Instant::now() + LINGER),
            Wrote::Late(at) => self.give_back(key, at),
            Wrote::Broken => self.remove(key),
        }
    }

    /// Sends all who have caught up what is new.
    fn deliver(&mut self, feed: u64) {
        let Some(group) = self.groups.get_mut(&feed) else { return };
        // What the fan has not taken yet is kept, and whoever has caught up has all before that.
        let next_of = |&key: &u32| self.members.get(key as usize).map(|member| member.next);
        let from = group.ready.iter().filter_map(next_of).min().unwrap_or(u64::MAX);
        let Since::Chunks { chunks, next } = group.feed.take(from, self.fan) else { return };
        if chunks.is_empty() {
            return;
        }
        group.spoke = Instant::now();
        let (deadline, closing) = (group.spoke + self.write_timeout, group.spoke + LINGER);
        let mut broken = Vec::new();
        let mut at = 0;
        while let Some(&key) = group.ready.get(at) {
            let Some(member) = self.members.get_mut(key as usize) else { break };
            // One that has just joined may have some of them.
            let have = usize::try_from(member.next.saturating_sub(from)).unwrap_or(usize::MAX);
            match member.send(chunks.get(have..).unwrap_or_default(), next.max(member.next), deadline) {
                Wrote::All => {
                    at += 1;
                    continue;
                }
                Wrote::Part | Wrote::Late(_) => {}
                Wrote::Ended => member.close(closing),
                Wrote::Broken => broken.push(key as usize),
            }
            group.take_out(key, &mut self.members);
        }
        broken.into_iter().for_each(|key| self.remove(key));
    }

    /// Comments where it was silent for long, and ends with those who take nothing.
    fn look_around(&mut self, now: Instant) {
        let mut broken = Vec::new();
        for group in self.groups.values_mut().filter(|group| now - group.spoke >= self.keep_alive) {
            group.spoke = now;
            group.feed.rest();
            for &key in &group.ready {
                let Some(member) = self.members.get_mut(key as usize) else { continue };
                if !member.comment(frame::KEEP_ALIVE) {
                    broken.push(key as usize);
                }
            }
        }
        let late = |member: &Member| member.lag.as_ref().is_some_and(|lag| lag.deadline <= now);
        broken.extend(self.members.iter().filter(|(_, member)| late(member)).map(|(key, _)| key));
        broken.into_iter().for_each(|key| self.remove(key));
    }

    /// The frames that a reader needs next are in the log only.
    fn give_back(&mut self, key: usize, at: Position) {
        let Some((member, feed)) = self.take_out(key) else { return };
        let Member { mut stream, permit, .. } = member;
        let _ = self.poll.registry().deregister(&mut stream);
        if let Some(app) = self.app.upgrade() {
            self.runtime.spawn(reader::resume(app, stream.into(), feed, at, permit));
        }
    }

    fn remove(&mut self, key: usize) {
        drop(self.take_out(key));
    }

    fn take_out(&mut self, key: usize) -> Option<(Member, Arc<Feed>)> {
        let number = self.members.get(key)?.feed;
        let group = self.groups.get_mut(&number)?;
        group.take_out(u32::try_from(key).unwrap_or(u32::MAX), &mut self.members);
        group.readers -= 1;
        let feed = Arc::clone(&group.feed);
        if group.readers == 0 {
            self.groups.remove(&number);
        }
        feed.leave(self.fan);
        Some((self.members.try_remove(key)?, feed))
    }
}

impl Group {
    fn add(&mut self, key: usize, member: &mut Member) {
        member.place = u32::try_from(self.ready.len()).ok();
        self.ready.push(u32::try_from(key).unwrap_or(u32::MAX));
    }

    /// From the list of those who have caught up.
    fn take_out(&mut self, key: u32, members: &mut Slab<Member>) {
        let Some(place) = members.get_mut(key as usize).and_then(|member| member.place.take()) else { return };
        self.ready.swap_remove(place as usize);
        if let Some(&moved) = self.ready.get(place as usize)
            && let Some(moved) = members.get_mut(moved as usize)
        {
            moved.place = Some(place);
        }
    }
}
