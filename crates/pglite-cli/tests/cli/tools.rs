//! `pglite psql`, `dump`, `restore` and `upgrade`, and `pglite-dump`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Dir, Server, assert_one_line, outcome, pglite};

fn fill(path: &str) {
    let made = outcome(&["restore", "--path", path, "--list"]);
    // It lists nothing, as there is nothing to read; but the database is there now.
    assert_ne!(made.status, Some(0));
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
