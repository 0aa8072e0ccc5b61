//! The cache: unpacked assets, one file each, named after the hash of their contents.
//!
//! A file is used only after its hash was compared with the one compiled into the crate; a file that does
//! not match is replaced. Files appear by rename, so that processes that start at the same time never
//! see half of one. Where no directory can be written to, everything is unpacked to files in memory.
//!
//! Every release brings files of other names. Whoever unpacks one removes those that nobody has used for
//! a month, by their time of modification: a file that is used gets a new one, once a day.

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use memmap2::Mmap;

use super::hash::{hash_file, xxh3_file};
use super::io_error;
use super::unpack::{self, Failure};
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
    /// XXH3 of 128 bits of the same.
    pub(super) xxh3: u128,
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

/// Unpacked bytes: a mapped file, of the cache or in memory.
#[derive(Debug)]
pub(crate) struct Unpacked {
    file: Arc<File>,
    map: Mmap,
}

impl Unpacked {
    /// Maps a file that is replaced, if at all, and not written to.
    pub(crate) fn new(file: File) -> io::Result<Unpacked> {
        // SAFETY: files in the cache are replaced by rename, never written in place once they are mapped, and so
        // are those of snapshots; whoever truncates one by hand gets SIGBUS, as with any mapped program file.
        #[allow(unsafe_code, reason = "mapping a file that nobody writes to")]
        let map = unsafe { Mmap::map(&file)? };
        Ok(Unpacked { file: Arc::new(file), map })
    }

    pub(crate) fn open(path: &Path) -> io::Result<Unpacked> {
        Unpacked::new(File::open(path)?)
    }

    /// The same bytes as a file, of which parts can be mapped.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }
}

impl Deref for Unpacked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl AsRef<[u8]> for Unpacked {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A file with unpacked bytes, whose hash was compared: in the cache, or without a name in memory.
#[derive(Debug)]
pub(super) struct UnpackedFile {
    path: PathBuf,
    /// As long as it is open, so is a path below `/proc/self/fd`.
    file: File,
}

impl UnpackedFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn into_file(self) -> Arc<File> {
        Arc::new(self.file)
    }
}

/// Where unpacked assets are kept, if anywhere.
#[derive(Debug)]
pub(crate) struct CacheDir {
    directory: Option<PathBuf>,
    /// All that this release has.
    assets: Vec<Asset>,
    /// What was unpacked before it is needed, with the names of the assets.
    prepared: Mutex<Vec<(&'static str, UnpackedFile)>>,
}

impl CacheDir {
    pub(super) fn new(chosen: Option<&Path>, assets: Vec<Asset>) -> CacheDir {
        CacheDir { directory: directory(chosen), assets, prepared: Mutex::default() }
    }

    /// Unpacks those of the assets that are not there, all at once: that uses more than one processor.
    /// Errors are reported by whoever needs what is missing.
    pub(super) fn prepare(&self, assets: &[Asset]) {
        let is_there = |asset: &Asset| {
            let path = self.directory.as_ref().map(|directory| directory.join(asset.file_name()));
            path.and_then(|path| path.metadata().ok()).is_some_and(|data| data.len() == asset.len)
        };
        let missing: Vec<_> = assets.iter().filter(|asset| !is_there(asset)).copied().collect();
        if missing.is_empty() {
            return;
        }
        let files = self.make(&missing);
        let files =
            missing.iter().zip(files).filter_map(|(asset, file)| Some((asset.name, file.ok()?)));
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).extend(files);
    }

    /// The bytes of an asset.
    pub(super) fn unpack(&self, asset: &Asset) -> Result<Unpacked, AssetsError> {
        let UnpackedFile { path, file } = self.unpack_to_file(asset)?;
        Unpacked::new(file).map_err(io_error(&path))
    }

    /// An asset as a file that can be mapped.
    pub(super) fn unpack_to_file(&self, asset: &Asset) -> Result<UnpackedFile, AssetsError> {
        let prepared = {
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            let at = prepared.iter().position(|(name, _)| *name == asset.name);
            at.map(|at| prepared.swap_remove(at).1)
        };
        let cached = || open_checked(asset, &self.directory.as_ref()?.join(asset.file_name()));
        if let Some(file) = prepared.or_else(cached) {
            return Ok(file);
        }
        self.make(&[*asset]).pop().expect("one for each asset")
    }

    /// Unpacks these assets to the cache, or to memory those that cannot be there.
    fn make(&self, assets: &[Asset]) -> Vec<Result<UnpackedFile, AssetsError>> {
        if let Some(directory) = &self.directory {
            match self.store(directory, assets) {
                Ok(files) => return files,
                Err(error) => tracing::warn!(
                    "cannot write the cache {}: {error}; PostgreSQL is unpacked to memory instead",
                    directory.display()
                ),
            }
        }
        in_memory(assets)
    }

