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
    ci: CI,
    transport: Transport::Tcp,
    settings: &[
        ("max_prepared_transactions", "3"),
        ("log_lock_waits", "on"),
        // As for `regress`.
        ("synchronous_commit", "on"),
    ],
    // A step is cancelled after twice this long; the default makes six minutes of each step that hangs.
    environment: &[("PG_TEST_TIMEOUT_DEFAULT", "60")],
};

/// Each kind of waiting: tuple and table locks, deadlocks, predicate locks, cancels, time-outs, notifications,
/// parallel workers, statistics, vacuum.
const CI: &[&str] = &[
    "read-only-anomaly",
    "simple-write-skew",
    "two-ids",
    "predicate-lock-hot-tuple",
    "deadlock-simple",
    "deadlock-hard",
    "deadlock-soft",
    "deadlock-parallel",
    "detach-partition-concurrently-1",
    "fk-deadlock",
    "subxid-overflow",
    "eval-plan-qual",
    "lock-update-delete",
    "temp-schema-cleanup",
    "insert-conflict-specconflict",
    "multixact-no-deadlock",
    "reindex-concurrently",
    "tuplelock-conflict",
    "nowait",
    "skip-locked",
    "multiple-cic",
    "alter-table-1",
    "sequence-ddl",
    "async-notify",
    "timeouts",
    "vacuum-concurrent-drop",
    "vacuum-conflict",
    "stats",
    "horizons",
    "predicate-gist",
    "plpgsql-toast",
    "cluster-conflict",
    "serializable-parallel",
    "prepared-transactions-cic",
];
