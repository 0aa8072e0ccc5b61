//! What `open` does with directories of all kinds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pglite_oxide::{DataDirError, Error, Pglite};

use crate::child::Process;
use crate::{sqlstate, text};

/// Every file with its contents, but for the lock files of a running server.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(dir: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else if !["pglite-oxide.lock", "postmaster.pid", "postmaster.opts"].contains(&&*name)
            {
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, "", &mut found);
    found
}

fn made(path: &Path) {
    let mut db = Pglite::open(path).unwrap();
    db.exec("CREATE TABLE t (i int); INSERT INTO t SELECT generate_series(1, 100)").unwrap();
    db.close().unwrap();
}

#[test]
fn a_missing_directory_becomes_a_complete_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/db");
    let mut db = Pglite::open(&path).unwrap();
    for (setting, value) in
        [("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on")]
    {
        assert_eq!(text(&mut db, &format!("SHOW {setting}")), value);
    }
    db.close().unwrap();
    for name in
        ["PG_VERSION", "global/pg_control", "postgresql.conf", "pg_hba.conf", "base/1/PG_VERSION"]
    {
        assert!(path.join(name).is_file(), "{name}");
    }
    assert!(!path.join("postmaster.pid").exists());
}

#[test]
fn two_databases_have_different_system_identifiers() {
    let dir = tempfile::tempdir().unwrap();
    let identifiers: Vec<_> = ["a", "b"]
        .map(|name| {
            let mut db = Pglite::open(dir.path().join(name)).unwrap();
            text(&mut db, "SELECT system_identifier FROM pg_control_system()")
        })
        .into();
    assert_ne!(identifiers[0], identifiers[1]);
}

#[test]
fn a_second_open_in_this_process_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = Pglite::open(dir.path()).unwrap();
    match Pglite::open(dir.path()) {
        Err(Error::DataDir(DataDirError::Locked { pid, .. })) => {
            assert_eq!(pid, Some(std::process::id()));
        }
        other => panic!("{other:?}"),
    }
    drop(db);
    Pglite::open(dir.path()).unwrap();
}

#[test]
fn a_second_open_from_another_process_names_the_first_and_the_lock_dies_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Process::start("hold", dir.path(), &[]);
    assert_eq!(holder.line().as_deref(), Some("open"));
    match Pglite::open(dir.path()) {
        Err(Error::DataDir(DataDirError::Locked { pid, .. })) => {
            assert_eq!(pid, Some(holder.pid()))
        }
        other => panic!("{other:?}"),
    }
    holder.kill();
    Pglite::open(dir.path()).unwrap();
}

/// A dropped database left a `postmaster.pid` with this process's number in it, and other processes
/// took it for a server that still ran: the process did, the server did not.
#[test]
fn what_this_process_dropped_another_can_open() {
    let dir = tempfile::tempdir().unwrap();
    drop(Pglite::open(dir.path()).unwrap());
    let mut other = Process::start("hold", dir.path(), &[]);
    assert_eq!(other.line().as_deref(), Some("open"));
    other.kill();
}

/// What is neither in the data directory nor mounted is in memory, and would be gone with the process.
#[test]
fn nothing_can_be_written_where_it_would_be_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    for sql in [
        "COPY (SELECT 1) TO '/tmp/export.csv'",
        "CREATE TABLESPACE space LOCATION '/tmp'",
        "COPY (SELECT 1) TO '/export.csv'",
    ] {
        let error = db.exec(sql).unwrap_err();
        assert!(error.to_string().contains("Read-only file system"), "{sql}: {error}");
    }
    db.exec("COPY (SELECT 1) TO '/pgdata/export.csv'").unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("export.csv")).unwrap(), "1\n");
}

