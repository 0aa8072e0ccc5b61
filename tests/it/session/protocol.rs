//! Raw messages, the end of sessions, and what a session knows of itself.

use pglite_oxide::{Error, Session, SqlState, TransactionStatus};

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

/// Parse, Bind and Execute of a statement without parameters.
fn extended(sql: &str) -> Vec<u8> {
    [
        message(b'P', format!("\0{sql}\0\0\0").as_bytes()),
        message(b'B', b"\0\0\0\0\0\0\0\0"),
        message(b'E', b"\0\0\0\0\0"),
    ]
    .concat()
}

/// The tags of the answer, ParameterStatus left out.
#[track_caller]
fn tags(db: &mut Session, messages: &[Vec<u8>]) -> String {
    let answer = db.exec_protocol_raw(&messages.concat()).expect("an answer");
    let mut tags = String::new();
    let mut rest = &answer[..];
    while let [tag, a, b, c, d, ..] = *rest {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if tag != b'S' {
            tags.push(char::from(tag));
        }
        rest = &rest[length + 1..];
    }
    assert!(rest.is_empty());
    tags
}

#[test]
fn raw_queries() {
    let mut db = crate::temporary();
    assert_eq!(tags(&mut db, &[]), "");
    assert_eq!(tags(&mut db, &[query("SELECT 1")]), "TDCZ");
    assert_eq!(tags(&mut db, &[query("SELECT 1"), query("SELECT 1/0"), query("")]), "TDCZEZIZ");
    assert_eq!(tags(&mut db, &[extended("SELECT 1"), sync()]), "12DCZ");
    assert_eq!(tags(&mut db, &[sync(), extended("SELECT 1"), sync()]), "Z12DCZ");
    let failing = [extended("SELECT"), extended("nonsense"), extended("SELECT 1"), sync()];
    assert_eq!(tags(&mut db, &failing), "12DCEZ");
    db.exec("SELECT 1").expect("the session goes on");
}

#[test]
fn raw_messages_keep_the_state_true() {
    let mut db = crate::temporary();
    let kept = db.prepare("SELECT 1").expect("a statement");
    db.exec_protocol_raw(&query("BEGIN")).expect("an answer");
    assert_eq!(db.transaction_status(), TransactionStatus::InTransaction);
    db.exec_protocol_raw(&query("SELECT 1/0")).expect("an answer");
    assert_eq!(db.transaction_status(), TransactionStatus::Failed);
    db.exec_protocol_raw(&query("ROLLBACK; SET TimeZone = 'Asia/Tokyo'; DISCARD ALL"))
        .expect("an answer with an error");
    db.exec_protocol_raw(&query("ROLLBACK")).expect("an answer");
    db.exec_protocol_raw(&query("SET TimeZone = 'Asia/Tokyo'")).expect("an answer");
    assert_eq!(db.parameter("TimeZone"), Some("Asia/Tokyo"));
    db.exec_protocol_raw(&query("DISCARD ALL")).expect("an answer");
    let mut transaction = db.transaction().expect("a transaction");
    transaction.query(&kept, &[]).expect("it was prepared again in time");
}

#[test]
fn raw_copy() {
    let mut db = crate::temporary();
    db.exec("CREATE TABLE t (a int)").expect("a table");
    let data = |text: &str| message(b'd', text.as_bytes());
    let done = || message(b'c', b"");
    let fail = || message(b'f', b"enough\0");
    let copy = || query("COPY t FROM STDIN");
    // All at once, and in pieces.
    assert_eq!(tags(&mut db, &[copy(), data("1\n"), data("2\n"), done()]), "GCZ");
    assert_eq!(tags(&mut db, &[copy()]), "G");
    assert_eq!(tags(&mut db, &[data("3\n")]), "");
    assert_eq!(tags(&mut db, &[data("4\n"), done()]), "CZ");
    assert_eq!(tags(&mut db, &[copy(), fail()]), "GEZ");
    // With errors.
    assert_eq!(tags(&mut db, &[copy(), data("x\n"), done(), query("SELECT 1")]), "GEZTDCZ");
    assert_eq!(tags(&mut db, &[query("COPY missing FROM STDIN"), data("1\n"), done()]), "EZ");
    // In the extended protocol, with its Sync before or after the data.
    let extended_copy = || extended("COPY t FROM STDIN");
    assert_eq!(tags(&mut db, &[extended_copy(), sync()]), "12G");
    assert_eq!(tags(&mut db, &[data("5\n"), done(), sync()]), "CZ");
    assert_eq!(tags(&mut db, &[extended_copy(), sync(), data("6\n"), done(), sync()]), "12GCZ");
    assert_eq!(tags(&mut db, &[extended_copy(), data("7\n"), done(), sync()]), "12GCZ");
    assert_eq!(tags(&mut db, &[extended_copy(), data("x\n"), done(), sync()]), "12GEZ");
    assert_eq!(tags(&mut db, &[query("COPY t TO STDOUT")]), "HdddddddcCZ");
    // A COPY left open is cancelled by what comes next.
    for open in [copy(), [extended_copy(), sync()].concat()] {
        assert_eq!(tags(&mut db, &[open]).pop(), Some('G'));
        let count = db.query_one("SELECT count(*) FROM t", &[]).expect("a count");
        assert_eq!(count.get::<_, i64>(0), 7);
    }
}

