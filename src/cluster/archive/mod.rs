//! Archives of whole data directories: written from a running cluster, and new clusters made from them.
//!
//! # Format
//!
//! A tar archive of the data directory, its files at the root, as `pg_basebackup -Ft` makes one; packed with
//! zstd if asked for. The first entry is [`MARK`]. It says that the last one is [`MANIFEST`]: a line for each
//! entry in between with its CRC-32C and length. So an archive that lost its end, or a bit, is known. Archives
//! without the mark, as `tar` makes them, are loaded too; what they say is believed.
//!
//! # What makes it consistent
//!
//! Either way the archive is what a crash would have left, and PostgreSQL recovers it from the log in it.
//!
//! - Files in memory are copied at one instant ([`Tree::clone_tree`](crate::kernel::fs::Tree)), after a
//!   checkpoint, which also writes the log of asynchronous commits. No page can be torn, so that this holds
//!   with `full_page_writes=off`, as temporary databases have it.
//! - A host has no such instant. There the copy is PostgreSQL's own online backup (`pg_backup_start`, which
//!   turns full pages in the log on, and `pg_backup_stop`); `backup_label` tells recovery where it has to
//!   begin, and how far it has to come at least.

mod control;
mod dump;
mod load;
mod select;
mod write;
mod zstd;

use super::data_dir;

pub(crate) use self::load::Source;
pub(super) use self::load::unpack;

/// First entry of an archive that has a [`MANIFEST`] as its last.
const MARK: &str = "pglite-oxide.archive";

/// Last entry: CRC-32C, length and path of each.
const MANIFEST: &str = "pglite-oxide.manifest";

/// What [`MARK`] has in it.
const FORMAT: &str = "pglite-oxide data directory 1\n";

const CONTROL_FILE: &str = "global/pg_control";

/// Bytes moved at once.
const CHUNK: usize = 256 << 10;

/// What an archive of a data directory is written as.
///
/// Loading finds out by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DumpFormat {
    /// A tar archive: about as large as the database, written as fast as its bytes can be.
    Tar,
    /// A tar archive packed with zstd (`.tar.zst`): a fraction of that, and slower.
    TarZst,
}

/// Files in the data directory's root that are of the running server or of this library, or that describe
/// another backup. They are neither dumped nor loaded.
fn is_of_the_run(path: &str) -> bool {
    const NAMES: &[&str] = &[
        "postmaster.pid",
        "postmaster.opts",
        "backup_manifest",
        data_dir::LOCK_FILE,
        data_dir::INCOMPLETE,
        data_dir::LOADING,
        MARK,
        MANIFEST,
    ];
    NAMES.contains(&path)
}

/// A line of the manifest; `None` for a directory.
fn manifest_line(path: &str, file: Option<(u32, u64)>) -> String {
    // A name may have a newline.
    match file {
        Some((crc, len)) => format!("{crc:08x} {len} {path:?}\n"),
        None => format!("directory {path:?}\n"),
    }
}
