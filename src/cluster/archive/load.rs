//! A data directory from an archive.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, Read};
use std::rc::Rc;

use tar::{Archive, EntryType, PaxExtensions};

use super::zstd::{self, Unpacker};
use super::{CHUNK, CONTROL_FILE, FORMAT, MANIFEST, MARK, control, is_of_the_run, manifest_line};
use crate::assets::PG_MAJOR;
use crate::error::LoadError;
use crate::kernel::errno::Errno;
use crate::kernel::fs::{File, FileSystem, FsResult, OpenOptions, Tree};

const BLOCK: usize = 512;

/// A longer name is no file's, and more of tar's extensions in front of an entry than this is no archive.
const NAME_MAX: u64 = 4096;
const EXTENSIONS_MAX: u64 = 64 << 10;

/// Zeros that are read at the end of an archive.
const TAIL_MAX: u64 = 64 << 10;

/// Directories that PostgreSQL does not make anew, but for those in which something always is.
const DIRECTORIES: &[&str] = &[
    "pg_commit_ts",
    "pg_dynshmem",
    "pg_logical/mappings",
    "pg_logical/snapshots",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_tblspc",
    "pg_twophase",
];

/// An archive of which no more was read than what shows that it may be one.
pub(crate) struct Source<'a> {
    stream: Stream<'a>,
    input: Rc<Input>,
}

/// What happened to the reader that was passed.
#[derive(Default)]
struct Input {
    ended: Cell<bool>,
    error: Cell<Option<io::Error>>,
}

struct Watched<'a> {
    inner: io::Chain<io::Cursor<Vec<u8>>, &'a mut dyn Read>,
    input: Rc<Input>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(0) if !buffer.is_empty() => {
                self.input.ended.set(true);
                Ok(0)
            }
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let copy = io::Error::from(error.kind());
                self.input.error.set(Some(error));
                Err(copy)
            }
            other => other,
        }
    }
}

