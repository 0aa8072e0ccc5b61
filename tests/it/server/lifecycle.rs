//! From the start of a server to its end.

use std::net::TcpStream;
use std::path::Path;
use std::thread;

use pglite_oxide::{Error, Pglite, PgliteServer, ShutdownMode};

use super::{Sql, WAYS, Way, eventually, tcp, until_running, within_patience};

/// What `pg_control` says of the last shutdown: `DBState` of `catalog/pg_control.h`.
#[derive(Debug, PartialEq)]
enum State {
    ShutDown,
    InProduction,
}

fn state(dir: &Path) -> State {
    let control = std::fs::read(dir.join("global/pg_control")).unwrap();
    match control[16..20] {
        [1, 0, 0, 0] => State::ShutDown,
        [6, 0, 0, 0] => State::InProduction,
        ref other => panic!("{other:?}"),
    }
}

fn count(dir: &Path) -> String {
    Pglite::open(dir).unwrap().value("SELECT count(*) FROM t")
}

/// How they came, and the SQLSTATE they ended with.
type Clients = Vec<(Way, thread::JoinHandle<String>)>;

/// What is left of [`with_clients`] after a shutdown that rolls back and tells everybody.
#[track_caller]
fn assert_cleanly_ended(dir: &Path, clients: Clients) {
    assert_eq!(state(dir), State::ShutDown);
    for (way, client) in clients {
        super::assert_ended(way, &client.join().unwrap(), "57P01");
    }
    assert_eq!(count(dir), "1");
}

/// A server with one row committed, and clients: idle, with a second row in an open transaction, and
/// busy.
fn with_clients(dir: &Path) -> (PgliteServer, Clients) {
    let sockets = dir.with_extension("sockets");
    let server = PgliteServer::builder().path(dir).unix_socket(sockets).start().unwrap();
    let mut watcher = tcp(&server);
    watcher.run("CREATE TABLE t (i int); INSERT INTO t VALUES (1)");
    let mut ends = Vec::new();
    for way in WAYS {
        let connect = || -> Box<dyn Sql + Send> {
            match way {
                Way::Direct => Box::new(server.connect().unwrap()),
                Way::Tcp => Box::new(tcp(&server)),
                Way::Unix => Box::new(super::unix(&server)),
            }
        };
        let mut in_transaction = connect();
        in_transaction.run("BEGIN; INSERT INTO t VALUES (2)");
        let mut busy = connect();
        let pid = busy.pid();
        let end = thread::spawn(move || {
            let state = busy.state("SELECT count(*) FROM generate_series(1, 100000000000000)");
            // It learns of it when it asks.
            assert!(in_transaction.ask("COMMIT").is_err());
            state
        });
        ends.push((way, end));
        until_running(&mut watcher, &pid, "SELECT count(*)");
    }
    // An idle one.
    drop(watcher);
    (server, ends)
}

#[test]
fn a_server_is_ready_when_it_has_started_and_while_it_has_room() {
    let server = PgliteServer::builder().max_connections(5).start().unwrap();
    assert!(server.ready());
    assert_eq!(tcp(&server).value("SHOW max_connections"), "5");
    let mut clients: Vec<Box<dyn Sql>> = Vec::new();
    eventually("all connections are taken", || match server.connect() {
        Ok(client) => {
            clients.push(Box::new(client));
            false
        }
        Err(error) => crate::sqlstate(&error) == "53300",
    });
    assert_eq!(clients.len(), 5);
    assert!(!server.ready());
    let error = postgres::Client::connect(&server.database_url(), postgres::NoTls);
    assert_eq!(super::failure(&error.map(drop).unwrap_err()).state, "53300");
    for client in &mut clients {
        assert_eq!(client.value("SELECT 1"), "1");
    }
    clients.pop();
    eventually("it has room again", || server.ready());
}

#[test]
fn a_smart_shutdown_waits_for_clients() {
    let dir = tempfile::tempdir().unwrap();
    let server = PgliteServer::open(dir.path()).unwrap();
    let address = server.local_addr().unwrap();
    let (mut client, mut direct) = (tcp(&server), server.connect().unwrap());
    client.run("CREATE TABLE t (i int)");
    let ending = thread::spawn(move || server.shutdown(ShutdownMode::Smart));
    eventually("nobody else can connect", || TcpStream::connect(address).is_err());
    client.run("INSERT INTO t VALUES (1)");
    drop(client);
    direct.run("INSERT INTO t VALUES (2)");
    assert!(!ending.is_finished());
    drop(direct);
    within_patience("the shutdown", move || ending.join().unwrap()).unwrap();
    assert_eq!(state(dir.path()), State::ShutDown);
    assert_eq!(count(dir.path()), "2");
}

#[test]
fn a_fast_shutdown_disconnects_clients() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("db");
    let (server, clients) = with_clients(&dir);
    within_patience("the shutdown", move || server.shutdown(ShutdownMode::Fast)).unwrap();
    assert_cleanly_ended(&dir, clients);
}

#[test]
fn an_immediate_shutdown_is_recovered_from() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("db");
    let (server, clients) = with_clients(&dir);
    within_patience("the shutdown", move || server.shutdown(ShutdownMode::Immediate)).unwrap();
    assert_eq!(state(&dir), State::InProduction);
    for (_, client) in clients {
        // The message of SIGQUIT, if there was time for one.
        let state = client.join().unwrap();
        assert!(["57P01", "57P02", "none"].contains(&state.as_str()), "{state}");
    }
    assert_eq!(count(&dir), "1");
}

