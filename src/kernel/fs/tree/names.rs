//! Directories and the inode table of a tree: everything but the contents of files in use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::intmap::IntMap;
use super::pages::Content;
use crate::kernel::errno::Errno;
use crate::kernel::fs::path::{self, Ending, LINKS_MAX, Last, NAME_MAX};
use crate::kernel::fs::{DirEntry, FileKind, FsResult};

pub(super) const ROOT: u64 = 1;

#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) accessed: SystemTime,
    pub(super) modified: SystemTime,
    pub(super) changed: SystemTime,
}

impl Times {
    pub(super) fn all(time: SystemTime) -> Times {
        Times { accessed: time, modified: time, changed: time }
    }

    pub(super) fn touch(&mut self) {
        let now = SystemTime::now();
        self.modified = now;
        self.changed = now;
    }
}

#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) links: u64,
    pub(super) times: Times,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Directory(Directory),
    /// As of the last clone. Once the file is written, its content is in its `LiveFile` alone.
    File(Content),
    Symlink(Arc<str>),
}

impl Body {
    pub(super) fn kind(&self) -> FileKind {
        match self {
            Body::Directory(_) => FileKind::Directory,
            Body::File(_) => FileKind::Regular,
            Body::Symlink(_) => FileKind::Symlink,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Directory {
    parent: u64,
    pub(super) entries: BTreeMap<Arc<str>, u64>,
}

/// Where a path leads.
pub(super) struct Place {
    /// The directory that has the last name, or would have.
    pub(super) dir: u64,
    /// `None` if the path ends in a directory by `.`, `..` or a slash: then that is `inode`.
    pub(super) name: Option<Arc<str>>,
    pub(super) inode: Option<u64>,
}

enum Step {
    Done(Place),
    /// A symlink to follow, found in `dir`; `rest` of the path comes after it.
    Link {
        dir: u64,
        target: Arc<str>,
        rest: String,
    },
}

/// A clone shares everything.
#[derive(Clone, Debug)]
pub(super) struct Names {
    inodes: IntMap<Arc<Inode>>,
    next: u64,
}

impl Names {
    pub(super) fn new(now: SystemTime) -> Names {
        let mut names = Names { inodes: IntMap::default(), next: ROOT };
        names.insert(new_directory(ROOT, now));
        names
    }

    fn insert(&mut self, inode: Inode) -> u64 {
        let number = self.next;
        self.next += 1;
        self.inodes.insert(number, Arc::new(inode));
        number
    }

    pub(super) fn get(&self, inode: u64) -> Option<&Inode> {
        self.inodes.get(inode).map(|inode| &**inode)
    }

    pub(super) fn get_mut(&mut self, inode: u64) -> Option<&mut Inode> {
        self.inodes.get_mut(inode).map(Arc::make_mut)
    }

    fn body(&self, inode: u64) -> &Body {
        &self.get(inode).expect("a directory entry names an inode").body
    }

    fn as_dir(&self, inode: u64) -> Option<&Directory> {
        match self.body(inode) {
            Body::Directory(dir) => Some(dir),
            _ => None,
        }
    }

    fn dir(&self, inode: u64) -> &Directory {
        self.as_dir(inode).expect("resolution ends in directories")
    }

    fn dir_mut(&mut self, inode: u64) -> (&mut Directory, &mut u64, &mut Times) {
        match self.get_mut(inode) {
            Some(Inode { body: Body::Directory(dir), links, times }) => (dir, links, times),
            _ => unreachable!("resolution ends in directories"),
        }
    }

    /// Resolves a path; its end as `ending` says.
    pub(super) fn walk(&self, path: &str, ending: Ending) -> FsResult<Place> {
        path::check(path)?;
        let mut step = self.step(ROOT, path, ending)?;
        let mut links = 0;
        loop {
            match step {
                Step::Done(place) => return Ok(place),
                Step::Link { dir, target, rest } => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let start = if target.starts_with('/') { ROOT } else { dir };
                    step = self.step(start, &format!("{target}{rest}"), ending)?;
                }
            }
        }
    }

    /// Resolves `path` from `dir` up to the first symlink on the way.
    fn step(&self, mut dir: u64, path: &str, ending: Ending) -> FsResult<Step> {
        let mut rest = path;
        loop {
            rest = rest.trim_start_matches('/');
            let (name, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let tail = after.trim_start_matches('/');
            let slash = !after.is_empty();
            match name {
                "" => {
                    let place = Place { dir, name: None, inode: Some(dir) };
                    return Ok(Step::Done(place));
                }
                "." => {
                    rest = tail;
                    continue;
                }
                ".." => {
                    dir = self.dir(dir).parent;
                    rest = tail;
                    continue;
                }
                _ => {}
            }
            if slash && tail.is_empty() && ending.create {
                return Err(Errno::ISDIR);
            }
            let Some((stored, inode)) = self.lookup(dir, name)? else {
                if !tail.is_empty() {
                    return Err(Errno::NOENT);
                }
                let place = Place { dir, name: Some(name.into()), inode: None };
                return Ok(Step::Done(place));
            };
            match self.body(inode) {
                Body::Symlink(target) if slash || ending.follow => {
                    let target = Arc::clone(target);
                    return Ok(Step::Link { dir, target, rest: after.to_owned() });
                }
                Body::Directory(_) if slash => {
                    dir = inode;
                    rest = tail;
                }
                _ if slash => return Err(Errno::NOTDIR),
                _ => {
                    let name = Some(Arc::clone(stored));
                    return Ok(Step::Done(Place { dir, name, inode: Some(inode) }));
                }
            }
        }
    }

    fn lookup(&self, dir: u64, name: &str) -> FsResult<Option<(&Arc<str>, u64)>> {
        if name.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let entry = self.dir(dir).entries.get_key_value(name);
        Ok(entry.map(|(name, inode)| (name, *inode)))
    }

    fn find(&self, dir: u64, name: &str) -> FsResult<Option<u64>> {
        Ok(self.lookup(dir, name)?.map(|(_, inode)| inode))
    }

    /// The directory that `path` leads to; the empty path is the root.
    pub(super) fn directory(&self, path: &str) -> FsResult<u64> {
        if path.is_empty() {
            return Ok(ROOT);
        }
        let inode = self.walk(path, true.into())?.inode.ok_or(Errno::NOENT)?;
        self.as_dir(inode).map(|_| inode).ok_or(Errno::NOTDIR)
    }

    /// The last name of `path` and the directory it is in, for the operations on names.
    fn parent<'a>(&self, path: &'a str) -> FsResult<(u64, Last<'a>, bool)> {
        path::check(path)?;
        let split = path::split(path);
        Ok((self.directory(split.parent)?, split.last, split.slash))
    }

    /// A new name in `dir` for an inode that is there already.
    fn enter(&mut self, dir: u64, name: &str, inode: u64) {
        let (dir, _, times) = self.dir_mut(dir);
        let old = dir.entries.insert(name.into(), inode);
        assert!(old.is_none(), "a new name must be free");
        times.touch();
    }

    fn leave(&mut self, dir: u64, name: &str) {
        let (dir, _, times) = self.dir_mut(dir);
        dir.entries.remove(name);
        times.touch();
    }

    fn new_name<'a>(&self, path: &'a str) -> FsResult<(u64, &'a str)> {
        let (dir, last, slash) = self.parent(path)?;
        let Last::Name(name) = last else {
            return Err(Errno::EXIST);
        };
        match self.find(dir, name)? {
            Some(_) => Err(Errno::EXIST),
            None if slash => Err(Errno::NOENT),
            None => Ok((dir, name)),
        }
    }

    /// An empty file at a free name that [`Names::walk`] has found.
    pub(super) fn create_file(&mut self, dir: u64, name: &str) -> u64 {
        let body = Body::File(Content::default());
        let times = Times::all(SystemTime::now());
        let inode = self.insert(Inode { links: 1, times, body });
        self.enter(dir, name, inode);
        inode
    }

    /// A file with contents, in a directory of a tree that is being made.
    pub(super) fn add_file(
        &mut self,
        path: &str,
        content: Content,
        time: SystemTime,
    ) -> FsResult<()> {
        let (dir, name) = self.new_name(path)?;
        let times = Times::all(time);
        let inode = self.insert(Inode { links: 1, times, body: Body::File(content) });
        self.enter(dir, name, inode);
        Ok(())
    }

    pub(super) fn create_dir(&mut self, path: &str) -> FsResult<()> {
        let (dir, last, _) = self.parent(path)?;
        let Last::Name(name) = last else {
            return Err(Errno::EXIST);
        };
        if self.find(dir, name)?.is_some() {
            return Err(Errno::EXIST);
        }
        let inode = self.insert(new_directory(dir, SystemTime::now()));
        self.enter(dir, name, inode);
        *self.dir_mut(dir).1 += 1;
        Ok(())
    }

    pub(super) fn symlink(&mut self, target: &str, path: &str) -> FsResult<()> {
        path::check_target(target)?;
        let (dir, name) = self.new_name(path)?;
        let times = Times::all(SystemTime::now());
        let body = Body::Symlink(target.into());
        let inode = self.insert(Inode { links: 1, times, body });
        self.enter(dir, name, inode);
        Ok(())
    }

    pub(super) fn read_link(&self, path: &str) -> FsResult<String> {
        let inode = self.walk(path, false.into())?.inode.ok_or(Errno::NOENT)?;
        match self.body(inode) {
            Body::Symlink(target) => Ok(target.to_string()),
            _ => Err(Errno::INVAL),
        }
    }

    /// Returns the inode that has one more link now.
    pub(super) fn link(&mut self, from: &str, to: &str) -> FsResult<u64> {
        let (from_dir, last, slash) = self.parent(from)?;
        // As on the host: the parent of the new name is looked for before the old name.
        self.parent(to)?;
        let inode = match last {
            Last::Name(name) => self.find(from_dir, name)?.ok_or(Errno::NOENT)?,
            Last::Root | Last::Dot | Last::DotDot => from_dir,
        };
        let is_dir = self.as_dir(inode).is_some();
        if slash && !is_dir {
            return Err(Errno::NOTDIR);
        }
        let (dir, name) = self.new_name(to)?;
        if is_dir {
            return Err(Errno::PERM);
        }
        self.get_mut(inode).expect("found by its name").links += 1;
        self.enter(dir, name, inode);
        Ok(inode)
    }

    pub(super) fn remove_dir(&mut self, path: &str) -> FsResult<()> {
        let (dir, last, _) = self.parent(path)?;
        let name = match last {
            Last::Name(name) => name,
            Last::Root => return Err(Errno::BUSY),
            Last::Dot => return Err(Errno::INVAL),
            Last::DotDot => return Err(Errno::NOTEMPTY),
        };
        let inode = self.find(dir, name)?.ok_or(Errno::NOENT)?;
        if !self.as_dir(inode).ok_or(Errno::NOTDIR)?.entries.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.leave(dir, name);
        *self.dir_mut(dir).1 -= 1;
        self.inodes.remove(inode);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &str) -> FsResult<Unlinked> {
        let (dir, last, slash) = self.parent(path)?;
        let Last::Name(name) = last else {
            return Err(Errno::ISDIR);
        };
        let inode = self.find(dir, name)?.ok_or(Errno::NOENT)?;
        match self.body(inode) {
            Body::Directory(_) => return Err(Errno::ISDIR),
            _ if slash => return Err(Errno::NOTDIR),
            _ => {}
        }
        self.leave(dir, name);
        Ok(self.unlink(inode))
    }

    fn unlink(&mut self, number: u64) -> Unlinked {
        let inode = self.get_mut(number).expect("found by its name");
        inode.links -= 1;
        let links = inode.links;
        let removed = (links == 0).then(|| self.inodes.remove(number)).flatten();
        Unlinked { number, links, _removed: removed }
    }

    /// Returns the file that lost a name by it.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> FsResult<Option<Unlinked>> {
        let (from_dir, from_last, from_slash) = self.parent(from)?;
        let (to_dir, to_last, to_slash) = self.parent(to)?;
        let (Last::Name(old), Last::Name(new)) = (from_last, to_last) else {
            return Err(Errno::BUSY);
        };
        let inode = self.find(from_dir, old)?.ok_or(Errno::NOENT)?;
        let is_dir = self.as_dir(inode).is_some();
        if (from_slash || to_slash) && !is_dir {
            return Err(Errno::NOTDIR);
        }
        let target = self.find(to_dir, new)?;
        if is_dir && self.is_within(to_dir, inode) {
            return Err(Errno::INVAL);
        }
        if target == Some(inode) {
            return Ok(None);
        }
        let mut replaced = None;
        if let Some(target) = target {
            match self.as_dir(target) {
                // Also if it is above what is renamed.
                Some(dir) if is_dir && !dir.entries.is_empty() => return Err(Errno::NOTEMPTY),
                Some(_) if is_dir => {
                    self.leave(to_dir, new);
                    *self.dir_mut(to_dir).1 -= 1;
                    self.inodes.remove(target);
                }
                // The host looks whether it is above before it looks what is renamed.
                Some(_) if self.is_within(from_dir, target) => return Err(Errno::NOTEMPTY),
                Some(_) => return Err(Errno::ISDIR),
                None if is_dir => return Err(Errno::NOTDIR),
                None => {
                    self.leave(to_dir, new);
                    replaced = Some(self.unlink(target));
                }
            }
        }
        self.leave(from_dir, old);
        self.enter(to_dir, new, inode);
        if is_dir && from_dir != to_dir {
            *self.dir_mut(from_dir).1 -= 1;
            *self.dir_mut(to_dir).1 += 1;
            self.dir_mut(inode).0.parent = to_dir;
        }
        Ok(replaced)
    }

