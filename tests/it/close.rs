//! Many databases in one process, and their ends.

use std::thread;

use crate::{temporary, text};

#[test]
fn databases_are_independent() {
    let (mut a, mut b) = (temporary(), temporary());
    a.exec("CREATE TABLE t (i int)").unwrap();
    b.exec("CREATE TABLE t (i text)").unwrap();
    a.exec("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(text(&mut b, "SELECT count(*) FROM t"), "0");
    drop(a);
    assert_eq!(text(&mut b, "SELECT count(*) FROM t"), "0");
}

#[test]
fn databases_start_in_many_threads_at_once() {
    let threads: Vec<_> = (0..6)
        .map(|i| {
            thread::spawn(move || {
                let mut db = temporary();
                assert_eq!(text(&mut db, &format!("SELECT {i} * 2")), (i * 2).to_string());
                db.close().unwrap();
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_handle_works_in_the_thread_it_is_moved_to() {
    let mut db = temporary();
    db.exec("CREATE TEMP TABLE t AS SELECT 7 AS i").unwrap();
    let mut db = thread::spawn(move || {
        db.exec("UPDATE t SET i = i + 1").unwrap();
        db
    })
    .join()
    .unwrap();
    assert_eq!(text(&mut db, "SELECT i FROM t"), "8");
}
