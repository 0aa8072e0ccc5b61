//! Starting and ending: processes, databases, sessions.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pglite_oxide::Pglite;

use super::native::Listen;
use super::rows::{Row, median};
use super::servers::{TEMPORARY, builder};
use super::{CHILD, Setup};

/// The child that opens one database, asks it one thing and says so.
pub(super) const FIRST_QUERY: &str = "first-query";

const GROUP: &str = "Start and end";

const NEW_PROCESSES: usize = 15;
const COLD: usize = 5;
const IN_PROCESS: usize = 15;
const PERSISTENT: usize = 9;
const STARTS: usize = 10;

pub(super) fn measure(setup: &Setup) -> Result<Vec<Row>> {
    let mut rows = Vec::new();

    let none = times(setup.repeats(COLD), |_| new_process(Path::new(""), None))?;
    let name = "new process, no cache possible, temporary, first query";
    rows.push(Row::millis(GROUP, name, none).target("<= 150 ms"));
    let cold = times(setup.repeats(COLD), |round| {
        let cache = setup.scratch.join(format!("cache{round}"));
        let time = new_process(&cache, None)?;
        std::fs::remove_dir_all(&cache)?;
        Ok(time)
    })?;
    let name = "new process, cache empty, temporary, first query";
    rows.push(Row::millis(GROUP, name, cold).target("<= 150 ms"));
    new_process(&setup.cache, None)?;
    let warm = times(setup.repeats(NEW_PROCESSES), |_| new_process(&setup.cache, None))?;
    let name = "new process, cache warm, temporary, first query";
    rows.push(Row::millis(GROUP, name, warm).target("<= 25 ms"));

    rows.extend(in_process(setup)?);
    rows.extend(forks(setup)?);
    rows.push(first_use(setup)?);
    rows.extend(persistent(setup)?);
    Ok(rows)
}

fn times(count: usize, mut run: impl FnMut(usize) -> Result<Duration>) -> Result<Duration> {
    let mut times = (0..count).map(&mut run).collect::<Result<Vec<_>>>()?;
    Ok(median(&mut times))
}

