//! Calls on descriptors.

use std::io::{IoSlice, IoSliceMut, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::CallResult;
use super::sockets;
use super::system::nanoseconds_since_epoch;
use crate::kernel::descriptor::{Kind, Open, flags};
use crate::kernel::errno::Errno;
use crate::kernel::fs::{DirEntry, FileKind, Metadata};
use crate::kernel::process::Context;

/// WASI's `filetype`.
pub(super) fn file_type(kind: FileKind) -> u8 {
    match kind {
        FileKind::CharacterDevice => 2,
        FileKind::Directory => 3,
        FileKind::Regular => 4,
        FileKind::Symlink => 7,
        FileKind::Other => 0,
    }
}

const SOCKET_STREAM: u8 = 6;

/// WASI's `filestat`: 64 bytes.
pub(super) fn put_filestat(context: &Context, at: u32, metadata: &Metadata) -> CallResult {
    let mut bytes = [0u8; 64];
    bytes[8..16].copy_from_slice(&metadata.inode.to_le_bytes());
    bytes[16] = file_type(metadata.kind);
    bytes[24..32].copy_from_slice(&metadata.links.to_le_bytes());
    bytes[32..40].copy_from_slice(&metadata.len.to_le_bytes());
    for (index, time) in
        [metadata.accessed, metadata.modified, metadata.changed].into_iter().enumerate()
    {
        let start = 40 + 8 * index;
        bytes[start..start + 8].copy_from_slice(&nanoseconds_since_epoch(time).to_le_bytes());
    }
    context.region.write(at, &bytes)
}

/// WASI's `fstflags`: the modification time to set, if it is to be set.
pub(super) fn modified_time(which: u32, modified: u64) -> Option<SystemTime> {
    const MODIFIED: u32 = 4;
    const MODIFIED_NOW: u32 = 8;
    if which & MODIFIED_NOW != 0 {
        Some(SystemTime::now())
    } else if which & MODIFIED != 0 {
        Some(UNIX_EPOCH + Duration::from_nanos(modified))
    } else {
        None
    }
}

/// Most calls have one buffer, two at the most: no allocation for those.
const MAX_VECTORS: u32 = 1024;

/// The buffers of a vectored call.
fn vectors(context: &Context, vectors: u32, count: u32) -> Result<Vec<&mut [u8]>, Errno> {
    if count > MAX_VECTORS {
        return Err(Errno::INVAL);
    }
    (0..count)
        .map(|index| {
            let at = vectors + 8 * index;
            let buffer = context.region.read_u32(at)?;
            let len = context.region.read_u32(at + 4)?;
            context.region.slice_mut(buffer, len as usize)
        })
        .collect()
}

/// Runs `read` on the buffers.
pub(super) fn with_read_buffers<R>(
    context: &Context,
    at: u32,
    count: u32,
    read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<R, Errno>,
) -> Result<R, Errno> {
    if count == 1 {
        let buffer = context.region.read_u32(at)?;
        let len = context.region.read_u32(at + 4)?;
        let bytes = context.region.slice_mut(buffer, len as usize)?;
        return read(&mut [IoSliceMut::new(bytes)]);
    }
    let mut slices: Vec<_> =
        vectors(context, at, count)?.into_iter().map(IoSliceMut::new).collect();
    read(&mut slices)
}

pub(super) fn with_write_buffers<R>(
    context: &Context,
    at: u32,
    count: u32,
    write: impl FnOnce(&[IoSlice<'_>]) -> Result<R, Errno>,
) -> Result<R, Errno> {
    if count == 1 {
        let buffer = context.region.read_u32(at)?;
        let len = context.region.read_u32(at + 4)?;
        return write(&[IoSlice::new(context.region.slice(buffer, len as usize)?)]);
    }
    let buffers = vectors(context, at, count)?;
    let slices: Vec<_> = buffers.iter().map(|buffer| IoSlice::new(buffer)).collect();
    write(&slices)
}

fn position(open: &Open) -> MutexGuard<'_, u64> {
    open.position.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn host_result(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno::last())
}

fn read_stream(fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    // SAFETY: `IoSliceMut` has the layout of `iovec`; the buffers live through the call.
    host_result(unsafe {
        libc::readv(fd.as_raw_fd(), buffers.as_ptr().cast(), buffers.len() as libc::c_int)
    })
}

fn write_stream(fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
    // SAFETY: `IoSlice` has the layout of `iovec`; the buffers live through the call.
    host_result(unsafe {
        libc::writev(fd.as_raw_fd(), buffers.as_ptr().cast(), buffers.len() as libc::c_int)
    })
}

pub(super) fn fd_advise(
    context: &mut Context,
    fd: i32,
    _offset: u64,
    _len: u64,
    _advice: u32,
) -> CallResult {
    context.descriptors.get(fd).map(drop)
}

pub(super) fn fd_allocate(context: &mut Context, fd: i32, offset: u64, len: u64) -> CallResult {
    context.descriptors.get(fd)?.file()?.allocate(offset, len)
}

pub(super) fn fd_close(context: &mut Context, fd: i32) -> CallResult {
    context.descriptors.close(fd).map(drop)
}

pub(super) fn fd_datasync(context: &mut Context, fd: i32) -> CallResult {
    context.descriptors.get(fd)?.file()?.sync(true)
}

pub(super) fn fd_sync(context: &mut Context, fd: i32) -> CallResult {
    context.descriptors.get(fd)?.file()?.sync(false)
}

pub(super) fn fd_sync_file_system(context: &mut Context, fd: i32) -> CallResult {
    context.descriptors.get(fd)?.file()?.sync_file_system()
}

pub(super) fn fd_dup(context: &mut Context, fd: i32, result: u32) -> CallResult {
    let open = context.descriptors.get(fd)?.clone();
    let copy = context.descriptors.add(open)?;
    context.region.write_u32(result, copy as u32)
}

pub(super) fn fd_pipe(context: &mut Context, reader: u32, writer: u32) -> CallResult {
    let (read_end, write_end) = std::io::pipe()?;
    for (end, at) in [(OwnedFd::from(read_end), reader), (OwnedFd::from(write_end), writer)] {
        let open = Open::new(Kind::Pipe(end), String::new(), 0);
        let fd = context.descriptors.add(Arc::new(open))?;
        context.region.write_u32(at, fd as u32)?;
    }
    Ok(())
}

pub(super) fn fd_fdstat_get(context: &mut Context, fd: i32, result: u32) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let is_terminal = matches!(&open.kind, Kind::Pipe(fd) if fd.is_terminal());
    let kind = match &open.kind {
        Kind::File(file) => file_type(file.metadata()?.kind),
        Kind::Socket(_) | Kind::Local(_) => SOCKET_STREAM,
        Kind::Pipe(_) if is_terminal => file_type(FileKind::CharacterDevice),
        Kind::Pipe(_) => 0,
        Kind::Console(_) | Kind::Null => file_type(FileKind::CharacterDevice),
    };
    let mut bytes = [0u8; 24];
    bytes[0] = kind;
    bytes[2..4].copy_from_slice(&open.flags().to_le_bytes());
    bytes[8..24].fill(0xff); // every right
    if is_terminal {
        // By these two, fd_seek and fd_tell, `isatty` tells a terminal from other devices.
        bytes[8] &= !(1 << 2 | 1 << 5);
    }
    context.region.write(result, &bytes)
}

pub(super) fn fd_fdstat_set_flags(context: &mut Context, fd: i32, flags: u32) -> CallResult {
    context.descriptors.get(fd)?.set_flags(flags as u16)
}

pub(super) fn fd_filestat_get(context: &mut Context, fd: i32, result: u32) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let metadata = match &open.kind {
        Kind::File(file) => file.metadata()?,
        Kind::Console(_) | Kind::Null => nothing(FileKind::CharacterDevice),
        Kind::Pipe(_) | Kind::Socket(_) | Kind::Local(_) => nothing(FileKind::Other),
    };
    put_filestat(context, result, &metadata)
}

