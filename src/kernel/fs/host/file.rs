//! An open host file.

use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libc::c_int;

use super::{check, resolve, stat_at};
use crate::kernel::errno::Errno;
use crate::kernel::fs::{DirEntry, File, FileKind, FsResult, Metadata};

/// Most buffers that one vectored call takes; `IOV_MAX` of Linux and macOS.
const BUFFERS_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct HostFile {
    fd: OwnedFd,
    append: Arc<Mutex<()>>,
}

impl HostFile {
    pub(super) fn new(fd: OwnedFd, append: Arc<Mutex<()>>) -> HostFile {
        HostFile { fd, append }
    }

    fn raw(&self) -> c_int {
        self.fd.as_raw_fd()
    }
}

impl File for HostFile {
    fn metadata(&self) -> FsResult<Metadata> {
        stat_fd(self.fd.as_fd()).map(|stat| stat_to_metadata(&stat))
    }

    fn read_at(&self, mut buffers: &mut [IoSliceMut<'_>], offset: u64) -> FsResult<usize> {
        let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let mut done = 0;
        // The trait promises all bytes up to the end of the file; the host may return fewer.
        loop {
            let position = host_offset(offset, done)?;
            let count = buffers.len().min(BUFFERS_MAX);
            let read = retry(|| {
                // SAFETY: `IoSliceMut` has the layout of `iovec`, at least `count` of them are there,
                // and each has exclusive use of its bytes until the call returns.
                unsafe {
                    libc::preadv(
                        self.raw(),
                        buffers.as_mut_ptr().cast::<libc::iovec>(),
                        iov_count(count),
                        position,
                    )
                }
            });
            match read {
                Ok(read) => {
                    done += read;
                    if read == 0 || done == wanted {
                        return Ok(done);
                    }
                    IoSliceMut::advance_slices(&mut buffers, read);
                }
                // What was read counts; the next call will report the error.
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> FsResult<usize> {
        let position = host_offset(offset, 0)?;
        let count = buffers.len().min(BUFFERS_MAX);
        retry(|| {
            // SAFETY: `IoSlice` has the layout of `iovec`, and at least `count` of them are there.
            unsafe {
                libc::pwritev(
                    self.raw(),
                    buffers.as_ptr().cast::<libc::iovec>(),
                    iov_count(count),
                    position,
                )
            }
        })
    }

    fn append(&self, buffers: &[IoSlice<'_>]) -> FsResult<(usize, u64)> {
        // The lock guards no data that a panic could have left half changed.
        let _guard = self.append.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.metadata()?.len;
        let written = self.write_at(buffers, end)?;
        Ok((written, end + written as u64))
    }

    fn set_len(&self, len: u64) -> FsResult<()> {
        let len = libc::off_t::try_from(len).map_err(|_| Errno::INVAL)?;
        // SAFETY: the descriptor is open.
        retry(|| unsafe { libc::ftruncate(self.raw(), len) } as isize).map(drop)
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, offset: u64, len: u64) -> FsResult<()> {
        let offset = libc::off_t::try_from(offset).map_err(|_| Errno::INVAL)?;
        let len = libc::off_t::try_from(len).map_err(|_| Errno::INVAL)?;
        loop {
            // SAFETY: the descriptor is open. The call returns its error and leaves `errno` alone.
            match unsafe { libc::posix_fallocate(self.raw(), offset, len) } {
                0 => return Ok(()),
                libc::EINTR => {}
                errno => return Err(Errno::from_host(errno)),
            }
        }
    }

    #[cfg(target_vendor = "apple")]
    fn allocate(&self, offset: u64, len: u64) -> FsResult<()> {
        if len == 0 {
            return Err(Errno::INVAL);
        }
        let end = offset.checked_add(len).ok_or(Errno::FBIG)?;
        let old = self.metadata()?.len;
        if end <= old {
            return Ok(());
        }
        let length = libc::off_t::try_from(end - old).map_err(|_| Errno::FBIG)?;
        let mut store = libc::fstore_t {
            fst_flags: libc::F_ALLOCATEALL,
            fst_posmode: libc::F_PEOFPOSMODE,
            fst_offset: 0,
            fst_length: length,
            fst_bytesalloc: 0,
        };
        // SAFETY: the descriptor is open, and `store` is what the command reads and writes.
        let result = unsafe { libc::fcntl(self.raw(), libc::F_PREALLOCATE, &raw mut store) };
        if result == -1 {
            return Err(Errno::last());
        }
        self.set_len(end)
    }

    #[cfg(target_os = "linux")]
    fn sync(&self, data_only: bool) -> FsResult<()> {
        // Only an interruption may be tried again: after EIO the host has dropped the pages, and a
        // second fsync would report success for data that is lost.
        retry(|| {
            let fd = self.raw();
            // SAFETY: the descriptor is open.
            let result = unsafe { if data_only { libc::fdatasync(fd) } else { libc::fsync(fd) } };
            result as isize
        })
        .map(drop)
    }

    #[cfg(target_vendor = "apple")]
    fn sync(&self, _data_only: bool) -> FsResult<()> {
        // fsync there leaves the data in the drive's cache.
        // SAFETY: the descriptor is open.
        match retry(|| unsafe { libc::fcntl(self.raw(), libc::F_FULLFSYNC) } as isize) {
            // File systems without the command (network ones).
            Err(Errno::NOTSUP | Errno::INVAL | Errno::IO) => {}
            result => return result.map(drop),
        }
        // SAFETY: the descriptor is open.
        retry(|| unsafe { libc::fsync(self.raw()) } as isize).map(drop)
    }

    #[cfg(target_os = "linux")]
    fn sync_file_system(&self) -> FsResult<()> {
        // SAFETY: the descriptor is open.
        retry(|| unsafe { libc::syncfs(self.raw()) } as isize).map(drop)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_file_system(&self) -> FsResult<()> {
        // There is no call for one file system; `sync` does not wait for the disk.
        Err(Errno::NOSYS)
    }

    fn set_modified(&self, time: SystemTime) -> FsResult<()> {
        let times = [
            libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
            timespec_of(time).ok_or(Errno::INVAL)?,
        ];
        // SAFETY: the descriptor is open, and the call reads two times.
        check(unsafe { libc::futimens(self.raw(), times.as_ptr()) })
    }

    fn read_dir(&self) -> FsResult<Vec<DirEntry>> {
        // A descriptor of its own, since the position of a listing belongs to the descriptor.
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let fd = resolve::openat(self.fd.as_fd(), c".", flags)?;
        let mut stream = DirStream::open(fd)?;
        let mut entries = Vec::new();
        while let Some(entry) = stream.next(self.fd.as_fd())? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// Runs a call that returns a count or -1 until no signal interrupts it.
fn retry(mut call: impl FnMut() -> isize) -> FsResult<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(count) => return Ok(count),
            Err(_) => match Errno::last() {
                Errno::INTR => {}
                errno => return Err(errno),
            },
        }
    }
}

fn iov_count(count: usize) -> c_int {
    c_int::try_from(count).expect("at most BUFFERS_MAX")
}

fn host_offset(offset: u64, done: usize) -> FsResult<libc::off_t> {
    offset
        .checked_add(done as u64)
        .and_then(|offset| libc::off_t::try_from(offset).ok())
        .ok_or(Errno::INVAL)
}

/// The `stat` that `call` fills in.
pub(super) fn stat_of(call: impl FnOnce(*mut libc::stat) -> c_int) -> FsResult<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    check(call(stat.as_mut_ptr()))?;
    // SAFETY: the call succeeded, and then it has filled in all of it.
    Ok(unsafe { stat.assume_init() })
}

pub(super) fn stat_fd(fd: BorrowedFd<'_>) -> FsResult<libc::stat> {
    stat_of(|stat| {
        // SAFETY: the descriptor is open, and `stat` has room for the result.
        unsafe { libc::fstat(fd.as_raw_fd(), stat) }
    })
}

pub(super) fn kind_of_mode(mode: libc::mode_t) -> FileKind {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => FileKind::Directory,
        libc::S_IFREG => FileKind::Regular,
        libc::S_IFLNK => FileKind::Symlink,
        libc::S_IFCHR => FileKind::CharacterDevice,
        _ => FileKind::Other,
    }
}

/// Field types differ between hosts; the casts are no-ops or widenings on all of them.
#[allow(clippy::unnecessary_cast)]
pub(super) fn stat_to_metadata(stat: &libc::stat) -> Metadata {
    Metadata {
        kind: kind_of_mode(stat.st_mode),
        len: stat.st_size as u64,
        inode: stat.st_ino as u64,
        links: stat.st_nlink as u64,
        accessed: time_of(stat.st_atime as i64, stat.st_atime_nsec as i64),
        modified: time_of(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed: time_of(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
    }
}

fn time_of(seconds: i64, nanoseconds: i64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base =
        if seconds >= 0 { UNIX_EPOCH.checked_add(whole) } else { UNIX_EPOCH.checked_sub(whole) };
    let fraction = Duration::from_nanos(nanoseconds.unsigned_abs());
    base.and_then(|base| base.checked_add(fraction)).unwrap_or(UNIX_EPOCH)
}

fn timespec_of(time: SystemTime) -> Option<libc::timespec> {
    let (seconds, nanoseconds) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).ok()?, after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).ok()?.checked_neg()?;
            match before.subsec_nanos() {
                0 => (whole, 0),
                nanoseconds => (whole - 1, 1_000_000_000 - nanoseconds),
            }
        }
    };
    Some(libc::timespec {
        tv_sec: seconds,
        tv_nsec: libc::c_long::from(i32::try_from(nanoseconds).ok()?),
    })
}

/// An open `DIR`.
struct DirStream(NonNull<libc::DIR>);

impl DirStream {
    fn open(fd: OwnedFd) -> FsResult<DirStream> {
        // SAFETY: the descriptor is open, and the stream owns it from here on.
        let stream = unsafe { libc::fdopendir(fd.as_raw_fd()) };
        let stream = NonNull::new(stream).ok_or_else(Errno::last)?;
        // Only now: had the call failed, the descriptor would still be ours to close.
        let _ = fd.into_raw_fd();
        Ok(DirStream(stream))
    }

