//! Extensions: side modules that load at run time.

mod cache;
mod crash;
mod cycle;
mod directories;
pub(crate) mod errors;
mod preload;
mod uses;
pub(crate) mod vectors;

use std::collections::HashMap;

use pglite_oxide::{PgliteServer, Session};

use crate::{temporary, text};

#[test]
fn hstore_is_a_map() {
    let mut db = temporary();
    db.exec("CREATE EXTENSION hstore").unwrap();
    let map = HashMap::from([("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)]);
    let row = db.query_one("SELECT $1::hstore, $1::hstore -> 'a'", &[&map]).unwrap();
    assert_eq!(row.get::<_, HashMap<String, Option<String>>>(0), map);
    assert_eq!(row.get::<_, &str>(1), "1");
}

/// Text that PostgreSQL says when a module cannot be loaded.
fn load_error(db: &mut Session, path: &str) -> String {
    db.exec(&format!("LOAD '{path}'")).unwrap_err().to_string()
}

#[test]
fn only_modules_of_this_program_are_loaded() {
    let mut db = temporary();
    db.exec("COPY (SELECT 'not a module') TO '/tmp/evil.so'").unwrap();
    let error = load_error(&mut db, "/tmp/evil.so");
    assert!(error.contains("modules are loaded from"), "{error}");
    let error = load_error(&mut db, "no_such_module");
    assert!(error.contains("no_such_module"), "{error}");
    let error = db.exec("CREATE EXTENSION no_such_extension").unwrap_err();
    assert!(error.to_string().contains("not available"), "{error}");
    // The session goes on, and modules can still be loaded.
    db.exec("LOAD 'hstore'").unwrap();
}

#[test]
fn a_server_has_them_too() {
    let server = PgliteServer::temporary().unwrap();
    let mut client = postgres::Client::connect(&server.database_url(), postgres::NoTls).unwrap();
    client.batch_execute("CREATE EXTENSION citext; CREATE TABLE t (name citext UNIQUE)").unwrap();
    client.batch_execute("INSERT INTO t VALUES ('Ada')").unwrap();
    let mut second = postgres::Client::connect(&server.database_url(), postgres::NoTls).unwrap();
    let found: i64 =
        second.query_one("SELECT count(*) FROM t WHERE name = 'ADA'", &[]).unwrap().get(0);
    assert_eq!(found, 1);
    drop((client, second));
}

#[test]
fn parallel_workers_and_other_processes_have_the_modules() {
    let mut db = temporary();
    db.exec(
        "CREATE EXTENSION pg_trgm;
         CREATE TABLE words AS SELECT md5(i::text) AS w FROM generate_series(1, 20000) i;
         ANALYZE words; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
         SET min_parallel_table_scan_size = 0; SET debug_parallel_query = on",
    )
    .unwrap();
    let sql = "SELECT count(*) FROM words WHERE similarity(w, 'abc') > 0.1";
    let parallel = text(&mut db, sql);
    db.exec("SET max_parallel_workers_per_gather = 0; SET debug_parallel_query = off").unwrap();
    assert_eq!(parallel, text(&mut db, sql));
}

/// A copy once had no socket by the name of its port: it was a copy of a server with another port.
#[test]
fn copies_connect_to_themselves() {
    let servers: Vec<_> = (0..2).map(|_| PgliteServer::temporary().unwrap()).collect();
    drop(servers);
    for number in 0..3 {
        let mut db = temporary();
        assert_eq!(text(&mut db, "SHOW port"), "5432");
        let mut fork = db.fork().unwrap();
        for db in [&mut db, &mut fork] {
            db.exec("CREATE EXTENSION dblink").unwrap();
            let sql = "SELECT i FROM dblink('host=/tmp dbname=postgres user=postgres', 'SELECT 7') AS t(i int)";
            assert_eq!(text(db, sql), "7", "database {number}");
        }
    }
}

/// What a session has as a connection to another server cannot be copied. It was a descriptor of something that is no
/// socket, for which no client has a way out.
#[test]
fn connections_of_a_copy_are_made_anew() {
    let mut db = temporary();
    db.exec(
        "CREATE EXTENSION postgres_fdw; CREATE EXTENSION dblink;
         CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '/tmp', dbname 'postgres');
         CREATE USER MAPPING FOR CURRENT_USER SERVER self OPTIONS (user 'postgres', password_required 'false');
         CREATE FOREIGN TABLE methods (amname name) SERVER self OPTIONS (schema_name 'pg_catalog', table_name 'pg_am')",
    )
    .unwrap();
    let fdw = "SELECT count(*) FROM methods WHERE amname = 'heap'";
    let connect = "SELECT dblink_connect_u('own', 'host=/tmp dbname=postgres user=postgres')";
    let dblink = "SELECT i FROM dblink('own', 'SELECT 7') AS t(i int)";
    assert_eq!(text(&mut db, fdw), "1");
    db.exec(connect).unwrap();
    assert_eq!(text(&mut db, dblink), "7");

    let mut fork = db.fork().unwrap();
    assert_eq!(text(&mut fork, fdw), "1");
    // As after a restart of the other server.
    let error = fork.exec(dblink).unwrap_err().to_string();
    assert!(error.contains("server closed the connection unexpectedly"), "{error}");
    fork.exec("SELECT dblink_disconnect('own')").unwrap();
    fork.exec(connect).unwrap();
    assert_eq!(text(&mut fork, dblink), "7");
}
