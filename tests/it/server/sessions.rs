//! Sessions of one cluster meet: transactions, locks, notifications, and objects they share.

use std::thread;

use fallible_iterator::FallibleIterator;
use pglite_oxide::{Pglite, PgliteServer};

use super::{
    PAIRS, PATIENCE, Reachable, Sql, WAYS, eventually, tcp, until_blocked, within_patience,
};

#[test]
fn an_open_transaction_is_isolated() {
    let reachable = Reachable::new();
    for (one, other) in PAIRS {
        let (mut a, mut b) = (reachable.connect(one), reachable.connect(other));
        a.run("DROP TABLE IF EXISTS t; CREATE TABLE t (i int)");
        a.run("BEGIN; INSERT INTO t VALUES (1)");
        b.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
        let count = "SELECT count(*) FROM t";
        assert_eq!(b.value(count), "0", "{one:?} {other:?}: not committed");
        a.run("COMMIT");
        assert_eq!(b.value(count), "0", "{one:?} {other:?}: the snapshot is older");
        b.run("COMMIT");
        assert_eq!(b.value(count), "1", "{one:?} {other:?}");
        a.run("BEGIN; DELETE FROM t; ROLLBACK");
        assert_eq!(b.value(count), "1", "{one:?} {other:?}: rolled back");
    }
}

#[test]
fn a_blocked_update_goes_on_after_the_commit() {
    let reachable = Reachable::new();
    let mut watcher = reachable.connect(super::Way::Direct);
    for (one, other) in PAIRS {
        watcher.run("DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT 1 AS i");
        let (mut a, mut b) = (reachable.connect(one), reachable.connect(other));
        a.run("BEGIN; UPDATE t SET i = i + 10");
        let pid = b.pid();
        let blocked = thread::spawn(move || b.value("UPDATE t SET i = i * 2 RETURNING i"));
        until_blocked(&mut *watcher, &pid);
        a.run("COMMIT");
        assert_eq!(blocked.join().unwrap(), "22", "{one:?} {other:?}");
    }
}

#[test]
fn a_deadlock_ends_with_one_error() {
    let reachable = Reachable::with(&[("deadlock_timeout", "50ms")]);
    for (one, other) in PAIRS {
        let (mut a, mut b) = (reachable.connect(one), reachable.connect(other));
        a.run("DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT i FROM generate_series(1, 2) i");
        a.run("BEGIN; UPDATE t SET i = i WHERE i = 1");
        b.run("BEGIN; UPDATE t SET i = i WHERE i = 2");
        let other_end = thread::spawn(move || {
            let result = b.ask("UPDATE t SET i = i WHERE i = 1");
            b.run("ROLLBACK");
            result
        });
        let one_end = a.ask("UPDATE t SET i = i WHERE i = 2");
        a.run("ROLLBACK");
        let results = [one_end, other_end.join().unwrap()];
        let states: Vec<_> =
            results.iter().filter_map(|result| result.as_ref().err()).map(|e| &e.state).collect();
        assert_eq!(states, ["40P01"], "{one:?} {other:?}");
    }
}

#[test]
fn notifications_cross_between_clients_of_all_kinds() {
    let server = PgliteServer::temporary().unwrap();
    let (mut direct, mut client) = (server.connect().unwrap(), tcp(&server));
    direct.listen("news").unwrap();
    client.run("LISTEN news");

    client.run("BEGIN; NOTIFY news, 'from TCP'");
    assert!(direct.notifications().unwrap().is_empty(), "not committed");
    client.run("COMMIT");
    let heard = direct.wait_notification(PATIENCE).unwrap().unwrap();
    assert_eq!((heard.channel(), heard.payload()), ("news", "from TCP"));
    assert_eq!(heard.process_id().to_string(), client.pid());

    direct.run("NOTIFY news, 'from inside'");
    let mut notifications = client.notifications();
    let mut heard = notifications.timeout_iter(PATIENCE);
    // Its own came first.
    for (payload, pid) in [("from TCP", None), ("from inside", Some(direct.backend_pid()))] {
        let one = heard.next().unwrap().unwrap();
        assert_eq!(one.payload(), payload);
        assert!(pid.is_none_or(|pid| pid == one.process_id()), "{payload}");
    }
}

