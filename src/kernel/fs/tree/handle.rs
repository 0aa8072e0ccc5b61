//! Open files and directories of a tree.

use std::io::{IoSlice, IoSliceMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use super::names::{Body, Inode, Times};
use super::pages::Content;
use super::{POISONED, Shared};
use crate::kernel::errno::Errno;
use crate::kernel::fs::{DirEntry, File, FileKind, FsResult, Metadata, OpenOptions};

/// A regular file in use. See the module above for its life.
#[derive(Debug)]
pub(super) struct LiveFile {
    number: u64,
    /// Changed only with `names` locked for writing.
    links: AtomicU64,
    body: RwLock<LiveBody>,
}

#[derive(Debug)]
pub(super) struct LiveBody {
    pub(super) content: Content,
    pub(super) times: Times,
    /// The inode table does not have this content.
    pub(super) dirty: bool,
}

impl LiveFile {
    pub(super) fn new(number: u64, inode: &Inode) -> LiveFile {
        let Body::File(content) = &inode.body else {
            unreachable!("only regular files are opened as files");
        };
        let body = LiveBody { content: content.clone(), times: inode.times, dirty: false };
        LiveFile { number, links: AtomicU64::new(inode.links), body: RwLock::new(body) }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn set_links(&self, links: u64) {
        self.links.store(links, Ordering::Relaxed);
    }

    fn body(&self) -> RwLockReadGuard<'_, LiveBody> {
        self.body.read().expect(POISONED)
    }

    pub(super) fn body_mut(&self) -> RwLockWriteGuard<'_, LiveBody> {
        self.body.write().expect(POISONED)
    }

    pub(super) fn metadata(&self) -> Metadata {
        let body = self.body();
        Metadata {
            kind: FileKind::Regular,
            len: body.content.len(),
            inode: self.number,
            links: self.links.load(Ordering::Relaxed),
            accessed: body.times.accessed,
            modified: body.times.modified,
            changed: body.times.changed,
        }
    }
}

/// What does not fit in `off_t` is refused before anything else is looked at.
fn check_offset(offset: u64) -> FsResult<()> {
    i64::try_from(offset).map(drop).map_err(|_| Errno::INVAL)
}

fn check_range(offset: u64, len: u64) -> FsResult<()> {
    check_offset(offset)?;
    check_offset(len)?;
    if len == 0 { Err(Errno::INVAL) } else { Ok(()) }
}

#[derive(Debug)]
pub(super) struct FileHandle {
    shared: Arc<Shared>,
    file: Arc<LiveFile>,
    read: bool,
    write: bool,
}

impl FileHandle {
    pub(super) fn new(
        shared: Arc<Shared>,
        file: Arc<LiveFile>,
        options: OpenOptions,
    ) -> FileHandle {
        let write = options.write || options.append;
        // As on the host, neither means reading.
        FileHandle { shared, file, read: options.read || !write, write }
    }

    /// `O_TRUNC`, which the host allows on a file opened for reading, too.
    pub(super) fn truncate(&self) -> FsResult<()> {
        let mut body = self.modify();
        body.content.set_len(0, &self.shared.account)?;
        body.times.touch();
        Ok(())
    }

    /// The body of the file, made dirty, for a change.
    fn modify(&self) -> RwLockWriteGuard<'_, LiveBody> {
        loop {
            let body = self.file.body_mut();
            if body.dirty {
                return body;
            }
            // The other locks come before this one.
            drop(body);
            self.make_dirty();
            // A clone may have come between and made it clean again.
        }
    }

    fn make_dirty(&self) {
        let mut names = self.shared.names_mut();
        let mut dirty = self.shared.dirty();
        let mut body = self.file.body_mut();
        body.dirty = true;
        if self.file.links.load(Ordering::Relaxed) > 0 {
            dirty.insert(self.file.number);
            let inode = names.get_mut(self.file.number).expect("a file with links has an inode");
            inode.body = Body::File(Content::default());
        }
    }

    fn writable(&self, errno: Errno) -> FsResult<()> {
        if self.write { Ok(()) } else { Err(errno) }
    }

    fn write(&self, buffers: &[IoSlice<'_>], at: Option<u64>) -> FsResult<(usize, u64)> {
        check_offset(at.unwrap_or(0))?;
        self.writable(Errno::BADF)?;
        let mut body = self.modify();
        let offset = at.unwrap_or(body.content.len());
        let written = body.content.write(buffers, offset, &self.shared.account)?;
        if written > 0 {
            body.times.touch();
        }
        Ok((written, offset + written as u64))
    }
}

