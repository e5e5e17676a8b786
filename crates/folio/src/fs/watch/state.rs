//! What is watched, and what a notification means.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::inotify::ReadFlags;
use rustix::io::Errno;

use super::super::changes::{Changes, Seen};
use super::super::content::look;
use super::super::scope::{COLLECTIONS, META, SHARED, Scope, doc_key};
use super::super::vfs::{Access, Dir, Kind, VfsError};
use super::inotify::{Event, Inotify};
use super::pending::{Key, Pending};
use super::places::{Place, Places};
use crate::change::Target;
use crate::etag::Etag;
use crate::name::{CollectionName, FilePath, MAX_PATH, ProjectId};

/// Where not every folder could be watched, that is tried again, and listeners are told to list again, this often.
const RETRY: Duration = Duration::from_secs(30);
/// Folders of other people's files by the ten thousand, which nobody edits.
const LEFT_OUT: &str = "node_modules";

/// What was missed, and why it does not matter which.
struct Missed;

impl From<VfsError> for Missed {
    fn from(_: VfsError) -> Self {
        Self
    }
}

impl From<Errno> for Missed {
    fn from(_: Errno) -> Self {
        Self
    }
}

/// The state of the watching thread.
#[derive(Debug)]
pub(super) struct Watching {
    root: Dir,
    changes: Arc<Changes>,
    pub(super) inotify: Inotify,
    places: Places,
    pending: Pending,
    /// Watched scopes, and the life of their listeners.
    scopes: HashMap<Scope, u64>,
    /// Those in which some folder could not be watched.
    incomplete: HashSet<Scope>,
    retry: Option<Instant>,
}

impl Watching {
    pub(super) fn new(root: Dir, changes: Arc<Changes>, inotify: Inotify) -> Self {
        Self {
            root,
            changes,
            inotify,
            places: Places::default(),
            pending: Pending::default(),
            scopes: HashMap::new(),
            incomplete: HashSet::new(),
            retry: None,
        }
    }

    /// How many folders are watched.
    #[cfg(test)]
    pub(super) fn watched(&self) -> usize {
        self.places.len()
    }

