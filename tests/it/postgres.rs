//! PostgreSQL is all there: what small builds of it tend to leave out.

use pglite_oxide::Pglite;

use crate::{eventually, sqlstate, temporary, text};

#[test]
fn plpgsql_catches_errors() {
    let mut db = temporary();
    db.exec(
        "CREATE FUNCTION half(i int) RETURNS text LANGUAGE plpgsql AS $$
         BEGIN
             BEGIN
                 RETURN (100 / i)::text;
             EXCEPTION WHEN division_by_zero THEN
                 BEGIN
                     RAISE EXCEPTION 'inner %', i USING ERRCODE = 'P0042';
                 EXCEPTION WHEN SQLSTATE 'P0042' THEN
                     RETURN 'caught ' || SQLERRM;
                 END;
             END;
         END $$",
    )
    .unwrap();
    assert_eq!(text(&mut db, "SELECT half(4)"), "25");
    assert_eq!(text(&mut db, "SELECT half(0)"), "caught inner 0");
    assert_eq!(text(&mut db, "SELECT half(5)"), "20");
}

#[test]
fn text_search_in_many_languages() {
    let mut db = temporary();
    let cases = [
        ("english", "The quick foxes were jumping", "'fox':3 'jump':5 'quick':2"),
        ("german", "Die schnellen Füchse sprangen", "'fuchs':3 'schnell':2 'sprang':4"),
        ("french", "Des chevaux couraient vite", "'cheval':2 'cour':3 'vit':4"),
        ("russian", "быстрые лисы прыгали", "'быстр':1 'лис':2 'прыга':3"),
        ("simple", "The Fox", "'fox':2 'the':1"),
    ];
    for (language, words, vector) in cases {
        assert_eq!(
            text(&mut db, &format!("SELECT to_tsvector('{language}', '{words}')")),
            vector,
            "{language}"
        );
    }
    assert_eq!(text(&mut db, "SELECT count(*) >= 29 FROM pg_ts_config"), "t");
    assert_eq!(text(&mut db, "SELECT ts_lexize('english_stem', 'the') = '{}'"), "t");
}

/// The conversions are modules natively, and were left out at first.
#[test]
fn encodings_are_converted() {
    let mut db = temporary();
    for (encoding, text_, bytes) in [
        ("LATIN1", "Füße", "46fcdf65"),
        ("WIN1252", "€", "80"),
        ("KOI8R", "мир", "cdc9d2"),
        ("EUC_JP", "日本", "c6fccbdc"),
        ("SJIS", "日本", "93fa967b"),
        ("GB18030", "中文", "d6d0cec4"),
    ] {
        let converted =
            text(&mut db, &format!("SELECT encode(convert_to('{text_}', '{encoding}'), 'hex')"));
        assert_eq!(converted, bytes, "{encoding}");
        let back = format!("SELECT convert_from(decode('{bytes}', 'hex'), '{encoding}')");
        assert_eq!(text(&mut db, &back), text_, "{encoding}");
    }
}

/// wasi-libc takes any name for a locale and sorts as C.
#[test]
fn a_locale_that_is_not_there_is_an_error() {
    let mut db = temporary();
    for sql in [
        "CREATE COLLATION german (provider = libc, locale = 'de_DE.UTF-8')",
        "CREATE DATABASE german TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'de_DE.UTF-8'",
    ] {
        let error = db.exec(sql).unwrap_err();
        assert!(error.to_string().contains("de_DE.UTF-8"), "{sql}: {error}");
    }
}

/// 2 and 3 on all platforms that clients know; WASI numbers its address families otherwise.
#[test]
fn inet_values_have_the_usual_family_byte() {
    let mut db = temporary();
    assert_eq!(text(&mut db, "SELECT encode(inet_send('10.0.0.1'), 'hex')"), "022000040a000001");
    assert_eq!(text(&mut db, "SELECT left(encode(inet_send('::1'), 'hex'), 8)"), "03800010");
}

