//! The mount table: what the guest sees as its one tree of files.
//!
//! Resolution inside a mount is the mounted file system's own, and confined to it. The hot path, a
//! file of the data directory, is therefore one call to that file system. Only what its own
//! resolution does not find is looked up again by the namespace, one component at a time, so that a
//! symlink may lead from one mount to another (`pg_tblspc/16384` to a tablespace). Two rules follow:
//! an absolute symlink in a mount means a path in that mount if there is one, else a path of the
//! namespace; and neither leads out of the namespace.

mod devices;
#[cfg(feature = "tools")]
mod terminal;
#[cfg(test)]
mod tests;

use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use self::devices::Devices;
use super::path::{self, Ending, LINKS_MAX, Last};
use super::{DirEntry, File, FileKind, FileSystem, FsResult, Metadata, OpenOptions};
use crate::kernel::errno::Errno;

/// File systems put together by path prefix.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// Longest first; the last one is the root.
    mounts: Vec<Mount>,
}

#[derive(Debug)]
struct Mount {
    /// Components of the prefix.
    point: Vec<String>,
    fs: Arc<dyn FileSystem>,
    read_only: AtomicBool,
}

impl Mount {
    fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }
}

/// Which symlinks a resolution by the namespace follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    All,
    AllButLast,
    /// Nor one with a slash after it: for the operations on names.
    Parents,
}

impl From<bool> for Follow {
    fn from(follow: bool) -> Follow {
        if follow { Follow::All } else { Follow::AllButLast }
    }
}

impl Namespace {
    /// `root` is where everything is that no mount covers.
    pub(crate) fn new(root: Arc<dyn FileSystem>) -> Namespace {
        Namespace {
            mounts: vec![Mount { point: Vec::new(), fs: root, read_only: AtomicBool::new(false) }],
        }
    }

    /// Adds `/dev` with `null`, `zero`, `random` and `urandom`.
    pub(crate) fn mount_devices(&mut self) -> FsResult<()> {
        self.mount("/dev", Arc::new(Devices), false)
    }

    /// Adds `/dev/tty`, the terminal of this process.
    #[cfg(feature = "tools")]
    pub(crate) fn mount_terminal(&mut self) {
        self.mount_unseen("/dev/tty", Arc::new(terminal::Terminal::default()), false);
    }

    /// From now on nothing can be written where no mount covers the root.
    pub(crate) fn seal_root(&self) {
        if let Some(root) = self.mounts.last() {
            root.read_only.store(true, Ordering::Relaxed);
        }
    }

    /// Mounts a file system at an absolute path without `.` and `..`, whose directories are made if
    /// they do not exist. Where mounts nest, the longest prefix wins; `EBUSY` if there is one at
    /// `point` already.
    pub(crate) fn mount(
        &mut self,
        point: &str,
        fs: Arc<dyn FileSystem>,
        read_only: bool,
    ) -> FsResult<()> {
        path::check(point)?;
        let parts: Vec<String> = path::components(point).map(str::to_owned).collect();
        if parts.iter().any(|part| part == "." || part == "..") {
            return Err(Errno::INVAL);
        }
        if self.mounts.iter().any(|mount| mount.point == parts) {
            return Err(Errno::BUSY);
        }
        let mut made = String::new();
        for part in &parts {
            made.push('/');
            made.push_str(part);
            match self.metadata(&made, true) {
                Ok(Metadata { kind: FileKind::Directory, .. }) => {}
                Ok(_) => return Err(Errno::NOTDIR),
                Err(Errno::NOENT) => self.create_dir(&made)?,
                Err(errno) => return Err(errno),
            }
        }
        self.mounts.push(Mount { point: parts, fs, read_only: AtomicBool::new(read_only) });
        self.mounts.sort_by_key(|mount| std::cmp::Reverse(mount.point.len()));
        Ok(())
    }

    /// The same, without its directories: what is in it is there, but no directory above lists it, and no path
    /// leads to it through a symlink. The directories above are those that are there otherwise.
    #[allow(dead_code, reason = "for the feature `tools`")]
    pub(crate) fn mount_unseen(&mut self, point: &str, fs: Arc<dyn FileSystem>, read_only: bool) {
        let point = path::components(point).map(str::to_owned).collect();
        self.mounts.push(Mount { point, fs, read_only: AtomicBool::new(read_only) });
        self.mounts.sort_by_key(|mount| std::cmp::Reverse(mount.point.len()));
    }

