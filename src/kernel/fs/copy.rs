//! Copying whole trees between file systems.

use std::io::IoSliceMut;

use super::{FileKind, FileSystem, FsResult, OpenOptions};
use crate::kernel::errno::Errno;
use crate::kernel::page_buffer::PageBuffer;

/// Bytes moved at once.
const CHUNK: usize = 256 << 10;

/// Copies everything in `from` into `to`, which must not have any of it yet. Nothing is synced.
pub(crate) fn copy_tree(from: &dyn FileSystem, to: &dyn FileSystem) -> FsResult<()> {
    copy_subtree(from, "", to)
}

/// Copies everything below the directory `base` of `from` to the root of `to`.
pub(crate) fn copy_subtree(from: &dyn FileSystem, base: &str, to: &dyn FileSystem) -> FsResult<()> {
    let mut buffer = PageBuffer::new(CHUNK);
    copy_dir(&Copy { from, base, to }, "", &mut buffer)
}

struct Copy<'a> {
    from: &'a dyn FileSystem,
    base: &'a str,
    to: &'a dyn FileSystem,
}

fn copy_dir(copy: &Copy<'_>, path: &str, buffer: &mut [u8]) -> FsResult<()> {
    let options = OpenOptions { read: true, directory: true, ..OpenOptions::default() };
    let directory = copy.from.open(&format!("{}{path}/", copy.base), options)?;
    for entry in directory.read_dir()? {
        let path = format!("{path}/{}", entry.name);
        match entry.kind {
            FileKind::Directory => {
                copy.to.create_dir(&path)?;
                copy_dir(copy, &path, buffer)?;
            }
            FileKind::Regular => copy_file(copy, &path, buffer)?,
            FileKind::Symlink => {
                let target = copy.from.read_link(&format!("{}{path}", copy.base))?;
                copy.to.symlink(&target, &path)?;
            }
            FileKind::CharacterDevice | FileKind::Other => return Err(Errno::NOTSUP),
        }
    }
    Ok(())
}

fn copy_file(copy: &Copy<'_>, path: &str, buffer: &mut [u8]) -> FsResult<()> {
    let read = OpenOptions { read: true, ..OpenOptions::default() };
    let source = copy.from.open(&format!("{}{path}", copy.base), read)?;
    let create =
        OpenOptions { write: true, create: true, exclusive: true, ..OpenOptions::default() };
    let target = copy.to.open(path, create)?;
    let mut offset = 0;
    loop {
        let read = source.read_at(&mut [IoSliceMut::new(buffer)], offset)?;
        if read == 0 {
            return Ok(());
        }
        target.write_all_at(&buffer[..read], offset)?;
        offset += read as u64;
    }
}
