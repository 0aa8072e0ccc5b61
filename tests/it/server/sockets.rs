//! Where a server listens, and what it tells clients of it.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use pglite_oxide::{Error, ListenError, Pglite, PgliteServer, PgliteServerBuilder};
use postgres::{Client, NoTls};

use super::{Sql, tcp, unix};

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn by_url(server: &PgliteServer) -> Client {
    Client::connect(&server.database_url(), NoTls).unwrap()
}

#[test]
fn a_url_connects() {
    let dir = tempfile::Builder::new().prefix("a b%c").tempdir().unwrap();
    let named = PgliteServer::builder().database("my db/1").password("a b&c=%/ü?#");
    let by_tcp = named.clone().start().unwrap();
    let by_unix = named.without_tcp().unix_socket(dir.path()).start().unwrap();
    for server in [&by_tcp, &by_unix] {
        let mut client = by_url(server);
        assert_eq!(client.value("SELECT current_database()"), "my db/1");
        assert_eq!(client.value("SELECT current_user"), "postgres");
        let over_tcp = client.value("SELECT inet_server_addr() IS NOT NULL");
        assert_eq!(over_tcp == "t", server.local_addr().is_some());
    }
    assert_eq!(by_unix.socket_path().unwrap().parent(), Some(dir.path()));
    assert!(by_unix.local_addr().is_none() && by_tcp.socket_path().is_none());
}

#[test]
fn parameters_and_environment_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let named = PgliteServer::builder().database("app").password("secret");
    let by_tcp = named.clone().start().unwrap();
    let by_unix = named.without_tcp().unix_socket(dir.path()).start().unwrap();
    let port = by_tcp.local_addr().unwrap().port();
    for (server, host, port) in
        [(by_tcp, "127.0.0.1", port), (by_unix, dir.path().to_str().unwrap(), 5432)]
    {
        let params = server.connection_params();
        assert_eq!((params.host.as_str(), params.port), (host, port));
        assert_eq!((params.user.as_str(), params.database.as_str()), ("postgres", "app"));
        assert_eq!(params.password.as_deref(), Some("secret"));
        let expected = [
            ("PGHOST", host.to_owned()),
            ("PGPORT", port.to_string()),
            ("PGUSER", "postgres".to_owned()),
            ("PGDATABASE", "app".to_owned()),
            ("PGPASSWORD", "secret".to_owned()),
        ];
        assert_eq!(params.env(), expected);
        assert_eq!(server.database_url(), params.url());
    }
}

#[test]
fn a_port_can_be_chosen_or_given() {
    let any = PgliteServer::temporary().unwrap();
    let port = any.local_addr().unwrap().port();
    assert_ne!(port, 0);
    assert_eq!(tcp(&any).value("SHOW port"), port.to_string());
    drop(any);
    // It is free again at once, connections that were just closed notwithstanding.
    let given = PgliteServer::builder().tcp(loopback(port)).start().unwrap();
    assert_eq!(given.local_addr(), Some(loopback(port)));
    assert_eq!(by_url(&given).value("SHOW port"), port.to_string());
}

