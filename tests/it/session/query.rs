//! Statements and their results: `exec`, `query` and relatives, prepared statements, streams.

use std::time::{Duration, Instant};

use pglite_oxide::types::Type;
use pglite_oxide::{Error, SqlState, TransactionStatus};

#[test]
fn exec_returns_each_statement() {
    let mut db = crate::temporary();
    let results = db
        .exec(
            "CREATE TABLE t (a int, b text);
             INSERT INTO t VALUES (1, 'x'), (2, NULL), (3, '');
             UPDATE t SET b = 'y' WHERE a > 1;
             SELECT * FROM t ORDER BY a;
             SELECT;
             ;",
        )
        .expect("good statements");
    let tags: Vec<&str> = results.iter().map(|result| result.tag()).collect();
    assert_eq!(tags, ["CREATE TABLE", "INSERT 0 3", "UPDATE 2", "SELECT 3", "SELECT 1"]);
    assert_eq!(results[1].rows_affected(), 3);
    let rows = results[3].rows();
    assert_eq!(rows[0].get("a"), Some("1"));
    assert_eq!(rows[0].get(1), Some("x"));
    assert!(matches!(rows[0].try_get("c"), Err(Error::UnknownColumn { .. })));
    assert_eq!(results[3].columns()[0].type_(), Some(&Type::INT4));
    assert!(results[4].rows()[0].is_empty());
    assert!(db.exec("").expect("nothing to do").is_empty());
}

#[test]
fn exec_stops_at_an_error_and_undoes_what_was_before() {
    let mut db = crate::temporary();
    let error = db
        .exec("CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT 1/0; SELECT 2")
        .expect_err("a division by zero");
    assert_eq!(error.sqlstate(), Some(&SqlState::DIVISION_BY_ZERO));
    let error = db.exec("TABLE t").expect_err("the table is gone");
    assert_eq!(error.sqlstate(), Some(&SqlState::UNDEFINED_TABLE));
    assert_eq!(db.transaction_status(), TransactionStatus::Idle);
}

#[test]
fn errors_have_all_fields() {
    let mut db = crate::temporary();
    db.exec("CREATE TABLE person (id int PRIMARY KEY, age int CONSTRAINT adult CHECK (age > 17))")
        .expect("a table");
    let error = db.execute("INSERT INTO person VALUES (1, 3)", &[]).expect_err("too young");
    let error = error.as_db_error().expect("an error of PostgreSQL");
    assert_eq!(error.code(), &SqlState::CHECK_VIOLATION);
    assert_eq!(error.severity(), "ERROR");
    assert_eq!(error.constraint(), Some("adult"));
    assert_eq!((error.schema(), error.table()), (Some("public"), Some("person")));
    assert!(error.detail().is_some() && error.routine().is_some() && error.line().is_some());

    let error = db.query("SELECT * FROM person WHERE nonsense", &[]).expect_err("no such column");
    let position = error.as_db_error().and_then(|error| error.position()).cloned();
    assert_eq!(position, Some(pglite_oxide::ErrorPosition::Original(28)));
    assert!(error.to_string().contains("42703"), "{error}");
}

#[test]
fn rows_by_index_and_name() {
    let mut db = crate::temporary();
    let row = db.query_one("SELECT 1 AS a, 2 AS b, 3 AS a, NULL::int AS n", &[]).expect("a row");
    assert_eq!((row.len(), row.columns()[2].name()), (4, "a"));
    assert_eq!((row.get::<_, i32>("a"), row.get::<_, i32>(0), row.get::<_, i32>(2)), (1, 1, 3));
    assert_eq!(row.get::<_, Option<i32>>("n"), None);
    assert!(matches!(row.try_get::<_, i32>("n"), Err(Error::Conversion(_))));
    assert!(matches!(row.try_get::<_, String>("a"), Err(Error::Conversion(_))));
    assert!(matches!(row.try_get::<_, i32>("A"), Err(Error::UnknownColumn { .. })));
    assert!(matches!(row.try_get::<_, i32>(4), Err(Error::UnknownColumn { .. })));
}

