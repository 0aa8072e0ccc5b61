//! A trap inside a module's code: the process ends as natively by SIGSEGV, and the cluster recovers.
//!
//! A function of a module that takes a pointer is declared to take a number, as a superuser can. It reads there.

use pglite_oxide::{Pglite, PgliteServer, Session};

use crate::{eventually, temporary, text};

/// What is at the very end of the address space is in no memory.
const CRASH: &str = "SELECT crash(-64)";

const FUNCTION: &str =
    "CREATE FUNCTION crash(int) RETURNS real AS '$libdir/seg', 'seg_lower' LANGUAGE C STRICT";

/// Temporary, but what is committed is written to the log at once, as in a directory.
fn server() -> PgliteServer {
    PgliteServer::builder().config("synchronous_commit", "on").start().unwrap()
}

#[track_caller]
fn assert_lost(session: &mut Session, sql: &str) {
    let error = session.exec(sql).unwrap_err();
    // The connection ends. Nothing of the crash is an answer to the statement.
    assert!(!error.to_string().is_empty());
    assert!(session.exec("SELECT 1").is_err(), "the session is over after {error}");
}

/// Crashes a session, and returns one that was made after the recovery.
#[track_caller]
fn crash(
    session: &mut Session,
    sql: &str,
    mut connect: impl FnMut() -> Result<Session, pglite_oxide::Error>,
) -> Session {
    let mut bystander = connect().unwrap();
    bystander.exec("SELECT 1").unwrap();
    assert_lost(session, sql);
    // As natively, all sessions end: what the crashed one has left in shared memory is not trusted. Until then the
    // postmaster may not have heard of the crash, and takes sessions that end with the others.
    eventually("the other session has ended", || bystander.exec("SELECT 1").is_err());
    let mut after = None;
    eventually("PostgreSQL has recovered", || {
        after = connect().ok();
        after.is_some()
    });
    after.expect("just made")
}

#[test]
fn the_cluster_recovers_and_the_process_goes_on() {
    let server = server();
    let mut first = server.connect().unwrap();
    first.exec("CREATE EXTENSION seg; CREATE TABLE t AS SELECT '1 .. 2'::seg AS s").unwrap();
    first.exec(FUNCTION).unwrap();
    let mut second = crash(&mut first, CRASH, || server.connect());
    assert!(server.is_running());
    // The module is loaded once more in a new process, and works.
    assert_eq!(text(&mut second, "SELECT seg_upper(s) FROM t"), "2");
    second.exec("INSERT INTO t VALUES ('3 .. 4')").unwrap();
    assert_eq!(text(&mut second, "SELECT count(*) FROM t"), "2");
    // Others are not concerned, and new ones neither.
    let mut other = temporary();
    other.exec("CREATE EXTENSION seg").unwrap();
    assert_eq!(text(&mut other, "SELECT '1 .. 2'::seg"), "1 .. 2");
}

#[test]
fn an_exception_block_does_not_catch_it() {
    let server = server();
    let mut db = server.connect().unwrap();
    db.exec("CREATE EXTENSION seg; CREATE TABLE t (i int)").unwrap();
    db.exec(FUNCTION).unwrap();
    let caught = "DO $$ BEGIN
                    BEGIN INSERT INTO t VALUES (1); PERFORM crash(-64);
                    EXCEPTION WHEN OTHERS THEN RAISE WARNING 'caught'; END;
                  END $$";
    let mut db = crash(&mut db, caught, || server.connect());
    assert_eq!(text(&mut db, "SELECT count(*) FROM t"), "0", "nothing was committed");
}

#[test]
fn a_persistent_database_keeps_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let mut db = Pglite::open(&path).unwrap();
    db.exec("CREATE TABLE t (i int PRIMARY KEY, words text)").unwrap();
    db.exec("INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 1000) i").unwrap();
    db.exec(FUNCTION).unwrap();
    let mut crashing = db.connect().unwrap();
    crashing.exec("BEGIN; UPDATE t SET words = 'lost'").unwrap();
    // The handle can still make sessions, once the cluster has recovered. Its own has ended with the others.
    let mut session = crash(&mut crashing, CRASH, || db.connect());
    assert!(db.exec("SELECT 1").is_err());
    let sql = "SELECT count(*) FROM t WHERE words LIKE 'row %'";
    assert_eq!(text(&mut session, sql), "1000");
    session.exec("INSERT INTO t VALUES (1001, 'row 1001')").unwrap();
    session.close().unwrap();
    db.close().unwrap();

    let mut db = Pglite::open(&path).unwrap();
    assert_eq!(text(&mut db, "SELECT count(*) FROM t"), "1001");
}

/// A copy of a database crashes, and the original does not notice.
#[test]
fn a_copy_crashes_alone() {
    let mut db = Pglite::builder().extension_dir(super::directories::modules()).open().unwrap();
    db.exec("CREATE FUNCTION crash(int) RETURNS cstring AS '$libdir/regress', 'reverse_name' LANGUAGE C STRICT")
        .unwrap();
    let fork = db.fork().unwrap();
    let mut crashing = fork.connect().unwrap();
    let mut after = crash(&mut crashing, "SELECT crash(-64)", || fork.connect());
    assert_eq!(text(&mut after, "SELECT 42"), "42");
    assert_eq!(text(&mut db, "SELECT 42"), "42");
}