fn nothing(kind: FileKind) -> Metadata {
    Metadata {
        kind,
        len: 0,
        inode: 0,
        links: 1,
        accessed: UNIX_EPOCH,
        modified: UNIX_EPOCH,
        changed: UNIX_EPOCH,
    }
}

pub(super) fn fd_filestat_set_size(context: &mut Context, fd: i32, len: u64) -> CallResult {
    context.descriptors.get(fd)?.file()?.set_len(len)
}

pub(super) fn fd_filestat_set_times(
    context: &mut Context,
    fd: i32,
    _accessed: u64,
    modified: u64,
    which: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?;
    match modified_time(which, modified) {
        Some(time) => open.file()?.set_modified(time),
        None => Ok(()),
    }
}

pub(super) fn fd_pread(
    context: &mut Context,
    fd: i32,
    vectors: u32,
    count: u32,
    offset: u64,
    result: u32,
) -> CallResult {
    let file = context.descriptors.get(fd)?.file()?;
    let read = with_read_buffers(context, vectors, count, |buffers| file.read_at(buffers, offset))?;
    context.region.write_u32(result, read as u32)
}

pub(super) fn fd_pwrite(
    context: &mut Context,
    fd: i32,
    vectors: u32,
    count: u32,
    offset: u64,
    result: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let file = open.file()?;
    let written =
        with_write_buffers(context, vectors, count, |buffers| file.write_at(buffers, offset))?;
    if open.is_synchronous() {
        file.sync(true)?;
    }
    context.region.write_u32(result, written as u32)
}

