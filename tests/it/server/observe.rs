//! What a cluster tells of itself: views of activity, locks and statistics, settings, parallel workers.

use std::thread;

use pglite_oxide::PgliteServer;

use super::{Reachable, Sql, WAYS, Way, eventually, tcp, until_blocked};

#[test]
fn activity_shows_where_clients_come_from() {
    let reachable = Reachable::new();
    let address = reachable.server.local_addr().unwrap();
    let mut watcher = reachable.connect(Way::Direct);
    let mut client = tcp(&reachable.server);
    client.run("SET application_name = 'a client'");
    let pid = client.pid();
    let of = |column: &str| {
        format!("SELECT coalesce(({column})::text, 'NULL') FROM pg_stat_activity WHERE pid = {pid}")
    };
    for (column, value) in [
        ("host(client_addr)", "127.0.0.1"),
        ("client_hostname", "NULL"),
        ("application_name", "a client"),
        ("usename", "postgres"),
        ("datname", "postgres"),
        ("backend_type", "client backend"),
        ("state", "idle"),
        ("wait_event_type", "Client"),
        ("wait_event", "ClientRead"),
        ("query", "SELECT pg_backend_pid()"),
        ("backend_start <= now() AND backend_start > now() - interval '1 hour'", "true"),
    ] {
        eventually(&format!("{column} is {value}"), || watcher.value(&of(column)) == value);
    }
    // What each end says of the connection.
    assert_eq!(client.value("SELECT host(inet_client_addr())"), "127.0.0.1");
    assert_eq!(client.value("SELECT host(inet_server_addr())"), "127.0.0.1");
    assert_eq!(client.value("SELECT inet_server_port()"), address.port().to_string());
    let port = client.value("SELECT inet_client_port()");
    assert_eq!(watcher.value(&of("client_port")), port);
    assert_ne!(port, address.port().to_string());

    for (way, port) in [(Way::Direct, "-1"), (Way::Unix, "-1")] {
        let mut client = reachable.connect(way);
        let mine = "FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        assert_eq!(client.value(&format!("SELECT client_addr IS NULL {mine}")), "t", "{way:?}");
        assert_eq!(client.value(&format!("SELECT client_port {mine}")), port, "{way:?}");
        assert_eq!(client.value("SELECT inet_server_addr() IS NULL"), "t", "{way:?}");
    }
    assert_eq!(
        watcher.value("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"),
        "pglite-oxide"
    );
}

/// The port that a client has for itself is the one the server shows.
#[test]
fn the_client_s_port_is_the_real_one() {
    let server = PgliteServer::temporary().unwrap();
    let mut watcher = server.connect().unwrap();
    let raw = super::raw::Raw::log_in(server.local_addr().unwrap());
    let port = raw.stream.local_addr().unwrap().port();
    let found = format!("SELECT count(*) FROM pg_stat_activity WHERE client_port = {port}");
    assert_eq!(watcher.value(&found), "1");
}

#[test]
fn activity_shows_the_processes() {
    let server = PgliteServer::temporary().unwrap();
    let mut client = tcp(&server);
    let expected = [
        "autovacuum launcher",
        "background writer",
        "checkpointer",
        "client backend",
        "logical replication launcher",
        "walwriter",
    ];
    for process in expected {
        eventually(process, || {
            client.value(&format!(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = '{process}'"
            )) == "1"
        });
    }
    assert_eq!(client.value("SELECT count(DISTINCT pid) >= 6 FROM pg_stat_activity"), "t");
}

#[test]
fn locks_show_who_waits_for_whom() {
    let reachable = Reachable::new();
    let (mut a, mut b) = (reachable.connect(Way::Tcp), reachable.connect(Way::Unix));
    let mut watcher = reachable.connect(Way::Direct);
    a.run("CREATE TABLE t AS SELECT 1 AS i");
    a.run("BEGIN; LOCK t");
    let (holder, waiter) = (a.pid(), b.pid());
    let thread = thread::spawn(move || b.value("SELECT i FROM t"));
    until_blocked(&mut *watcher, &waiter);
    let locks = "SELECT string_agg(pid || ' ' || mode || ' ' || granted, ', ' ORDER BY granted)
                 FROM pg_locks WHERE relation = 't'::regclass";
    assert_eq!(
        watcher.value(locks),
        format!("{waiter} AccessShareLock false, {holder} AccessExclusiveLock true")
    );
    assert_eq!(
        watcher.value(&format!("SELECT pg_blocking_pids({waiter})")),
        format!("{{{holder}}}")
    );
    a.run("COMMIT");
    assert_eq!(thread.join().unwrap(), "1");
    assert_eq!(watcher.value(&format!("SELECT pg_blocking_pids({waiter})")), "{}");
}

