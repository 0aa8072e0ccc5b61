//! A server for many connections: its own sessions, the client `postgres`, and raw sockets.

pub(crate) mod auth;
pub(crate) mod bad_input;
mod execute;
mod first_client;
mod lifecycle;
mod observe;
mod raw;
mod sessions;
mod sockets;
mod stopping;

use std::sync::mpsc::RecvTimeoutError;

use pglite_oxide::{PgliteServer, Session};
use postgres::{Client, NoTls, SimpleQueryMessage};

use crate::{PATIENCE, eventually};

/// Why a statement failed.
#[derive(Debug)]
struct Failure {
    /// The SQLSTATE; "none" if the server did not say.
    state: String,
    message: String,
}

/// What runs SQL: a session of this program, or a client that came in by a socket.
trait Sql {
    /// The first column of the last row, if there is one.
    fn ask(&mut self, sql: &str) -> Result<String, Failure>;

    #[track_caller]
    fn value(&mut self, sql: &str) -> String {
        match self.ask(sql) {
            Ok(value) => value,
            Err(Failure { state, message }) => panic!("{sql}: {state} {message}"),
        }
    }

    #[track_caller]
    fn run(&mut self, sql: &str) {
        self.value(sql);
    }

    /// The SQLSTATE of a statement that fails.
    #[track_caller]
    fn state(&mut self, sql: &str) -> String {
        match self.ask(sql) {
            Ok(value) => panic!("{sql}: {value:?}"),
            Err(failure) => failure.state,
        }
    }

    #[track_caller]
    fn pid(&mut self) -> String {
        self.value("SELECT pg_backend_pid()")
    }
}

impl Sql for Session {
    fn ask(&mut self, sql: &str) -> Result<String, Failure> {
        let results = self.exec(sql).map_err(|error| Failure {
            state: crate::sqlstate(&error).to_owned(),
            message: error.to_string(),
        })?;
        let row = results.last().and_then(|result| result.rows().last());
        Ok(row.and_then(|row| row.get(0)).unwrap_or_default().to_owned())
    }
}

impl Sql for Client {
    fn ask(&mut self, sql: &str) -> Result<String, Failure> {
        let messages = self.simple_query(sql).map_err(|error| failure(&error))?;
        let last = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(last.unwrap_or_default().to_owned())
    }
}

fn failure(error: &postgres::Error) -> Failure {
    Failure {
        state: error.code().map_or("none", |code| code.code()).to_owned(),
        message: error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string),
    }
}

/// How a client reaches a server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// [`PgliteServer::connect`]
    Direct,
    Tcp,
    Unix,
}

const WAYS: [Way; 3] = [Way::Direct, Way::Tcp, Way::Unix];

/// Who meets whom.
const PAIRS: [(Way, Way); 4] = [
    (Way::Tcp, Way::Tcp),
    (Way::Tcp, Way::Direct),
    (Way::Direct, Way::Tcp),
    (Way::Unix, Way::Direct),
];

/// A server that can be reached in each of the [`WAYS`].
struct Reachable {
    server: PgliteServer,
    _directory: tempfile::TempDir,
}

impl Reachable {
    fn new() -> Reachable {
        Reachable::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Reachable {
        let directory = tempfile::tempdir().unwrap();
        let mut builder = PgliteServer::builder().unix_socket(directory.path());
        for (name, value) in settings {
            builder = builder.config(*name, *value);
        }
        Reachable { server: builder.start().unwrap(), _directory: directory }
    }

    fn connect(&self, way: Way) -> Box<dyn Sql + Send> {
        match way {
            Way::Direct => Box::new(self.server.connect().unwrap()),
            Way::Tcp => Box::new(tcp(&self.server)),
            Way::Unix => Box::new(unix(&self.server)),
        }
    }
}

fn tcp(server: &PgliteServer) -> Client {
    let address = server.local_addr().unwrap();
    let params = server.connection_params();
    let mut config = postgres::Config::new();
    config.host(&address.ip().to_string()).port(address.port());
    log_in(config, &params).unwrap()
}

fn unix(server: &PgliteServer) -> Client {
    let path = server.socket_path().unwrap();
    let params = server.connection_params();
    let (_, port) = path.to_str().unwrap().rsplit_once('.').unwrap();
    let mut config = postgres::Config::new();
    config.host_path(path.parent().unwrap()).port(port.parse().unwrap());
    log_in(config, &params).unwrap()
}

fn log_in(
    mut config: postgres::Config,
    params: &pglite_oxide::ConnectionParams,
) -> Result<Client, postgres::Error> {
    config.user(&params.user).dbname(&params.database);
    if let Some(password) = &params.password {
        config.password(password);
    }
    config.connect(NoTls)
}

/// Of a client whose session was ended. `postgres` may see that the connection is at its end before it
/// looks at the message that says why.
#[track_caller]
fn assert_ended(way: Way, state: &str, expected: &str) {
    assert!(state == expected || way != Way::Direct && state == "none", "{way:?}: {state}");
}

/// Waits until a backend waits for a lock.
#[track_caller]
fn until_blocked(watcher: &mut dyn Sql, pid: &str) {
    eventually("the statement waits for a lock", || {
        watcher.value(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock'"
        )) == "1"
    });
}

/// Waits until a backend is busy with a statement that begins so.
#[track_caller]
fn until_running(watcher: &mut dyn Sql, pid: &str, sql: &str) {
    eventually("the statement runs", || {
        watcher.value(&format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE pid = {pid} AND state = 'active' AND starts_with(query, '{sql}')"
        )) == "1"
    });
}

/// Runs something that has to end, in a thread of its own.
#[track_caller]
fn within_patience<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || sender.send(run()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("not in {PATIENCE:?}: {what}"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("it sends before it ends"),
        },
    }
}
