//! `pglite url`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;

use crate::harness::{Dir, Server, assert_one_line, connect, outcome, pglite, value};

#[test]
fn it_prints_the_url_of_a_running_server() {
    let dir = Dir::new();
    let path = dir.at("db");
    let server = Server::for_directory(Path::new(&path));
    let url = outcome(&["url", "--path", &path]);
    assert_eq!((url.status, url.stderr.as_str()), (Some(0), ""));
    assert_eq!(value(&mut connect(url.stdout.trim_end()), "SELECT 1"), "1");

    let here = pglite(&["url"]).current_dir(&path).output().unwrap();
    assert_eq!(String::from_utf8(here.stdout).unwrap(), url.stdout);

    assert_eq!(server.stop(Signal::TERM).status, Some(0));
    assert_eq!(outcome(&["url", "--path", &path]).status, Some(1));
}

#[test]
fn it_knows_no_password() {
    let dir = Dir::new();
    let path = dir.at("db");
    let password = dir.file("password", "s3cret");
    let server = Server::start(&["--path", &path, "--password-file", &password, "--show-password"]);
    assert!(server.url.contains("s3cret"), "{}", server.url);
    let file = Path::new(&path).join("pglite-oxide.url");
    assert!(!fs::read_to_string(&file).unwrap().contains("s3cret"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!outcome(&["url", "--path", &path]).stdout.contains("password"));
}

#[test]
fn a_url_that_was_left_is_not_believed() {
    let dir = Dir::new();
    // Killed, and then opened by a program that serves nobody.
    let path = dir.at("db");
    let server = Server::for_directory(Path::new(&path));
    server.stop(Signal::KILL);
    assert!(Path::new(&path).join("pglite-oxide.url").exists());
    let db = pglite_oxide::Pglite::open(&path).unwrap();
    let url = outcome(&["url", "--path", &path]);
    assert_eq!((url.status, url.stdout.as_str()), (Some(1), ""));
    db.close().unwrap();

    for nothing in [dir.at(""), dir.at("missing")] {
        let url = outcome(&["url", "--path", &nothing]);
        assert_eq!((url.status, url.stdout.as_str()), (Some(1), ""));
        assert_one_line(&url.stderr);
        assert!(url.stderr.contains("no server of pglite runs"), "{}", url.stderr);
    }
}
