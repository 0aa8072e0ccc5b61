//! Anonymous files in memory, the backing of windows and of process images.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A file of `len` zero bytes that has no name and takes no room until it is written.
pub(crate) fn create(name: &str, len: usize) -> io::Result<OwnedFd> {
    let fd = open(name)?;
    // SAFETY: takes a descriptor we own and no pointers.
    if unsafe { libc::ftruncate(fd.as_raw_fd(), len as libc::off_t) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}

#[cfg(target_os = "linux")]
fn open(name: &str) -> io::Result<OwnedFd> {
    let name = CString::new(name).expect("names are literals without NUL");
    // SAFETY: `name` is a C string for the length of the call.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(not(target_os = "linux"))]
fn open(name: &str) -> io::Result<OwnedFd> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Names are short: macOS allows 31 bytes.
    let unique = format!("/pgl{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let _ = name;
    let unique = CString::new(unique).expect("digits have no NUL");
    // SAFETY: `unique` is a C string for the length of both calls; the name goes at once.
    let fd = unsafe {
        let fd =
            libc::shm_open(unique.as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600);
        if fd >= 0 {
            libc::shm_unlink(unique.as_ptr());
        }
        fd
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
