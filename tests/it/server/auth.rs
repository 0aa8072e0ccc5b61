//! Who may connect, and as whom.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use pglite_oxide::PgliteServer;
use postgres::{Client, NoTls};
use tracing::field::{Field, Visit};
use tracing::span;

use super::raw::{Raw, startup};
use super::{Sql, Way, tcp, unix};
use crate::child::{self, Process};

const PASSWORD: &str = "a b'c\"\\d%ü";

fn config(server: &PgliteServer, way: Way) -> postgres::Config {
    let mut config = postgres::Config::new();
    let params = server.connection_params();
    config.user("postgres").dbname(&params.database).port(params.port);
    match way {
        Way::Tcp => config.host("127.0.0.1"),
        Way::Unix => config.host_path(server.socket_path().unwrap().parent().unwrap()),
        Way::Direct => unreachable!("it needs no configuration"),
    };
    config
}

/// The SQLSTATE of a log-in that fails.
#[track_caller]
fn refused(config: &postgres::Config) -> String {
    super::failure(&config.connect(NoTls).map(drop).unwrap_err()).state
}

#[test]
fn clients_by_sockets_need_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        PgliteServer::builder().password(PASSWORD).unix_socket(dir.path()).start().unwrap();
    for way in [Way::Tcp, Way::Unix] {
        let mut config = config(&server, way);
        assert_eq!(config.password(PASSWORD).connect(NoTls).unwrap().value("SELECT 1"), "1");
        for wrong in ["wrong", "", "a b'c\"\\d%u", "A b'c\"\\d%ü"] {
            assert_eq!(refused(config.password(wrong)), "28P01", "{way:?} {wrong:?}");
        }
        // Nobody learns by it which roles there are.
        assert_eq!(refused(config.user("nobody").password("x")), "28P01", "{way:?}");
    }
    // The method is SCRAM, and no answer to it is no log-in.
    let mut raw = Raw::connect(server.local_addr().unwrap());
    raw.send(&startup());
    let mut request = [0; 24];
    assert!(raw.read(&mut request));
    assert_eq!(request, *b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");
    let mut direct = server.connect().unwrap();
    assert!(
        direct
            .value("SELECT rolpassword FROM pg_authid WHERE rolname = current_user")
            .starts_with("SCRAM-SHA-256$")
    );
}

#[test]
fn sessions_of_this_program_need_no_password() {
    let server = PgliteServer::builder().password(PASSWORD).start().unwrap();
    assert_eq!(server.connect().unwrap().value("SELECT current_user"), "postgres");
    assert!(server.ready());
    let mut stream = server.connect_raw().unwrap();
    std::io::Write::write_all(&mut stream, &startup()).unwrap();
    let mut answer = [0; 9];
    std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
    assert_eq!(answer, *b"R\0\0\0\x08\0\0\0\0", "AuthenticationOk");
}

#[test]
fn a_directory_that_had_a_password_still_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let start = |password: Option<&str>| {
        let builder = PgliteServer::builder().path(&path).unix_socket(dir.path());
        match password {
            Some(password) => builder.password(password).start().unwrap(),
            None => builder.start().unwrap(),
        }
    };
    drop(start(Some("first")));
    for (given, works) in [(None, "first"), (Some("second"), "second"), (None, "second")] {
        let server = start(given);
        for way in [Way::Tcp, Way::Unix] {
            let mut config = config(&server, way);
            assert!(config.connect(NoTls).is_err(), "{given:?} {way:?}: without one");
            for password in ["first", "second"] {
                let result = config.password(password).connect(NoTls);
                assert_eq!(result.is_ok(), password == works, "{given:?} {way:?} {password}");
            }
        }
        assert_eq!(server.connect().unwrap().value("SELECT 1"), "1");
    }
}

#[test]
fn rules_that_a_user_has_made_stay() {
    const RULES: &str = "# mine\nlocal all all trust\nhost all all 127.0.0.1/32 reject\n";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    drop(PgliteServer::open(&path).unwrap());
    let hba = path.join("pg_hba.conf");
    fs::write(&hba, RULES).unwrap();
    let server = PgliteServer::builder()
        .path(&path)
        .password("secret")
        .unix_socket(dir.path())
        .start()
        .unwrap();
    assert_eq!(fs::read_to_string(&hba).unwrap(), RULES);
    assert_eq!(refused(config(&server, Way::Tcp).password("secret")), "28000");
    assert_eq!(config(&server, Way::Unix).connect(NoTls).unwrap().value("SELECT 1"), "1");
    // They are PostgreSQL's own: changed, they count from the next reload on.
    fs::write(&hba, "host all all 127.0.0.1/32 scram-sha-256\n").unwrap();
    let mut direct = server.connect().unwrap();
    direct.run("SELECT pg_reload_conf()");
    super::eventually("the rules are read again", || {
        config(&server, Way::Tcp).password("secret").connect(NoTls).is_ok()
    });
    assert_eq!(refused(&config(&server, Way::Unix)), "28000");
    assert_eq!(server.connect().unwrap().value("SELECT 1"), "1");
}

