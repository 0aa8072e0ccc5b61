//! Databases that begin where another one is.

use std::collections::HashSet;

use pglite_oxide::{Error, Pglite, Session, ShutdownMode, SnapshotError};

use crate::{sqlstate, temporary, text};

fn with_items() -> Pglite {
    let mut db = temporary();
    db.exec(
        "CREATE TABLE item (id int PRIMARY KEY, words text);
         INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i",
    )
    .unwrap();
    db
}

fn count(db: &mut Pglite) -> String {
    text(db, "SELECT count(*) FROM item")
}

#[test]
fn a_fork_has_the_rows_and_goes_its_own_way() {
    let mut db = with_items();
    let mut fork = db.fork().unwrap();
    assert_eq!(count(&mut fork), "1000");
    fork.exec("DELETE FROM item WHERE id > 10; CREATE TABLE own ()").unwrap();
    db.exec("INSERT INTO item VALUES (0, 'of the original')").unwrap();
    assert_eq!((count(&mut fork), count(&mut db)), ("10".into(), "1001".into()));
    assert_eq!(sqlstate(&db.exec("TABLE own").unwrap_err()), "42P01");
    assert_eq!(text(&mut fork, "SELECT words FROM item WHERE id = 7"), "item 7");
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut db = with_items();
    let snapshot = db.snapshot().unwrap();
    db.exec("DROP TABLE item").unwrap();
    drop(db);
    for _ in 0..3 {
        let mut copy = snapshot.start().unwrap();
        assert_eq!(count(&mut copy), "1000");
        copy.exec("TRUNCATE item").unwrap();
    }
}

#[test]
fn forks_of_forks() {
    let mut db = with_items();
    let mut line = Vec::new();
    for generation in 0..5 {
        let mut next = line.last_mut().unwrap_or(&mut db).fork().unwrap();
        next.execute("INSERT INTO item VALUES ($1, 'new')", &[&(2000 + generation)]).unwrap();
        line.push(next);
    }
    let found: Vec<_> = line.iter_mut().map(count).collect();
    assert_eq!(found, ["1001", "1002", "1003", "1004", "1005"]);
    assert_eq!(count(&mut db), "1000");
}

/// What a session has is in memory, and so in the fork.
#[test]
fn the_session_goes_on_in_the_fork() {
    let mut db = with_items();
    db.exec(
        "SET work_mem = '7MB'; CREATE TEMP TABLE scratch AS SELECT 5 AS i;
         PREPARE ten AS SELECT count(*) FROM item WHERE id <= 10;
         SELECT pg_advisory_lock(42); CREATE SEQUENCE s; SELECT nextval('s')",
    )
    .unwrap();
    let statement = db.prepare("SELECT words FROM item WHERE id = $1").unwrap();
    let mut fork = db.fork().unwrap();
    let asked = [
        ("SHOW work_mem", "7MB"),
        ("SELECT i FROM scratch", "5"),
        ("EXECUTE ten", "10"),
        ("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "1"),
        ("SELECT pg_advisory_unlock(42)", "t"),
        ("SELECT currval('s')", "1"),
        ("SELECT nextval('s')", "2"),
    ];
    for (sql, expected) in asked {
        assert_eq!(text(&mut fork, sql), expected, "{sql}");
    }
    fork.query("SELECT words FROM item WHERE id = $1", &[&3]).unwrap();
    assert_eq!(text(&mut db, "SELECT nextval('s')"), "2");
    assert_eq!(text(&mut db, "SELECT pg_advisory_unlock(42)"), "t");
    let row = db.query_one(&statement, &[&4]).unwrap();
    assert_eq!(row.get::<_, &str>(0), "item 4");
}

/// PostgreSQL leaves its timer running, and sets no other while that is due sooner. In a copy, where it did
/// not run, a timeout was waited for in vain.
#[test]
fn timeouts_work_in_a_copy() {
    let mut db = temporary();
    db.exec("SET statement_timeout = 400; SELECT 1").unwrap();
    let mut fork = db.fork().unwrap();
    fork.exec("SET statement_timeout = 500").unwrap();
    assert_eq!(sqlstate(&fork.exec("SELECT pg_sleep(30)").unwrap_err()), "57014");
}

#[test]
fn copies_have_their_own_random_numbers() {
    let mut db = temporary();
    // So that there is a state that could be copied.
    db.exec("SELECT random(), gen_random_uuid(); SELECT setseed(0.5)").unwrap();
    let snapshot = db.snapshot().unwrap();
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let mut copy = snapshot.start().unwrap();
        for sql in [
            "SELECT random()",
            "SELECT gen_random_uuid()",
            "SELECT system_identifier FROM pg_control_system()",
            "SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()",
            "SELECT pg_postmaster_start_time()",
        ] {
            assert!(seen.insert((sql, text(&mut copy, sql))), "{sql} is the same in two copies");
        }
    }
}

