//! `pglite serve`.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use postgres::error::SqlState;
use rustix::process::Signal;

use crate::harness::{Dir, Server, assert_one_line, connect, exists, outcome, value};

#[test]
fn it_serves_a_directory_and_closes_it_cleanly() {
    let dir = Dir::new();
    let path = dir.at("db");
    let server = Server::for_directory(Path::new(&path));
    let mut client = server.client();
    client.batch_execute("CREATE TABLE t (x int); INSERT INTO t VALUES (42)").unwrap();
    drop(client);
    let end = server.stop(Signal::TERM);
    assert_eq!(end.status, Some(0), "{}", end.stderr);
    assert_eq!(end.stdout, "");
    for left in ["postmaster.pid", "pglite-oxide.url"] {
        assert!(!exists(&path, left), "{left}");
    }

    let server = Server::for_directory(Path::new(&path));
    assert_eq!(value(&mut server.client(), "SELECT x FROM t"), "42");
    let end = server.stop(Signal::TERM);
    assert!(end.stderr.contains("database system was shut down"), "{}", end.stderr);
    assert!(!end.stderr.contains("recovery"), "{}", end.stderr);
}

#[test]
fn signals_end_it() {
    let cases = [
        (Signal::TERM, 0, "fast shutdown"),
        (Signal::INT, 0, "fast shutdown"),
        (Signal::HUP, 0, "fast shutdown"),
        (Signal::QUIT, 3, "immediate shutdown"),
    ];
    for (signal, status, how) in cases {
        let server = Server::start(&["--temporary"]);
        let mut client = server.client();
        // A client in a transaction holds nothing up.
        client.batch_execute("BEGIN; CREATE TABLE t (x int)").unwrap();
        let end = server.stop(signal);
        assert_eq!(end.status, Some(status), "{signal:?}: {}", end.stderr);
        assert!(end.stderr.contains(how), "{signal:?}: {}", end.stderr);
        assert!(client.simple_query("SELECT 1").is_err());
    }
}

/// A standby that never says what it has received: PostgreSQL waits for it, for a minute.
fn silent_standby(server: &Server) -> TcpStream {
    let position = value(&mut server.client(), "SELECT pg_current_wal_flush_lsn()");
    let address = server.url.split('/').nth(2).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut send = |tag: &[u8], body: &str| {
        let length = u32::try_from(4 + body.len()).unwrap();
        stream.write_all(&[tag, &length.to_be_bytes(), body.as_bytes()].concat()).unwrap();
    };
    // Version 3.0 of the protocol.
    send(b"", "\0\x03\0\0user\0postgres\0replication\0true\0\0");
    send(b"Q", &format!("START_REPLICATION PHYSICAL {position}\0"));
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) - 4;
        let mut body = vec![0; length as usize];
        stream.read_exact(&mut body).unwrap();
        assert_ne!(head[0], b'E', "{}", String::from_utf8_lossy(&body));
        // CopyBothResponse: it streams.
        if head[0] == b'W' {
            return stream;
        }
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = Dir::new();
    let [path, socket] = [dir.at("db"), dir.at("run")];
    for second in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut server = Server::start(&["--path", &path, "--socket", &socket]);
        let standby = silent_standby(&server);
        server.process.signal(Signal::TERM);
        server.process.wait_for_log("received fast shutdown request");
        let end = server.stop(second);
        assert_eq!(end.status, Some(3), "{}", end.stderr);
        assert!(end.stderr.contains("stopping at once"), "{}", end.stderr);
        assert_eq!(fs::read_dir(&socket).unwrap().count(), 0);
        assert!(!exists(&path, "pglite-oxide.url"));
        drop(standby);
    }
}

#[test]
fn signals_that_were_ignored_stay_ignored() {
    // As `nohup` does it.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" serve", env!("CARGO_BIN_EXE_pglite")]);
    let mut process = crate::harness::Running::start(command);
    let url = process.line();
    process.signal(Signal::HUP);
    assert_eq!(value(&mut connect(&url), "SELECT 1"), "1");
    let end = process.stop(Signal::TERM);
    assert!(!end.stderr.contains("SIGHUP"), "{}", end.stderr);
    assert_eq!(end.status, Some(0));
}