#[test]
fn wide_rows() {
    let mut db = crate::temporary();
    let list: Vec<String> = (0..1600).map(|i| format!("{i} AS c{i}")).collect();
    let row = db.query_one(&format!("SELECT {}", list.join(", ")), &[]).expect("a wide row");
    for i in (0..1600).rev() {
        assert_eq!(row.get::<_, i32>(i), i as i32);
    }
    assert_eq!(row.get::<_, i32>("c1599"), 1599);
}

#[test]
fn numbers_of_rows_are_checked() {
    let mut db = crate::temporary();
    let rows = |n: i32| format!("SELECT generate_series(1, {n})");
    assert!(matches!(db.query_one(&rows(0), &[]), Err(Error::RowCount { found: 0, .. })));
    assert!(matches!(db.query_one(&rows(3), &[]), Err(Error::RowCount { found: 3, .. })));
    assert!(matches!(db.query_opt(&rows(2), &[]), Err(Error::RowCount { found: 2, .. })));
    assert!(db.query_opt(&rows(0), &[]).expect("none is fine").is_none());
    assert!(db.query_opt(&rows(1), &[]).expect("one is fine").is_some());
}

#[test]
fn wrong_parameters_are_found_before_sending() {
    let mut db = crate::temporary();
    let sql = "SELECT $1::int4 + $2::int4";
    let wrong = db.query(sql, &[&1]).expect_err("one is missing");
    assert!(matches!(wrong, Error::WrongParameterCount { expected: 2, found: 1 }));
    let wrong = db.query(sql, &[&1, &2, &3]).expect_err("one too many");
    assert!(matches!(wrong, Error::WrongParameterCount { expected: 2, found: 3 }));
    let mut transaction = db.transaction().expect("a transaction");
    let wrong = transaction.query(sql, &[&1, &"two"]).expect_err("a text");
    assert!(wrong.to_string().contains("$2"), "{wrong}");
    // Nothing reached the server, so the transaction is not aborted.
    assert_eq!(transaction.transaction_status(), TransactionStatus::InTransaction);
    let row = transaction.query_one(sql, &[&1, &2]).expect("now it fits");
    assert_eq!(row.get::<_, i32>(0), 3);
}

#[test]
fn execute_counts_rows() {
    let mut db = crate::temporary();
    assert_eq!(db.execute("CREATE TABLE t (a int)", &[]).expect("a table"), 0);
    let insert = "INSERT INTO t SELECT generate_series(1, $1)";
    assert_eq!(db.execute(insert, &[&10]).expect("rows"), 10);
    assert_eq!(db.execute("DELETE FROM t WHERE a > 7 RETURNING a", &[]).expect("rows"), 3);
    assert_eq!(db.execute("", &[]).expect("an empty statement"), 0);
    let error = db.execute("SELECT 1; SELECT 2", &[]).expect_err("two statements");
    assert_eq!(error.sqlstate(), Some(&SqlState::SYNTAX_ERROR));
}

#[test]
fn a_nul_in_the_sql_is_refused() {
    let mut db = crate::temporary();
    assert!(matches!(db.exec("SELECT '\0'"), Err(Error::Usage(_))));
    assert!(matches!(db.query("SELECT '\0'", &[]), Err(Error::Usage(_))));
    db.exec("SELECT 1").expect("the session goes on");
}

#[test]
fn statements_of_another_session_are_refused() {
    let mut one = crate::temporary();
    let mut other = crate::temporary();
    let statement = one.prepare("SELECT 1").expect("a statement");
    assert!(matches!(other.query(&statement, &[]), Err(Error::Usage(_))));
    assert_eq!(one.query(&statement, &[]).expect("a row").len(), 1);
}

