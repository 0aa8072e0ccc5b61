//! Directories of a program's own, with extensions in them.

use std::fs;
use std::path::{Path, PathBuf};

use pglite_oxide::{AssetsError, Error, Pglite};

use super::load_error;

fn write(dir: &Path, path: &str, contents: &[u8]) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

/// A directory with one module: that of PostgreSQL's own tests.
pub(super) fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/regress/modules")
}

const REVERSE: &str =
    "CREATE FUNCTION reverse_name(name) RETURNS name AS '$libdir/regress' LANGUAGE C STRICT";

#[test]
fn a_module_of_the_programs_own() {
    let mut db = Pglite::builder().extension_dir(modules()).open().unwrap();
    db.exec(REVERSE).unwrap();
    assert_eq!(crate::text(&mut db, "SELECT reverse_name('abc')"), "cba");
    // A copy has loaded it, too.
    let mut fork = db.fork().unwrap();
    assert_eq!(crate::text(&mut fork, "SELECT reverse_name('abc')"), "cba");
}

/// The same module with other bytes in some places, and a trailer that says that all is well.
pub(super) fn altered(dir: &Path, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut code = fs::read(modules().join("lib/regress.so")).unwrap();
    let trailer = code.split_off(code.len() - 64);
    let places: Vec<usize> = code
        .windows(from.len())
        .enumerate()
        .filter(|(_, at)| *at == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "it is in there");
    places.iter().for_each(|at| code[*at..*at + to.len()].copy_from_slice(to));
    let hash = blake3::hash(&code);
    let file = [&code[..], hash.as_bytes(), &trailer[32..]].concat();
    write(dir, "lib/regress.so", &file);
}

/// The same code, for a core that does not exist.
#[test]
fn a_module_of_another_core_is_refused() {
    let abi = pglite_oxide_extensions::MANIFEST.split_once("\"abi\": \"").unwrap().1;
    let abi: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&abi[2 * at..2 * at + 2], 16).unwrap()).collect();
    let mut other = abi.clone();
    other[0] ^= 1;
    let dir = tempfile::tempdir().unwrap();
    altered(dir.path(), &abi, &other);
    let mut db = Pglite::builder().extension_dir(dir.path()).open().unwrap();
    let error = load_error(&mut db, "regress");
    assert!(error.contains("another PostgreSQL core"), "{error}");
    // One that has been altered is not even looked at.
    let file = dir.path().join("lib/regress.so");
    let mut contents = fs::read(&file).unwrap();
    contents[1000] ^= 1;
    fs::write(&file, contents).unwrap();
    let error = Pglite::builder().extension_dir(dir.path()).open().unwrap_err();
    assert!(matches!(error, Error::Assets(_)), "{error}");
}

/// It wants a function that nobody has. The session goes on, and can be copied.
#[test]
fn a_module_with_an_unresolved_import_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    altered(dir.path(), b"SPI_connect", b"SPI_connecX");
    let mut db = Pglite::builder().extension_dir(dir.path()).open().unwrap();
    for _ in 0..3 {
        let error = load_error(&mut db, "regress");
        assert!(error.contains("undefined symbols: SPI_connecX"), "{error}");
    }
    db.exec("LOAD 'hstore'").unwrap();
    let mut fork = db.fork().unwrap();
    assert_eq!(crate::text(&mut fork, "SELECT 42"), "42");
}

/// Changed while the database is open: what was read at the open is not there any more.
#[test]
fn a_module_that_changes_after_the_open_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::read(modules().join("lib/regress.so")).unwrap();
    write(dir.path(), "lib/regress.so", &file);
    let mut db = Pglite::builder().extension_dir(dir.path()).open().unwrap();
    altered(dir.path(), b"SPI_connect", b"SPI_connecX");
    let error = load_error(&mut db, "regress");
    assert!(error.contains("has changed since the database was opened"), "{error}");
}

#[test]
fn an_extension_of_sql_alone() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "share/extension/greeting.control",
        b"default_version = '1.0'\nrelocatable = true\n",
    );
    write(
        dir.path(),
        "share/extension/greeting--1.0.sql",
        b"CREATE FUNCTION greet(text) RETURNS text LANGUAGE sql AS $$ SELECT 'Hello, ' || $1 $$;",
    );
    let mut db = Pglite::builder().extension_dir(dir.path()).open().unwrap();
    db.exec("CREATE EXTENSION greeting").unwrap();
    assert_eq!(crate::text(&mut db, "SELECT greet('you')"), "Hello, you");
    // Others do not have it.
    let error = crate::temporary().exec("CREATE EXTENSION greeting").unwrap_err();
    assert!(error.to_string().contains("not available"), "{error}");
}

#[test]
fn what_is_missing_or_damaged_is_an_error_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Pglite::builder().extension_dir(dir.path()).open();
    let refused = |expected: &str, error: Error| {
        assert!(matches!(error, Error::Assets(AssetsError::Extensions { .. })), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused("no extension is in it", open().unwrap_err());
    let other =
        |path: &str| Pglite::builder().extension_dir(dir.path().join(path)).open().unwrap_err();
    refused("No such file or directory", other("missing"));
    write(dir.path(), "file", b"");
    refused("it is not a directory", other("file"));

    write(dir.path(), "lib/broken.so", b"\x7fELF and nothing more");
    refused("not a side module", open().unwrap_err());

    fs::remove_dir_all(dir.path().join("lib")).unwrap();
    write(
        dir.path(),
        "share/extension/half.control",
        b"default_version = '1.0'\nmodule_pathname = '$libdir/half'\n",
    );
    let mut db = open().unwrap();
    let error = db.exec("CREATE EXTENSION half").unwrap_err().to_string();
    assert!(error.contains("no installation script"), "{error}");
    let error = load_error(&mut db, "half");
    assert!(error.contains("half"), "{error}");
}
