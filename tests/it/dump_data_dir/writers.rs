//! Dumps while others write.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::*;

const TABLES: &str = "
    CREATE TABLE account (id int PRIMARY KEY, balance int8 NOT NULL);
    INSERT INTO account SELECT i, 100 FROM generate_series(1, 200) i;
    CREATE INDEX account_balance ON account (balance);
    CREATE TABLE entry (number int8 PRIMARY KEY, words text);
    CREATE TABLE mirror (number int8 PRIMARY KEY)";

/// One transaction: money is moved, and `number` is in both tables or in none.
fn write(session: &mut Session, number: i64) {
    let mut transaction = session.transaction().unwrap();
    let (from, to) = ((number * 7 % 200 + 1) as i32, (number * 13 % 200 + 1) as i32);
    let move_money = "UPDATE account SET balance = balance + $2 WHERE id = $1";
    // In this order, so that nobody waits for each other.
    for (account, amount) in [(from.min(to), -1i64), (from.max(to), 1)] {
        transaction.execute(move_money, &[&account, &amount]).unwrap();
    }
    transaction
        .execute("INSERT INTO entry VALUES ($1, repeat('x', ($1::int8 % 3000)::int4))", &[&number])
        .unwrap();
    transaction.execute("INSERT INTO mirror VALUES ($1)", &[&number]).unwrap();
    transaction.commit().unwrap();
}

/// Ends all threads, also if one panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn number(db: &mut Session, sql: &str) -> i64 {
    text(db, sql).parse().unwrap()
}

fn check(copy: &mut Session, at_least: i64) {
    let entries = "SELECT count(*) FROM entry WHERE number > 0";
    let found = number(copy, entries);
    assert!(found >= at_least, "{found} of {at_least}");
    // Numbers come one after the other, so that none that was later is there without the earlier ones.
    assert_eq!(number(copy, "SELECT coalesce(max(number), 0) FROM entry"), found);
    assert_eq!(number(copy, "SELECT count(*) FROM mirror JOIN entry USING (number)"), found);
    assert_eq!(number(copy, "SELECT sum(balance) FROM account"), 200 * 100);
    // The indexes say what the tables say.
    let answers = |copy: &mut Session| {
        text(
            copy,
            "SELECT (SELECT string_agg(id || ':' || balance, ',' ORDER BY balance, id) FROM account
                     WHERE balance > -1000000)
                 || (SELECT md5(string_agg(number || words, ',' ORDER BY number)) FROM entry WHERE number > 0)",
        )
    };
    copy.exec("SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    let by_index = answers(copy);
    copy.exec(
        "SET enable_seqscan = on; SET enable_indexscan = off; SET enable_indexonlyscan = off",
    )
    .unwrap();
    assert_eq!(answers(copy), by_index);
    for sql in ["VACUUM FULL account, entry, mirror", "REINDEX TABLE pg_class", "CHECKPOINT"] {
        copy.exec(sql).unwrap();
    }
}

fn dumps_while_others_write(mut db: Pglite, dumps: usize) {
    db.exec(TABLES).unwrap();
    let (committed, stop) = (AtomicI64::new(0), AtomicBool::new(false));
    let archives: Vec<_> = std::thread::scope(|scope| {
        let mut session = db.connect().unwrap();
        let (committed, stop) = (&committed, &stop);
        let main = Stop(stop);
        scope.spawn(move || {
            let _stop = Stop(stop);
            for number in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                write(&mut session, number);
                committed.store(number, Ordering::SeqCst);
            }
        });
        let mut session = db.connect().unwrap();
        scope.spawn(move || {
            let _stop = Stop(stop);
            // Files come and go, pages move, checkpoints end while a dump is on its way.
            while !stop.load(Ordering::Relaxed) {
                for sql in [
                    "CREATE TABLE short AS SELECT generate_series(1, 3000) AS id",
                    "CREATE INDEX ON short (id)",
                    "CHECKPOINT",
                    "VACUUM account",
                    "TRUNCATE short",
                    "DROP TABLE short",
                    "CREATE DATABASE short",
                    "DROP DATABASE short",
                ] {
                    session.exec(sql).unwrap();
                }
            }
        });
        // Until there is something to see.
        while committed.load(Ordering::SeqCst) < 50 {
            assert!(!stop.load(Ordering::Relaxed));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let taken = (0..dumps)
            .map(|at| {
                let before = committed.load(Ordering::SeqCst);
                (before, dumped(&db, FORMATS[at % 2]))
            })
            .collect();
        drop(main);
        taken
    });
    for (before, archive) in archives {
        check(&mut Pglite::load_data_dir(&archive[..]).unwrap(), before);
    }
    let last = committed.load(Ordering::SeqCst);
    let dir = tempfile::tempdir().unwrap();
    let archive = dumped(&db, DumpFormat::Tar);
    check(&mut Pglite::builder().path(dir.path()).load_data_dir(&archive[..]).unwrap(), last);
}

#[test]
fn of_a_temporary_database() {
    dumps_while_others_write(temporary(), 3);
}

/// Its log is in another file system than its data.
#[test]
fn of_a_limited_database() {
    dumps_while_others_write(Pglite::builder().memory_limit(1 << 30).open().unwrap(), 3);
}

#[test]
fn of_a_database_in_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    dumps_while_others_write(Pglite::open(dir.path()).unwrap(), 2);
}

/// Torn pages are repaired by full ones from the log, which are off otherwise; and nothing keeps the log but
/// its setting.
#[test]
fn of_a_database_in_a_directory_with_the_least_log() {
    let dir = tempfile::tempdir().unwrap();
    let builder = Pglite::builder()
        .path(dir.path())
        .config("full_page_writes", "off")
        .config("wal_keep_size", "1GB")
        .config("max_replication_slots", "0")
        .config("max_wal_senders", "0");
    dumps_while_others_write(builder.open().unwrap(), 2);
}
