//! Archives of data directories: what is in them, and what comes out of them.

mod damage;
mod writers;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use pglite_oxide::{
    DataDirError, DumpError, DumpFormat, Error, Pglite, PgliteServer, Session, ShutdownMode,
};

use crate::{sqlstate, temporary, text};

const FORMATS: [DumpFormat; 2] = [DumpFormat::Tar, DumpFormat::TarZst];

fn dumped(db: &Pglite, format: DumpFormat) -> Vec<u8> {
    let mut archive = Vec::new();
    db.dump_data_dir(&mut archive, format).unwrap();
    archive
}

/// Contents by path.
type Files = BTreeMap<String, Vec<u8>>;

/// The files of a plain archive, and the directories with a slash at the end.
fn files(archive: &[u8]) -> Files {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    entries
        .map(|mut entry| {
            let mut path = entry.path().unwrap().to_str().unwrap().to_owned();
            if entry.header().entry_type().is_dir() && !path.ends_with('/') {
                path.push('/');
            }
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            (path, contents)
        })
        .collect()
}

/// An archive as another program might make it of these files: without directories.
fn packed(files: &Files) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let is_packed = |path: &str| !path.starts_with("pglite-oxide.") && !path.ends_with('/');
    for (path, contents) in files.iter().filter(|(path, _)| is_packed(path)) {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, path, &contents[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

const CONTENTS: &str = "
    CREATE ROLE reader;
    CREATE TABLE item (id int PRIMARY KEY, words text);
    INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 5000) i;
    CREATE INDEX item_words ON item (words);
    GRANT SELECT ON item TO reader;
    CREATE SEQUENCE ticket START 100; SELECT nextval('ticket'), nextval('ticket');
    CREATE UNLOGGED TABLE cache (id int PRIMARY KEY); INSERT INTO cache VALUES (1);
    CREATE TABLE long (words text);
    INSERT INTO long SELECT string_agg(md5(i::text), '') FROM generate_series(1, 10000) i;
    SELECT lo_from_bytea(4242, convert_to(repeat('large object ', 5000), 'UTF8'))";

fn with_contents(db: &mut Pglite) {
    db.exec(CONTENTS).unwrap();
    for alone in ["ALTER SYSTEM SET work_mem = '7MB'", "CREATE DATABASE \"second one\""] {
        db.exec(alone).unwrap();
    }
    db.exec("SELECT pg_reload_conf()").unwrap();
    db.exec("CREATE TEMP TABLE scratch AS SELECT 1").unwrap();
}

/// All that was made above is there; unlogged tables are empty, as after a crash.
fn check_contents(db: &mut Session) {
    for (sql, expected) in [
        ("SELECT count(*) || ' ' || sum(id) FROM item", "5000 12502500"),
        ("SELECT has_table_privilege('reader', 'item', 'SELECT')", "t"),
        ("SELECT count(*) FROM cache", "0"),
        (
            "SELECT md5(words) = (SELECT md5(string_agg(md5(i::text), '')) FROM generate_series(1, 10000) i) FROM long",
            "t",
        ),
        ("SELECT convert_from(lo_get(4242), 'UTF8') = repeat('large object ', 5000)", "t"),
        ("SHOW work_mem", "7MB"),
        ("SELECT count(*) FROM pg_database WHERE datname = 'second one'", "1"),
        (
            "SELECT count(*) FROM pg_class WHERE relname = 'scratch' AND pg_relation_size(oid) > 0",
            "0",
        ),
        ("SELECT count(*) FROM pg_replication_slots", "0"),
        ("SET enable_seqscan = off; SELECT id FROM item WHERE words = 'item 4711'", "4711"),
    ] {
        assert_eq!(text(db, sql), expected, "{sql}");
    }
    // As after a crash, numbers can be left out; none comes twice.
    assert!(text(db, "SELECT nextval('ticket')").parse::<i32>().unwrap() > 101);
    db.exec("INSERT INTO cache VALUES (1); DELETE FROM cache").unwrap();
    db.exec("VACUUM item").unwrap();
}

fn identifier(db: &mut Session) -> String {
    text(db, "SELECT system_identifier FROM pg_control_system()")
}

#[test]
fn from_memory_to_a_directory_and_back() {
    for format in FORMATS {
        let mut first = temporary();
        with_contents(&mut first);
        let archive = dumped(&first, format);
        check_kept(&mut first);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let mut second = Pglite::builder().path(&path).load_data_dir(&archive[..]).unwrap();
        check_contents(&mut second);
        second.exec("ALTER SYSTEM SET log_statement = 'all'").unwrap();
        assert_eq!(identifier(&mut second), identifier(&mut first));
        let archive = dumped(&second, format);
        second.close().unwrap();

        // It is a database like others.
        let mut again = Pglite::open(&path).unwrap();
        check_contents(&mut again);
        assert_eq!(text(&mut again, "SHOW fsync"), "on");
        let later = dumped(&again, format);

        for archive in [archive, later] {
            let mut third = Pglite::load_data_dir(&archive[..]).unwrap();
            check_contents(&mut third);
            assert_eq!(text(&mut third, "SHOW fsync"), "off");
            third.fork().unwrap().exec("INSERT INTO item VALUES (0, '')").unwrap();
        }
    }
}

/// The original goes on as it was.
fn check_kept(db: &mut Session) {
    assert_eq!(text(db, "SELECT count(*) FROM cache"), "1");
    assert_eq!(text(db, "SELECT count(*) FROM scratch"), "1");
}

#[test]
fn what_is_in_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let mut persistent = Pglite::open(dir.path()).unwrap();
    with_contents(&mut persistent);
    let mut in_memory = temporary();
    with_contents(&mut in_memory);
    for (db, has_label) in [(&mut persistent, true), (&mut in_memory, false)] {
        let unlogged = text(db, "SELECT pg_relation_filepath('cache')");
        let scratch = text(db, "SELECT pg_relation_filepath('scratch')");
        let files = files(&dumped(db, DumpFormat::Tar));
        for name in ["PG_VERSION", "global/pg_control", "pg_wal/archive_status/", "pg_notify/"] {
            assert!(files.contains_key(name), "{name}");
        }
        assert!(files.contains_key(&format!("{unlogged}_init")));
        for name in [
            "postmaster.pid",
            "postmaster.opts",
            "pglite-oxide.lock",
            "pglite-oxide.incomplete",
            "tablespace_map",
            &unlogged,
            &scratch,
        ] {
            assert!(!files.contains_key(name), "{name}");
        }
        assert_eq!(files.contains_key("backup_label"), has_label);
        let log: usize = files
            .iter()
            .filter_map(|(name, contents)| name.starts_with("pg_wal/").then_some(contents.len()))
            .sum();
        // Segments of 1 MB. Those that are kept to be used again are not in it.
        assert!((1..=4).contains(&(log >> 20)), "{log} bytes of log");
    }
}