impl File for FileHandle {
    fn metadata(&self) -> FsResult<Metadata> {
        Ok(self.file.metadata())
    }

    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> FsResult<usize> {
        check_offset(offset)?;
        if !self.read {
            return Err(Errno::BADF);
        }
        Ok(self.file.body().content.read(buffers, offset))
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> FsResult<usize> {
        self.write(buffers, Some(offset)).map(|(written, _)| written)
    }

    fn append(&self, buffers: &[IoSlice<'_>]) -> FsResult<(usize, u64)> {
        self.write(buffers, None)
    }

    fn set_len(&self, len: u64) -> FsResult<()> {
        check_offset(len)?;
        self.writable(Errno::INVAL)?;
        let mut body = self.modify();
        body.content.set_len(len, &self.shared.account)?;
        body.times.touch();
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> FsResult<()> {
        check_range(offset, len)?;
        self.writable(Errno::BADF)?;
        let mut body = self.modify();
        body.content.allocate(offset, len, &self.shared.account)?;
        body.times.touch();
        Ok(())
    }

    fn sync(&self, _data_only: bool) -> FsResult<()> {
        // Memory is as stable as a tree gets.
        Ok(())
    }

    fn set_modified(&self, time: SystemTime) -> FsResult<()> {
        let mut body = self.modify();
        body.times.modified = time;
        body.times.changed = SystemTime::now();
        Ok(())
    }

    fn read_dir(&self) -> FsResult<Vec<DirEntry>> {
        Err(Errno::NOTDIR)
    }
}

#[derive(Debug)]
pub(super) struct DirHandle {
    shared: Arc<Shared>,
    /// As of the opening, for when the directory is gone.
    opened: Metadata,
}

impl DirHandle {
    pub(super) fn new(shared: Arc<Shared>, opened: Metadata) -> DirHandle {
        DirHandle { shared, opened }
    }
}

impl File for DirHandle {
    fn metadata(&self) -> FsResult<Metadata> {
        let now = self.shared.metadata(&self.shared.names(), self.opened.inode);
        Ok(now.unwrap_or(Metadata { links: 0, ..self.opened }))
    }

    fn read_at(&self, _buffers: &mut [IoSliceMut<'_>], offset: u64) -> FsResult<usize> {
        check_offset(offset)?;
        Err(Errno::ISDIR)
    }

    fn write_at(&self, _buffers: &[IoSlice<'_>], offset: u64) -> FsResult<usize> {
        check_offset(offset)?;
        Err(Errno::BADF)
    }

    fn append(&self, _buffers: &[IoSlice<'_>]) -> FsResult<(usize, u64)> {
        Err(Errno::BADF)
    }

    fn set_len(&self, _len: u64) -> FsResult<()> {
        Err(Errno::INVAL)
    }

    fn allocate(&self, offset: u64, len: u64) -> FsResult<()> {
        check_range(offset, len)?;
        Err(Errno::BADF)
    }

    fn sync(&self, _data_only: bool) -> FsResult<()> {
        Ok(())
    }

    fn set_modified(&self, time: SystemTime) -> FsResult<()> {
        let mut names = self.shared.names_mut();
        if let Some(inode) = names.get_mut(self.opened.inode) {
            inode.times.modified = time;
        }
        Ok(())
    }

    fn read_dir(&self) -> FsResult<Vec<DirEntry>> {
        self.shared.names().list(self.opened.inode)
    }
}