    /// Writes files that get their names when they are complete. An error is one of the directory.
    fn store(
        &self,
        directory: &Path,
        assets: &[Asset],
    ) -> io::Result<Vec<Result<UnpackedFile, AssetsError>>> {
        fs::create_dir_all(directory)?;
        self.sweep(directory);
        let temporary = Temporary::new(directory, assets.len())?;
        let targets = assets.iter().copied().zip(temporary.create()?).collect();
        let named: Vec<_> = assets
            .iter()
            .zip(unpack::unpack(targets))
            .zip(&temporary.paths)
            .map(|((asset, unpacked), from)| {
                let file = unpacked?;
                let path = directory.join(asset.file_name());
                fs::rename(from, &path).map_err(Failure::Write)?;
                Ok(UnpackedFile { path, file })
            })
            .collect();
        // Gives back the room of what is not complete.
        drop(temporary);
        let mut files = Vec::new();
        for (asset, file) in assets.iter().zip(named) {
            files.push(match file {
                Ok(file) => Ok(file),
                Err(Failure::Corrupt(reason)) => Err(corrupt(asset, reason)),
                Err(Failure::Write(error)) if assets.len() == 1 => return Err(error),
                // A disk that is too full for all of them may have room for this one.
                Err(Failure::Write(_)) => self.make(&[*asset]).pop().expect("one for each asset"),
            });
        }
        Ok(files)
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

/// Names for files that are being written, in the cache's directory. What is left of them is removed.
struct Temporary {
    paths: Vec<PathBuf>,
}

impl Temporary {
    fn new(directory: &Path, count: usize) -> io::Result<Temporary> {
        let path = |_| {
            // Not the pid: containers that share a cache may have the same.
            let mut unique = [0; 8];
            getrandom::fill(&mut unique).map_err(io::Error::other)?;
            let unique = u64::from_ne_bytes(unique);
            Ok(directory.join(format!("{TEMPORARY}{unique:016x}")))
        };
        Ok(Temporary { paths: (0..count).map(path).collect::<io::Result<_>>()? })
    }

    fn create(&self) -> io::Result<Vec<File>> {
        let create = |path| File::options().read(true).write(true).create_new(true).open(path);
        self.paths.iter().map(create).collect()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        for path in &self.paths {
            // Those that have got their final name are not there.
            let _ = fs::remove_file(path);
        }
    }
}

fn corrupt(asset: &Asset, reason: String) -> AssetsError {
    AssetsError::Corrupt { asset: asset.name.into(), reason }
}

/// Compares what is in a file.
///
/// What this is to find is a file that was damaged or is another: whoever can write to the cache on purpose can do so
/// after the comparison as well. So the faster hash will do. It is the faster one in optimised programs only; BLAKE3's
/// is written in assembly.
pub(super) fn has_hash(asset: &Asset, file: &File) -> io::Result<bool> {
    if file.metadata()?.len() != asset.len {
        return Ok(false);
    }
    Ok(match cfg!(debug_assertions) {
        true => hash_file(file, 0..asset.len)?.to_hex().as_str() == asset.hash,
        false => xxh3_file(file, asset.len)? == asset.xxh3,
    })
}

/// Opens a cached file, if it is there and has the right contents.
fn open_checked(asset: &Asset, path: &Path) -> Option<UnpackedFile> {
    let file = File::open(path).ok()?;
    let data = file.metadata().ok()?;
    if data.len() != asset.len {
        return None;
    }
    if is_older(&data, TOUCHED) {
        // In a cache that is another's this fails, and they see to it themselves.
        let _ = file.set_modified(SystemTime::now());
    }
    has_hash(asset, &file).ok()?.then(|| UnpackedFile { path: path.to_owned(), file })
}

const TEMPORARY: &str = "unpacking-";

/// Nobody takes so long to write a file.
const ABANDONED: Duration = Duration::from_secs(600);

fn is_older(data: &fs::Metadata, age: Duration) -> bool {
    data.modified().ok().and_then(|time| time.elapsed().ok()).is_some_and(|found| found > age)
}

/// Files that exist in memory only and are reached through `/proc`.
#[cfg(target_os = "linux")]
fn in_memory(assets: &[Asset]) -> Vec<Result<UnpackedFile, AssetsError>> {
    use std::os::fd::AsRawFd;
    let create = |asset: &Asset| {
        let file = crate::kernel::memory_file(asset.name)?;
        Ok((*asset, file))
    };
    let targets = match assets.iter().map(create).collect::<io::Result<Vec<_>>>() {
        Ok(targets) => targets,
        Err(error) => {
            let failed = |asset: &Asset| {
                let source = io::Error::new(error.kind(), error.to_string());
                Err(io_error(Path::new(asset.name))(source))
            };
            return assets.iter().map(failed).collect();
        }
    };
    let named = |(asset, unpacked): (&Asset, Result<File, Failure>)| match unpacked {
        Ok(file) => {
            let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            Ok(UnpackedFile { path, file })
        }
        Err(Failure::Write(error)) => Err(io_error(Path::new(asset.name))(error)),
        Err(Failure::Corrupt(reason)) => Err(corrupt(asset, reason)),
    };
    assets.iter().zip(unpack::unpack(targets)).map(named).collect()
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
