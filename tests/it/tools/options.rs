//! Options are those of the programs.

use pglite_oxide::Pglite;
use pglite_oxide::tools::Format;

fn db() -> Pglite {
    let mut db = Pglite::temporary().unwrap();
    db.exec(
        "CREATE SCHEMA app; CREATE TABLE app.item (id int); CREATE TABLE one (id int, words text); \
         CREATE TABLE two (id int); INSERT INTO one VALUES (1, 'x'); INSERT INTO two VALUES (2); \
         CREATE ROLE reader; GRANT SELECT ON one TO reader",
    )
    .unwrap();
    db
}

#[test]
fn parts_are_chosen() {
    let db = db();
    let has = |sql: &str, what: &[&str], not: &[&str]| {
        for text in what {
            assert!(sql.contains(text), "{text} is missing in {sql}");
        }
        for text in not {
            assert!(!sql.contains(text), "{text} is in {sql}");
        }
    };
    let sql = db.dump().schema_only().to_string().unwrap();
    has(&sql, &["CREATE TABLE public.one", "GRANT SELECT", "OWNER TO"], &["COPY"]);
    let sql = db.dump().data_only().to_string().unwrap();
    has(&sql, &["COPY public.one"], &["CREATE TABLE"]);
    let sql = db.dump().table("one").to_string().unwrap();
    has(&sql, &["public.one"], &["public.two", "app.item"]);
    let sql = db.dump().exclude_table("public.t*").to_string().unwrap();
    has(&sql, &["public.one", "app.item"], &["public.two"]);
    let sql = db.dump().schema("app").to_string().unwrap();
    has(&sql, &["app.item"], &["public.one"]);
    let sql = db.dump().exclude_schema("app").exclude_table_data("one").to_string().unwrap();
    has(&sql, &["CREATE TABLE public.one", "COPY public.two"], &["COPY public.one", "app.item"]);
    let sql = db.dump().no_owner().no_privileges().to_string().unwrap();
    has(&sql, &["public.one"], &["OWNER TO", "GRANT"]);
    let sql = db.dump().column_inserts().to_string().unwrap();
    has(&sql, &["INSERT INTO public.one (id, words) VALUES (1, 'x');"], &["COPY"]);
    let sql = db.dump().clean().if_exists().create().to_string().unwrap();
    has(&sql, &["DROP DATABASE IF EXISTS postgres", "CREATE DATABASE postgres"], &[]);
    let sql = db.dump().arg("--no-comments").arg("--rows-per-insert=10").to_string().unwrap();
    has(&sql, &["INSERT INTO"], &[]);
}

#[test]
fn archives_are_restored_in_part() {
    let db = db();
    let dump = db.dump().format(Format::Custom).to_vec().unwrap();
    let mut copy = Pglite::temporary().unwrap();
    copy.restore().table("one").no_owner().no_privileges().from_bytes(&dump).unwrap();
    assert_eq!(crate::text(&mut copy, "SELECT words FROM one"), "x");
    assert!(copy.exec("SELECT FROM two").is_err());
    // The rest of it: what is there already is dropped first.
    copy.restore().clean().if_exists().no_privileges().from_bytes(&dump).unwrap();
    assert_eq!(crate::text(&mut copy, "SELECT id FROM two"), "2");
}

#[test]
fn archives_are_compressed_as_told() {
    let mut db = Pglite::temporary().unwrap();
    db.exec("CREATE TABLE big AS SELECT repeat('x', 100) FROM generate_series(1, 5000)").unwrap();
    let size =
        |method: &str| db.dump().format(Format::Custom).compress(method).to_vec().unwrap().len();
    let plain = size("none");
    assert!(plain > 500_000);
    for method in ["gzip:9", "lz4", "zstd:3"] {
        assert!(size(method) < plain / 10, "{method}");
    }
}

#[test]
fn another_database_is_dumped_and_restored_into() {
    let mut db = db();
    db.exec("CREATE DATABASE \"odd = 'name'\"").unwrap();
    let dump = db.dump().format(Format::Custom).to_vec().unwrap();
    db.restore().database("odd = 'name'").from_bytes(dump).unwrap();
    let sql = db.dump().database("odd = 'name'").to_string().unwrap();
    assert!(sql.contains("CREATE TABLE public.one"));
}

#[test]
fn a_plain_dump_takes_no_options() {
    let db = db();
    let error = db.restore().no_owner().from_bytes("SELECT 1;").unwrap_err();
    assert!(error.to_string().contains("plain"), "{error}");
}
