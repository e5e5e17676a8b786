//! Making a change under the real name. It has passed its commit point: a failure leaves the outcome unknown.

use std::ffi::OsStr;
use std::sync::Arc;

use rustix::io::Errno;

use super::op::{Before, Body, Id, Op, Place};
use super::room::Room;
use super::{Means, Step, Turn};
use crate::fs::content::READ_TO_TELL;
use crate::fs::journal::{Dirty, Held};
use crate::fs::quarantine::Quarantine;
use crate::fs::spares::{Displaced, Turns};
use crate::fs::temp::{TempFile, fresh_name};
use crate::fs::tree::{self, ATTEMPTS};
use crate::fs::vfs::{Access, Dir, File, Meta, Spot, VfsError, VfsResult};

/// Where changes are made.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) root: Dir,
    pub(crate) tmp: Dir,
    pub(crate) quarantine: Quarantine,
    pub(crate) room: Room,
    pub(crate) turns: Arc<Turns>,
}

/// What making a change showed.
#[derive(Debug)]
pub(crate) enum Effect {
    Done,
    /// The file has its name. `conflict`: another program had put something else there meanwhile; that lies in quarantine.
    /// `large`: what it is like, where its bytes alone don't tell it apart.
    Placed {
        large: Option<Meta>,
        conflict: bool,
    },
    /// The file is gone.
    Gone {
        conflict: bool,
    },
    /// The segment has its name.
    Installed(Arc<File>),
    /// Another program replaced the segment or wrote to it, so nothing was written.
    Replaced,
}

/// What a change took the name from.
enum Displacement {
    /// What was expected, if anything.
    Expected(Option<(Displaced, Before)>),
    /// Something else, which lies in quarantine.
    Foreign,
}

impl Ground {
    /// Makes one change, and notes what has to be synced for it.
    pub(crate) fn apply(&self, step: Step, dirty: &mut Dirty) -> VfsResult<Effect> {
        let Step { op, means } = step;
        match (op, means) {
            (Op::Append { path, id, offset, body, .. }, Means::Writer(writer, spilled)) => {
                let appended = self.append(&path, id, offset, &body, writer, dirty)?;
                let bytes = body.len();
                dirty.garbage.extend(spilled.map(|temp| Displaced { name: temp.leave().1, bytes, again: false }));
                Ok(appended)
            }
            (Op::Put { path, id, after, before, body, .. }, Means::Placed { temp, folder, turn }) => {
                dirty.everything = true;
                if let (Some(Turn { unwritten: true, .. }), Body::Inline(bytes)) = (&turn, &body) {
                    self.with_room(|| temp.fill(bytes))?;
                }
                let (file, temp) = temp.leave();
                // Nobody has to wait for it to be closed once it has its name.
                let large = (body.len() > READ_TO_TELL).then_some(file);
                let displaced = match self.put(&path, &temp, before, folder)? {
                    true => self.judge(before, &path, &temp)?,
                    false => Displacement::Expected(None),
                };
                let conflict = match displaced {
                    Displacement::Expected(old) => {
                        dirty.garbage.extend(match turn {
                            Some(turn) => self.turns.placed(&path, turn.round, (id, after), old),
                            None => old.map(|(old, _)| old),
                        });
                        false
                    }
                    Displacement::Foreign => true,
                };
                let large = large.map(|file| file.meta()).transpose()?;
                Ok(Effect::Placed { large, conflict })
            }
            (Op::Delete { path, temp, before }, Means::Folder(folder)) => {
                dirty.everything = true;
                self.delete(&path, &temp, before, &folder, dirty)
            }
            (Op::Install { path, replaces, .. }, Means::Temp(temp)) => {
                dirty.everything = true;
                self.install(&path, replaces, temp, dirty)
            }
            (Op::Move { from, to, id }, _) => {
                dirty.everything = true;
                self.rename(&from, &to, id)
            }
            (Op::Remove { path, id }, _) => {
                dirty.everything = true;
                dirty.released.push(id.0);
                self.remove(&path, id, dirty)
            }
            (Op::Cut { id, len, .. }, Means::Writer(writer, _)) => {
                writer.truncate(len)?;
                dirty.files.push(Held { file: writer, inode: id.0, since: None });
                Ok(Effect::Done)
            }
            (op, _) => Err(VfsError::os("change", &self.root.path().join(op.path()), Errno::INVAL)),
        }
    }

    fn append(&self, path: &str, id: Id, offset: u64, body: &Body, writer: Arc<File>, dirty: &mut Dirty) -> VfsResult<Effect> {
        // Its name must still lead to the file that was decided on, as it was then.
        let is_still = |there: Spot| there.id == id && there.size == offset;
        if !self.root.glance(path).is_some_and(is_still) && !absent_where_foreign(self.root.spot(path))?.is_some_and(is_still) {
            return Ok(Effect::Replaced);
        }
        match body {
            Body::Inline(bytes) => self.append_bytes(&writer, offset, bytes)?,
            Body::Temp { name, .. } => {
                let source = self.tmp.open(name, Access::Read)?.ok_or_else(|| gone(&self.tmp, name))?;
                self.with_room(|| {
                    let done = writer.len()?.saturating_sub(offset);
                    writer.append_from(&source, done..u64::MAX)
                })?;
            }
        }
        dirty.files.push(Held { file: writer, inode: id.0, since: Some(offset) });
        Ok(Effect::Done)
    }

