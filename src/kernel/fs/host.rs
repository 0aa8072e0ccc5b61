//! A file system over a host directory: where persistent databases live.
//!
//! Data and errors are the host's own. Nothing outside the directory can be reached through it; see
//! [`resolve`] for how.

mod file;
mod resolve;
#[cfg(test)]
mod tests;

use std::fs::File as StdFile;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};

use libc::c_int;

use self::file::{HostFile, kind_of_mode, stat_of, stat_to_metadata};
use self::resolve::{Dir, Method, with_cstr};
use super::path::{self, Last};
use super::{File, FileKind, FileSystem, FsResult, Metadata, OpenOptions};
use crate::kernel::errno::Errno;

const DIRECTORY_MODE: libc::mode_t = 0o700;

/// A host directory as the root of a file system.
#[derive(Debug)]
pub(crate) struct HostDir {
    root: OwnedFd,
    method: Method,
    /// Held over "find the end, write there". One lock for all files will do: Postgres appends to
    /// log files only.
    append: Arc<Mutex<()>>,
}

impl HostDir {
    /// The directory itself is found as the host finds it, through symlinks too.
    pub(crate) fn open(path: &Path) -> io::Result<HostDir> {
        let root = StdFile::open(path)?;
        if !root.metadata()?.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
        }
        let root = OwnedFd::from(root);
        let method = Method::detect(root.as_fd());
        Ok(HostDir { root, method, append: Arc::default() })
    }

    /// As on a host that lacks the call.
    #[cfg(test)]
    pub(crate) fn without_openat2(self) -> HostDir {
        HostDir { method: Method::Walk, ..self }
    }

    fn resolve(&self, path: &str, flags: c_int) -> FsResult<OwnedFd> {
        resolve::open(self.method, self.root.as_fd(), path, flags)
    }

    /// The directory that has (or will have) the last component of `path`, for the calls that act on
    /// a name. Those never follow a symlink at that name, so they stay inside.
    fn parent<'a>(&'a self, path: &'a str) -> FsResult<Parent<'a>> {
        path::check(path)?;
        let split = path::split(path);
        let dir = resolve::directory(self.method, self.root.as_fd(), split.parent)?;
        Ok(Parent { dir, last: split.last, slash: split.slash })
    }
}

/// A name and the directory it is in.
struct Parent<'a> {
    dir: Dir<'a>,
    last: Last<'a>,
    slash: bool,
}

impl Parent<'_> {
    fn fd(&self) -> c_int {
        self.dir.as_fd().as_raw_fd()
    }

    /// What the name is, a symlink itself and not its target.
    fn stat(&self, name: &str) -> FsResult<libc::stat> {
        stat_at(self.dir.as_fd(), name)
    }

    /// The slash check that the host would do, but without passing it the slash: after a slash some
    /// hosts follow a symlink.
    fn require_directory_if_slash(&self, name: &str) -> FsResult<()> {
        if self.slash && kind_of_mode(self.stat(name)?.st_mode) != FileKind::Directory {
            return Err(Errno::NOTDIR);
        }
        Ok(())
    }

    /// The name of something to create that is not a directory.
    fn new_name(&self) -> FsResult<&str> {
        let Last::Name(name) = self.last else {
            return Err(Errno::EXIST);
        };
        match self.stat(name) {
            Ok(_) if self.slash => Err(Errno::EXIST),
            Err(Errno::NOENT) if self.slash => Err(Errno::NOENT),
            _ => Ok(name),
        }
    }
}

fn stat_at(dir: BorrowedFd<'_>, name: &str) -> FsResult<libc::stat> {
    with_cstr(name, |name| {
        stat_of(|stat| {
            // SAFETY: the descriptor is open, `name` ends in NUL, and `stat` has room for the result.
            unsafe {
                libc::fstatat(dir.as_raw_fd(), name.as_ptr(), stat, libc::AT_SYMLINK_NOFOLLOW)
            }
        })
    })
}

/// The result of a call that returns 0 or sets `errno`.
fn check(result: c_int) -> FsResult<()> {
    if result == 0 { Ok(()) } else { Err(Errno::last()) }
}

impl FileSystem for HostDir {
    fn open(&self, path: &str, options: OpenOptions) -> FsResult<Arc<dyn File>> {
        // Kernels differ in what this makes, so none is asked.
        if options.create && options.directory {
            return Err(Errno::INVAL);
        }
        let writes = options.write || options.append;
        let mut flags = match (options.read, writes) {
            (true, true) => libc::O_RDWR,
            (false, true) => libc::O_WRONLY,
            (_, false) => libc::O_RDONLY,
        };
        // Not `O_APPEND`: with it Linux appends in pwrite too. See `HostFile::append`.
        for (set, flag) in [
            (options.create, libc::O_CREAT),
            (options.create && options.exclusive, libc::O_EXCL),
            (options.truncate, libc::O_TRUNC),
            (options.directory, libc::O_DIRECTORY),
            (options.no_follow, libc::O_NOFOLLOW),
        ] {
            if set {
                flags |= flag;
            }
        }
        let fd = self.resolve(path, flags | libc::O_NOCTTY)?;
        Ok(Arc::new(HostFile::new(fd, Arc::clone(&self.append))))
    }