#[test]
fn a_dropped_server_is_shut_down_in_bounded_time() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("db");
    let (server, clients) = with_clients(&dir);
    within_patience("the drop", move || drop(server));
    assert_cleanly_ended(&dir, clients);
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = PgliteServer::open(dir.path()).unwrap();
    let mut raw = super::raw::Raw::log_in(server.local_addr().unwrap());
    raw.send(&super::raw::query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"));
    let mut watcher = server.connect().unwrap();
    eventually("it waits for the client", || {
        watcher.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'")
            == "1"
    });
    drop(watcher);
    within_patience("the drop", move || drop(server));
    assert_eq!(state(dir.path()), State::ShutDown);
    drop(raw);
}

#[test]
fn sessions_outlive_the_handle_that_made_them() {
    let mut db = Pglite::temporary().unwrap();
    db.run("CREATE TABLE t (i int)");
    let mut session = db.connect().unwrap();
    drop(db);
    session.run("INSERT INTO t VALUES (1)");
    assert_eq!(session.value("SELECT count(*) FROM t"), "1");
}

#[test]
fn a_server_of_a_running_database_outlives_its_handle() {
    let mut db = Pglite::temporary().unwrap();
    db.run("CREATE TABLE t (i int)");
    let server = db.server().unwrap();
    drop(db);
    tcp(&server).run("INSERT INTO t VALUES (1)");
    assert_eq!(server.connect().unwrap().value("SELECT count(*) FROM t"), "1");
}

#[test]
fn closing_a_pglite_ends_its_servers_and_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let db = Pglite::open(dir.path()).unwrap();
    let server = db.server().unwrap();
    let (mut client, mut session) = (tcp(&server), db.connect().unwrap());
    client.run("CREATE TABLE t ()");
    client.run("BEGIN");
    within_patience("the close", move || db.close()).unwrap();
    assert_eq!(state(dir.path()), State::ShutDown);
    for client in [&mut client as &mut dyn Sql, &mut session] {
        assert!(client.ask("SELECT 1").is_err());
    }
    assert!(!server.ready());
    assert!(matches!(server.connect(), Err(Error::Closed { .. })));
    // The directory can be opened by others while the handles are still there.
    assert_eq!(count(dir.path()), "0");
}

#[test]
fn a_server_of_a_running_database_ends_without_it() {
    let mut db = Pglite::temporary().unwrap();
    db.run("CREATE TABLE t (i int)");
    let mut session = db.connect().unwrap();
    session.run("BEGIN; INSERT INTO t VALUES (1)");
    for mode in [None, Some(ShutdownMode::Fast), Some(ShutdownMode::Immediate)] {
        let server = db.server().unwrap();
        let address = server.local_addr().unwrap();
        let mut clients = [tcp(&server), tcp(&server)];
        clients[0].run("BEGIN; INSERT INTO t VALUES (2)");
        within_patience("the end", move || match mode {
            None => drop(server),
            Some(mode) => server.shutdown(mode).unwrap(),
        });
        for client in &mut clients {
            assert!(client.ask("SELECT 1").is_err(), "{mode:?}");
        }
        assert!(TcpStream::connect(address).is_err(), "{mode:?}");
        let backends = "SELECT count(*) FROM pg_stat_activity WHERE client_port > 0";
        eventually("their backends are gone", || db.value(backends) == "0");
        assert_eq!(db.value("SELECT count(*) FROM t"), "0", "{mode:?}");
    }

    let server = db.server().unwrap();
    let address = server.local_addr().unwrap();
    let mut client = tcp(&server);
    let ending = thread::spawn(move || server.shutdown(ShutdownMode::Smart));
    eventually("nobody else can connect", || TcpStream::connect(address).is_err());
    client.run("INSERT INTO t VALUES (3)");
    assert!(!ending.is_finished());
    drop(client);
    within_patience("the shutdown", move || ending.join().unwrap()).unwrap();

    session.run("COMMIT");
    assert_eq!(db.value("SELECT sum(i) FROM t"), "4");
}

#[test]
fn many_servers_run_in_one_process() {
    let servers: Vec<_> = (0..6)
        .map(|i| {
            thread::spawn(move || {
                let server = PgliteServer::temporary().unwrap();
                let mut client = tcp(&server);
                client.run(&format!("CREATE TABLE t AS SELECT {i} AS i"));
                (server, client)
            })
        })
        .collect();
    let mut servers: Vec<_> = servers.into_iter().map(|server| server.join().unwrap()).collect();
    // Pids are counted by each cluster; a cancel request reaches its own only.
    let tokens: Vec<_> = servers.iter().map(|(_, client)| client.cancel_token()).collect();
    for (i, (server, client)) in servers.iter_mut().enumerate() {
        for (j, token) in tokens.iter().enumerate() {
            if i != j {
                token.cancel_query(postgres::NoTls).unwrap();
            }
        }
        assert_eq!(client.value("SELECT i FROM t"), i.to_string());
        assert_eq!(tcp(server).value("SELECT i FROM t"), i.to_string());
    }
    for (i, (server, client)) in servers.into_iter().enumerate() {
        drop(client);
        if i % 2 == 0 {
            server.shutdown(ShutdownMode::Fast).unwrap();
        }
    }
}

#[test]
fn a_server_reopens_a_database_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let server = PgliteServer::open(dir.path()).unwrap();
        let mut client = tcp(&server);
        client.run("CREATE TABLE IF NOT EXISTS t (i int)");
        assert_eq!(client.value("SELECT count(*) FROM t"), round.to_string());
        client.run("INSERT INTO t VALUES (1)");
        let error = PgliteServer::open(dir.path()).unwrap_err();
        assert!(matches!(error, Error::DataDir(_)), "{error:?}");
    }
}
