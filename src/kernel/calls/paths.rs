//! Calls on paths.

use std::sync::Arc;

use super::CallResult;
use super::files::{modified_time, put_filestat};
use crate::kernel::descriptor::{Kind, Open};
use crate::kernel::errno::Errno;
use crate::kernel::fs::OpenOptions;
use crate::kernel::process::Context;

/// WASI's `lookupflags`.
const FOLLOW: u32 = 1;

/// The path in the guest's tree of a path that is relative to an open directory.
fn full_path(context: &Context, fd: i32, path: u32, len: u32) -> Result<String, Errno> {
    let path = context.region.text(path, len)?;
    let directory = &context.descriptors.get(fd)?.path;
    if path.is_empty() {
        return Err(Errno::NOENT);
    }
    if path.contains('\0') {
        return Err(Errno::INVAL);
    }
    Ok(if directory == "/" { format!("/{path}") } else { format!("{directory}/{path}") })
}

pub(super) fn path_create_directory(
    context: &mut Context,
    fd: i32,
    path: u32,
    len: u32,
) -> CallResult {
    context.kernel.files.create_dir(&full_path(context, fd, path, len)?)
}

pub(super) fn path_filestat_get(
    context: &mut Context,
    fd: i32,
    lookup: u32,
    path: u32,
    len: u32,
    result: u32,
) -> CallResult {
    let path = full_path(context, fd, path, len)?;
    let metadata = context.kernel.files.metadata(&path, lookup & FOLLOW != 0)?;
    put_filestat(context, result, &metadata)
}

#[allow(clippy::too_many_arguments)] // WASI's signature
pub(super) fn path_filestat_set_times(
    context: &mut Context,
    fd: i32,
    _lookup: u32,
    path: u32,
    len: u32,
    _accessed: u64,
    modified: u64,
    which: u32,
) -> CallResult {
    let path = full_path(context, fd, path, len)?;
    let Some(time) = modified_time(which, modified) else { return Ok(()) };
    let options = OpenOptions { read: true, ..OpenOptions::default() };
    context.kernel.files.open(&path, options)?.set_modified(time)
}

#[allow(clippy::too_many_arguments)] // WASI's signature
pub(super) fn path_link(
    context: &mut Context,
    from_fd: i32,
    _lookup: u32,
    from: u32,
    from_len: u32,
    to_fd: i32,
    to: u32,
    to_len: u32,
) -> CallResult {
    let from = full_path(context, from_fd, from, from_len)?;
    let to = full_path(context, to_fd, to, to_len)?;
    context.kernel.files.link(&from, &to)
}

#[allow(clippy::too_many_arguments)] // WASI's signature
pub(super) fn path_open(
    context: &mut Context,
    fd: i32,
    lookup: u32,
    path: u32,
    len: u32,
    how: u32,
    rights: u64,
    _inherited: u64,
    flags: u32,
    result: u32,
) -> CallResult {
    // WASI's `oflags` and the two `rights` that wasi-libc derives from O_RDONLY and O_WRONLY.
    const CREATE: u32 = 1;
    const DIRECTORY: u32 = 2;
    const EXCLUSIVE: u32 = 4;
    const TRUNCATE: u32 = 8;
    const RIGHT_READ: u64 = 1 << 1;
    const RIGHT_WRITE: u64 = 1 << 6;

    let path = full_path(context, fd, path, len)?;
    let write = rights & RIGHT_WRITE != 0 && how & DIRECTORY == 0;
    let options = OpenOptions {
        read: rights & RIGHT_READ != 0 || !write,
        write,
        append: flags as u16 & crate::kernel::descriptor::flags::APPEND != 0,
        create: how & CREATE != 0,
        exclusive: how & EXCLUSIVE != 0,
        truncate: how & TRUNCATE != 0,
        directory: how & DIRECTORY != 0,
        no_follow: lookup & FOLLOW == 0,
    };
    let file = context.kernel.files.open(&path, options)?;
    let open = Open::new(Kind::File(file), path, flags as u16);
    let fd = context.descriptors.add(Arc::new(open))?;
    context.region.write_u32(result, fd as u32)
}

pub(super) fn path_readlink(
    context: &mut Context,
    fd: i32,
    path: u32,
    len: u32,
    buffer: u32,
    buffer_len: u32,
    result: u32,
) -> CallResult {
    let target = context.kernel.files.read_link(&full_path(context, fd, path, len)?)?;
    let fits = target.len().min(buffer_len as usize);
    context.region.write(buffer, &target.as_bytes()[..fits])?;
    context.region.write_u32(result, fits as u32)
}

pub(super) fn path_remove_directory(
    context: &mut Context,
    fd: i32,
    path: u32,
    len: u32,
) -> CallResult {
    context.kernel.files.remove_dir(&full_path(context, fd, path, len)?)
}

pub(super) fn path_rename(
    context: &mut Context,
    from_fd: i32,
    from: u32,
    from_len: u32,
    to_fd: i32,
    to: u32,
    to_len: u32,
) -> CallResult {
    let from = full_path(context, from_fd, from, from_len)?;
    let to = full_path(context, to_fd, to, to_len)?;
    context.kernel.files.rename(&from, &to)
}

pub(super) fn path_symlink(
    context: &mut Context,
    target: u32,
    target_len: u32,
    fd: i32,
    path: u32,
    len: u32,
) -> CallResult {
    let path = full_path(context, fd, path, len)?;
    context.kernel.files.symlink(context.region.text(target, target_len)?, &path)
}

pub(super) fn path_unlink_file(context: &mut Context, fd: i32, path: u32, len: u32) -> CallResult {
    context.kernel.files.remove_file(&full_path(context, fd, path, len)?)
}
