//! A data directory on the host: looked at before anything is touched, locked, and made if there is none.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::{archive, identity};
use crate::assets::{PG_MAJOR, Runtime};
use crate::error::{DataDirError, Error};
use crate::kernel::fs::{FileSystem, HostDir, OpenOptions, Tree, copy_tree};

/// Locked by the process that has the database open, and names it. Postgres' own lock file goes by the
/// pid alone, which a new process may have got again.
pub(super) const LOCK_FILE: &str = "pglite-oxide.lock";

/// Exists while the directory is being made: one that has it is made again.
pub(super) const INCOMPLETE: &str = "pglite-oxide.incomplete";

/// Exists while an archive is loaded into the directory: one that has it is not opened, as nobody wants a
/// new database in the place of the one that was to come.
pub(super) const LOADING: &str = "pglite-oxide.loading";

/// Keeps other openers out. Dropped with the process, at the latest.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

pub(super) struct Opened {
    pub(super) files: HostDir,
    pub(super) lock: DirLock,
    pub(super) is_new: bool,
}

/// What a directory has in it.
#[derive(Debug, PartialEq, Eq)]
enum Contents {
    Nothing,
    Incomplete,
    HalfLoaded,
    Database { version: String },
    SomethingElse,
}

/// Locks a data directory; makes a database in it if it is empty, missing or was left half made.
pub(super) fn open(path: &Path, runtime: &Runtime) -> Result<Opened, Error> {
    // Before anything is made there, also the lock file.
    check(path, &look(path)?)?;
    let failed = |error| Error::DataDir(classify(path, error));
    make_private_dir(path).map_err(failed)?;
    let (lock, last_holder) = lock(path)?;
    // Once more, now that nobody else can change it.
    let contents = look(path)?;
    check(path, &contents)?;
    let is_new = matches!(contents, Contents::Nothing | Contents::Incomplete);
    if is_new {
        make(path, runtime.template().map_err(Error::Assets)?).map_err(failed)?;
    }
    remove_stale_pid_file(path, last_holder).map_err(failed)?;
    let files = HostDir::open(path).map_err(failed)?;
    Ok(Opened { files, lock, is_new })
}

/// Locks an empty, missing or half made directory, and makes the archive's database in it. After an error
/// of the archive the directory is empty, but for the lock file: others may be waiting for the lock.
pub(super) fn load(
    path: &Path,
    source: archive::Source<'_>,
    template: &Tree,
) -> Result<Opened, Error> {
    check_empty(path, &look(path)?)?;
    make_private_dir(path).map_err(|error| classify(path, error))?;
    let (lock, _) = lock(path)?;
    check_empty(path, &look(path)?)?;
    let failed = |error| Error::DataDir(classify(path, error));
    let files = begin(path, LOADING).map_err(failed)?;
    if let Err(error) = archive::unpack(source, &files, template) {
        let removed = clear(path).and_then(|()| fs::remove_file(path.join(LOADING)));
        if let Err(error) = removed {
            // The mark is still there.
            tracing::warn!("cannot remove what was loaded into {}: {error}", path.display());
        }
        return Err(Error::Load(error));
    }
    finish(path, &files, LOADING).map_err(failed)?;
    Ok(Opened { files, lock, is_new: false })
}

fn check_empty(path: &Path, contents: &Contents) -> Result<(), DataDirError> {
    match contents {
        Contents::Nothing | Contents::Incomplete | Contents::HalfLoaded => Ok(()),
        Contents::Database { .. } | Contents::SomethingElse => {
            Err(DataDirError::NotEmpty { path: path.to_owned() })
        }
    }
}

/// Refuses what is not to be touched.
fn check(path: &Path, contents: &Contents) -> Result<(), DataDirError> {
    match contents {
        Contents::Nothing | Contents::Incomplete => Ok(()),
        Contents::HalfLoaded => Err(DataDirError::HalfLoaded { path: path.to_owned() }),
        Contents::Database { version } if version == PG_MAJOR => Ok(()),
        Contents::Database { version } => Err(DataDirError::WrongVersion {
            path: path.to_owned(),
            found: version.clone(),
            expected: PG_MAJOR.to_owned(),
        }),
        Contents::SomethingElse => Err(DataDirError::NotADatabase { path: path.to_owned() }),
    }
}

fn look(path: &Path) -> Result<Contents, DataDirError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::Nothing),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(not_a_directory(path));
        }
        Err(error) => return Err(classify(path, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(|error| classify(path, error))?.file_name());
    }
    let has = |name: &str| names.iter().any(|found| found == name);
    if has(LOADING) {
        Ok(Contents::HalfLoaded)
    } else if has(INCOMPLETE) {
        Ok(Contents::Incomplete)
    } else if has("PG_VERSION") {
        let file = path.join("PG_VERSION");
        let version = fs::read_to_string(&file).map_err(|error| classify(&file, error))?;
        Ok(Contents::Database { version: version.trim().to_owned() })
    } else if names.iter().all(|name| name == LOCK_FILE) {
        Ok(Contents::Nothing)
    } else {
        Ok(Contents::SomethingElse)
    }
}

