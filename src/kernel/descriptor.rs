//! Descriptors: what a process has open.
//!
//! A fork copies the table, not what it names: parent and child share positions and status flags, and
//! a file, socket or pipe closes with its last descriptor, as on Unix.

use std::ffi::c_short;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::console::Console;
use super::errno::Errno;
use super::fs::{DirEntry, File};
use super::listener::Listener;
use super::readiness::Target;
use super::socket::Connection;

/// Status flags, with WASI's `fdflags` numbers.
pub(crate) mod flags {
    pub(crate) const APPEND: u16 = 1;
    pub(crate) const DSYNC: u16 = 2;
    pub(crate) const NONBLOCK: u16 = 4;
    pub(crate) const SYNC: u16 = 16;
}

/// What an open descriptor refers to.
#[derive(Debug)]
pub(crate) enum Kind {
    File(Arc<dyn File>),
    /// A pipe's end, or a standard stream of the host program.
    Pipe(OwnedFd),
    Socket(Arc<Connection>),
    /// A Unix socket that is not bound or connected yet, or is now.
    Local(OnceLock<Local>),
    /// Standard output or error of the cluster.
    Console(Arc<Console>),
    /// Standard input: always at its end.
    Null,
}

/// What a Unix socket has become.
#[derive(Debug)]
pub(crate) enum Local {
    Listener(Arc<Listener>),
    Connection(Arc<Connection>),
}

/// An open file description.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) kind: Kind,
    /// Guest path, for paths relative to a directory.
    pub(crate) path: String,
    pub(crate) position: Mutex<u64>,
    flags: AtomicU16,
    /// A directory's listing, taken when it is first read, so that cookies stay valid.
    pub(crate) listing: Mutex<Option<Arc<Vec<DirEntry>>>>,
    /// A socket's TLS session, from when the guest begins one.
    #[cfg(feature = "tls")]
    pub(crate) tls: OnceLock<Mutex<super::tls::Session>>,
}

impl Open {
    pub(crate) fn new(kind: Kind, path: String, flags: u16) -> Open {
        Open {
            kind,
            path,
            position: Mutex::new(0),
            flags: AtomicU16::new(flags),
            listing: Mutex::new(None),
            #[cfg(feature = "tls")]
            tls: OnceLock::new(),
        }
    }

    pub(crate) fn flags(&self) -> u16 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Whether a write must be on stable storage before it returns.
    pub(crate) fn is_synchronous(&self) -> bool {
        self.flags() & (flags::DSYNC | flags::SYNC) != 0
    }

    pub(crate) fn set_flags(&self, new: u16) -> Result<(), Errno> {
        // A host socket never blocks, see `socket.rs`.
        if let Kind::Pipe(fd) = &self.kind {
            let status = if new & flags::NONBLOCK != 0 { libc::O_NONBLOCK } else { 0 };
            // SAFETY: sets status flags of a descriptor we own.
            if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, status) } < 0 {
                return Err(Errno::last());
            }
        }
        self.flags.store(new, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn file(&self) -> Result<&dyn File, Errno> {
        match &self.kind {
            Kind::File(file) => Ok(file.as_ref()),
            Kind::Pipe(_) | Kind::Socket(_) | Kind::Local(_) | Kind::Console(_) | Kind::Null => {
                Err(Errno::SPIPE)
            }
        }
    }

    /// The connection behind a socket.
    pub(crate) fn connection(&self) -> Result<&Connection, Errno> {
        match &self.kind {
            Kind::Socket(connection) => Ok(connection),
            Kind::Local(slot) => match slot.get() {
                Some(Local::Connection(connection)) => Ok(connection),
                Some(Local::Listener(_)) | None => Err(Errno::NOTCONN),
            },
            Kind::File(_) | Kind::Pipe(_) | Kind::Console(_) | Kind::Null => Err(Errno::NOTSOCK),
        }
    }

    /// What to wait for until these events of `poll(2)` happen.
    pub(crate) fn target(&self, events: c_short) -> Target {
        match &self.kind {
            Kind::Pipe(fd) => Target::Host(fd.as_raw_fd(), events),
            Kind::Socket(connection) => Target::Host(connection.as_fd().as_raw_fd(), events),
            Kind::Local(slot) => match slot.get() {
                Some(Local::Listener(listener)) => Target::Listener(listener.clone()),
                Some(Local::Connection(connection)) => {
                    Target::Host(connection.as_fd().as_raw_fd(), events)
                }
                None => Target::Always,
            },
            Kind::File(_) | Kind::Console(_) | Kind::Null => Target::Always,
        }
    }
}

/// The descriptors of one process.
#[derive(Debug, Default, Clone)]
pub(crate) struct Descriptors(Vec<Option<Arc<Open>>>);

/// As many as `getrlimit(RLIMIT_NOFILE)` in assets/wasix/user.c promises.
const MAX_DESCRIPTORS: usize = 1024;

impl Descriptors {
    pub(crate) fn from_entries(entries: Vec<Option<Arc<Open>>>) -> Descriptors {
        Descriptors(entries)
    }

    pub(crate) fn entries(&self) -> &[Option<Arc<Open>>] {
        &self.0
    }

    pub(crate) fn get(&self, fd: i32) -> Result<&Arc<Open>, Errno> {
        usize::try_from(fd).ok().and_then(|index| self.0.get(index)?.as_ref()).ok_or(Errno::BADF)
    }

    /// Takes the lowest free number.
    pub(crate) fn add(&mut self, open: Arc<Open>) -> Result<i32, Errno> {
        let index = match self.0.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.0.len() < MAX_DESCRIPTORS => {
                self.0.push(None);
                self.0.len() - 1
            }
            None => return Err(Errno::MFILE),
        };
        self.0[index] = Some(open);
        Ok(index as i32)
    }

    pub(crate) fn close(&mut self, fd: i32) -> Result<Arc<Open>, Errno> {
        usize::try_from(fd).ok().and_then(|index| self.0.get_mut(index)?.take()).ok_or(Errno::BADF)
    }

    pub(crate) fn renumber(&mut self, from: i32, to: i32) -> Result<(), Errno> {
        self.get(to)?;
        let open = self.close(from)?;
        self.0[to as usize] = Some(open);
        Ok(())
    }
}
