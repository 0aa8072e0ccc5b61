//! The life of each packed extension: created, used, copied, dumped and restored, there after a restart, dropped.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use pglite_oxide::{Pglite, Session, Snapshot};

use super::uses::{EXTENSIONS, PRELOADED, Use};
use crate::temporary;

fn create(db: &mut Session, what: &Use) {
    db.exec(&format!("CREATE EXTENSION IF NOT EXISTS \"{}\" CASCADE", what.name))
        .unwrap_or_else(|error| panic!("{}: {error}", what.name));
    assert!(what.requires.is_empty() || installed(db).contains(what.requires));
}

fn make(db: &mut Session, what: &Use) {
    create(db, what);
    db.exec(what.make).unwrap_or_else(|error| panic!("{}: {error}", what.name));
}

#[track_caller]
fn assert_answers(db: &mut Session, what: &Use, place: &str) {
    let results =
        db.exec(what.ask).unwrap_or_else(|error| panic!("{} {place}: {error}", what.name));
    let rows = results.iter().rev().map(|result| result.rows()).find(|rows| !rows.is_empty());
    let answer = rows.and_then(|rows| rows[0].get(0)).unwrap_or("nothing");
    assert_eq!(answer, what.answer, "{} {place}", what.name);
    db.exec("RESET ALL").unwrap();
}

#[track_caller]
fn assert_all_answer(db: &mut Session, place: &str) {
    EXTENSIONS.iter().for_each(|what| assert_answers(db, what, place));
}

fn installed(db: &mut Session) -> BTreeSet<String> {
    let rows = db.query("SELECT extname::text FROM pg_extension", &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn drop_extension(db: &mut Session, what: &Use) {
    db.exec(&format!("DROP EXTENSION \"{}\" CASCADE", what.name))
        .unwrap_or_else(|error| panic!("{}: {error}", what.name));
    assert!(!installed(db).contains(what.name), "{} is still there", what.name);
}

/// A copy of a database with all of them in use. It is made once for all tests.
fn filled() -> Pglite {
    static FILLED: OnceLock<Snapshot> = OnceLock::new();
    let snapshot = FILLED.get_or_init(|| {
        let mut db = temporary();
        for what in EXTENSIONS {
            make(&mut db, what);
            assert_answers(&mut db, what, "in the session that made it");
        }
        db.snapshot().unwrap()
    });
    snapshot.start().unwrap()
}

#[test]
fn all_that_are_there_are_tested() {
    let mut db = temporary();
    let rows = db.query("SELECT name::text FROM pg_available_extensions", &[]).unwrap();
    let available: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let tested = EXTENSIONS.iter().map(|what| what.name).chain(PRELOADED.iter().copied());
    let mut tested: BTreeSet<String> = tested.map(str::to_owned).collect();
    tested.insert("plpgsql".into());
    assert_eq!(available, tested);
}

/// One after the other; and nothing is left of one whose creation is rolled back.
#[test]
fn each_is_created_used_and_dropped() {
    let mut db = temporary();
    for what in EXTENSIONS {
        db.exec("BEGIN").unwrap();
        create(&mut db, what);
        db.exec("ROLLBACK").unwrap();
        assert!(!installed(&mut db).contains(what.name), "{} is still there", what.name);

        make(&mut db, what);
        assert_answers(&mut db, what, "alone");
        drop_extension(&mut db, what);
    }
}

/// Modules are loaded by two processes at the same time, and used at the same time.
#[test]
fn all_are_used_in_two_sessions_at_once() {
    let mut db = filled();
    let mut other = db.connect().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert_all_answer(&mut other, "in the second of two sessions"));
        assert_all_answer(&mut db, "in the first of two sessions");
    });
    other.close().unwrap();
}

/// A copy has all of them loaded. A second one of another order, and one that went through a file.
#[test]
fn all_are_used_in_forks_and_snapshots() {
    let mut db = filled();
    let mut fork = db.fork().unwrap();
    assert_all_answer(&mut fork, "in a fork");
    let mut fork_of_fork = fork.fork().unwrap();
    for what in EXTENSIONS.iter().rev() {
        assert_answers(&mut fork_of_fork, what, "in a fork's fork");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.snapshot");
    db.snapshot().unwrap().save(&path).unwrap();
    let mut loaded = Snapshot::load(&path).unwrap().start().unwrap();
    assert_all_answer(&mut loaded, "from a file");
}

#[test]
fn a_persistent_database_has_them_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let mut db = Pglite::open(&path).unwrap();
    EXTENSIONS.iter().for_each(|what| make(&mut db, what));
    db.close().unwrap();
    let mut db = Pglite::open(&path).unwrap();
    assert_all_answer(&mut db, "after a restart");
}

/// By `pg_dump` and `pg_restore` into a new database, in which nothing has been loaded yet; there each is dropped.
#[cfg(feature = "tools")]
#[test]
fn all_are_dumped_and_restored_and_dropped() {
    let db = filled();
    let dump = db.dump().format(pglite_oxide::tools::Format::Custom).to_vec().unwrap();
    let mut copy = temporary();
    copy.restore().from_bytes(dump).unwrap();
    assert_eq!(installed(&mut copy).len(), EXTENSIONS.len() + 1);
    assert_all_answer(&mut copy, "after a dump and a restore");
    // What requires others comes after them in the alphabet.
    EXTENSIONS.iter().rev().for_each(|what| drop_extension(&mut copy, what));
    assert_eq!(installed(&mut copy), BTreeSet::from(["plpgsql".to_owned()]));
}
