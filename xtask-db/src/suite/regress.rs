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
    ci: CI,
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
    environment: &[],
};

/// In each the parts of PostgreSQL that the kernel and the shim have most to do with.
const CI: &[&str] = &[
    "boolean",
    "char",
    "name",
    "varchar",
    "text",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "numeric",
    "numerology",
    "copy",
    "copyselect",
    "copydml",
    "insert",
    "create_misc",
    "create_procedure",
    "create_table",
    "create_type",
    "create_schema",
    "create_index",
    "create_view",
    "create_aggregate",
    "create_function_sql",
    "create_cast",
    "select",
    "errors",
    "infinite_recurse",
    "select_into",
    "select_distinct",
    "select_distinct_on",
    "select_implicit",
    "select_having",
    "subselect",
    "join",
    "aggregates",
    "transactions",
    "prepared_xacts",
    "select_parallel",
    "select_views",
    "window",
    "json",
    "jsonb",
    "plpgsql",
    "largeobject",
    "with",
];