    fn append_bytes(&self, writer: &File, offset: u64, bytes: &[u8]) -> VfsResult<()> {
        match writer.append_all(bytes) {
            Err(error) if error.disk_full() && self.room.give() => {
                let done = usize::try_from(writer.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
                writer.append_all(bytes.get(done..).unwrap_or_default())
            }
            other => other,
        }
    }

    /// Tries once more with the room that is kept for that, where the disk is full. Not after a failed sync, whatever it
    /// says: another one would prove nothing.
    fn with_room<T>(&self, change: impl Fn() -> VfsResult<T>) -> VfsResult<T> {
        match change() {
            Err(error) if error.disk_full() && error.doing != "sync" && self.room.give() => change(),
            other => other,
        }
    }

    /// Gives a temporary file its real name. True: what stood there has the temporary name now.
    fn put(&self, path: &str, temp: &str, before: Option<Before>, mut folder: Dir) -> VfsResult<bool> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut attempt = 0;
        loop {
            match self.with_room(|| self.swap_in(temp, &folder, name, before.is_some())) {
                Err(error) if error.is(&[Errno::NOENT]) && attempt < ATTEMPTS => {
                    attempt += 1;
                    folder = self.with_room(|| self.folder(parent))?;
                }
                other => return other,
            }
        }
    }

    fn swap_in(&self, temp: &str, folder: &Dir, name: &str, expected: bool) -> VfsResult<bool> {
        if !expected && self.tmp.rename_noreplace(temp, folder, name)? {
            return Ok(false);
        }
        if self.tmp.exchange(temp, folder, name)? {
            return Ok(true);
        }
        if self.tmp.rename_noreplace(temp, folder, name)? {
            return Ok(false);
        }
        // The file system can't swap names: what stands there is not looked at.
        self.tmp.rename(temp, folder, name)?;
        Ok(false)
    }

    /// What was displaced is kept in quarantine unless it is what was expected.
    fn judge(&self, before: Option<Before>, path: &str, temp: &str) -> VfsResult<Displacement> {
        let Some(meta) = self.tmp.stat(temp)? else { return Ok(Displacement::Expected(None)) };
        if let Some(before) = before.filter(|before| before.is(&meta)) {
            let displaced = Displaced { name: temp.to_owned(), bytes: meta.size, again: true };
            return Ok(Displacement::Expected(Some((displaced, before))));
        }
        let why = "another program changed it at the moment of a write";
        self.quarantine.take(path, why, &self.tmp, OsStr::new(temp))?;
        Ok(Displacement::Foreign)
    }

    fn delete(&self, path: &str, temp: &str, before: Before, folder: &Dir, dirty: &mut Dirty) -> VfsResult<Effect> {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        match self.with_room(|| folder.rename(name, &self.tmp, temp)) {
            Ok(()) => {}
            Err(error) if error.missing() => return Ok(Effect::Gone { conflict: false }),
            Err(error) => return Err(error),
        }
        let conflict = match self.judge(Some(before), path, temp)? {
            Displacement::Expected(old) => {
                dirty.garbage.extend(old.map(|(old, _)| old));
                false
            }
            Displacement::Foreign => true,
        };
        Ok(Effect::Gone { conflict })
    }