#[test]
fn a_directory_with_other_things_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "ten years of work").unwrap();
    let before = contents(dir.path());
    assert!(matches!(
        Pglite::open(dir.path()),
        Err(Error::DataDir(DataDirError::NotADatabase { .. }))
    ));
    assert_eq!(contents(dir.path()), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_file_is_not_a_database() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path().to_owned(), file.path().join("db")] {
        let error = Pglite::open(path).unwrap_err();
        let Error::DataDir(DataDirError::NotADirectory { path }) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(path, file.path());
        let expected = format!("{} is a file, not a directory", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    assert_eq!(fs::read(file.path()).unwrap(), b"");
}

#[test]
fn an_empty_path_is_a_mistake_not_the_current_directory() {
    assert!(matches!(Pglite::open(""), Err(Error::Config(_))));
    assert!(!Path::new("pglite-oxide.lock").exists());
}

#[test]
fn a_directory_that_cannot_be_written_to() {
    // Even root cannot make a directory there.
    match Pglite::open("/sys/kernel/pglite-oxide-test") {
        Err(Error::DataDir(DataDirError::ReadOnly { path })) => {
            assert_eq!(path, Path::new("/sys/kernel/pglite-oxide-test"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_major_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    fs::write(dir.path().join("PG_VERSION"), "16\n").unwrap();
    fs::remove_file(dir.path().join("pglite-oxide.lock")).unwrap();
    let before = contents(dir.path());
    match Pglite::open(dir.path()) {
        Err(Error::DataDir(DataDirError::WrongVersion { found, expected, .. })) => {
            assert_eq!((found.as_str(), expected.as_str()), ("16", "17"));
        }
        other => panic!("{other:?}"),
    }
    assert!(!dir.path().join("pglite-oxide.lock").exists());
    assert_eq!(contents(dir.path()), before);
}

/// What is damaged, how, and a part of PostgreSQL's message.
#[test]
fn a_damaged_database_does_not_open_and_gets_no_worse() {
    type Damage = fn(&Path);
    let remove: Damage = |path| fs::remove_file(path).unwrap();
    let flip: Damage = |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[40] ^= 0xff;
        fs::write(path, bytes).unwrap();
    };
    let truncate: Damage = |path| fs::write(path, b"").unwrap();
    let remove_wal: Damage = |path| {
        for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    };
    let remove_dir: Damage = |path| fs::remove_dir_all(path).unwrap();
    let cases: [(&str, Damage, &str); 6] = [
        ("global/pg_control", remove, "could not find the database system"),
        ("global/pg_control", flip, "incorrect checksum in control file"),
        ("global/pg_control", truncate, "could not read file \"global/pg_control\""),
        ("pg_wal", remove_wal, "could not locate a valid checkpoint record"),
        ("pg_xact/0000", remove, "could not access status of transaction"),
        ("base", remove_dir, "does not exist"),
    ];
    for (name, damage, message) in cases {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path());
        damage(&dir.path().join(name));
        let error = match Pglite::open(dir.path()) {
            Err(error) => error,
            // Some damage shows at the first use of what is missing, never as data that is gone.
            Ok(mut db) => match db.query("SELECT count(*) FROM t", &[]) {
                Err(error) => error,
                Ok(rows) => panic!("{name}: {rows:?}"),
            },
        };
        let shown = error.to_string();
        assert!(shown.contains(message), "{name}: {shown}");
        assert_eq!(sqlstate(&error).len(), 5, "{name}: {error:?}");
    }
}

#[test]
fn a_removed_control_file_is_reported_and_nothing_else_changes() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let kept = fs::read(dir.path().join("global/pg_control")).unwrap();
    fs::remove_file(dir.path().join("global/pg_control")).unwrap();
    let before = contents(dir.path());
    Pglite::open(dir.path()).unwrap_err();
    assert_eq!(contents(dir.path()), before);

    // Put back from a backup, the database is as it was.
    fs::write(dir.path().join("global/pg_control"), kept).unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    assert_eq!(text(&mut db, "SELECT count(*) FROM t"), "100");
}

#[test]
fn an_interrupted_first_open_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    // As if the process had been killed while it copied the template.
    fs::write(dir.path().join("pglite-oxide.incomplete"), "").unwrap();
    fs::remove_file(dir.path().join("PG_VERSION")).unwrap();
    fs::remove_dir_all(dir.path().join("base/1")).unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    assert_eq!(text(&mut db, "SELECT count(*) FROM pg_class WHERE relname = 't'"), "0");
    db.close().unwrap();
    assert!(!dir.path().join("pglite-oxide.incomplete").exists());
}

#[test]
fn a_first_open_that_is_killed_at_any_time_can_be_repeated() {
    for milliseconds in [1, 5, 20, 60, 120, 250] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let mut opener = Process::start("first open", &path, &[]);
        assert_eq!(opener.line().as_deref(), Some("opening"));
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        opener.kill();
        let mut db = Pglite::open(&path).unwrap();
        assert_eq!(text(&mut db, "SELECT 1"), "1");
    }
}

#[test]
fn options_of_the_builder() {
    let mut db = Pglite::builder()
        .database("na\"me")
        .encoding("LATIN1")
        .locale("C")
        .config("work_mem", "1234kB")
        .open()
        .unwrap();
    assert_eq!(text(&mut db, "SELECT current_database()"), "na\"me");
    assert_eq!(text(&mut db, "SHOW server_encoding"), "LATIN1");
    assert_eq!(text(&mut db, "SHOW work_mem"), "1234kB");

    let mut db = Pglite::temporary().unwrap();
    assert_eq!(text(&mut db, "SELECT upper('naïve, été, ещё')"), "NAÏVE, ÉTÉ, ЕЩЁ");
}

#[test]
fn what_postgres_does_not_accept_is_its_own_message() {
    let cases = [
        ("work_mem", "lots", "invalid value for parameter \"work_mem\": \"lots\""),
        ("no_such_setting", "1", "unrecognized configuration parameter \"no_such_setting\""),
        ("shared_buffers", "100GB", "invalid memory allocation request size"),
        ("shared_buffers", "3500MB", "could not create shared memory segment"),
    ];
    for (name, value, message) in cases {
        let error = Pglite::builder().config(name, value).open().unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(message), "{name}={value}: {shown}");
    }
    assert!(matches!(
        Pglite::builder().config("dynamic_shared_memory_type", "mmap").open(),
        Err(Error::Config(_))
    ));
    let error = Pglite::builder().user("nobody").open().unwrap_err();
    assert_eq!(sqlstate(&error), "28000");
}