enum Stream<'a> {
    Plain(Watched<'a>),
    Packed(Box<Unpacker<Watched<'a>>>),
}

/// What is in front of tar, so that it is known whether its end came without its mark.
struct Unpacked<'a> {
    stream: Stream<'a>,
    ended: bool,
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.stream {
            Stream::Plain(inner) => inner.read(buffer),
            Stream::Packed(inner) => inner.read(buffer),
        }?;
        self.ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

impl<'a> Source<'a> {
    /// Looks at the first bytes.
    pub(crate) fn open(reader: &'a mut dyn Read) -> Result<Source<'a>, LoadError> {
        let mut head = Vec::with_capacity(BLOCK);
        (&mut *reader).take(BLOCK as u64).read_to_end(&mut head).map_err(LoadError::Read)?;
        let packed = head.starts_with(&zstd::MAGIC);
        if !packed && !is_header(&head) {
            return Err(LoadError::NotAnArchive);
        }
        let input = Rc::<Input>::default();
        let inner = Watched { inner: io::Cursor::new(head).chain(reader), input: input.clone() };
        let stream = match packed {
            true => Stream::Packed(Box::new(Unpacker::new(inner))),
            false => Stream::Plain(inner),
        };
        Ok(Source { stream, input })
    }
}

/// Whether an archive can begin so: a block with the checksum of a tar header.
fn is_header(block: &[u8]) -> bool {
    if block.len() < BLOCK || block.iter().all(|byte| *byte == 0) {
        return false;
    }
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let sum = block.iter().enumerate().map(|(at, byte)| match at {
        148..156 => u32::from(b' '),
        _ => u32::from(*byte),
    });
    header.cksum().is_ok_and(|expected| expected == sum.sum::<u32>())
}

/// Writes the archive's files to an empty file system, and checks that they are a database that our
/// PostgreSQL can open. Nothing is synced.
pub(crate) fn unpack(
    source: Source<'_>,
    files: &dyn FileSystem,
    template: &Tree,
) -> Result<(), LoadError> {
    let Source { stream, input } = source;
    let mut archive = Archive::new(Unpacked { stream, ended: false });
    let mut loader = Loader {
        files,
        input: &input,
        made: HashSet::new(),
        is_ours: None,
        manifest: String::new(),
        is_complete: false,
        buffer: vec![0; CHUNK],
    };
    loader.entries(&mut archive)?;
    // Each archive ends with blocks of zeros.
    let mut rest = archive.into_inner();
    if rest.ended || loader.is_ours == Some(true) && !loader.is_complete {
        return Err(LoadError::Truncated);
    }
    // zstd's last checksum comes after them.
    io::copy(&mut (&mut rest).take(TAIL_MAX), &mut io::sink())
        .map_err(|error| loader.broken(&error))?;
    loader.check(template)
}

struct Loader<'a> {
    files: &'a dyn FileSystem,
    input: &'a Input,
    /// Directories that exist.
    made: HashSet<String>,
    /// Whether a manifest has to come; known from the first entry on.
    is_ours: Option<bool>,
    manifest: String,
    /// The manifest has come.
    is_complete: bool,
    buffer: Vec<u8>,
}

/// One entry, without what tar puts in front of it.
struct Place {
    /// From the data directory on; empty for itself.
    path: String,
    is_dir: bool,
}

impl Loader<'_> {
    /// What an error of reading means.
    fn broken(&self, error: &io::Error) -> LoadError {
        if let Some(error) = self.input.error.take() {
            LoadError::Read(error)
        } else if self.input.ended.get() {
            LoadError::Truncated
        } else {
            LoadError::Damaged { reason: error.to_string() }
        }
    }

    fn entries(&mut self, archive: &mut Archive<Unpacked<'_>>) -> Result<(), LoadError> {
        // Names longer than a header has room for come in entries of their own.
        let mut long_name = None;
        let entries = archive.entries().map_err(|error| self.broken(&error))?;
        // Raw: what describes an entry is read here, where its size is looked at first.
        for entry in entries.raw(true) {
            let mut entry = entry.map_err(|error| self.broken(&error))?;
            if self.is_complete {
                return Err(LoadError::Damaged { reason: format!("files after {MANIFEST}") });
            }
            let kind = entry.header().entry_type();
            match kind {
                EntryType::GNULongName => {
                    let mut name = self.small(&mut entry, NAME_MAX, "name")?;
                    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                    long_name = Some(name);
                    continue;
                }
                EntryType::XHeader => {
                    let bytes = self.small(&mut entry, EXTENSIONS_MAX, "header")?;
                    if let Some(name) = extended_name(&bytes)? {
                        long_name = Some(name);
                    }
                    continue;
                }
                EntryType::XGlobalHeader => continue,
                _ => {}
            }
            let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
            let place = place(&name, kind)?;
            self.entry(&place, entry.size(), &mut entry)?;
        }
        Ok(())
    }

    /// The contents of an entry that cannot be large.
    fn small(
        &self,
        entry: &mut tar::Entry<'_, impl Read>,
        max: u64,
        what: &str,
    ) -> Result<Vec<u8>, LoadError> {
        let len = entry.size();
        if len > max {
            return Err(LoadError::Damaged { reason: format!("a {what} of {len} bytes") });
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| self.broken(&error))?;
        if (bytes.len() as u64) < len { Err(LoadError::Truncated) } else { Ok(bytes) }
    }

    fn entry(&mut self, place: &Place, len: u64, contents: &mut dyn Read) -> Result<(), LoadError> {
        let path = place.path.as_str();
        let is_ours = *self.is_ours.get_or_insert(path == MARK);
        if is_ours && path == MANIFEST {
            return self.compare(contents, len);
        }
        if place.is_dir {
            if is_ours {
                self.manifest += &manifest_line(path, None);
            }
            return self.make_dir(path);
        }
        let crc = if is_of_the_run(path) {
            self.transfer(path, len, contents, None)?
        } else {
            if let Some((parent, _)) = path.rsplit_once('/') {
                self.make_dir(parent)?;
            }
            let create = OpenOptions {
                write: true,
                create: true,
                exclusive: true,
                ..OpenOptions::default()
            };
            let file = self.files.open(path, create).map_err(|errno| write_error(path, errno))?;
            self.transfer(path, len, contents, Some(file.as_ref()))?
        };
        if is_ours {
            self.manifest += &manifest_line(path, Some((crc, len)));
            if path == MARK
                && (crc, len) != (crc32c::crc32c(FORMAT.as_bytes()), FORMAT.len() as u64)
            {
                return Err(LoadError::Damaged {
                    reason: "it was written by another version of this library".into(),
                });
            }
        }
        Ok(())
    }

    /// Makes a directory and those it is in.
    fn make_dir(&mut self, path: &str) -> Result<(), LoadError> {
        if path.is_empty() || self.made.contains(path) {
            return Ok(());
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.make_dir(parent)?;
        }
        self.files.create_dir(path).map_err(|errno| write_error(path, errno))?;
        self.made.insert(path.to_owned());
        Ok(())
    }

    /// Writes `len` bytes to the file, if there is one; returns their CRC.
    fn transfer(
        &mut self,
        path: &str,
        len: u64,
        contents: &mut dyn Read,
        file: Option<&dyn File>,
    ) -> Result<u32, LoadError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let (mut at, mut crc) = (0, 0);
        while at < len {
            let read = match contents.read(&mut buffer) {
                Ok(0) => return Err(LoadError::Truncated),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(&error)),
            };
            let bytes = &buffer[..read];
            crc = crc32c::crc32c_append(crc, bytes);
            if let Some(file) = file {
                file.write_all_at(bytes, at).map_err(|errno| write_error(path, errno))?;
            }
            at += read as u64;
        }
        self.buffer = buffer;
        Ok(crc)
    }

    /// Compares what was read with what was written.
    fn compare(&mut self, contents: &mut dyn Read, len: u64) -> Result<(), LoadError> {
        let damaged = |reason: String| Err(LoadError::Damaged { reason });
        if len != self.manifest.len() as u64 {
            return damaged(format!("its files are not those of {MANIFEST}"));
        }
        let mut expected = Vec::new();
        contents.read_to_end(&mut expected).map_err(|error| self.broken(&error))?;
        if (expected.len() as u64) < len {
            return Err(LoadError::Truncated);
        }
        let mut lines = self.manifest.as_bytes().split(|byte| *byte == b'\n');
        for line in expected.split(|byte| *byte == b'\n') {
            let found = lines.next().unwrap_or_default();
            if found != line {
                let found = String::from_utf8_lossy(found);
                return damaged(format!("its checksum is not that of {MANIFEST}: {found}"));
            }
        }
        self.is_complete = true;
        Ok(())
    }

    /// Whether it is a database of ours, as far as can be seen from its files.
    fn check(&mut self, template: &Tree) -> Result<(), LoadError> {
        let missing =
            |path: &str| Err(LoadError::NotADataDir { reason: format!("it has no file `{path}`") });
        let Ok(version) = read(self.files, "PG_VERSION") else { return missing("PG_VERSION") };
        let version = String::from_utf8_lossy(&version).trim().to_owned();
        if version != PG_MAJOR {
            return Err(LoadError::WrongVersion { found: version, expected: PG_MAJOR.into() });
        }
        let Ok(found) = read(self.files, CONTROL_FILE) else { return missing(CONTROL_FILE) };
        let ours = read(template, CONTROL_FILE).unwrap_or_default();
        control::check(&found, &ours)?;
        // Programs that pack files may leave empty directories out.
        DIRECTORIES.iter().try_for_each(|path| match self.files.metadata(path, true) {
            Ok(_) => Ok(()),
            Err(_) => self.make_dir(path),
        })
    }
}

