//! What a store holds, and what a call does to it: the model.

use std::collections::BTreeMap;

use crate::cursor::{Position, Seq};
use crate::json::Json;

/// On which state a write of a document or file insists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Insist {
    Nothing,
    /// On the tag that is there at the moment of the call.
    Current,
    /// On a tag that nothing ever had.
    Stale,
    Absent,
}

impl Insist {
    fn holds(self, there: bool) -> bool {
        match self {
            Self::Nothing => true,
            Self::Current => there,
            Self::Stale => false,
            Self::Absent => !there,
        }
    }
}

/// The same byte so many times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Filled(pub(super) u8, pub(super) usize);

impl Filled {
    pub(super) fn all(self) -> Vec<u8> {
        vec![self.0; self.1]
    }
}

/// A call that changes something. Names are as in the contract.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Call {
    CreateProject,
    DeleteProject,
    ForkProject(String),
    PutDoc(String, Json, Insist),
    PatchDoc(String, Json, Insist),
    DeleteDoc(String, Insist),
    PutFile(String, Filled, Insist),
    DeleteFile(String, Insist),
    Append(String, Vec<Json>, Option<String>),
    Truncate(String, Seq),
    CloseLog(String),
    ForkLog(String, Seq, String),
    DeleteLog(String),
    /// All of these or none; each is on another document, file or log.
    Commit(Vec<Call>),
}

impl Call {
    /// As it can be judged while others are under way: the tag of the moment would be another's by then.
    pub(super) fn without_current(self) -> Self {
        let free = |insist| if insist == Insist::Current { Insist::Nothing } else { insist };
        match self {
            Self::PutDoc(key, value, insist) => Self::PutDoc(key, value, free(insist)),
            Self::PatchDoc(key, patch, insist) => Self::PatchDoc(key, patch, free(insist)),
            Self::DeleteDoc(key, insist) => Self::DeleteDoc(key, free(insist)),
            Self::PutFile(path, bytes, insist) => Self::PutFile(path, bytes, free(insist)),
            Self::DeleteFile(path, insist) => Self::DeleteFile(path, free(insist)),
            Self::Commit(calls) => Self::Commit(calls.into_iter().map(Self::without_current).collect()),
            other => other,
        }
    }

    /// The logs that it appends to.
    pub(super) fn appends(&self) -> Vec<&str> {
        match self {
            Self::Append(name, ..) => vec![name],
            Self::Commit(calls) => calls.iter().flat_map(Self::appends).collect(),
            _ => Vec::new(),
        }
    }
}

/// What a call was answered, or should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// It is so now; whether that is a change.
    Done(bool),
    /// A condition did not hold.
    Precondition,
    Appended {
        first: Seq,
        last: Seq,
        replayed: bool,
        /// `None` in the model, which knows no epochs, unless it was told before.
        cursor: Option<Position>,
    },
    Truncated {
        removed: u64,
        horizon: Seq,
    },
    /// There is nothing that this could be done to.
    Refused,
    /// What each call of a commit was answered.
    Committed(Vec<Reply>),
    /// The commit was done before, as the answer of its append says.
    Replayed(Box<Reply>),
    /// In the model: a commit is refused, for whatever reason comes first.
    NotCommitted,
}

impl Reply {
    /// True where the answer is the expected one.
    pub(super) fn is(&self, expected: &Self) -> bool {
        match (self, expected) {
            (
                Self::Appended { first, last, replayed, cursor },
                Self::Appended { first: f, last: l, replayed: r, cursor: known },
            ) => (first, last, replayed) == (f, l, r) && known.is_none_or(|known| Some(known) == *cursor),
            (Self::Committed(one), Self::Committed(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.is(two))
            }
            (Self::Replayed(one), Self::Replayed(two)) => one.is(two),
            (Self::Precondition | Self::Refused, Self::NotCommitted) => true,
            _ => self == expected,
        }
    }
}

/// A log as readers see it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct LogView {
    pub(super) horizon: Seq,
    /// From the one after the horizon.
    pub(super) entries: Vec<String>,
    pub(super) closed: bool,
}