    /// Whether `dir` is `above` or a directory below it.
    fn is_within(&self, mut dir: u64, above: u64) -> bool {
        while dir != above {
            if dir == ROOT {
                return false;
            }
            dir = self.dir(dir).parent;
        }
        true
    }

    pub(super) fn list(&self, dir: u64) -> FsResult<Vec<DirEntry>> {
        // Gone since it was opened: then it is empty.
        let Some(inode) = self.get(dir) else {
            return Ok(Vec::new());
        };
        let Body::Directory(directory) = &inode.body else {
            return Err(Errno::NOTDIR);
        };
        let entry = |(name, inode): (&Arc<str>, &u64)| DirEntry {
            name: name.to_string(),
            kind: self.body(*inode).kind(),
            inode: *inode,
        };
        Ok(directory.entries.iter().map(entry).collect())
    }
}

/// A file that lost a name. To be dropped once no lock is held: freeing a large file takes time.
#[must_use]
pub(super) struct Unlinked {
    pub(super) number: u64,
    /// Names left.
    pub(super) links: u64,
    _removed: Option<Arc<Inode>>,
}

fn new_directory(parent: u64, now: SystemTime) -> Inode {
    let body = Body::Directory(Directory { parent, entries: BTreeMap::new() });
    // Its name, and its own `.`.
    Inode { links: 2, times: Times::all(now), body }
}
