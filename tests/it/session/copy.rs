//! `COPY` from and to the client.

use std::io::{BufRead, Read, Write};
use std::time::{Duration, Instant};

use pglite_oxide::{Error, SqlState, TransactionStatus};

fn count(db: &mut pglite_oxide::Session) -> i64 {
    db.query_one("SELECT count(*) FROM t", &[]).expect("a count").get(0)
}

#[test]
fn in_and_out() {
    let mut db = crate::temporary();
    db.exec("CREATE TABLE t (a int, b text)").expect("a table");
    let mut data = String::new();
    for i in 0..100_000 {
        data.push_str(&format!("{i}\ttext number {i}\n"));
    }
    let mut writer = db.copy_in("COPY t FROM STDIN").expect("a writer");
    for piece in data.as_bytes().chunks(999) {
        writer.write_all(piece).expect("it takes the data");
    }
    assert_eq!(writer.finish().expect("all rows"), 100_000);

    let mut back = String::new();
    let mut reader = db.copy_out("COPY (SELECT * FROM t ORDER BY a) TO STDOUT").expect("a reader");
    reader.read_to_string(&mut back).expect("the data");
    assert_eq!(reader.rows(), 100_000);
    drop(reader);
    assert!(back == data);

    let reader = db.copy_out("COPY t TO STDOUT (FORMAT csv)").expect("a reader");
    assert_eq!(reader.lines().map_while(Result::ok).count(), 100_000);
    db.exec("SELECT 1").expect("the session goes on");
}

#[test]
fn binary() {
    let mut db = crate::temporary();
    db.exec("CREATE TABLE t (a int8, b bytea)").expect("a table");
    db.exec("INSERT INTO t SELECT n, decode('00ff', 'hex') FROM generate_series(1, 1000) n")
        .expect("rows");
    let mut bytes = Vec::new();
    db.copy_out("COPY t TO STDOUT (FORMAT binary)")
        .expect("a reader")
        .read_to_end(&mut bytes)
        .expect("the data");
    assert!(bytes.starts_with(b"PGCOPY\n\xff\r\n\0"));
    db.exec("CREATE TABLE u (LIKE t)").expect("a table");
    let mut writer = db.copy_in("COPY u FROM STDIN (FORMAT binary)").expect("a writer");
    writer.write_all(&bytes).expect("it takes the data");
    assert_eq!(writer.finish().expect("all rows"), 1000);
    let same = "SELECT count(*) FROM t JOIN u USING (a, b)";
    assert_eq!(db.query_one(same, &[]).expect("a count").get::<_, i64>(0), 1000);
}