/// What an ordinary role could try, and PostgreSQL's answer.
const CLIMBS: &[(&str, &str)] = &[
    ("SET ROLE postgres", "42501"),
    ("SET SESSION AUTHORIZATION postgres", "42501"),
    ("SET LOCAL ROLE postgres", "42501"),
    ("SET is_superuser = on", "55P02"),
    ("ALTER ROLE app SUPERUSER", "42501"),
    ("ALTER ROLE postgres PASSWORD 'x'", "42501"),
    ("GRANT postgres TO app", "42501"),
    ("CREATE ROLE mine SUPERUSER", "42501"),
    ("SELECT * FROM pg_authid", "42501"),
    ("UPDATE pg_authid SET rolsuper = true", "42501"),
    ("TABLE secret", "42501"),
    ("SELECT pg_read_file('/pgdata/global/pg_control')", "42501"),
    ("COPY (SELECT 1) TO '/pgdata/x'", "42501"),
    ("COPY secret FROM PROGRAM 'true'", "42501"),
    ("ALTER SYSTEM SET work_mem = '1GB'", "42501"),
    ("SELECT pg_reload_conf()", "42501"),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'", "42501"),
    ("LOAD 'plpgsql2'", "42501"),
    ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'", "42501"),
];

#[test]
fn roles_cannot_climb() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        PgliteServer::builder().password("secret").unix_socket(dir.path()).start().unwrap();
    let mut direct = server.connect().unwrap();
    direct.run("CREATE ROLE app LOGIN PASSWORD 'of app'; CREATE TABLE secret AS SELECT 42 AS i");
    for way in [Way::Tcp, Way::Unix] {
        let mut config = config(&server, way);
        config.user("app").password("of app");
        let mut client = config.connect(NoTls).unwrap();
        let who = "SELECT session_user || ' ' || current_user || ' ' || rolsuper
                   FROM pg_roles WHERE rolname = current_user";
        assert_eq!(client.value(who), "app app false");
        for (sql, state) in CLIMBS {
            assert_eq!(client.state(sql), *state, "{way:?}: {sql}");
        }
        for sql in [
            "RESET ROLE",
            "RESET SESSION AUTHORIZATION",
            "SET ROLE NONE",
            "RESET ALL",
            "DISCARD ALL",
        ] {
            client.run(sql);
            assert_eq!(client.value(who), "app app false", "{way:?}: {sql}");
        }
        for options in
            ["-c role=postgres", "-c session_authorization=postgres", "-c is_superuser=on"]
        {
            assert!(config.clone().options(options).connect(NoTls).is_err(), "{way:?}: {options}");
        }
        // Its password opens its own role only.
        assert_eq!(refused(config.user("postgres")), "28P01", "{way:?}");
    }
}

#[test]
fn a_server_for_another_role() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let server = PgliteServer::open(&path).unwrap();
    for sql in ["CREATE ROLE app LOGIN", "CREATE DATABASE app OWNER app"] {
        server.connect().unwrap().run(sql);
    }
    drop(server);
    let server =
        PgliteServer::builder().path(&path).user("app").database("app").password("x").start();
    let server = server.unwrap();
    for who in [
        server.connect().unwrap().value("SELECT session_user"),
        Client::connect(&server.database_url(), NoTls).unwrap().value("SELECT session_user"),
        tcp(&server).value("SELECT session_user"),
    ] {
        assert_eq!(who, "app");
    }
    assert_eq!(server.connect().unwrap().state("SET ROLE postgres"), "42501");
}

/// With the most talkative settings; in a process of its own, whose log is of this server only.
#[test]
fn passwords_are_not_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Process::start("log of passwords", dir.path(), &[]);
    assert_eq!(child.line().as_deref(), Some("logged in"), "of the client");
    assert_eq!(child.line().as_deref(), Some("clean"));
    child.wait();
}

/// What the task `log of passwords` does.
pub(crate) fn log_of_passwords(dir: &Path) {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let secrets = ["swordfish", "not the sw0rd"];
    let server = PgliteServer::builder()
        .path(dir.join("db"))
        .unix_socket(dir)
        .password(secrets[0])
        .config("log_statement", "all")
        .config("log_connections", "on")
        .config("log_disconnections", "on")
        .config("log_min_duration_statement", "0")
        .config("log_min_messages", "debug5")
        .config("log_min_error_statement", "debug5")
        .start()
        .unwrap();
    let _ = (tcp(&server), unix(&server));
    for way in [Way::Tcp, Way::Unix] {
        assert_eq!(refused(config(&server, way).password(secrets[1])), "28P01");
    }
    let params = format!("{:?} {server:?}", server.connection_params());
    drop(server);
    let lines = log.0.lock().unwrap();
    if lines.iter().any(|line| line.contains("connection authenticated")) {
        child::say("logged in");
    }
    let leak = lines.iter().find(|line| secrets.iter().any(|secret| line.contains(secret)));
    let printed = secrets.iter().any(|secret| params.contains(secret));
    child::say(match leak {
        _ if printed => "printed by Debug",
        Some(line) => line,
        None => "clean",
    });
}

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}