/// A project as readers see it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct ProjectView {
    pub(super) docs: BTreeMap<String, String>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) logs: BTreeMap<String, LogView>,
}

/// Everything that readers see.
pub(super) type View = BTreeMap<String, ProjectView>;

#[derive(Clone, PartialEq, Debug)]
struct Known {
    first: Seq,
    last: Seq,
    cursor: Option<Position>,
}

/// What a store holds.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct World {
    pub(super) view: View,
    /// Answers of keyed appends, by project, log and key.
    keys: BTreeMap<(String, String, String), Known>,
    /// Project, fork and source: a deleted log keeps its name while forks of it live.
    forks: Vec<(String, String, String)>,
}

impl World {
    /// Does what the call does, and tells what it is to be answered.
    pub(super) fn apply(&mut self, project: &str, call: &Call) -> Reply {
        match call {
            Call::CreateProject => {
                if self.view.contains_key(project) {
                    return Reply::Done(false);
                }
                self.view.insert(project.into(), with_history(ProjectView::default()));
                return Reply::Done(true);
            }
            Call::DeleteProject => {
                self.keys.retain(|(of, ..), _| of != project);
                self.forks.retain(|(of, ..)| of != project);
                return Reply::Done(self.view.remove(project).is_some());
            }
            Call::ForkProject(target) => {
                let Some(source) = self.view.get(project) else { return Reply::Refused };
                if self.view.contains_key(target) {
                    return Reply::Refused;
                }
                self.view.insert(target.clone(), source.clone());
                return Reply::Done(true);
            }
            _ => {}
        }
        let Some(there) = self.view.get_mut(project) else { return Reply::Refused };
        match call {
            Call::PutDoc(key, value, insist) => put(&mut there.docs, key, value.as_str().into(), *insist),
            Call::PatchDoc(key, patch, insist) => {
                let current = there.docs.get(key).map(|text| Json::parse(text.as_bytes()).unwrap());
                let value = current.map_or_else(|| Json::patch_of_nothing(patch), |current| current.merge_patch(patch));
                match put(&mut there.docs, key, value.as_str().into(), *insist) {
                    Reply::Done(_) => Reply::Done(true),
                    other => other,
                }
            }
            Call::DeleteDoc(key, insist) => remove(&mut there.docs, key, *insist),
            Call::PutFile(path, bytes, insist) => put(&mut there.files, path, bytes.all(), *insist),
            Call::DeleteFile(path, insist) => remove(&mut there.files, path, *insist),
            Call::Commit(calls) => self.commit(project, calls),
            _ => self.apply_to_log(project, call),
        }
    }

    /// Each is on another target, so judging one after the other is judging by what was there before.
    fn commit(&mut self, project: &str, calls: &[Call]) -> Reply {
        let mut after = self.clone();
        let mut replies = Vec::new();
        for call in calls {
            let reply = after.apply(project, call);
            match &reply {
                Reply::Appended { replayed: true, .. } => return Reply::Replayed(Box::new(reply)),
                Reply::Done(_) | Reply::Appended { .. } => replies.push(reply),
                _ => {
                    // A key that is known comes before anything else.
                    let known = calls.iter().map(|call| self.clone().apply(project, call));
                    let mut known = known.filter(|reply| matches!(reply, Reply::Appended { replayed: true, .. }));
                    return known.next().map_or(Reply::NotCommitted, |reply| Reply::Replayed(Box::new(reply)));
                }
            }
        }
        *self = after;
        Reply::Committed(replies)
    }

