//! A file system in memory, with copy-on-write clones: where temporary databases live.
//!
//! # Structure
//!
//! The inode table and the directories in it ([`names::Names`]) are persistent maps, and the
//! contents of a file ([`pages::Content`]) are shared pages. So a clone shares everything, whatever
//! its size, and what either side changes later is copied then: a few nodes of the table, a
//! directory, a page. There are no layers to look through, so a fork of a fork of a fork is as fast
//! as the first tree.
//!
//! A persistent map alone would have every write of every file go through one lock. So a file in
//! use has a [`handle::LiveFile`] with a lock of its own. While it is *clean*, the table has the same
//! content; the first write after a clone makes it *dirty*, takes its content out of the table (or
//! the table would hold on to pages that nobody can see any more), and remembers it. A clone first
//! puts the contents of the dirty files back: its cost is the number of files written since the
//! last clone, and constant if there are none.
//!
//! # Locks
//!
//! In this order: `names`, `dirty`, `live`, then the body of one file. Reads and writes of an open
//! file take its body alone, but for the first write after a clone. A clone takes all of them, with
//! the bodies of all dirty files, so it is a cut at one instant: of two writes, it never has the
//! later one only. (Postgres' write-ahead log depends on that.)

mod frozen;
mod handle;
mod intmap;
mod names;
mod pages;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

#[allow(unused_imports, reason = "to pack a tree that was made in memory")]
pub(crate) use self::frozen::entries;
use self::handle::{DirHandle, FileHandle, LiveFile};
use self::names::{Body, Names, Place, Unlinked};
use self::pages::Account;
use super::path::Ending;
use super::{File, FileSystem, FsResult, Metadata, OpenOptions};
use crate::kernel::errno::Errno;

/// Why a lock can be poisoned: a bug that must not be carried into anyone's data.
const POISONED: &str = "no thread panics while it changes a tree";

/// A file system in memory.
#[derive(Debug)]
pub(crate) struct Tree {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    names: RwLock<Names>,
    /// Files written since the last clone that have a name.
    dirty: Mutex<HashSet<u64>>,
    /// Files in use that have a name, the dirty ones among them.
    live: Mutex<HashMap<u64, Arc<LiveFile>>>,
    account: Arc<Account>,
}

impl Shared {
    fn new(names: Names, account: Account) -> Shared {
        Shared {
            names: RwLock::new(names),
            dirty: Mutex::default(),
            live: Mutex::default(),
            account: Arc::new(account),
        }
    }

    fn names(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().expect(POISONED)
    }

    fn names_mut(&self) -> RwLockWriteGuard<'_, Names> {
        self.names.write().expect(POISONED)
    }

    fn dirty(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.dirty.lock().expect(POISONED)
    }

    fn live(&self) -> MutexGuard<'_, HashMap<u64, Arc<LiveFile>>> {
        self.live.lock().expect(POISONED)
    }

    /// What an inode is, with the current state of a file in use.
    fn metadata(&self, names: &Names, number: u64) -> Option<Metadata> {
        let inode = names.get(number)?;
        if let Body::File(_) = inode.body
            && let Some(file) = self.live().get(&number)
        {
            return Some(file.metadata());
        }
        let len = match &inode.body {
            Body::Directory(_) => 0,
            Body::File(content) => content.len(),
            Body::Symlink(target) => target.len() as u64,
        };
        Some(Metadata {
            kind: inode.body.kind(),
            len,
            inode: number,
            links: inode.links,
            accessed: inode.times.accessed,
            modified: inode.times.modified,
            changed: inode.times.changed,
        })
    }

    /// The live file of an inode, which is a regular file's.
    fn live_file(&self, names: &Names, number: u64) -> Arc<LiveFile> {
        let mut live = self.live();
        let file = live.entry(number).or_insert_with(|| {
            let inode = names.get(number).expect("the name was just resolved");
            Arc::new(LiveFile::new(number, inode))
        });
        Arc::clone(file)
    }

    /// Carries a changed number of links to the live file. The caller changed `names` and still
    /// holds its lock.
    fn unlinked(&self, file: &Unlinked) -> Option<Arc<LiveFile>> {
        let mut dirty = self.dirty();
        let mut live = self.live();
        if file.links > 0 {
            if let Some(live) = live.get(&file.number) {
                live.set_links(file.links);
            }
            return None;
        }
        dirty.remove(&file.number);
        let removed = live.remove(&file.number)?;
        removed.set_links(0);
        Some(removed)
    }
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