#[test]
fn time_zones() {
    let mut db = temporary();
    let at = "timestamptz '2024-07-01 12:00+00' AT TIME ZONE";
    assert_eq!(text(&mut db, &format!("SELECT {at} 'Europe/Berlin'")), "2024-07-01 14:00:00");
    assert_eq!(text(&mut db, &format!("SELECT {at} 'America/New_York'")), "2024-07-01 08:00:00");
    assert_eq!(text(&mut db, "SELECT count(*) > 400 FROM pg_timezone_names"), "t");
}

/// Some are started only after the first session.
#[test]
fn all_processes_run() {
    let mut db = temporary();
    let expected = "autovacuum launcher,background writer,checkpointer,client backend,\
                    logical replication launcher,walwriter";
    let sql = "SELECT string_agg(backend_type, ',' ORDER BY backend_type COLLATE \"C\") \
               FROM pg_stat_activity";
    eventually("all processes are there", || text(&mut db, sql) == expected);
}

#[test]
fn parallel_workers() {
    let mut db = temporary();
    db.exec(
        "CREATE TABLE t AS SELECT i FROM generate_series(1, 200000) i; ANALYZE t;
         SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
         SET max_parallel_workers_per_gather = 2",
    )
    .unwrap();
    let plan = db.exec("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT sum(i) FROM t").unwrap();
    let lines: Vec<_> = plan[0].rows().iter().filter_map(|row| row.get(0)).collect();
    assert!(lines.iter().any(|line| line.contains("Workers Launched: 2")), "{lines:#?}");
    assert_eq!(text(&mut db, "SELECT sum(i) FROM t"), "20000100000");
}

#[test]
fn prepared_transactions() {
    let mut db = Pglite::builder().config("max_prepared_transactions", "4").open().unwrap();
    db.exec("CREATE TABLE t (i int)").unwrap();
    db.exec("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'one'").unwrap();
    assert_eq!(text(&mut db, "SELECT count(*) FROM t"), "0");
    db.exec("COMMIT PREPARED 'one'").unwrap();
    assert_eq!(text(&mut db, "SELECT count(*) FROM t"), "1");
}

#[test]
fn databases_large_objects_and_two_encodings() {
    let mut db = temporary();
    db.exec("CREATE DATABASE other TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'").unwrap();
    assert_eq!(text(&mut db, "SELECT count(*) FROM pg_database"), "4");
    db.exec("DROP DATABASE other").unwrap();
    let written = text(&mut db, "SELECT lo_from_bytea(0, 'large'::bytea)");
    assert_eq!(text(&mut db, &format!("SELECT convert_from(lo_get({written}), 'UTF8')")), "large");
}

#[test]
fn random_numbers_differ_between_databases() {
    let numbers = [temporary(), temporary()]
        .map(|mut db| text(&mut db, "SELECT gen_random_uuid() || ' ' || random()"));
    assert_ne!(numbers[0], numbers[1]);
}

#[test]
fn no_program_can_be_started_and_no_file_outside_is_seen() {
    let mut db = temporary();
    for (sql, state) in [
        ("COPY (SELECT 1) TO PROGRAM 'id'", "38000"),
        ("SELECT pg_read_file('/etc/passwd')", "58P01"),
        ("SELECT pg_read_file('../../etc/passwd')", "42501"),
        ("COPY (SELECT 1) TO '/pglite/share/x'", "42501"),
    ] {
        let error = db.exec(sql).unwrap_err();
        assert!(!error.is_closed(), "{sql}: {error}");
        let found = sqlstate(&error).to_owned();
        assert!(found == state || found == "XX000" || found == "58P01", "{sql}: {found} {error}");
        assert_eq!(text(&mut db, "SELECT 1"), "1");
    }
}

#[test]
fn json_numeric_and_arrays_are_exact() {
    let mut db = temporary();
    assert_eq!(text(&mut db, "SELECT 0.1::numeric + 0.2"), "0.3");
    assert_eq!(text(&mut db, "SELECT 'NaN'::numeric"), "NaN");
    let error = db.exec("SELECT 1e308::float8 * 10").unwrap_err();
    assert_eq!(sqlstate(&error), "22003");
}
