//! The programs themselves, with any arguments.

use pglite_oxide::tools::{Program, Tool};
use pglite_oxide::{Pglite, PgliteServer};

fn psql(db: &Pglite) -> Tool {
    db.tool(Program::Psql).args(["-X", "-A", "-t"])
}

#[test]
fn all_have_their_version() {
    for (program, name) in [
        (Program::PgDump, "pg_dump"),
        (Program::PgDumpall, "pg_dumpall"),
        (Program::PgRestore, "pg_restore"),
        (Program::Psql, "psql"),
    ] {
        let output = Tool::new(program).arg("--version").output().unwrap();
        assert_eq!(output.status, 0, "{output:?}");
        let version = String::from_utf8(output.stdout).unwrap();
        assert!(version.starts_with(&format!("{name} (PostgreSQL) 17.")), "{version}");
    }
}

#[test]
fn psql_runs_sql_and_its_own_commands() {
    let mut db = Pglite::temporary().unwrap();
    db.exec("CREATE TABLE planet (name text); INSERT INTO planet VALUES ('Earth'), ('Mars')")
        .unwrap();
    let output = psql(&db)
        .args(["-c", "SELECT name FROM planet ORDER BY 1", "-c", r"\d planet"])
        .output()
        .unwrap();
    assert_eq!(output.status, 0, "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Earth\nMars\nname|text|||\n");
    let wrong = psql(&db).args(["-c", "SELECT 1/0"]).output().unwrap();
    assert_eq!(wrong.status, 1);
    assert!(wrong.stderr.contains("division by zero"), "{}", wrong.stderr);
    let variable = psql(&db).env("PGOPTIONS", "-c work_mem=3MB").args(["-c", "SHOW work_mem"]);
    assert_eq!(variable.output().unwrap().stdout, b"3MB\n");
}

#[test]
fn programs_of_the_host_are_not_started() {
    let db = Pglite::temporary().unwrap();
    let output = psql(&db).args(["-c", r"\! echo started"]).output().unwrap();
    assert_eq!(output.stdout, b"", "{output:?}");
}

#[test]
fn a_whole_cluster_is_dumped() {
    let mut db = Pglite::temporary().unwrap();
    db.exec("CREATE ROLE reader NOLOGIN").unwrap();
    db.exec("CREATE DATABASE app").unwrap();
    let output = db.tool(Program::PgDumpall).output().unwrap();
    assert_eq!(output.status, 0, "{output:?}");
    let sql = String::from_utf8(output.stdout).unwrap();
    for text in
        ["CREATE ROLE reader", "CREATE DATABASE app", r"\connect app", "cluster dump complete"]
    {
        assert!(sql.contains(text), "{text} is missing in {sql}");
    }
}

#[test]
fn servers_on_the_network_are_reached() {
    let server = PgliteServer::temporary().unwrap();
    server.connect().unwrap().exec("CREATE TABLE planet AS SELECT 'Earth' AS name").unwrap();
    let output =
        Tool::new(Program::PgDump).arg(server.database_url()).arg("--inserts").output().unwrap();
    assert_eq!(output.status, 0, "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("'Earth'"));
}

#[test]
fn files_of_the_host_are_there_when_they_shall_be() {
    let dir = tempfile::tempdir().unwrap();
    let db = Pglite::temporary().unwrap();
    std::fs::write(dir.path().join("script.sql"), "SELECT 6 * 7;\n").unwrap();
    let run = psql(&db).args(["-f", "script.sql", "-o", "result"]);
    assert_ne!(run.output().unwrap().status, 0);
    let output = run.host_files(dir.path()).output().unwrap();
    assert_eq!(output.status, 0, "{output:?}");
    assert_eq!(std::fs::read_to_string(dir.path().join("result")).unwrap(), "42\n");
}
