//! Templates of tests: what is in them, and that each is made once.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use pglite_oxide::testing::{Template, TemplateError, TemplateErrorKind};
use pglite_oxide::{MountAccess, Pglite, SqlState};

use crate::{sqlstate, text};

/// A directory with these files, and templates that have it and nothing else.
fn migrations(files: &[(&str, &str)]) -> (tempfile::TempDir, Template) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let template = Template::new().migrations(dir.path());
    (dir, template)
}

fn failure(files: &[(&str, &str)]) -> (TemplateError, String) {
    let (_dir, template) = migrations(files);
    let error = template.snapshot().unwrap_err();
    let message = error.to_string();
    (error, message)
}

#[test]
fn versions_are_run_in_their_order() {
    let (_dir, template) = migrations(&[
        ("10_last.sql", "INSERT INTO t VALUES (3)"),
        ("2_second.up.sql", "INSERT INTO t VALUES (2)"),
        ("2_second.down.sql", "this is no SQL"),
        ("1_first.sql", "CREATE TABLE t (n int); INSERT INTO t VALUES (1)"),
    ]);
    let mut db = template.snapshot().unwrap().start().unwrap();
    assert_eq!(text(&mut db, "SELECT string_agg(n::text, ',' ORDER BY ctid) FROM t"), "1,2,3");
}

#[test]
fn what_a_migration_does_to_its_session_ends_with_it() {
    let (_dir, template) = migrations(&[(
        "1_dump.sql",
        "SELECT pg_catalog.set_config('search_path', '', false); SET work_mem = '7MB';
         CREATE TEMP TABLE scratch (); CREATE TABLE public.kept (); LISTEN news",
    )]);
    let mut db = template.snapshot().unwrap().start().unwrap();
    assert_eq!(text(&mut db, "SHOW search_path"), "\"$user\", public");
    assert_eq!(text(&mut db, "SHOW work_mem"), "4MB");
    assert_eq!(text(&mut db, "SELECT count(*) FROM kept"), "0");
    assert_eq!(sqlstate(&db.exec("TABLE scratch").unwrap_err()), "42P01");
}

#[test]
fn statements_outside_of_transactions() {
    let (_dir, template) = migrations(&[
        ("1_table.sql", "CREATE TABLE t (i int)"),
        (
            "2_index.sql",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY one ON t (i);\nVACUUM t; -- and; done",
        ),
    ]);
    let mut db = template.snapshot().unwrap().start().unwrap();
    assert_eq!(text(&mut db, "SELECT count(*) FROM pg_indexes WHERE tablename = 't'"), "1");
}

/// PostgreSQL tells a place for some mistakes only. For the others it is known how many statements were run.
#[test]
fn a_failed_migration_says_where() {
    let (error, message) = failure(&[
        ("1_good.sql", "CREATE TABLE t (i int PRIMARY KEY);\n"),
        (
            "2_bad.sql",
            "-- A comment; with a semicolon.\nINSERT INTO t VALUES (1);\n\n\
             INSERT INTO t VALUES (2);\nINSERT INTO t\n    VALUES (1);\nINSERT INTO t VALUES (3);\n",
        ),
    ]);
    let TemplateErrorKind::Migration(migration) = error.kind() else { panic!("{error:?}") };
    assert!(migration.path.ends_with("2_bad.sql"));
    assert_eq!(migration.line, Some(5));
    assert_eq!(migration.statement.as_deref(), Some("INSERT INTO t\n    VALUES (1)"));
    assert_eq!(error.as_db_error().unwrap().code(), &SqlState::UNIQUE_VIOLATION);
    let expected = "2_bad.sql:5 failed\n    5 | INSERT INTO t\n    6 |     VALUES (1);\n\
        ERROR: duplicate key value violates unique constraint \"t_pkey\" (SQLSTATE 23505)\n\
        DETAIL: Key (i)=(1) already exists.";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn mistakes_and_their_lines() {
    let cases = [
        // A place, in characters and not in bytes.
        ("SELECT 'größe';\nSELECT nothing;", Some(2), "column \"nothing\" does not exist"),
        ("SELECT 1;\nSELEKT 2;\nSELECT 3;", Some(2), "syntax error at or near \"SELEKT\""),
        ("SELECT 1;\nSELECT (;\n", Some(2), "syntax error at or near \";\""),
        ("SELECT 1;\nSELECT 'x", Some(2), "unterminated quoted string"),
        ("SELECT 1;\nSELECT", None, ""),
        ("SELECT 1;\nCREATE TABLE t (\n", Some(3), "syntax error at end of input"),
        ("-- no-transaction\nSELECT 1;\n\nSELECT\n  2/0;", Some(4), "division by zero"),
        ("-- no-transaction\nSELECT 1;\n\nSELECT\n  2/x;", Some(5), "column \"x\" does not exist"),
        ("CREATE TABLE t ();\nDO $$ BEGIN\n PERFORM 1/0;\nEND $$;", Some(2), "CONTEXT: "),
        ("BEGIN;\nCREATE TABLE t ();", None, "it leaves a transaction open"),
        ("CREATE TABLE t (i int);\nCOPY t FROM STDIN;", Some(2), "COPY ... FROM STDIN needs data"),
    ];
    for (sql, line, expected) in cases {
        let (_dir, template) = migrations(&[("1.sql", sql)]);
        match template.snapshot() {
            Ok(_) => assert_eq!(expected, "", "{sql}"),
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains(expected), "{sql}: {message}");
                let TemplateErrorKind::Migration(migration) = error.kind() else {
                    panic!("{sql}: {message}");
                };
                assert_eq!(migration.line, line, "{sql}: {message}");
            }
        }
    }
}

