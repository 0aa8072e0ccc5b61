//! Calls on sockets. assets/wasix/pglite.h says what those of the module `pglite` mean.

use std::ffi::{c_int, c_short};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Arc, OnceLock};

use super::CallResult;
use super::files::{host_result, with_read_buffers, with_write_buffers};
use crate::kernel::address::{Address, GUEST_INET6, family};
use crate::kernel::descriptor::{Kind, Local, Open, flags};
use crate::kernel::errno::Errno;
use crate::kernel::fs::OpenOptions;
use crate::kernel::process::Context;
use crate::kernel::readiness::wait_for;
use crate::kernel::resolver::Lookup;
use crate::kernel::socket::{Connection, Identity, Peer};

/// wasi-libc's SOCK_STREAM.
const STREAM: u32 = 6;

pub(super) fn sock_open(
    context: &mut Context,
    guest_family: u32,
    kind: u32,
    _protocol: u32,
    result: u32,
) -> CallResult {
    if kind != STREAM {
        return Err(Errno::PROTONOSUPPORT);
    }
    let kind = match u16::try_from(guest_family) {
        Ok(family::UNIX) => Kind::Local(OnceLock::new()),
        Ok(guest_family) => Kind::Socket(Arc::new(Connection::open(guest_family)?)),
        Err(_) => return Err(Errno::AFNOSUPPORT),
    };
    let fd = context.descriptors.add(Arc::new(Open::new(kind, String::new(), 0)))?;
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
    slot.set(Local::Listener(listener)).map_err(|_| Errno::INVAL)
}

/// A bound local socket takes connections from the moment it is bound.
pub(super) fn sock_listen(context: &mut Context, fd: i32, _backlog: u32) -> CallResult {
    match &context.descriptors.get(fd)?.kind {
        Kind::Local(slot) if matches!(slot.get(), Some(Local::Listener(_))) => Ok(()),
        Kind::Local(_) => Err(Errno::INVAL),
        Kind::Socket(_) => Err(Errno::NOTSUP),
        _ => Err(Errno::NOTSOCK),
    }
}

pub(super) fn sock_accept(context: &mut Context, fd: i32, flags: u32, result: u32) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let Kind::Local(slot) = &open.kind else { return Err(Errno::NOTSOCK) };
    let Some(Local::Listener(listener)) = slot.get() else { return Err(Errno::INVAL) };
    let accepted = Open::new(Kind::Socket(listener.accept()?), String::new(), flags as u16);
    let fd = context.descriptors.add(Arc::new(accepted))?;
    context.region.write_u32(result, fd as u32)
}

pub(super) fn sock_connect(context: &mut Context, fd: i32, address: u32, len: u32) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let address = Address::from_guest(context.region.slice(address, len as usize)?)?;
    match &open.kind {
        Kind::Socket(connection) => {
            match connection.connect(&address) {
                Err(Errno::INPROGRESS) if open.flags() & flags::NONBLOCK == 0 => {}
                outcome => return outcome,
            }
            wait_for(&context.process.waker, connection.as_fd(), libc::POLLOUT)?;
            match connection.take_error()? {
                Some(error) => Err(error),
                None => Ok(()),
            }
        }
        Kind::Local(slot) => {
            if slot.get().is_some() {
                return Err(Errno::ISCONN);
            }
            let connection = connect_local(context, &address)?;
            slot.set(Local::Connection(Arc::new(connection))).map_err(|_| Errno::ISCONN)
        }
        _ => Err(Errno::NOTSOCK),
    }
}

/// To a listener of the cluster itself, to what the kernel's connector knows, or else to a socket of the host.
fn connect_local(context: &Context, address: &Address) -> Result<Connection, Errno> {
    let Address::Unix(path) = address else { return Err(Errno::AFNOSUPPORT) };
    let listeners = &context.kernel.listeners;
    let name = std::str::from_utf8(path);
    if let (Ok(name), Some(connector)) = (name, context.kernel.connector.get())
        && let Some(stream) = connector(name)
    {
        return Ok(Connection::local(stream?, Peer::Program)?);
    }
    match name {
        Ok(name) if listeners.is_open(name) => {
            let stream = listeners.connect(name, Peer::Cluster)?;
            // Who listens may be an image that sleeps.
            context.kernel.awaken_all();
            Ok(Connection::local(stream, Peer::Cluster)?)
        }
        _ => {
            let connection = Connection::open(family::UNIX)?;
            connection.connect(address)?;
            Ok(connection)
        }
    }
}

/// Runs an operation on the socket behind a descriptor; if it would block, and the guest's socket does,
/// waits for these events and runs it again.
fn blocking<R>(
    context: &Context,
    open: &Open,
    events: c_short,
    mut operation: impl FnMut(BorrowedFd<'_>) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let socket = open.connection()?.as_fd();
    loop {
        match operation(socket) {
            Err(Errno::AGAIN) if open.flags() & flags::NONBLOCK == 0 => {
                wait_for(&context.process.waker, socket, events)?;
            }
            outcome => return outcome,
        }
    }
}

/// `recvmsg(2)`, with flags of the host.
pub(super) fn receive(
    context: &Context,
    open: &Open,
    buffers: &mut [IoSliceMut<'_>],
    flags: c_int,
) -> Result<usize, Errno> {
    blocking(context, open, libc::POLLIN, |socket| {
        // SAFETY: all-zero is a message without address, vectors and control data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = buffers.as_mut_ptr().cast();
        message.msg_iovlen = buffers.len() as _;
        // SAFETY: `IoSliceMut` has the layout of `iovec`; the buffers live through the call.
        host_result(unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) })
    })
}

