//! The cache: unpacked assets, one file each, named after the hash of their contents.
//!
//! A file is used only after its hash was compared with the one compiled into the crate; a file that does
//! not match is replaced. Files appear by rename, so that processes that start at the same time never
//! see half of one. Where no directory can be written to, everything is unpacked to memory instead.
//!
//! Every release brings files of other names. Whoever unpacks one removes those that nobody has used for
//! a month, by their time of modification: a file that is used gets a new one, once a day.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use memmap2::Mmap;

use super::io_error;
use crate::error::AssetsError;

/// Moves the cache; empty means that nothing is cached.
pub(crate) const CACHE_VARIABLE: &str = "PGLITE_OXIDE_CACHE_DIR";

/// A file that nobody has used for so long is removed.
const UNUSED: Duration = Duration::from_secs(30 * DAY);

/// How old the time of last use may get while a file is used.
const TOUCHED: Duration = Duration::from_secs(DAY);

const DAY: u64 = 24 * 3600;

/// `chosen`, or what the environment says (an empty path is none), or the user's cache directory.
pub(crate) fn directory(chosen: Option<&Path>) -> Option<PathBuf> {
    match chosen {
        Some(path) => (!path.as_os_str().is_empty()).then(|| path.to_owned()),
        None => match std::env::var_os(CACHE_VARIABLE) {
            Some(path) if path.is_empty() => None,
            Some(path) => Some(PathBuf::from(path)),
            None => user_cache_dir().map(|path| path.join("pglite-oxide")),
        },
    }
}

/// One packed part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asset {
    pub(super) name: &'static str,
    /// zstd.
    pub(super) packed: &'static [u8],
    /// BLAKE3 of the unpacked bytes, in hexadecimal.
    pub(super) hash: &'static str,
    /// Unpacked bytes.
    pub(super) len: u64,
}

impl Asset {
    /// Its name in the cache.
    fn file_name(&self) -> String {
        format!("{}-{}", &self.hash[..HASH_DIGITS], self.name)
    }
}

/// So much of the hash is in the name.
const HASH_DIGITS: usize = 16;

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
#[derive(Debug)]
pub(crate) struct CacheDir {
    directory: Option<PathBuf>,
    /// All that this release has.
    assets: Vec<Asset>,
}

impl CacheDir {
    pub(super) fn new(chosen: Option<&Path>, assets: Vec<Asset>) -> CacheDir {
        CacheDir { directory: directory(chosen), assets }
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
        memory_file(asset.name, &decompress(asset)?)
    }

    /// The asset's file in the cache, made if need be; `None` if there can be no cache.
    fn cached(&self, asset: &Asset) -> Result<Option<(PathBuf, Mmap)>, AssetsError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let path = directory.join(asset.file_name());
        if let Some(map) = open_checked(asset, &path) {
            return Ok(Some((path, map)));
        }
        let bytes = decompress(asset)?;
        match self.store(directory, &path, &bytes) {
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

    /// Writes a file under its final name in one step.
    fn store(&self, directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        self.sweep(directory);
        // Not the pid: containers that share a cache may have the same.
        let mut unique = [0; 8];
        getrandom::fill(&mut unique).map_err(io::Error::other)?;
        let unique = u64::from_ne_bytes(unique);
        let temporary = directory.join(format!("{TEMPORARY}{unique:016x}"));
        let written = File::create_new(&temporary)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes what processes left that died while they were unpacking, and what is not used any more.
    fn sweep(&self, directory: &Path) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let lifetime = match name.starts_with(TEMPORARY) {
                true => ABANDONED,
                false if self.is_of_another_release(name) => UNUSED,
                false => continue,
            };
            if entry.metadata().is_ok_and(|data| is_older(&data, lifetime)) {
                // Another process may have been faster; and who has mapped it keeps it.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// By the form of its name, so that nothing goes that somebody else has put there.
    fn is_of_another_release(&self, name: &str) -> bool {
        let is_hash = |hash: &str| {
            hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let is_asset = |name: &str| self.assets.iter().any(|asset| asset.name == name);
        name.split_once('-').is_some_and(|(hash, asset)| is_hash(hash) && is_asset(asset))
            && !self.assets.iter().any(|asset| asset.file_name() == name)
    }
}

/// Maps a cached file, if it is there and has the right contents.
fn open_checked(asset: &Asset, path: &Path) -> Option<Mmap> {
    let file = File::open(path).ok()?;
    let data = file.metadata().ok()?;
    if data.len() != asset.len {
        return None;
    }
    if is_older(&data, TOUCHED) {
        // In a cache that is another's this fails, and they see to it themselves.
        let _ = file.set_modified(SystemTime::now());
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

const TEMPORARY: &str = "unpacking-";

/// Nobody takes so long to write a file.
const ABANDONED: Duration = Duration::from_secs(600);

fn is_older(data: &fs::Metadata, age: Duration) -> bool {
    data.modified().ok().and_then(|time| time.elapsed().ok()).is_some_and(|found| found > age)
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
pub(super) fn memory_file(name: &str, bytes: &[u8]) -> Result<UnpackedFile, AssetsError> {
    use std::os::fd::AsRawFd;
    let file = crate::kernel::memory_file(name).map_err(io_error(Path::new(name)))?;
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
