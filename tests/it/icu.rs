//! Collations of ICU, with the feature that has their data.

use pglite_oxide::{Pglite, PgliteServer, Session};
use postgres::{Client, NoTls, SimpleQueryMessage};

use crate::{sqlstate, temporary, text};

/// Asks for the words of a list in the order of a collation.
fn sorting(words: &str, collation: &str) -> String {
    format!(
        "SELECT string_agg(w, ' ' ORDER BY w COLLATE {collation}) FROM unnest(string_to_array('{words}', ' ')) w"
    )
}

fn sorted(db: &mut Session, words: &str, collation: &str) -> String {
    text(db, &sorting(words, collation))
}

#[test]
fn each_language_has_its_order() {
    let mut db = temporary();
    db.exec(
        "CREATE COLLATION german (provider = icu, locale = 'de');
         CREATE COLLATION phonebook (provider = icu, locale = 'de-u-co-phonebk');
         CREATE COLLATION swedish (provider = icu, locale = 'sv');
         CREATE COLLATION czech (provider = icu, locale = 'cs');
         CREATE COLLATION chinese (provider = icu, locale = 'zh');",
    )
    .unwrap();
    let words = "zoo Äpfel Apfel Ofen Öl Affe";
    assert_eq!(sorted(&mut db, words, "german"), "Affe Apfel Äpfel Ofen Öl zoo");
    assert_eq!(sorted(&mut db, words, "swedish"), "Affe Apfel Ofen zoo Äpfel Öl");
    assert_eq!(sorted(&mut db, words, "\"C\""), "Affe Apfel Ofen zoo Äpfel Öl");
    assert_eq!(sorted(&mut db, "Muller Mueller Müller", "phonebook"), "Mueller Müller Muller");
    assert_eq!(sorted(&mut db, "chata cesta dům", "czech"), "cesta dům chata");
    // By pinyin: běi, guǎng, shàng.
    assert_eq!(sorted(&mut db, "上海 广州 北京", "chinese"), "北京 广州 上海");
}

#[test]
fn rules_keywords_and_nondeterministic_collations() {
    let mut db = temporary();
    db.exec(
        "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
         CREATE COLLATION numeric (provider = icu, locale = 'en-u-kn-true');
         CREATE COLLATION ruled (provider = icu, locale = 'und', rules = '&a < g');
         CREATE TABLE name (n text COLLATE folded PRIMARY KEY);
         INSERT INTO name VALUES ('Élodie')",
    )
    .unwrap();
    assert_eq!(text(&mut db, "SELECT n FROM name WHERE n = 'ELODIE'"), "Élodie");
    let twice = db.exec("INSERT INTO name VALUES ('elodie')").unwrap_err();
    assert_eq!(sqlstate(&twice), "23505");
    assert_eq!(sorted(&mut db, "a10 a9 a1", "numeric"), "a1 a9 a10");
    assert_eq!(sorted(&mut db, "apple green bus", "ruled"), "apple green bus");
}

/// Case mapping needs to know where words begin, and the language.
#[test]
fn case_by_the_rules_of_a_language() {
    let mut db = temporary();
    db.exec(
        "CREATE COLLATION turkish (provider = icu, locale = 'tr');
         CREATE COLLATION english (provider = icu, locale = 'en')",
    )
    .unwrap();
    assert_eq!(text(&mut db, "SELECT upper('istanbul' COLLATE turkish)"), "İSTANBUL");
    assert_eq!(text(&mut db, "SELECT upper('straße' COLLATE english)"), "STRASSE");
    assert_eq!(text(&mut db, "SELECT initcap('élan VITAL' COLLATE english)"), "Élan Vital");
    assert_eq!(text(&mut db, "SELECT 'Ä' ~* 'ä' COLLATE english"), "t");
}

/// A database with ICU as its provider, in a directory: its indexes are there again after a restart.
#[test]
fn a_database_of_a_language() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let mut db = Pglite::open(&path).unwrap();
    db.exec(
        "CREATE DATABASE german TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C'",
    )
    .unwrap();
    db.close().unwrap();

    let mut german = Pglite::builder().path(&path).database("german").open().unwrap();
    german
        .exec(
            "CREATE TABLE word (w text PRIMARY KEY);
             INSERT INTO word VALUES ('Zebra'), ('Äpfel'), ('Apfel'), ('ähnlich')",
        )
        .unwrap();
    german.close().unwrap();

    let mut german = Pglite::builder().path(&path).database("german").open().unwrap();
    german.exec("SET enable_sort = off; SET enable_seqscan = off").unwrap();
    let sql = "SELECT string_agg(w, ' ') FROM (SELECT w FROM word ORDER BY w) s";
    assert_eq!(text(&mut german, sql), "ähnlich Apfel Äpfel Zebra");
    assert_eq!(
        text(&mut german, "SELECT datlocprovider FROM pg_database WHERE datname = 'german'"),
        "i"
    );
    german.close().unwrap();
}