/// `temporary()` in a process that has the runtime loaded; natively, that is `initdb` and a start.
fn in_process(setup: &Setup) -> Result<Vec<Row>> {
    let open = || -> Result<Pglite> {
        let mut db = builder(setup).open()?;
        select_1(&mut db)?;
        Ok(db)
    };
    let (time, db) = timed(open)?;
    drop(db);
    let mut rows = vec![Row::millis(GROUP, "first temporary + SELECT 1 of a process", time)];

    let (mut opens, mut drops, mut closes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setup.repeats(IN_PROCESS) {
        let (time, db) = timed(open)?;
        opens.push(time);
        let start = Instant::now();
        drop(db);
        drops.push(start.elapsed());
        let db = open()?;
        let start = Instant::now();
        db.close()?;
        closes.push(start.elapsed());
    }
    let (mut native_opens, mut native_closes) = (Vec::new(), Vec::new());
    for _ in 0..setup.repeats(COLD) {
        let initdb = setup.native_in_memory.initdb("temporary")?;
        let start = Instant::now();
        let (server, mut client) =
            setup.native_in_memory.start_in("temporary", Listen::Unix, TEMPORARY)?;
        client.simple("SELECT 1")?;
        native_opens.push(initdb + start.elapsed());
        native_closes.push(server.stop()?);
        setup.native_in_memory.remove("temporary")?;
    }
    let open = median(&mut opens);
    rows.push(
        Row::millis(GROUP, "temporary + SELECT 1 (native: initdb, start)", open)
            .native_time(median(&mut native_opens))
            .target("<= 1 ms"),
    );
    rows.push(Row::millis(GROUP, "drop of a temporary", median(&mut drops)));
    rows.push(
        Row::millis(GROUP, "close of a temporary", median(&mut closes))
            .native_time(median(&mut native_closes)),
    );
    Ok(rows)
}

/// The first statement of a session that needs a module, which other sessions have used before.
fn first_use(setup: &Setup) -> Result<Row> {
    const CREATE: &str = "CREATE EXTENSION hstore";
    const USE: &str = "SELECT 'a=>1'::hstore -> 'a'";
    let mut db = builder(setup).open()?;
    db.exec(CREATE)?;
    let (server, mut client) = setup.native_in_memory.start(TEMPORARY)?;
    client.simple(CREATE)?;
    let (mut ours, mut native) = (Vec::new(), Vec::new());
    for _ in 0..setup.repeats(IN_PROCESS) {
        let mut session = db.connect()?;
        session.exec("SELECT 1")?;
        ours.push(timed(|| Ok(session.exec(USE)?))?.0);
        session.close()?;
        let mut client = server.connect()?;
        client.simple("SELECT 1")?;
        native.push(timed(|| client.simple(USE))?.0);
        client.close()?;
    }
    client.close()?;
    server.stop()?;
    let name = "first use of hstore in a session";
    Ok(Row::millis(GROUP, name, median(&mut ours))
        .native_time(median(&mut native))
        .target("<= 3 ms"))
}

/// Copies of a database that has been migrated and has data.
fn forks(setup: &Setup) -> Result<Vec<Row>> {
    let mut db = builder(setup).open()?;
    db.exec(
        "DO $$ BEGIN
             FOR t IN 1..50 LOOP
                 EXECUTE format('CREATE TABLE t%s (a int, b int, c text, d timestamptz DEFAULT now())', t);
                 EXECUTE format('CREATE INDEX ON t%s (a)', t);
                 EXECUTE format('CREATE INDEX ON t%s (b)', t);
                 EXECUTE format('CREATE INDEX ON t%s (c)', t);
                 EXECUTE format('CREATE INDEX ON t%s (d)', t);
                 EXECUTE format('INSERT INTO t%s SELECT i, i, i::text FROM generate_series(1, 2000) i', t);
             END LOOP;
         END $$",
    )?;
    let [mut snapshots, mut starts, mut drops, mut forks, mut nested] = [const { Vec::new() }; 5];
    for _ in 0..setup.repeats(IN_PROCESS) {
        let (time, snapshot) = timed(|| Ok(db.snapshot()?))?;
        snapshots.push(time);
        // A snapshot is there to be started more than once; the first time the original's own processes are
        // starting again as well.
        for _ in 0..STARTS {
            let (time, copy) = timed(|| {
                let mut copy = snapshot.start()?;
                select_1(&mut copy)?;
                Ok(copy)
            })?;
            starts.push(time);
            let (time, ()) = timed(|| {
                drop(copy);
                Ok(())
            })?;
            drops.push(time);
        }
        let (time, _) = timed(|| {
            let mut fork = db.fork()?;
            select_1(&mut fork)?;
            Ok(fork)
        })?;
        forks.push(time);
        let mut copy = snapshot.start()?;
        let (time, _) = timed(|| {
            let mut fork = copy.fork()?;
            fork.query_one("SELECT c FROM t7 WHERE a = 1000", &[])?;
            Ok(fork)
        })?;
        nested.push(time);
    }
    let row = |what: &str, times: &mut Vec<Duration>| {
        Row::millis(GROUP, format!("50 tables, 200 indexes, 100,000 rows: {what}"), median(times))
    };
    Ok(vec![
        row("snapshot", &mut snapshots),
        row("start of a snapshot + SELECT 1", &mut starts).target("<= 2 ms"),
        row("drop of that", &mut drops),
        row("fork of the original + SELECT 1", &mut forks).target("<= 2 ms"),
        row("fork of a copy + point select", &mut nested),
    ])
}

fn persistent(setup: &Setup) -> Result<Vec<Row>> {
    let path = setup.scratch.join("db");
    let open = || -> Result<Pglite> {
        let mut db = builder(setup).path(&path).open()?;
        select_1(&mut db)?;
        Ok(db)
    };
    let (mut firsts, mut opens, mut closes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setup.repeats(COLD) {
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        let (time, db) = timed(open)?;
        firsts.push(time);
        db.close()?;
    }
    let (mut native_opens, mut native_closes) = (Vec::new(), Vec::new());
    for _ in 0..setup.repeats(PERSISTENT) {
        let (time, db) = timed(open)?;
        opens.push(time);
        let start = Instant::now();
        db.close()?;
        closes.push(start.elapsed());

        let (time, (server, client)) = timed(|| {
            let (server, mut client) = setup.native.start(&[])?;
            client.simple("SELECT 1")?;
            Ok((server, client))
        })?;
        native_opens.push(time);
        client.close()?;
        native_closes.push(server.stop()?);
    }
    let process = times(setup.repeats(PERSISTENT), |_| new_process(&setup.cache, Some(&path)))?;
    Ok(vec![
        Row::millis(
            GROUP,
            "first open of a directory (makes it, syncs it) + SELECT 1",
            median(&mut firsts),
        ),
        Row::millis(
            GROUP,
            "open of a closed directory + SELECT 1 (native: start)",
            median(&mut opens),
        )
        .native_time(median(&mut native_opens))
        .target("<= 25 ms"),
        Row::millis(GROUP, "close of a directory", median(&mut closes))
            .native_time(median(&mut native_closes)),
        Row::millis(GROUP, "new process, open of a directory after a crash + SELECT 1", process),
    ])
}

fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let start = Instant::now();
    let value = run()?;
    Ok((start.elapsed(), value))
}

fn select_1(db: &mut Pglite) -> Result<()> {
    let row = db.query_one("SELECT 1", &[])?;
    if row.get::<_, i32>(0) != 1 {
        bail!("SELECT 1 is not 1");
    }
    Ok(())
}

/// From the start of a process to the answer it has got.
fn new_process(cache: &Path, path: Option<&Path>) -> Result<Duration> {
    let start = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args([CHILD, FIRST_QUERY])
        .arg(cache)
        .args(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("the output is not a pipe")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let time = start.elapsed();
    let status = child.wait()?;
    if line.trim() != "1" || !status.success() {
        bail!("a new process gave {line:?} and {status}");
    }
    Ok(time)
}

/// In that process: `first-query CACHE [DIR]`. It ends as a program does that forgets to close.
pub(super) fn first_query(args: &[String]) -> Result<()> {
    let mut options = match args.first() {
        Some(cache) => Pglite::builder().cache_dir(cache),
        None => bail!("{FIRST_QUERY} CACHE [DIR]"),
    };
    if let Some(path) = args.get(1) {
        options = options.path(path);
    }
    let mut db = options.open()?;
    println!("{}", db.query_one("SELECT 1", &[])?.get::<_, i32>(0));
    Ok(())
}
