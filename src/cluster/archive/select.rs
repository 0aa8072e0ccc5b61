//! What of a data directory goes into an archive: what `pg_basebackup` takes (`basebackup.c` of PostgreSQL).

use std::collections::HashSet;

use super::{CONTROL_FILE, is_of_the_run};
use crate::error::DumpError;
use crate::kernel::errno::Errno;
use crate::kernel::fs::{DirEntry, FileKind, FileSystem, FsResult, OpenOptions};

/// A data directory in a file system.
#[derive(Clone, Copy)]
pub(super) struct DataDir<'a> {
    pub(super) files: &'a dyn FileSystem,
    pub(super) base: &'a str,
}

/// What [`DataDir::walk`] finds, with its path from the data directory on.
pub(super) enum Found<'a> {
    Directory(&'a str),
    File(&'a str),
}

/// Their files are of the running server. So are the log's, but for those that the caller chooses.
const EMPTY: &[&str] = &[
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    WAL,
];

const WAL: &str = "pg_wal";

/// Files of the root that only a running server has.
const LEFT_OUT: &[&str] = &[
    "backup_label",
    "current_logfiles",
    "current_logfiles.tmp",
    "postgresql.auto.conf.tmp",
    "tablespace_map",
];

impl DataDir<'_> {
    /// All that belongs into a copy, but for the log and `pg_control`, which have their own time.
    pub(super) fn walk(
        self,
        visit: &mut dyn FnMut(Found<'_>) -> Result<(), DumpError>,
    ) -> Result<(), DumpError> {
        self.walk_dir("", visit)
    }

    fn walk_dir(
        self,
        dir: &str,
        visit: &mut dyn FnMut(Found<'_>) -> Result<(), DumpError>,
    ) -> Result<(), DumpError> {
        let entries = match self.list(dir) {
            Ok(entries) => entries,
            // A database that was dropped meanwhile.
            Err(Errno::NOENT) if !dir.is_empty() => return Ok(()),
            Err(errno) => return Err(read_error(dir, errno)),
        };
        let unlogged = if has_relations(dir) { unlogged(&entries) } else { HashSet::new() };
        for entry in &entries {
            let path = join(dir, &entry.name);
            if is_left_out(dir, &path, entry, &unlogged) {
                continue;
            }
            match entry.kind {
                FileKind::Directory => {
                    visit(Found::Directory(&path))?;
                    if path == WAL {
                        visit(Found::Directory("pg_wal/archive_status"))?;
                        visit(Found::Directory("pg_wal/summaries"))?;
                    }
                    if !EMPTY.contains(&path.as_str()) {
                        self.walk_dir(&path, visit)?;
                    }
                }
                FileKind::Regular => visit(Found::File(&path))?,
                FileKind::Symlink => return Err(self.link_error(dir, path)),
                FileKind::CharacterDevice | FileKind::Other => {
                    tracing::warn!("{path} is no file, and not in the archive");
                }
            }
        }
        Ok(())
    }

    /// Files of timelines, which recovery may ask for.
    pub(super) fn timelines(self) -> Result<Vec<String>, DumpError> {
        let entries = self.list(WAL).map_err(|errno| read_error(WAL, errno))?;
        let is_history =
            |entry: &DirEntry| entry.kind == FileKind::Regular && entry.name.ends_with(".history");
        Ok(entries
            .iter()
            .filter(|entry| is_history(entry))
            .map(|entry| segment_path(&entry.name))
            .collect())
    }

    /// Before anything is written: what would be an error in the middle.
    pub(super) fn check(self) -> Result<(), DumpError> {
        let dir = "pg_tblspc";
        let entries = self.list(dir).map_err(|errno| read_error(dir, errno))?;
        match entries.iter().find(|entry| entry.kind == FileKind::Symlink) {
            Some(entry) => Err(self.link_error(dir, join(dir, &entry.name))),
            None => Ok(()),
        }
    }

    fn link_error(self, dir: &str, path: String) -> DumpError {
        match self.files.read_link(&self.at(&path)) {
            Ok(location) if dir == "pg_tblspc" => DumpError::Tablespace { location },
            _ => DumpError::Link { path },
        }
    }

    /// The path in the file system.
    pub(super) fn at(self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// Sorted, so that archives of the same files are alike.
    fn list(self, dir: &str) -> FsResult<Vec<DirEntry>> {
        let options = OpenOptions { read: true, directory: true, ..OpenOptions::default() };
        let mut entries = self.files.open(&self.at(dir), options)?.read_dir()?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}

pub(super) fn read_error(path: &str, errno: Errno) -> DumpError {
    DumpError::Read { path: path.to_owned(), source: errno.into() }
}

/// Where a segment of the log is.
pub(super) fn segment_path(name: &str) -> String {
    join(WAL, name)
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

fn is_left_out(dir: &str, path: &str, entry: &DirEntry, unlogged: &HashSet<&str>) -> bool {
    path == CONTROL_FILE
        || is_of_the_run(path)
        || LEFT_OUT.contains(&path)
        || entry.name.starts_with("pgsql_tmp")
        // A cache, which is made anew.
        || entry.name.starts_with("pg_internal.init")
        || has_relations(dir)
            && (is_temporary(&entry.name)
                || relation(&entry.name)
                    .is_some_and(|(number, fork)| fork != Some("init") && unlogged.contains(number)))
}

/// `base/1`, `global`, `pg_tblspc/1/PG_17_202406281/1`.
fn has_relations(dir: &str) -> bool {
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    match dir.split('/').collect::<Vec<_>>()[..] {
        ["global"] => true,
        ["base", database] => is_number(database),
        ["pg_tblspc", _, version, database] => version.starts_with("PG_") && is_number(database),
        _ => false,
    }
}

/// The number and the fork of `16384`, `16384.1`, `16384_vm`, `16384_vm.1`.
fn relation(name: &str) -> Option<(&str, Option<&str>)> {
    let name = match name.split_once('.') {
        Some((name, segment)) if segment.parse::<u32>().is_ok() => name,
        Some(_) => return None,
        None => name,
    };
    let (number, fork) = match name.split_once('_') {
        Some((number, fork)) => (number, Some(fork)),
        None => (name, None),
    };
    number.parse::<u32>().is_ok().then_some((number, fork))
}

/// `t3_16384`: of a session, which is not in the copy.
fn is_temporary(name: &str) -> bool {
    name.strip_prefix('t')
        .and_then(|name| name.split_once('_'))
        .is_some_and(|(session, file)| session.parse::<u32>().is_ok() && relation(file).is_some())
}

/// Relations that recovery would empty: of these only the initial state counts.
fn unlogged(entries: &[DirEntry]) -> HashSet<&str> {
    entries
        .iter()
        .filter_map(|entry| relation(&entry.name))
        .filter(|(_, fork)| *fork == Some("init"))
        .map(|(number, _)| number)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_relations() {
        assert_eq!(relation("16384"), Some(("16384", None)));
        assert_eq!(relation("16384.2"), Some(("16384", None)));
        assert_eq!(relation("16384_init"), Some(("16384", Some("init"))));
        assert_eq!(relation("16384_vm.1"), Some(("16384", Some("vm"))));
        for other in ["PG_VERSION", "pg_filenode.map", "16384.x", "t3_16384", "x_init"] {
            assert_eq!(relation(other), None, "{other}");
        }
        assert!(is_temporary("t3_16384") && is_temporary("t3_16384_fsm.1"));
        assert!(!is_temporary("16384") && !is_temporary("tmp_1"));
    }

    #[test]
    fn directories_of_relations() {
        for dir in ["global", "base/5", "pg_tblspc/16384/PG_17_202406281/5"] {
            assert!(has_relations(dir), "{dir}");
        }
        for dir in ["", "base", "base/pgsql_tmp", "pg_wal", "pg_tblspc/16384"] {
            assert!(!has_relations(dir), "{dir}");
        }
    }
}
