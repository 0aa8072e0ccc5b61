//! Listeners: names in the cluster that clients connect to, and the host's listening sockets that are
//! attached to them.
//!
//! A host's listener is accepted from while the guest polls, not when it calls `accept`: what the poll
//! reports is a connection that is there. So a client that has gone in between, or a host that is out of
//! descriptors, is no error of the guest's `accept`, after which PostgreSQL pauses for everybody.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::address::Address;
use super::errno::Errno;
use super::socket::{Connection, Peer};

/// A bound, listening socket of the host.
#[derive(Debug)]
pub(crate) enum HostListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl HostListener {
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            HostListener::Tcp(listener) => listener.set_nonblocking(true),
            HostListener::Unix(listener) => listener.set_nonblocking(true),
        }
    }

    fn accept(&self) -> io::Result<Connection> {
        match self {
            HostListener::Tcp(listener) => {
                let (stream, from) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Connection::accepted(OwnedFd::from(stream), Address::from_host(from)))
            }
            HostListener::Unix(listener) => {
                let (stream, from) = listener.accept()?;
                stream.set_nonblocking(true)?;
                let path = from.as_pathname().map(|path| path.as_os_str().as_bytes().to_vec());
                let from = Address::Unix(path.unwrap_or_default());
                Ok(Connection::accepted(OwnedFd::from(stream), from))
            }
        }
    }

    /// Refuses clients from now on, also while another thread still polls the socket. Where the host
    /// cannot do that (this fails), closing has the same effect a moment later.
    fn stop(&self) {
        // SAFETY: no pointers.
        unsafe { libc::shutdown(self.as_fd().as_raw_fd(), libc::SHUT_RDWR) };
    }
}

impl AsFd for HostListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            HostListener::Tcp(listener) => listener.as_fd(),
            HostListener::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Names a host's listener that is attached, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenerId(u64);

#[derive(Debug)]
struct Attachment {
    id: ListenerId,
    socket: Arc<HostListener>,
    /// After a failed accept: not polled before.
    paused_until: Option<Instant>,
}

/// How long a listener is left alone after an error that will not go away at once, such as the host
/// being out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket of the guest with a queue of connections that wait to be accepted.
#[derive(Debug)]
pub(crate) struct Listener {
    state: Mutex<State>,
    /// Rung (a byte is written) when a poll has to look again.
    bell: (UnixStream, UnixStream),
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arc<Connection>>,
    attached: Vec<Attachment>,
    /// What came through the host's listeners and may still be open.
    accepted: Vec<(ListenerId, Weak<Connection>)>,
}

impl State {
    fn remember(&mut self, id: ListenerId, connection: &Arc<Connection>) {
        // Sorted out before the list would grow: it stays within twice the connections that are open.
        if self.accepted.len() == self.accepted.capacity() {
            self.accepted.retain(|(_, connection)| connection.strong_count() > 0);
            self.accepted.reserve(self.accepted.len().max(16));
        }
        self.accepted.push((id, Arc::downgrade(connection)));
    }
}

/// What a poll has to watch for one listener.
#[derive(Debug)]
pub(crate) enum Source {
    Bell(Arc<Listener>),
    /// Held, so that its number is not another file's while it is polled.
    Host(Arc<Listener>, Arc<HostListener>),
}

impl Source {
    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Source::Bell(listener) => listener.bell.0.as_raw_fd(),
            Source::Host(_, socket) => socket.as_fd().as_raw_fd(),
        }
    }

    /// To be called when the descriptor was readable: what came goes to the listener's queue.
    pub(crate) fn collect(&self) {
        match self {
            Source::Bell(listener) => {
                // Rings of before this are answered by the look at the queue that follows.
                while (&listener.bell.0).read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
            }
            Source::Host(listener, socket) => listener.take_from(socket),
        }
    }
}

impl Listener {
    fn new() -> io::Result<Listener> {
        let bell = UnixStream::pair()?;
        bell.0.set_nonblocking(true)?;
        bell.1.set_nonblocking(true)?;
        Ok(Listener { state: Mutex::default(), bell })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // It fails only if the bell is full: then it rings already.
        let _ = (&self.bell.1).write(&[1]);
    }

    /// The client's end of a new connection.
    fn connect(&self, peer: Peer) -> io::Result<UnixStream> {
        let (client, server) = UnixStream::pair()?;
        let server = Connection::local(server, peer)?;
        self.lock().queue.push_back(Arc::new(server));
        self.ring();
        Ok(client)
    }

    /// Takes the next connection; `EAGAIN` when there is none.
    pub(crate) fn accept(&self) -> Result<Arc<Connection>, Errno> {
        if let Some(connection) = self.lock().queue.pop_front() {
            return Ok(connection);
        }
        // The guest did not poll, or another took what the poll saw.
        let sockets: Vec<_> = self.lock().attached.iter().map(|a| a.socket.clone()).collect();
        for socket in sockets {
            self.take_from(&socket);
        }
        self.lock().queue.pop_front().ok_or(Errno::AGAIN)
    }

    pub(crate) fn has_connections(&self) -> bool {
        !self.lock().queue.is_empty()
    }