#[test]
fn what_was_committed_survives_a_kill() {
    let dir = Dir::new();
    let path = dir.at("db");
    let server = Server::for_directory(Path::new(&path));
    server.client().batch_execute("CREATE TABLE t (x int); INSERT INTO t VALUES (42)").unwrap();
    server.stop(Signal::KILL);

    let url = outcome(&["url", "--path", &path]);
    assert_eq!(url.status, Some(1));
    assert_one_line(&url.stderr);
    assert!(url.stderr.contains("no server of pglite runs"), "{}", url.stderr);

    let server = Server::for_directory(Path::new(&path));
    assert_eq!(value(&mut server.client(), "SELECT x FROM t"), "42");
    assert_eq!(outcome(&["url", "--path", &path]).stdout.trim_end(), server.url);
    assert_eq!(server.stop(Signal::INT).status, Some(0));
}

#[test]
fn the_ready_file_is_there_as_long_as_the_server() {
    let dir = Dir::new();
    let file = dir.file("ready", "of an earlier run");
    let server = Server::start(&["--ready-file", &file]);
    assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), server.url);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(server.stop(Signal::TERM).status, Some(0));
    assert!(!Path::new(&file).exists());

    // One that could not start is not ready.
    dir.file("ready", "of an earlier run");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let failed = outcome(&["serve", "--ready-file", &file, "--port", &port]);
    assert_eq!(failed.status, Some(1));
    assert!(!Path::new(&file).exists());
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let dir = Dir::new();
    let file = dir.file("password", "s3cret p\u{e4}ss\n");
    let server = Server::start(&["--password-file", &file]);
    assert!(!server.url.contains("password"), "{}", server.url);

    let mut config: postgres::Config = server.url.parse().unwrap();
    assert!(config.connect(postgres::NoTls).is_err());
    let wrong = config.password("wrong").connect(postgres::NoTls).err().unwrap();
    assert_eq!(wrong.code(), Some(&SqlState::INVALID_PASSWORD));
    let mut client = config.password("s3cret p\u{e4}ss").connect(postgres::NoTls).unwrap();
    let stored = value(&mut client, "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'");
    assert!(stored.starts_with("SCRAM-SHA-256$"), "{stored}");
    let end = server.stop(Signal::TERM);
    assert!(!end.stderr.contains("s3cret"), "{}", end.stderr);

    let server = Server::start(&["--password-file", &file, "--show-password"]);
    assert_eq!(value(&mut server.client(), "SELECT 1"), "1");
}

#[test]
fn a_unix_socket_instead_of_tcp() {
    let dir = Dir::new();
    let socket = dir.at("run");
    let server = Server::start(&["--no-tcp", "--socket", &socket]);
    assert!(server.url.starts_with("postgresql:///postgres?host="), "{}", server.url);
    let mut client = server.client();
    assert_eq!(value(&mut client, "SELECT inet_server_port() IS NULL"), "t");
    assert_eq!(server.stop(Signal::TERM).status, Some(0));
    assert_eq!(fs::read_dir(&socket).unwrap().count(), 0);
}

