//! Extensions: those that are packed into the crates, and those in directories of the user's.
//!
//! Of each module PostgreSQL sees a file in the installation, which only says that it is there: what is loaded comes
//! from the kernel's [`Library`], which finds it by its name.

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmer::{Engine, Module};

use super::cache::{Asset, CacheDir};
use super::{io_error, load_code};
use crate::error::AssetsError;
use crate::kernel::errno::Errno;
use crate::kernel::fs::{Tree, write_file};
use crate::kernel::linker::{Artifact, Library};

/// In the installation.
const MODULES: &str = "/lib/postgresql";
const SHARE: &str = "/share/postgresql";

/// The last bytes of a module's file: BLAKE3 and length of what is before, and a mark.
const MARK: &[u8; 24] = b"pglite-oxide side module";
const TRAILER: usize = 32 + 8 + MARK.len();

/// The modules that the crates carry. [`files`] has one for each of their names too.
pub(super) fn packed(cache: &Arc<CacheDir>) -> Library {
    let mut library = Library::default();
    for module in modules() {
        let cache = cache.clone();
        let loader = move |engine: &Engine| load_packed(&cache, engine, &module);
        library.add(module.name, Artifact::new(identity(module.hash), loader));
    }
    library
}

fn load_packed(cache: &CacheDir, engine: &Engine, module: &Asset) -> Result<Module, String> {
    let file = cache.unpack_to_file(module).map_err(|error| error.to_string())?;
    load_code(engine, file.path())
}

/// The bytes of a hash in hexadecimal.
fn identity(hash: &str) -> [u8; 32] {
    blake3::Hash::from_hex(hash).map_or([0; 32], |hash| *hash.as_bytes())
}

/// PostgreSQL looks whether a module's file is there before it asks for the module.
fn announce(installation: &Tree, name: &str) -> Result<(), Errno> {
    let text = format!("{name} is a side module\n");
    write_file(installation, &format!("{MODULES}/{name}.so"), text.as_bytes()).map(drop)
}

/// Adds a directory laid out like PostgreSQL's own: `lib/*.so` are modules, and what is in `share/extension` and
/// `share/tsearch_data` belongs to them. What has the name of something that is there already replaces it.
pub(super) fn add_directory(
    dir: &Path,
    installation: &Tree,
    library: &mut Library,
) -> Result<(), AssetsError> {
    let failed = |path: &Path, errno: Errno| io_error(path)(io::Error::from(errno));
    let unusable =
        |path: &Path, reason: String| AssetsError::Extensions { path: path.to_owned(), reason };
    match fs::metadata(dir) {
        Ok(data) if data.is_dir() => {}
        Ok(_) => return Err(unusable(dir, "it is not a directory".into())),
        Err(error) => return Err(unusable(dir, error.to_string())),
    }
    let mut found = false;
    for part in ["extension", "tsearch_data"] {
        for (name, path) in list(&dir.join("share").join(part))? {
            let contents = fs::read(&path).map_err(io_error(&path))?;
            write_file(installation, &format!("{SHARE}/{part}/{name}"), &contents)
                .map_err(|errno| failed(&path, errno))?;
            found = true;
        }
    }
    for (name, path) in list(&dir.join("lib"))? {
        let Some(name) = name.strip_suffix(".so") else { continue };
        // Read now, so that all processes of a cluster get the same.
        let (identity, _) = read_module(&path).map_err(|reason| unusable(&path, reason))?;
        announce(installation, name).map_err(|errno| failed(&path, errno))?;
        library.add(name, Artifact::new(identity, loader(path, identity)));
        found = true;
    }
    if !found {
        let reason = "no extension is in it: expected are lib/*.so or share/extension/*";
        return Err(unusable(dir, reason.into()));
    }
    Ok(())
}

