//! Files of the guest.
//!
//! The kernel serves every file through two traits, so that a database can live in a host directory,
//! in memory, or behind a wrapper that injects faults. Paths are the guest's: absolute or not, they
//! are resolved from the root of the file system they are handed to, and no path can leave it.

#[allow(dead_code, reason = "one half is for the build tool, which includes the file")]
pub(crate) mod archive;
mod copy;
#[allow(dead_code, reason = "tests use what they need of it")]
pub(crate) mod fault;
mod host;
mod mount;
mod path;
#[cfg(test)]
mod testing;
pub(crate) mod tree;

use std::fmt::Debug;
use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;
use std::time::SystemTime;

use super::errno::Errno;

pub(crate) use copy::{copy_subtree, copy_tree};
pub(crate) use host::HostDir;
pub(crate) use mount::Namespace;
#[allow(unused_imports, reason = "to write a tree to a file")]
pub(crate) use tree::{Tree, entries};

pub(crate) type FsResult<T> = Result<T, Errno>;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Directory,
    Regular,
    Symlink,
    CharacterDevice,
    /// Sockets, pipes: nothing that Postgres keeps data in.
    Other,
}

/// Attributes of a file, as far as WASI has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata {
    pub(crate) kind: FileKind,
    /// Bytes.
    pub(crate) len: u64,
    /// Unique in its file system.
    pub(crate) inode: u64,
    pub(crate) links: u64,
    pub(crate) accessed: SystemTime,
    pub(crate) modified: SystemTime,
    pub(crate) changed: SystemTime,
}

/// How to open a file (`open(2)`'s flags that Postgres uses).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenOptions {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
    pub(crate) create: bool,
    pub(crate) exclusive: bool,
    pub(crate) truncate: bool,
    pub(crate) directory: bool,
    /// `O_NOFOLLOW`: a symlink at the last component is `ELOOP`.
    pub(crate) no_follow: bool,
}

/// One name in a directory; `.` and `..` are not listed.
#[derive(Clone, Debug)]
pub(crate) struct DirEntry {
    pub(crate) name: String,
    pub(crate) kind: FileKind,
    pub(crate) inode: u64,
}

/// A tree of files. All processes of a cluster use it at once.
pub(crate) trait FileSystem: Debug + Send + Sync {
    fn open(&self, path: &str, options: OpenOptions) -> FsResult<Arc<dyn File>>;
    /// `follow`: of the file a symlink at the last component leads to, else of the symlink itself.
    fn metadata(&self, path: &str, follow: bool) -> FsResult<Metadata>;
    fn create_dir(&self, path: &str) -> FsResult<()>;
    fn remove_dir(&self, path: &str) -> FsResult<()>;
    /// Removes the name; open files keep their contents until they are closed.
    fn remove_file(&self, path: &str) -> FsResult<()>;
    /// Atomic; replaces an existing file, or an existing empty directory by a directory.
    fn rename(&self, from: &str, to: &str) -> FsResult<()>;
    /// A hard link to a regular file.
    fn link(&self, from: &str, to: &str) -> FsResult<()>;
    fn symlink(&self, target: &str, path: &str) -> FsResult<()>;
    fn read_link(&self, path: &str) -> FsResult<String>;
}

/// Makes a file, or writes one anew; returns it, open for writing.
#[allow(dead_code, reason = "for clusters and tools, which xtask-run has none of")]
pub(crate) fn write_file(
    files: &dyn FileSystem,
    path: &str,
    contents: &[u8],
) -> FsResult<Arc<dyn File>> {
    let options =
        OpenOptions { write: true, create: true, truncate: true, ..OpenOptions::default() };
    let file = files.open(path, options)?;
    file.write_all_at(contents, 0)?;
    Ok(file)
}

/// An open file or directory. Positions live in the descriptor table, not here.
pub(crate) trait File: Debug + Send + Sync {
    fn metadata(&self) -> FsResult<Metadata>;
    /// Reads at `offset`; fewer bytes than asked only at the end of the file.
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> FsResult<usize>;
    /// Writes at `offset`, growing the file; bytes between its end and `offset` read as zero.
    fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> FsResult<usize>;
    /// The first `len` bytes, or all there are.
    fn read_first(&self, len: usize) -> FsResult<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.read_at(&mut [IoSliceMut::new(&mut bytes[filled..])], filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
    /// Writes all of the bytes at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> FsResult<()> {
        let mut written = 0;
        while written < bytes.len() {
            written +=
                self.write_at(&[IoSlice::new(&bytes[written..])], offset + written as u64)?;
        }
        Ok(())
    }
    /// Writes at the end of the file, atomically against other appends; returns the bytes written
    /// and the position after them.
    fn append(&self, buffers: &[IoSlice<'_>]) -> FsResult<(usize, u64)>;
    fn set_len(&self, len: u64) -> FsResult<()>;
    /// `posix_fallocate`: space for `[offset, offset + len)` exists and reads as zero where new.
    fn allocate(&self, offset: u64, len: u64) -> FsResult<()>;
    /// All written data (and, unless `data_only`, attributes) is on stable storage on return.
    fn sync(&self, data_only: bool) -> FsResult<()>;
    /// All data written to the file system that the file is in is on stable storage on return.
    fn sync_file_system(&self) -> FsResult<()> {
        Ok(()) // true of what lives in memory
    }
    /// Sets the modification time.
    fn set_modified(&self, time: SystemTime) -> FsResult<()>;
    fn read_dir(&self) -> FsResult<Vec<DirEntry>>;
}
