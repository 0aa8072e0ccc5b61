//! Sessions against rustls' client, over socket pairs.

mod authority;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use self::authority::Authority;
use super::*;

const PROTOCOL: &[u8] = b"postgresql";

/// A certificate with its key, as PEM.
struct Pair {
    chain: String,
    key: String,
}

impl Pair {
    fn for_localhost() -> Pair {
        authority::for_localhost().into()
    }

    fn settings(&self) -> Settings<'_> {
        Settings { chain: self.chain.as_bytes(), key: self.key.as_bytes(), ..Settings::default() }
    }

    fn config(&self) -> Arc<Config> {
        configure(&self.settings())
    }
}

impl From<(String, String)> for Pair {
    fn from((chain, key): (String, String)) -> Pair {
        Pair { chain, key }
    }
}

fn configure(settings: &Settings<'_>) -> Arc<Config> {
    Arc::new(Config::new(settings).expect("settings that are right"))
}

/// Versions and protocols (of ALPN) that a client offers.
type Offer<'a> = (&'a [&'static SupportedProtocolVersion], &'a [&'a [u8]]);

/// What a client is to be like.
struct Client<'a> {
    server: &'a Pair,
    versions: &'a [&'static SupportedProtocolVersion],
    protocols: &'a [&'a [u8]],
    certificate: Option<&'a Pair>,
}

impl<'a> Client<'a> {
    fn of(server: &'a Pair) -> Client<'a> {
        Client { server, versions: rustls::ALL_VERSIONS, protocols: &[], certificate: None }
    }

    fn on(&self, socket: UnixStream) -> StreamOwned<ClientConnection, UnixStream> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.server.chain.as_bytes()).expect("PEM");
        roots.add(root).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain =
                    vec![CertificateDer::from_pem_slice(pair.chain.as_bytes()).expect("PEM")];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("a key pair")
            }
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        let name = "localhost".try_into().expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        StreamOwned::new(connection, socket)
    }
}

/// Repeats a step until it is done, waiting for what it wants.
fn drive<T>(
    socket: &UnixStream,
    waits: &mut usize,
    mut step: impl FnMut(BorrowedFd<'_>) -> Result<Progress<T>, Failure>,
) -> Result<T, Failure> {
    loop {
        let events = match step(socket.as_fd())? {
            Progress::Done(result) => return Ok(result),
            Progress::WantRead => libc::POLLIN,
            Progress::WantWrite => libc::POLLOUT,
        };
        *waits += 1;
        let mut polled = libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
        // SAFETY: one descriptor, which lives through the call.
        assert_eq!(unsafe { libc::poll(&mut polled, 1, 30_000) }, 1, "nothing came");
    }
}

/// Runs `client` on a thread against a server's session, after the handshake.
fn with_session<C: Send + 'static, S>(
    config: &Arc<Config>,
    mut stream: StreamOwned<ClientConnection, UnixStream>,
    server: UnixStream,
    client: impl FnOnce(StreamOwned<ClientConnection, UnixStream>) -> C + Send + 'static,
    serve: impl FnOnce(Result<&mut Session, Failure>, &UnixStream) -> S,
) -> (C, S) {
    let client = thread::spawn(move || {
        // An error shows up in what the client does.
        while stream.conn.is_handshaking() || stream.conn.wants_write() {
            if stream.conn.complete_io(&mut stream.sock).is_err() {
                break;
            }
        }
        client(stream)
    });
    let mut session = Session::new(config, &[]).expect("a session");
    let outcome = drive(&server, &mut 0, |socket| session.handshake(socket));
    let served = serve(outcome.map(|()| &mut session), &server);
    drop(server);
    (client.join().expect("the client"), served)
}