/// It may be the path itself, or what should be a directory above it.
fn not_a_directory(path: &Path) -> DataDirError {
    let is_file = |path: &&Path| fs::metadata(path).is_ok_and(|found| !found.is_dir());
    let file = path.ancestors().find(is_file).unwrap_or(path);
    DataDirError::NotADirectory { path: file.to_owned() }
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Returns with the lock the pid of who had it before, as far as the file says.
fn lock(path: &Path) -> Result<(DirLock, Option<u32>), DataDirError> {
    let name = path.join(LOCK_FILE);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .map_err(|error| classify(path, error))?;
    let locked = file.try_lock();
    let mut text = String::new();
    // Without the text there is a lock without a name.
    let _ = file.read_to_string(&mut text);
    let pid = text.trim().parse().ok();
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DataDirError::Locked { path: path.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(classify(&name, error)),
    }
    let own = format!("{}\n", std::process::id());
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(own.as_bytes()));
    // The lock is what counts: on a full disk the database still opens, its holder without a name.
    if let Err(error) = written {
        tracing::warn!("cannot write the pid to {}: {error}", name.display());
    }
    Ok((DirLock { _file: file }, pid))
}

/// Removes the `postmaster.pid` of the process that had our lock and has it no longer.
///
/// Postgres itself looks whether a process with that pid lives, which may be this one, another database's
/// of this library, or a stranger that got the number again. A file with another pid in it is not ours,
/// and Postgres decides.
fn remove_stale_pid_file(path: &Path, last_holder: Option<u32>) -> io::Result<()> {
    let file = path.join("postmaster.pid");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
    if pid.is_some() && pid == last_holder { fs::remove_file(&file) } else { Ok(()) }
}

/// Copies the template, so that the directory is a complete database or is made again.
fn make(path: &Path, template: &Tree) -> io::Result<()> {
    let copy = begin(path, INCOMPLETE)?;
    copy_tree(template, &copy).map_err(io::Error::from)?;
    identity::renew(&copy, "/", identity::new_identifier())?;
    finish(path, &copy, INCOMPLETE)
}

/// An empty directory with a mark that says that it is not complete.
fn begin(path: &Path, mark: &str) -> io::Result<HostDir> {
    clear(path)?;
    File::create(path.join(mark))?.sync_all()?;
    sync_dir(path)?;
    HostDir::open(path)
}

/// Takes the mark away, once all that was made is on stable storage.
fn finish(path: &Path, files: &HostDir, mark: &str) -> io::Result<()> {
    sync_file_system(path, files)?;
    // A mark of an earlier attempt of the other kind.
    for other in [INCOMPLETE, LOADING] {
        match fs::remove_file(path.join(other)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && other != mark => {}
            result => result?,
        }
    }
    sync_dir(path)?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_dir(parent)?;
    }
    Ok(())
}

/// Removes what an interrupted `make` or `load` left; the lock file and the marks stay.
fn clear(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if [LOCK_FILE, INCOMPLETE, LOADING].iter().any(|kept| entry.file_name() == **kept) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// One call for a thousand files.
#[cfg(target_os = "linux")]
fn sync_file_system(_path: &Path, files: &HostDir) -> io::Result<()> {
    let options = OpenOptions { read: true, directory: true, ..OpenOptions::default() };
    Ok(files.open("/", options)?.sync_file_system()?)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(path: &Path, files: &HostDir) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_file_system(&entry.path(), files)?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(path)
}

fn classify(path: &Path, error: io::Error) -> DataDirError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            DataDirError::ReadOnly { path: path.to_owned() }
        }
        _ => DataDirError::Io { path: PathBuf::from(path), source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(look(&at("missing")).unwrap(), Contents::Nothing);
        assert_eq!(look(dir.path()).unwrap(), Contents::Nothing);
        fs::write(at(LOCK_FILE), "1").unwrap();
        assert_eq!(look(dir.path()).unwrap(), Contents::Nothing);
        fs::write(at("notes.txt"), "mine").unwrap();
        assert_eq!(look(dir.path()).unwrap(), Contents::SomethingElse);
        fs::write(at("PG_VERSION"), "16\n").unwrap();
        assert_eq!(look(dir.path()).unwrap(), Contents::Database { version: "16".into() });
        fs::write(at(INCOMPLETE), "").unwrap();
        assert_eq!(look(dir.path()).unwrap(), Contents::Incomplete);
        fs::write(at(LOADING), "").unwrap();
        assert_eq!(look(dir.path()).unwrap(), Contents::HalfLoaded);
        for path in [at("notes.txt"), at("notes.txt/db")] {
            let error = look(&path).unwrap_err();
            assert!(
                matches!(&error, DataDirError::NotADirectory { path } if *path == at("notes.txt"))
            );
        }
    }
}
