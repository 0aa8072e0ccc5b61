//! `cargo xtask regress`: PostgreSQL's regression tests, SQL files that psql runs.

use super::Suite;
use super::server::Transport;

pub(crate) const REGRESS: Suite = Suite {
    name: "regress",
    title: "PostgreSQL's regression tests, with its own pg_regress and psql",
    dir: "src/test/regress",
    program: "pg_regress",
    schedule: "parallel_schedule",
    extra: &[],
    always: &["test_setup"],
    transport: Transport::Unix,
    // As the instance that `pg_regress` would make.
    settings: &[
        ("max_prepared_transactions", "2"),
        ("log_autovacuum_min_duration", "0"),
        ("log_checkpoints", "on"),
        ("log_lock_waits", "on"),
        ("log_temp_files", "128kB"),
        // A temporary database has it off, and with it tuples get their hint bits, and pages their all-visible
        // bits, later than the expected plans assume.
        ("synchronous_commit", "on"),
    ],
    collations: true,
    environment: &[],
};