/// Server and client after the handshake; the client does nothing more. The session, if there is one.
fn shake_hands(config: &Arc<Config>, client: &Client<'_>) -> Result<Vec<String>, Failure> {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let facts = [
        Fact::Version,
        Fact::Cipher,
        Fact::Bits,
        Fact::Protocol,
        Fact::PeerCommonName,
        Fact::PeerName,
        Fact::PeerSubject,
        Fact::PeerIssuer,
        Fact::PeerSerial,
    ];
    let text = |session: &mut Session| {
        facts.map(|fact| String::from_utf8(session.fact(fact)).expect("text")).to_vec()
    };
    let is_done = |stream: StreamOwned<ClientConnection, UnixStream>| !stream.conn.is_handshaking();
    let (done, facts) =
        with_session(config, client.on(theirs), ours, is_done, |session, _| session.map(text));
    if facts.is_ok() {
        assert!(done, "the client is still waiting for the server");
    }
    facts
}

#[test]
fn facts_are_under_the_names_of_openssl() {
    let pair = Pair::for_localhost();
    let only_chacha = Settings { ciphers: "CHACHA20", ..pair.settings() };
    let cases: &[(&Settings<'_>, Offer<'_>, [&str; 4])] = &[
        (
            &pair.settings(),
            (&[&TLS12, &TLS13], &[]),
            ["TLSv1.3", "TLS_AES_256_GCM_SHA384", "256", ""],
        ),
        (
            &pair.settings(),
            (&[&TLS12], &[PROTOCOL]),
            ["TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "256", "postgresql"],
        ),
        (
            &only_chacha,
            (&[&TLS12], &[b"h2", PROTOCOL]),
            ["TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305", "256", "postgresql"],
        ),
    ];
    for (settings, (versions, protocols), expected) in cases {
        let client = Client { versions, protocols, ..Client::of(&pair) };
        let facts = shake_hands(&configure(settings), &client).expect("a session");
        assert_eq!(facts[..4], *expected);
        assert_eq!(facts[4..], [""; 5], "no certificate was asked for");
    }
}

#[test]
fn clients_without_a_common_version_or_protocol_are_refused() {
    let pair = Pair::for_localhost();
    let only_13 = Settings { versions: Versions { min: 13, max: 13 }, ..pair.settings() };
    let only_12 = Settings { versions: Versions { min: 12, max: 12 }, ..pair.settings() };
    let cases: &[(&Settings<'_>, Offer<'_>, bool)] = &[
        (&only_13, (&[&TLS12], &[]), true),
        (&only_12, (&[&TLS13], &[]), true),
        (&pair.settings(), (&[&TLS13], &[b"http/1.1"]), false),
    ];
    for (settings, (versions, protocols), about_versions) in cases {
        let client = Client { versions, protocols, ..Client::of(&pair) };
        let failure = shake_hands(&configure(settings), &client).expect_err("refused");
        assert_eq!(failure.is_about_versions(), *about_versions, "{failure}");
    }
}

#[test]
fn certificates_of_clients() {
    let pair = Pair::for_localhost();
    let authority = Authority::named("Test CA");
    let client = |authority: &Authority, name, serial| -> Pair {
        authority.client("PGDG, Inc", name, serial).into()
    };
    let stranger = client(&Authority::named("Another CA"), "alice", 1);
    let (alice, revoked) = (client(&authority, "alice", 7), client(&authority, "bob", 8));
    let nul = client(&authority, "alice\0.example", 9);
    let list = authority.revoke(8);
    let settings = Settings {
        authorities: authority.certificate.as_bytes(),
        revoked: list.as_bytes(),
        ..pair.settings()
    };
    let config = configure(&settings);
    let connect = |versions: &[&'static SupportedProtocolVersion; 1], certificate| {
        shake_hands(&config, &Client { versions, certificate, ..Client::of(&pair) })
    };
    for versions in [&[&TLS12], &[&TLS13]] {
        let facts = connect(versions, Some(&alice)).expect("a session");
        let name = "CN=alice,O=PGDG\\, Inc";
        let expected = ["alice", name, "/O=PGDG\\, Inc/CN=alice", "/CN=Test CA", "7"];
        assert_eq!(facts[4..], expected);
        let anonymous = connect(versions, None).expect("pg_hba.conf decides on these");
        assert_eq!(anonymous[4..], [""; 5]);
        for (certificate, reason) in
            [(&stranger, "UnknownIssuer"), (&revoked, "Revoked"), (&nul, "embedded null")]
        {
            let failure = connect(versions, Some(certificate)).expect_err("refused").to_string();
            assert!(failure.contains(reason), "{failure}");
        }
    }
}

/// Four megabytes that do not repeat, so that lost or doubled bytes show.
fn bulk() -> Vec<u8> {
    (0..1u32 << 20).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn shrink(socket: &UnixStream, option: libc::c_int) {
    let size: libc::c_int = 1;
    // SAFETY: the option's value is an int, which lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const size).cast(),
            size_of_val(&size) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
}

#[test]
fn bulk_to_the_client_through_tiny_buffers() {
    for versions in [&[&TLS12], &[&TLS13]] {
        let pair = Pair::for_localhost();
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        shrink(&ours, libc::SO_SNDBUF);
        let stream = Client { versions, ..Client::of(&pair) }.on(theirs);
        let receive = |mut stream: StreamOwned<ClientConnection, UnixStream>| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).map(|_| all)
        };
        let (received, waits) =
            with_session(&pair.config(), stream, ours, receive, |session, socket| {
                let session = session.expect("a session");
                let (data, mut sent, mut waits) = (bulk(), 0, 0);
                while sent < data.len() {
                    // Lengths around a record's, and those that PostgreSQL has.
                    let len = [8192, 1, 16384, 16385, 100_000][sent % 5].min(data.len() - sent);
                    let part = &data[sent..sent + len];
                    let n = drive(socket, &mut waits, |socket| session.write(socket, part));
                    sent += n.expect("a write");
                }
                // Closing does not wait for room, so this does.
                let mut first = true;
                drive(socket, &mut 0, |_| {
                    let waited = !std::mem::take(&mut first);
                    Ok(if waited { Progress::Done(()) } else { Progress::WantWrite })
                })
                .expect("room");
                session.close(socket.as_fd());
                let closing = drive(socket, &mut 0, |socket| session.read(socket, &mut [0]));
                // The client saw close_notify, or the end of the socket before its own.
                assert!(matches!(closing, Ok(0) | Err(Failure::Eof)), "{closing:?}");
                waits
            });
        assert!(received.expect("a clean end") == bulk(), "other bytes arrived");
        assert!(waits > 10, "the socket was never full: {waits}");
    }
}

