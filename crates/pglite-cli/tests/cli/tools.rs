//! `pglite psql`, `dump`, `restore` and `upgrade`, and `pglite-dump`.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Dir, Server, assert_one_line, outcome, pglite};

fn fill(path: &str) {
    pglite_oxide::Pglite::open(path).unwrap().close().unwrap();
    let sql = "CREATE TABLE planet AS SELECT 'Earth' AS name; CREATE ROLE reader; \
               GRANT SELECT ON planet TO reader";
    let filled = outcome(&["psql", "--path", path, "-X", "-q", "-c", sql]);
    assert_eq!((filled.status, filled.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_directory_is_dumped_and_restored() {
    let dir = Dir::new();
    let (db, copy, file) = (dir.at("db"), dir.at("copy"), dir.at("db.dump"));
    fill(&db);
    let dumped = outcome(&["dump", "--path", &db, "-Fc", "-x", "-f", &file]);
    assert_eq!((dumped.status, dumped.stderr.as_str()), (Some(0), ""));
    let restored = outcome(&["restore", "--path", &copy, &file]);
    assert_eq!((restored.status, restored.stderr.as_str()), (Some(0), ""));
    let read = outcome(&["psql", "--path", &copy, "-XAt", "-c", "TABLE planet"]);
    assert_eq!((read.status, read.stdout.as_str()), (Some(0), "Earth\n"));
}

/// Nothing of it is there, so that it can be tried again.
#[test]
fn a_restore_that_fails_leaves_no_directory() {
    let dir = Dir::new();
    let (db, file) = (dir.at("db"), dir.at("db.dump"));
    fill(&db);
    let dumped = outcome(&["dump", "--path", &db, "-Fc", "-f", &file]);
    assert_eq!(dumped.status, Some(0), "{}", dumped.stderr);
    let damaged = dir.file("damaged", "no archive");
    let (missing, empty) = (dir.at("missing"), dir.at("empty"));
    fs::create_dir(&empty).unwrap();
    // A role that the dump names is not there, so that all of it is an error in one transaction.
    let cases: [(&str, &[&str]); 4] = [
        (&missing, &[&damaged]),
        (&empty, &[&damaged]),
        (&missing, &[&dir.at("nothing")]),
        (&missing, &["--single-transaction", &file]),
    ];
    for (path, arguments) in cases {
        let restored = outcome(&[&["restore", "--path", path][..], arguments].concat());
        assert_eq!(restored.status, Some(1), "{restored:?}");
        assert!(restored.stderr.contains("is as it was before"), "{}", restored.stderr);
    }
    assert!(!Path::new(&missing).exists());
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    // Without that it goes on after an error, as natively: what could be restored is there.
    let restored = outcome(&["restore", "--path", &missing, &file]);
    assert_eq!(restored.status, Some(1));
    assert!(restored.stderr.contains("errors ignored on restore: 1"), "{}", restored.stderr);
    let read = outcome(&["psql", "--path", &missing, "-XAt", "-c", "TABLE planet"]);
    assert_eq!((read.status, read.stdout.as_str()), (Some(0), "Earth\n"));
    // What was there before is never removed.
    let restored = outcome(&["restore", "--path", &missing, "-1", &file]);
    assert_eq!(restored.status, Some(1));
    assert!(!restored.stderr.contains("is as it was before"), "{}", restored.stderr);
    assert!(Path::new(&missing).exists());
}

#[test]
fn relative_paths_are_those_of_the_working_directory() {
    let dir = Dir::new();
    fill(&dir.at("db"));
    let there = Path::new(&dir.at("db")).parent().unwrap().to_owned();
    let dumped =
        pglite(&["dump", "--path", "db", "-f", "db.sql"]).current_dir(&there).output().unwrap();
    assert_eq!(dumped.status.code(), Some(0), "{}", String::from_utf8_lossy(&dumped.stderr));
    assert!(fs::read_to_string(there.join("db.sql")).unwrap().contains("public.planet"));
}

#[test]
fn a_directory_that_is_served_is_dumped_through_its_server() {
    let dir = Dir::new();
    let db = dir.at("db");
    let server = Server::for_directory(Path::new(&db));
    let read = outcome(&["psql", "--path", &db, "-XAt", "-c", "SELECT 6 * 7"]);
    assert_eq!((read.status, read.stdout.as_str()), (Some(0), "42\n"), "{}", read.stderr);
    let dumped = outcome(&["dump", &server.url]);
    assert_eq!(dumped.status, Some(0), "{}", dumped.stderr);
    assert!(dumped.stdout.contains("PostgreSQL database dump complete"));
}

#[test]
fn a_temporary_database_is_for_trying() {
    let read = outcome(&["psql", "--temporary", "-XAt", "-c", "SELECT 6 * 7"]);
    assert_eq!((read.status, read.stdout.as_str()), (Some(0), "42\n"), "{}", read.stderr);
}

#[test]
fn the_tools_errors_and_help_are_their_own() {
    let help = outcome(&["dump", "--help"]);
    assert_eq!(help.status, Some(0));
    assert!(help.stdout.starts_with("pg_dump dumps a database"), "{}", help.stdout);
    let dir = Dir::new();
    fill(&dir.at("db"));
    let wrong = outcome(&["dump", "--path", &dir.at("db"), "-t", "nothing"]);
    assert_eq!(wrong.status, Some(1));
    assert!(wrong.stderr.contains("no matching tables were found"), "{}", wrong.stderr);
    let missing = outcome(&["dump", "--path", &dir.at("missing")]);
    assert_eq!(missing.status, Some(1));
    assert_one_line(&missing.stderr);
    assert!(missing.stderr.contains("there is no database in"), "{}", missing.stderr);
    assert!(!Path::new(&dir.at("missing")).exists());
}

#[test]
fn pglite_dump_is_pg_dump() {
    let dir = Dir::new();
    let db = dir.at("db");
    fill(&db);
    let output = Command::new(env!("CARGO_BIN_EXE_pglite-dump"))
        .args(["--inserts", "--path", &db])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("INSERT INTO public.planet"));
}

#[test]
fn an_upgrade_makes_a_new_directory() {
    let dir = Dir::new();
    let (old, new) = (dir.at("old"), dir.at("new"));
    fill(&old);
    let second = outcome(&["psql", "--path", &old, "-X", "-q", "-c", "CREATE DATABASE app"]);
    assert_eq!(second.status, Some(0), "{}", second.stderr);
    let upgraded = outcome(&["upgrade", &old, &new]);
    assert_eq!((upgraded.status, upgraded.stderr.as_str()), (Some(0), ""));
    assert_eq!(upgraded.stdout.trim_end(), new);
    let names = "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database";
    let read = outcome(&["psql", "--path", &new, "-XAt", "-c", "TABLE planet", "-c", names]);
    assert_eq!(read.stdout, "Earth\napp,postgres,template0,template1\n", "{}", read.stderr);
    let beside: Vec<_> = fs::read_dir(Path::new(&new).parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("new") && name != "new")
        .collect();
    assert!(beside.is_empty(), "{beside:?}");

    let again = outcome(&["upgrade", &old, &new]);
    assert_eq!(again.status, Some(1));
    assert_one_line(&again.stderr);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    let read = outcome(&["psql", "--path", &old, "-XAt", "-c", "TABLE planet"]);
    assert_eq!(read.stdout, "Earth\n");
}

/// On a terminal, of which `script` makes one. It had been shown: the tools cannot switch the echo off themselves.
#[test]
fn a_typed_password_is_not_shown() {
    let dir = Dir::new();
    let file = dir.file("password", "s3cret-word");
    let server = Server::start(&["--password-file", &file]);
    let psql =
        format!("{} psql '{}' -XAt -c 'SELECT 6 * 7'", env!("CARGO_BIN_EXE_pglite"), server.url);
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--flush", "--command", &psql, "/dev/null"]);
    for name in ["PGPASSWORD", "PGPASSFILE", "PGSERVICE"] {
        script.env_remove(name);
    }
    // Where no file has the password.
    script.env("HOME", dir.at("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    let mut byte = [0];
    while !shown.ends_with(b"Password for user postgres: ") {
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&shown));
        shown.push(byte[0]);
    }
    keyboard.write_all(b"s3cret-word\n").unwrap();
    screen.read_to_end(&mut shown).unwrap();
    let status = child.wait().unwrap();
    let shown = String::from_utf8_lossy(&shown);
    assert!(status.success(), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.ends_with("postgres: \r\n42\r\n"), "{shown:?}");
}
