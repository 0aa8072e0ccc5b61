//! Directories of the host that PostgreSQL is shown.

use std::fs;

use pglite_oxide::{Error, MountAccess, Pglite};

use crate::{sqlstate, text};

const READ_ONLY: &str = "42501";
const NO_FILE: &str = "58P01";

#[test]
fn a_read_only_mount_is_read_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.csv"), "1,one\n2,two\n").unwrap();
    let mut db =
        Pglite::builder().mount(dir.path(), "/import/csv", MountAccess::ReadOnly).open().unwrap();
    db.exec("CREATE TABLE pair (id int, word text)").unwrap();
    db.exec("COPY pair FROM '/import/csv/in.csv' (FORMAT csv)").unwrap();
    assert_eq!(text(&mut db, "SELECT string_agg(word, ' ' ORDER BY id) FROM pair"), "one two");
    assert_eq!(text(&mut db, "SELECT pg_read_file('/import/csv/in.csv', 0, 5)"), "1,one");

    let error = db.exec("COPY pair TO '/import/csv/out.csv'").unwrap_err();
    assert_eq!(sqlstate(&error), READ_ONLY, "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_writable_mount_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut db =
        Pglite::builder().mount(dir.path(), "/export", MountAccess::ReadWrite).open().unwrap();
    db.exec("COPY (SELECT 1, 'one') TO '/export/out.csv' (FORMAT csv)").unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("out.csv")).unwrap(), "1,one\n");
}

/// A link in a mount is the one way a server-side COPY could reach what it was not shown.
#[test]
fn links_do_not_lead_out() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("link")).unwrap();
    let mut db =
        Pglite::builder().mount(dir.path(), "/import", MountAccess::ReadOnly).open().unwrap();
    let error = db.exec("SELECT pg_read_file('/import/link')").unwrap_err();
    assert_eq!(sqlstate(&error), NO_FILE, "{error}");
}

#[test]
fn what_cannot_be_mounted_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let open =
        |guest: &str| Pglite::builder().mount(dir.path(), guest, MountAccess::ReadOnly).open();
    assert!(matches!(open("/pgdata/pg_wal"), Err(Error::Config(_))));
    let missing = dir.path().join("missing");
    let error =
        Pglite::builder().mount(missing, "/import", MountAccess::ReadOnly).open().unwrap_err();
    assert!(error.to_string().contains("/import"), "{error}");
}