#[test]
fn bulk_from_the_client_through_tiny_buffers() {
    let pair = Pair::for_localhost();
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    shrink(&theirs, libc::SO_SNDBUF);
    let stream = Client::of(&pair).on(theirs);
    let send = |mut stream: StreamOwned<ClientConnection, UnixStream>| {
        stream.write_all(&bulk())?;
        stream.conn.send_close_notify();
        stream.conn.complete_io(&mut stream.sock).map(drop)
    };
    let (sent, received) = with_session(&pair.config(), stream, ours, send, |session, socket| {
        let session = session.expect("a session");
        let (mut all, mut buffer, mut waits) = (Vec::new(), [0; 8192], 0);
        loop {
            let read = drive(socket, &mut waits, |socket| session.read(socket, &mut buffer));
            match read.expect("a read") {
                0 => break,
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
        // The end stays the end.
        let again = session.read(socket.as_fd(), &mut buffer).expect("a read");
        assert_eq!(again, Progress::Done(0));
        all
    });
    sent.expect("all sent");
    assert!(received == bulk(), "other bytes arrived");
}

/// PostgreSQL reads ahead before it knows that a client begins with TLS: those bytes are the session's first.
#[test]
fn bytes_read_early_are_the_first_of_the_session() {
    let pair = Pair::for_localhost();
    for taken in [1, 5, 8192] {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let mut stream = Client { protocols: &[PROTOCOL], ..Client::of(&pair) }.on(theirs);
        let client = thread::spawn(move || {
            stream.write_all(b"hello")?;
            stream.flush()?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).map(|()| answer)
        });
        let mut early = vec![0; taken];
        let n = (&ours).read(&mut early).expect("a client hello");
        let mut session = Session::new(&pair.config(), &early[..n]).expect("a session");
        drive(&ours, &mut 0, |socket| session.handshake(socket)).expect("a session");
        assert_eq!(session.fact(Fact::Protocol), PROTOCOL);
        let mut buffer = [0; 16];
        let n = drive(&ours, &mut 0, |socket| session.read(socket, &mut buffer)).expect("a read");
        assert_eq!(&buffer[..n], b"hello");
        let sent = drive(&ours, &mut 0, |socket| session.write(socket, b"ok")).expect("a write");
        assert_eq!(sent, 2);
        assert_eq!(client.join().expect("the client").expect("an answer"), *b"ok");
    }
}

/// Whatever arrives, and in whatever pieces, a call comes back.
#[test]
fn nothing_blocks() {
    let pair = Pair::for_localhost();
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let mut session = Session::new(&pair.config(), &[]).expect("a session");
    assert_eq!(session.handshake(ours.as_fd()).expect("no failure"), Progress::WantRead);
    // A record's header that promises more than ever comes.
    (&theirs).write_all(&[0x16, 3, 1, 1, 0, 1]).expect("room");
    assert_eq!(session.handshake(ours.as_fd()).expect("no failure"), Progress::WantRead);
    drop(theirs);
    let failure = session.handshake(ours.as_fd()).expect_err("the end");
    assert!(matches!(failure, Failure::Eof), "{failure}");
}

#[test]
fn garbage_is_answered_by_an_alert() {
    const ALERT: u8 = 0x15;
    let pair = Pair::for_localhost();
    let cases: &[(&[u8], &[u8])] = &[
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &[ALERT]),
        // A start-up packet of version 3.0, unencrypted.
        (b"\0\0\0\x13\0\x03\0\0user\0alice\0\0\0\0\0\0\0\0", &[ALERT]),
        // A handshake record with no client hello in it.
        (b"\x16\x03\x01\0\x08\x01\0\0\x04abcd", &[ALERT]),
        // Application data, and a change of keys, before anything else.
        (b"\x17\x03\x03\0\x05hello", &[ALERT]),
        (b"\x14\x03\x03\0\x01\x01\x16\x03\x01\0\0", &[ALERT]),
        // A message beyond all bounds, and an alert: no answer to these.
        (b"\x16\x03\x01\0\x04\x01\x02\x03\x04", &[]),
        (b"\x15\x03\x01\0\x02\x02\x28", &[]),
    ];
    for (garbage, expected) in cases {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        (&theirs).write_all(garbage).expect("room");
        let mut session = Session::new(&pair.config(), &[]).expect("a session");
        let failure = session.handshake(ours.as_fd());
        assert!(matches!(failure, Err(Failure::Tls(_))), "{}: {failure:?}", garbage.escape_ascii());
        session.close(ours.as_fd());
        drop(ours);
        let mut answer = Vec::new();
        (&theirs).read_to_end(&mut answer).expect("an answer");
        assert!(answer.starts_with(expected), "{}: {answer:?}", garbage.escape_ascii());
    }
}