#[test]
fn a_port_in_use_is_an_error() {
    let server = PgliteServer::temporary().unwrap();
    let other = TcpListener::bind(loopback(0)).unwrap();
    for address in [server.local_addr().unwrap(), other.local_addr().unwrap()] {
        let error = PgliteServer::builder().tcp(address).start().unwrap_err();
        assert!(matches!(error, Error::Listen(ListenError::InUse { .. })), "{error:?}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}

#[test]
fn ipv6_works() {
    let address: SocketAddr = (Ipv6Addr::LOCALHOST, 0).into();
    if TcpListener::bind(address).is_err() {
        // A machine without it: then the server must say so.
        let error = PgliteServer::builder().tcp(address).start().unwrap_err();
        return assert!(matches!(error, Error::Listen(ListenError::Io { .. })), "{error:?}");
    }
    let server = PgliteServer::builder().tcp(address).start().unwrap();
    let mut client = tcp(&server);
    assert_eq!(client.value("SELECT host(inet_client_addr())"), "::1");
    assert_eq!(
        client.value("SELECT host(client_addr) FROM pg_stat_activity WHERE pid = pg_backend_pid()"),
        "::1"
    );
    assert!(
        server.database_url().contains("@[::1]:") || server.database_url().contains("//[::1]:")
    );
}

#[test]
fn other_machines_need_permission_and_a_password() {
    let everywhere: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
    let builder = || PgliteServer::builder().tcp(everywhere);
    let refused: [fn(PgliteServerBuilder) -> PgliteServerBuilder; 3] =
        [|b| b, |b| b.allow_remote(), |b| b.password("secret")];
    for options in refused {
        let error = options(builder()).start().unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
    }
    let server = builder().allow_remote().password("secret").start().unwrap();
    assert_eq!(server.local_addr().unwrap().ip(), Ipv4Addr::UNSPECIFIED);
    assert_eq!(server.connection_params().host, "127.0.0.1");
    assert_eq!(by_url(&server).value("SELECT host(inet_server_addr())"), "127.0.0.1");

    for mut server in
        [PgliteServer::temporary().unwrap(), Pglite::temporary().unwrap().server().unwrap()]
    {
        let error = server.listen_tcp(everywhere).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
    }
}

#[test]
fn a_unix_socket_is_of_its_user_unless_a_password_guards_it() {
    let dir = tempfile::tempdir().unwrap();
    for (password, permissions) in [(None, 0o700), (Some("secret"), 0o777)] {
        let sockets = dir.path().join("made/on demand");
        let mut builder = PgliteServer::builder().without_tcp().unix_socket(&sockets);
        if let Some(password) = password {
            builder = builder.password(password);
        }
        let server = builder.start().unwrap();
        let path = server.socket_path().unwrap();
        assert_eq!(path, sockets.join(".s.PGSQL.5432"));
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
        assert_eq!(mode(&path), permissions);
        assert_eq!(mode(&sockets), 0o700);
        assert_eq!(unix(&server).value("SELECT 1"), "1");
        drop(server);
        assert_eq!(fs::read_dir(&sockets).unwrap().count(), 0, "it is removed");
    }
}

#[test]
fn a_unix_socket_is_named_after_the_tcp_port() {
    let dir = tempfile::tempdir().unwrap();
    let server = PgliteServer::builder().unix_socket(dir.path()).start().unwrap();
    let port = server.local_addr().unwrap().port();
    assert_eq!(server.socket_path(), Some(dir.path().join(format!(".s.PGSQL.{port}"))));
    assert_eq!(unix(&server).value("SELECT 1"), "1");
    assert_eq!(tcp(&server).value("SELECT 1"), "1");
}

#[test]
fn a_unix_socket_left_by_a_killed_process_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap());
    let server = PgliteServer::builder().without_tcp().unix_socket(dir.path()).start().unwrap();
    assert_eq!(by_url(&server).value("SELECT 1"), "1");
}

#[test]
fn a_unix_socket_that_cannot_be_made_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let start =
        |dir: &Path| PgliteServer::builder().without_tcp().unix_socket(dir).start().unwrap_err();

    let path = dir.path().join(".s.PGSQL.5432");
    let other = UnixListener::bind(&path).unwrap();
    let error = start(dir.path());
    assert!(matches!(error, Error::Listen(ListenError::InUse { .. })), "{error:?}");
    drop(UnixStream::connect(&path).unwrap());
    drop(other);

    fs::remove_file(&path).unwrap();
    fs::write(&path, "somebody's own").unwrap();
    let error = start(dir.path());
    assert!(matches!(error, Error::Listen(ListenError::Io { .. })), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's own");

    let error = start(&dir.path().join("x".repeat(120)));
    assert!(matches!(error, Error::Listen(ListenError::PathTooLong { .. })), "{error:?}");

    let error = start(&path.join("below a file"));
    assert!(matches!(error, Error::Listen(ListenError::Io { .. })), "{error:?}");
}

#[test]
fn two_servers_share_a_directory_of_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let start = || PgliteServer::builder().unix_socket(dir.path()).start().unwrap();
    let (a, b) = (start(), start());
    unix(&a).run("CREATE TABLE of_a ()");
    assert_eq!(unix(&b).state("TABLE of_a"), "42P01");
    drop(a);
    assert_eq!(unix(&b).value("SELECT 1"), "1");
}

#[test]
fn listeners_are_added_to_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::temporary().unwrap();
    let mut server = db.server().unwrap();
    let first = server.local_addr().unwrap();
    let mut before = tcp(&server);
    before.run("CREATE TABLE t ()");

    let second = server.listen_tcp(loopback(0)).unwrap();
    assert_ne!(second.port(), first.port());
    let path = server.listen_unix(dir.path(), 7777).unwrap();
    assert_eq!(path, dir.path().join(".s.PGSQL.7777"));
    assert_eq!((mode(&path), server.socket_path()), (0o700, Some(path.clone())));
    assert_eq!(server.local_addr(), Some(first));

    let config: postgres::Config = server.database_url().parse().unwrap();
    for port in [first.port(), second.port()] {
        let mut config = postgres::Config::new();
        let mut client =
            config.host("127.0.0.1").port(port).user("postgres").connect(NoTls).unwrap();
        assert_eq!(client.value("SELECT inet_server_port()"), port.to_string());
        client.run("TABLE t");
    }
    unix(&server).run("TABLE t");
    let error = server.listen_tcp(second).unwrap_err();
    assert!(matches!(error, Error::Listen(ListenError::InUse { .. })), "{error:?}");
    let error = server.listen_unix(dir.path(), 7777).unwrap_err();
    assert!(matches!(error, Error::Listen(ListenError::InUse { .. })), "{error:?}");

    drop(server);
    assert!(!path.exists());
    assert!(before.ask("SELECT 1").is_err());
    assert!(config.connect(NoTls).is_err());
    assert_eq!(db.value("SELECT count(*) FROM t"), "0");
    // The address can be had again.
    let mut server = db.server().unwrap();
    assert_eq!(server.listen_tcp(first).unwrap(), first);
    assert_eq!(config.connect(NoTls).unwrap().value("SELECT count(*) FROM t"), "0");
}
