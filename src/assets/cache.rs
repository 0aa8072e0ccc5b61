//! The cache: unpacked assets, one file each, named after the hash of their contents.
//!
//! A file is used only after its hash was compared with the one compiled into the crate; a file that does
//! not match is replaced. Files appear by rename, so that processes that start at the same time never
//! see half of one. Where no directory can be written to, everything is unpacked to memory instead.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::Mmap;

use super::io_error;
use crate::error::AssetsError;

/// Moves the cache; empty means that nothing is cached.
pub(crate) const CACHE_VARIABLE: &str = "PGLITE_OXIDE_CACHE_DIR";

/// One packed part.
pub(super) struct Asset {
    pub(super) name: &'static str,
    /// zstd.
    pub(super) packed: &'static [u8],
    /// BLAKE3 of the unpacked bytes, in hexadecimal.
    pub(super) hash: &'static str,
    /// Unpacked bytes.
    pub(super) len: u64,
}

/// Unpacked bytes: mapped from the cache, or in memory.
#[derive(Debug)]
pub(crate) enum Unpacked {
    Mapped(Mmap),
    Memory(Vec<u8>),
}

impl Deref for Unpacked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Unpacked::Mapped(map) => map,
            Unpacked::Memory(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Unpacked {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A file with unpacked bytes: in the cache, or without a name in memory.
pub(super) struct UnpackedFile {
    path: PathBuf,
    /// Keeps the file of `/proc/self/fd` open as long as its path is needed.
    _memory: Option<File>,
}

impl UnpackedFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Where unpacked assets are kept, if anywhere.
pub(crate) struct CacheDir {
    directory: Option<PathBuf>,
}

impl CacheDir {
    /// `chosen`, or what the environment says, or the user's cache directory.
    pub(super) fn new(chosen: Option<&Path>) -> CacheDir {
        let directory = match chosen {
            Some(path) => Some(path.to_owned()),
            None => match std::env::var_os(CACHE_VARIABLE) {
                Some(path) if path.is_empty() => None,
                Some(path) => Some(PathBuf::from(path)),
                None => user_cache_dir().map(|path| path.join("pglite-oxide")),
            },
        };
        CacheDir { directory }
    }

    /// The bytes of an asset.
    pub(super) fn unpack(&self, asset: &Asset) -> Result<Unpacked, AssetsError> {
        if let Some((_, map)) = self.cached(asset)? {
            return Ok(Unpacked::Mapped(map));
        }
        Ok(Unpacked::Memory(decompress(asset)?))
    }

    /// An asset as a file that can be mapped.
    pub(super) fn unpack_to_file(&self, asset: &Asset) -> Result<UnpackedFile, AssetsError> {
        if let Some((path, _)) = self.cached(asset)? {
            return Ok(UnpackedFile { path, _memory: None });
        }
        memory_file(asset, &decompress(asset)?)
    }

    /// The asset's file in the cache, made if need be; `None` if there can be no cache.
    fn cached(&self, asset: &Asset) -> Result<Option<(PathBuf, Mmap)>, AssetsError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let path = directory.join(format!("{}-{}", &asset.hash[..16], asset.name));
        if let Some(map) = open_checked(asset, &path) {
            return Ok(Some((path, map)));
        }
        let bytes = decompress(asset)?;
        match store(directory, &path, &bytes) {
            Ok(()) => Ok(open_checked(asset, &path).map(|map| (path, map))),
            Err(error) => {
                tracing::warn!(
                    "cannot write the cache {}: {error}; PostgreSQL is unpacked to memory instead",
                    directory.display()
                );
                Ok(None)
            }
        }
    }
}

/// Maps a cached file, if it is there and has the right contents.
fn open_checked(asset: &Asset, path: &Path) -> Option<Mmap> {
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() != asset.len {
        return None;
    }
    let map = map(&file).ok()?;
    (blake3::hash(&map).to_hex().as_str() == asset.hash).then_some(map)
}

/// The bytes of a file that is replaced, if at all, and not written to.
pub(crate) fn map_file(path: &Path) -> io::Result<Unpacked> {
    map(&File::open(path)?).map(Unpacked::Mapped)
}

fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: files in the cache are replaced by rename, never written in place, and so are those of
    // snapshots; whoever truncates one by hand gets SIGBUS, as with any mapped program file.
    #[allow(unsafe_code, reason = "mapping a file that nobody writes to")]
    unsafe {
        Mmap::map(file)
    }
}

/// Writes a file under its final name in one step.
fn store(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all(directory)?;
    sweep(directory);
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = directory.join(format!("{TEMPORARY}{}-{unique}", std::process::id()));
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

const TEMPORARY: &str = "unpacking-";

/// Removes what processes left that died while they were unpacking.
fn sweep(directory: &Path) {
    const ABANDONED: std::time::Duration = std::time::Duration::from_secs(600);
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let is_temporary = entry.file_name().to_str().is_some_and(|n| n.starts_with(TEMPORARY));
        let age =
            entry.metadata().and_then(|data| data.modified()).ok().and_then(|t| t.elapsed().ok());
        if is_temporary && age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn decompress(asset: &Asset) -> Result<Vec<u8>, AssetsError> {
    let corrupt = |reason: String| AssetsError::Corrupt { asset: asset.name.into(), reason };
    let mut bytes = Vec::with_capacity(asset.len as usize);
    ruzstd::decoding::StreamingDecoder::new(asset.packed)
        .map_err(|error| corrupt(error.to_string()))?
        .take(asset.len + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| corrupt(error.to_string()))?;
    if blake3::hash(&bytes).to_hex().as_str() != asset.hash {
        return Err(corrupt("its hash is not the one that was built".into()));
    }
    Ok(bytes)
}

/// A file that exists in memory only and is reached through `/proc`.
#[cfg(target_os = "linux")]
fn memory_file(asset: &Asset, bytes: &[u8]) -> Result<UnpackedFile, AssetsError> {
    use std::os::fd::AsRawFd;
    let file = crate::kernel::memory_file(asset.name).map_err(io_error(Path::new(asset.name)))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    (&file).write_all(bytes).map_err(io_error(&path))?;
    Ok(UnpackedFile { path, _memory: Some(file) })
}

#[cfg(target_os = "linux")]
fn user_cache_dir() -> Option<PathBuf> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
}

#[cfg(target_os = "macos")]
fn user_cache_dir() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join("Library/Caches"))
}