    /// The next name; `dir` is asked for its kind where the stream does not say.
    fn next(&mut self, dir: BorrowedFd<'_>) -> FsResult<Option<DirEntry>> {
        loop {
            set_errno(0);
            // SAFETY: the stream is open, and only this thread uses it.
            let entry = unsafe { libc::readdir(self.0.as_ptr()) };
            if entry.is_null() {
                return match std::io::Error::last_os_error().raw_os_error() {
                    None | Some(0) => Ok(None),
                    Some(errno) => Err(Errno::from_host(errno)),
                };
            }
            // By field address: the record is only as long as its name, not a whole `dirent`.
            // SAFETY: `readdir` returned a record, valid until the next call on the stream, whose
            // name ends in NUL.
            let (name, kind, inode) = unsafe {
                let name = CStr::from_ptr((&raw const (*entry).d_name).cast());
                (name, (*entry).d_type, (*entry).d_ino)
            };
            if name == c"." || name == c".." {
                continue;
            }
            // A name that is not text cannot be opened; listed so, it is at least seen.
            let name = name.to_string_lossy().into_owned();
            let kind = match kind {
                libc::DT_DIR => FileKind::Directory,
                libc::DT_REG => FileKind::Regular,
                libc::DT_LNK => FileKind::Symlink,
                libc::DT_CHR => FileKind::CharacterDevice,
                libc::DT_UNKNOWN => match stat_at(dir, &name) {
                    Ok(stat) => kind_of_mode(stat.st_mode),
                    // Removed since it was listed.
                    Err(_) => FileKind::Other,
                },
                _ => FileKind::Other,
            };
            return Ok(Some(DirEntry { name, kind, inode }));
        }
    }
}

impl Drop for DirStream {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and this is its last use. It also closes the descriptor.
        unsafe { libc::closedir(self.0.as_ptr()) };
    }
}

/// The end of a directory and an error look the same but for `errno`.
fn set_errno(value: c_int) {
    // SAFETY: the pointer is to the calling thread's own `errno`.
    unsafe {
        #[cfg(target_os = "linux")]
        let errno = libc::__errno_location();
        #[cfg(target_vendor = "apple")]
        let errno = libc::__error();
        *errno = value;
    }
}
