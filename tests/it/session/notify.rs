//! Notices, and notifications of `LISTEN`.

use std::time::{Duration, Instant};

use pglite_oxide::{Error, Severity, SqlState};

#[test]
fn listen_and_notify() {
    let mut db = crate::temporary();
    db.listen("My \"channel\"").expect("listening");
    assert!(db.notifications().expect("none yet").is_empty());
    db.exec("NOTIFY \"My \"\"channel\"\"\", 'one'").expect("sent");
    db.exec("NOTIFY other, 'not heard'").expect("sent");
    let mut transaction = db.transaction().expect("a transaction");
    transaction.exec("NOTIFY \"My \"\"channel\"\"\"").expect("sent at the commit");
    transaction.commit().expect("a commit");
    let pid = db.backend_pid();
    let first = db.wait_notification(Duration::from_secs(5)).expect("no error").expect("one");
    assert_eq!((first.channel(), first.payload()), ("My \"channel\"", "one"));
    assert_eq!(first.process_id(), pid);
    let rest = db.notifications().expect("no error");
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].payload(), "");

    db.unlisten("My \"channel\"").expect("not listening");
    db.exec("NOTIFY \"My \"\"channel\"\"\"").expect("sent");
    let begin = Instant::now();
    let none = db.wait_notification(Duration::from_millis(100)).expect("no error");
    assert!(none.is_none() && begin.elapsed() >= Duration::from_millis(100));
    assert!(db.wait_notification(Duration::ZERO).expect("no error").is_none());
}

#[test]
fn many_notifications() {
    let mut db = crate::temporary();
    db.listen("c").expect("listening");
    db.exec("SELECT pg_notify('c', n::text) FROM generate_series(1, 10000) n").expect("sent");
    let all = db.notifications().expect("no error");
    assert_eq!(all.len(), 10_000);
    assert!(all.iter().enumerate().all(|(i, one)| one.payload() == (i + 1).to_string()));
}

#[test]
fn notices() {
    let mut db = crate::temporary();
    let tell = "DO $$ BEGIN FOR i IN 1..1500 LOOP RAISE NOTICE 'n %', i; END LOOP; END $$";
    db.exec(tell).expect("notices");
    let kept = db.take_notices();
    assert_eq!(kept.len(), 1000);
    assert_eq!(kept[999].message(), "n 1500");
    assert_eq!(kept[0].parsed_severity(), Some(Severity::Notice));
    assert!(db.take_notices().is_empty());

    db.exec("ROLLBACK").expect("a warning");
    let warning = db.take_notices().pop().expect("a warning");
    assert_eq!(warning.code(), &SqlState::NO_ACTIVE_SQL_TRANSACTION);

    let (sender, receiver) = std::sync::mpsc::channel();
    db.on_notice(move |notice| {
        let _ = sender.send(notice.message().to_owned());
    });
    db.exec(tell).expect("notices");
    assert_eq!(receiver.try_iter().count(), 1500);
    assert!(db.take_notices().is_empty());
}

#[test]
fn waiting_notices_the_end_of_the_session() {
    let mut db = crate::temporary();
    db.listen("c").expect("listening");
    db.exec("SET idle_session_timeout = '200ms'").expect("set");
    let error = db.wait_notification(Duration::from_secs(30)).expect_err("it has ended");
    assert_eq!(error.sqlstate(), Some(&SqlState::IDLE_SESSION_TIMEOUT));
    assert!(db.is_closed());
    assert!(matches!(db.notifications(), Err(Error::Closed { .. })));
}

/// The reason waits in the socket until the next request, which may not even be sent any more.
#[test]
fn the_next_request_says_why_the_session_has_ended() {
    let mut db = crate::temporary();
    db.exec("SET idle_session_timeout = '100ms'").expect("set");
    std::thread::sleep(Duration::from_millis(500));
    let error = db.query("SELECT 1", &[]).expect_err("it has ended");
    assert_eq!(error.sqlstate(), Some(&SqlState::IDLE_SESSION_TIMEOUT));
    assert!(db.is_closed());
}
