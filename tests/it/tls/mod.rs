//! TLS over TCP, as clients use it.

mod client;
mod files;

use std::io::{Read, Write};
use std::net::SocketAddr;

use pglite_oxide::{ConfigError, Error, PgliteServer, Tls};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::{TLS12, TLS13};

use self::client::{Client, Offer, request_tls, tcp};

/// A temporary server with a certificate of its own, and a client that trusts it.
fn server() -> (PgliteServer, SocketAddr, Offer) {
    server_with(|builder| builder)
}

fn server_with(
    options: impl FnOnce(pglite_oxide::PgliteServerBuilder) -> pglite_oxide::PgliteServerBuilder,
) -> (PgliteServer, SocketAddr, Offer) {
    let tls = Tls::self_signed().unwrap();
    let offer = Offer::trusting(&tls.certificate_pem());
    let server = options(PgliteServer::builder().tls(tls)).start().unwrap();
    let address = server.local_addr().unwrap();
    (server, address, offer)
}

/// The message of an attempt that must fail.
fn refused<T>(attempt: std::io::Result<T>) -> String {
    attempt.err().expect("an attempt that is refused").to_string()
}

#[test]
fn postgres_knows_that_a_session_is_encrypted() {
    let (server, address, offer) = server();
    let cases = [
        (&TLS12, "t|TLSv1.2|ECDHE-ECDSA-AES256-GCM-SHA384|256"),
        (&TLS13, "t|TLSv1.3|TLS_AES_256_GCM_SHA384|256"),
    ];
    for (version, expected) in cases {
        // The certificate is for each name that the machine has for itself.
        for name in ["localhost", "127.0.0.1", "::1"] {
            let offer = Offer { versions: vec![version], name, ..offer.clone() };
            let mut client = offer.connect(address).unwrap();
            let row = client.query(
                "SELECT ssl, version, cipher, bits FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            );
            assert_eq!(row.unwrap(), [expected]);
        }
    }
    // Others go on without: it is offered, not demanded.
    let mut plain = Client::log_in(tcp(address).unwrap(), "postgres").unwrap();
    let row = plain.query("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    assert_eq!(row.unwrap(), ["f|"]);
    assert_eq!(plain.query("SHOW ssl_library").unwrap(), ["rustls"]);
    assert!(server.database_url().ends_with("&sslmode=require"));
}

#[test]
fn clients_that_expect_another_server_go_away() {
    let (_server, address, offer) = server();
    let other = Tls::self_signed().unwrap().certificate_pem();
    let message = refused(Offer::trusting(&other).connect(address));
    assert!(message.contains("invalid peer certificate"), "{message}");
    let message = refused(Offer { name: "db.example", ..offer.clone() }.connect(address));
    assert!(message.contains("not valid for name"), "{message}");
    assert_eq!(offer.connect(address).unwrap().query("SELECT 1").unwrap(), ["1"]);
}

/// The password's exchange is bound to the certificate: who stands in the middle with another one fails.
#[test]
fn channel_binding() {
    let (_server, address, offer) = server_with(|builder| builder.password("secret"));
    let certificate = CertificateDer::from_pem_slice(offer.root.as_bytes()).unwrap();
    let sha256 = TLS13_AES_128_GCM_SHA256.tls13().unwrap().common.hash_provider;
    let hash = sha256.hash(&certificate).as_ref().to_vec();
    for version in [&TLS12, &TLS13] {
        let offer = Offer { versions: vec![version], ..offer.clone() };
        let log_in = |password, hash| {
            Client::log_in_bound(offer.negotiate(address).unwrap(), "postgres", password, hash)
        };
        let mut client = log_in("secret", hash.clone()).unwrap();
        assert_eq!(client.query("SELECT 1").unwrap(), ["1"]);
        let message = refused(log_in("secret", vec![0; 32]));
        assert!(message.contains("SCRAM channel binding check failed"), "{message}");
        assert!(refused(log_in("wrong", hash.clone())).starts_with("28P01"));
    }
}

#[test]
fn tls_from_the_first_byte() {
    let (_server, address, offer) = server();
    let mut client = Client::log_in(offer.direct(address).unwrap(), "postgres").unwrap();
    assert_eq!(client.query("SELECT 1").unwrap(), ["1"]);
    // TLS inside of TLS is not on offer.
    let mut stream = offer.direct(address).unwrap();
    assert_eq!(request_tls(&mut stream).unwrap(), b'N');
    // Without ALPN it could be another protocol that was sent here by somebody in the middle.
    let unnamed = Offer { protocols: Vec::new(), ..offer.clone() };
    let attempt = unnamed.direct(address).and_then(|stream| Client::log_in(stream, "postgres"));
    refused(attempt);
    let other = Offer { protocols: vec![b"http/1.1".to_vec()], ..offer.clone() };
    let message = refused(other.direct(address));
    assert!(message.contains("NoApplicationProtocol"), "{message}");
    // By request ALPN is not needed, but a wrong one is refused there too.
    assert_eq!(unnamed.connect(address).unwrap().query("SELECT 2").unwrap(), ["2"]);
    refused(other.negotiate(address));
}

#[test]
fn a_lower_bound_of_versions() {
    let (_server, address, offer) =
        server_with(|builder| builder.config("ssl_min_protocol_version", "TLSv1.3"));
    let old = Offer { versions: vec![&TLS12], ..offer.clone() };
    let message = refused(old.connect(address));
    assert!(message.contains("ProtocolVersion"), "{message}");
    offer.connect(address).unwrap();
}

#[test]
fn what_is_not_tls_harms_nobody() {
    let (_server, address, offer) = server();
    let mut bystander = offer.connect(address).unwrap();
    // Bytes, and whether they come after a request for TLS was granted.
    let cases: &[(&[u8], bool)] = &[
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", false),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", true),
        (b"\x16\x03\x01\0\x08\x01\0\0\x04abcd", false),
        (b"\x16\x03\x01\0\x08\x01\0\0\x04abcd", true),
        (b"\x16\x03\x01\xff\xff", false),
        (b"\x16\x03\x01\xff\xff", true),
        (b"\x16", false),
        (b"\x15\x03\x01\0\x02\x02\x28", true),
        // A start-up packet, unencrypted.
        (b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0", true),
        (b"", true),
    ];
    for (bytes, after_request) in cases {
        let mut socket = tcp(address).unwrap();
        if *after_request {
            assert_eq!(request_tls(&mut socket).unwrap(), b'S');
        }
        socket.write_all(bytes).unwrap();
        // It may answer, and hangs up, perhaps already now.
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
        assert_eq!(bystander.query("SELECT 1").unwrap(), ["1"], "{}", bytes.escape_ascii());
        offer.connect(address).unwrap();
    }
}

/// CVE-2021-23214: what was sent before the handshake must never count as if it had been encrypted.
#[test]
fn a_statement_pushed_in_before_the_handshake_is_not_run() {
    let (_server, address, offer) = server();
    let mut socket = tcp(address).unwrap();
    let mut request = bytes::BytesMut::new();
    postgres_protocol::message::frontend::ssl_request(&mut request);
    let mut injected = bytes::BytesMut::new();
    let statement = "CREATE TABLE injected (i int)";
    postgres_protocol::message::frontend::query(statement, &mut injected).unwrap();
    request.extend_from_slice(&injected);
    socket.write_all(&request).unwrap();
    let mut answer = [0];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"S");
    let attempt =
        offer.handshake(socket).and_then(|stream| Client::log_in(stream, "postgres")).map(drop);
    refused(attempt);
    let tables = offer.connect(address).unwrap().query("SELECT to_regclass('injected')").unwrap();
    assert_eq!(tables, [""]);
}

/// A client that stops in the middle of its handshake holds up nobody, and not for ever.
#[test]
fn a_stalled_handshake() {
    let (_server, address, offer) =
        server_with(|builder| builder.config("authentication_timeout", "1s"));
    let mut by_request = tcp(address).unwrap();
    assert_eq!(request_tls(&mut by_request).unwrap(), b'S');
    let mut half_a_hello = tcp(address).unwrap();
    half_a_hello.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").unwrap();
    let mut others = offer.connect(address).unwrap();
    assert_eq!(others.query("SELECT 1").unwrap(), ["1"]);
    for mut stalled in [by_request, half_a_hello] {
        // Its end, and no message: there is no session to encrypt one for.
        assert_eq!(stalled.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
    assert_eq!(others.query("SELECT 2").unwrap(), ["2"]);
}

/// 100 MB each way, every byte looked at.
#[test]
fn bulk() {
    const ROWS: u32 = 100_000;
    let line = |i: u32| format!("{:08x},", i.wrapping_mul(2_654_435_761)).repeat(112);
    let expression = "repeat(lpad(to_hex((i * 2654435761) % 4294967296), 8, '0') || ',', 112)";
    let (_server, address, offer) = server();
    let mut client = offer.connect(address).unwrap();
    client.query("CREATE UNLOGGED TABLE bulk (i bigint, line text)").unwrap();
    let chunks = (0..ROWS / 100).map(|chunk| {
        (chunk * 100..chunk * 100 + 100).map(|i| format!("{i}\t{}\n", line(i))).collect()
    });
    client.copy_in("COPY bulk FROM STDIN", chunks).unwrap();
    let same = format!("SELECT count(*), count(*) FILTER (WHERE line = {expression}) FROM bulk");
    assert_eq!(client.query(&same).unwrap(), [format!("{ROWS}|{ROWS}")]);

    let mut next = 0;
    let all = format!("SELECT {expression} FROM generate_series(0::bigint, {}) i", ROWS - 1);
    client
        .for_each_row(&all, |row| {
            assert!(row == line(next), "row {next}: {row}");
            next += 1;
        })
        .unwrap();
    assert_eq!(next, ROWS);
}

/// A client that leaves while a result is on its way.
#[test]
fn a_client_that_vanishes_in_a_result() {
    let (_server, address, offer) = server();
    let mut leaving = offer.connect(address).unwrap();
    let pid = leaving.query("SELECT pg_backend_pid()").unwrap().remove(0);
    let mut message = bytes::BytesMut::new();
    let endless = "SELECT repeat('x', 1000), generate_series(1, 1000000000)";
    postgres_protocol::message::frontend::query(endless, &mut message).unwrap();
    leaving.stream.write_all(&message).unwrap();
    leaving.stream.read_exact(&mut [0; 1000]).unwrap();
    drop(leaving);
    let mut other = offer.connect(address).unwrap();
    let gone = format!(
        "DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid}) LOOP \
         PERFORM pg_sleep(0.01); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$"
    );
    other.query(&gone).unwrap();
}

#[test]
fn unix_sockets_are_not_encrypted() {
    let directory = tempfile::tempdir().unwrap();
    let (server, ..) = server_with(|builder| builder.unix_socket(directory.path()));
    let mut socket =
        std::os::unix::net::UnixStream::connect(server.socket_path().unwrap()).unwrap();
    assert_eq!(request_tls(&mut socket).unwrap(), b'N');
    Client::log_in(socket, "postgres").unwrap();
}

#[test]
fn a_certificate_that_cannot_be_used_is_an_error_of_the_start() {
    let tls = Tls::from_pem("not a certificate", "not a key");
    let error = PgliteServer::builder().tls(tls).start().unwrap_err();
    let Error::Config(ConfigError::Certificate { reason }) = &error else { panic!("{error}") };
    assert!(reason.contains("no certificate in PEM format found"), "{reason}");
}
