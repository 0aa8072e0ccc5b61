//! Calls on sockets.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use super::CallResult;
use super::files::vectors;
use crate::kernel::descriptor::{Kind, Open};
use crate::kernel::errno::Errno;
use crate::kernel::fs::OpenOptions;
use crate::kernel::process::Context;

/// wasi-libc's AF_UNIX.
const FAMILY_UNIX: u32 = 3;

pub(super) fn sock_open(
    context: &mut Context,
    family: u32,
    _kind: u32,
    _protocol: u32,
    result: u32,
) -> CallResult {
    if family != FAMILY_UNIX {
        return Err(Errno::AFNOSUPPORT);
    }
    let open = Open::new(Kind::Local(OnceLock::new()), String::new(), 0);
    let fd = context.descriptors.add(Arc::new(open))?;
    context.region.write_u32(result, fd as u32)
}

pub(super) fn sock_bind_local(context: &mut Context, fd: i32, name: u32, len: u32) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let Kind::Local(slot) = &open.kind else { return Err(Errno::NOTSOCK) };
    let name = context.region.text(name, len)?;
    let listener = context.kernel.listeners.bind(name)?;
    // A socket has a file, for what looks at it (chmod) or removes it.
    let create = OpenOptions { write: true, create: true, ..OpenOptions::default() };
    context.kernel.files.open(name, create)?;
    slot.set(listener).map_err(|_| Errno::INVAL)
}

/// A bound local socket takes connections from the moment it is bound.
pub(super) fn sock_listen(context: &mut Context, fd: i32, _backlog: u32) -> CallResult {
    match &context.descriptors.get(fd)?.kind {
        Kind::Local(slot) if slot.get().is_some() => Ok(()),
        Kind::Local(_) => Err(Errno::INVAL),
        _ => Err(Errno::NOTSOCK),
    }
}

pub(super) fn sock_accept(context: &mut Context, fd: i32, flags: u32, result: u32) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let Kind::Local(slot) = &open.kind else { return Err(Errno::NOTSOCK) };
    let stream = slot.get().ok_or(Errno::INVAL)?.accept()?;
    let accepted =
        Open::new(Kind::Stream { fd: OwnedFd::from(stream), socket: true }, String::new(), 0);
    accepted.set_flags(flags as u16)?;
    let fd = context.descriptors.add(Arc::new(accepted))?;
    context.region.write_u32(result, fd as u32)
}

fn io_vectors(context: &Context, at: u32, count: u32) -> Result<Vec<libc::iovec>, Errno> {
    Ok(vectors(context, at, count)?
        .into_iter()
        .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() })
        .collect())
}

fn message(vectors: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: all-zero is a message without address, vectors and control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    message
}

pub(super) fn sock_recv(
    context: &mut Context,
    fd: i32,
    vectors: u32,
    count: u32,
    how: u32,
    result: u32,
    result_flags: u32,
) -> CallResult {
    const PEEK: u32 = 1;
    const WAIT_ALL: u32 = 2;
    let open = context.descriptors.get(fd)?;
    let Kind::Stream { fd, .. } = &open.kind else { return Err(Errno::NOTSOCK) };
    let mut flags = 0;
    if how & PEEK != 0 {
        flags |= libc::MSG_PEEK;
    }
    if how & WAIT_ALL != 0 {
        flags |= libc::MSG_WAITALL;
    }
    let mut buffers = io_vectors(context, vectors, count)?;
    // SAFETY: the vectors point to checked guest memory, and live through the call.
    let received = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message(&mut buffers), flags) };
    if received < 0 {
        return Err(Errno::last());
    }
    context.region.write(result_flags, &[0, 0])?;
    context.region.write_u32(result, received as u32)
}

pub(super) fn sock_send(
    context: &mut Context,
    fd: i32,
    vectors: u32,
    count: u32,
    _how: u32,
    result: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let Kind::Stream { fd, .. } = &open.kind else { return Err(Errno::NOTSOCK) };
    let mut buffers = io_vectors(context, vectors, count)?;
    // SAFETY: as in `sock_recv`. A peer that is gone is EPIPE, not a signal to the host program.
    let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &message(&mut buffers), libc::MSG_NOSIGNAL) };
    if sent < 0 {
        return Err(Errno::last());
    }
    context.region.write_u32(result, sent as u32)
}

pub(super) fn sock_shutdown(context: &mut Context, fd: i32, how: u32) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let Kind::Stream { fd, .. } = &open.kind else { return Err(Errno::NOTSOCK) };
    let how = match how {
        1 => libc::SHUT_RD,
        2 => libc::SHUT_WR,
        3 => libc::SHUT_RDWR,
        _ => return Err(Errno::INVAL),
    };
    // SAFETY: no pointers.
    if unsafe { libc::shutdown(fd.as_raw_fd(), how) } != 0 {
        return Err(Errno::last());
    }
    Ok(())
}
