//! Recursion, nesting and errors without end: a clean error, and the session lives.

use std::path::Path;

use crate::child::Process;
use crate::{sqlstate, temporary, text};

const STACK_DEPTH: &str = "54001";

#[test]
fn infinite_recursion_is_an_error() {
    let mut db = temporary();
    db.exec(
        "CREATE FUNCTION in_sql(i int) RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE OR REPLACE FUNCTION in_sql(i int) RETURNS int LANGUAGE sql AS 'SELECT in_sql(i + 1)';
         CREATE FUNCTION in_plpgsql(i int) RETURNS int LANGUAGE plpgsql AS
             'BEGIN RETURN in_plpgsql(i + 1); END';
         CREATE FUNCTION in_handlers(i int) RETURNS int LANGUAGE plpgsql AS
             'BEGIN RETURN in_handlers(i + 1); EXCEPTION WHEN division_by_zero THEN RETURN 0; END';",
    )
    .unwrap();
    for settings in ["", "SET max_stack_depth = '7MB'"] {
        db.exec(settings).unwrap();
        for function in ["in_sql", "in_plpgsql", "in_handlers"] {
            let error = db.exec(&format!("SELECT {function}(1)")).unwrap_err();
            assert_eq!(sqlstate(&error), STACK_DEPTH, "{function}: {error}");
            assert_eq!(text(&mut db, "SELECT 1"), "1");
        }
    }
}

#[test]
fn deep_nesting_is_an_error() {
    let mut db = temporary();
    let n = 100_000;
    let cases = [
        ("json", format!("SELECT (repeat('[', {n}))::json")),
        ("jsonb", format!("SELECT (repeat('[', {n}) || repeat(']', {n}))::jsonb")),
        ("parentheses", format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n))),
        ("operators", format!("SELECT 1{}", "+1".repeat(n))),
        ("not", format!("SELECT {}true", "NOT ".repeat(n))),
        (
            "subqueries",
            format!(
                "SELECT * FROM {}pg_class{}",
                "(SELECT * FROM ".repeat(20_000),
                ") x".repeat(20_000)
            ),
        ),
        ("case", format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n))),
        ("regex", format!("SELECT 'a' ~ (repeat('(', {n}) || 'a' || repeat(')', {n}))")),
        ("array", format!("SELECT {}1{}", "ARRAY[".repeat(n), "]".repeat(n))),
    ];
    for (name, sql) in cases {
        // Some nestings Postgres flattens or reads to the end: then an answer is right too.
        if let Err(error) = db.exec(&sql) {
            assert!(!error.is_closed(), "{name}: {error}");
            let state = sqlstate(&error);
            assert!(
                [STACK_DEPTH, "2201B", "54000", "42601", "54011"].contains(&state),
                "{name}: {error}"
            );
        }
        assert_eq!(text(&mut db, "SELECT 1"), "1", "{name}");
    }
}

/// Reached the limit at 200 in the closest peer, which then died.
#[test]
fn recursion_that_ends_may_be_deep() {
    let mut db = temporary();
    db.exec(
        "CREATE FUNCTION down(i int) RETURNS int LANGUAGE plpgsql AS
             'BEGIN IF i = 0 THEN RETURN 0; END IF; RETURN 1 + down(i - 1); END'",
    )
    .unwrap();
    assert_eq!(text(&mut db, "SELECT down(500)"), "500");
}

/// Wasmer keeps every exception that was ever thrown; ours is one object.
#[test]
fn caught_errors_take_no_memory() {
    let mut child = Process::start("exceptions", Path::new(""), &[]);
    let growth: u64 = child.line().unwrap().parse().unwrap();
    child.wait();
    // 180,000 objects of Wasmer's would be hundreds of megabytes.
    assert!(growth < 10_000, "{growth} kB for 200,000 caught errors");
}

#[test]
fn threads_of_dropped_databases_are_gone() {
    let mut child = Process::start("threads", Path::new(""), &[]);
    assert_eq!(child.line().as_deref(), Some("0"));
    child.wait();
}