/// The rest of PostgreSQL starts when it is needed.
#[test]
fn a_fork_is_a_whole_cluster() {
    let mut db = with_items();
    let mut fork = db.fork().unwrap();
    fork.exec("UPDATE item SET words = 'before the others'").unwrap();
    let mut second = fork.connect().unwrap();
    assert_eq!(text(&mut second, "SELECT count(DISTINCT words) FROM item"), "1");
    second.exec("LISTEN news").unwrap();
    fork.exec("NOTIFY news, 'hello'; CHECKPOINT").unwrap();
    second.exec("SELECT 1").unwrap();
    let cancel = fork.cancel_handle();
    let sleeping = std::thread::spawn(move || {
        let error = fork.exec("SELECT pg_sleep(1000)").unwrap_err();
        (fork, sqlstate(&error).to_owned())
    });
    // Again until it is there: before the statement it does nothing.
    while !sleeping.is_finished() {
        cancel.cancel().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (mut fork, state) = sleeping.join().unwrap();
    assert_eq!(state, "57014");
    fork.exec("VACUUM item").unwrap();
    fork.close().unwrap();
}

#[test]
fn servers_start_from_a_snapshot() {
    let mut db = with_items();
    db.exec("CREATE TEMP TABLE own (); SELECT pg_advisory_lock(1)").unwrap();
    let snapshot = db.snapshot().unwrap();
    let servers = [snapshot.start_server().unwrap(), snapshot.start_server().unwrap()];
    for server in &servers {
        let mut client =
            postgres::Client::connect(&server.database_url(), postgres::NoTls).unwrap();
        client.batch_execute("INSERT INTO item VALUES (0, 'one more'); CHECKPOINT").unwrap();
        let row = client.query_one("SELECT count(*) FROM item", &[]).unwrap();
        assert_eq!(row.get::<_, i64>(0), 1001);
        assert!(client.batch_execute("TABLE own").is_err());
        // It waits, if the original's session still ends.
        client.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    }
    assert_ne!(servers[0].local_addr(), servers[1].local_addr());
    let [one, other] = servers;
    one.shutdown(ShutdownMode::Fast).unwrap();
    drop(other);
}

#[test]
fn parallel_workers_of_a_fork() {
    let mut db = temporary();
    db.exec("CREATE TABLE t AS SELECT i FROM generate_series(1, 200000) i; ANALYZE t").unwrap();
    let mut fork = db.fork().unwrap();
    fork.exec(
        "SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
         SET max_parallel_workers_per_gather = 2",
    )
    .unwrap();
    assert_eq!(text(&mut fork, "SELECT sum(i) FROM t"), "20000100000");
}

/// The first session has the only copy of shared memory, until there is a second.
#[test]
fn other_sessions_outlive_the_first() {
    let mut db = with_items();
    let mut fork = db.fork().unwrap();
    fork.exec("INSERT INTO item VALUES (5000, 'of the fork')").unwrap();
    let pid = fork.backend_pid();
    let mut other = fork.connect().unwrap();
    assert_eq!(text(&mut other, &format!("SELECT pg_terminate_backend({pid}, 60000)")), "t");
    assert!(fork.exec("SELECT 1").is_err());
    assert_eq!(text(&mut other, "SELECT count(*) FROM item"), "1001");
}

#[test]
fn a_session_that_ends_leaves_the_rest() {
    let mut db = with_items();
    let mut fork = db.fork().unwrap();
    fork.exec("INSERT INTO item VALUES (5000, 'of the fork')").unwrap();
    Session::close(&mut fork).unwrap();
    let mut other = fork.connect().unwrap();
    assert_eq!(text(&mut other, "SELECT count(*) FROM item"), "1001");
}

#[test]
fn when_there_is_no_snapshot() {
    let mut db = temporary();
    db.exec("BEGIN").unwrap();
    let error = db.snapshot().unwrap_err();
    assert!(matches!(error, Error::Snapshot(SnapshotError::InTransaction)), "{error}");
    db.exec("ROLLBACK").unwrap();

    let other = db.connect().unwrap();
    let error = db.snapshot().unwrap_err();
    let pid = other.backend_pid();
    assert!(
        matches!(&error, Error::Snapshot(SnapshotError::Busy { pids }) if pids.contains(&pid)),
        "{error}"
    );
    drop(other);

    let dir = tempfile::tempdir().unwrap();
    let mut kept = Pglite::open(dir.path().join("db")).unwrap();
    let error = kept.snapshot().unwrap_err();
    assert!(matches!(error, Error::Snapshot(SnapshotError::Persistent)), "{error}");
    assert_eq!(text(&mut kept, "SELECT 1"), "1");
    assert_eq!(text(&mut db, "SELECT 1"), "1");
}

#[test]
fn many_threads_start_from_one_snapshot() {
    let snapshot = with_items().snapshot().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let mut copy = snapshot.start().unwrap();
                    copy.exec("INSERT INTO item VALUES (0, '')").unwrap();
                    assert_eq!(count(&mut copy), "1001");
                }
            });
        }
    });
}
