//! A running cluster's data directory as an archive.

use std::io::Write;
use std::sync::Arc;

use super::select::{DataDir, Found, read_error, segment_path};
use super::write::Writer;
use super::{CONTROL_FILE, DumpFormat, control};
use crate::client::Session;
use crate::cluster::image::MemoryFiles;
use crate::cluster::{Access, Cluster, DATA_DIR};
use crate::error::{DumpError, Error, StartError};
use crate::kernel::errno::Errno;
use crate::kernel::fs::{Namespace, OpenOptions, Tree};

/// `BOOTSTRAP_SUPERUSERID`: the one role that every cluster has, whatever its name.
const SUPERUSER: &str = "SELECT rolname FROM pg_roles WHERE oid = 10";

/// Names of all segments from the first that has `start` to the last that has a byte before `end`.
const SEGMENTS: &str = "
    SELECT pg_walfile_name('0/0'::pg_lsn + number * size)
    FROM (SELECT setting::numeric AS size FROM pg_settings WHERE name = 'wal_segment_size') setting,
         generate_series(trunc(($1::text::pg_lsn - '0/0') / size),
                         trunc(($2::text::pg_lsn - '0/0' - 1) / size)) number";

/// Times that `pg_control` is read if each time it is being written.
const CONTROL_READS: usize = 20;

impl Cluster {
    /// Writes the data directory to an archive. The cluster and its sessions go on.
    pub(crate) fn dump<W: Write>(
        cluster: &Arc<Cluster>,
        access: &Access,
        writer: W,
        format: DumpFormat,
    ) -> Result<(), Error> {
        let mut session = superuser(cluster, access)?;
        match &cluster.files {
            Some(files) => of_memory(files, &mut session, writer, format)?,
            None => {
                let dir = DataDir { files: cluster.kernel.files(), base: DATA_DIR };
                of_directory(dir, &mut session, writer, format)?;
            }
        }
        // So that a snapshot that is taken next does not find it.
        session.close()
    }
}

/// A session of its own, so that the caller's can be in a transaction, and of any role.
fn superuser(cluster: &Arc<Cluster>, access: &Access) -> Result<Session, Error> {
    let mut session = Cluster::session(cluster, access)?;
    let name: String = session.query_one(SUPERUSER, &[])?.get(0);
    if name != access.user {
        session.close()?;
        let access = Access { user: name, database: access.database.clone() };
        session = Cluster::session(cluster, &access)?;
    }
    // It may wait long for the writer.
    session
        .exec("SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0")?;
    Ok(session)
}

/// The files at one instant, after a checkpoint.
fn of_memory<W: Write>(
    files: &MemoryFiles,
    session: &mut Session,
    writer: W,
    format: DumpFormat,
) -> Result<(), Error> {
    session.exec("CHECKPOINT")?;
    let begin: String =
        session.query_one("SELECT redo_lsn::text FROM pg_control_checkpoint()", &[])?.get(0);
    let copy = copy(files).map_err(|errno| {
        let reason = format!("the file system cannot be copied: {errno}");
        Error::Start(StartError::new(reason))
    })?;
    // Beyond the copy: what it does not have yet is left out. What is older than the checkpoint, and what
    // is there to be used again, is not needed.
    let end: String = session.query_one("SELECT pg_current_wal_insert_lsn()::text", &[])?.get(0);
    let segments = segments(session, &begin, &end)?;

    let dir = DataDir { files: &copy, base: "" };
    let mut writer = start(dir, writer, format)?;
    write_control(dir, &mut writer)?;
    let mut found = 0;
    for segment in &segments {
        found += usize::from(write_file(dir, &mut writer, &segment_path(segment))?);
    }
    if found == 0 {
        let segment = segments.into_iter().next().unwrap_or(begin);
        return Err(Error::Dump(DumpError::LogRemoved { segment }));
    }
    write_timelines(dir, &mut writer)?;
    writer.finish().map_err(Error::Dump)
}