impl Tree {
    /// An empty tree with no limit on its size.
    pub(crate) fn new() -> Tree {
        Tree::with_limit(None)
    }

    /// An empty tree that gives `ENOSPC` for more than `bytes` of written pages. A clone may write
    /// as many again.
    #[allow(dead_code, reason = "not every caller limits or counts")]
    pub(crate) fn with_capacity(bytes: u64) -> Tree {
        Tree::with_limit(Some(bytes))
    }

    fn with_limit(bytes: Option<u64>) -> Tree {
        let names = Names::new(SystemTime::now());
        Tree { shared: Arc::new(Shared::new(names, Account::new(bytes))) }
    }

    /// A tree with the same files, independent from now on. Costs a constant plus the files that
    /// were written since the last clone. Files open in `self` are not open in the clone.
    pub(crate) fn clone_tree(&self) -> Tree {
        let account = self.shared.account.relative();
        Tree { shared: Arc::new(Shared::new(self.freeze(), account)) }
    }

    /// [`Tree::clone_tree`], with another limit for what the clone writes (`None`: no limit).
    pub(crate) fn clone_with_capacity(&self, bytes: Option<u64>) -> Tree {
        let account = self.shared.account.relative().with_limit(bytes);
        Tree { shared: Arc::new(Shared::new(self.freeze(), account)) }
    }

    /// [`Tree::clone_tree`] of this tree and of another, at one instant: of two writes, one in each, the
    /// clones never have the later one only. Of two trees, always the same one is `self`.
    pub(crate) fn clone_with(&self, other: &Tree) -> (Tree, Tree) {
        let (names, other) = self.freeze_and(|| other.clone_tree());
        let account = self.shared.account.relative();
        (Tree { shared: Arc::new(Shared::new(names, account)) }, other)
    }

    /// The names and contents of this instant.
    fn freeze(&self) -> Names {
        self.freeze_and(|| ()).0
    }

    /// [`Tree::freeze`], and what `also` does at that instant.
    fn freeze_and<T>(&self, also: impl FnOnce() -> T) -> (Names, T) {
        let mut names = self.shared.names_mut();
        let mut dirty = self.shared.dirty();
        let mut live = self.shared.live();
        let files: Vec<_> = dirty.drain().map(|number| Arc::clone(&live[&number])).collect();
        // All of them are locked before the first is read: see "Locks" above.
        let mut bodies: Vec<_> = files.iter().map(|file| (file, file.body_mut())).collect();
        for (file, body) in &mut bodies {
            let inode = names.get_mut(file.number()).expect("a dirty file has a name");
            inode.times = body.times;
            inode.body = Body::File(body.content.clone());
            body.dirty = false;
        }
        let also = also();
        drop(bodies);
        drop(files);
        // Those that nobody has open any more are as the table has them.
        live.retain(|_, file| Arc::strong_count(file) > 1);
        (names.clone(), also)
    }

    /// Bytes of the pages that were written through this tree and are still held, by it or by
    /// clones of it. This is what its capacity limits.
    #[allow(dead_code, reason = "not every caller limits or counts")]
    pub(crate) fn owned_bytes(&self) -> u64 {
        self.shared.account.used_bytes()
    }

    /// [`Tree::owned_bytes`] of this tree and of all trees that come from the same one by cloning,
    /// dropped ones included: the memory that all of them need together.
    #[allow(dead_code, reason = "not every caller limits or counts")]
    pub(crate) fn family_owned_bytes(&self) -> u64 {
        self.shared.account.family_bytes()
    }