    #[cfg(target_os = "linux")]
    fn metadata(&self, path: &str, follow: bool) -> FsResult<Metadata> {
        let no_follow = if follow { 0 } else { libc::O_NOFOLLOW };
        let fd = self.resolve(path, libc::O_PATH | no_follow)?;
        file::stat_fd(fd.as_fd()).map(|stat| stat_to_metadata(&stat))
    }

    #[cfg(not(target_os = "linux"))]
    fn metadata(&self, path: &str, follow: bool) -> FsResult<Metadata> {
        let place = resolve::walk(self.root.as_fd(), path, follow.into())?;
        let name = place.name.as_deref().unwrap_or(".");
        stat_at(place.dir.as_fd(), name).map(|stat| stat_to_metadata(&stat))
    }

    fn create_dir(&self, path: &str) -> FsResult<()> {
        let parent = self.parent(path)?;
        let Last::Name(name) = parent.last else {
            return Err(Errno::EXIST);
        };
        with_cstr(name, |name| {
            // SAFETY: the descriptor is open and `name` ends in NUL.
            check(unsafe { libc::mkdirat(parent.fd(), name.as_ptr(), DIRECTORY_MODE) })
        })
    }

    fn remove_dir(&self, path: &str) -> FsResult<()> {
        let parent = self.parent(path)?;
        let name = match parent.last {
            Last::Name(name) => name,
            Last::Root => return Err(Errno::BUSY),
            Last::Dot => return Err(Errno::INVAL),
            Last::DotDot => return Err(Errno::NOTEMPTY),
        };
        let result = with_cstr(name, |name| {
            // SAFETY: the descriptor is open and `name` ends in NUL.
            check(unsafe { libc::unlinkat(parent.fd(), name.as_ptr(), libc::AT_REMOVEDIR) })
        });
        // POSIX allows both errors; some file systems choose the other.
        result.map_err(|errno| if errno == Errno::EXIST { Errno::NOTEMPTY } else { errno })
    }

    fn remove_file(&self, path: &str) -> FsResult<()> {
        let parent = self.parent(path)?;
        let Last::Name(name) = parent.last else {
            return Err(Errno::ISDIR);
        };
        parent.require_directory_if_slash(name)?;
        let result = with_cstr(name, |name| {
            // SAFETY: the descriptor is open and `name` ends in NUL.
            check(unsafe { libc::unlinkat(parent.fd(), name.as_ptr(), 0) })
        });
        match result {
            // What POSIX says of a directory where Linux says EISDIR.
            Err(Errno::PERM) if parent.stat(name).is_ok_and(|stat| is_dir(&stat)) => {
                Err(Errno::ISDIR)
            }
            result => result,
        }
    }

    fn rename(&self, from: &str, to: &str) -> FsResult<()> {
        let (from, to) = (self.parent(from)?, self.parent(to)?);
        let (Last::Name(old), Last::Name(new)) = (from.last, to.last) else {
            return Err(Errno::BUSY);
        };
        if from.slash || to.slash {
            // Either slash says that what is renamed is a directory.
            if !is_dir(&from.stat(old)?) {
                return Err(Errno::NOTDIR);
            }
        }
        let result = with_cstr(old, |old| {
            with_cstr(new, |new| {
                // SAFETY: both descriptors are open and both names end in NUL.
                check(unsafe { libc::renameat(from.fd(), old.as_ptr(), to.fd(), new.as_ptr()) })
            })
        });
        result.map_err(|errno| if errno == Errno::EXIST { Errno::NOTEMPTY } else { errno })
    }

    fn link(&self, from: &str, to: &str) -> FsResult<()> {
        let (from, to) = (self.parent(from)?, self.parent(to)?);
        // `.` and the like stand for the directory, which the host refuses in its own order.
        let old = match from.last {
            Last::Name(old) => old,
            Last::Root | Last::Dot | Last::DotDot => ".",
        };
        from.require_directory_if_slash(old)?;
        let new = match to.new_name() {
            Ok(new) => new,
            // That the old name is missing comes first.
            Err(errno) => return Err(from.stat(old).err().unwrap_or(errno)),
        };
        with_cstr(old, |old| {
            with_cstr(new, |new| {
                // SAFETY: both descriptors are open and both names end in NUL.
                check(unsafe { libc::linkat(from.fd(), old.as_ptr(), to.fd(), new.as_ptr(), 0) })
            })
        })
    }

    fn symlink(&self, target: &str, path: &str) -> FsResult<()> {
        path::check_target(target)?;
        let parent = self.parent(path)?;
        let name = parent.new_name()?;
        with_cstr(target, |target| {
            with_cstr(name, |name| {
                // SAFETY: the descriptor is open and both texts end in NUL.
                check(unsafe { libc::symlinkat(target.as_ptr(), parent.fd(), name.as_ptr()) })
            })
        })
    }

    fn read_link(&self, path: &str) -> FsResult<String> {
        let parent = self.parent(path)?;
        match parent.last {
            Last::Name(name) if !parent.slash => resolve::read_link(parent.dir.as_fd(), name),
            // A directory, or nothing at all.
            _ => Err(self.metadata(path, true).err().unwrap_or(Errno::INVAL)),
        }
    }
}

fn is_dir(stat: &libc::stat) -> bool {
    kind_of_mode(stat.st_mode) == FileKind::Directory
}