#[test]
fn a_template_that_fails_is_tried_once() {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let template = Template::new().setup(|_db| {
        TRIED.fetch_add(1, Ordering::Relaxed);
        Err("the fixtures are not there")
    });
    for _ in 0..3 {
        let error = template.snapshot().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the setup function of the tests failed: the fixtures are not there"
        );
    }
    assert_eq!(TRIED.load(Ordering::Relaxed), 1);
}

#[test]
fn a_setup_that_panics() {
    let error = Template::new()
        .setup(|db| -> Result<(), String> {
            db.exec("BEGIN").unwrap();
            panic!("no {}", "fixtures")
        })
        .snapshot()
        .unwrap_err();
    assert!(error.to_string().ends_with("failed: it panicked: no fixtures"), "{error}");
}

#[test]
fn a_setup_that_leaves_something_open() {
    let error =
        Template::new().setup(|db| db.exec("BEGIN").map(drop)).snapshot().unwrap_err().to_string();
    assert!(error.contains("the session is in a transaction"), "{error}");
}

/// Its sessions end a moment later.
#[test]
fn a_setup_through_a_server() {
    fn migrate(db: &mut Pglite) -> Result<(), postgres::Error> {
        let server = db.server().expect("a socket");
        let mut one = postgres::Client::connect(&server.database_url(), postgres::NoTls)?;
        one.batch_execute("CREATE TABLE t (i int)")?;
        let mut other = postgres::Client::connect(&server.database_url(), postgres::NoTls)?;
        other.batch_execute("INSERT INTO t VALUES (1)")
    }
    let mut db = Template::new().setup(migrate).snapshot().unwrap().start().unwrap();
    assert_eq!(text(&mut db, "SELECT count(*) FROM t"), "1");
}

#[test]
fn extensions() {
    let template = Template::new().extension("plpgsql");
    template.snapshot().unwrap();
    let error = template.extension("no \"such\" one").snapshot().unwrap_err();
    assert!(matches!(error.kind(), TemplateErrorKind::Extension { .. }), "{error}");
    assert!(
        error.to_string().contains("extension \"no \"such\" one\" is not available"),
        "{error}"
    );
}

#[test]
fn options_of_the_database() {
    let one = Template::new().database(Pglite::builder().config("work_mem", "7MB"));
    let other = Template::new().database(Pglite::builder().config("work_mem", "8MB"));
    let show = |template: &Template| {
        text(&mut template.snapshot().unwrap().start().unwrap(), "SHOW work_mem")
    };
    assert_eq!((show(&one), show(&other)), ("7MB".into(), "8MB".into()));

    let dir = tempfile::tempdir().unwrap();
    let in_a_directory = Template::new().database(Pglite::builder().path(dir.path().join("db")));
    let error = in_a_directory.snapshot().unwrap_err();
    assert!(matches!(error.kind(), TemplateErrorKind::Snapshot(_)), "{error}");
}

#[test]
fn sixteen_threads_make_one_template() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    // With a directory of the host there is no file of it, which an earlier run of this test may have left.
    let dir = tempfile::tempdir().unwrap();
    let options = Pglite::builder().mount(dir.path(), "/mounted", MountAccess::ReadOnly);
    let template = Template::new().database(options).setup(|db| {
        MADE.fetch_add(1, Ordering::Relaxed);
        db.exec("CREATE TABLE t AS SELECT 42 AS i").map(drop)
    });
    let barrier = std::sync::Barrier::new(16);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (template, barrier) = (template.clone(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                let mut db = template.snapshot().unwrap().start().unwrap();
                db.exec(&format!("INSERT INTO t VALUES ({number})")).unwrap();
                assert_eq!(text(&mut db, "SELECT count(*) FROM t"), "2");
            });
        }
    });
    assert_eq!(MADE.load(Ordering::Relaxed), 1);
}

/// A file that has changed is another template, also within a process.
#[test]
fn contents_count_and_not_names() {
    let (dir, template) = migrations(&[("1_table.sql", "CREATE TABLE t AS SELECT 1 AS i")]);
    let first = template.snapshot().unwrap();
    fs::write(Path::new(dir.path()).join("1_table.sql"), "CREATE TABLE t AS SELECT 2 AS i")
        .unwrap();
    let second = template.snapshot().unwrap();
    assert_eq!(text(&mut first.start().unwrap(), "SELECT i FROM t"), "1");
    assert_eq!(text(&mut second.start().unwrap(), "SELECT i FROM t"), "2");
}
