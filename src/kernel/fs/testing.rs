//! What tests of file systems have in common.
#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

use std::io::{IoSlice, IoSliceMut};

use super::{File, FileSystem, FsResult, OpenOptions};

pub(super) const READ: OpenOptions = OpenOptions {
    read: true,
    write: false,
    append: false,
    create: false,
    exclusive: false,
    truncate: false,
    directory: false,
    no_follow: false,
};
pub(super) const WRITE: OpenOptions = OpenOptions { write: true, ..READ };
pub(super) const CREATE: OpenOptions = OpenOptions { create: true, ..WRITE };

/// A file with these contents and no others.
pub(super) fn put(fs: &dyn FileSystem, path: &str, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    let file = fs.open(path, OpenOptions { truncate: true, ..CREATE }).unwrap();
    assert_eq!(file.write_at(&[IoSlice::new(bytes)], 0).unwrap(), bytes.len());
}

pub(super) fn get_handle(file: &dyn File) -> FsResult<Vec<u8>> {
    let mut bytes = vec![0xee; usize::try_from(file.metadata()?.len).unwrap()];
    let read = file.read_at(&mut [IoSliceMut::new(&mut bytes)], 0)?;
    assert_eq!(read, bytes.len());
    Ok(bytes)
}

pub(super) fn get(fs: &dyn FileSystem, path: &str) -> FsResult<Vec<u8>> {
    get_handle(&*fs.open(path, READ)?)
}
