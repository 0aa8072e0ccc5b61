//! Transactions and savepoints.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pglite_oxide::{Error, IsolationLevel, Session, SqlState, TransactionStatus};

fn rows(db: &mut Session) -> Vec<i32> {
    let rows = db.query("SELECT a FROM t ORDER BY a", &[]).expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

const TABLE: &str = "CREATE TABLE t (a int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)";

#[test]
fn commit_and_rollback() {
    let mut db = crate::temporary();
    db.exec(TABLE).expect("a table");
    let mut transaction = db.transaction().expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (1)", &[]).expect("a row");
    assert_eq!(transaction.transaction_status(), TransactionStatus::InTransaction);
    transaction.commit().expect("a commit");
    let mut transaction = db.transaction().expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (2)", &[]).expect("a row");
    transaction.rollback().expect("a rollback");
    let mut transaction = db.transaction().expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (3)", &[]).expect("a row");
    drop(transaction);
    assert_eq!(db.transaction_status(), TransactionStatus::Idle);
    assert_eq!(rows(&mut db), [1]);
}

#[test]
fn a_panic_rolls_back() {
    let mut db = crate::temporary();
    db.exec(TABLE).expect("a table");
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut transaction = db.transaction().expect("a transaction");
        transaction.execute("INSERT INTO t VALUES (1)", &[]).expect("a row");
        panic!("in the middle");
    }));
    assert!(outcome.is_err());
    assert_eq!(db.transaction_status(), TransactionStatus::Idle);
    assert!(rows(&mut db).is_empty());
}

#[test]
fn a_panic_in_the_middle_of_a_reply() {
    let mut db = crate::temporary();
    db.exec(TABLE).expect("a table");
    db.on_notice(|_| panic!("a bad callback"));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut transaction = db.transaction().expect("a transaction");
        transaction.execute("INSERT INTO t VALUES (1)", &[]).expect("a row");
        let _ = transaction.exec("DO $$ BEGIN RAISE NOTICE 'x'; END $$; SELECT 2");
    }));
    assert!(outcome.is_err());
    db.on_notice(|_| {});
    assert!(rows(&mut db).is_empty());
}

#[test]
fn a_failed_transaction() {
    let mut db = crate::temporary();
    db.exec(TABLE).expect("a table");
    let mut transaction = db.transaction().expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (1)", &[]).expect("a row");
    assert!(transaction.query("SELECT 1/0", &[]).is_err());
    assert_eq!(transaction.transaction_status(), TransactionStatus::Failed);
    let error = transaction.query("SELECT 1", &[]).expect_err("all fails now");
    assert_eq!(error.sqlstate(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    let error = transaction.query_raw("SELECT 1", &[]).map(drop).expect_err("streams, too");
    assert_eq!(error.sqlstate(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    transaction.rollback().expect("but not this");
    assert!(rows(&mut db).is_empty());

    // A commit of it stores nothing, and must say so.
    let mut transaction = db.transaction().expect("a transaction");
    assert!(transaction.exec("INSERT INTO t VALUES (1); SELECT 1/0").is_err());
    assert!(matches!(transaction.commit(), Err(Error::TransactionAborted)));
    assert!(rows(&mut db).is_empty());
}

#[test]
fn a_commit_that_fails() {
    let mut db = crate::temporary();
    db.exec(TABLE).expect("a table");
    let mut transaction = db.transaction().expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (1), (1)", &[]).expect("not checked yet");
    let error = transaction.commit().expect_err("now it is");
    assert_eq!(error.sqlstate(), Some(&SqlState::UNIQUE_VIOLATION));
    assert_eq!(db.transaction_status(), TransactionStatus::Idle);
    assert!(rows(&mut db).is_empty());
}

#[test]
fn nested_savepoints() {
    let mut db = crate::temporary();
    db.exec(TABLE).expect("a table");
    let mut transaction = db.transaction().expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (1)", &[]).expect("a row");
    {
        let mut outer = transaction.savepoint("a \"quoted\" name").expect("a savepoint");
        outer.execute("INSERT INTO t VALUES (2)", &[]).expect("a row");
        {
            let mut inner = outer.transaction().expect("a savepoint");
            inner.execute("INSERT INTO t VALUES (3)", &[]).expect("a row");
            assert!(inner.exec("SELECT 1/0").is_err());
            assert!(matches!(inner.commit(), Err(Error::TransactionAborted)));
        }
        assert_eq!(outer.transaction_status(), TransactionStatus::InTransaction);
        {
            let mut inner = outer.transaction().expect("a savepoint");
            inner.execute("INSERT INTO t VALUES (4)", &[]).expect("a row");
        }
        let mut inner = outer.transaction().expect("a savepoint");
        inner.execute("INSERT INTO t VALUES (5)", &[]).expect("a row");
        inner.commit().expect("it is kept");
        outer.commit().expect("it is kept");
    }
    transaction.commit().expect("a commit");
    assert_eq!(rows(&mut db), [1, 2, 5]);
}

#[test]
fn isolation_and_access() {
    let mut db = crate::temporary();
    db.exec(TABLE).expect("a table");
    let mut transaction = db
        .build_transaction()
        .isolation_level(IsolationLevel::Serializable)
        .read_only(true)
        .deferrable(true)
        .start()
        .expect("a transaction");
    let shown = transaction
        .query_one(
            "SELECT current_setting('transaction_isolation'),
                    current_setting('transaction_read_only'),
                    current_setting('transaction_deferrable')",
            &[],
        )
        .expect("the settings");
    let shown: Vec<&str> = (0..3).map(|index| shown.get(index)).collect();
    assert_eq!(shown, ["serializable", "on", "on"]);
    let error = transaction.execute("INSERT INTO t VALUES (1)", &[]).expect_err("read only");
    assert_eq!(error.sqlstate(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
}

#[test]
fn transactions_by_hand() {
    let mut db = crate::temporary();
    db.exec(TABLE).expect("a table");
    db.exec("BEGIN").expect("begun by hand");
    assert!(matches!(db.transaction().map(drop), Err(Error::Usage(_))));
    db.exec("COMMIT").expect("ended by hand");
    let mut transaction = db.transaction().expect("a transaction");
    transaction.exec("INSERT INTO t VALUES (1); COMMIT").expect("ended by hand");
    assert!(matches!(transaction.commit(), Err(Error::Usage(_))));
    assert_eq!(rows(&mut db), [1]);
    let transaction = db.transaction().expect("a transaction");
    std::mem::forget(transaction);
    assert_eq!(db.transaction_status(), TransactionStatus::InTransaction);
    db.exec("ROLLBACK").expect("ended by hand");
}
