//! Copying whole trees between file systems.

use std::io::{IoSlice, IoSliceMut};

use super::{FileKind, FileSystem, FsResult, OpenOptions};
use crate::kernel::errno::Errno;

/// Bytes moved at once.
const CHUNK: usize = 256 << 10;

/// Copies everything in `from` into `to`, which must not have any of it yet. Nothing is synced.
pub(crate) fn copy_tree(from: &dyn FileSystem, to: &dyn FileSystem) -> FsResult<()> {
    let mut buffer = vec![0u8; CHUNK];
    copy_dir(from, to, "", &mut buffer)
}

fn copy_dir(
    from: &dyn FileSystem,
    to: &dyn FileSystem,
    path: &str,
    buffer: &mut [u8],
) -> FsResult<()> {
    let options = OpenOptions { read: true, directory: true, ..OpenOptions::default() };
    let directory = from.open(if path.is_empty() { "/" } else { path }, options)?;
    for entry in directory.read_dir()? {
        let path = format!("{path}/{}", entry.name);
        match entry.kind {
            FileKind::Directory => {
                to.create_dir(&path)?;
                copy_dir(from, to, &path, buffer)?;
            }
            FileKind::Regular => copy_file(from, to, &path, buffer)?,
            FileKind::Symlink => to.symlink(&from.read_link(&path)?, &path)?,
            FileKind::CharacterDevice | FileKind::Other => return Err(Errno::NOTSUP),
        }
    }
    Ok(())
}

fn copy_file(
    from: &dyn FileSystem,
    to: &dyn FileSystem,
    path: &str,
    buffer: &mut [u8],
) -> FsResult<()> {
    let source = from.open(path, OpenOptions { read: true, ..OpenOptions::default() })?;
    let options =
        OpenOptions { write: true, create: true, exclusive: true, ..OpenOptions::default() };
    let target = to.open(path, options)?;
    let mut offset = 0;
    loop {
        let read = source.read_at(&mut [IoSliceMut::new(buffer)], offset)?;
        if read == 0 {
            return Ok(());
        }
        let mut written = 0;
        while written < read {
            written += target
                .write_at(&[IoSlice::new(&buffer[written..read])], offset + written as u64)?;
        }
        offset += read as u64;
    }
}