/// The data directory of this instant. Its log may be a tree of its own.
fn copy(files: &MemoryFiles) -> Result<Namespace, Errno> {
    let whole = |data: Tree| Namespace::new(Arc::new(data));
    Ok(match &files.wal {
        None => whole(files.data.clone_tree()),
        Some(wal) => {
            let (data, wal) = files.data.clone_with(wal);
            let mut files = whole(data);
            files.mount("/pg_wal", Arc::new(wal), true)?;
            files
        }
    })
}

/// PostgreSQL's online backup.
fn of_directory<W: Write>(
    dir: DataDir<'_>,
    session: &mut Session,
    writer: W,
    format: DumpFormat,
) -> Result<(), Error> {
    // Keeps the log. Without a slot to be had, the log stays as long as no two checkpoints pass.
    let slot = session.exec(
        "SELECT pg_create_physical_replication_slot(
             'pglite_oxide_dump_' || pg_backend_pid(), true, true)",
    );
    if let Err(error) = slot {
        tracing::debug!("no replication slot for a dump: {error}");
    }
    let begin: String = session
        .query_one("SELECT pg_backup_start('pglite-oxide', fast => true)::text", &[])?
        .get(0);
    let mut writer = start(dir, writer, format)?;
    write_control(dir, &mut writer)?;
    let stopped = session.query_one(
        "SELECT lsn::text, labelfile, spcmapfile FROM pg_backup_stop(wait_for_archive => false)",
        &[],
    )?;
    let (end, label, tablespaces): (String, String, String) =
        (stopped.get(0), stopped.get(1), stopped.get(2));
    for segment in segments(session, &begin, &end)? {
        if !write_file(dir, &mut writer, &segment_path(&segment))? {
            return Err(Error::Dump(DumpError::LogRemoved { segment }));
        }
    }
    write_timelines(dir, &mut writer)?;
    // One that was made meanwhile.
    if let Some((_, location)) = tablespaces.lines().next().and_then(|line| line.split_once(' ')) {
        return Err(Error::Dump(DumpError::Tablespace { location: location.to_owned() }));
    }
    writer.bytes("backup_label", label.as_bytes())?;
    writer.finish().map_err(Error::Dump)
}

/// An archive with all that is the same for both ways.
fn start<W: Write>(dir: DataDir<'_>, writer: W, format: DumpFormat) -> Result<Writer<W>, Error> {
    dir.check()?;
    let mut writer = Writer::new(writer, format)?;
    dir.walk(&mut |found| match found {
        Found::Directory(path) => writer.directory(path),
        Found::File(path) => write_file(dir, &mut writer, path).map(drop),
    })?;
    Ok(writer)
}

/// False if the file is gone.
fn write_file<W: Write>(
    dir: DataDir<'_>,
    writer: &mut Writer<W>,
    path: &str,
) -> Result<bool, DumpError> {
    let options = OpenOptions { read: true, ..OpenOptions::default() };
    match dir.files.open(&dir.at(path), options) {
        Ok(file) => writer.file(path, file.as_ref()).map(|()| true),
        // The log knows that it was dropped.
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(read_error(path, errno)),
    }
}

/// The control file, after all that it speaks of; never half of an old and half of a new one.
fn write_control<W: Write>(dir: DataDir<'_>, writer: &mut Writer<W>) -> Result<(), DumpError> {
    let failed = |errno| read_error(CONTROL_FILE, errno);
    let options = OpenOptions { read: true, ..OpenOptions::default() };
    for _ in 0..CONTROL_READS {
        let file = dir.files.open(&dir.at(CONTROL_FILE), options).map_err(failed)?;
        let bytes = file.read_first(control::FILE_SIZE).map_err(failed)?;
        if control::is_whole(&bytes) {
            return writer.bytes(CONTROL_FILE, &bytes);
        }
        std::thread::yield_now();
    }
    let source = std::io::Error::other("its checksum is wrong");
    Err(DumpError::Read { path: CONTROL_FILE.into(), source })
}

fn write_timelines<W: Write>(dir: DataDir<'_>, writer: &mut Writer<W>) -> Result<(), DumpError> {
    dir.timelines()?.iter().try_for_each(|path| write_file(dir, writer, path).map(drop))
}

fn segments(session: &mut Session, begin: &str, end: &str) -> Result<Vec<String>, Error> {
    let rows = session.query(SEGMENTS, &[&begin, &end])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