    fn install(&self, path: &str, replaces: Option<Id>, temp: TempFile, dirty: &mut Dirty) -> VfsResult<Effect> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.with_room(|| self.folder(parent))?;
        let (file, temp) = temp.leave();
        match self.stat(path)? {
            Some(meta) if Some(meta.id()) == replaces => {
                dirty.released.push(meta.inode);
                self.with_room(|| self.tmp.rename(&temp, &folder, name))?;
            }
            _ => self.make_free_and(path, &folder, name, || self.tmp.rename_noreplace(&temp, &folder, name))?,
        }
        Ok(Effect::Installed(Arc::new(file.known_as(folder.path().join(name)))))
    }

    fn rename(&self, from: &Place, to: &Place, id: Id) -> VfsResult<Effect> {
        let there = match from {
            Place::Path(path) => self.stat(path)?,
            Place::Temp(name) => self.tmp.stat(name)?,
        };
        if there.is_none_or(|meta| meta.id() != id) {
            return Ok(Effect::Replaced);
        }
        if let Place::Path(path) = from {
            self.turns.forget(path);
        }
        let (source, name) = match from {
            Place::Path(path) => (&self.root, path),
            Place::Temp(name) => (&self.tmp, name),
        };
        match to {
            Place::Temp(free) => self.with_room(|| source.rename(name, &self.tmp, free))?,
            Place::Path(path) => {
                let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
                let folder = self.with_room(|| self.folder(parent))?;
                self.make_free_and(path, &folder, last, || source.rename_noreplace(name, &folder, last))?;
            }
        }
        Ok(Effect::Done)
    }

    /// Sets aside what stands at a name where nothing should, and does `take` again.
    fn make_free_and(&self, path: &str, folder: &Dir, name: &str, take: impl Fn() -> VfsResult<bool>) -> VfsResult<()> {
        let mut attempt = 0;
        while !self.with_room(&take)? {
            if attempt == ATTEMPTS {
                return Err(VfsError::os("rename to", &folder.path().join(name), Errno::EXIST));
            }
            attempt += 1;
            if folder.stat(name)?.is_some() {
                self.quarantine.take(path, "it stood where a segment of a log belongs", folder, OsStr::new(name))?;
            }
        }
        Ok(())
    }

    /// Takes a name away. Giving the room of a large file back takes long, so that is left to a checkpoint.
    fn remove(&self, path: &str, id: Id, dirty: &mut Dirty) -> VfsResult<Effect> {
        let Some(meta) = self.stat(path)?.filter(|meta| meta.id() == id) else { return Ok(Effect::Done) };
        let name = fresh_name()?;
        match self.root.rename(path, &self.tmp, &name) {
            Ok(()) => dirty.garbage.push(Displaced { name, bytes: meta.size, again: false }),
            Err(error) if error.missing() => {}
            // Removing needs no room.
            Err(error) if error.disk_full() => drop(self.root.unlink(path)?),
            Err(error) => return Err(error),
        }
        Ok(Effect::Done)
    }

    /// Keeps what was appended to a file that has lost its name since: another program removed or replaced it.
    pub(crate) fn rescue(&self, held: &Held) -> VfsResult<()> {
        let Some(since) = held.since else { return Ok(()) };
        let shown = self.shown(held.file.path());
        let why = "the file was removed or replaced by another program just after this was appended to it";
        self.quarantine.keep_range(&shown, why, &held.file, since..u64::MAX).map(drop)
    }

    fn shown(&self, path: &std::path::Path) -> String {
        path.strip_prefix(self.root.path()).unwrap_or(path).display().to_string()
    }

    /// What stands at a path; `None` also where something else than folders leads there.
    pub(super) fn stat(&self, path: &str) -> VfsResult<Option<Meta>> {
        absent_where_foreign(self.root.stat(path))
    }

    /// A folder below the root, made with those on its way, durably.
    pub(super) fn folder(&self, path: &str) -> VfsResult<Dir> {
        if path.is_empty() { Ok(self.root.clone()) } else { tree::make(&self.root, path) }
    }
}

fn gone(tmp: &Dir, name: &str) -> VfsError {
    VfsError::os("open", &tmp.path().join(name), Errno::NOENT)
}

/// What stands at a path that only Folio's own files count at.
fn absent_where_foreign<T>(there: VfsResult<Option<T>>) -> VfsResult<Option<T>> {
    match there {
        Err(error) if error.missing() || error.foreign() => Ok(None),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    /// The file is checked when the write is decided; here it is replaced, written to or removed between that and its change.
    #[test]
    fn lines_go_only_to_the_file_that_they_were_meant_for_as_it_was_then() {
        for edit in ["none", "replaced", "grown", "removed"] {
            let temp = tempfile::tempdir().unwrap();
            let root = Dir::open_root(temp.path()).unwrap();
            let own = |name: &str| root.make_dirs(name).unwrap().0;
            let ground = Ground {
                tmp: own("tmp"),
                quarantine: Quarantine::new(own("quarantine"), Arc::new(ManualClock::new(1))),
                room: Room::open(&root).unwrap(),
                turns: Arc::default(),
                root: root.clone(),
            };
            let path = temp.path().join("log");
            std::fs::write(&path, "1\n").unwrap();
            let writer = Arc::new(root.open("log", Access::Append).unwrap().unwrap());
            let (id, body) = (writer.identity().unwrap(), Body::Inline(b"2\n".to_vec()));
            let op = Op::Append { path: "log".into(), id, offset: 2, epoch: 1, first: 2, last: 2, body };
            match edit {
                "replaced" => {
                    std::fs::write(temp.path().join("editor"), "1\n").unwrap();
                    std::fs::rename(temp.path().join("editor"), &path).unwrap();
                }
                "grown" => std::fs::write(&path, "1\nx\n").unwrap(),
                "removed" => std::fs::remove_file(&path).unwrap(),
                _ => {}
            }
            let mut dirty = Dirty::default();
            let before = std::fs::read_to_string(&path).ok();
            let effect = ground.apply(Step { op, means: Means::Writer(Arc::clone(&writer), None) }, &mut dirty).unwrap();
            let after = std::fs::read_to_string(&path).ok();
            if edit == "none" {
                assert!(matches!(effect, Effect::Done) && after.as_deref() == Some("1\n2\n"));
            } else {
                assert!(matches!(effect, Effect::Replaced), "{edit}: {effect:?}");
                assert_eq!((after, writer.len().unwrap()), (before, if edit == "grown" { 4 } else { 2 }), "{edit}");
            }
        }
    }
}