#[test]
fn describe_and_prepare_typed() {
    let mut db = crate::temporary();
    let description = db.describe("SELECT $1::text, 1 AS n").expect("a description");
    assert_eq!(description.params, [Type::TEXT]);
    assert_eq!(description.columns[1].name(), "n");
    assert_eq!(description.columns[1].type_(), &Type::INT4);
    db.exec("CREATE TABLE t (a int)").expect("a table");
    assert!(db.describe("INSERT INTO t VALUES ($1)").expect("no rows").columns.is_empty());
    let column = db.describe("SELECT a FROM t").expect("a column").columns.remove(0);
    assert!(column.table_oid().is_some());
    assert_eq!(column.column_id(), Some(1));

    let statement = db.prepare_typed("SELECT $1 + $2", &[Type::INT8, Type::UNKNOWN]);
    let statement = statement.expect("a statement");
    assert_eq!(statement.params(), [Type::INT8, Type::INT8]);
    let row = db.query_one(&statement, &[&(1i64 << 40), &1i64]).expect("a row");
    assert_eq!(row.get::<_, i64>(0), (1 << 40) + 1);
}

fn prepared_on_the_server(db: &mut pglite_oxide::Session) -> i64 {
    let results = db.exec("SELECT count(*) FROM pg_prepared_statements").expect("a count");
    results[0].rows()[0].get(0).and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
fn the_statement_cache_is_bounded() {
    let mut db = crate::temporary();
    for i in 0..10_000 {
        let row = db.query_one(&format!("SELECT $1::int4 + {i}"), &[&1]).expect("a row");
        assert_eq!(row.get::<_, i32>(0), i + 1);
    }
    assert!(prepared_on_the_server(&mut db) <= 101);
    db.set_statement_cache_capacity(5);
    db.exec("SELECT 1").expect("the others are closed with this");
    assert_eq!(prepared_on_the_server(&mut db), 5);
    db.set_statement_cache_capacity(0);
    db.query("SELECT 1", &[]).expect("a row");
    db.query("SELECT 2", &[]).expect("a row");
    db.exec("SELECT 1").expect("the others are closed with this");
    assert_eq!(prepared_on_the_server(&mut db), 0);
}

#[test]
fn dropped_statements_are_closed() {
    let mut db = crate::temporary();
    let statements: Vec<_> =
        (0..50).map(|i| db.prepare(&format!("SELECT {i}")).expect("a statement")).collect();
    assert_eq!(prepared_on_the_server(&mut db), 50);
    drop(statements);
    // A request that fails before it is sent must not lose them.
    assert!(db.query("SELECT $1::int4", &[&"text"]).is_err());
    assert_eq!(prepared_on_the_server(&mut db), 1);
}

#[test]
fn statements_survive_discard_and_deallocate() {
    let mut db = crate::temporary();
    let kept = db.prepare("SELECT $1::int4 + 1").expect("a statement");
    for destroyer in ["DISCARD ALL", "DEALLOCATE ALL"] {
        for _ in 0..2 {
            assert_eq!(db.query_one(&kept, &[&1]).expect("a row").get::<_, i32>(0), 2);
            assert_eq!(db.query_one("SELECT $1::int4", &[&7]).expect("7").get::<_, i32>(0), 7);
            db.exec(destroyer).expect("it works");
        }
    }
    // Also in a transaction, where an error could not be repaired.
    let mut transaction = db.transaction().expect("a transaction");
    transaction.query_one(&kept, &[&1]).expect("a row");
    transaction.exec("DEALLOCATE ALL").expect("it works");
    assert_eq!(transaction.query_one(&kept, &[&1]).expect("a row").get::<_, i32>(0), 2);
    transaction.commit().expect("a commit");
    // Behind our back, so that only the server's error tells.
    db.exec(
        "CREATE FUNCTION forget() RETURNS void LANGUAGE plpgsql AS
         $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",
    )
    .expect("a function");
    db.query_one(&kept, &[&1]).expect("a row");
    db.exec("SELECT forget()").expect("all are gone");
    assert_eq!(db.query_one(&kept, &[&1]).expect("a row").get::<_, i32>(0), 2);
}

#[test]
fn statements_follow_a_changed_table() {
    let mut db = crate::temporary();
    db.exec("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").expect("a table");
    let kept = db.prepare("SELECT * FROM t").expect("a statement");
    assert_eq!(db.query_one(&kept, &[]).expect("a row").len(), 1);
    db.exec("ALTER TABLE t ADD b text DEFAULT 'x'").expect("a column more");
    let row = db.query_one(&kept, &[]).expect("a row");
    assert_eq!((row.len(), row.get::<_, &str>("b")), (2, "x"));
    assert_eq!(kept.columns().len(), 2);

    // Inside one transaction, and undone again.
    let mut transaction = db.transaction().expect("a transaction");
    transaction.exec("ALTER TABLE t DROP b").expect("a column less");
    assert_eq!(transaction.query_one(&kept, &[]).expect("a row").len(), 1);
    transaction.rollback().expect("undone");
    assert_eq!(db.query_one(&kept, &[]).expect("a row").len(), 2);

    // Behind our back.
    db.exec(
        "CREATE FUNCTION widen() RETURNS void LANGUAGE plpgsql AS
         $$ BEGIN EXECUTE 'ALTER TABLE t ADD c int'; END $$",
    )
    .expect("a function");
    assert_eq!(db.query_one(&kept, &[]).expect("a row").len(), 2);
    db.exec("SELECT widen()").expect("a column more");
    assert_eq!(db.query_one(&kept, &[]).expect("a row").len(), 3);
    // In a stream, too.
    db.exec("SELECT widen() FROM (SELECT 1) x WHERE false").expect("nothing");
    let row = db.query_raw(&kept, &[]).expect("a stream").next().expect("a row").expect("a row");
    assert_eq!(row.len(), 3);
}

#[test]
fn streams_give_all_rows() {
    let mut db = crate::temporary();
    for count in [0, 1, 127, 128, 129, 20_000] {
        let mut stream =
            db.query_raw("SELECT generate_series(1, $1::int4)", &[&count]).expect("a stream");
        let mut expected = 0;
        for row in &mut stream {
            expected += 1;
            assert_eq!(row.expect("a row").get::<_, i32>(0), expected);
        }
        assert_eq!(expected, count);
        assert_eq!(stream.rows_affected(), Some(count as u64));
        assert!(stream.next().is_none());
    }
    db.exec("CREATE TABLE t (a int)").expect("a table");
    let mut stream = db.query_raw("INSERT INTO t SELECT generate_series(1, 300)", &[]);
    let stream = stream.as_mut().expect("a stream");
    assert!(stream.next().is_none());
    assert_eq!(stream.rows_affected(), Some(300));
}

#[test]
fn streams_can_be_dropped_early() {
    let mut db = crate::temporary();
    let begin = Instant::now();
    // Ten billion rows: reading them all would take an hour.
    let sql = "SELECT a, repeat('x', 100) FROM generate_series(1, 100000) a,
                      generate_series(1, 100000) b";
    let mut stream = db.query_raw(sql, &[]).expect("a stream");
    for _ in 0..100_000 {
        stream.next().expect("a row").expect("a row");
    }
    drop(stream);
    db.exec("SELECT 1").expect("the session goes on");
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[test]
fn streams_dropped_in_a_transaction_do_not_abort_it() {
    let mut db = crate::temporary();
    let mut transaction = db.transaction().expect("a transaction");
    let mut stream =
        transaction.query_raw("SELECT generate_series(1, 100000)", &[]).expect("a stream");
    stream.next().expect("a row").expect("a row");
    drop(stream);
    assert_eq!(transaction.transaction_status(), TransactionStatus::InTransaction);
    transaction.exec("CREATE TABLE t ()").expect("the transaction goes on");
    transaction.commit().expect("and can be committed");
}

#[test]
fn streams_end_with_their_error() {
    let mut db = crate::temporary();
    let mut stream = db
        .query_raw("SELECT 1000 / (500 - n) FROM generate_series(1, 1000) n", &[])
        .expect("a stream");
    let rows = stream.by_ref().take_while(|row| row.is_ok()).count();
    assert_eq!(rows, 499);
    assert!(stream.next().is_none());
    drop(stream);
    db.exec("SELECT 1").expect("the session goes on");

    // What a commit finds out is not lost.
    db.exec("CREATE TABLE p (a int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)").expect("a table");
    let sql = "INSERT INTO p VALUES (1), (1) RETURNING a";
    let outcome: Result<Vec<_>, Error> = db.query_raw(sql, &[]).expect("a stream").collect();
    let error = outcome.expect_err("two of the same");
    assert_eq!(error.sqlstate(), Some(&SqlState::UNIQUE_VIOLATION));
    let mut stream = db.query_raw(sql, &[]).expect("a stream");
    stream.next().expect("a row").expect("a row");
    assert!(stream.close().is_err());
    assert!(db.query("TABLE p", &[]).expect("an empty table").is_empty());
}

#[test]
fn forgotten_streams_do_no_harm() {
    let mut db = crate::temporary();
    let stream = db.query_raw("SELECT generate_series(1, 1000)", &[]).expect("a stream");
    std::mem::forget(stream);
    assert_eq!(db.query_one("SELECT 5", &[]).expect("a row").get::<_, i32>(0), 5);
}

#[test]
fn a_value_of_50_megabytes() {
    let mut db = crate::temporary();
    let big = "0123456789".repeat(5_000_000);
    let row = db.query_one("SELECT $1::text, length($1)", &[&big]).expect("a row");
    assert!(row.get::<_, &str>(0) == big);
    assert_eq!(row.get::<_, i32>(1), 50_000_000);
    let results = db.exec(&format!("SELECT '{big}'")).expect("a row");
    assert!(results[0].rows()[0].get(0) == Some(&*big));
}

#[test]
fn a_statement_can_be_cancelled_from_another_thread() {
    let mut db = crate::temporary();
    for sql in ["SELECT pg_sleep(60)", "SELECT count(*) FROM generate_series(1, 1e12::int8)"] {
        let handle = db.cancel_handle();
        let timer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            handle.cancel()
        });
        let begin = Instant::now();
        let error = db.exec(sql).expect_err("it is cancelled");
        assert_eq!(error.sqlstate(), Some(&SqlState::QUERY_CANCELED));
        assert!(begin.elapsed() < Duration::from_secs(10));
        timer.join().expect("the timer").expect("the request was sent");
        assert_eq!(db.query_one("SELECT 5", &[]).expect("a row").get::<_, i32>(0), 5);
    }
    // With nothing to cancel, nothing happens.
    db.cancel_handle().cancel().expect("the request was sent");
    db.exec("SELECT 1").expect("the session goes on");
}

#[test]
fn statement_timeout() {
    let mut db = crate::temporary();
    db.exec("SET statement_timeout = 100").expect("set");
    let error = db.query("SELECT pg_sleep(60)", &[]).expect_err("too long");
    assert_eq!(error.sqlstate(), Some(&SqlState::QUERY_CANCELED));
    db.exec("SELECT 1").expect("the session goes on");
}

#[test]
fn a_session_can_move_to_another_thread() {
    let mut db = crate::temporary();
    db.exec("CREATE TABLE t (a int)").expect("a table");
    let mut db = std::thread::spawn(move || {
        db.execute("INSERT INTO t VALUES (1)", &[]).expect("a row");
        db
    })
    .join()
    .expect("the thread");
    assert_eq!(db.query("TABLE t", &[]).expect("rows").len(), 1);
}
