//! `cargo xtask isolation`: PostgreSQL's tests of sessions that get in each other's way.

use super::Suite;
use super::server::Transport;

pub(crate) const ISOLATION: Suite = Suite {
    name: "isolation",
    title: "PostgreSQL's isolation tests, with its own pg_isolation_regress and isolationtester",
    dir: "src/test/isolation",
    program: "pg_isolation_regress",
    schedule: "isolation_schedule",
    // Not in the schedule, as they need `max_prepared_transactions`: `make check-prepared-txns`.
    extra: &["prepared-transactions", "prepared-transactions-cic"],
    always: &[],
    transport: Transport::Tcp,
    settings: &[
        ("max_prepared_transactions", "3"),
        ("log_lock_waits", "on"),
        // As for `regress`.
        ("synchronous_commit", "on"),
    ],
    // A step is cancelled after twice this long; the default makes six minutes of each step that hangs.
    collations: false,
    environment: &[("PG_TEST_TIMEOUT_DEFAULT", "60")],
};
