//! What ends a statement or a session from outside: other sessions, cancel requests, timeouts.

use std::thread;

use postgres::NoTls;

use super::{PAIRS, Reachable, Sql, WAYS, Way, eventually, tcp, until_blocked, until_running};

/// Each would run for ever.
const ENDLESS: [&str; 3] = [
    "SELECT pg_sleep(100000)",
    "SELECT count(*) FROM generate_series(1, 100000000000000)",
    "DO $$ BEGIN LOOP NULL; END LOOP; END $$",
];

#[test]
fn a_session_cancels_another_s_statement() {
    let reachable = Reachable::new();
    for (one, other) in PAIRS {
        let (mut a, mut b) = (reachable.connect(one), reachable.connect(other));
        for sql in ENDLESS {
            let pid = b.pid();
            let running = thread::spawn(move || (b.state(sql), b));
            until_running(&mut *a, &pid, &sql[..6]);
            assert_eq!(a.value(&format!("SELECT pg_cancel_backend({pid})")), "t");
            let (state, same) = running.join().unwrap();
            b = same;
            assert_eq!(state, "57014", "{one:?} {other:?} {sql}");
            assert_eq!(b.value("SELECT 1"), "1");
        }
    }
}

#[test]
fn a_session_terminates_another() {
    let reachable = Reachable::new();
    for (one, other) in PAIRS {
        let mut a = reachable.connect(one);
        for sql in ENDLESS {
            let mut b = reachable.connect(other);
            let pid = b.pid();
            let running = thread::spawn(move || (b.state(sql), b));
            until_running(&mut *a, &pid, &sql[..6]);
            assert_eq!(a.value(&format!("SELECT pg_terminate_backend({pid}, 60000)")), "t");
            let (state, mut b) = running.join().unwrap();
            assert_eq!(state, "57P01", "{one:?} {other:?} {sql}");
            assert!(b.ask("SELECT 1").is_err());
        }
        // Of one that does nothing.
        let mut b = reachable.connect(other);
        let pid = b.pid();
        assert_eq!(a.value(&format!("SELECT pg_terminate_backend({pid}, 60000)")), "t");
        assert!(b.ask("SELECT 1").is_err());
    }
}

#[test]
fn a_cancel_request_comes_by_the_wire() {
    let reachable = Reachable::new();
    let mut watcher = reachable.connect(Way::Direct);
    let connect = [tcp, super::unix];
    for mut client in connect.map(|connect| connect(&reachable.server)) {
        for sql in ENDLESS {
            let token = client.cancel_token();
            let pid = client.pid();
            let running = thread::spawn(move || (client.state(sql), client));
            until_running(&mut *watcher, &pid, &sql[..6]);
            token.cancel_query(NoTls).unwrap();
            let (state, same) = running.join().unwrap();
            client = same;
            assert_eq!(state, "57014", "{sql}");
            assert_eq!(client.value("SELECT 1"), "1");
        }
    }
}

#[test]
fn a_cancelled_wait_for_a_lock_gives_up_its_place() {
    let reachable = Reachable::new();
    let (mut a, mut b) = (reachable.connect(Way::Tcp), reachable.connect(Way::Direct));
    a.run("CREATE TABLE t (); BEGIN; LOCK t");
    let mut waiting = tcp(&reachable.server);
    let token = waiting.cancel_token();
    let pid = waiting.pid();
    let thread = thread::spawn(move || waiting.state("TABLE t"));
    until_blocked(&mut *b, &pid);
    token.cancel_query(NoTls).unwrap();
    assert_eq!(thread.join().unwrap(), "57014");
    a.run("COMMIT");
    b.run("SET lock_timeout = '60s'; TABLE t");
}

/// Setting, statements, SQLSTATE of the last, and whether the session goes on.
const TIMEOUTS: &[(&str, &[&str], &str, bool)] = &[
    ("statement_timeout", &["SELECT pg_sleep(100000)"], "57014", true),
    ("statement_timeout", &["DO $$ BEGIN LOOP NULL; END LOOP; END $$"], "57014", true),
    ("lock_timeout", &["SELECT pg_advisory_lock(1)"], "55P03", true),
    ("lock_timeout", &["BEGIN", "UPDATE locked SET i = 2"], "55P03", true),
    ("transaction_timeout", &["BEGIN", "SELECT pg_sleep(100000)"], "25P04", false),
    ("idle_in_transaction_session_timeout", &["BEGIN", "idle"], "25P03", false),
    ("idle_session_timeout", &["idle"], "57P05", false),
];

#[test]
fn timeouts() {
    let reachable = Reachable::new();
    let mut holder = reachable.connect(Way::Direct);
    holder.run(
        "CREATE TABLE locked AS SELECT 1 AS i; SELECT pg_advisory_lock(1);
         BEGIN; UPDATE locked SET i = 3",
    );
    let mut watcher = reachable.connect(Way::Direct);
    for &(setting, statements, state, goes_on) in TIMEOUTS {
        for way in WAYS {
            let mut client = reachable.connect(way);
            let pid = client.pid();
            client.run(&format!("SET {setting} = '100ms'"));
            let (last, before) = statements.split_last().unwrap();
            before.iter().for_each(|sql| client.run(sql));
            if *last == "idle" {
                let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
                eventually("the session ends", || watcher.value(&gone) == "0");
                assert_eq!(client.state("SELECT 1"), state, "{setting} {way:?}");
            } else {
                assert_eq!(client.state(last), state, "{setting} {way:?}");
            }
            let after = client.ask(&format!("ROLLBACK; SET {setting} = 0; SELECT 1"));
            assert_eq!(after.is_ok(), goes_on, "{setting} {way:?}: {after:?}");
        }
    }
}
