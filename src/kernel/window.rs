//! The window: memory that every process of a cluster shares, at the same guest address.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::memory::Region;
use super::shared_file;

/// One window of one cluster.
#[derive(Debug)]
pub(crate) struct Window {
    fd: OwnedFd,
    /// Guest address, a multiple of the host's page size.
    start: usize,
    len: usize,
}

impl Window {
    /// Fresh, zero memory; pages take no room until they are written.
    pub(crate) fn new(start: usize, len: usize) -> io::Result<Window> {
        Ok(Window { fd: shared_file::create("pglite-window", len)?, start, len })
    }

    pub(crate) fn start(&self) -> usize {
        self.start
    }

    pub(crate) fn end(&self) -> usize {
        self.start + self.len
    }

    /// Makes the window visible in a process's memory.
    pub(crate) fn map_into(&self, region: &Region) -> io::Result<()> {
        // SAFETY: the guest announces the window before it keeps anything in it, and a forked memory
        // has no running guest yet.
        unsafe { region.map_file(self.start, self.len, self.fd.as_raw_fd(), 0, true) }
    }
}