    /// Adds what a poll has to watch, and returns when a paused listener wants to be watched again.
    /// One process polls a listener: the postmaster.
    pub(crate) fn watch(self: &Arc<Listener>, sources: &mut Vec<Source>) -> Option<Instant> {
        sources.push(Source::Bell(self.clone()));
        let now = Instant::now();
        let mut again = None;
        for attachment in &mut self.lock().attached {
            match attachment.paused_until {
                Some(until) if until > now => {
                    again = Some(again.map_or(until, |first: Instant| first.min(until)));
                }
                _ => sources.push(Source::Host(self.clone(), attachment.socket.clone())),
            }
        }
        again
    }

    /// Accepts one connection, if there is one.
    fn take_from(&self, socket: &Arc<HostListener>) {
        let mut state = self.lock();
        let attachment = state.attached.iter_mut().find(|a| Arc::ptr_eq(&a.socket, socket));
        // Detached since it was polled?
        let Some(attachment) = attachment else { return };
        let id = attachment.id;
        match socket.accept() {
            Ok(connection) => {
                attachment.paused_until = None;
                let connection = Arc::new(connection);
                state.remember(id, &connection);
                state.queue.push_back(connection);
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                if attachment.paused_until.is_none() {
                    tracing::warn!(
                        target: "pglite_oxide::kernel",
                        "cannot accept a connection: {error}"
                    );
                }
                attachment.paused_until = Some(Instant::now() + PAUSE);
            }
        }
    }
}

/// Whether an accept that failed so concerns one client only, which has gone.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// The cluster's listeners by name (the path PostgreSQL bound its Unix socket to). A listener lives as
/// long as a descriptor of it is open.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    by_name: Mutex<HashMap<String, Weak<Listener>>>,
    /// Other names of listeners, for connections from within.
    aliases: Mutex<HashMap<String, String>>,
    last_id: AtomicU64,
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Listener>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Option<Arc<Listener>> {
        if let Some(listener) = self.lock().get(name) {
            return listener.upgrade();
        }
        let aliases = self.aliases.lock().unwrap_or_else(PoisonError::into_inner);
        self.lock().get(aliases.get(name)?)?.upgrade()
    }

    /// From now on `alias` is a name of what is, or will be, bound to `name`.
    pub(crate) fn alias(&self, alias: String, name: String) {
        let mut aliases = self.aliases.lock().unwrap_or_else(PoisonError::into_inner);
        aliases.insert(alias, name);
    }

    /// What a listener is bound to.
    pub(crate) fn name(&self, listener: &Arc<Listener>) -> Option<String> {
        let listener = Arc::downgrade(listener);
        let listeners = self.lock();
        let found = listeners.iter().find(|(_, other)| other.ptr_eq(&listener));
        found.map(|(name, _)| name.clone())
    }

    /// All that are open, to act on without the lock.
    fn all(&self) -> Vec<Arc<Listener>> {
        self.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// A new listener under a name; `EADDRINUSE` while one with that name is open.
    pub(crate) fn bind(&self, name: &str) -> Result<Arc<Listener>, Errno> {
        let mut listeners = self.lock();
        if listeners.get(name).is_some_and(|listener| listener.strong_count() > 0) {
            return Err(Errno::ADDRINUSE);
        }
        let listener = Arc::new(Listener::new()?);
        listeners.insert(name.to_owned(), Arc::downgrade(&listener));
        Ok(listener)
    }

    pub(crate) fn is_open(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Whether sockets of the host are served.
    pub(crate) fn have_hosts(&self) -> bool {
        self.all().iter().any(|listener| !listener.lock().attached.is_empty())
    }

    /// Whether somebody waits to be accepted.
    pub(crate) fn have_connections(&self) -> bool {
        self.all().iter().any(|listener| listener.has_connections())
    }

    /// A connection to the listener of that name, as `connect(2)` gives it.
    pub(crate) fn connect(&self, name: &str, peer: Peer) -> io::Result<UnixStream> {
        self.find(name).ok_or(io::ErrorKind::ConnectionRefused)?.connect(peer)
    }

    /// See `Kernel::attach`, and its neighbours for the next two.
    pub(crate) fn attach(&self, name: &str, socket: HostListener) -> io::Result<ListenerId> {
        let listener = self.find(name).ok_or(io::ErrorKind::ConnectionRefused)?;
        socket.set_nonblocking()?;
        let id = ListenerId(self.last_id.fetch_add(1, Ordering::Relaxed));
        let attachment = Attachment { id, socket: Arc::new(socket), paused_until: None };
        listener.lock().attached.push(attachment);
        listener.ring();
        Ok(id)
    }

    pub(crate) fn detach(&self, id: ListenerId) {
        for listener in self.all() {
            let mut state = listener.lock();
            let Some(index) = state.attached.iter().position(|a| a.id == id) else { continue };
            state.attached.remove(index).socket.stop();
            drop(state);
            // A poll that watches it lets go of it.
            listener.ring();
        }
    }

    pub(crate) fn connections(&self, id: ListenerId) -> usize {
        let of = |listener: &Arc<Listener>| {
            let state = listener.lock();
            let open = |(through, connection): &&(ListenerId, Weak<Connection>)| {
                *through == id && connection.strong_count() > 0
            };
            state.accepted.iter().filter(open).count()
        };
        self.all().iter().map(of).sum()
    }

    pub(crate) fn disconnect(&self, id: ListenerId) {
        for listener in self.all() {
            let mut state = listener.lock();
            state.accepted.retain(|(through, connection)| {
                if *through != id {
                    return true;
                }
                if let Some(connection) = connection.upgrade() {
                    connection.hang_up();
                }
                false
            });
        }
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