    /// The mount that has `path`, which has no `..`, and the path there.
    fn locate<'p>(&self, path: &'p str) -> (&Mount, &'p str) {
        self.mounts
            .iter()
            .find_map(|mount| Some((mount, strip(path, &mount.point)?)))
            .map(|(mount, rest)| (mount, if rest.is_empty() { "/" } else { rest }))
            .expect("the root has every path")
    }

    fn is_root(&self, mount: &Mount) -> bool {
        mount.point.is_empty()
    }

    /// Calls `op` with the mount and the path there that `path` leads to.
    fn at<T>(
        &self,
        path: &str,
        follow: Follow,
        op: impl Fn(&Mount, &str, &str) -> FsResult<T>,
    ) -> FsResult<T> {
        path::check(path)?;
        let mut first = None;
        if !has_dot_dot(path) {
            let (mount, rest) = self.locate(path);
            // The root is always resolved here: its directories may lead to mounts.
            if !self.is_root(mount) {
                match op(mount, rest, path) {
                    // The usual miss (Postgres asks for forks and segments that are not there) ends
                    // here: what has a directory and is not in it is nowhere else.
                    Err(Errno::NOENT) if is_missing(mount, rest) => return Err(Errno::NOENT),
                    Err(errno @ (Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => {
                        first = Some((mount, rest, errno));
                    }
                    result => return result,
                }
            }
        }
        let whole = self.canonical(path, follow)?;
        let (mount, rest) = self.locate(&whole);
        match first {
            Some((before, path, errno)) if std::ptr::eq(before, mount) && same(path, rest) => {
                Err(errno)
            }
            _ => op(mount, rest, &whole),
        }
    }

    /// Calls `op` with the file system that both names are in, and the paths there.
    fn at_both(
        &self,
        from: &str,
        to: &str,
        op: impl Fn(&Mount, &str, &str) -> FsResult<()>,
    ) -> FsResult<()> {
        path::check(from)?;
        path::check(to)?;
        if !has_dot_dot(from) && !has_dot_dot(to) {
            let ((mount, old), (other, new)) = (self.locate(from), self.locate(to));
            if std::ptr::eq(mount, other) && !self.is_root(mount) {
                match op(mount, old, new) {
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    result => return result,
                }
            }
        }
        let from = self.canonical(from, Follow::Parents)?;
        let to = self.canonical(to, Follow::Parents)?;
        let ((mount, old), (other, new)) = (self.locate(&from), self.locate(&to));
        if self.covers_mount(&from) || self.covers_mount(&to) {
            return Err(Errno::BUSY);
        }
        if !std::ptr::eq(mount, other) {
            // That a directory is missing comes first.
            mount.fs.metadata(parent_of(old), true)?;
            other.fs.metadata(parent_of(new), true)?;
            return Err(Errno::XDEV);
        }
        op(mount, old, new)
    }

    /// The path in the namespace without `.`, `..` and symlinks; the last name need not exist.
    fn canonical(&self, path: &str, follow: Follow) -> FsResult<String> {
        path::check(path)?;
        if follow == Follow::Parents {
            let split = path::split(path);
            let mut whole = match split.parent {
                "" => String::new(),
                parent => self.canonical(parent, Follow::All)?,
            };
            // A slash, and what `.` or `..` mean here, are for the file system to refuse.
            whole.push('/');
            whole.push_str(&path[split.parent.len()..]);
            return Ok(whole);
        }
        let mut here = String::new();
        let mut rest: Vec<String> = Vec::new();
        push_components(&mut rest, path);
        let mut links = 0;
        let mut slash = false;
        while let Some(name) = rest.pop() {
            slash = matches!(&name[..], "" | "." | "..");
            match &name[..] {
                "" | "." => continue,
                ".." => {
                    here.truncate(here.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let parent_len = here.len();
            here.push('/');
            here.push_str(&name);
            let last = rest.is_empty();
            if last && follow != Follow::All {
                break;
            }
            let (mount, inside) = self.locate(&here);
            match mount.fs.read_link(inside) {
                Ok(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    here.truncate(if target.starts_with('/') { 0 } else { parent_len });
                    push_components(&mut rest, &target);
                }
                Err(Errno::INVAL) if last => {}
                Err(Errno::INVAL) => {
                    if mount.fs.metadata(inside, false)?.kind != FileKind::Directory {
                        return Err(Errno::NOTDIR);
                    }
                }
                Err(Errno::NOENT) if last || rest == [""] => {}
                Err(errno) => return Err(errno),
            }
        }
        if slash || here.is_empty() {
            here.push('/');
        }
        Ok(here)
    }

    /// Mount points right below the directory `path`.
    fn points_in<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Mount> {
        self.mounts.iter().filter(move |mount| {
            let Some((_, parents)) = mount.point.split_last() else {
                return false;
            };
            strip(path, parents).is_some_and(is_only_dots)
        })
    }

    /// Whether a mount point is at or below `path`, which has no `..`.
    fn covers_mount(&self, path: &str) -> bool {
        let parts: Vec<&str> = path::components(path).filter(|part| *part != ".").collect();
        self.mounts.iter().any(|mount| {
            mount.point.len() >= parts.len() && mount.point.iter().zip(&parts).all(|(a, b)| a == b)
        })
    }

    fn open_at(
        &self,
        mount: &Mount,
        path: &str,
        whole: &str,
        options: OpenOptions,
    ) -> FsResult<Arc<dyn File>> {
        let file = if mount.is_read_only() {
            mount.fs.open(path, read_only_options(mount, path, options)?)?
        } else {
            mount.fs.open(path, options)?
        };
        let mut points = Vec::new();
        for point in self.points_in(whole) {
            points.push(DirEntry {
                name: point.point.last().expect("not the root").clone(),
                kind: FileKind::Directory,
                inode: point.fs.metadata("/", true)?.inode,
            });
        }
        if points.is_empty() && !mount.is_read_only() {
            return Ok(file);
        }
        Ok(Arc::new(MountedFile { file, read_only: mount.is_read_only(), points }))
    }
}

/// The rest of `path` after the directory with the components `point`; `None` if it is elsewhere.
fn strip<'p>(path: &'p str, point: &[String]) -> Option<&'p str> {
    let mut rest = path;
    for part in point {
        loop {
            rest = rest.trim_start_matches('/');
            let (name, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            rest = after;
            if name == part {
                break;
            }
            if name != "." {
                return None;
            }
        }
    }
    Some(rest)
}

fn has_dot_dot(path: &str) -> bool {
    path.contains("..") && path::components(path).any(|part| part == "..")
}

fn is_only_dots(path: &str) -> bool {
    path::components(path).all(|part| part == ".")
}

fn same(one: &str, two: &str) -> bool {
    fn parts(path: &str) -> impl Iterator<Item = &str> {
        path::components(path).filter(|part| *part != ".")
    }
    parts(one).eq(parts(two))
}

/// Puts the components in front of `rest` (whose next one is its last); an empty one stands for a
/// slash at the end.
fn push_components(rest: &mut Vec<String>, path: &str) {
    if path.ends_with('/') {
        rest.push(String::new());
    }
    rest.extend(path::components(path).rev().map(str::to_owned));
}

/// Whether the mount has the directory of `path`, but not even a symlink there.
fn is_missing(mount: &Mount, path: &str) -> bool {
    mount.fs.metadata(path, false).err() == Some(Errno::NOENT)
        && mount.fs.metadata(parent_of(path), true).is_ok()
}

fn parent_of(path: &str) -> &str {
    match path::split(path).parent {
        "" => "/",
        parent => parent,
    }
}

/// What is left of `options` in a read-only mount.
fn read_only_options(mount: &Mount, path: &str, options: OpenOptions) -> FsResult<OpenOptions> {
    let writes = options.write || options.append || options.truncate;
    if !writes && !options.create {
        return Ok(options);
    }
    match mount.fs.metadata(path, Ending::of_open(&options).follow) {
        Ok(_) if options.create && options.exclusive => Err(Errno::EXIST),
        Ok(Metadata { kind: FileKind::Directory, .. }) => Err(Errno::ISDIR),
        Ok(Metadata { kind: FileKind::Symlink, .. }) => Err(Errno::LOOP),
        Ok(_) if writes => Err(Errno::ROFS),
        Ok(_) => Ok(OpenOptions { create: false, ..options }),
        Err(Errno::NOENT) if options.create => Err(missing_in_read_only(mount, path)),
        Err(errno) => Err(errno),
    }
}

/// Why a missing name cannot be made in a read-only mount.
fn missing_in_read_only(mount: &Mount, path: &str) -> Errno {
    mount.fs.metadata(parent_of(path), true).err().unwrap_or(Errno::ROFS)
}

/// Refuses to make `path` in a read-only mount.
fn writable(mount: &Mount, path: &str) -> FsResult<()> {
    if !mount.is_read_only() {
        return Ok(());
    }
    match mount.fs.metadata(path, false) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => Err(missing_in_read_only(mount, path)),
        Err(errno) => Err(errno),
    }
}

fn removable(mount: &Mount) -> FsResult<()> {
    if mount.is_read_only() { Err(Errno::ROFS) } else { Ok(()) }
}

impl FileSystem for Namespace {
    fn open(&self, path: &str, options: OpenOptions) -> FsResult<Arc<dyn File>> {
        let follow = Ending::of_open(&options).follow.into();
        self.at(path, follow, |mount, path, whole| self.open_at(mount, path, whole, options))
    }

    fn metadata(&self, path: &str, follow: bool) -> FsResult<Metadata> {
        self.at(path, follow.into(), |mount, path, _| mount.fs.metadata(path, follow))
    }

    fn create_dir(&self, path: &str) -> FsResult<()> {
        self.at(path, Follow::Parents, |mount, path, _| {
            writable(mount, path)?;
            mount.fs.create_dir(path)
        })
    }

    fn remove_dir(&self, path: &str) -> FsResult<()> {
        self.at(path, Follow::Parents, |mount, path, whole| {
            removable(mount)?;
            if matches!(path::split(path).last, Last::Name(_)) && self.covers_mount(whole) {
                return Err(Errno::BUSY);
            }
            mount.fs.remove_dir(path)
        })
    }

    fn remove_file(&self, path: &str) -> FsResult<()> {
        self.at(path, Follow::Parents, |mount, path, _| {
            removable(mount)?;
            mount.fs.remove_file(path)
        })
    }

    fn rename(&self, from: &str, to: &str) -> FsResult<()> {
        self.at_both(from, to, |mount, from, to| {
            removable(mount)?;
            mount.fs.rename(from, to)
        })
    }

    fn link(&self, from: &str, to: &str) -> FsResult<()> {
        self.at_both(from, to, |mount, from, to| {
            writable(mount, to)?;
            mount.fs.link(from, to)
        })
    }

    fn symlink(&self, target: &str, path: &str) -> FsResult<()> {
        self.at(path, Follow::Parents, |mount, path, _| {
            writable(mount, path)?;
            mount.fs.symlink(target, path)
        })
    }

    fn read_link(&self, path: &str) -> FsResult<String> {
        self.at(path, Follow::AllButLast, |mount, path, _| mount.fs.read_link(path))
    }
}

/// A file of a read-only mount, or a directory with mount points in it.
#[derive(Debug)]
struct MountedFile {
    file: Arc<dyn File>,
    read_only: bool,
    points: Vec<DirEntry>,
}

impl File for MountedFile {
    fn metadata(&self) -> FsResult<Metadata> {
        self.file.metadata()
    }

    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> FsResult<usize> {
        self.file.read_at(buffers, offset)
    }

    // Nothing in a read-only mount is open for writing, so the file itself refuses these.

    fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> FsResult<usize> {
        self.file.write_at(buffers, offset)
    }

    fn append(&self, buffers: &[IoSlice<'_>]) -> FsResult<(usize, u64)> {
        self.file.append(buffers)
    }

    fn set_len(&self, len: u64) -> FsResult<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> FsResult<()> {
        self.file.allocate(offset, len)
    }

    fn sync(&self, data_only: bool) -> FsResult<()> {
        self.file.sync(data_only)
    }

    fn sync_file_system(&self) -> FsResult<()> {
        self.file.sync_file_system()
    }

    fn set_modified(&self, time: SystemTime) -> FsResult<()> {
        if self.read_only { Err(Errno::ROFS) } else { self.file.set_modified(time) }
    }

    fn read_dir(&self) -> FsResult<Vec<DirEntry>> {
        let mut entries = self.file.read_dir()?;
        entries.retain(|entry| self.points.iter().all(|point| point.name != entry.name));
        entries.extend(self.points.iter().cloned());
        Ok(entries)
    }
}