/// A connection that breaks is not the same as one that the client has ended: data could be missing.
#[test]
fn a_connection_cut_off_is_not_a_clean_end() {
    let pair = Pair::for_localhost();
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let stream = Client::of(&pair).on(theirs);
    let cut = |mut stream: StreamOwned<ClientConnection, UnixStream>| {
        stream.write_all(b"half a mess").and_then(|()| stream.flush()).expect("a write");
    };
    let ((), read) = with_session(&pair.config(), stream, ours, cut, |session, socket| {
        let session = session.expect("a session");
        let mut buffer = [0; 64];
        let n = drive(socket, &mut 0, |socket| session.read(socket, &mut buffer)).expect("a read");
        assert_eq!(&buffer[..n], b"half a mess");
        drive(socket, &mut 0, |socket| session.read(socket, &mut buffer))
    });
    assert!(matches!(read, Err(Failure::Eof)), "{read:?}");
}

/// Application data that was changed on the way.
#[test]
fn a_changed_record_is_refused() {
    let pair = Pair::for_localhost();
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let stream = Client::of(&pair).on(theirs);
    let change = |mut stream: StreamOwned<ClientConnection, UnixStream>| -> io::Result<()> {
        stream.read_exact(&mut [0])?;
        stream.conn.writer().write_all(b"SELECT 1")?;
        let mut record = Vec::new();
        stream.conn.write_tls(&mut record)?;
        *record.last_mut().expect("a record") ^= 1;
        stream.sock.write_all(&record)?;
        let mut end = Vec::new();
        stream.read_to_end(&mut end).map(drop)
    };
    let (told, read) = with_session(&pair.config(), stream, ours, change, |session, socket| {
        let session = session.expect("a session");
        drive(socket, &mut 0, |socket| session.write(socket, b"!")).expect("a write");
        drive(socket, &mut 0, |socket| session.read(socket, &mut [0; 64]))
    });
    assert!(matches!(read, Err(Failure::Tls(rustls::Error::DecryptError))), "{read:?}");
    let told = told.expect_err("an alert").to_string();
    assert!(told.contains("BadRecordMac"), "{told}");
}

