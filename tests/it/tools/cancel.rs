//! Another thread ends a tool.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};

use pglite_oxide::tools::{Cancel, Format, Program};
use pglite_oxide::{Error, Pglite, ToolError};

use crate::{eventually, text};

#[track_caller]
fn assert_cancelled<T: std::fmt::Debug>(result: Result<T, Error>, expected: Program) {
    match result {
        Err(Error::Tool(ToolError::Cancelled { program })) => assert_eq!(program, expected),
        other => panic!("{other:?}"),
    }
}

fn with_rows() -> Pglite {
    let mut db = Pglite::temporary().unwrap();
    db.exec("CREATE TABLE big AS SELECT md5(i::text) FROM generate_series(1, 50000) i").unwrap();
    db
}

/// Says that there is something to write, or to be read, and goes on when it is told.
struct Gate {
    arrived: Sender<()>,
    open: Receiver<()>,
    is_open: bool,
    sql: &'static [u8],
}

impl Gate {
    fn pass(&mut self) {
        if !self.is_open {
            self.arrived.send(()).unwrap();
            self.open.recv().unwrap();
            self.is_open = true;
        }
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pass();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Gate {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.sql.is_empty() {
            self.pass();
        }
        self.sql.read(buffer)
    }
}

/// A gate, and another thread that cancels as soon as somebody is at it.
fn cancelled_at_gate(sql: &'static [u8]) -> (Cancel, Gate) {
    let (arrived, arrival) = channel();
    let (opener, open) = channel();
    let cancel = Cancel::new();
    let other = cancel.clone();
    std::thread::spawn(move || {
        arrival.recv().unwrap();
        other.cancel();
        opener.send(()).unwrap();
    });
    (cancel, Gate { arrived, open, is_open: false, sql })
}

#[test]
fn a_dump_that_is_being_written() {
    let mut db = with_rows();
    for format in [Format::Plain, Format::Custom] {
        let (cancel, gate) = cancelled_at_gate(b"");
        assert_cancelled(
            db.dump().format(format).cancel_with(&cancel).to_writer(gate),
            Program::PgDump,
        );
        assert!(cancel.is_cancelled());
        // Once cancelled, it starts nothing.
        assert_cancelled(db.dump().cancel_with(&cancel).to_vec(), Program::PgDump);
    }
    // Nothing holds the table any more.
    db.exec("SET lock_timeout = '20s'; DROP TABLE big").unwrap();
}

#[test]
fn a_restore_that_is_being_read() {
    let mut db = Pglite::temporary().unwrap();
    let (cancel, gate) =
        cancelled_at_gate(b"CREATE TABLE one ();\nINSERT INTO one DEFAULT VALUES;\n");
    let restore = db.restore().single_transaction().cancel_with(&cancel);
    assert_cancelled(restore.from_reader(gate), Program::Psql);
    assert!(db.exec("SELECT FROM one").is_err(), "it was one transaction");
}

/// The session of a tool that has gone would wait for the lock otherwise, and whoever comes after it too.
#[test]
fn a_dump_that_waits_for_a_lock() {
    let mut db = with_rows();
    let mut other = db.connect().unwrap();
    other.exec("BEGIN; LOCK TABLE big").unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump'";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dump");
    let cancel = Cancel::new();
    let dump = db.dump().format(Format::Directory).jobs(2).cancel_with(&cancel);
    std::thread::scope(|scope| {
        let dumping = scope.spawn(|| dump.to_path(&path));
        let locks = format!("{waiting} AND wait_event_type = 'Lock'");
        eventually("it waits for the lock", || text(&mut db, &locks) != "0");
        cancel.cancel();
        assert_cancelled(dumping.join().unwrap(), Program::PgDump);
    });
    eventually("its sessions have gone", || text(&mut db, waiting) == "0");
    other.exec("ROLLBACK").unwrap();
}

#[test]
fn a_query_of_psql() {
    let db = Pglite::temporary().unwrap();
    let mut other = db.connect().unwrap();
    let cancel = Cancel::new();
    let psql =
        db.tool(Program::Psql).args(["-X", "-c", "SELECT pg_sleep(3600)"]).cancel_with(&cancel);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    std::thread::scope(|scope| {
        let running = scope.spawn(|| psql.output());
        eventually("it sleeps", || text(&mut other, sleeping) == "1");
        cancel.cancel();
        assert_cancelled(running.join().unwrap(), Program::Psql);
    });
    eventually("its session has gone", || text(&mut other, sleeping) == "0");
    // What was not cancelled goes on.
    assert_eq!(
        db.tool(Program::Psql).args(["-XAt", "-c", "SELECT 42"]).output().unwrap().stdout,
        b"42\n"
    );
}

/// Settings of the session are those that were given, beside that by which it notices the end.
#[test]
fn options_of_the_session_stay() {
    let db = Pglite::temporary().unwrap();
    let psql = db.tool(Program::Psql).env("PGOPTIONS", "-c work_mem=3MB");
    let output =
        psql.args(["-XAt", "-c", "SHOW work_mem", "-c", "SHOW client_connection_check_interval"]);
    assert_eq!(output.output().unwrap().stdout, b"3MB\n500ms\n");
}
