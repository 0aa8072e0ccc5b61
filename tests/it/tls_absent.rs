//! A program that was built without the feature `tls`.

use pglite_oxide::Pglite;

#[test]
fn ssl_on_says_what_is_missing() {
    let error = Pglite::builder().config("ssl", "on").open().unwrap_err();
    let fatal = error.as_db_error().expect("PostgreSQL's own message");
    assert_eq!(fatal.message(), "SSL is not supported by this program");
}

#[test]
fn there_is_no_library() {
    let mut db = crate::temporary();
    assert_eq!(crate::text(&mut db, "SHOW ssl_library"), "");
    assert_eq!(crate::text(&mut db, "SHOW ssl"), "off");
}
