//! Modules that are loaded when PostgreSQL starts.

use std::fs;

use pglite_oxide::{Error, MountAccess, Pglite};

use crate::{eventually, sqlstate, text};

#[test]
fn modules_that_are_loaded_at_the_start() {
    let mut db = Pglite::builder()
        .preload(["pg_stat_statements", "auto_explain"])
        .config("auto_explain.log_min_duration", "-1")
        .open()
        .unwrap();
    db.exec("CREATE EXTENSION pg_stat_statements").unwrap();
    db.exec("SELECT 41 + 1").unwrap();
    let seen = "SELECT count(*) FROM pg_stat_statements WHERE query LIKE 'SELECT $1 + $2%'";
    assert_eq!(text(&mut db, seen), "1");
    assert_eq!(text(&mut db, "SHOW auto_explain.log_min_duration"), "-1");
    // The counters are the cluster's.
    let mut other = db.connect().unwrap();
    assert_eq!(text(&mut other, seen), "1");

    let error = Pglite::builder().preload(["no_such_module"]).open().unwrap_err();
    assert!(error.to_string().contains("no_such_module"), "{error}");
    let error = Pglite::builder().preload(["a,b"]).open().unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error}");
}

/// Of the modules that are no extension each does its work.
#[test]
fn modules_that_hook_into_postgresql() {
    let mut db = Pglite::builder()
        .preload(["passwordcheck", "auth_delay"])
        .config("auth_delay.milliseconds", "1")
        .open()
        .unwrap();
    let error = db.exec("CREATE ROLE weak PASSWORD 'short'").unwrap_err();
    assert_eq!(sqlstate(&error), "22023", "{error}");
    db.exec("CREATE ROLE strong PASSWORD 'long-enough-4-all'").unwrap();
    assert_eq!(text(&mut db, "SHOW auth_delay.milliseconds"), "1ms");
    // As in the original, of which the second database with these options may be a copy.
    let mut fork = db.fork().unwrap();
    assert!(fork.exec("CREATE ROLE weak PASSWORD 'short'").is_err());
}

#[test]
fn a_module_archives_the_log() {
    let archive = tempfile::tempdir().unwrap();
    let mut db = Pglite::builder()
        .mount(archive.path(), "/archive", MountAccess::ReadWrite)
        .config("archive_mode", "on")
        .config("archive_library", "basic_archive")
        .config("basic_archive.archive_directory", "/archive")
        .open()
        .unwrap();
    db.exec("CREATE TABLE t AS SELECT 1 AS i; SELECT pg_switch_wal()").unwrap();
    eventually("a segment is archived", || {
        text(&mut db, "SELECT archived_count FROM pg_stat_archiver") != "0"
    });
    let name = text(&mut db, "SELECT last_archived_wal FROM pg_stat_archiver");
    assert_eq!(
        fs::metadata(archive.path().join(name)).unwrap().len(),
        1 << 20,
        "the size of a segment here"
    );
}

#[test]
fn a_module_decodes_the_log() {
    // What is not written yet is not decoded.
    let mut db = Pglite::builder()
        .config("wal_level", "logical")
        .config("synchronous_commit", "on")
        .open()
        .unwrap();
    db.exec("CREATE TABLE t (i int)").unwrap();
    db.exec("SELECT pg_create_logical_replication_slot('changes', 'test_decoding')").unwrap();
    db.exec("INSERT INTO t VALUES (42)").unwrap();
    let sql = "SELECT string_agg(data, ' ') FROM pg_logical_slot_get_changes('changes', NULL, NULL) WHERE data ~ '^table'";
    assert_eq!(text(&mut db, sql), "table public.t: INSERT: i[integer]:42");
}

/// Their counters are no rows, and a dump has none of them; but it has the extension.
#[cfg(feature = "tools")]
#[test]
fn a_dump_of_a_preloaded_extension() {
    let open = || Pglite::builder().preload(["pg_stat_statements"]).open().unwrap();
    let mut db = open();
    db.exec("CREATE EXTENSION pg_stat_statements").unwrap();
    let sql = db.dump().to_string().unwrap();
    let mut copy = open();
    copy.restore().from_bytes(sql).unwrap();
    copy.exec("SELECT 41 + 1").unwrap();
    let seen = "SELECT count(*) > 0 FROM pg_stat_statements WHERE query LIKE 'SELECT $1 + $2%'";
    assert_eq!(text(&mut copy, seen), "t");
    copy.exec("DROP EXTENSION pg_stat_statements").unwrap();
    // Without being loaded at the start it says what is to be done.
    let mut other = crate::temporary();
    other.exec("CREATE EXTENSION pg_stat_statements").unwrap();
    let error = other.exec(seen).unwrap_err().to_string();
    assert!(error.contains("shared_preload_libraries"), "{error}");
}