/// The name in an extended header, if there is one.
fn extended_name(bytes: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
    let damaged = |reason: &str| LoadError::Damaged { reason: reason.to_owned() };
    let mut name = None;
    for extension in PaxExtensions::new(bytes) {
        let extension = extension.map_err(|error| damaged(&error.to_string()))?;
        match extension.key_bytes() {
            b"path" => name = Some(extension.value_bytes().to_owned()),
            // For what a header has no room for, 8 GB: PostgreSQL's own files end at 1 GB.
            b"size" => return Err(damaged("a file with its size in an extended header")),
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(damaged("a file with holes; make the archive without them"));
            }
            _ => {}
        }
    }
    Ok(name)
}

/// Where an entry belongs. Nothing that leads out of the directory, or to something that is not a file, has
/// a place.
fn place(name: &[u8], kind: EntryType) -> Result<Place, LoadError> {
    let forbidden = |reason: &str| LoadError::Forbidden {
        path: String::from_utf8_lossy(name).into_owned(),
        reason: reason.to_owned(),
    };
    let is_dir = match kind {
        EntryType::Directory => true,
        EntryType::Regular | EntryType::Continuous => false,
        EntryType::Symlink | EntryType::Link => {
            return Err(forbidden(
                "is a link; tablespaces outside of the data directory cannot be loaded",
            ));
        }
        EntryType::GNUSparse => {
            return Err(forbidden("is a file with holes; make the archive without them"));
        }
        _ => return Err(forbidden("is neither a file nor a directory")),
    };
    let text = std::str::from_utf8(name).map_err(|_| forbidden("has a name that is not UTF-8"))?;
    if text.starts_with('/') {
        return Err(forbidden("is an absolute path"));
    }
    if text.contains('\0') {
        return Err(forbidden("has a NUL in its name"));
    }
    let mut path = String::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(forbidden("leads out of the directory")),
            _ => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(part);
            }
        }
    }
    if path.is_empty() && !is_dir {
        return Err(forbidden("is a file without a name"));
    }
    Ok(Place { path, is_dir })
}

fn write_error(path: &str, errno: Errno) -> LoadError {
    let forbidden =
        |reason: &str| LoadError::Forbidden { path: path.to_owned(), reason: reason.to_owned() };
    match errno {
        Errno::EXIST => forbidden("is in it twice, or is a name of this library"),
        Errno::NOTDIR | Errno::ISDIR => forbidden("is a file and a directory"),
        Errno::NAMETOOLONG => forbidden("is too long a name"),
        _ => LoadError::Write { path: path.to_owned(), source: errno.into() },
    }
}

/// A small file; of a larger one its beginning.
pub(super) fn read(files: &dyn FileSystem, path: &str) -> FsResult<Vec<u8>> {
    let file = files.open(path, OpenOptions { read: true, ..OpenOptions::default() })?;
    file.read_first(control::FILE_SIZE + 1)
}