/// The files of a directory; none if there is no such directory.
fn list(dir: &Path) -> Result<Vec<(String, PathBuf)>, AssetsError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(dir)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error(dir))?;
        if entry.path().is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            files.push((name, entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

fn loader(
    path: PathBuf,
    expected: [u8; 32],
) -> impl Fn(&Engine) -> Result<Module, String> + Send + Sync + 'static {
    move |engine| {
        let (identity, contents) = read_module(&path)?;
        if identity != expected {
            return Err(format!("{} has changed since the database was opened", path.display()));
        }
        // Not the file itself, which could be written to while its code runs.
        let copy = memory_file(&contents).map_err(|error| error.to_string())?;
        load_code(engine, &copy.path)
    }
}

/// A file without a name, and a path to it as long as it is open.
struct MemoryFile {
    path: PathBuf,
    _file: fs::File,
}

fn memory_file(contents: &[u8]) -> io::Result<MemoryFile> {
    let mut file = crate::kernel::memory_file("pglite-module")?;
    file.write_all(contents)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok(MemoryFile { path, _file: file })
}

/// The native code of a module's file, and its hash, which is compared with the one in the file.
fn read_module(path: &Path) -> Result<([u8; 32], Vec<u8>), String> {
    let mut contents = fs::read(path).map_err(|error| error.to_string())?;
    let code = check_trailer(&contents)?;
    let (hash, len) = (*blake3::hash(code).as_bytes(), code.len());
    if contents[len..len + 32] != hash {
        return Err("the file is damaged: its contents do not have the hash that it names".into());
    }
    contents.truncate(len);
    Ok((hash, contents))
}

/// What is before the trailer.
fn check_trailer(contents: &[u8]) -> Result<&[u8], String> {
    let split = contents.len().checked_sub(TRAILER).map(|at| contents.split_at(at));
    let (code, trailer) = split
        .filter(|(_, trailer)| trailer.ends_with(MARK))
        .ok_or("the file is not a side module of pglite-oxide, or was cut off")?;
    let len = trailer[32..40].try_into().map_or(0, u64::from_le_bytes);
    match len == code.len() as u64 {
        true => Ok(code),
        false => Err(format!(
            "the file is damaged: {len} bytes of code are expected, {} are there",
            code.len()
        )),
    }
}

#[cfg(all(
    feature = "extensions",
    target_os = "linux",
    target_arch = "x86_64",
    target_env = "gnu"
))]
mod contents {
    use pglite_oxide_extensions as share;
    use pglite_oxide_extensions_x86_64_unknown_linux_gnu as code;

    use super::Asset;

    /// Control files and scripts. None in the build that makes them.
    pub(in crate::assets) fn files() -> Option<Asset> {
        let files = share::EXTENSIONS;
        let asset = Asset {
            name: "extensions.img",
            packed: files.packed,
            hash: files.blake3,
            xxh3: files.xxh3,
            len: files.len,
        };
        (asset.len > 0).then_some(asset)
    }

    pub(super) fn modules() -> impl Iterator<Item = Asset> {
        code::MODULES.iter().map(|module| Asset {
            name: module.name,
            packed: module.packed,
            hash: module.blake3,
            xxh3: module.xxh3,
            len: module.len,
        })
    }
}

#[cfg(not(all(
    feature = "extensions",
    target_os = "linux",
    target_arch = "x86_64",
    target_env = "gnu"
)))]
mod contents {
    use super::Asset;

    pub(in crate::assets) fn files() -> Option<Asset> {
        None
    }

    pub(super) fn modules() -> impl Iterator<Item = Asset> {
        std::iter::empty()
    }
}

pub(super) use contents::files;
use contents::modules;

/// All that the crates carry of extensions.
pub(super) fn assets() -> Vec<Asset> {
    files().into_iter().chain(modules()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(code: &[u8]) -> Vec<u8> {
        let hash = blake3::hash(code);
        [code, hash.as_bytes(), &(code.len() as u64).to_le_bytes(), MARK].concat()
    }

    fn read(contents: &[u8]) -> Result<Vec<u8>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.so");
        fs::write(&path, contents).unwrap();
        read_module(&path).map(|(_, code)| code)
    }

    #[test]
    fn a_file_of_a_module_is_checked_before_anything_of_it_is_used() {
        let whole = module(b"native code");
        assert_eq!(read(&whole).unwrap(), b"native code");

        let cut_off = read(&whole[..whole.len() - 1]).unwrap_err();
        assert!(cut_off.contains("cut off"), "{cut_off}");
        let mut altered = whole.clone();
        altered[3] ^= 1;
        assert!(read(&altered).unwrap_err().contains("damaged"));
        let shorter = whole[1..].to_vec();
        assert!(read(&shorter).unwrap_err().contains("damaged"));
        assert!(read(b"").is_err());
    }
}
