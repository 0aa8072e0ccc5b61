//! Databases that begin where another one is.

use std::collections::HashSet;

use pglite_oxide::{
    Error, MountAccess, Pglite, PgliteServer, Session, ShutdownMode, Snapshot, SnapshotError,
    SnapshotFileError, SqlState,
};

use crate::child::Process;
use crate::{PATIENCE, eventually, sqlstate, temporary, text};

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

    let mut other = db.connect().unwrap();
    other.exec("BEGIN").unwrap();
    let error = db.snapshot().unwrap_err();
    let pid = other.backend_pid();
    assert!(
        matches!(&error, Error::Snapshot(SnapshotError::Busy { pids }) if *pids == [pid]),
        "{error}"
    );
    other.exec("COMMIT").unwrap();

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

/// Idle sessions go on in the original. In a copy they have lost their client, and what they held is free as soon
/// as PostgreSQL finds out.
#[test]
fn a_copy_is_without_the_other_sessions() {
    let mut db = temporary();
    let mut other = db.connect().unwrap();
    other
        .exec("SELECT pg_advisory_lock(7); CREATE TEMPORARY TABLE own AS SELECT 1 AS one")
        .unwrap();
    let snapshot = db.snapshot().unwrap();
    assert_eq!(text(&mut other, "SELECT one FROM own"), "1");

    let mut copies = vec![snapshot.start().unwrap()];
    // Of a copy in which it has not been found out yet.
    let fork = copies[0].fork().unwrap();
    copies.push(fork);
    for copy in &mut copies {
        copy.exec("SELECT pg_advisory_lock(7)").unwrap();
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
        eventually("the copy's session is alone", || text(copy, sessions) == "1");
    }
    assert_eq!(text(&mut db, "SELECT pg_try_advisory_lock(7)"), "f");
}

#[test]
fn a_snapshot_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("migrated");
    let mut db = with_items();
    db.exec("SET work_mem = '7MB'; PREPARE one AS SELECT 1").unwrap();
    db.snapshot().unwrap().save(&path).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let loaded = Snapshot::load(&path).unwrap();
    // It is mapped.
    std::fs::remove_file(&path).unwrap();
    for copy in [loaded.start().unwrap(), loaded.start().unwrap().fork().unwrap()].iter_mut() {
        assert_eq!(text(copy, "SELECT count(*) FROM item"), "1000");
        assert_eq!(text(copy, "SHOW work_mem"), "7MB");
        assert_eq!(text(copy, "EXECUTE one"), "1");
        copy.exec("INSERT INTO item VALUES (5000, 'own'); CHECKPOINT").unwrap();
        assert_eq!(text(&mut copy.connect().unwrap(), "SELECT count(*) FROM item"), "1001");
    }
}

#[test]
fn another_process_goes_on_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("migrated");
    with_items().snapshot().unwrap().save(&path).unwrap();
    let mut other = Process::start("select from a snapshot", &path, &[]);
    assert_eq!(other.line().as_deref(), Some("1000"));
    other.wait();
}

