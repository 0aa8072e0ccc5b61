//! The first client of a server that began from an image: its postmaster is woken for it.

use std::time::Duration;

use pglite_oxide::{Pglite, PgliteServer};

use super::{Sql, eventually, tcp};

const BACKGROUND: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type IN
    ('checkpointer', 'background writer', 'walwriter', 'autovacuum launcher', 'logical replication launcher')";

/// Its session has begun before the processes of the background, which it may need at once, and which come.
#[test]
fn it_is_served_before_the_background() {
    for needs in ["CHECKPOINT", "SELECT pg_sleep(0.1)", "VACUUM pg_class", "SELECT pg_switch_wal()"]
    {
        let server = PgliteServer::temporary().unwrap();
        let mut client = tcp(&server);
        client.run("CREATE TABLE t AS SELECT generate_series(1, 10000) i");
        client.run(needs);
        assert_eq!(client.value("SELECT sum(i) FROM t"), "50005000", "{needs}");
        eventually("the background runs", || client.value(BACKGROUND) == "5");
    }
}

/// Copies of the image's shared memory are made ahead of time, from the second server on: each is its server's own,
/// and has what the session did before it was shared.
#[test]
fn servers_of_one_image_one_after_the_other() {
    let mut original = Pglite::temporary().unwrap();
    original.exec("CREATE TABLE kept AS SELECT 1 AS i").unwrap();
    let snapshot = original.snapshot().unwrap();
    for round in 0..6 {
        let server = if round % 2 == 0 {
            snapshot.start_server().unwrap()
        } else {
            PgliteServer::temporary().unwrap()
        };
        let mut client = tcp(&server);
        let tables =
            "SELECT string_agg(relname, ',') FROM pg_class WHERE relkind = 'r' AND oid >= 16384";
        assert_eq!(client.value(tables), ["kept", ""][round % 2], "{round}");
        client.run("CREATE TABLE own AS SELECT generate_series(1, 10000) i; CHECKPOINT");
        assert_eq!(tcp(&server).value("SELECT count(*) FROM own"), "10000");
        drop(server);
        // Until there is a copy.
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(crate::text(&mut original, "SELECT count(*) FROM kept"), "1");
}
