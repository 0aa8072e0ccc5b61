//! Nothing that was committed is lost, whatever ends the process.

use std::fs;

use pglite_oxide::Pglite;

use crate::child::Process;
use crate::text;

#[test]
fn a_killed_process_loses_no_acknowledged_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=3 {
        let mut writer = Process::start("insert", dir.path(), &[]);
        for _ in 0..200 * round {
            acknowledged = writer.line().unwrap().parse().unwrap();
        }
        writer.kill();
        let mut db = Pglite::open(dir.path()).unwrap();
        let row = db.query_one("SELECT count(*), max(id) FROM t", &[]).unwrap();
        let (count, last): (i64, i32) = (row.get(0), row.get(1));
        assert!(last >= acknowledged, "{last} of {acknowledged} rows");
        assert_eq!(count, i64::from(last));
    }
}

#[test]
fn a_dropped_database_recovers_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    db.exec("CREATE TABLE t (i int); INSERT INTO t VALUES (1)").unwrap();
    db.exec("BEGIN; INSERT INTO t VALUES (2)").unwrap();
    drop(db);
    let mut db = Pglite::open(dir.path()).unwrap();
    assert_eq!(text(&mut db, "SELECT string_agg(i::text, ',') FROM t"), "1");
}

#[test]
fn a_closed_database_needs_no_recovery() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    db.exec("CREATE TABLE t (i int); INSERT INTO t VALUES (1)").unwrap();
    db.close().unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    // Written before the first statement of this run: the state the last one left.
    assert_eq!(text(&mut db, "SELECT redo_lsn = checkpoint_lsn FROM pg_control_checkpoint()"), "t");
    assert_eq!(text(&mut db, "SELECT i FROM t"), "1");
}

/// The closest peer never synced, and CHECKPOINT killed its session.
#[test]
fn checkpoint_with_fsync() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    db.exec("CREATE TABLE t AS SELECT i, repeat('x', 100) FROM generate_series(1, 10000) i")
        .unwrap();
    db.exec("CHECKPOINT").unwrap();
    db.exec("SELECT pg_stat_force_next_flush()").unwrap();
    assert_eq!(text(&mut db, "SELECT wal_sync > 0 FROM pg_stat_wal"), "t");
    assert_eq!(text(&mut db, "SELECT count(*) FROM t"), "10000");
}

/// A torn last WAL record is the end of the log, not an error.
#[test]
fn a_torn_write_at_the_end_of_the_log_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    db.exec("CREATE TABLE t (i int); INSERT INTO t VALUES (1)").unwrap();
    let file = text(&mut db, "SELECT pg_walfile_name(pg_current_wal_lsn())");
    let offset: usize =
        text(&mut db, "SELECT file_offset FROM pg_walfile_name_offset(pg_current_wal_lsn())")
            .parse()
            .unwrap();
    drop(db);
    let path = dir.path().join("pg_wal").join(file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[offset + 16..offset + 60].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    assert_eq!(text(&mut db, "SELECT count(*) FROM t"), "1");
}

#[test]
fn a_temporary_database_that_is_full_says_so_and_goes_on() {
    let mut db = Pglite::builder().memory_limit(24 << 20).open().unwrap();
    db.exec("CREATE TABLE t (v text)").unwrap();
    let mut copy = db.fork().unwrap();
    let fill = "INSERT INTO t SELECT repeat(md5(i::text), 30) FROM generate_series(1, 100000) i";
    let error = db.exec(fill).unwrap_err();
    assert_eq!(crate::sqlstate(&error), "53100", "{error}");
    assert_eq!(text(&mut db, "SELECT count(*) FROM t"), "0");
    // PostgreSQL would have one look at the disk. All sessions know better, also that of a copy.
    for session in [&mut *db, &mut *copy] {
        let error = session.exec(fill).unwrap_err();
        let hint = error.as_db_error().and_then(|error| error.hint()).unwrap_or_default();
        assert!(hint.contains("limited to 24 MB (memory_limit)"), "{error}");
    }
    let error = db.connect().unwrap().exec(fill).unwrap_err();
    assert!(error.to_string().contains("limited to 24 MB (memory_limit)"), "{error}");
    db.exec("DROP TABLE t; CREATE TABLE u AS SELECT 1 AS i").unwrap();
    assert_eq!(text(&mut db, "SELECT i FROM u"), "1");
}