#[test]
fn files_that_are_no_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("migrated");
    temporary().snapshot().unwrap().save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases: [(&str, Vec<u8>); 6] = [
        ("is not a file that a snapshot was saved to", Vec::new()),
        ("is not a file that a snapshot was saved to", vec![b'x'; 100_000]),
        ("another build", changed(50)),
        ("damaged or incomplete", changed(good.len() / 2)),
        ("damaged or incomplete", changed(good.len() - 1)),
        ("damaged or incomplete", good[..good.len() - 4096].to_vec()),
    ];
    for (expected, bytes) in cases {
        std::fs::write(&path, bytes).unwrap();
        let error = Snapshot::load(&path).unwrap_err();
        assert!(matches!(error, Error::SnapshotFile(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}, not: {expected}");
    }
    let error = Snapshot::load(dir.path().join("missing")).unwrap_err();
    assert!(matches!(error, Error::SnapshotFile(SnapshotFileError::Io { .. })), "{error}");
    let error = temporary().snapshot().unwrap().save(dir.path().join("no/such/directory"));
    assert!(matches!(error, Err(Error::SnapshotFile(SnapshotFileError::Io { .. }))), "{error:?}");
}

#[test]
fn a_snapshot_of_a_server() {
    let server = PgliteServer::builder().password("secret").start().unwrap();
    let connect = |server: &PgliteServer| {
        postgres::Client::connect(&server.database_url(), postgres::NoTls).unwrap()
    };
    // One that stays connected, as in a pool.
    let mut client = connect(&server);
    client.batch_execute("CREATE TABLE item AS SELECT generate_series(1, 3) AS id").unwrap();
    let snapshot = server.snapshot().unwrap();
    client.batch_execute("INSERT INTO item VALUES (4)").unwrap();

    for _ in 0..2 {
        let copy = snapshot.start_server().unwrap();
        let mut client = connect(&copy);
        let row =
            client.query_one("SELECT count(*), current_setting('port') FROM item", &[]).unwrap();
        assert_eq!(row.get::<_, i64>(0), 3);
        assert_eq!(row.get::<_, String>(1), copy.local_addr().unwrap().port().to_string());
    }
    let mut direct = snapshot.start().unwrap();
    assert_eq!(text(&mut direct, "SELECT count(*) FROM item"), "3");

    client.batch_execute("BEGIN").unwrap();
    let error = server.snapshot().unwrap_err();
    assert!(matches!(error, Error::Snapshot(SnapshotError::Busy { .. })), "{error}");
    client.batch_execute("ROLLBACK").unwrap();
}

/// The packed image was made by a session that had done a lot.
#[test]
fn a_new_database_is_as_new() {
    let mut db = temporary();
    let empty = [
        "SELECT name FROM pg_prepared_statements",
        "SELECT name FROM pg_cursors",
        "SELECT locktype FROM pg_locks WHERE pid = pg_backend_pid() AND locktype NOT IN ('relation', 'virtualxid')",
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pg_temp%'",
        "SELECT name FROM pg_settings WHERE source = 'session'",
    ];
    for query in empty {
        assert_eq!(db.exec(query).unwrap()[0].rows().len(), 0, "{query}");
    }
    assert_eq!(text(&mut db, "SELECT now() - pg_postmaster_start_time() < '1 minute'"), "t");
    assert_eq!(
        text(
            &mut db,
            "SELECT now() - backend_start < '1 minute' FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ),
        "t"
    );
}

#[test]
fn options_that_a_copy_has_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "mounted").unwrap();
    let mut db = Pglite::builder().mount(dir.path(), "/in", MountAccess::ReadOnly).open().unwrap();
    assert_eq!(text(&mut db, "SELECT pg_read_file('/in/file')"), "mounted");
    let error = temporary().exec("SELECT pg_read_file('/in/file')").unwrap_err();
    assert_eq!(error.sqlstate(), Some(&SqlState::UNDEFINED_FILE));

    let mut app = Pglite::builder().database("app").encoding("LATIN1").open().unwrap();
    assert_eq!(
        text(&mut app, "SELECT current_database() || ' ' || getdatabaseencoding()"),
        "app LATIN1"
    );
    let mut started = Pglite::builder().instant_start(false).open().unwrap();
    assert_eq!(text(&mut started, "SELECT 1"), "1");
}

/// The session has the segment of the log open that it wrote to last, and the checkpoint has given it another name.
/// No copy could be started once.
#[test]
fn a_snapshot_after_the_log_was_recycled() {
    let mut db = temporary();
    let fill = "CREATE TABLE IF NOT EXISTS filler (words text);
                INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 20000)";
    db.exec(fill).unwrap();
    let mut other = db.connect().unwrap();
    other.exec(fill).unwrap();
    other.exec("CHECKPOINT; CHECKPOINT").unwrap();
    let mut fork = db.fork().unwrap();
    fork.exec(fill).unwrap();
    assert_eq!(text(&mut fork, "SELECT count(*) FROM filler"), "60000");
}

/// A checkpoint that writes slowly sleeps on the latch by which the checkpointer is asked to end. It once forgot
/// the question, and the fork was given up after half a minute.
#[test]
fn a_fork_in_the_middle_of_a_checkpoint() {
    let mut db = Pglite::builder().config("max_wal_size", "2MB").open().unwrap();
    db.exec("CREATE TABLE filler (words text)").unwrap();
    for rows in 1..4 {
        db.exec("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 10000)")
            .unwrap();
        let mut fork = db.fork().unwrap();
        assert_eq!(text(&mut fork, "SELECT count(*) FROM filler"), (rows * 10_000).to_string());
    }
}

#[test]
fn a_thousand_copies_at_once_and_one_after_the_other() {
    let snapshot = with_items().snapshot().unwrap();
    let uuids: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let uuid = |_| {
                        let mut copy = snapshot.start().unwrap();
                        copy.exec("DELETE FROM item WHERE id > 990").unwrap();
                        assert_eq!(count(&mut copy), "990");
                        text(&mut copy, "SELECT gen_random_uuid()")
                    };
                    (0..63).map(uuid).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(uuids.iter().collect::<HashSet<_>>().len(), 16 * 63);
}