/// So that the copies of tests are small and fast to make.
#[test]
fn packed_archives_are_small() {
    let db = temporary();
    let [plain, packed] = FORMATS.map(|format| dumped(&db, format).len());
    assert!(packed * 4 < plain, "{packed} of {plain} bytes");
}

#[test]
fn native_programs_read_them() {
    let list = |program: &str, arguments: &[&str], archive: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), archive).unwrap();
        let output = Command::new(program)
            .args(arguments)
            .stdin(File::open(file.path()).unwrap())
            .stderr(Stdio::inherit())
            .output();
        match output {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            output => {
                let output = output.unwrap();
                assert!(output.status.success(), "{program}");
                Some(output.stdout)
            }
        }
    };
    let mut db = temporary();
    with_contents(&mut db);
    let plain = dumped(&db, DumpFormat::Tar);
    if let Some(names) = list("tar", &["-tf", "-"], &plain) {
        let names = String::from_utf8(names).unwrap();
        assert!(names.lines().any(|name| name == "global/pg_control"), "{names}");
    }
    let packed = dumped(&db, DumpFormat::TarZst);
    if let Some(unpacked) = list("zstd", &["-dc"], &packed) {
        assert!(files(&unpacked).contains_key("global/pg_control"));
        let mut copy = Pglite::load_data_dir(&unpacked[..]).unwrap();
        check_contents(&mut copy);
    }
    // And the other way round.
    if let Some(packed) = list("zstd", &["-c"], &plain) {
        check_contents(&mut Pglite::load_data_dir(&packed[..]).unwrap());
    }
}

/// What `tar` makes of the directory of a closed database.
#[test]
fn a_directory_that_another_program_has_packed() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    with_contents(&mut db);
    db.close().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", dir.path()).unwrap();
    let archive = builder.into_inner().unwrap();
    assert!(files(&archive).keys().any(|name| name.contains("pglite-oxide.lock")));

    let target = tempfile::tempdir().unwrap();
    let mut copy = Pglite::builder().path(target.path()).load_data_dir(&archive[..]).unwrap();
    // Closed properly, so that nothing had to be recovered.
    assert_eq!(text(&mut copy, "SELECT count(*) FROM cache"), "1");
    copy.exec("DELETE FROM cache").unwrap();
    check_contents(&mut copy);

    // Without the directories that are empty.
    let archive = packed(&files(&dumped(&copy, DumpFormat::Tar)));
    check_contents(&mut Pglite::load_data_dir(&archive[..]).unwrap());
}