    fn apply_to_log(&mut self, project: &str, call: &Call) -> Reply {
        let forks = self.forks.clone();
        let Some(there) = self.view.get_mut(project) else { return Reply::Refused };
        let gone = |there: &ProjectView, name: &str| {
            !there.logs.contains_key(name) && forks.iter().any(|(of, _, source)| of == project && source == name)
        };
        match call {
            Call::Append(name, entries, key) => {
                let place = |key: &String| (project.to_owned(), name.clone(), key.clone());
                if gone(there, name) {
                    return Reply::Refused;
                }
                if let Some(known) = key.as_ref().and_then(|key| self.keys.get(&place(key))) {
                    return Reply::Appended { first: known.first, last: known.last, replayed: true, cursor: known.cursor };
                }
                if there.logs.get(name).is_some_and(|log| log.closed) {
                    return Reply::Refused;
                }
                let log = there.logs.entry(name.clone()).or_default();
                let first = log.horizon + log.entries.len() as u64 + 1;
                log.entries.extend(entries.iter().map(|entry| entry.as_str().to_owned()));
                let last = first + entries.len() as u64 - 1;
                if let Some(key) = key {
                    self.keys.insert(place(key), Known { first, last, cursor: None });
                }
                Reply::Appended { first, last, replayed: false, cursor: None }
            }
            Call::Truncate(name, up_to) => {
                let Some(log) = there.logs.get_mut(name) else { return Reply::Refused };
                let removed = up_to.saturating_sub(log.horizon).min(log.entries.len() as u64);
                log.entries.drain(..usize::try_from(removed).unwrap());
                log.horizon += removed;
                Reply::Truncated { removed, horizon: log.horizon }
            }
            Call::CloseLog(name) => {
                let Some(log) = there.logs.get_mut(name) else { return Reply::Refused };
                log.closed = true;
                Reply::Done(true)
            }
            Call::ForkLog(name, at, target) => {
                let Some(log) = there.logs.get(name) else { return Reply::Refused };
                let Some(kept) = at.checked_sub(log.horizon).filter(|kept| *kept <= log.entries.len() as u64) else {
                    return Reply::Refused;
                };
                if there.logs.contains_key(target) || gone(there, target) {
                    return Reply::Refused;
                }
                let entries = log.entries[..usize::try_from(kept).unwrap()].to_vec();
                let fork = LogView { horizon: log.horizon, entries, closed: false };
                there.logs.insert(target.clone(), fork);
                self.forks.push((project.into(), target.clone(), name.clone()));
                Reply::Done(true)
            }
            Call::DeleteLog(name) if name == "history" => Reply::Refused,
            Call::DeleteLog(name) => {
                if there.logs.remove(name).is_some() {
                    self.keys.retain(|(of, log, _), _| of != project || log != name);
                    self.forks.retain(|(of, fork, _)| of != project || fork != name);
                }
                Reply::Done(true)
            }
            _ => Reply::Refused,
        }
    }

    /// What an append that did not land may leave all the same: the empty log that it was to make.
    pub(super) fn apply_begun(&mut self, project: &str, call: &Call) {
        if let Some(there) = self.view.get_mut(project) {
            for name in call.appends() {
                there.logs.entry(name.to_owned()).or_default();
            }
        }
    }

    /// Notes the cursor that an append was answered.
    pub(super) fn learn(&mut self, project: &str, call: &Call, reply: &Reply) {
        if let (Call::Append(name, _, Some(key)), Reply::Appended { cursor, .. }) = (call, reply)
            && let Some(known) = self.keys.get_mut(&(project.to_owned(), name.clone(), key.clone()))
        {
            known.cursor = *cursor;
        }
        match (call, reply) {
            (Call::Commit(calls), Reply::Committed(replies)) => {
                calls.iter().zip(replies).for_each(|(call, reply)| self.learn(project, call, reply));
            }
            (Call::Commit(calls), Reply::Replayed(reply)) => {
                calls.iter().for_each(|call| self.learn(project, call, reply));
            }
            _ => {}
        }
    }
}

fn with_history(mut project: ProjectView) -> ProjectView {
    project.logs.insert("history".into(), LogView::default());
    project
}

fn put<T>(there: &mut BTreeMap<String, T>, name: &str, value: T, insist: Insist) -> Reply {
    if !insist.holds(there.contains_key(name)) {
        return Reply::Precondition;
    }
    Reply::Done(there.insert(name.into(), value).is_none())
}

fn remove<T>(there: &mut BTreeMap<String, T>, name: &str, insist: Insist) -> Reply {
    if !insist.holds(there.contains_key(name)) {
        return Reply::Precondition;
    }
    Reply::Done(there.remove(name).is_some())
}
