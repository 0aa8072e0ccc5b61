//! All integration tests: one program, so that the library is linked once.
#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod cache;
mod child;
mod close;
mod data_dir;
mod dump_data_dir;
mod durability;
#[cfg(feature = "extensions")]
mod extensions;
#[cfg(feature = "icu")]
mod icu;
#[cfg(not(feature = "icu"))]
mod icu_absent;
mod interrupt;
mod limits;
mod mount;
mod postgres;
mod replication;
mod server;
mod session;
mod snapshot;
mod template_files;
mod testing;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
mod tls_absent;
#[cfg(feature = "tools")]
mod tools;
mod xml;

use std::time::{Duration, Instant};

use pglite_oxide::{Pglite, Session};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first column of the first row, as text.
fn text(db: &mut Session, sql: &str) -> String {
    let results = db.exec(sql).unwrap();
    let last = results.last().expect("a statement");
    last.rows()[0].get(0).unwrap_or("NULL").to_owned()
}

fn sqlstate(error: &pglite_oxide::Error) -> &str {
    error.sqlstate().map_or("none", |state| state.code())
}

fn temporary() -> Pglite {
    Pglite::temporary().unwrap()
}

/// Waits until something is so.
#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