#[test]
fn advisory_locks() {
    let reachable = Reachable::new();
    let mut watcher = reachable.connect(super::Way::Direct);
    for (one, other) in PAIRS {
        let (mut a, mut b) = (reachable.connect(one), reachable.connect(other));
        a.run("SELECT pg_advisory_lock(7)");
        assert_eq!(b.value("SELECT pg_try_advisory_lock(7)"), "f");
        assert_eq!(b.value("SELECT pg_try_advisory_lock(8)"), "t");
        let pid = b.pid();
        let waiting = thread::spawn(move || {
            b.run("SELECT pg_advisory_lock(7)");
            b
        });
        until_blocked(&mut *watcher, &pid);
        // The end of a session gives up its locks.
        drop(a);
        let b = waiting.join().unwrap();
        assert_eq!(watcher.value("SELECT pg_try_advisory_lock(7)"), "f", "{one:?} {other:?}");
        drop(b);
        eventually("the lock is free", || watcher.value("SELECT pg_try_advisory_lock(7)") == "t");
        watcher.run("SELECT pg_advisory_unlock_all()");
    }
}

/// Each reads what the other writes: no order of the two gives this result.
#[test]
fn serializable_transactions_fail_where_they_have_no_order() {
    let reachable = Reachable::new();
    for (one, other) in PAIRS {
        let (mut a, mut b) = (reachable.connect(one), reachable.connect(other));
        a.run(
            "DROP TABLE IF EXISTS doctor;
             CREATE TABLE doctor AS SELECT n, true AS on_call FROM generate_series(1, 2) n",
        );
        for client in [&mut a, &mut b] {
            client.run("BEGIN ISOLATION LEVEL SERIALIZABLE");
            assert_eq!(client.value("SELECT count(*) FROM doctor WHERE on_call"), "2");
        }
        a.run("UPDATE doctor SET on_call = false WHERE n = 1");
        b.run("UPDATE doctor SET on_call = false WHERE n = 2");
        a.run("COMMIT");
        assert_eq!(b.state("COMMIT"), "40001", "{one:?} {other:?}");
        assert_eq!(b.value("SELECT count(*) FROM doctor WHERE on_call"), "1");
    }
}

#[test]
fn a_prepared_transaction_outlives_its_session_and_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        PgliteServer::builder()
            .path(dir.path())
            .config("max_prepared_transactions", "5")
            .start()
            .unwrap()
    };
    let server = open();
    let mut client = tcp(&server);
    client.run("CREATE TABLE t (i int)");
    client.run(
        "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'kept';
         BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'dropped'",
    );
    drop(client);
    drop(server);

    let server = open();
    let mut client = tcp(&server);
    let mut direct = server.connect().unwrap();
    assert_eq!(direct.value("SELECT count(*) FROM pg_prepared_xacts"), "2");
    assert_eq!(direct.value("SELECT count(*) FROM t"), "0");
    direct.run("COMMIT PREPARED 'kept'");
    client.run("ROLLBACK PREPARED 'dropped'");
    assert_eq!(client.value("SELECT string_agg(i::text, ',') FROM t"), "1");
    assert_eq!(client.state("COMMIT PREPARED 'dropped'"), "42704");
}

#[test]
fn large_objects_are_shared() {
    let reachable = Reachable::new();
    for (one, other) in PAIRS {
        let (mut a, mut b) = (reachable.connect(one), reachable.connect(other));
        let oid = a.value("SELECT lo_from_bytea(0, decode(repeat('ab', 100000), 'hex'))");
        assert_eq!(b.value(&format!("SELECT octet_length(lo_get({oid}))")), "100000");
        b.run(&format!("BEGIN; SELECT lo_put({oid}, 99999, '\\x0102')"));
        assert_eq!(a.value(&format!("SELECT octet_length(lo_get({oid}))")), "100000");
        b.run("COMMIT");
        let end = format!("SELECT encode(lo_get({oid}, 99998, 10), 'hex')");
        assert_eq!(a.value(&end), "ab0102", "{one:?} {other:?}");
        a.run(&format!("SELECT lo_unlink({oid})"));
        assert_eq!(b.state(&end), "42704", "{one:?} {other:?}");
    }
}