/// As natively after initdb, but on demand.
#[test]
fn collations_of_all_locales_can_be_imported() {
    let mut db = temporary();
    let imported: u32 =
        text(&mut db, "SELECT pg_import_system_collations('pg_catalog')").parse().unwrap();
    assert!(imported > 700, "{imported}");
    assert_eq!(sorted(&mut db, "ö z o", "\"de-x-icu\""), "o ö z");
    assert_eq!(sorted(&mut db, "ö z o", "\"und-x-icu\""), "o ö z");
    let sql = "SELECT obj_description(oid) || collversion FROM pg_collation WHERE collname = 'de-AT-x-icu'";
    assert!(text(&mut db, sql).starts_with("German (Austria)"), "{}", text(&mut db, sql));
}

/// ICU works in UTF-16, so each encoding needs its converter.
const ENCODINGS: &[(&str, &str)] = &[
    ("LATIN1", "ö z o"),
    ("LATIN2", "ö z o"),
    ("LATIN9", "ö z o"),
    ("WIN1252", "ö z o"),
    ("WIN1251", "ю а я б"),
    ("KOI8R", "ю а я б"),
    ("ISO_8859_7", "β α γ"),
    ("EUC_JP", "い あ う"),
    ("EUC_KR", "나 가 다"),
    ("EUC_CN", "广 北 上"),
    ("EUC_TW", "上 北"),
];

#[test]
fn encodings_of_databases() {
    let server = PgliteServer::temporary().unwrap();
    let mut db = server.connect().unwrap();
    for (encoding, words) in ENCODINGS {
        let name = format!("of_{encoding}").to_lowercase();
        db.exec(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER icu ICU_LOCALE 'und' LOCALE 'C'"
        ))
        .unwrap_or_else(|error| panic!("{encoding}: {error}"));
        let expected = sorted(&mut db, words, "unicode");
        let mut client = connect(&server, &name);
        assert_eq!(ask(&mut client, "SHOW server_encoding"), *encoding);
        let sql = sorting(words, "\"default\"");
        assert_eq!(ask(&mut client, &sql), expected, "{encoding}");
    }
}

#[test]
fn an_unknown_language_is_named() {
    let mut db = temporary();
    let sql = "SET icu_validation_level = error; CREATE COLLATION x (provider = icu, locale = 'nonsense')";
    let error = db.exec(sql).unwrap_err().to_string();
    assert!(error.contains("unknown language"), "{error}");
}

/// A database as most would make it: all but the language is the template's.
const GERMAN: &str =
    "CREATE DATABASE german LOCALE_PROVIDER icu ICU_LOCALE 'de' TEMPLATE template0";

/// The same with bytes for characters.
const LATIN: &str = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER icu ICU_LOCALE 'de' TEMPLATE template0";

/// What there is in such a database: a key and an index in its order, a collation for which accents and case are nothing.
const WORDS: &str = "
    CREATE COLLATION folded (provider = icu, locale = 'de-u-ks-level1', deterministic = false);
    CREATE TABLE word (w text PRIMARY KEY, alike text COLLATE folded UNIQUE);
    INSERT INTO word VALUES ('Zebra', 'Élan'), ('Äpfel', 'Öl'), ('Apfel', 'Maß'), ('ähnlich', NULL);
    CREATE INDEX ON word (upper(w))";

/// What is asked and what the answer is.
const ANSWERS: &[(&str, &str)] = &[
    (
        "SELECT string_agg(w, ' ') FROM (SELECT w FROM word ORDER BY w) s",
        "ähnlich Apfel Äpfel Zebra",
    ),
    (
        "SELECT string_agg(w, ' ') FROM (SELECT w FROM word WHERE w > 'apfel' ORDER BY w) s",
        "Apfel Äpfel Zebra",
    ),
    ("SELECT w FROM word WHERE upper(w) = 'ÄHNLICH'", "ähnlich"),
    ("SELECT w FROM word WHERE alike = 'elan'", "Zebra"),
    ("SELECT w FROM word WHERE alike = 'MASS'", "Apfel"),
    ("SELECT string_agg(w, ' ' ORDER BY w) FROM word WHERE w ~* 'ä'", "ähnlich Äpfel"),
    ("SELECT initcap('öl und ÄPFEL')", "Öl Und Äpfel"),
    ("SELECT count(DISTINCT a COLLATE folded) FROM unnest('{Öl,OL,öl}'::text[]) a", "1"),
    (
        "SELECT datlocprovider::text || ' ' || datlocale || ' ' || datcollate FROM pg_database WHERE datname = current_database()",
        "i de C",
    ),
];

fn connect(server: &PgliteServer, database: &str) -> Client {
    let mut params = server.connection_params();
    params.database = database.to_owned();
    Client::connect(&params.url(), NoTls).unwrap()
}

/// The first column of the last row.
fn ask(client: &mut Client, sql: &str) -> String {
    let messages = client.simple_query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let row = messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    row.unwrap_or_default().to_owned()
}

