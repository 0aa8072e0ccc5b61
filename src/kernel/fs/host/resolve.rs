//! Paths inside a host directory, resolved so that nothing leads out of it.
//!
//! The meaning is `openat2(2)`'s `RESOLVE_IN_ROOT`: the directory is `/`; `..` stops there, and
//! absolute symlinks start there. Where the kernel has no `openat2` (before Linux 5.6, under a
//! seccomp filter that refuses it, macOS) the path is walked one component at a time, each opened
//! with `O_NOFOLLOW` relative to the descriptor of the one before. `..` then goes back to a descriptor
//! that the walk holds instead of asking the host, so that a directory that is moved meanwhile
//! cannot carry the walk outside.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::c_int;

use crate::kernel::errno::Errno;
use crate::kernel::fs::FsResult;
use crate::kernel::fs::path::{self, Ending, LINKS_MAX, PATH_MAX};

/// Opens a directory only to use it as the start of an `*at` call.
#[cfg(target_os = "linux")]
const DIRECTORY_HANDLE: c_int = libc::O_PATH | libc::O_DIRECTORY;
#[cfg(not(target_os = "linux"))]
const DIRECTORY_HANDLE: c_int = libc::O_RDONLY | libc::O_DIRECTORY;

const FILE_MODE: libc::mode_t = 0o600;

/// How paths are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    #[cfg(target_os = "linux")]
    Openat2,
    Walk,
}

impl Method {
    /// The best that the running kernel has.
    pub(super) fn detect(root: BorrowedFd<'_>) -> Method {
        #[cfg(target_os = "linux")]
        if openat2(root, c".", DIRECTORY_HANDLE | libc::O_CLOEXEC).is_ok() {
            return Method::Openat2;
        }
        let _ = root;
        Method::Walk
    }
}

/// A directory reached by a resolution.
pub(super) enum Dir<'a> {
    Root(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl AsFd for Dir<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Dir::Root(fd) => *fd,
            Dir::Below(fd) => fd.as_fd(),
        }
    }
}

/// Where a walk ended: a name in a directory, or (`None`) the directory itself.
pub(super) struct Place<'a> {
    pub(super) dir: Dir<'a>,
    pub(super) name: Option<String>,
}

/// Calls `body` with `text` as a C string; on the stack for all but long ones, since every open of
/// a relation file passes here.
pub(super) fn with_cstr<T>(text: &str, body: impl FnOnce(&CStr) -> FsResult<T>) -> FsResult<T> {
    let mut short = [0u8; 256];
    let mut long = Vec::new();
    let bytes: &[u8] = if text.len() < short.len() {
        short[..text.len()].copy_from_slice(text.as_bytes());
        &short[..=text.len()]
    } else {
        long.extend_from_slice(text.as_bytes());
        long.push(0);
        &long
    };
    body(CStr::from_bytes_with_nul(bytes).map_err(|_| Errno::INVAL)?)
}

/// Opens `path` below `root`. `flags` are the host's; `O_CLOEXEC` is added.
pub(super) fn open(
    method: Method,
    root: BorrowedFd<'_>,
    path: &str,
    flags: c_int,
) -> FsResult<OwnedFd> {
    path::check(path)?;
    let flags = flags | libc::O_CLOEXEC;
    match method {
        #[cfg(target_os = "linux")]
        Method::Openat2 => {
            // EAGAIN: a rename raced with a `..`. The walk has no such case.
            for _ in 0..16 {
                match with_cstr(path, |path| openat2(root, path, flags)) {
                    Err(Errno::AGAIN) => {}
                    result => return result,
                }
            }
            open_by_walk(root, path, flags)
        }
        Method::Walk => open_by_walk(root, path, flags),
    }
}

/// The directory at `path` below `root`, to start `*at` calls from.
pub(super) fn directory<'a>(method: Method, root: BorrowedFd<'a>, path: &str) -> FsResult<Dir<'a>> {
    if path::components(path).next().is_none() {
        return Ok(Dir::Root(root));
    }
    open(method, root, path, DIRECTORY_HANDLE).map(Dir::Below)
}

fn open_by_walk(root: BorrowedFd<'_>, path: &str, flags: c_int) -> FsResult<OwnedFd> {
    let create = flags & libc::O_CREAT != 0;
    let exclusive = create && flags & libc::O_EXCL != 0;
    let follow = flags & libc::O_NOFOLLOW == 0 && !exclusive;
    let place = walk(root, path, Ending { follow, create })?;
    if create && place.name.is_none() {
        return Err(if exclusive { Errno::EXIST } else { Errno::ISDIR });
    }
    let name = place.name.as_deref().unwrap_or(".");
    with_cstr(name, |name| openat(place.dir.as_fd(), name, flags | libc::O_NOFOLLOW))
}