#[test]
fn statistics_are_of_all_sessions() {
    let reachable = Reachable::with(&[("autovacuum", "off")]);
    let mut watcher = reachable.connect(Way::Direct);
    let mut clients = WAYS.map(|way| reachable.connect(way));
    assert_eq!(
        watcher
            .value("SELECT numbackends FROM pg_stat_database WHERE datname = current_database()"),
        "4"
    );
    watcher.run("CREATE TABLE t (i int PRIMARY KEY)");
    for (n, client) in clients.iter_mut().enumerate() {
        client.run(&format!("INSERT INTO t SELECT 100 * {n} + i FROM generate_series(1, 50) i"));
        client.run(&format!("UPDATE t SET i = i + 1000 WHERE i = 100 * {n} + 50"));
        client.run(&format!("DELETE FROM t WHERE i = 100 * {n} + 49"));
        client.run("SELECT pg_stat_force_next_flush()");
    }
    let table = "SELECT n_tup_ins || ' ' || n_tup_upd || ' ' || n_tup_del || ' ' || n_live_tup
                 FROM pg_stat_user_tables WHERE relname = 't'";
    eventually("what all three did is counted", || watcher.value(table) == "150 3 3 147");
    drop(clients);
    eventually("one session is left", || {
        watcher.value("SELECT sum(numbackends) FROM pg_stat_database") == "1"
    });
}

#[test]
fn changed_settings_reach_all_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let server = PgliteServer::open(dir.path()).unwrap();
    let (mut a, mut b) = (tcp(&server), server.connect().unwrap());
    a.run("ALTER SYSTEM SET work_mem = '7MB'");
    a.run("ALTER SYSTEM SET max_connections = 30");
    assert_eq!(b.value("SHOW work_mem"), "4MB");
    assert_eq!(b.value("SELECT pg_reload_conf()"), "t");
    eventually("the client sees the new value", || a.value("SHOW work_mem") == "7MB");
    eventually("the session sees the new value", || b.value("SHOW work_mem") == "7MB");
    eventually("a restart is pending", || {
        b.value("SELECT pending_restart FROM pg_settings WHERE name = 'max_connections'") == "t"
    });
    drop((a, b));
    drop(server);
    let server = PgliteServer::open(dir.path()).unwrap();
    assert_eq!(tcp(&server).value("SHOW max_connections"), "30");
    assert_eq!(tcp(&server).value("SHOW work_mem"), "7MB");
}

/// The segments that workers share come from the window, or from what was set aside in it.
#[test]
fn parallel_queries_have_workers() {
    for settings in [&[][..], &[("min_dynamic_shared_memory", "16MB")]] {
        let reachable = Reachable::with(settings);
        reachable.connect(Way::Direct).run(
            "CREATE TABLE t AS SELECT i FROM generate_series(1, 100000) i; ANALYZE t;
             CREATE FUNCTION workers() RETURNS bigint LANGUAGE plpgsql AS $$
             DECLARE plan json; BEGIN
                 SET LOCAL min_parallel_table_scan_size = 0;
                 SET LOCAL parallel_setup_cost = 0;
                 SET LOCAL parallel_tuple_cost = 0;
                 EXECUTE 'EXPLAIN (ANALYZE, FORMAT json) SELECT i % 10, count(*) FROM t GROUP BY 1'
                     INTO plan;
                 RETURN (SELECT max(x.n::text::bigint) FROM
                     jsonb_path_query(plan::jsonb, '$.**.\"Workers Launched\"') x(n));
             END $$",
        );
        // A worker that has just ended still counts for a moment.
        for way in WAYS {
            let mut client = reachable.connect(way);
            eventually("workers are launched", || client.value("SELECT workers()") == "2");
            client.run(
                "SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0;
                 SET parallel_tuple_cost = 0; SET debug_parallel_query = on",
            );
            assert_eq!(client.value("SELECT sum(i) FROM t"), "5000050000", "{way:?}");
            // An error in a worker is one of the statement.
            assert_eq!(client.state("SELECT count(1 / (i - 77777)) FROM t"), "22012", "{way:?}");
        }
    }
}