/// By the indexes.
#[track_caller]
fn answers(client: &mut Client) {
    client.batch_execute("SET enable_seqscan = off; SET enable_sort = off").unwrap();
    for (sql, expected) in ANSWERS {
        assert_eq!(ask(client, sql), *expected, "{sql}");
    }
}

#[track_caller]
fn violates(client: &mut Client, sql: &str, state: &str) {
    let error = client.batch_execute(sql).unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some(state), "{sql}: {error}");
}

/// Clients of a server connect to databases of a language, in UTF-8 and in an encoding of bytes.
#[test]
fn databases_of_a_language_on_a_server() {
    let server = PgliteServer::temporary().unwrap();
    let mut first = server.connect().unwrap();
    for (name, create) in [("german", GERMAN), ("latin", LATIN)] {
        first.exec(create).unwrap();
        let (mut client, mut other) = (connect(&server, name), connect(&server, name));
        client.batch_execute(WORDS).unwrap();
        answers(&mut client);
        answers(&mut other);
        violates(&mut other, "INSERT INTO word VALUES ('x', 'ÉLAN')", "23505");
        // What they are in bytes.
        let length = ask(&mut client, "SELECT octet_length('Ä')");
        assert_eq!(length, if name == "latin" { "1" } else { "2" });
        if name == "latin" {
            violates(&mut client, "INSERT INTO word VALUES ('上海')", "22P05");
        }
    }
}

/// Encodings that ICU cannot read are refused, as natively, and so is a template in another one.
#[test]
fn databases_that_cannot_be() {
    let mut db = temporary();
    for encoding in ["SQL_ASCII", "MULE_INTERNAL", "EUC_JIS_2004"] {
        let sql = format!(
            "CREATE DATABASE x TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER icu ICU_LOCALE 'de'"
        );
        let error = db.exec(&sql).unwrap_err();
        let expected = format!("encoding \"{encoding}\" is not supported with ICU provider");
        assert!(error.to_string().contains(&expected), "{error}");
        assert_eq!(sqlstate(&error), "22023");
    }
    db.exec("SET icu_validation_level = error").unwrap();
    for (sql, expected) in [
        (
            "CREATE DATABASE x LOCALE_PROVIDER icu ICU_LOCALE 'de'",
            "new locale provider (icu) does not match locale provider of the template database",
        ),
        (
            "CREATE DATABASE x TEMPLATE template1 ENCODING 'LATIN1' LOCALE_PROVIDER icu ICU_LOCALE 'de'",
            "new encoding (LATIN1) is incompatible with the encoding of the template database (UTF8)",
        ),
        (
            "CREATE DATABASE x TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'nonsense'",
            "ICU locale \"nonsense\" has unknown language \"nonsense\"",
        ),
    ] {
        let error = db.exec(sql).unwrap_err();
        assert!(error.to_string().contains(expected), "{sql}: {error}");
    }
    assert_eq!(text(&mut db, "SELECT count(*) FROM pg_database WHERE datname = 'x'"), "0");
}

/// Runs a script.
#[cfg(feature = "tools")]
#[track_caller]
fn psql(db: &Pglite, script: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("script.sql");
    std::fs::write(&file, script).unwrap();
    let psql = db.tool(pglite_oxide::tools::Program::Psql).host_files(dir.path());
    let output = psql.args(["-X", "-q", "-f"]).arg(file.to_string_lossy()).output().unwrap();
    assert_eq!(output.status, 0, "{}", output.stderr);
}

/// A copy has the language and the encoding, whichever way it is made.
#[test]
#[cfg(feature = "tools")]
fn databases_of_a_language_are_dumped_and_restored() {
    use pglite_oxide::tools::{Format, Program};

    for (name, create) in [("german", GERMAN), ("latin", LATIN)] {
        let mut db = temporary();
        db.exec(create).unwrap();
        connect(&db.server().unwrap(), name).batch_execute(WORDS).unwrap();

        // Made by the dump itself, which knows how.
        let dump = db.dump().database(name).format(Format::Custom).create().to_vec().unwrap();
        let copy = temporary();
        copy.restore().create().from_bytes(dump).unwrap();
        answers(&mut connect(&copy.server().unwrap(), name));

        // Of a whole cluster, by psql.
        let all = db.tool(Program::PgDumpall).output().unwrap();
        assert_eq!(all.status, 0, "{}", all.stderr);
        let copy = temporary();
        psql(&copy, &all.stdout);
        answers(&mut connect(&copy.server().unwrap(), name));

        // Into a database in C, where the order is another and all else the same.
        let plain = db.dump().database(name).to_vec().unwrap();
        let mut copy = temporary();
        psql(&copy, &plain);
        let sql = "SELECT string_agg(w, ' ' ORDER BY w) FROM public.word";
        assert_eq!(text(&mut copy, sql), "Apfel Zebra Äpfel ähnlich");
        assert_eq!(text(&mut copy, "SELECT w FROM public.word WHERE alike = 'ELAN'"), "Zebra");
    }
}