/// Follows `path` up to its last component, and that as `ending` says.
pub(super) fn walk<'a>(root: BorrowedFd<'a>, path: &str, ending: Ending) -> FsResult<Place<'a>> {
    path::check(path)?;
    let mut below: Vec<OwnedFd> = Vec::new();
    // Components still to go, the next one last.
    let mut rest: Vec<String> = Vec::new();
    push_components(&mut rest, path);
    let mut links = 0;
    let mut name = None;
    while let Some(component) = rest.pop() {
        let here = below.last().map_or(root, AsFd::as_fd);
        match &component[..] {
            "." | SLASH => continue,
            ".." => {
                below.pop();
                continue;
            }
            _ => {}
        }
        if ending.create && rest == [SLASH] {
            return Err(Errno::ISDIR);
        }
        if rest.is_empty() && !ending.follow {
            name = Some(component);
            break;
        }
        if !rest.is_empty() {
            let flags = DIRECTORY_HANDLE | libc::O_NOFOLLOW | libc::O_CLOEXEC;
            match with_cstr(&component, |name| openat(here, name, flags)) {
                Ok(fd) => {
                    below.push(fd);
                    continue;
                }
                // What a symlink gives, depending on the host.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::MLINK) => {}
                Err(errno) => return Err(errno),
            }
        }
        match read_link(here, &component) {
            Ok(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                if target.starts_with('/') {
                    below.clear();
                }
                push_components(&mut rest, &target);
            }
            Err(Errno::INVAL) if !rest.is_empty() => return Err(Errno::NOTDIR),
            Err(Errno::INVAL | Errno::NOENT) if rest.is_empty() => {
                name = Some(component);
                break;
            }
            Err(errno) => return Err(errno),
        }
    }
    let dir = below.pop().map_or(Dir::Root(root), Dir::Below);
    Ok(Place { dir, name })
}

/// Stands for the slash at the end of a path: it asks for a directory, as one more `.` would.
const SLASH: &str = "";

/// Puts the components of `path` in front of what is left to walk.
fn push_components(rest: &mut Vec<String>, path: &str) {
    if path.ends_with('/') {
        rest.push(SLASH.to_owned());
    }
    rest.extend(path::components(path).rev().map(str::to_owned));
}

/// The target of the symlink `name`; `EINVAL` if it is something else.
pub(super) fn read_link(dir: BorrowedFd<'_>, name: &str) -> FsResult<String> {
    let mut buffer = [0u8; PATH_MAX];
    let len = with_cstr(name, |name| {
        // SAFETY: the descriptor is open, `name` ends in NUL, and the buffer is as long as said.
        let len = unsafe {
            libc::readlinkat(
                dir.as_raw_fd(),
                name.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        };
        usize::try_from(len).map_err(|_| Errno::last())
    })?;
    // A guest path is text, so a target that is not cannot lead anywhere.
    String::from_utf8(buffer[..len].to_vec()).map_err(|_| Errno::NOENT)
}

pub(super) fn openat(dir: BorrowedFd<'_>, name: &CStr, flags: c_int) -> FsResult<OwnedFd> {
    loop {
        let mode = libc::c_uint::from(FILE_MODE);
        // SAFETY: the descriptor is open and `name` ends in NUL; the mode is the one variadic
        // argument that `O_CREAT` reads.
        let fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, mode) };
        if fd >= 0 {
            // SAFETY: the call just returned this descriptor, and nothing else owns it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        match Errno::last() {
            Errno::INTR => {}
            errno => return Err(errno),
        }
    }
}

#[cfg(target_os = "linux")]
fn openat2(root: BorrowedFd<'_>, path: &CStr, flags: c_int) -> FsResult<OwnedFd> {
    /// `struct open_how` of `<linux/openat2.h>`, its first version.
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    const RESOLVE_IN_ROOT: u64 = 0x10;

    let how = OpenHow {
        flags: u64::from(flags.cast_unsigned()),
        // The call refuses a mode where nothing is created.
        mode: if flags & libc::O_CREAT != 0 { u64::from(FILE_MODE) } else { 0 },
        resolve: RESOLVE_IN_ROOT,
    };
    loop {
        // SAFETY: the descriptor is open, `path` ends in NUL, and `how` has the size given.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<OpenHow>(),
            )
        };
        if fd >= 0 {
            let fd = c_int::try_from(fd).expect("a descriptor is an int");
            // SAFETY: the call just returned this descriptor, and nothing else owns it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        match Errno::last() {
            Errno::INTR => {}
            errno => return Err(errno),
        }
    }
}
