//! Connections: sockets of the host, behind descriptors of the guest.
//!
//! The host's socket never blocks; where the guest's shall, the kernel waits, so that a wake-up of the
//! process ends the wait.

use std::ffi::c_int;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::address::{Address, family};
use super::errno::Errno;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The program that embeds the cluster, in this very process.
    Program,
    /// A process of the cluster.
    Cluster,
    /// Whoever reached a socket of the host, or was reached through one.
    Host,
}

/// What the kernel knows of the peer's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Program,
    /// The user that this process runs as.
    SameUser,
    OtherUser(u32),
}

/// A stream socket, connected or about to be.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    peer: Peer,
    /// The peer's address as it was when the connection was accepted: a client may have gone since.
    accepted_from: Option<Address>,
}

impl Connection {
    /// An end of a socket pair.
    pub(crate) fn local(stream: UnixStream, peer: Peer) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        let nameless = Some(Address::Unix(Vec::new()));
        Ok(Connection { socket: stream.into(), peer, accepted_from: nameless })
    }

    /// A connection that a listener of the host has accepted; it must not block.
    pub(crate) fn accepted(socket: OwnedFd, from: Address) -> Connection {
        Connection { socket, peer: Peer::Host, accepted_from: Some(from) }
    }

    /// A socket to connect to the outside.
    pub(crate) fn open(guest_family: u16) -> Result<Connection, Errno> {
        let domain = match guest_family {
            family::INET => libc::AF_INET,
            family::INET6 => libc::AF_INET6,
            family::UNIX => libc::AF_UNIX,
            _ => return Err(Errno::AFNOSUPPORT),
        };
        Ok(Connection { socket: stream_socket(domain)?, peer: Peer::Host, accepted_from: None })
    }

    /// `connect(2)`, which does not block: `EINPROGRESS`.
    pub(crate) fn connect(&self, address: &Address) -> Result<(), Errno> {
        address.connect(self.socket.as_fd())
    }

    pub(crate) fn local_address(&self) -> Result<Address, Errno> {
        Address::of_socket(self.socket.as_fd())
    }

    pub(crate) fn peer_address(&self) -> Result<Address, Errno> {
        match &self.accepted_from {
            Some(address) => Ok(address.clone()),
            None => Address::of_peer(self.socket.as_fd()),
        }
    }

    /// Whether the program that embeds the cluster is at the other end.
    pub(crate) fn is_of_program(&self) -> bool {
        self.peer == Peer::Program
    }

    /// Who the peer is; `ENOTSUP` where the host does not know.
    pub(crate) fn identity(&self) -> Result<Identity, Errno> {
        match self.peer {
            Peer::Program => Ok(Identity::Program),
            Peer::Cluster => Ok(Identity::SameUser),
            Peer::Host => {
                let Address::Unix(_) = self.peer_address()? else { return Err(Errno::NOTSUP) };
                let user = peer_user(self.socket.as_fd())?;
                // SAFETY: no pointers, cannot fail.
                let own = unsafe { libc::geteuid() };
                Ok(if user == own { Identity::SameUser } else { Identity::OtherUser(user) })
            }
        }
    }

    /// `setsockopt`, with the guest's numbers.
    pub(crate) fn set_option(&self, level: i32, option: i32, value: i32) -> Result<(), Errno> {
        let (level, option) = host_option(level, option)?;
        // SAFETY: the value lives through the call.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                level,
                option,
                std::ptr::from_ref(&value).cast(),
                size_of::<c_int>() as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(Errno::last()) }
    }

    /// `getsockopt`, with the guest's numbers. `SO_ERROR` gives a guest's error number.
    pub(crate) fn option(&self, level: i32, option: i32) -> Result<i32, Errno> {
        let (level, option) = host_option(level, option)?;
        if (level, option) == (libc::SOL_SOCKET, libc::SO_ERROR) {
            return Ok(self.take_error()?.map_or(0, |errno| i32::from(errno.0)));
        }
        let mut value: c_int = 0;
        get_option(self.socket.as_fd(), level, option, &mut value)?;
        Ok(value)
    }

    /// What became of a connection attempt, or of the connection since.
    pub(crate) fn take_error(&self) -> Result<Option<Errno>, Errno> {
        let mut error: c_int = 0;
        get_option(self.socket.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR, &mut error)?;
        Ok((error != 0).then(|| Errno::from_host(error)))
    }

    /// `SHUT_RDWR`: whoever serves the connection finds it at its end.
    pub(crate) fn hang_up(&self) {
        // SAFETY: no pointers. An error means that it has ended already.
        unsafe { libc::shutdown(self.socket.as_raw_fd(), libc::SHUT_RDWR) };
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(target_os = "linux")]
fn stream_socket(domain: c_int) -> Result<OwnedFd, Errno> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(domain, kind, 0) };
    if fd < 0 {
        return Err(Errno::last());
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(not(target_os = "linux"))]
fn stream_socket(domain: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(domain, libc::SOCK_STREAM, 0) };
    if fd < 0 {
        return Err(Errno::last());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    for (command, flag) in [(libc::F_SETFD, libc::FD_CLOEXEC), (libc::F_SETFL, libc::O_NONBLOCK)] {
        // SAFETY: sets flags of a descriptor we own.
        if unsafe { libc::fcntl(fd, command, flag) } < 0 {
            return Err(Errno::last());
        }
    }
    Ok(socket)
}

fn get_option<T>(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &mut T,
) -> Result<(), Errno> {
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the host fills at most `len` bytes of a plain C value.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_mut(value).cast(),
            &mut len,
        )
    };
    if result == 0 { Ok(()) } else { Err(Errno::last()) }
}

#[cfg(target_os = "linux")]
fn peer_user(socket: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    get_option(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut peer)?;
    Ok(peer.uid)
}

#[cfg(not(target_os = "linux"))]
fn peer_user(socket: BorrowedFd<'_>) -> Result<u32, Errno> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: fills both numbers.
    if unsafe { libc::getpeereid(socket.as_raw_fd(), &mut user, &mut group) } != 0 {
        return Err(Errno::last());
    }
    Ok(user)
}

/// Level and option of the host for those of wasi-libc's headers and `sys/socket.h` of assets/wasix.
fn host_option(level: i32, option: i32) -> Result<(c_int, c_int), Errno> {
    const SOCKET: i32 = 0x7fff_ffff;
    const TCP: i32 = 6;
    #[cfg(target_os = "macos")]
    const KEEP_IDLE: c_int = libc::TCP_KEEPALIVE;
    #[cfg(not(target_os = "macos"))]
    const KEEP_IDLE: c_int = libc::TCP_KEEPIDLE;
    Ok(match (level, option) {
        (SOCKET, 2) => (libc::SOL_SOCKET, libc::SO_REUSEADDR),
        (SOCKET, 4) => (libc::SOL_SOCKET, libc::SO_ERROR),
        (SOCKET, 7) => (libc::SOL_SOCKET, libc::SO_SNDBUF),
        (SOCKET, 8) => (libc::SOL_SOCKET, libc::SO_RCVBUF),
        (SOCKET, 9) => (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        (TCP, 1) => (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        (TCP, 4) => (libc::IPPROTO_TCP, KEEP_IDLE),
        (TCP, 5) => (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
        (TCP, 6) => (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
        #[cfg(target_os = "linux")]
        (TCP, 18) => (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
        _ => return Err(Errno::NOPROTOOPT),
    })
}
