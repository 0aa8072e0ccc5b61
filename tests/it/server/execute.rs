//! A backend in code that looks at no signal, natively either, does not keep anything from ending.

use std::thread;

use pglite_oxide::{Pglite, PgliteServer, ShutdownMode};

use super::{Sql, tcp, until_running, within_patience};

/// Compares each character of one string with all of another, for hours. There is no
/// CHECK_FOR_INTERRUPTS in `dotrim` of `oracle_compat.c`.
const UNINTERRUPTIBLE: &str = "SELECT ltrim(repeat('a', 2000000), repeat('b', 2000000) || 'a')";

/// Runs it in a thread, which ends when the backend does; returns the backend's pid.
fn start(mut client: impl Sql + Send + 'static, watcher: &mut dyn Sql) -> (String, Runner) {
    let pid = client.pid();
    let runner = thread::spawn(move || client.ask(UNINTERRUPTIBLE).is_err());
    until_running(watcher, &pid, "SELECT ltrim");
    (pid, Runner(runner))
}

struct Runner(thread::JoinHandle<bool>);

impl Runner {
    fn ended(self) -> bool {
        within_patience("the end of the statement", || self.0.join().unwrap())
    }
}

/// Or there is nothing to see here.
fn assert_uninterruptible(watcher: &mut dyn Sql, pid: &str) {
    watcher.run(&format!("SELECT pg_cancel_backend({pid})"));
    watcher.run("SELECT pg_sleep(0.3)");
    until_running(watcher, pid, "SELECT ltrim");
}

fn the_process_goes_on() {
    let server = PgliteServer::temporary().unwrap();
    assert_eq!(tcp(&server).value("SELECT sum(i) FROM generate_series(1, 1000) i"), "500500");
}

#[test]
fn it_does_not_hold_up_an_immediate_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let server = PgliteServer::open(dir.path()).unwrap();
    let mut watcher = server.connect().unwrap();
    watcher.run("CREATE TABLE t AS SELECT 1 AS i");
    let (pid, runner) = start(tcp(&server), &mut watcher);
    assert_uninterruptible(&mut watcher, &pid);
    drop(watcher);
    within_patience("the shutdown", move || server.shutdown(ShutdownMode::Immediate)).unwrap();
    assert!(runner.ended());
    // The directory is free, and nothing that was committed is lost.
    let server = PgliteServer::open(dir.path()).unwrap();
    assert_eq!(tcp(&server).value("SELECT i FROM t"), "1");
    the_process_goes_on();
}

#[test]
fn it_does_not_hold_up_a_drop() {
    let mut db = Pglite::temporary().unwrap();
    let server = db.server().unwrap();
    let (_, runner) = start(tcp(&server), &mut *db);
    // The client is disconnected, whatever its backend does.
    within_patience("the server's drop", move || drop(server));
    assert!(runner.ended());
    assert_eq!(db.value("SELECT 1"), "1");
    within_patience("the drop", move || drop(db));
    the_process_goes_on();
}