/// `sendmsg(2)`. A peer that is gone is EPIPE, not a signal to the host program.
pub(super) fn send(
    context: &Context,
    open: &Open,
    buffers: &[IoSlice<'_>],
) -> Result<usize, Errno> {
    blocking(context, open, libc::POLLOUT, |socket| {
        // SAFETY: as in `receive`.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = buffers.as_ptr().cast_mut().cast();
        message.msg_iovlen = buffers.len() as _;
        // SAFETY: `IoSlice` has the layout of `iovec`, and sending only reads the buffers.
        host_result(unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })
    })
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
    let mut flags = 0;
    if how & PEEK != 0 {
        flags |= libc::MSG_PEEK;
    }
    if how & WAIT_ALL != 0 {
        flags |= libc::MSG_WAITALL;
    }
    let received = with_read_buffers(context, vectors, count, |buffers| {
        receive(context, open, buffers, flags)
    })?;
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
    let sent = with_write_buffers(context, vectors, count, |buffers| send(context, open, buffers))?;
    context.region.write_u32(result, sent as u32)
}

pub(super) fn sock_shutdown(context: &mut Context, fd: i32, how: u32) -> CallResult {
    let connection = context.descriptors.get(fd)?.connection()?;
    let how = match how {
        1 => libc::SHUT_RD,
        2 => libc::SHUT_WR,
        3 => libc::SHUT_RDWR,
        _ => return Err(Errno::INVAL),
    };
    // SAFETY: no pointers.
    if unsafe { libc::shutdown(connection.as_fd().as_raw_fd(), how) } != 0 {
        return Err(Errno::last());
    }
    Ok(())
}

pub(super) fn sock_local_address(
    context: &mut Context,
    fd: i32,
    buffer: u32,
    len: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let address = match &open.kind {
        // Its name is the cluster's own matter.
        Kind::Local(slot) if !matches!(slot.get(), Some(Local::Connection(_))) => {
            Address::Unix(Vec::new())
        }
        _ => open.connection()?.local_address()?,
    };
    put_address(context, &address, buffer, len)
}

pub(super) fn sock_peer_address(
    context: &mut Context,
    fd: i32,
    buffer: u32,
    len: u32,
) -> CallResult {
    let address = context.descriptors.get(fd)?.connection()?.peer_address()?;
    put_address(context, &address, buffer, len)
}

/// As `getsockname` does: what does not fit is cut off, and the length is that of the whole.
fn put_address(context: &Context, address: &Address, buffer: u32, len: u32) -> CallResult {
    let bytes = address.to_guest();
    let room = context.region.read_u32(len)? as usize;
    context.region.write(buffer, &bytes[..bytes.len().min(room)])?;
    context.region.write_u32(len, bytes.len() as u32)
}

pub(super) fn sock_set_option(
    context: &mut Context,
    fd: i32,
    level: i32,
    option: i32,
    value: i32,
) -> CallResult {
    context.descriptors.get(fd)?.connection()?.set_option(level, option, value)
}

pub(super) fn sock_get_option(
    context: &mut Context,
    fd: i32,
    level: i32,
    option: i32,
    result: u32,
) -> CallResult {
    let value = context.descriptors.get(fd)?.connection()?.option(level, option)?;
    context.region.write_u32(result, value as u32)
}

pub(super) fn sock_peer_identity(
    context: &mut Context,
    fd: i32,
    who: u32,
    user: u32,
) -> CallResult {
    let (relation, id) = match context.descriptors.get(fd)?.connection()?.identity()? {
        Identity::Program => (0, 0),
        Identity::SameUser => (1, 0),
        Identity::OtherUser(id) => (2, id),
    };
    context.region.write_u32(user, id)?;
    context.region.write_u32(who, relation)
}

pub(super) fn resolve_name(
    context: &mut Context,
    name: u32,
    len: u32,
    addresses: u32,
    room: u32,
    count: u32,
) -> CallResult {
    let name = context.region.text(name, len)?;
    let lookup = match context.lookup.take() {
        Some(lookup) if lookup.name() == name => lookup,
        _ => Lookup::start(name, &context.process)?,
    };
    let found = match lookup.result() {
        Some(found) => found,
        None => {
            context.process.waker.sleep();
            match lookup.result() {
                Some(found) => found,
                None => {
                    context.lookup = Some(lookup);
                    return Err(Errno::INTR);
                }
            }
        }
    }
    .map_err(|_| Errno::NOENT)?;
    let mut written = 0;
    for address in found.iter().take(room as usize) {
        let mut slot = [0u8; GUEST_INET6];
        let bytes = Address::Inet(*address).to_guest();
        slot[..bytes.len()].copy_from_slice(&bytes);
        context.region.write(addresses + written * GUEST_INET6 as u32, &slot)?;
        written += 1;
    }
    context.region.write_u32(count, written)
}