#[test]
fn options_reach_postgres() {
    let dir = Dir::new();
    dir.file("moons.csv", "Earth,1\nMars,2\n");
    let mount = format!("{}:/import:ro", dir.at(""));
    let server = Server::start(&[
        "--config",
        "work_mem=5MB",
        "--config",
        "application_name=a=b",
        "--max-connections",
        "17",
        "--database",
        "app",
        "--memory-limit",
        "64MB",
        "--mount",
        &mount,
    ]);
    let mut client = server.client();
    let cases = [
        ("SHOW work_mem", "5MB"),
        ("SHOW max_connections", "17"),
        ("SELECT current_database()", "app"),
        ("SELECT pg_read_file('/import/moons.csv', 0, 5)", "Earth"),
    ];
    for (sql, expected) in cases {
        assert_eq!(value(&mut client, sql), expected, "{sql}");
    }
    let written = client.batch_execute("COPY (SELECT 1) TO '/import/new.csv'").unwrap_err();
    assert_eq!(written.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    assert!(!Path::new(&dir.at("new.csv")).exists());
    let filled = client
        .batch_execute("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
        .unwrap_err();
    assert_eq!(filled.code(), Some(&SqlState::DISK_FULL));
    let log = server.stop(Signal::TERM).stderr;
    assert!(log.contains("limited to 64 MB (memory_limit)"), "{log}");
}

#[test]
fn the_log_has_the_levels_of_postgres() {
    let server = Server::start(&["--log-format", "json"]);
    let mut client = server.client();
    client
        .batch_execute(
            "DO $$ BEGIN RAISE LOG 'a log line'; RAISE WARNING 'a warning'; END $$;
             SELECT 1/0",
        )
        .unwrap_err();
    let end = server.stop(Signal::TERM);
    let cases = [
        ("LOG:  a log line", "INFO"),
        ("a warning", "WARN"),
        ("ERROR:  division by zero", "ERROR"),
    ];
    for (message, level) in cases {
        let message = format!("\"message\":\"{message}\"");
        let line = end.stderr.lines().find(|line| line.contains(&message)).unwrap();
        assert!(line.contains(&format!("\"level\":\"{level}\"")), "{line}");
        assert!(line.contains("\"target\":\"postgres\""), "{line}");
    }
    assert!(end.stderr.lines().all(|line| line.starts_with('{')), "{}", end.stderr);
}

#[test]
fn a_quiet_server_says_nothing() {
    let server = Server::start(&["--quiet"]);
    server.client().batch_execute("SELECT 1/0").unwrap_err();
    let end = server.stop(Signal::TERM);
    assert_eq!((end.status, end.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let failed = outcome(&["serve", "--quiet", "--port", &port]);
    assert_eq!((failed.status, failed.stdout.as_str()), (Some(1), ""));
    assert_one_line(&failed.stderr);
    assert!(failed.stderr.contains(&format!("127.0.0.1:{port} is in use")), "{}", failed.stderr);
    assert!(failed.stderr.contains("another port"), "{}", failed.stderr);
}

#[test]
fn a_directory_that_is_served_already() {
    let dir = Dir::new();
    let path = dir.at("db");
    let server = Server::for_directory(Path::new(&path));
    let failed = outcome(&["serve", "--quiet", "--path", &path]);
    assert_eq!(failed.status, Some(1));
    assert_one_line(&failed.stderr);
    assert!(failed.stderr.contains(&server.url), "{}", failed.stderr);
    assert_eq!(value(&mut server.client(), "SELECT 1"), "1");
}

#[test]
fn a_setting_that_postgres_refuses() {
    let failed = outcome(&["serve", "--quiet", "--config", "work_mem=plenty"]);
    assert_eq!(failed.status, Some(1));
    assert_one_line(&failed.stderr);
    assert!(
        failed.stderr.contains("invalid value for parameter \"work_mem\""),
        "{}",
        failed.stderr
    );
}

#[cfg(feature = "tls")]
#[test]
fn tls_is_spoken() {
    let server = Server::start(&["--tls"]);
    assert!(server.url.ends_with("&sslmode=require"), "{}", server.url);
    let address = server.url.split(['/', '?']).nth(2).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    // SSLRequest of PostgreSQL's protocol.
    stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"S");
}

#[cfg(feature = "tls")]
#[test]
fn its_certificate_can_be_had() {
    let dir = Dir::new();
    let file = dir.file("server.crt", "of an earlier run");
    let server = Server::start(&["--tls", "--tls-cert-out", &file]);
    let pem = fs::read_to_string(&file).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"), "{pem}");
    assert!(pem.ends_with("-----END CERTIFICATE-----\n"), "{pem}");
    assert_eq!(server.stop(Signal::TERM).status, Some(0));
    assert!(!Path::new(&file).exists());
}

/// It was made only after an attempt to connect to it, which is an error in the log.
#[test]
fn a_database_that_is_made_is_no_error() {
    let dir = Dir::new();
    for storage in [&["--temporary"][..], &["--path", &dir.at("db")]] {
        let server = Server::start(&[storage, &["--database", "app"]].concat());
        assert_eq!(value(&mut server.client(), "SELECT current_database()"), "app");
        let end = server.stop(Signal::TERM);
        let start = end.stderr.split("fast shutdown").next().unwrap();
        assert!(start.contains("listening on"), "{start}");
        assert!(!start.contains("ERROR"), "{start}");
    }
}