pub(super) fn fd_read(
    context: &mut Context,
    fd: i32,
    vectors: u32,
    count: u32,
    result: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let read = with_read_buffers(context, vectors, count, |buffers| match &open.kind {
        Kind::File(file) => {
            let mut position = position(open);
            let read = file.read_at(buffers, *position)?;
            *position += read as u64;
            Ok(read)
        }
        Kind::Pipe(fd) => read_stream(fd.as_fd(), buffers),
        Kind::Socket(_) | Kind::Local(_) => sockets::receive(context, open, buffers, 0),
        Kind::Null => Ok(0),
        Kind::Console(_) => Err(Errno::INVAL),
    })?;
    context.region.write_u32(result, read as u32)
}

pub(super) fn fd_write(
    context: &mut Context,
    fd: i32,
    vectors: u32,
    count: u32,
    result: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let written = with_write_buffers(context, vectors, count, |buffers| match &open.kind {
        Kind::File(file) => {
            let mut position = position(open);
            let written = if open.flags() & flags::APPEND != 0 {
                let (written, end) = file.append(buffers)?;
                *position = end;
                written
            } else {
                let written = file.write_at(buffers, *position)?;
                *position += written as u64;
                written
            };
            if open.is_synchronous() {
                file.sync(true)?;
            }
            Ok(written)
        }
        Kind::Pipe(fd) => write_stream(fd.as_fd(), buffers),
        Kind::Socket(_) | Kind::Local(_) => sockets::send(context, open, buffers),
        Kind::Console(console) => {
            buffers.iter().for_each(|buffer| console.write(buffer));
            Ok(buffers.iter().map(|buffer| buffer.len()).sum())
        }
        Kind::Null => Err(Errno::INVAL),
    })?;
    context.region.write_u32(result, written as u32)
}

/// The root of the file system is the one directory that is open from the start.
pub(crate) const ROOT_FD: i32 = 3;

pub(super) fn fd_prestat_get(context: &mut Context, fd: i32, result: u32) -> CallResult {
    if fd != ROOT_FD {
        return Err(Errno::BADF);
    }
    context.region.write_u32(result, 0)?; // a directory
    context.region.write_u32(result + 4, 1)
}

pub(super) fn fd_prestat_dir_name(
    context: &mut Context,
    fd: i32,
    path: u32,
    len: u32,
) -> CallResult {
    if fd != ROOT_FD || len < 1 {
        return Err(Errno::BADF);
    }
    context.region.write(path, b"/")
}

pub(super) fn fd_readdir(
    context: &mut Context,
    fd: i32,
    buffer: u32,
    len: u32,
    cookie: u64,
    result: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let listing = {
        let mut listing = open.listing.lock().unwrap_or_else(PoisonError::into_inner);
        if cookie == 0 || listing.is_none() {
            *listing = Some(Arc::new(open.file()?.read_dir()?));
        }
        listing.clone().expect("just taken")
    };
    let dots =
        [".", ".."].map(|name| DirEntry { name: name.into(), kind: FileKind::Directory, inode: 0 });
    let bytes = context.region.slice_mut(buffer, len as usize)?;
    let mut used = 0;
    for (index, entry) in dots.iter().chain(listing.iter()).enumerate().skip(cookie as usize) {
        let mut record = Vec::with_capacity(24 + entry.name.len());
        record.extend((index as u64 + 1).to_le_bytes());
        record.extend(entry.inode.to_le_bytes());
        record.extend((entry.name.len() as u32).to_le_bytes());
        record.extend([file_type(entry.kind), 0, 0, 0]);
        record.extend(entry.name.as_bytes());
        // A record that is cut off tells the guest to ask again with a larger buffer.
        let fits = record.len().min(bytes.len() - used);
        bytes[used..used + fits].copy_from_slice(&record[..fits]);
        used += fits;
        if used == bytes.len() {
            break;
        }
    }
    context.region.write_u32(result, used as u32)
}

pub(super) fn fd_renumber(context: &mut Context, from: i32, to: i32) -> CallResult {
    context.descriptors.renumber(from, to)
}

pub(super) fn fd_seek(
    context: &mut Context,
    fd: i32,
    offset: i64,
    whence: u32,
    result: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let file = open.file()?;
    let mut position = position(open);
    let base = match whence {
        0 => 0,
        1 => *position,
        2 => file.metadata()?.len,
        _ => return Err(Errno::INVAL),
    };
    *position = base.checked_add_signed(offset).ok_or(Errno::INVAL)?;
    context.region.write_u64(result, *position)
}

pub(super) fn fd_tell(context: &mut Context, fd: i32, result: u32) -> CallResult {
    let open = context.descriptors.get(fd)?;
    open.file()?;
    let position = *position(open);
    context.region.write_u64(result, position)
}