/// The dump has a session of its own, as the superuser, whatever its name.
#[test]
fn a_session_of_any_role_in_any_transaction() {
    let mut db = temporary();
    db.exec(
        "CREATE TABLE item (id int); INSERT INTO item VALUES (1); CREATE ROLE clerk LOGIN;
         GRANT ALL ON item TO clerk; CREATE ROLE helper SUPERUSER LOGIN",
    )
    .unwrap();
    let mut helper =
        Pglite::builder().user("helper").load_data_dir(&dumped(&db, FORMATS[0])[..]).unwrap();
    helper.exec("ALTER ROLE postgres RENAME TO boss").unwrap();
    let archive = dumped(&helper, DumpFormat::Tar);

    let dir = tempfile::tempdir().unwrap();
    let mut db =
        Pglite::builder().path(dir.path()).user("clerk").load_data_dir(&archive[..]).unwrap();
    db.exec("BEGIN; INSERT INTO item VALUES (2)").unwrap();
    let open = dumped(&db, DumpFormat::Tar);
    db.exec("nonsense").unwrap_err();
    let failed = dumped(&db, DumpFormat::Tar);
    for archive in [open, failed] {
        let mut copy = Pglite::builder().user("boss").load_data_dir(&archive[..]).unwrap();
        assert_eq!(text(&mut copy, "SELECT count(*) FROM item"), "1");
    }
}

#[test]
fn a_limited_database_and_its_limit_for_what_is_loaded() {
    let limited = || Pglite::builder().memory_limit(64 << 20);
    let mut db = limited().open().unwrap();
    with_contents(&mut db);
    let archive = dumped(&db, DumpFormat::TarZst);
    let mut copy = limited().load_data_dir(&archive[..]).unwrap();
    check_contents(&mut copy);
    check_contents(&mut Pglite::load_data_dir(&dumped(&copy, DumpFormat::Tar)[..]).unwrap());
    let error = Pglite::builder().memory_limit(8 << 20).load_data_dir(&archive[..]).unwrap_err();
    assert!(
        matches!(&error, Error::Load(pglite_oxide::LoadError::Write { source, .. })
        if source.kind() == std::io::ErrorKind::StorageFull),
        "{error:?}"
    );
}

#[test]
fn servers_dump_and_load_too() {
    let server = PgliteServer::temporary().unwrap();
    let mut client = postgres::Client::connect(&server.database_url(), postgres::NoTls).unwrap();
    client.batch_execute("CREATE TABLE item AS SELECT generate_series(1, 10) AS id").unwrap();
    let mut archive = Vec::new();
    server.dump_data_dir(&mut archive, DumpFormat::TarZst).unwrap();
    client.batch_execute("DROP TABLE item").unwrap();

    let dir = tempfile::tempdir().unwrap();
    let copy = PgliteServer::builder()
        .path(dir.path())
        .password("secret")
        .database("more")
        .encoding("LATIN1")
        .load_data_dir(&archive[..])
        .unwrap();
    let mut client = postgres::Client::connect(&copy.database_url(), postgres::NoTls).unwrap();
    let encoding: String = client.query_one("SHOW server_encoding", &[]).unwrap().get(0);
    assert_eq!(encoding, "LATIN1");
    copy.shutdown(ShutdownMode::Fast).unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    assert_eq!(text(&mut db, "SELECT count(*) FROM item"), "10");
}

#[test]
fn copies_of_a_snapshot_can_be_dumped() {
    let mut db = temporary();
    with_contents(&mut db);
    let mut fork = db.fork().unwrap();
    // At once, before its background processes have started.
    let archive = dumped(&fork, DumpFormat::Tar);
    check_contents(&mut Pglite::load_data_dir(&archive[..]).unwrap());
    // The session that the dump needed is gone.
    check_kept(&mut fork.fork().unwrap());
}

