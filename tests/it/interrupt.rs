//! Stopping what runs: timeouts, cancel requests, terminated backends.

use std::thread;
use std::time::{Duration, Instant};

use crate::{sqlstate, temporary, text};

/// Each would run for minutes.
const LONG: [&str; 3] = [
    "SELECT pg_sleep(600)",
    "SELECT count(*) FROM generate_series(1, 100000000000)",
    "DO $$ BEGIN LOOP NULL; END LOOP; END $$",
];

/// Far below how long the statements run, far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn statement_timeout_stops_a_statement_and_the_session_goes_on() {
    let mut db = temporary();
    db.exec("SET statement_timeout = '100ms'").unwrap();
    for sql in LONG {
        let start = Instant::now();
        let error = db.exec(sql).unwrap_err();
        assert_eq!(sqlstate(&error), "57014", "{sql}: {error}");
        assert!(start.elapsed() < SOON, "{sql}");
        assert_eq!(text(&mut db, "SELECT 1"), "1");
    }
}

#[test]
fn a_cancel_handle_stops_a_statement_and_the_session_goes_on() {
    let mut db = temporary();
    for sql in LONG {
        let handle = db.cancel_handle();
        let canceller = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            handle.cancel().unwrap();
        });
        let start = Instant::now();
        let error = db.exec(sql).unwrap_err();
        canceller.join().unwrap();
        assert_eq!(sqlstate(&error), "57014", "{sql}: {error}");
        assert!(start.elapsed() < SOON, "{sql}");
        assert_eq!(text(&mut db, "SELECT 1"), "1");
    }
}

#[test]
fn a_cancel_of_nothing_is_nothing() {
    let mut db = temporary();
    let handle = db.cancel_handle();
    handle.cancel().unwrap();
    assert_eq!(text(&mut db, "SELECT 1"), "1");
    drop(db);
    assert!(handle.cancel().is_err());
}

#[test]
fn a_terminated_backend_is_an_error_and_closes_the_session() {
    let mut db = temporary();
    let error = db.exec("SELECT pg_terminate_backend(pg_backend_pid())").unwrap_err();
    assert_eq!(sqlstate(&error), "57P01", "{error}");
    assert!(db.is_closed());
    assert!(db.exec("SELECT 1").unwrap_err().is_closed());
}

#[test]
fn a_database_can_be_dropped_while_a_statement_could_still_run() {
    // The backend is in a loop that only a signal ends.
    let db = temporary();
    let handle = db.cancel_handle();
    let runner = thread::spawn(move || {
        let mut db = db;
        db.exec("SELECT pg_sleep(600)").unwrap_err();
    });
    thread::sleep(Duration::from_millis(200));
    handle.cancel().unwrap();
    runner.join().unwrap();
}
