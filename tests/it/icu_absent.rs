//! Without the data of ICU, which the feature `icu` has.

use crate::{sqlstate, temporary, text};

/// The message says what to do, where a collation is made and where one is used, and the session goes on.
#[test]
fn collations_of_icu_ask_for_their_data() {
    let mut db = temporary();
    for sql in [
        "CREATE COLLATION german (provider = icu, locale = 'de')",
        "SELECT 'a' < 'b' COLLATE unicode",
        "CREATE DATABASE german TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C'",
    ] {
        let error = db.exec(sql).unwrap_err();
        assert_eq!(sqlstate(&error), "0A000", "{sql}: {error}");
        assert!(format!("{error:?}").contains("feature \\\"icu\\\""), "{sql}: {error:?}");
    }
    assert_eq!(text(&mut db, "SELECT upper('ä' COLLATE \"pg_c_utf8\")"), "Ä");
    assert_eq!(text(&mut db, "SELECT pg_import_system_collations('pg_catalog')"), "0");
}
