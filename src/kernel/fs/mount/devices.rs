//! `/dev`: the device files that a Postgres server and its libraries open.

use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::kernel::errno::Errno;
use crate::kernel::fs::path::{self, Split};
use crate::kernel::fs::{DirEntry, File, FileKind, FileSystem, FsResult, Metadata, OpenOptions};

const DIRECTORY: u64 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Null,
    Zero,
    Random,
}

/// Name, inode number and device.
const DEVICES: [(&str, u64, Device); 4] = [
    ("null", 2, Device::Null),
    ("zero", 3, Device::Zero),
    ("random", 4, Device::Random),
    ("urandom", 5, Device::Random),
];

/// The directory of devices; its names are fixed.
#[derive(Debug)]
pub(super) struct Devices;

#[derive(Debug)]
struct Handle {
    inode: u64,
    /// `None`: the directory.
    device: Option<Device>,
    read: bool,
    write: bool,
}

fn find(path: &str) -> FsResult<(u64, Option<Device>)> {
    path::check(path)?;
    let mut found = (DIRECTORY, None);
    for part in path::components(path) {
        if found.1.is_some() {
            return Err(Errno::NOTDIR);
        }
        if part != "." && part != ".." {
            let device = DEVICES.iter().find(|device| device.0 == part).ok_or(Errno::NOENT)?;
            found = (device.1, Some(device.2));
        }
    }
    if found.1.is_some() && path.ends_with('/') {
        return Err(Errno::NOTDIR);
    }
    Ok(found)
}

fn metadata((inode, device): (u64, Option<Device>)) -> Metadata {
    let kind = if device.is_some() { FileKind::CharacterDevice } else { FileKind::Directory };
    let [accessed, modified, changed] = [UNIX_EPOCH; 3];
    Metadata { kind, len: 0, inode, links: 1, accessed, modified, changed }
}

/// Why a name cannot be made.
fn refuse_new(path: &str) -> FsResult<()> {
    match find(path) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => {
            let Split { parent, .. } = path::split(path);
            find(if parent.is_empty() { "/" } else { parent })?;
            Err(Errno::ROFS)
        }
        Err(errno) => Err(errno),
    }
}

impl FileSystem for Devices {
    fn open(&self, path: &str, options: OpenOptions) -> FsResult<Arc<dyn File>> {
        let write = options.write || options.append;
        match find(path) {
            Ok(_) if options.create && options.exclusive => Err(Errno::EXIST),
            Ok((_, None)) if write || options.create || options.truncate => Err(Errno::ISDIR),
            Ok((_, Some(_))) if options.directory => Err(Errno::NOTDIR),
            Ok((inode, device)) => {
                let read = options.read || !write;
                Ok(Arc::new(Handle { inode, device, read, write }))
            }
            Err(Errno::NOENT) if options.create => {
                refuse_new(path)?;
                Err(Errno::ROFS)
            }
            Err(errno) => Err(errno),
        }
    }

    fn metadata(&self, path: &str, _follow: bool) -> FsResult<Metadata> {
        find(path).map(metadata)
    }

    fn create_dir(&self, path: &str) -> FsResult<()> {
        refuse_new(path)
    }

    fn remove_dir(&self, path: &str) -> FsResult<()> {
        match find(path)? {
            (_, None) => Err(Errno::BUSY),
            (_, Some(_)) => Err(Errno::NOTDIR),
        }
    }

    fn remove_file(&self, path: &str) -> FsResult<()> {
        match find(path)? {
            (_, None) => Err(Errno::ISDIR),
            (_, Some(_)) => Err(Errno::ROFS),
        }
    }

    fn rename(&self, from: &str, _to: &str) -> FsResult<()> {
        match find(from)? {
            (_, None) => Err(Errno::BUSY),
            (_, Some(_)) => Err(Errno::ROFS),
        }
    }

    fn link(&self, from: &str, to: &str) -> FsResult<()> {
        find(from)?;
        refuse_new(to)
    }

    fn symlink(&self, _target: &str, path: &str) -> FsResult<()> {
        refuse_new(path)
    }

    fn read_link(&self, path: &str) -> FsResult<String> {
        find(path)?;
        Err(Errno::INVAL)
    }
}

impl Handle {
    fn written(&self, buffers: &[IoSlice<'_>]) -> FsResult<usize> {
        // What is written to any of these devices is forgotten.
        if self.write {
            Ok(buffers.iter().map(|buffer| buffer.len()).sum())
        } else {
            Err(Errno::BADF)
        }
    }
}

impl File for Handle {
    fn metadata(&self) -> FsResult<Metadata> {
        Ok(metadata((self.inode, self.device)))
    }

    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], _offset: u64) -> FsResult<usize> {
        let device = self.device.ok_or(Errno::ISDIR)?;
        if !self.read {
            return Err(Errno::BADF);
        }
        let mut read = 0;
        for buffer in buffers {
            match device {
                Device::Null => return Ok(0),
                Device::Zero => buffer.fill(0),
                Device::Random => fill_random(buffer)?,
            }
            read += buffer.len();
        }
        Ok(read)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], _offset: u64) -> FsResult<usize> {
        self.written(buffers)
    }

    fn append(&self, buffers: &[IoSlice<'_>]) -> FsResult<(usize, u64)> {
        Ok((self.written(buffers)?, 0))
    }

    fn set_len(&self, _len: u64) -> FsResult<()> {
        Err(Errno::INVAL)
    }

    fn allocate(&self, _offset: u64, _len: u64) -> FsResult<()> {
        Err(if self.write { Errno::NODEV } else { Errno::BADF })
    }

    fn sync(&self, _data_only: bool) -> FsResult<()> {
        if self.device.is_none() { Ok(()) } else { Err(Errno::INVAL) }
    }

    fn set_modified(&self, _time: SystemTime) -> FsResult<()> {
        Ok(())
    }

    fn read_dir(&self) -> FsResult<Vec<DirEntry>> {
        if self.device.is_some() {
            return Err(Errno::NOTDIR);
        }
        let entry = |(name, inode, _): (&str, u64, Device)| DirEntry {
            name: name.to_owned(),
            kind: FileKind::CharacterDevice,
            inode,
        };
        Ok(DEVICES.map(entry).into())
    }
}

fn fill_random(buffer: &mut [u8]) -> FsResult<()> {
    // The most that one call gives.
    for part in buffer.chunks_mut(256) {
        // SAFETY: the pointer and the length are those of one exclusive slice.
        if unsafe { libc::getentropy(part.as_mut_ptr().cast(), part.len()) } != 0 {
            return Err(Errno::last());
        }
    }
    Ok(())
}