/// Its other sessions are at work, but for the moments in which they are asked.
#[test]
fn forks_of_a_database_in_use() {
    let mut db = temporary();
    db.exec("CREATE TABLE account (id int PRIMARY KEY, amount int); INSERT INTO account VALUES (1, 0), (2, 0)")
        .unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut session = db.connect().unwrap();
            let done = &done;
            scope.spawn(move || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    session
                        .exec("UPDATE account SET amount = amount + CASE id WHEN 1 THEN 1 ELSE -1 END")
                        .unwrap();
                }
            });
        }
        for _ in 0..20 {
            let mut fork = db.fork().unwrap();
            assert_eq!(text(&mut fork, "SELECT sum(amount) FROM account"), "0");
            fork.exec("UPDATE account SET amount = 7").unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(text(&mut db, "SELECT sum(amount) FROM account"), "0");
}

/// A fork asks the processes that can be started again to end. It once asked the workers of others' queries too, and
/// those failed.
#[test]
fn a_fork_lets_the_workers_of_another_query_finish() {
    let mut db = temporary();
    db.exec("CREATE TABLE page (body text)").unwrap();
    db.exec("INSERT INTO page SELECT repeat('x', 2000) FROM generate_series(1, 400)").unwrap();
    let mut session = db.connect().unwrap();
    session
        .exec("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
             SET max_parallel_workers_per_gather = 2")
        .unwrap();
    const SLOW: &str = "SELECT count(*)::int8 FROM page WHERE pg_sleep(0.01) IS NOT NULL";
    let plan: Vec<String> = session
        .query(&format!("EXPLAIN {SLOW}"), &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(plan.iter().any(|line| line.contains("Workers Planned: 2")), "{plan:?}");
    std::thread::scope(|scope| {
        let slow =
            scope.spawn(move || session.query_one(SLOW, &[]).map(|row| row.get::<_, i64>(0)));
        let workers =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'";
        eventually("the workers run", || text(&mut db, workers) == "2");
        let mut fork = db.fork().unwrap();
        assert_eq!(text(&mut fork, "SELECT count(*) FROM page"), "400");
        assert_eq!(slow.join().unwrap().unwrap(), 400);
    });
}

/// A postmaster that had just been woken waited for the window of the session, which waited for the snapshot, which waited
/// for the postmaster: one of some hundred snapshots failed after half a minute.
#[test]
fn snapshots_while_the_postmaster_wakes() {
    for _ in 0..20 {
        let mut db = temporary();
        db.exec("CREATE TABLE item (id int); INSERT INTO item SELECT generate_series(1, 1000)")
            .unwrap();
        for _ in 0..9 {
            let snapshot = db.snapshot().unwrap();
            let mut fork = db.fork().unwrap();
            assert_eq!(text(&mut fork, "SELECT count(*) FROM item"), "1000");
            let mut copy = snapshot.start().unwrap();
            assert_eq!(text(&mut copy.fork().unwrap(), "SELECT count(*) FROM item"), "1000");
        }
    }
}

#[test]
fn memory_of_dropped_copies_is_given_back() {
    let mut child = Process::start("dropped copies", std::path::Path::new(""), &[]);
    let grown: u64 = child.line().unwrap().parse().unwrap();
    child.wait();
    assert!(grown < 4 << 10, "{grown} kB for 300 copies, each of which wrote a megabyte");
}

/// Its postmaster is an image since the fork, until it is needed.
#[test]
fn the_original_goes_on_as_a_whole_cluster() {
    let mut db = with_items();
    db.exec("LISTEN news").unwrap();
    for round in 0..3 {
        let mut fork = db.fork().unwrap();
        match round {
            0 => db.exec("CHECKPOINT").map(drop).unwrap(),
            1 => {
                let mut other = db.connect().unwrap();
                other.exec("NOTIFY news; INSERT INTO item VALUES (2000, 'of another')").unwrap();
                assert_eq!(db.wait_notification(PATIENCE).unwrap().unwrap().channel(), "news");
            }
            _ => {
                let server = db.server().unwrap();
                let url = server.database_url();
                let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
                client.batch_execute("DELETE FROM item WHERE id = 2000").unwrap();
                db.exec("SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0")
                    .unwrap();
                db.fork().unwrap();
            }
        }
        assert_eq!(count(&mut fork), if round < 2 { "1000" } else { "1001" });
        // The image is from before.
        fork.exec("DROP TABLE item").unwrap();
    }
    assert_eq!(count(&mut db), "1000");
    db.close().unwrap();
}