#[test]
fn a_cursor_with_hold_outlives_its_transaction() {
    let reachable = Reachable::new();
    for way in WAYS {
        let mut client = reachable.connect(way);
        client.run(
            "BEGIN;
             DECLARE kept CURSOR WITH HOLD FOR SELECT i FROM generate_series(1, 100000) i;
             DECLARE gone CURSOR FOR SELECT 1;
             COMMIT",
        );
        assert_eq!(client.value("MOVE 99999 FROM kept; FETCH kept"), "100000", "{way:?}");
        assert_eq!(client.state("FETCH gone"), "34000", "{way:?}");
        assert_eq!(reachable.connect(way).state("FETCH kept"), "34000", "{way:?}: its own");
    }
}

#[test]
fn databases_are_created_and_dropped() {
    let server = PgliteServer::temporary().unwrap();
    let mut direct = server.connect().unwrap();
    direct.run("CREATE DATABASE other");
    let mut config: postgres::Config = server.database_url().parse().unwrap();
    let mut connect = |name: &str| config.dbname(name).connect(postgres::NoTls);

    let mut inside = connect("other").unwrap();
    inside.run("CREATE TABLE t ()");
    assert_eq!(direct.state("TABLE t"), "42P01");
    assert_eq!(direct.state("DROP DATABASE other"), "55006");
    assert_eq!(inside.state("DROP DATABASE other"), "55006");
    direct.run("DROP DATABASE other WITH (FORCE)");
    assert_eq!(inside.state("SELECT 1"), "57P01");
    let error = connect("other").map(drop).unwrap_err();
    assert_eq!(super::failure(&error).state, "3D000");

    direct.run("CREATE DATABASE other");
    drop(connect("other").unwrap());
    // The session that was just closed is waited for.
    direct.run("DROP DATABASE other");
}

#[test]
fn temporary_tables_are_of_their_session() {
    let reachable = Reachable::new();
    let mut clients: Vec<_> = WAYS.map(|way| reachable.connect(way)).into();
    for (i, client) in clients.iter_mut().enumerate() {
        client.run(&format!("CREATE TEMP TABLE t AS SELECT {i} AS i"));
    }
    for (i, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.value("SELECT i FROM t"), i.to_string());
    }
    let mut watcher = reachable.connect(super::Way::Direct);
    let count = "SELECT count(*) FROM pg_class WHERE relname = 't'";
    assert_eq!(watcher.value(count), "3");
    drop(clients);
    eventually("the tables are dropped", || watcher.value(count) == "0");
}

#[test]
fn a_pglite_its_sessions_and_its_server_are_one_database() {
    let mut db = Pglite::temporary().unwrap();
    db.run("CREATE TABLE t (who text)");
    let server = db.server().unwrap();
    let mut clients: Vec<Box<dyn Sql>> = vec![
        Box::new(db.connect().unwrap()),
        Box::new(server.connect().unwrap()),
        Box::new(tcp(&server)),
    ];
    let mut pids: Vec<_> = clients.iter_mut().map(|client| client.pid()).collect();
    pids.push(db.pid());
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 4, "each has a backend");
    for client in &mut clients {
        client.run("BEGIN; INSERT INTO t VALUES (pg_backend_pid())");
    }
    assert_eq!(db.value("SELECT count(*) FROM t"), "0");
    for client in &mut clients {
        client.run("COMMIT");
    }
    assert_eq!(db.value("SELECT count(DISTINCT who) FROM t"), "3");
}

#[test]
fn many_sessions_work_at_once() {
    const CLIENTS: usize = 20;
    const ROUNDS: usize = 20;
    let reachable = Reachable::new();
    reachable.connect(super::Way::Direct).run("CREATE TABLE counter AS SELECT 0 AS n");
    let clients: Vec<_> = WAYS
        .iter()
        .cycle()
        .take(CLIENTS)
        .map(|&way| {
            let mut client = reachable.connect(way);
            thread::spawn(move || {
                for _ in 0..ROUNDS {
                    client.run("BEGIN; UPDATE counter SET n = n + 1; COMMIT");
                }
            })
        })
        .collect();
    within_patience("all updates", move || {
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    let total = reachable.connect(super::Way::Tcp).value("SELECT n FROM counter");
    assert_eq!(total, (CLIENTS * ROUNDS).to_string());
}
