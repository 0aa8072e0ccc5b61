//! Files that say where a server is, and how to know it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// In a data directory: the URL of the server that `pglite` runs for it.
const URL_FILE: &str = "pglite-oxide.url";

/// A file with something in it, such as a URL, that is there as long as the server takes clients.
///
/// It is locked as long as this process lives. So a file that was left by a process that was killed, or
/// copied with its directory, can be told from a true one, whoever has the database open now.
#[derive(Debug)]
pub(crate) struct Announcement {
    path: PathBuf,
    _locked: File,
}

impl Announcement {
    /// Puts the file there in one step, readable for this user only.
    pub(crate) fn write(path: &Path, text: &str) -> io::Result<Announcement> {
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}", std::process::id()));
        let new = PathBuf::from(new);
        // Left by a process that had the same pid; otherwise there is none.
        let _ = fs::remove_file(&new);
        let written = || -> io::Result<File> {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.try_lock()?;
            writeln!(file, "{}", text.trim_end())?;
            fs::rename(&new, path)?;
            Ok(file)
        };
        match written() {
            Ok(file) => Ok(Announcement { path: path.to_owned(), _locked: file }),
            Err(error) => {
                // What matters is the first error.
                let _ = fs::remove_file(&new);
                Err(error)
            }
        }
    }

    /// The file in a data directory.
    pub(crate) fn in_directory(directory: &Path, url: &str) -> io::Result<Announcement> {
        Announcement::write(&directory.join(URL_FILE), url)
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // If somebody has removed it already, that is well too.
        let _ = fs::remove_file(&self.path);
    }
}

/// The URL of the server that runs for a data directory.
pub(crate) fn find(directory: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(directory.join(URL_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
        // Nobody has it: it outlived its server.
        Ok(()) => return Ok(None),
    }
    let mut url = String::new();
    file.read_to_string(&mut url)?;
    Ok(Some(url.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_believed_as_long_as_its_writer_has_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(find(dir.path()).unwrap(), None);
        let announcement = Announcement::in_directory(dir.path(), "postgresql://here").unwrap();
        assert_eq!(find(dir.path()).unwrap().as_deref(), Some("postgresql://here"));

        let copy = tempfile::tempdir().unwrap();
        fs::copy(dir.path().join(URL_FILE), copy.path().join(URL_FILE)).unwrap();
        assert_eq!(find(copy.path()).unwrap(), None);
        let replaced = Announcement::in_directory(copy.path(), "postgresql://there").unwrap();
        assert_eq!(find(copy.path()).unwrap().as_deref(), Some("postgresql://there"));
        drop(replaced);

        drop(announcement);
        assert_eq!(find(dir.path()).unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
