//! Errors out of modules and through them, and loads that are repeated.

use std::path::Path;

use pglite_oxide::Pglite;

use super::{directories, load_error};
use crate::child::Process;
use crate::{sqlstate, temporary, text};

#[test]
fn errors_pass_through_modules() {
    let mut db = temporary();
    db.exec("CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION cube").unwrap();
    // Out of a module, into PL/pgSQL of the core, many times.
    db.exec(
        "DO $$ DECLARE caught int := 0; BEGIN
           FOR i IN 1..2000 LOOP
             BEGIN
               IF i % 2 = 0 THEN PERFORM 'a=>'::hstore; ELSE PERFORM 'a..b'::ltree; END IF;
             EXCEPTION WHEN OTHERS THEN caught := caught + 1;
             END;
           END LOOP;
           IF caught <> 2000 THEN RAISE 'only % were caught', caught; END IF;
         END $$",
    )
    .unwrap();
    let error = db.exec("SELECT '(1,2'::cube").unwrap_err();
    assert_eq!(sqlstate(&error), "22P02");
    assert_eq!(text(&mut db, "SELECT '(1,2)'::cube"), "(1, 2)");
}

#[test]
fn a_module_is_loaded_once_however_often_it_is_asked_for() {
    let mut db = temporary();
    for _ in 0..100 {
        db.exec("LOAD 'pg_trgm'; LOAD '$libdir/pg_trgm'").unwrap();
        db.exec("DISCARD ALL").unwrap();
    }
    db.exec("CREATE EXTENSION pg_trgm").unwrap();
    assert_eq!(text(&mut db, "SELECT similarity('a', 'a')"), "1");
}

/// Two modules have a `PG_TRY` each around the executor, in which a third one throws: what they restore in it is right
/// afterwards, as otherwise statements would be taken for nested ones, and not be counted.
#[test]
fn modules_catch_what_others_throw() {
    let mut db = Pglite::builder()
        .preload(["pg_stat_statements", "auto_explain"])
        .config("auto_explain.log_min_duration", "0")
        .config("auto_explain.log_nested_statements", "on")
        .config("auto_explain.log_level", "debug1")
        .open()
        .unwrap();
    db.exec("CREATE EXTENSION pg_stat_statements; CREATE EXTENSION hstore").unwrap();
    db.exec("SELECT pg_stat_statements_reset()").unwrap();
    for number in 0..100 {
        let error =
            db.exec(&format!("SELECT ('a=' || repeat('x', {number}))::hstore")).unwrap_err();
        assert_eq!(sqlstate(&error), "42601", "{error}");
    }
    db.exec(
        "DO $$ BEGIN FOR i IN 1..100 LOOP
           BEGIN PERFORM ('a' || i)::hstore; EXCEPTION WHEN syntax_error THEN NULL; END;
         END LOOP; END $$",
    )
    .unwrap();
    db.exec("SELECT 41 + 1").unwrap();
    let sql =
        "SELECT calls FROM pg_stat_statements WHERE query LIKE 'SELECT $1 + $2%' AND toplevel";
    assert_eq!(text(&mut db, sql), "1");
}

/// `postgres_fdw` has a `PG_TRY` around making rows, for which it calls a function of `hstore`.
#[test]
fn a_module_frees_what_it_has_when_another_throws() {
    let mut db = temporary();
    db.exec(
        "CREATE EXTENSION hstore; CREATE EXTENSION postgres_fdw;
         CREATE TABLE texts AS SELECT CASE WHEN i = 777 THEN 'damaged=' ELSE 'n=>' || i END AS t
             FROM generate_series(1, 1000) i;
         CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '/tmp', dbname 'postgres');
         CREATE USER MAPPING FOR CURRENT_USER SERVER self OPTIONS (user 'postgres', password_required 'false');
         CREATE FOREIGN TABLE maps (t hstore) SERVER self OPTIONS (table_name 'texts')",
    )
    .unwrap();
    for _ in 0..20 {
        let error = db.exec("SELECT t FROM maps").unwrap_err();
        assert_eq!(sqlstate(&error), "42601", "{error}");
    }
    db.exec("UPDATE texts SET t = 'n=>777' WHERE t = 'damaged='").unwrap();
    assert_eq!(text(&mut db, "SELECT sum((t->'n')::int) FROM maps"), "500500");
}

/// PostgreSQL closes a library that turns out to be none of its own.
#[test]
fn a_module_that_is_none_of_postgresqls_is_refused_each_time() {
    let dir = tempfile::tempdir().unwrap();
    directories::altered(dir.path(), b"Pg_magic_func", b"Pg_magic_fund");
    let mut db = Pglite::builder().extension_dir(dir.path()).open().unwrap();
    for _ in 0..100 {
        let error = load_error(&mut db, "regress");
        assert!(error.contains("missing magic block"), "{error}");
    }
    let mut fork = db.fork().unwrap();
    fork.exec("CREATE EXTENSION seg").unwrap();
    assert_eq!(text(&mut fork, "SELECT '1 .. 2'::seg"), "1 .. 2");
}

#[test]
fn an_extension_is_created_and_dropped_many_times() {
    let mut db = temporary();
    for _ in 0..100 {
        db.exec("CREATE EXTENSION dict_int; SELECT ts_lexize('intdict', '12345678'); DROP EXTENSION dict_int")
            .unwrap();
    }
}

/// A process loads modules, ends, and all of it is gone: in a process of the host of its own, as memory is compared.
#[test]
fn sessions_load_modules_and_end() {
    let mut child = Process::start("module cycles", Path::new(""), &[]);
    let grown: u64 = child.line().unwrap().parse().unwrap();
    child.wait();
    // Each session had more than that of its own.
    assert!(grown < 20 << 10, "100 sessions left {grown} kB");
}

/// The task of [`sessions_load_modules_and_end`].
pub(crate) fn module_cycles() {
    let db = temporary();
    let run = |times: u32| {
        for _ in 0..times {
            let mut session = db.connect().unwrap();
            session
                .exec(
                    "LOAD 'hstore'; LOAD 'pg_trgm'; LOAD 'ruvector'; LOAD 'pgcrypto'; LOAD 'ltree'",
                )
                .unwrap();
            session.close().unwrap();
        }
    };
    run(20);
    let before = crate::child::resident_kilobytes();
    run(100);
    crate::child::say(crate::child::resident_kilobytes().saturating_sub(before));
}