#[test]
fn tablespaces() {
    // Recovery from a backup wants the setting too.
    let builder = || Pglite::builder().config("allow_in_place_tablespaces", "on");
    let mut db = builder().open().unwrap();
    db.exec("CREATE TABLESPACE near LOCATION ''").unwrap();
    db.exec("CREATE TABLE item TABLESPACE near AS SELECT generate_series(1, 100) AS id").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let archive = dumped(&db, DumpFormat::Tar);
    let mut copy = builder().path(dir.path()).load_data_dir(&archive[..]).unwrap();
    assert_eq!(text(&mut copy, "SELECT count(*) FROM item"), "100");
    let archive = dumped(&copy, DumpFormat::Tar);
    let mut copy = builder().load_data_dir(&archive[..]).unwrap();
    assert_eq!(text(&mut copy, "SELECT count(*) FROM item"), "100");

    let outside = tempfile::tempdir().unwrap();
    let access = pglite_oxide::MountAccess::ReadWrite;
    let mut db = Pglite::builder().mount(outside.path(), "/far", access).open().unwrap();
    db.exec("CREATE TABLESPACE far LOCATION '/far'").unwrap();
    let mut archive = Vec::new();
    match db.dump_data_dir(&mut archive, DumpFormat::Tar) {
        Err(Error::Dump(DumpError::Tablespace { location })) => assert_eq!(location, "/far"),
        other => panic!("{other:?}"),
    }
    assert!(archive.is_empty());
    db.exec("DROP TABLESPACE far").unwrap();
    db.dump_data_dir(&mut archive, DumpFormat::Tar).unwrap();
}

#[test]
fn postgres_refuses_a_backup_with_too_little_in_its_log() {
    let minimal = |builder: pglite_oxide::PgliteBuilder| {
        builder.config("wal_level", "minimal").config("max_wal_senders", "0").open().unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let db = minimal(Pglite::builder().path(dir.path()));
    let error = db.dump_data_dir(Vec::new(), DumpFormat::Tar).unwrap_err();
    assert_eq!(sqlstate(&error), "55000", "{error}");
    // For the files of one instant it is enough.
    let mut db = minimal(Pglite::builder());
    with_contents(&mut db);
    check_contents(&mut Pglite::load_data_dir(&dumped(&db, DumpFormat::Tar)[..]).unwrap());
}

#[test]
fn a_writer_that_fails() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    for format in FORMATS {
        for room in [0, 300_000, 1_200_000] {
            match db.dump_data_dir(Full(room), format) {
                Err(Error::Dump(DumpError::Write(error))) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                }
                other => panic!("{format:?}, {room}: {other:?}"),
            }
        }
    }
    // The backup that was begun has ended with its session.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
    while text(&mut db, waiting) != "1" {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(text(&mut db, "SELECT count(*) FROM pg_replication_slots"), "0");
    dumped(&db, DumpFormat::Tar);
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_directory_that_is_not_empty_stays_as_it_is() {
    let archive = dumped(&temporary(), DumpFormat::Tar);
    let load = |path: &Path| Pglite::builder().path(path).load_data_dir(&archive[..]);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "ten years of work").unwrap();
    match load(dir.path()) {
        Err(Error::DataDir(DataDirError::NotEmpty { path })) => assert_eq!(path, dir.path()),
        other => panic!("{other:?}"),
    }
    let file = dir.path().join("thesis.txt");
    assert!(matches!(load(&file), Err(Error::DataDir(DataDirError::NotADirectory { .. }))));
    assert_eq!(names(dir.path()), ["thesis.txt"]);

    let path = dir.path().join("db");
    let mut db = load(&path).unwrap();
    db.exec("CREATE TABLE kept ()").unwrap();
    assert!(matches!(load(&path), Err(Error::DataDir(DataDirError::NotEmpty { .. }))));
    db.close().unwrap();
    assert!(matches!(load(&path), Err(Error::DataDir(DataDirError::NotEmpty { .. }))));
    Pglite::open(&path).unwrap().exec("TABLE kept").unwrap();
}

/// Whoever asks for the directory then wants the archive's database, and not a new one.
#[test]
fn an_interrupted_load_is_not_opened_and_can_be_repeated() {
    let mut db = temporary();
    with_contents(&mut db);
    let archive = dumped(&db, DumpFormat::Tar);
    let dir = tempfile::tempdir().unwrap();
    // As if the process had been killed in the middle.
    fs::write(dir.path().join("pglite-oxide.loading"), "").unwrap();
    fs::create_dir_all(dir.path().join("base/1")).unwrap();
    fs::write(dir.path().join("base/1/1259"), "half").unwrap();
    let error = Pglite::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::DataDir(DataDirError::HalfLoaded { .. })), "{error:?}");
    assert_eq!(names(dir.path()), ["base", "pglite-oxide.loading"]);
    let mut db = Pglite::builder().path(dir.path()).load_data_dir(&archive[..]).unwrap();
    check_contents(&mut db);
    db.close().unwrap();
    check_contents(&mut Pglite::open(dir.path()).unwrap());
}
