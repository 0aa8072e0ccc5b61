//! Dumps in all formats are the whole database, and come back as it.

use std::fs::File;
use std::io::Write;

use pglite_oxide::tools::Format;
use pglite_oxide::{Pglite, PgliteServer};

use super::{assert_same, everything};

#[test]
fn plain_dumps_are_restored() {
    let mut db = everything();
    let sql = db.dump().to_string().unwrap();
    assert!(sql.starts_with("--\n-- PostgreSQL database dump"), "{}", &sql[..100]);
    let mut copy = Pglite::temporary().unwrap();
    copy.restore().single_transaction().from_bytes(&sql).unwrap();
    assert_same(&mut db, &mut copy);
    // And again, so that nothing changes on the way.
    let strip = |sql: &str| -> String {
        let lines = sql.lines().filter(|line| !line.contains("restrict "));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(strip(&copy.dump().to_string().unwrap()), strip(&sql));
}

#[test]
fn custom_dumps_are_restored_from_bytes_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it's a dump");
    let mut db = everything();
    let dump = db.dump().format(Format::Custom);
    let bytes = dump.to_vec().unwrap();
    assert!(bytes.starts_with(b"PGDMP"));
    dump.to_path(&path).unwrap();
    let mut one = Pglite::temporary().unwrap();
    one.restore().from_bytes(bytes).unwrap();
    assert_same(&mut db, &mut one);
    let mut two = Pglite::temporary().unwrap();
    two.restore().from_path(&path).unwrap();
    assert_same(&mut db, &mut two);
    let mut three = Pglite::temporary().unwrap();
    three.restore().from_reader(File::open(&path).unwrap()).unwrap();
    assert_same(&mut db, &mut three);
}

#[test]
fn tar_dumps_are_restored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dump.tar");
    let mut db = everything();
    let mut file = File::create(&path).unwrap();
    db.dump().format(Format::Tar).to_writer(&mut file).unwrap();
    file.flush().unwrap();
    let names: Vec<_> = tar_names(&path);
    assert!(names.contains(&"toc.dat".to_owned()), "{names:?}");
    let mut copy = Pglite::temporary().unwrap();
    copy.restore().from_path(&path).unwrap();
    assert_same(&mut db, &mut copy);
}

fn tar_names(path: &std::path::Path) -> Vec<String> {
    let output = std::process::Command::new("tar").arg("-tf").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn directory_dumps_are_restored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dump");
    let mut db = everything();
    db.dump().format(Format::Directory).to_path(&path).unwrap();
    assert!(path.join("toc.dat").is_file());
    let mut copy = Pglite::temporary().unwrap();
    copy.restore().from_path(&path).unwrap();
    assert_same(&mut db, &mut copy);
}

#[test]
fn several_sessions_dump_and_restore_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dump");
    let mut db = everything();
    for table in ["a", "b", "c", "d"] {
        db.exec(&format!(
            "CREATE TABLE big_{table} AS SELECT i, md5(i::text) FROM generate_series(1, 5000) i; \
             CREATE INDEX ON big_{table} (i)"
        ))
        .unwrap();
    }
    db.dump().format(Format::Directory).jobs(3).to_path(&path).unwrap();
    let mut copy = Pglite::temporary().unwrap();
    copy.restore().jobs(3).from_path(&path).unwrap();
    assert_same(&mut db, &mut copy);

    let bytes = db.dump().format(Format::Custom).to_vec().unwrap();
    let mut copy = Pglite::temporary().unwrap();
    copy.restore().jobs(2).from_bytes(bytes).unwrap();
    assert_same(&mut db, &mut copy);
}

#[test]
fn many_rows_come_through() {
    let mut db = Pglite::temporary().unwrap();
    db.exec(
        "CREATE TABLE big AS SELECT i AS id, md5(i::text) AS words, i * 0.5 AS half \
         FROM generate_series(1, 100000) i; ALTER TABLE big ADD PRIMARY KEY (id)",
    )
    .unwrap();
    for format in [Format::Plain, Format::Custom, Format::Tar] {
        let dump = db.dump().format(format).to_vec().unwrap();
        let mut copy = Pglite::temporary().unwrap();
        copy.restore().from_bytes(dump).unwrap();
        assert_same(&mut db, &mut copy);
    }
}

#[test]
fn servers_are_dumped_and_restored_too() {
    let server = PgliteServer::temporary().unwrap();
    server.connect().unwrap().exec("CREATE TABLE planet AS SELECT 'Earth' AS name").unwrap();
    let dump = server.dump().format(Format::Custom).to_vec().unwrap();
    let other = PgliteServer::temporary().unwrap();
    other.restore().from_bytes(dump).unwrap();
    assert_same(&mut server.connect().unwrap(), &mut other.connect().unwrap());
}

#[test]
fn databases_in_directories_are_dumped() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::open(dir.path().join("db")).unwrap();
    db.exec("CREATE TABLE planet AS SELECT 'Earth' AS name").unwrap();
    let sql = db.dump().inserts().to_string().unwrap();
    db.close().unwrap();
    assert!(sql.contains("INSERT INTO public.planet VALUES ('Earth');"), "{sql}");
}
