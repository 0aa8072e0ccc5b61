//! Anonymous files in memory, the backing of windows and of process images.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::page_buffer::PageBuffer;

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

/// Copies what is not a hole of a range of a file to another that is empty, where it begins at `place`.
pub(crate) fn copy_range(
    from: &impl AsFd,
    to: &impl AsFd,
    range: Range<usize>,
    place: usize,
) -> io::Result<()> {
    let target = File::from(to.as_fd().try_clone_to_owned()?);
    each_part(from.as_fd(), range.clone(), &mut |offset, bytes| {
        target.write_all_at(bytes, (offset - range.start + place) as u64)
    })
}

/// Calls `each` with the blocks of a range of a file that are not in a hole, in their order. The range
/// begins and ends with blocks, and so do the file's holes.
pub(crate) fn each_block(
    file: &impl AsFd,
    range: Range<usize>,
    block: usize,
    mut each: impl FnMut(usize, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    each_part(file.as_fd(), range, &mut |offset, bytes| {
        let mut offsets = (offset..).step_by(block);
        bytes
            .chunks_exact(block)
            .try_for_each(|bytes| each(offsets.next().expect("a range without end"), bytes))
    })
}

/// Calls `each` with what is not a hole of a range of a file, in parts.
fn each_part(
    file: BorrowedFd<'_>,
    range: Range<usize>,
    each: &mut dyn FnMut(usize, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let source = File::from(file.try_clone_to_owned()?);
    let mut buffer = PageBuffer::new(256 << 10);
    each_data(&file, range, |data| {
        for offset in data.clone().step_by(buffer.len()) {
            let len = buffer.len().min(data.end - offset);
            source.read_exact_at(&mut buffer[..len], offset as u64)?;
            each(offset, &buffer[..len])?;
        }
        Ok(())
    })
}

/// Calls `each` with the parts of a range of a file that are not holes, in their order.
pub(crate) fn each_data(
    file: &impl AsFd,
    range: Range<usize>,
    mut each: impl FnMut(Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut offset = range.start;
    while let Some(data) = next_data(file.as_fd(), offset as u64)? {
        let data = data.start as usize..range.end.min(data.end as usize);
        if data.start >= range.end {
            break;
        }
        offset = data.end;
        each(data)?;
    }
    Ok(())
}

/// The next part of a file, from `offset` on, that is not a hole.
#[cfg(target_os = "linux")]
fn next_data(file: BorrowedFd<'_>, offset: u64) -> io::Result<Option<Range<u64>>> {
    let seek = |offset: u64, whence| {
        // SAFETY: no pointers.
        let at = unsafe { libc::lseek(file.as_raw_fd(), offset as libc::off_t, whence) };
        if at < 0 { Err(io::Error::last_os_error()) } else { Ok(at as u64) }
    };
    match seek(offset, libc::SEEK_DATA) {
        Ok(start) => Ok(Some(start..seek(start, libc::SEEK_HOLE)?)),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Without a way to ask, everything is data.
#[cfg(not(target_os = "linux"))]
fn next_data(file: BorrowedFd<'_>, offset: u64) -> io::Result<Option<Range<u64>>> {
    let len = File::from(file.try_clone()?).metadata()?.len();
    Ok((offset < len).then_some(offset..len))
}
