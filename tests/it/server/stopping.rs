//! What ends a statement or a session from outside: other sessions, cancel requests, timeouts.

use std::thread;

use pglite_oxide::{PgliteServer, ShutdownMode};
use postgres::NoTls;

use super::raw::{Raw, query};
use super::{
    PAIRS, Reachable, Sql, WAYS, Way, assert_ended, eventually, tcp, until_blocked, until_running,
};

/// Each would run for ever.
const ENDLESS: [&str; 3] = [
    "SELECT pg_sleep(100000)",
    "SELECT count(*) FROM generate_series(1, 100000000000000)",
    "DO $$ BEGIN LOOP NULL; END LOOP; END $$",
];

type Client = Box<dyn Sql + Send>;

/// A client in the middle of a statement that fails: its SQLSTATE, and the client again.
fn start(
    mut client: Client,
    sql: &'static str,
    watcher: &mut dyn Sql,
) -> thread::JoinHandle<(String, Client)> {
    let pid = client.pid();
    let running = thread::spawn(move || (client.state(sql), client));
    until_running(watcher, &pid, &sql[..6]);
    running
}

#[test]
fn a_session_cancels_another_s_statement() {
    let reachable = Reachable::new();
    for (one, other) in PAIRS {
        let (mut a, mut b) = (reachable.connect(one), reachable.connect(other));
        for sql in ENDLESS {
            let pid = b.pid();
            let running = start(b, sql, &mut *a);
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
            let running = start(b, sql, &mut *a);
            assert_eq!(a.value(&format!("SELECT pg_terminate_backend({pid}, 60000)")), "t");
            let (state, mut b) = running.join().unwrap();
            assert_ended(other, &state, "57P01");
            assert!(b.ask("SELECT 1").is_err(), "{one:?} {other:?} {sql}");
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
    for client in connect.map(|connect| connect(&reachable.server)) {
        let token = client.cancel_token();
        let mut client: Client = Box::new(client);
        for sql in ENDLESS {
            let running = start(client, sql, &mut *watcher);
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
    a.run("CREATE TABLE t ()");
    a.run("BEGIN; LOCK t");
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
    holder.run("CREATE TABLE locked AS SELECT 1 AS i; SELECT pg_advisory_lock(1)");
    holder.run("BEGIN; UPDATE locked SET i = 3");
    let mut watcher = reachable.connect(Way::Direct);
    for &(setting, statements, state, goes_on) in TIMEOUTS {
        for way in WAYS {
            let mut client = reachable.connect(way);
            let pid = client.pid();
            client.run(&format!("SET {setting} = '100ms'"));
            let (last, before) = statements.split_last().unwrap();
            before.iter().for_each(|sql| client.run(sql));
            let answer = if *last == "idle" {
                let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
                eventually("the session ends", || watcher.value(&gone) == "0");
                client.state("SELECT 1")
            } else {
                client.state(last)
            };
            match goes_on {
                true => assert_eq!(answer, state, "{setting} {way:?}"),
                false => assert_ended(way, &answer, state),
            }
            let after = client.ask(&format!("ROLLBACK; SET {setting} = 0; SELECT 1"));
            assert_eq!(after.is_ok(), goes_on, "{setting} {way:?}: {after:?}");
        }
    }
}

/// What a client does, what PostgreSQL waits for then, who ends its session, and what it is told.
const ENDS: &[(&str, &str, &str, &str)] = &[
    ("", "ClientRead", TERMINATE, "E(FATAL 57P01) closed"),
    ("BEGIN", "ClientRead", TERMINATE, "C Z E(FATAL 57P01) closed"),
    ("SELECT pg_sleep(100000)", "PgSleep", TERMINATE, "T E(FATAL 57P01) closed"),
    ("SET idle_session_timeout = '50ms'", "", "", "C Z E(FATAL 57P05) closed"),
    (
        "SET idle_in_transaction_session_timeout = '50ms'; BEGIN",
        "",
        "",
        "C C Z E(FATAL 25P03) closed",
    ),
    // Not a query: whether its columns are told before the time is over depends on the machine.
    (
        "SET transaction_timeout = '50ms'; DO 'BEGIN PERFORM pg_sleep(100000); END'",
        "",
        "",
        "C E(FATAL 25P04) closed",
    ),
];
const TERMINATE: &str = "SELECT pg_terminate_backend({pid})";

#[test]
fn clients_are_told_why_their_session_ends() {
    let server = PgliteServer::temporary().unwrap();
    let mut watcher = server.connect().unwrap();
    for (sql, wait, end, expected) in ENDS {
        let mut client = Raw::log_in(server.local_addr().unwrap());
        let port = client.stream.local_addr().unwrap().port();
        let pid =
            watcher.value(&format!("SELECT pid FROM pg_stat_activity WHERE client_port = {port}"));
        let mut said = Vec::new();
        if !sql.is_empty() {
            client.send(&query(sql));
        }
        if !end.is_empty() {
            let waits = format!(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE pid = {pid} AND query = $${sql}$$ AND wait_event = '{wait}'"
            );
            eventually("PostgreSQL has done it", || watcher.value(&waits) == "1");
            watcher.run(&end.replace("{pid}", &pid));
        }
        while said.last().is_none_or(|last: &String| last.ends_with('Z')) {
            said.push(client.transcript());
        }
        assert_eq!(said.join(" "), *expected, "{sql}; {end}");
    }
    let mut client = Raw::log_in(server.local_addr().unwrap());
    server.shutdown(ShutdownMode::Fast).unwrap();
    assert_eq!(client.transcript(), "E(FATAL 57P01) closed");
}
