//! An image of a cluster in a file: what is in a few words, and where the pages of its memories are.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{ClusterImage, DescriptorImage, ProcessImage};
use crate::kernel::image::{MemoryImage, MemoryRecord, PageStore};
use crate::kernel::linker::Load;

/// A [`ClusterImage`] but for the pages of its memories.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClusterRecord {
    /// What the guest's monotonic clock said.
    elapsed: Duration,
    last_pid: i32,
    window: Range<usize>,
    window_memory: MemoryRecord,
    postmaster: ProcessRecord,
    session: ProcessRecord,
    others: Vec<ProcessRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ProcessRecord {
    pid: i32,
    parent: i32,
    globals: Vec<u128>,
    len: usize,
    memory: MemoryRecord,
    descriptors: Vec<Option<DescriptorImage>>,
    loads: Vec<Load>,
}

impl ProcessImage {
    fn write(&self, out: &mut PageStore<'_>) -> io::Result<ProcessRecord> {
        Ok(ProcessRecord {
            pid: self.pid,
            parent: self.parent,
            globals: self.globals.clone(),
            len: self.len,
            memory: self.memory.write(out)?,
            descriptors: self.descriptors.clone(),
            loads: self.loads.clone(),
        })
    }

    fn read(record: ProcessRecord, file: &Arc<File>, len: usize) -> io::Result<ProcessImage> {
        Ok(ProcessImage {
            pid: record.pid,
            parent: record.parent,
            memory: MemoryImage::read(record.memory, file, len)?,
            globals: record.globals,
            len: record.len,
            descriptors: record.descriptors,
            loads: record.loads,
        })
    }
}

impl ClusterImage {
    /// Writes the pages of its memories, and returns what else there is of it.
    pub(crate) fn write(&self, out: &mut PageStore<'_>) -> io::Result<ClusterRecord> {
        Ok(ClusterRecord {
            elapsed: self.started.elapsed(),
            last_pid: self.last_pid,
            window: self.window.clone(),
            window_memory: self.window_memory.write(out)?,
            postmaster: self.postmaster.write(out)?,
            session: self.session.write(out)?,
            others: self.others.iter().map(|other| other.write(out)).collect::<io::Result<_>>()?,
        })
    }

    /// The image that [`write`](ClusterImage::write) has written to a file of `len` bytes, and returned `record` of.
    pub(crate) fn read(
        record: ClusterRecord,
        file: &Arc<File>,
        len: usize,
    ) -> io::Result<ClusterImage> {
        let now = Instant::now();
        Ok(ClusterImage {
            // On a host that was started just now its clock goes back; nothing of PostgreSQL minds.
            started: now.checked_sub(record.elapsed).unwrap_or(now),
            last_pid: record.last_pid,
            window: record.window,
            window_memory: MemoryImage::read(record.window_memory, file, len)?,
            postmaster: Arc::new(ProcessImage::read(record.postmaster, file, len)?),
            session: ProcessImage::read(record.session, file, len)?,
            others: record
                .others
                .into_iter()
                .map(|other| ProcessImage::read(other, file, len).map(Arc::new))
                .collect::<io::Result<_>>()?,
        })
    }
}
