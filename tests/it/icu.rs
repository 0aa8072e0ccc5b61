//! Collations of ICU, with the feature that has their data.

use pglite_oxide::{Pglite, Session};

use crate::{sqlstate, temporary, text};

/// The words of a list in the order of a collation.
fn sorted(db: &mut Session, words: &str, collation: &str) -> String {
    let sql = format!(
        "SELECT string_agg(w, ' ' ORDER BY w COLLATE {collation}) FROM unnest(string_to_array('{words}', ' ')) w"
    );
    text(db, &sql)
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
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let mut db = Pglite::open(&path).unwrap();
    let mut expected = Vec::new();
    for (encoding, words) in ENCODINGS {
        expected.push(sorted(&mut db, words, "unicode"));
        db.exec(&format!(
            "CREATE DATABASE of_{encoding} TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER icu ICU_LOCALE 'und' LOCALE 'C'"
        ))
        .unwrap_or_else(|error| panic!("{encoding}: {error}"));
    }
    db.close().unwrap();
    for ((encoding, words), expected) in ENCODINGS.iter().zip(expected) {
        let name = format!("of_{encoding}").to_lowercase();
        let mut db = Pglite::builder().path(&path).database(name).open().unwrap();
        assert_eq!(text(&mut db, "SHOW server_encoding"), *encoding);
        assert_eq!(sorted(&mut db, words, "\"default\""), expected, "{encoding}");
        db.close().unwrap();
    }
}

#[test]
fn an_unknown_language_is_named() {
    let mut db = temporary();
    let sql = "SET icu_validation_level = error; CREATE COLLATION x (provider = icu, locale = 'nonsense')";
    let error = db.exec(sql).unwrap_err().to_string();
    assert!(error.contains("unknown language"), "{error}");
}
