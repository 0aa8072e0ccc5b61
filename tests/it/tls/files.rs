//! PostgreSQL's own way: files in the data directory, and lines of `postgresql.conf` and `pg_hba.conf`.

#[path = "../../../src/kernel/tls/tests/authority.rs"]
mod authority;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use pglite_oxide::{ConfigError, Error, PgliteServer, Tls};
use rustls::version::TLS12;
use tempfile::TempDir;

use self::authority::{Authority, for_localhost};
use super::client::{Client, Offer, tcp};
use super::refused;

fn install(data: &Path, (certificate, key): &(String, String)) {
    fs::write(data.join("server.crt"), certificate).unwrap();
    fs::write(data.join("server.key"), key).unwrap();
}

/// A data directory with a certificate and these lines in its configuration.
fn directory(certificate: &(String, String), conf: &str, hba: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    drop(PgliteServer::open(directory.path()).unwrap());
    install(directory.path(), certificate);
    let path = directory.path().join("postgresql.conf");
    let before = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{before}\nssl = on\n{conf}\n")).unwrap();
    fs::write(directory.path().join("pg_hba.conf"), hba).unwrap();
    directory
}

fn open(directory: &TempDir) -> (PgliteServer, SocketAddr) {
    let server = PgliteServer::open(directory.path()).unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

const TRUST: &str = "host all all all trust";

#[test]
fn a_new_certificate_is_read_at_reload() {
    let (old, new) = (for_localhost(), for_localhost());
    let directory = directory(&old, "", TRUST);
    let (server, address) = open(&directory);
    let mut before = Offer::trusting(&old.0).connect(address).unwrap();
    let mut session = server.connect().unwrap();
    // A reload is over for new connections once a setting that was changed with it has arrived.
    let mut reload = |value: &str| {
        let setting = format!("ALTER SYSTEM SET application_name = '{value}'");
        session.exec(&setting).unwrap();
        session.exec("SELECT pg_reload_conf()").unwrap();
        loop {
            let stream = tcp(address).unwrap();
            let mut client = Client::log_in(stream, "postgres").unwrap();
            if client.query("SHOW application_name").unwrap() == [value] {
                break;
            }
        }
    };
    // A certificate that does not fit its key: the old pair stays.
    fs::write(directory.path().join("server.crt"), &new.0).unwrap();
    reload("broken");
    Offer::trusting(&old.0).connect(address).unwrap();

    install(directory.path(), &new);
    reload("new");
    Offer::trusting(&new.0).connect(address).unwrap();
    refused(Offer::trusting(&old.0).connect(address));
    assert_eq!(before.query("SELECT 1").unwrap(), ["1"], "a session keeps what it began with");

    let off = "ALTER SYSTEM SET ssl = off";
    server.connect().unwrap().exec(off).unwrap();
    reload("off");
    let answer = super::request_tls(&mut tcp(address).unwrap()).unwrap();
    assert_eq!(answer, b'N');
}

#[test]
fn lines_for_encrypted_and_unencrypted_connections() {
    let pair = for_localhost();
    let offer = Offer::trusting(&pair.0);
    let hba = "hostssl all postgres all trust\nhostnossl all plain all trust";
    let directory = directory(&pair, "", hba);
    let (server, address) = open(&directory);
    server.connect().unwrap().exec("CREATE ROLE plain LOGIN").unwrap();

    offer.connect(address).unwrap();
    Client::log_in(tcp(address).unwrap(), "plain").unwrap();
    let message = refused(Client::log_in(tcp(address).unwrap(), "postgres"));
    assert!(message.starts_with("28000") && message.contains("no encryption"), "{message}");
    let message = refused(Client::log_in(offer.negotiate(address).unwrap(), "plain"));
    assert!(message.starts_with("28000") && message.contains("SSL encryption"), "{message}");
}

#[test]
fn certificates_of_clients_log_in() {
    let pair = for_localhost();
    let anonymous = Offer::trusting(&pair.0);
    let authority = Authority::named("Test CA");
    let offer = |authority: &Authority, serial| {
        anonymous.with_certificate(authority.client("Örg, Inc", "alice", serial))
    };
    let (alice, revoked) = (offer(&authority, 4711), offer(&authority, 4712));
    let stranger = offer(&Authority::named("Other CA"), 1);
    let hba = "hostssl all alice all cert\n\
               hostssl all checked all trust clientcert=verify-ca\n\
               hostssl all full all trust clientcert=verify-full\n\
               hostssl all dn all cert clientname=DN map=dn\n\
               host all postgres all trust";
    let conf = "ssl_ca_file = 'root.crt'\nssl_crl_file = 'root.crl'";
    let directory = directory(&pair, conf, hba);
    fs::write(directory.path().join("root.crt"), &authority.certificate).unwrap();
    fs::write(directory.path().join("root.crl"), authority.revoke(4712)).unwrap();
    let ident = "dn \"CN=alice,O=\\C3\\96rg\\, Inc\" dn\n";
    fs::write(directory.path().join("pg_ident.conf"), ident).unwrap();
    let (server, address) = open(&directory);
    let roles = ["alice", "checked", "full", "dn"].map(|role| format!("CREATE ROLE {role} LOGIN"));
    server.connect().unwrap().exec(&roles.join(";")).unwrap();
    let log_in = |offer: &Offer, user| {
        offer.negotiate(address).and_then(|stream| Client::log_in(stream, user))
    };

    let mut client = log_in(&alice, "alice").unwrap();
    let row = client.query(
        "SELECT client_dn, client_serial, issuer_dn, system_user FROM pg_stat_ssl \
         WHERE pid = pg_backend_pid()",
    );
    let expected = "/O=Örg\\, Inc/CN=alice|4711|/CN=Test CA|cert:CN=alice,O=\\C3\\96rg\\, Inc";
    assert_eq!(row.unwrap(), [expected]);
    log_in(&alice, "checked").unwrap();
    log_in(&alice, "dn").unwrap();
    // The names differ.
    assert!(refused(log_in(&alice, "full")).starts_with("28000"));
    let message = refused(log_in(&anonymous, "checked"));
    assert!(message.contains("requires a valid client certificate"), "{message}");
    log_in(&anonymous, "postgres").unwrap();
    for (offer, alert) in [(revoked, "Revoked"), (stranger, "UnknownCA")] {
        // Whoever needs none, a certificate that is shown has to be good. With TLS 1.3 the client goes on
        // before it hears of it, and may find the connection closed.
        refused(log_in(&offer, "postgres"));
        let offer = Offer { versions: vec![&TLS12], ..offer };
        let message = refused(offer.negotiate(address));
        assert!(message.contains(alert), "{message}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_errors_of_the_start() {
    let pair = for_localhost();
    let cases = [
        ("ssl_cert_file = 'none.crt'", "could not load server certificate file \"none.crt\""),
        ("ssl_cert_file = 'postgresql.conf'", "no certificate in PEM format found"),
        ("ssl_key_file = 'none.key'", "could not access private key file \"none.key\""),
        ("ssl_key_file = 'server.crt'", "no private key in PEM format found"),
        ("ssl_ca_file = 'none.crt'", "could not load root certificate file \"none.crt\""),
        ("ssl_ca_file = 'server.key'", "could not load root certificate file \"server.key\""),
        ("ssl_ca_file = 'server.crt'\nssl_crl_file = 'server.key'", "revocation list"),
        ("ssl_crl_dir = 'none'", "could not load SSL certificate revocation list directory"),
        ("ssl_min_protocol_version = 'TLSv1'", "not supported by this build"),
        (
            "ssl_min_protocol_version = 'TLSv1.3'\nssl_max_protocol_version = 'TLSv1.2'",
            "could not set SSL protocol version range",
        ),
        ("ssl_ciphers = 'RC4'", "could not set the cipher list"),
        ("ssl_ecdh_curve = 'secp521r1'", "unrecognized curve name"),
    ];
    let directory = directory(&pair, "include 'tls.conf'", TRUST);
    for (conf, expected) in cases {
        fs::write(directory.path().join("tls.conf"), format!("{conf}\n")).unwrap();
        let error = PgliteServer::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{conf}: {error}");
    }
}

#[test]
fn errors_of_the_builder_s_files_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (pair, other) = (for_localhost(), for_localhost());
    install(dir.path(), &pair);
    fs::write(dir.path().join("other.key"), other.1).unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let at = |name: &str| dir.path().join(name);
    let start = |chain: &str, key: &str| {
        let tls = Tls::from_pem_files(at(chain), at(key))?;
        PgliteServer::builder().tls(tls).start()
    };
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("none.crt", "server.key", "cannot read", &["none.crt"]),
        ("server.crt", "none.key", "cannot read", &["none.key"]),
        ("notes.txt", "server.key", "no certificate in PEM format found", &["notes.txt"]),
        ("server.crt", "notes.txt", "no private key in PEM format found", &["notes.txt"]),
        ("server.crt", "other.key", "key values mismatch", &["server.crt", "other.key"]),
    ];
    for (chain, key, expected, names) in cases {
        let error = start(chain, key).map(drop).unwrap_err();
        let Error::Config(ConfigError::Certificate { reason }) = &error else {
            panic!("{error:?}")
        };
        assert!(reason.contains(expected), "{reason}");
        for name in *names {
            assert!(reason.contains(&at(name).display().to_string()), "{name}: {reason}");
        }
    }
    let server = start("server.crt", "server.key").unwrap();
    Offer::trusting(&pair.0).connect(server.local_addr().unwrap()).unwrap();
}
