//! Local sockets: listeners that live in the cluster, not in the host's file system.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use super::errno::Errno;

/// A listening socket with a queue of connections that wait to be accepted.
#[derive(Debug)]
pub(crate) struct Listener {
    queue: Mutex<VecDeque<UnixStream>>,
    /// One byte waits here for each queued connection, so that a poll sees them.
    signal: (UnixStream, UnixStream),
}

impl Listener {
    fn new() -> io::Result<Listener> {
        let signal = UnixStream::pair()?;
        signal.0.set_nonblocking(true)?;
        signal.1.set_nonblocking(true)?;
        Ok(Listener { queue: Mutex::default(), signal })
    }

    fn connect(&self) -> io::Result<UnixStream> {
        use std::io::Write;
        let (client, server) = UnixStream::pair()?;
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        (&self.signal.0).write_all(&[1])?;
        queue.push_back(server);
        Ok(client)
    }

    pub(crate) fn accept(&self) -> Result<UnixStream, Errno> {
        use std::io::Read;
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = queue.pop_front().ok_or(Errno::AGAIN)?;
        // The byte was written under the same lock.
        (&self.signal.1).read_exact(&mut [0])?;
        Ok(stream)
    }

    /// Readable while a connection waits.
    pub(crate) fn poll_fd(&self) -> RawFd {
        use std::os::fd::AsRawFd;
        self.signal.1.as_raw_fd()
    }
}

/// The cluster's listeners by name (the path Postgres bound its Unix socket to).
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<HashMap<String, Arc<Listener>>>);

impl Listeners {
    /// The listener of that name, while a descriptor of it is open: after that only the table holds it.
    fn find(&self, name: &str) -> Option<Arc<Listener>> {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.get(name).filter(|listener| Arc::strong_count(listener) > 1).cloned()
    }

    /// A new listener under a name; `EADDRINUSE` while one with that name is open.
    pub(crate) fn bind(&self, name: &str) -> Result<Arc<Listener>, Errno> {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the table itself still holds a listener whose descriptors are all closed.
        if listeners.get(name).is_some_and(|listener| Arc::strong_count(listener) > 1) {
            return Err(Errno::ADDRINUSE);
        }
        let listener = Arc::new(Listener::new()?);
        listeners.insert(name.to_owned(), listener.clone());
        Ok(listener)
    }

    pub(crate) fn is_open(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A connection to the listener of that name, as `connect(2)` gives it.
    pub(crate) fn connect(&self, name: &str) -> io::Result<UnixStream> {
        self.find(name).ok_or(io::ErrorKind::ConnectionRefused)?.connect()
    }
}