#[test]
fn an_error_in_the_middle() {
    let mut db = crate::temporary();
    db.exec("CREATE TABLE t (a int)").expect("a table");
    // A small one: found out by `finish`.
    let mut writer = db.copy_in("COPY t FROM STDIN").expect("a writer");
    writer.write_all(b"1\nnonsense\n2\n").expect("it is buffered");
    let error = writer.finish().expect_err("not a number");
    assert_eq!(error.sqlstate(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
    assert!(error.as_db_error().and_then(|error| error.where_()).is_some());
    assert_eq!(count(&mut db), 0);

    // A large one: writing fails soon, and `finish` has the reason.
    let mut writer = db.copy_in("COPY t FROM STDIN").expect("a writer");
    writer.write_all(b"nonsense\n").expect("it is buffered");
    let mut written = 0usize;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        match writer.write_all(b"1\n2\n3\n4\n5\n6\n7\n8\n") {
            Ok(()) => written += 16,
            Err(error) => {
                assert!(error.to_string().contains("nonsense"), "{error}");
                break;
            }
        }
    }
    assert!(written < 1 << 30);
    assert!(writer.write_all(b"more").is_err());
    let error = writer.finish().expect_err("not a number");
    assert_eq!(error.sqlstate(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
    assert_eq!(count(&mut db), 0);
}

#[test]
fn a_dropped_writer_cancels() {
    let mut db = crate::temporary();
    db.exec("CREATE TABLE t (a int)").expect("a table");
    let mut writer = db.copy_in("COPY t FROM STDIN").expect("a writer");
    writer.write_all(&b"1\n".repeat(100_000)).expect("it takes the data");
    drop(writer);
    assert_eq!(count(&mut db), 0);
    assert_eq!(db.transaction_status(), TransactionStatus::Idle);

    let mut writer = db.copy_in("COPY t FROM STDIN").expect("a writer");
    writer.write_all(b"1\n").expect("it takes the data");
    std::mem::forget(writer);
    assert_eq!(count(&mut db), 0);
    assert_eq!(db.copy_in("COPY t FROM STDIN").expect("a writer").finish().expect("none"), 0);
}

#[test]
fn a_dropped_reader_stops() {
    let mut db = crate::temporary();
    let endless = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT";
    let mut buffer = [0; 10];
    db.copy_out(endless).expect("a reader").read_exact(&mut buffer).expect("some data");
    assert_eq!(db.query_one("SELECT 5", &[]).expect("a row").get::<_, i32>(0), 5);

    let mut transaction = db.transaction().expect("a transaction");
    transaction.copy_out(endless).expect("a reader").read_exact(&mut buffer).expect("some data");
    assert_eq!(transaction.transaction_status(), TransactionStatus::InTransaction);
    transaction.exec("SELECT 1").expect("the transaction goes on");
    transaction.commit().expect("and can be committed");
}

#[test]
fn an_error_while_copying_out() {
    let mut db = crate::temporary();
    let sql = "COPY (SELECT 1 / (5000 - n) FROM generate_series(1, 10000) n) TO STDOUT";
    let mut reader = db.copy_out(sql).expect("a reader");
    let error = reader.read_to_end(&mut Vec::new()).expect_err("a division by zero");
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    assert_eq!(inner.and_then(Error::sqlstate), Some(&SqlState::DIVISION_BY_ZERO));
    drop(reader);
    db.exec("SELECT 1").expect("the session goes on");
}

#[test]
fn the_wrong_method_for_a_copy() {
    let mut db = crate::temporary();
    db.exec("CREATE TABLE t (a int)").expect("a table");
    let usage = |outcome: Result<(), Error>| match outcome {
        Err(Error::Usage(message)) => message,
        other => panic!("{other:?}"),
    };
    for _ in 0..2 {
        let from = "COPY t FROM STDIN";
        assert!(usage(db.exec(from).map(drop)).contains("copy_in"));
        assert!(usage(db.query(from, &[]).map(drop)).contains("copy_in"));
        assert!(usage(db.execute(from, &[]).map(drop)).contains("copy_in"));
        let streamed =
            db.query_raw(from, &[]).and_then(|stream| stream.collect::<Result<Vec<_>, _>>());
        assert!(usage(streamed.map(drop)).contains("copy_in"));
        drop(db.query_raw(from, &[]));
        let to = "COPY (SELECT generate_series(1, 10000)) TO STDOUT";
        assert!(usage(db.exec(to).map(drop)).contains("copy_out"));
        assert!(usage(db.query(to, &[]).map(drop)).contains("copy_out"));
        drop(db.query_raw(to, &[]));
        assert!(usage(db.copy_in(to).map(drop)).contains("FROM STDIN"));
        assert!(usage(db.copy_out(from).map(drop)).contains("TO STDOUT"));
        assert!(usage(db.copy_in("SELECT 1").map(drop)).contains("FROM STDIN"));
        assert!(usage(db.copy_out("").map(drop)).contains("TO STDOUT"));
        let two = "COPY t FROM STDIN; COPY t FROM STDIN";
        let outcome = db.copy_in(two).expect("the first one").finish();
        assert!(usage(outcome.map(drop)).contains("one COPY"));
    }
    let error = db.copy_in("COPY missing FROM STDIN").expect_err("no such table");
    assert_eq!(error.sqlstate(), Some(&SqlState::UNDEFINED_TABLE));
    assert_eq!(count(&mut db), 0);
}

/// A trigger that sends a notice for each row fills the way back while the data fill the way there:
/// both sides would wait for the other one for ever.
#[test]
fn notices_while_copying_in_do_not_deadlock() {
    let mut db = crate::temporary();
    db.exec(
        "CREATE TABLE t (a int);
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE NOTICE 'row % %', NEW.a, repeat('x', 200); RETURN NEW; END $$;
         CREATE TRIGGER tell BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell();",
    )
    .expect("a table");
    let (sender, notices) = std::sync::mpsc::channel();
    db.on_notice(move |notice| {
        let _ = sender.send(notice.message().len());
    });
    let mut writer = db.copy_in("COPY t FROM STDIN").expect("a writer");
    for i in 0..20_000 {
        writeln!(writer, "{i}").expect("it takes the data");
    }
    assert_eq!(writer.finish().expect("all rows"), 20_000);
    assert_eq!(notices.try_iter().count(), 20_000);
}