    fn open_place(&self, names: &Names, place: &Place, options: OpenOptions) -> FsResult<Opened> {
        let Some(number) = place.inode else {
            return Ok(Opened::Missing);
        };
        if options.create && options.exclusive {
            return Err(Errno::EXIST);
        }
        let inode = names.get(number).ok_or(Errno::NOENT)?;
        match inode.body {
            Body::Directory(_) => {
                if options.write || options.append || options.create || options.truncate {
                    return Err(Errno::ISDIR);
                }
                let metadata = self.shared.metadata(names, number).ok_or(Errno::NOENT)?;
                Ok(Opened::Directory(metadata))
            }
            _ if options.directory => Err(Errno::NOTDIR),
            Body::Symlink(_) => Err(Errno::LOOP),
            Body::File(_) => Ok(Opened::File(self.shared.live_file(names, number))),
        }
    }
}

enum Opened {
    Missing,
    Directory(Metadata),
    File(Arc<LiveFile>),
}

impl FileSystem for Tree {
    fn open(&self, path: &str, options: OpenOptions) -> FsResult<Arc<dyn File>> {
        if options.create && options.directory {
            return Err(Errno::INVAL);
        }
        let find = |names: &Names| {
            let place = names.walk(path, Ending::of_open(&options))?;
            let opened = self.open_place(names, &place, options)?;
            FsResult::Ok((place, opened))
        };
        let mut opened = find(&self.shared.names())?.1;
        if let Opened::Missing = opened {
            if !options.create {
                return Err(Errno::NOENT);
            }
            let mut names = self.shared.names_mut();
            // Another thread may have created it since.
            let (place, again) = find(&names)?;
            opened = match (again, place.name) {
                (Opened::Missing, Some(name)) => {
                    let number = names.create_file(place.dir, &name);
                    Opened::File(self.shared.live_file(&names, number))
                }
                (again, _) => again,
            };
        }
        let shared = Arc::clone(&self.shared);
        match opened {
            Opened::Missing => Err(Errno::NOENT),
            Opened::Directory(metadata) => Ok(Arc::new(DirHandle::new(shared, metadata))),
            Opened::File(file) => {
                let handle = FileHandle::new(shared, file, options);
                if options.truncate {
                    handle.truncate()?;
                }
                Ok(Arc::new(handle))
            }
        }
    }

    fn metadata(&self, path: &str, follow: bool) -> FsResult<Metadata> {
        let names = self.shared.names();
        let number = names.walk(path, follow.into())?.inode.ok_or(Errno::NOENT)?;
        self.shared.metadata(&names, number).ok_or(Errno::NOENT)
    }

    fn create_dir(&self, path: &str) -> FsResult<()> {
        self.shared.names_mut().create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> FsResult<()> {
        self.shared.names_mut().remove_dir(path)
    }

    fn remove_file(&self, path: &str) -> FsResult<()> {
        let mut names = self.shared.names_mut();
        let unlinked = names.remove_file(path)?;
        let live = self.shared.unlinked(&unlinked);
        drop(names);
        // Only now, with no lock held, are its pages freed.
        drop((unlinked, live));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> FsResult<()> {
        let mut names = self.shared.names_mut();
        let replaced = names.rename(from, to)?;
        let live = replaced.as_ref().and_then(|replaced| self.shared.unlinked(replaced));
        drop(names);
        drop((replaced, live));
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> FsResult<()> {
        let mut names = self.shared.names_mut();
        let number = names.link(from, to)?;
        let links = names.get(number).map_or(0, |inode| inode.links);
        if let Some(file) = self.shared.live().get(&number) {
            file.set_links(links);
        }
        Ok(())
    }

    fn symlink(&self, target: &str, path: &str) -> FsResult<()> {
        self.shared.names_mut().symlink(target, path)
    }

    fn read_link(&self, path: &str) -> FsResult<String> {
        self.shared.names().read_link(path)
    }
}
