//! Errors have what the programs say, and nothing is left running.

use std::io::{self, Read, Write};

use pglite_oxide::tools::{Format, Program};
use pglite_oxide::{Error, Pglite, ToolError};

fn failure(error: &Error) -> (Program, i32, &str) {
    match error {
        Error::Tool(ToolError::Failed { program, status, stderr, .. }) => {
            (*program, *status, stderr)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn patterns_that_match_nothing_are_errors() {
    let db = Pglite::temporary().unwrap();
    let error = db.dump().table("nothing").to_string().unwrap_err();
    let (program, status, stderr) = failure(&error);
    assert_eq!((program, status), (Program::PgDump, 1));
    assert!(stderr.contains("no matching tables were found for pattern \"nothing\""), "{stderr}");
    assert!(error.to_string().contains("pg_dump ended with status 1"), "{error}");
}

#[test]
fn there_must_be_such_a_database() {
    let db = Pglite::temporary().unwrap();
    let error = db.dump().database("nowhere").to_string().unwrap_err();
    assert!(failure(&error).2.contains("database \"nowhere\" does not exist"), "{error}");
}

#[test]
fn damaged_archives_are_refused() {
    let mut db = Pglite::temporary().unwrap();
    db.exec("CREATE TABLE big AS SELECT md5(i::text) FROM generate_series(1, 5000) i").unwrap();
    let dump = db.dump().format(Format::Custom).to_vec().unwrap();
    let copy = Pglite::temporary().unwrap();
    let cut = copy.restore().single_transaction().from_bytes(&dump[..dump.len() / 2]).unwrap_err();
    assert_eq!(failure(&cut).0, Program::PgRestore);
    let mut changed = dump.clone();
    changed[20..60].fill(0xff);
    let error = copy.restore().single_transaction().from_bytes(&changed).unwrap_err();
    assert_eq!(failure(&error).0, Program::PgRestore);
    let error = copy.restore().format(Format::Custom).from_bytes("no archive").unwrap_err();
    assert!(failure(&error).2.contains("did not find magic string"), "{error}");
    let mut copy = copy;
    assert!(copy.exec("SELECT FROM big").is_err());
}

#[test]
fn sql_that_fails_stops_a_restore() {
    let mut db = Pglite::temporary().unwrap();
    let sql = "CREATE TABLE one ();\nSELECT 1/0;\nCREATE TABLE two ();\n";
    let error = db.restore().single_transaction().from_bytes(sql).unwrap_err();
    let (program, status, stderr) = failure(&error);
    assert_eq!((program, status), (Program::Psql, 3));
    assert!(stderr.contains("division by zero"), "{stderr}");
    assert!(db.exec("SELECT FROM one").is_err());
    let _ = db.restore().from_bytes(sql).unwrap_err();
    assert!(db.exec("SELECT FROM one").is_ok());
    assert!(db.exec("SELECT FROM two").is_err());
}

/// Takes some bytes, and no more.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0 {
            0 => Err(io::Error::new(io::ErrorKind::StorageFull, "full")),
            left => {
                let taken = bytes.len().min(left);
                self.0 -= taken;
                Ok(taken)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_fails_ends_the_dump() {
    let mut db = Pglite::temporary().unwrap();
    db.exec("CREATE TABLE big AS SELECT md5(i::text) FROM generate_series(1, 50000) i").unwrap();
    let error = db.dump().to_writer(Full(10_000)).unwrap_err();
    assert!(
        matches!(&error, Error::Tool(ToolError::Write(io)) if io.kind() == io::ErrorKind::StorageFull),
        "{error:?}"
    );
    // Nothing holds the table any more.
    db.exec("SET lock_timeout = '20s'; DROP TABLE big").unwrap();
}

#[test]
fn a_reader_that_fails_leaves_nothing_half_done() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let mut db = Pglite::temporary().unwrap();
    let sql = format!("CREATE TABLE one ();\n{}", "-- comment\n".repeat(1000));
    let error =
        db.restore().single_transaction().from_reader(sql.as_bytes().chain(Failing)).unwrap_err();
    assert!(matches!(error, Error::Tool(ToolError::Read(_))), "{error:?}");
    assert!(db.exec("SELECT FROM one").is_err());
}

#[test]
fn formats_go_where_they_fit() {
    let db = Pglite::temporary().unwrap();
    let usage = |result: Result<(), Error>| assert!(matches!(result, Err(Error::Usage(_))));
    usage(db.dump().format(Format::Directory).to_vec().map(drop));
    usage(db.dump().format(Format::Custom).to_string().map(drop));
    let error = db.dump().jobs(2).to_string().unwrap_err();
    assert!(failure(&error).2.contains("parallel backup only supported by the directory format"));
}

#[test]
fn paths_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let db = Pglite::temporary().unwrap();
    let missing = dir.path().join("missing/file");
    let error = db.dump().to_path(&missing).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    let error = db.restore().from_path(&missing).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    // A directory, but of something else.
    let error = db.restore().from_path(dir.path()).unwrap_err();
    let Error::Tool(ToolError::Path { path, source }) = &error else { panic!("{error:?}") };
    assert_eq!(path, dir.path());
    assert!(source.to_string().contains("no dump is in the directory"), "{source}");
}
