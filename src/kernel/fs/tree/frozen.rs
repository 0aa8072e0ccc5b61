//! Trees from archives, and entries for archives from trees.

use std::sync::Arc;
use std::time::SystemTime;

use super::Tree;
use super::pages::{Backing, Content};
use crate::kernel::errno::Errno;
use crate::kernel::fs::archive::{Archive, ArchiveError, Entry, EntryBody, ItemBody};
use crate::kernel::fs::{FileKind, FileSystem, FsResult, OpenOptions};

impl Tree {
    /// The tree in an archive, whose bytes (a mapped file, or a vector) it goes on to use: only the
    /// index is read, and pages are copied when they are written.
    pub(crate) fn from_archive(
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Tree, ArchiveError> {
        let tree = Tree::new();
        tree.add_archive(bytes)?;
        Ok(tree)
    }

    /// Adds what is in an archive, in the same way. A directory may be there already; a file may not.
    pub(crate) fn add_archive(
        &self,
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<(), ArchiveError> {
        let backing = Arc::new(Backing::new(bytes));
        let archive = Archive::parse(backing.bytes())?;
        let now = SystemTime::now();
        let mut names = self.shared.names_mut();
        for item in archive.entries {
            let made = match item.body {
                ItemBody::Directory => match names.create_dir(item.path) {
                    Err(Errno::EXIST) => Ok(()),
                    made => made,
                },
                ItemBody::Symlink(target) => names.symlink(target, item.path),
                ItemBody::File { len, pages } => {
                    let content = Content::of_slices(len, &backing, pages.into_iter());
                    names.add_file(item.path, content, now)
                }
            };
            made.map_err(|_| ArchiveError::Invalid("entry that a tree cannot have"))?;
        }
        Ok(())
    }
}

/// All files of a file system, for [`archive::write`](crate::kernel::fs::archive::write).
#[allow(dead_code, reason = "to pack a tree that was made in memory")]
pub(crate) fn entries(fs: &dyn FileSystem) -> FsResult<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut todo = vec![String::new()];
    while let Some(dir) = todo.pop() {
        let options = OpenOptions { read: true, directory: true, ..OpenOptions::default() };
        let listed = fs.open(&format!("/{dir}"), options)?.read_dir()?;
        for found in listed {
            let path =
                if dir.is_empty() { found.name.clone() } else { format!("{dir}/{}", found.name) };
            let body = match found.kind {
                FileKind::Directory => {
                    todo.push(path.clone());
                    EntryBody::Directory
                }
                FileKind::Symlink => EntryBody::Symlink(fs.read_link(&path)?),
                FileKind::Regular => EntryBody::File(read_file(fs, &path)?),
                FileKind::CharacterDevice | FileKind::Other => return Err(Errno::NOTSUP),
            };
            entries.push(Entry { path, body });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn read_file(fs: &dyn FileSystem, path: &str) -> FsResult<Vec<u8>> {
    let options = OpenOptions { read: true, no_follow: true, ..OpenOptions::default() };
    let file = fs.open(path, options)?;
    let len = usize::try_from(file.metadata()?.len).map_err(|_| Errno::FBIG)?;
    file.read_first(len)
}
