//! The server as a client of other servers: libpq in the guest, logical replication.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use pglite_oxide::{PgliteServer, Session};

use super::text;

/// A server with a table of three rows to subscribe to, on TCP and on a Unix socket in `directory`.
fn publisher(directory: &std::path::Path) -> (PgliteServer, Session) {
    let server = PgliteServer::builder()
        .config("wal_level", "logical")
        .unix_socket(directory)
        .start()
        .unwrap();
    let mut session = server.connect().unwrap();
    session
        .exec(
            "CREATE TABLE planet (id int PRIMARY KEY, name text);
             INSERT INTO planet VALUES (1, 'Mercury'), (2, 'Venus'), (3, 'Pluto');
             CREATE PUBLICATION planets FOR TABLE planet",
        )
        .unwrap();
    (server, session)
}

/// Asks until the answer is the expected one: replication takes its time.
fn wait_for(session: &mut Session, sql: &str, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let found = text(session, sql);
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found} instead of {expected}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const PLANETS: &str = "SELECT coalesce(string_agg(name, ' ' ORDER BY id), '') FROM planet";

fn subscribe_and_follow(connection: &str, client_address: &str, publisher: &mut Session) {
    let server = PgliteServer::temporary().unwrap();
    let mut subscriber = server.connect().unwrap();
    subscriber.exec("CREATE TABLE planet (id int PRIMARY KEY, name text)").unwrap();
    subscriber
        .exec(&format!("CREATE SUBSCRIPTION sub CONNECTION '{connection}' PUBLICATION planets"))
        .unwrap();
    wait_for(&mut subscriber, PLANETS, "Mercury Venus Pluto");

    publisher
        .exec(
            "BEGIN;
             DELETE FROM planet WHERE name = 'Pluto';
             UPDATE planet SET name = 'Hermes' WHERE id = 1;
             INSERT INTO planet SELECT 3, 'Earth';
             COMMIT",
        )
        .unwrap();
    wait_for(&mut subscriber, PLANETS, "Hermes Venus Earth");
    let address = "SELECT coalesce(host(client_addr), 'local') FROM pg_stat_replication";
    wait_for(publisher, address, client_address);

    // The slot on the other server goes with the subscription.
    subscriber.exec("DROP SUBSCRIPTION sub").unwrap();
    assert_eq!(text(publisher, "SELECT count(*) FROM pg_replication_slots"), "0");
}

#[test]
fn a_server_subscribes_to_another_over_tcp() {
    let directory = tempfile::tempdir().unwrap();
    let (server, mut session) = publisher(directory.path());
    let port = server.local_addr().unwrap().port();
    let connection = format!(
        "host=127.0.0.1 port={port} user=postgres dbname=postgres \
         keepalives_idle=77 tcp_user_timeout=60000"
    );
    subscribe_and_follow(&connection, "127.0.0.1", &mut session);
}

#[test]
fn a_server_subscribes_to_another_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (server, mut session) = publisher(directory.path());
    let port = server.local_addr().unwrap().port();
    // Both of its addresses are tried, IPv6 first on most systems; the server has one.
    let connection = format!("host=localhost port={port} user=postgres dbname=postgres");
    subscribe_and_follow(&connection, "127.0.0.1", &mut session);
}

#[test]
fn a_server_subscribes_to_another_over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let (server, mut session) = publisher(directory.path());
    let connection = format!(
        "host={} port={} user=postgres dbname=postgres requirepeer=postgres",
        directory.path().display(),
        server.local_addr().unwrap().port()
    );
    subscribe_and_follow(&connection, "local", &mut session);
}

#[test]
fn connections_that_fail_say_why() {
    let server = PgliteServer::temporary().unwrap();
    let mut session = server.connect().unwrap();
    // A port that was free just now.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (connection, reason) in [
        (format!("host=127.0.0.1 port={closed}"), "refused"),
        ("host=/nowhere".to_owned(), "No such file or directory"),
        ("host=no-such-host.invalid".to_owned(), "could not translate host name"),
        ("host=127.0.0.1 port=1 sslmode=require".to_owned(), "sslmode value \"require\" invalid"),
    ] {
        let error = session
            .exec(&format!("CREATE SUBSCRIPTION sub CONNECTION '{connection}' PUBLICATION none"))
            .unwrap_err();
        assert!(error.to_string().contains(reason), "{connection}: {error}");
    }
}

/// The embedding program needs no password. What runs inside the server does, or a role that may open
/// connections from there could become any other.
#[test]
fn the_server_itself_is_not_trusted_by_itself() {
    let server = PgliteServer::builder().password("secret").start().unwrap();
    let mut session = server.connect().unwrap();
    let port = text(&mut session, "SHOW port");
    let error = session
        .exec(&format!(
            "CREATE SUBSCRIPTION sub CONNECTION 'host=/tmp port={port} dbname=postgres' PUBLICATION none"
        ))
        .unwrap_err();
    assert!(error.to_string().contains("no password supplied"), "{error}");
}

/// A physical standby or `pg_basebackup` starts like this.
#[test]
fn a_replication_connection_streams_a_base_backup() {
    let server = PgliteServer::temporary().unwrap();
    let mut stream = server.connect_raw().unwrap();
    let mut startup = 196_608_i32.to_be_bytes().to_vec();
    startup.extend_from_slice(b"user\0postgres\0replication\0true\0\0");
    stream.write_all(&(startup.len() as i32 + 4).to_be_bytes()).unwrap();
    stream.write_all(&startup).unwrap();
    read_until_ready(&mut stream);

    let system = ask(&mut stream, "IDENTIFY_SYSTEM");
    let identifier =
        text(&mut server.connect().unwrap(), "SELECT system_identifier FROM pg_control_system()");
    assert!(contains(&system, identifier.as_bytes()));

    let backup = ask(&mut stream, "BASE_BACKUP (CHECKPOINT 'fast', WAIT false)");
    for file in ["backup_label", "PG_VERSION", "global/pg_control", "backup_manifest"] {
        assert!(contains(&backup, file.as_bytes()), "no {file} in it");
    }
}

fn ask(stream: &mut (impl Read + Write), command: &str) -> Vec<u8> {
    let mut message = vec![b'Q'];
    message.extend_from_slice(&(command.len() as i32 + 5).to_be_bytes());
    message.extend_from_slice(command.as_bytes());
    message.push(0);
    stream.write_all(&message).unwrap();
    read_until_ready(stream)
}

/// All bodies up to ReadyForQuery; an error among them fails the test.
fn read_until_ready(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let len = i32::from_be_bytes([head[1], head[2], head[3], head[4]]) - 4;
        let mut body = vec![0; usize::try_from(len).unwrap()];
        stream.read_exact(&mut body).unwrap();
        assert_ne!(head[0], b'E', "{}", String::from_utf8_lossy(&body));
        if head[0] == b'Z' {
            return all;
        }
        all.extend_from_slice(&body);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