#[test]
fn raw_rubbish_is_refused() {
    let mut db = crate::temporary();
    let rubbish: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"Q".to_vec(),
        b"Q\0\0\0\0".to_vec(),
        b"Q\xff\xff\xff\xffSELECT 1\0".to_vec(),
        b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(),
        extended("SELECT 1"),
        [extended("SELECT 1"), query("SELECT 1")].concat(),
        message(b'p', b"password\0"),
    ];
    for bytes in rubbish {
        assert!(matches!(db.exec_protocol_raw(&bytes), Err(Error::Usage(_))), "{bytes:?}");
    }
    // These reach PostgreSQL, which can tell for itself.
    for bytes in [message(b'Q', b"no end"), message(b'F', b"\0"), message(b'Q', b"\xff\0")] {
        let answer = db.exec_protocol_raw(&bytes).expect("an answer");
        assert_eq!(answer[0], b'E');
        assert!(answer.ends_with(b"Z\0\0\0\x05I"));
    }
    assert_eq!(tags(&mut db, &[[message(b'B', b"\0"), sync()].concat()]), "EZ");
    db.exec("SELECT 1").expect("the session goes on");
}

#[test]
fn raw_terminate() {
    let mut db = crate::temporary();
    assert_eq!(tags(&mut db, &[query("SELECT 1"), message(b'X', b"")]), "TDCZ");
    assert!(db.is_closed());
    assert!(matches!(db.exec("SELECT 1"), Err(Error::Closed { cause: None })));
}

#[test]
fn close() {
    let mut db = crate::temporary();
    assert!(!db.is_closed());
    pglite_oxide::Session::close(&mut db).expect("closed");
    pglite_oxide::Session::close(&mut db).expect("closed already");
    assert!(db.is_closed());
    assert!(matches!(db.exec("SELECT 1"), Err(Error::Closed { cause: None })));
    assert!(matches!(db.query("SELECT 1", &[]), Err(Error::Closed { .. })));
    assert!(matches!(db.transaction().map(drop), Err(Error::Closed { .. })));
    assert!(matches!(db.exec_protocol_raw(&query("SELECT 1")), Err(Error::Closed { .. })));
}

#[test]
fn a_terminated_backend_says_why() {
    let kill = "SELECT pg_terminate_backend(pg_backend_pid())";
    let mut db = crate::temporary();
    let error = db.exec(kill).expect_err("it has ended");
    assert_eq!(error.sqlstate(), Some(&SqlState::ADMIN_SHUTDOWN));
    assert!(error.is_closed() && db.is_closed());
    let error = db.exec("SELECT 1").expect_err("it has ended");
    assert!(matches!(error, Error::Closed { cause: Some(_) }), "{error:?}");
    assert_eq!(error.sqlstate(), Some(&SqlState::ADMIN_SHUTDOWN));

    let mut db = crate::temporary();
    let mut transaction = db.transaction().expect("a transaction");
    assert!(transaction.query(kill, &[]).is_err());
    drop(transaction);
    assert!(db.is_closed());

    let mut db = crate::temporary();
    let mut stream = db.query_raw(kill, &[]).expect("a stream");
    let error = stream.find_map(Result::err).expect("it has ended");
    assert_eq!(error.sqlstate(), Some(&SqlState::ADMIN_SHUTDOWN));
    drop(stream);
    assert!(db.is_closed());

    let mut db = crate::temporary();
    let answer = db.exec_protocol_raw(&query(kill)).expect("the last words");
    assert!(answer.windows(5).any(|bytes| bytes == b"57P01"));
    assert!(db.is_closed());
}

#[test]
fn what_a_session_knows_of_itself() {
    let mut db = crate::temporary();
    let row = db.query_one("SELECT pg_backend_pid(), version()", &[]).expect("a row");
    assert_eq!(row.get::<_, i32>(0), db.backend_pid());
    let version = db.parameter("server_version").expect("it is reported");
    assert!(row.get::<_, &str>(1).contains(version));
    assert_eq!(db.parameter("client_encoding"), Some("UTF8"));
    db.exec("SET application_name = 'a test'").expect("set");
    assert_eq!(db.parameter("application_name"), Some("a test"));
    assert_eq!(db.parameter("no such parameter"), None);
}

/// Deep recursion must end in PostgreSQL's own error, with the session alive.
#[test]
fn the_session_survives_recursion() {
    let mut db = crate::temporary();
    db.exec(
        "CREATE FUNCTION f(n int) RETURNS int LANGUAGE plpgsql AS
         $$ BEGIN RETURN f(n + 1); END $$",
    )
    .expect("a function");
    let error = db.query("SELECT f(1)", &[]).expect_err("endless");
    assert_eq!(error.sqlstate(), Some(&SqlState::STATEMENT_TOO_COMPLEX));
    db.exec("SELECT 1").expect("the session goes on");
}
