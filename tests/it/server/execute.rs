//! A backend in code that looks at no signal, natively either, does not keep anything from ending.

use std::thread;

use pglite_oxide::{Pglite, PgliteServer, ShutdownMode};

use super::{Sql, eventually, tcp, within_patience};

/// Compares each character of one string with all of another, for hours. There is no
/// CHECK_FOR_INTERRUPTS in `dotrim` of `oracle_compat.c`.
const UNINTERRUPTIBLE: &str = "SELECT ltrim(a, b) FROM strings";

/// Runs it in a thread, which ends when the backend does.
fn start(mut client: impl Sql + Send + 'static, watcher: &mut dyn Sql) -> Runner {
    client.run(
        "CREATE TEMP TABLE strings AS
         SELECT repeat('a', 2000000) AS a, repeat('b', 2000000) || 'a' AS b",
    );
    client.run("SET statement_timeout = '1s'");
    let pid = client.pid();
    let runner = thread::spawn(move || client.ask(UNINTERRUPTIBLE).is_err());
    // Or there is nothing to see here: neither its timeout nor another session stops it.
    let ignores_its_timeout = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'
         AND query = '{UNINTERRUPTIBLE}' AND clock_timestamp() - query_start > interval '2 s'"
    );
    eventually("the timeout is over", || watcher.value(&ignores_its_timeout) == "1");
    watcher.run(&format!("SELECT pg_terminate_backend({pid})"));
    Runner(runner)
}

struct Runner(thread::JoinHandle<bool>);

impl Runner {
    fn ended(self) -> bool {
        within_patience("the end of the statement", || self.0.join().unwrap())
    }
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
    let runner = start(tcp(&server), &mut watcher);
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
    let runner = start(tcp(&server), &mut *db);
    // The client is disconnected, whatever its backend does.
    within_patience("the server's drop", move || drop(server));
    assert!(runner.ended());
    assert_eq!(db.value("SELECT 1"), "1");
    within_patience("the drop", move || drop(db));
    the_process_goes_on();
}
