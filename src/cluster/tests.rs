//! What no user can do to a cluster from outside: a process of it crashes.

use std::time::{Duration, Instant};

use super::*;
use crate::error::SqlState;

const DEADLINE: Duration = Duration::from_secs(60);

/// A temporary cluster whose commits are in the log when they return, as those in a directory are.
fn start() -> Arc<Cluster> {
    let runtime = Runtime::load(None, None).unwrap();
    let options = StartOptions {
        settings: &[("synchronous_commit".into(), "on".into())],
        mounts: &[],
        port: None,
        require_password: false,
        files: &[],
        prepare: false,
    };
    Arc::new(Cluster::start(&runtime, Storage::Temporary { limit: None }, None, &options).unwrap())
}

fn connect(cluster: &Arc<Cluster>) -> Result<Session, Error> {
    Cluster::session(cluster, &access())
}

fn access() -> Access {
    Access { user: "postgres".into(), database: "postgres".into() }
}

/// The memory of a running backend is gone: its next access is a trap. PostgreSQL treats this as it
/// treats any crash of a backend: all sessions end, the log is replayed, and then it serves again.
#[test]
fn a_backend_that_crashes_ends_all_sessions_and_loses_nothing() {
    let cluster = start();
    let bystander = connect(&cluster).unwrap();
    lose_nothing_in_a_crash(&cluster, bystander);
}

/// Its log is another system's than that of the image, from the first page on that is replayed.
#[test]
fn a_copy_of_a_cluster_recovers_too() {
    let original = start();
    let mut session = connect(&original).unwrap();
    session.exec("CREATE TABLE earlier AS SELECT * FROM generate_series(1, 10000)").unwrap();
    let image = original.capture(&mut session, &access(), crate::kernel::Use::Once).unwrap();
    let runtime = Runtime::load(None, None).unwrap();
    let (copy, bystander) = Cluster::from_image(&runtime, &image, &CopyOptions::default()).unwrap();
    lose_nothing_in_a_crash(&copy, bystander);
}

fn lose_nothing_in_a_crash(cluster: &Arc<Cluster>, mut bystander: Session) {
    bystander.exec("CREATE TABLE kept AS SELECT 42 AS answer").unwrap();
    let mut victim = connect(cluster).unwrap();
    let process = cluster.kernel.process(victim.backend_pid()).unwrap();
    let busy = std::thread::spawn(move || {
        victim.exec("SELECT count(*) FROM generate_series(1, 1000000000000)").unwrap_err()
    });

    let begin = Instant::now();
    while !process.execute() {
        assert!(begin.elapsed() < DEADLINE, "the backend never runs guest code");
        std::thread::sleep(Duration::from_millis(1));
    }

    assert!(busy.join().unwrap().is_closed());
    let error = loop {
        match bystander.exec("SELECT 1") {
            Err(error) => break error,
            Ok(_) => assert!(begin.elapsed() < DEADLINE, "the other session goes on"),
        }
    };
    assert_eq!(error.sqlstate(), Some(&SqlState::CRASH_SHUTDOWN), "{error}");

    let mut again = loop {
        match connect(cluster) {
            Ok(session) => break session,
            Err(error) => assert!(begin.elapsed() < DEADLINE, "no session any more: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let row = again.query_one("SELECT answer FROM kept", &[]).unwrap();
    assert_eq!(row.get::<_, i32>(0), 42);
    cluster.shut_down(ShutdownMode::Fast).unwrap();
}
