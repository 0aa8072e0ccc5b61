//! `pglite extensions`.

use std::path::Path;

use crate::harness::{Dir, Server, assert_one_line, outcome};

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn it_lists_what_is_packed() {
    let listed = outcome(&["extensions"]);
    assert_eq!((listed.status, listed.stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = listed.stdout.lines().map(words).collect();
    assert_eq!(lines[0], ["NAME", "VERSION", "SIZE", "PRELOAD", "REQUIRES", "COMMENT"]);
    let of = |name: &str| lines.iter().find(|line| line[0] == name).expect("it is packed");
    let hstore = of("hstore");
    assert!(hstore[2].parse::<u64>().unwrap() > 10, "{hstore:?}");
    assert_eq!(hstore[3..6], ["kB", "-", "-"]);
    assert_eq!(of("earthdistance")[5], "cube");
    assert_eq!(of("pg_stat_statements")[4], "yes");
    // SQL alone, and a module alone.
    assert_eq!(of("pgtap")[2], "-");
    assert_eq!((of("auto_explain")[1], of("auto_explain")[4]), ("-", "yes"));
}

/// The list and PostgreSQL agree.
#[test]
fn its_json_is_what_postgresql_knows() {
    let listed = outcome(&["extensions", "--json"]);
    assert_eq!((listed.status, listed.stderr.as_str()), (Some(0), ""));
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout).unwrap();
    let mut listed: Vec<_> = listed
        .iter()
        .filter_map(|one| Some(format!("{} {}", one["name"].as_str()?, one["version"].as_str()?)))
        .collect();
    listed.sort_unstable();
    let mut db = pglite_oxide::Pglite::temporary().unwrap();
    let sql = "SELECT name || ' ' || default_version FROM pg_available_extensions WHERE name <> 'plpgsql'";
    let mut available: Vec<String> =
        db.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    available.sort_unstable();
    assert_eq!(listed, available);
}

#[test]
fn it_lists_what_a_database_has() {
    let dir = Dir::new();
    let path = dir.at("db");
    let mut db = pglite_oxide::Pglite::open(&path).unwrap();
    db.exec("CREATE SCHEMA maps; CREATE EXTENSION hstore SCHEMA maps VERSION '1.4'").unwrap();
    db.exec("CREATE DATABASE \"host=x 'y'\"").unwrap();
    db.close().unwrap();
    let list = |arguments: &[&str]| {
        let listed = outcome(&[&["extensions", "--path", &path][..], arguments].concat());
        assert_eq!((listed.status, listed.stderr.as_str()), (Some(0), ""));
        listed.stdout
    };
    let check = || {
        let lines = list(&[]);
        let lines: Vec<_> = lines.lines().map(words).collect();
        assert_eq!(lines[0], ["NAME", "VERSION", "AVAILABLE", "SCHEMA"]);
        assert_eq!(lines[1], ["hstore", "1.4", "1.8", "maps"]);
        assert_eq!(lines[2][0], "plpgsql");
        assert_eq!(lines.len(), 3);
        let json: serde_json::Value = serde_json::from_str(&list(&["--json"])).unwrap();
        assert_eq!(json[0]["schema"], "maps");
        // Whatever is in its name.
        assert_eq!(list(&["--database", "host=x 'y'"]).lines().count(), 2);
    };
    check();
    // The same through the server that has it open.
    let server = Server::for_directory(Path::new(&path));
    check();
    drop(server);
}

#[test]
fn its_errors_are_one_line() {
    let dir = Dir::new();
    let path = dir.at("db");
    pglite_oxide::Pglite::open(&path).unwrap().close().unwrap();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["--path", &dir.at("missing")], 1, "there is no database in"),
        (&["--path", &path, "--database", "nowhere"], 1, "database \"nowhere\" does not exist"),
        (&["--database", "app"], 2, "--path"),
        (&["hstore"], 2, "unexpected argument"),
    ];
    for (arguments, status, text) in cases {
        let listed = outcome(&[&["extensions"][..], arguments].concat());
        assert_eq!((listed.status, listed.stdout.as_str()), (Some(status), ""), "{arguments:?}");
        assert_one_line(&listed.stderr);
        assert!(listed.stderr.contains(text), "{}", listed.stderr);
    }
    assert!(!Path::new(&dir.at("missing")).exists());
}
