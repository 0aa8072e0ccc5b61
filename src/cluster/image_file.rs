//! Images in files: what `Snapshot::save` writes, and what the crate carries.
//!
//! # Format
//!
//! | part | contents |
//! |---|---|
//! | header, 8 KiB | magic; of what follows it BLAKE3 and length; identity of the build; where the record begins; zeros |
//! | trees | [archives](crate::kernel::fs::archive) of the files, each at a multiple of 8 KiB |
//! | pages | of the processes' memories, to be mapped from here: those that are not zero, and short gaps between them |
//! | record | a [`Record`], in the encoding of postcard |
//!
//! Nothing is left out for being in the file twice: what is mapped has its place in each memory. Numbers of the
//! header are little-endian and have 64 bits. A file is of use to the build that wrote it only: the pages are
//! memory of that very native code.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::image::{Image, MemoryFiles};
use super::{Access, HostMount};
use crate::assets::{self, Unpacked};
use crate::client::SessionState;
use crate::error::SnapshotFileError;
use crate::kernel::fs::{Tree, archive, entries};
use crate::kernel::{ClusterImage, ClusterRecord, PageStore};

const MAGIC: [u8; 8] = *b"pgoximg2";
const HEADER: usize = 8192;
/// Archives are used where they lie, and their pages have this size.
const ALIGNMENT: usize = 8192;

/// All of an image but pages and files.
#[derive(Serialize, Deserialize)]
struct Record {
    processes: ClusterRecord,
    root: Range<usize>,
    data: Range<usize>,
    wal: Option<Range<usize>>,
    limit: Option<u64>,
    mounts: Vec<HostMount>,
    session: SessionState,
    socket: String,
    port: u16,
    access: Access,
}

/// A part of an image file.
struct Part {
    bytes: Arc<Unpacked>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        // Compared with the length when the part was made.
        &self.bytes[self.range.clone()]
    }
}

/// Writes behind the header, and keeps account of it.
struct Body {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    /// In the file.
    at: usize,
}

impl Write for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.at += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Body {
    /// Writes zeros up to where an archive or a page can begin.
    fn align(&mut self) -> io::Result<usize> {
        self.write_all(&vec![0; self.at.next_multiple_of(ALIGNMENT) - self.at])?;
        Ok(self.at)
    }

    /// Writes an archive, and returns where it is.
    fn tree(&mut self, tree: &Tree) -> io::Result<Range<usize>> {
        let entries = entries(tree).map_err(io::Error::from)?;
        let bytes = archive::write(entries).map_err(io::Error::other)?;
        let start = self.align()?;
        self.write_all(&bytes)?;
        Ok(start..self.at)
    }
}

impl Image {
    /// Writes the image to a file, which is complete as soon as it has its name. `identity` is the build's.
    pub(crate) fn save(&self, path: &Path, identity: &[u8; 32]) -> Result<(), SnapshotFileError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}-{unique}", std::process::id()));
        let temporary = path.with_file_name(name);
        let saved = File::create_new(&temporary)
            .and_then(|file| self.write(file, identity))
            .and_then(|()| fs::rename(&temporary, path));
        saved.map_err(|source| {
            let _ = fs::remove_file(&temporary);
            SnapshotFileError::Io { path: path.to_owned(), source }
        })
    }

    /// Writes the image to an empty file.
    pub(crate) fn write(&self, file: File, identity: &[u8; 32]) -> io::Result<()> {
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        writer.write_all(&[0; HEADER])?;
        let mut body = Body { file: writer, hasher: blake3::Hasher::new(), at: HEADER };
        let mut trees = Vec::new();
        let files = [Some(&self.files.root), Some(&self.files.data), self.files.wal.as_ref()];
        for tree in files.into_iter().flatten() {
            trees.push(body.tree(tree)?);
        }
        let pages_at = body.align()?;
        let processes = self.processes.write(&mut PageStore::new(&mut body, pages_at))?;
        let mut trees = trees.into_iter();
        let mut tree = || trees.next();
        let record = Record {
            processes,
            root: tree().expect("every image has a root"),
            data: tree().expect("every image has data"),
            wal: tree(),
            limit: self.files.limit,
            mounts: self.files.mounts.clone(),
            session: self.session.clone(),
            socket: self.socket.clone(),
            port: self.port,
            access: self.access.clone(),
        };
        let record_at = body.at;
        body.write_all(&postcard::to_stdvec(&record).map_err(io::Error::other)?)?;

        let mut header = Vec::with_capacity(HEADER);
        header.extend(MAGIC);
        header.extend(body.hasher.finalize().as_bytes());
        header.extend(((body.at - HEADER) as u64).to_le_bytes());
        header.extend(identity);
        header.extend((record_at as u64).to_le_bytes());
        let file = body.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.write_all_at(&header, 0)?;
        file.sync_all()
    }

    /// The image in a file, if this build has written it. `verified` if it is known already that its bytes are
    /// those that were written.
    pub(crate) fn load(
        bytes: Unpacked,
        identity: &[u8; 32],
        verified: bool,
    ) -> Result<Image, Unusable> {
        let bytes = Arc::new(bytes);
        let (header, body) = bytes.split_at_checked(HEADER).ok_or(Unusable::NotAnImage)?;
        let field = |at: usize, len: usize| &header[at..at + len];
        let number = |at: usize| {
            let bytes = field(at, 8).try_into().expect("eight bytes");
            usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
        };
        if field(0, 8) != MAGIC {
            return Err(Unusable::NotAnImage);
        }
        if field(48, 32) != identity {
            return Err(Unusable::OtherBuild);
        }
        if number(40) != body.len() {
            return Err(Unusable::Damaged);
        }
        if !verified {
            let range = HEADER as u64..bytes.len() as u64;
            let hash = assets::hash_file(bytes.file(), range).map_err(Unusable::Io)?;
            if hash.as_bytes() != field(8, 32) {
                return Err(Unusable::Damaged);
            }
        }
        let record = bytes.get(number(80)..).ok_or(Unusable::Damaged)?;
        let record: Record = postcard::from_bytes(record).map_err(|_| Unusable::Damaged)?;
        let tree = |range: Range<usize>| {
            bytes.get(range.clone()).ok_or(Unusable::Damaged)?;
            let part = Part { bytes: bytes.clone(), range };
            Tree::from_archive(part).map(Arc::new).map_err(|_| Unusable::Damaged)
        };
        let processes = ClusterImage::read(record.processes, bytes.file(), bytes.len())
            .map_err(Unusable::Io)?;
        Ok(Image {
            processes: Arc::new(processes),
            files: MemoryFiles {
                root: tree(record.root)?,
                data: tree(record.data)?,
                wal: record.wal.map(tree).transpose()?,
                limit: record.limit,
                mounts: record.mounts,
            },
            session: record.session,
            socket: record.socket,
            port: record.port,
            access: record.access,
            prepare: true,
        })
    }
}

/// Why bytes are of no use.
#[derive(Debug)]
pub(crate) enum Unusable {
    NotAnImage,
    OtherBuild,
    Damaged,
    Io(io::Error),
}

impl Unusable {
    /// The error for who gave the path.
    pub(crate) fn of_file(self, path: &Path) -> SnapshotFileError {
        let path = path.to_owned();
        match self {
            Unusable::NotAnImage => SnapshotFileError::NotASnapshot { path },
            Unusable::OtherBuild => SnapshotFileError::OtherBuild { path },
            Unusable::Damaged => SnapshotFileError::Damaged { path },
            Unusable::Io(source) => SnapshotFileError::Io { path, source },
        }
    }
}
