//! The session that a dump is asked of stays exactly as it is.

use std::time::Duration;

use pglite_oxide::{Error, Pglite, ToolError, TransactionStatus};

#[test]
fn an_open_transaction_goes_on() {
    let mut db = Pglite::temporary().unwrap();
    db.exec("CREATE TABLE item (id int); INSERT INTO item VALUES (1)").unwrap();
    db.exec(
        "SET application_name = 'mine'; SET search_path = pg_catalog, public; \
         CREATE TEMP TABLE scratch AS SELECT 7 AS x; PREPARE p AS SELECT 8",
    )
    .unwrap();
    db.exec(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO item VALUES (2); \
         DECLARE c CURSOR FOR SELECT 9; SET LOCAL work_mem = '5MB'",
    )
    .unwrap();
    let pid = db.backend_pid();
    let sql = db.dump().inserts().to_string().unwrap();
    assert!(sql.contains("VALUES (1)") && !sql.contains("VALUES (2)"), "{sql}");
    assert_eq!(
        (db.backend_pid(), db.transaction_status()),
        (pid, TransactionStatus::InTransaction)
    );
    for (sql, value) in [
        ("SHOW application_name", "mine"),
        ("SHOW search_path", "pg_catalog, public"),
        ("SHOW work_mem", "5MB"),
        ("SELECT x FROM scratch", "7"),
        ("EXECUTE p", "8"),
        ("FETCH c", "9"),
        ("SELECT count(*) FROM item", "2"),
    ] {
        assert_eq!(crate::text(&mut db, sql), value, "{sql}");
    }
    db.exec("COMMIT").unwrap();
    assert_eq!(crate::text(&mut db, "SELECT count(*) FROM item"), "2");
}

#[test]
fn a_lock_of_ones_own_does_not_hang_a_dump() {
    let mut db = Pglite::temporary().unwrap();
    db.exec("CREATE TABLE item (id int)").unwrap();
    db.exec("BEGIN; LOCK TABLE item").unwrap();
    let error = db.dump().lock_timeout(Duration::from_millis(200)).to_string().unwrap_err();
    let Error::Tool(ToolError::Failed { stderr, .. }) = &error else { panic!("{error:?}") };
    assert!(stderr.contains("LOCK TABLE public.item"), "{stderr}");
    db.exec("ROLLBACK").unwrap();
    assert!(db.dump().to_string().is_ok());
}

#[test]
fn other_sessions_go_on_meanwhile() {
    let mut db = Pglite::temporary().unwrap();
    db.exec("CREATE TABLE item AS SELECT i FROM generate_series(1, 50000) i").unwrap();
    let mut other = db.connect().unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..50 {
            other.exec("INSERT INTO item VALUES (0)").unwrap();
        }
    });
    for _ in 0..3 {
        assert!(db.dump().to_vec().unwrap().len() > 200_000);
    }
    writer.join().unwrap();
    assert_eq!(crate::text(&mut db, "SELECT count(*) FROM item"), "50050");
}

#[test]
fn a_dump_works_inside_an_asynchronous_run_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sql = runtime.block_on(async {
        let mut db = Pglite::temporary().unwrap();
        db.exec("CREATE TABLE item (id int)").unwrap();
        let sql = db.dump().to_string().unwrap();
        let copy = Pglite::temporary().unwrap();
        copy.restore().from_bytes(&sql).unwrap();
        sql
    });
    assert!(sql.contains("CREATE TABLE public.item"));
}

#[test]
fn forks_are_dumped_and_filled() {
    let mut db = Pglite::temporary().unwrap();
    db.exec("CREATE TABLE item AS SELECT 1 AS id").unwrap();
    let mut fork = db.fork().unwrap();
    fork.exec("INSERT INTO item VALUES (2)").unwrap();
    let sql = fork.dump().to_string().unwrap();
    db.exec("DROP TABLE item").unwrap();
    db.restore().from_bytes(sql).unwrap();
    assert_eq!(crate::text(&mut db, "SELECT count(*) FROM item"), "2");
}
