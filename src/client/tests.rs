//! What a session does when the backend is not PostgreSQL at its best.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Cancel, ConnectOptions, Session};
use crate::error::{ConnectionError, Error, SqlState};

struct NoCancel;

impl Cancel for NoCancel {
    fn cancel(&self, _: i32, _: i32) -> Result<(), Error> {
        Ok(())
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn report(severity: &str, code: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0Mthe message\0\0").as_bytes())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn connect(stream: UnixStream) -> Result<Session, Error> {
    let options = ConnectOptions {
        user: "u".to_owned(),
        database: "d".to_owned(),
        ..ConnectOptions::default()
    };
    Session::connect(stream, options, Arc::new(NoCancel))
}

/// A session with a backend that answers the first request with `answer` and then closes.
fn session(answer: Vec<u8>) -> (Session, JoinHandle<()>) {
    let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
    let backend = thread::spawn(move || {
        let mut buffer = [0; 4096];
        assert!(theirs.read(&mut buffer).expect("the start-up message") > 0);
        let welcome = [
            message(b'R', b"\0\0\0\0"),
            message(b'S', b"server_version\x0017.0\0"),
            message(b'K', b"\0\0\0\x07\0\0\0\x09"),
            ready(),
        ];
        theirs.write_all(&welcome.concat()).expect("the welcome is sent");
        assert!(theirs.read(&mut buffer).expect("a request") > 0);
        theirs.write_all(&answer).expect("the answer is sent");
    });
    let session = connect(ours).expect("a session");
    assert_eq!(session.backend_pid(), 7);
    assert_eq!(session.parameter("server_version"), Some("17.0"));
    (session, backend)
}

#[track_caller]
fn first_error(answer: Vec<u8>) -> Error {
    let (mut session, backend) = session(answer);
    let error = session.exec("SELECT 1").expect_err("the backend is broken");
    assert!(session.is_closed() && error.is_closed(), "{error:?}");
    assert!(matches!(session.exec("SELECT 1"), Err(Error::Closed { .. })));
    backend.join().expect("the backend did its part");
    error
}

#[test]
fn a_backend_that_dies_silently() {
    for answer in [Vec::new(), b"D\0\0".to_vec(), message(b'C', b"SELECT 1\0")] {
        let error = first_error(answer);
        assert!(
            matches!(
                &error,
                Error::Connection(ConnectionError::BackendDied { last_message: None })
            ),
            "{error:?}"
        );
    }
}

#[test]
fn a_backend_that_says_why_it_dies() {
    for severity in ["FATAL", "PANIC"] {
        let error = first_error(report(severity, "57P01"));
        assert!(matches!(error, Error::Db(_)), "{error:?}");
        assert_eq!(error.sqlstate(), Some(&SqlState::ADMIN_SHUTDOWN));
    }
    // After a crash of another backend it comes as a warning, and without the rest of the answer.
    let mut warning = report("WARNING", "57P02");
    warning[0] = b'N';
    let error = first_error(warning);
    assert!(
        matches!(&error, Error::Connection(ConnectionError::BackendDied { last_message: Some(_) })),
        "{error:?}"
    );
    assert_eq!(error.sqlstate(), Some(&SqlState::CRASH_SHUTDOWN));
    // An error that is not the end, and then the end.
    let error = first_error(report("ERROR", "22012"));
    assert!(matches!(error, Error::Connection(_)), "{error:?}");
}

/// The request is what fails then, and the reason was there before; as a warning it was passed over.
#[test]
fn a_backend_that_says_why_it_dies_between_two_requests() {
    for (kind, severity, code) in [(b'E', "FATAL", "57P01"), (b'N', "WARNING", "57P02")] {
        let mut farewell = report(severity, code);
        farewell[0] = kind;
        let answer = [message(b'C', b"SELECT 0\0"), ready(), farewell].concat();
        let (mut session, backend) = session(answer);
        session.exec("SELECT 1").expect("an answer");
        backend.join().expect("the backend did its part");
        let error = session.exec("SELECT 1").expect_err("the backend has gone");
        assert_eq!(error.sqlstate().map(SqlState::code), Some(code), "{error:?}");
    }
}

#[test]
fn a_backend_that_breaks_the_protocol() {
    let answers: Vec<Vec<u8>> = vec![
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        message(b'?', b""),
        message(b'Z', b"?"),
        message(b'Z', b""),
        message(b'1', b"rubbish"),
        message(b'T', b"\0\x02a\0"),
        message(b'R', b"\0\0\0\0"),
        b"D\xff\xff\xff\xff".to_vec(),
        b"D\0\0\0\x03".to_vec(),
        // A row without a description, one that is cut off.
        message(b'D', b"\0\x01\0\0\0\x01x"),
        message(b'D', b"\0"),
        [
            message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"),
            message(b'D', b"\0\x01\0\0\0\x09x"),
        ]
        .concat(),
    ];
    for answer in answers {
        let shown = answer.escape_ascii().to_string();
        let error = first_error(answer);
        assert!(
            matches!(error, Error::Connection(ConnectionError::Protocol(_))),
            "{shown}: {error:?}"
        );
    }
}

#[test]
fn a_refused_log_in() {
    let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
    theirs.write_all(&report("FATAL", "3D000")).expect("the refusal is sent");
    let refusal = connect(ours).expect_err("refused");
    assert_eq!(refusal.sqlstate(), Some(&SqlState::INVALID_CATALOG_NAME));

    // SASL without a mechanism known here; a password that was not given; nothing at all.
    for offer in [&b"\0\0\0\x0aOTHER\0\0"[..], b"\0\0\0\x03", b"\0\0\0\x07"] {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        theirs.write_all(&message(b'R', offer)).expect("the question is sent");
        let refusal = connect(ours).expect_err("refused");
        assert!(
            matches!(refusal, Error::Connection(ConnectionError::Authentication(_))),
            "{refusal:?}"
        );
    }
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    drop(theirs);
    assert!(matches!(connect(ours), Err(Error::Connection(_))));
}

/// Whoever drops or closes a session must not wait for a backend that hangs.
#[test]
fn dropping_does_not_wait_for_a_backend_that_hangs() {
    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    let (mut copy, mut welcome) = (ours.try_clone().expect("a copy"), theirs);
    let welcomed = [message(b'R', b"\0\0\0\0"), ready()].concat();
    welcome.write_all(&welcomed).expect("the welcome is sent");
    let session = connect(copy.try_clone().expect("a copy")).expect("a session");
    // Fill the socket, as a request that nobody reads does.
    copy.set_nonblocking(true).expect("an option");
    while copy.write(&[0; 65536]).is_ok() {}
    ours.set_nonblocking(true).expect("an option");
    while ours.write(&[0]).is_ok() {}
    let begin = std::time::Instant::now();
    drop(session);
    assert!(begin.elapsed() < Duration::from_secs(1));
}
