//! Writing an archive, entry by entry.

use std::io::{self, BufWriter, IoSliceMut, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use tar::{Builder, EntryType, Header};

use super::zstd::Packer;
use super::{CHUNK, DumpFormat, FORMAT, MANIFEST, MARK, manifest_line};
use crate::error::DumpError;
use crate::kernel::fs::File;

/// An archive that is being written.
pub(super) struct Writer<W: Write> {
    tar: Builder<BufWriter<Sink<W>>>,
    manifest: String,
}

enum Sink<W: Write> {
    Plain(W),
    Packed(Packer<W>),
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Plain(inner) => inner.write(bytes),
            Sink::Packed(packer) => packer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Plain(inner) => inner.flush(),
            Sink::Packed(packer) => packer.flush(),
        }
    }
}

impl<W: Write> Writer<W> {
    pub(super) fn new(inner: W, format: DumpFormat) -> Result<Writer<W>, DumpError> {
        let sink = match format {
            DumpFormat::Tar => Sink::Plain(inner),
            DumpFormat::TarZst => Sink::Packed(Packer::new(inner)),
        };
        let tar = Builder::new(BufWriter::with_capacity(CHUNK, sink));
        let mut writer = Writer { tar, manifest: String::new() };
        writer.bytes(MARK, FORMAT.as_bytes())?;
        Ok(writer)
    }

    pub(super) fn directory(&mut self, path: &str) -> Result<(), DumpError> {
        self.manifest += &manifest_line(path, None);
        let mut header = header(EntryType::Directory, 0o700, 0, SystemTime::now());
        self.tar.append_data(&mut header, path, io::empty()).map_err(DumpError::Write)
    }

    pub(super) fn bytes(&mut self, path: &str, bytes: &[u8]) -> Result<(), DumpError> {
        self.manifest += &manifest_line(path, Some((crc32c::crc32c(bytes), bytes.len() as u64)));
        let mut header = header(EntryType::Regular, 0o600, bytes.len() as u64, SystemTime::now());
        self.tar.append_data(&mut header, path, bytes).map_err(DumpError::Write)
    }

    /// A file as long as it is now. What is added to it meanwhile is left out, and what is cut off is
    /// zeros: of a database that goes on, the log knows better.
    pub(super) fn file(&mut self, path: &str, file: &dyn File) -> Result<(), DumpError> {
        let failed = |source| DumpError::Read { path: path.to_owned(), source };
        let metadata = file.metadata().map_err(|errno| failed(errno.into()))?;
        let mut header = header(EntryType::Regular, 0o600, metadata.len, metadata.modified);
        let mut contents = Contents { file, at: 0, len: metadata.len, crc: 0, error: None };
        let written = self.tar.append_data(&mut header, path, &mut contents);
        if let Some(error) = contents.error {
            return Err(failed(error));
        }
        written.map_err(DumpError::Write)?;
        self.manifest += &manifest_line(path, Some((contents.crc, metadata.len)));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), DumpError> {
        let manifest = std::mem::take(&mut self.manifest);
        self.bytes(MANIFEST, manifest.as_bytes())?;
        let finish = || {
            let buffer = self.tar.into_inner()?;
            let mut inner = match buffer.into_inner().map_err(io::IntoInnerError::into_error)? {
                Sink::Plain(inner) => inner,
                Sink::Packed(packer) => packer.finish()?,
            };
            inner.flush()
        };
        finish().map_err(DumpError::Write)
    }
}

fn header(kind: EntryType, mode: u32, len: u64, modified: SystemTime) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(len);
    header.set_mtime(modified.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()));
    header
}

/// A file's first `len` bytes.
struct Contents<'a> {
    file: &'a dyn File,
    at: u64,
    len: u64,
    crc: u32,
    /// Of the file, so that it is not taken for one of the archive.
    error: Option<io::Error>,
}

impl Read for Contents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len =
            usize::try_from(self.len - self.at).map_or(buffer.len(), |left| left.min(buffer.len()));
        if len == 0 {
            return Ok(0);
        }
        let buffer = &mut buffer[..len];
        let read = match self.file.read_at(&mut [IoSliceMut::new(buffer)], self.at) {
            Ok(0) => {
                buffer.fill(0);
                len
            }
            Ok(read) => read,
            Err(errno) => {
                self.error = Some(errno.into());
                return Err(errno.into());
            }
        };
        self.crc = crc32c::crc32c_append(self.crc, &buffer[..read]);
        self.at += read as u64;
        Ok(read)
    }
}