    /// When there is something to do without a notification.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.pending.next(), self.retry].into_iter().flatten().min()
    }

    /// Watches a scope, if it isn't already. Changes after this returned are told.
    pub(super) fn watch(&mut self, scope: &Scope, now: Instant) {
        let Some(life) = self.changes.life(scope) else { return };
        match self.scopes.insert(scope.clone(), life) {
            Some(before) if before == life => return,
            // The folders of a project that is no more.
            Some(_) => self.remove(scope),
            None => {}
        }
        self.place(scope, None, now);
    }

    /// Lets go of the scopes that nobody listens to any more.
    pub(super) fn sweep(&mut self) {
        let changes = Arc::clone(&self.changes);
        let gone: Vec<Scope> = self
            .scopes
            .iter()
            .filter(|(scope, life)| changes.life(scope) != Some(**life))
            .map(|(scope, _)| scope.clone())
            .collect();
        for scope in gone {
            self.forget(&scope);
        }
        if !self.scopes.keys().any(|scope| scope.project().is_none()) {
            self.drop_watches(|place| matches!(place, Place::Root | Place::Collections));
        }
    }

    fn forget(&mut self, scope: &Scope) {
        self.scopes.remove(scope);
        self.incomplete.remove(scope);
        self.pending.forget(scope);
        self.remove(scope);
    }

    fn remove(&mut self, scope: &Scope) {
        self.drop_watches(|place| place.belongs_to(scope));
    }

    fn drop_watches(&mut self, which: impl FnMut(&Place) -> bool) {
        for watch in self.places.take(which) {
            self.inotify.remove(watch);
        }
    }

    /// Watches every folder of a scope. `report`: what is found is looked at as if it had just come.
    fn place(&mut self, scope: &Scope, report: Option<Instant>, now: Instant) {
        let placed = match scope {
            Scope::Project(id) => self.enter(id, String::new(), report).and_then(|()| self.enter_docs(scope, report)),
            Scope::Shared => self.anchor().and_then(|()| self.enter_docs(scope, report)),
            Scope::Collection(_) => {
                self.anchor().and_then(|()| self.anchor_collections()).and_then(|()| self.enter_docs(scope, report))
            }
        };
        self.settle(scope, placed, now);
    }

    fn settle(&mut self, scope: &Scope, placed: Result<(), Missed>, now: Instant) {
        if placed.is_err() {
            self.incomplete.insert(scope.clone());
            self.retry.get_or_insert(now + RETRY);
            self.pending.everything(scope, now);
        }
    }

    fn anchor(&mut self) -> Result<(), Missed> {
        let watch = self.inotify.add(&self.root, false)?;
        self.places.insert(watch, Place::Root);
        Ok(())
    }

    fn anchor_collections(&mut self) -> Result<(), Missed> {
        if let Some(folder) = open(&self.root, COLLECTIONS)? {
            let watch = self.inotify.add(&folder, false)?;
            self.places.insert(watch, Place::Collections);
        }
        Ok(())
    }

    /// Watches the folder of a scope's documents, if it is there.
    fn enter_docs(&mut self, scope: &Scope, report: Option<Instant>) -> Result<(), Missed> {
        let path = match scope.project() {
            Some(id) => format!("{id}/{META}"),
            None => scope.docs(),
        };
        let Some(folder) = open(&self.root, &path)? else { return Ok(()) };
        // First watched, then listed: what comes in between is told twice rather than never.
        let watch = self.inotify.add(&folder, false)?;
        self.places.insert(watch, Place::Docs(scope.clone()));
        if let Some(now) = report {
            for entry in folder.list()? {
                if let Some(key) = doc_key(&entry?.name) {
                    self.pending.target(scope, Target::Doc(key), true, now);
                }
            }
        }
        Ok(())
    }

    /// Watches a folder of a project and all below it.
    fn enter(&mut self, id: &ProjectId, folder: String, report: Option<Instant>) -> Result<(), Missed> {
        let scope = Scope::Project(id.clone());
        let mut left = vec![folder];
        while let Some(folder) = left.pop() {
            let path = format!("{id}/{folder}");
            let Some(dir) = open(&self.root, path.trim_end_matches('/'))? else { continue };
            let watch = self.inotify.add(&dir, true)?;
            self.places.insert(watch, Place::Files(id.clone(), folder.clone()));
            for entry in dir.list()? {
                let entry = entry?;
                let Some(name) = entry.name.to_str() else { continue };
                match (entry.kind, report) {
                    (Kind::Dir, _) if is_watched(&folder, name) => left.push(format!("{folder}{name}/")),
                    (Kind::File, Some(now)) => {
                        if let Ok(path) = FilePath::new(format!("{folder}{name}")) {
                            self.pending.target(&scope, Target::File(path), true, now);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Takes a notification.
    pub(super) fn handle(&mut self, event: &Event, now: Instant) {
        if event.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.start_over(now);
        }
        if event.flags.contains(ReadFlags::IGNORED) {
            return self.places.remove(event.watch);
        }
        let Some(place) = self.places.get(event.watch).cloned() else { return };
        let came = event.flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        let left = event.flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF);
        let name = event.name.to_str().unwrap_or_default();
        match place {
            Place::Root if came && name == SHARED => self.docs_came(&Scope::Shared, now),
            Place::Root if came && name == COLLECTIONS => self.collections_came(now),
            Place::Collections if came => {
                if let Ok(name) = CollectionName::new(name) {
                    self.docs_came(&Scope::Collection(name), now);
                }
            }
            Place::Collections if event.flags.contains(ReadFlags::MOVE_SELF) => {
                self.drop_watches(|place| matches!(place, Place::Collections | Place::Docs(Scope::Collection(_))));
                let collections = self.scopes.keys().filter(|scope| matches!(scope, Scope::Collection(_)));
                collections.for_each(|scope| self.pending.everything(scope, now));
            }
            Place::Root | Place::Collections => {}
            Place::Docs(scope) if left => {
                if event.flags.contains(ReadFlags::MOVE_SELF) {
                    self.drop_watches(|place| *place == Place::Docs(scope.clone()));
                    self.pending.everything(&scope, now);
                }
            }
            Place::Docs(scope) => {
                if let Some(key) = doc_key(&event.name) {
                    self.pending.target(&scope, Target::Doc(key), event.flags.contains(ReadFlags::CREATE), now);
                }
            }
            Place::Files(id, folder) if left => self.folder_left(&id, &folder, event.flags, now),
            Place::Files(id, folder) => self.file_event(&id, &folder, name, event.flags, now),
        }
    }

    fn file_event(&mut self, id: &ProjectId, folder: &str, name: &str, flags: ReadFlags, now: Instant) {
        let scope = Scope::Project(id.clone());
        let came = flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        if folder.is_empty() && name == META {
            if came {
                self.docs_came(&scope, now);
            }
        } else if !flags.contains(ReadFlags::ISDIR) {
            if let Ok(path) = FilePath::new(format!("{folder}{name}")) {
                self.pending.target(&scope, Target::File(path), flags.contains(ReadFlags::CREATE), now);
            }
        } else if !is_watched(folder, name) {
        } else if came {
            let placed = self.enter(id, format!("{folder}{name}/"), Some(now));
            self.settle(&scope, placed, now);
        } else if flags.contains(ReadFlags::MOVED_FROM) {
            // Which files were in it nobody knows any more.
            let below = format!("{folder}{name}/");
            self.drop_watches(|place| place.is_below(id, &below));
            self.pending.everything(&scope, now);
        }
    }

    /// A folder is gone from its place, and nobody told so from above.
    fn folder_left(&mut self, id: &ProjectId, folder: &str, flags: ReadFlags, now: Instant) {
        let scope = Scope::Project(id.clone());
        if folder.is_empty() {
            if let Some(life) = self.scopes.get(&scope) {
                self.changes.end_life(&scope, *life);
            }
            self.forget(&scope);
        } else if flags.contains(ReadFlags::MOVE_SELF) {
            self.drop_watches(|place| place.is_below(id, folder));
            self.pending.everything(&scope, now);
        }
    }

    fn docs_came(&mut self, scope: &Scope, now: Instant) {
        if self.scopes.contains_key(scope) {
            let placed = self.enter_docs(scope, Some(now));
            self.settle(scope, placed, now);
        }
    }

    fn collections_came(&mut self, now: Instant) {
        let placed = self.anchor_collections().is_ok();
        let scopes: Vec<Scope> = self.scopes.keys().filter(|scope| matches!(scope, Scope::Collection(_))).cloned().collect();
        for scope in scopes {
            if placed {
                self.docs_came(&scope, now);
            } else {
                self.settle(&scope, Err(Missed), now);
            }
        }
    }

    /// Notifications were lost: which folders came and went is not known, so all are watched anew.
    fn start_over(&mut self, now: Instant) {
        let scopes: Vec<Scope> = self.scopes.keys().cloned().collect();
        self.drop_watches(|_| true);
        for scope in &scopes {
            self.place(scope, None, now);
            self.pending.everything(scope, now);
        }
    }

    /// Looks at what has been left alone long enough, and tries again what could not be watched.
    pub(super) fn tell(&mut self, now: Instant) {
        while let Some((key, new)) = self.pending.due(now) {
            match key {
                Key::Everything(scope) => self.changes.rescan(&scope),
                Key::Target(scope, target) => self.look(&scope, target, new, now),
            }
        }
        if self.retry.is_some_and(|retry| retry <= now) {
            self.retry = None;
            for scope in std::mem::take(&mut self.incomplete) {
                self.place(&scope, None, now);
                // What happened until now in folders that were not watched is told by no one else.
                self.pending.everything(&scope, now);
            }
        }
    }

    fn look(&mut self, scope: &Scope, target: Target, new: bool, now: Instant) {
        let told = match self.changes.look(scope, &target, new) {
            None => false,
            Some(look) => match found(&self.root, scope, &target) {
                Ok((seen, etag)) => self.changes.found(scope, &target, look, seen, etag),
                Err(Missed) => return self.changes.rescan(scope),
            },
        };
        if !told {
            // A write of our own is in between, and tells by itself. What is there after it is looked at then.
            self.pending.target(scope, target, new, now);
        }
    }
}

/// A folder, or `None` where there is none (any more), or something else.
fn open(root: &Dir, path: &str) -> Result<Option<Dir>, Missed> {
    match root.dir(path) {
        Err(error) if error.foreign() || error.missing() => Ok(None),
        outcome => Ok(outcome?),
    }
}

fn is_watched(folder: &str, name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && name != LEFT_OUT && folder.len() + name.len() < MAX_PATH
}

/// What stands at a target now.
fn found(root: &Dir, scope: &Scope, target: &Target) -> Result<(Seen, Option<Etag>), Missed> {
    let within = match target {
        Target::Doc(key) => scope.doc(key),
        Target::File(path) => path.to_string(),
    };
    let path = scope.project().map_or_else(|| within.clone(), |id| format!("{id}/{within}"));
    match root.open(path, Access::Read) {
        Ok(Some(file)) => Ok(look(&file)?),
        Ok(None) => Ok((Seen::Absent, None)),
        Err(error) if error.foreign() || error.missing() => Ok((Seen::Absent, None)),
        Err(error) => Err(error.into()),
    }
}