#[test]
fn a_retry_with_fewer_bytes_is_refused() {
    let pair = Pair::for_localhost();
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    shrink(&ours, libc::SO_SNDBUF);
    let stream = Client::of(&pair).on(theirs);
    // The client reads nothing until the server has given up.
    let (finished, wait) = std::sync::mpsc::channel::<()>();
    let idle = move |_stream| wait.recv().expect_err("the sender is dropped");
    let (_, ()) = with_session(&pair.config(), stream, ours, idle, |session, socket| {
        let session = session.expect("a session");
        let data = vec![7; 60_000];
        let full = (0..1000)
            .any(|_| session.write(socket.as_fd(), &data).expect("a write") == Progress::WantWrite);
        assert!(full, "the socket took everything");
        let failure = session.write(socket.as_fd(), &data[..100]).expect_err("refused");
        assert!(matches!(failure, Failure::BadRetry), "{failure}");
        drop(finished);
    });
}

#[test]
fn errors_in_the_files_say_which_and_why() {
    let (good, other) = (Pair::for_localhost(), Pair::for_localhost());
    let cut = &good.chain[..good.chain.len() / 2];
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let base = || good.settings();
    let cases: &[(Settings<'_>, Part, &str)] = &[
        (Settings { chain: b"", ..base() }, Part::Chain, "no certificate"),
        (Settings { chain: good.key.as_bytes(), ..base() }, Part::Chain, "no certificate"),
        (Settings { chain: cut.as_bytes(), ..base() }, Part::Chain, "section end"),
        (Settings { chain: damaged.as_bytes(), ..base() }, Part::Chain, "damaged"),
        (Settings { key: b"", ..base() }, Part::Key, "no private key"),
        (Settings { key: good.chain.as_bytes(), ..base() }, Part::Key, "no private key"),
        (Settings { key: encrypted.as_bytes(), ..base() }, Part::Key, "encrypted"),
        (Settings { key: other.key.as_bytes(), ..base() }, Part::Pair, "mismatch"),
        (Settings { authorities: b"none", ..base() }, Part::Authorities, "no certificate"),
        (
            Settings { authorities: damaged.as_bytes(), ..base() },
            Part::Authorities,
            "invalid peer certificate",
        ),
        (
            Settings { authorities: good.chain.as_bytes(), revoked: b"none", ..base() },
            Part::Revoked,
            "no revocation list",
        ),
        (Settings { ciphers: "RC4-MD5", ..base() }, Part::Ciphers, "no valid ciphers"),
        (Settings { curve: "secp521r1", ..base() }, Part::Curve, "X25519"),
        (
            Settings { versions: Versions { min: 13, max: 12 }, ..base() },
            Part::Versions,
            "no usable",
        ),
    ];
    for (settings, part, reason) in cases {
        let error = Config::new(settings).expect_err("settings that are wrong");
        assert_eq!(error.part, *part, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}
