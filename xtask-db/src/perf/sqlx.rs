//! Through SQLx, as an application connects.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pglite_oxide::PgliteServer;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Row as _};
use tokio::runtime::{Builder, Runtime};

use super::rows::{Row, median};
use super::servers::{self, interleave, over_tcp};
use super::{CHILD, Setup};

/// The child that starts a server, asks it one thing and says how long that took.
pub(super) const FIRST_SQLX: &str = "first-sqlx";

const GROUP: &str = "SQLx, all on one CPU";
const TEMPORARY_GROUP: &str = "SQLx, temporary servers";

const BATCHES: usize = 15;
const BATCH: u32 = 2000;
const NEW_PROCESSES: usize = 15;
const IN_PROCESS: usize = 30;

pub(super) fn measure(setup: &Setup) -> Result<Vec<Row>> {
    // As programs do it: with all CPUs.
    let temporary = temporary_servers(setup)?;
    servers::pin()?;
    let servers = over_tcp(setup, &[("autovacuum", "off")])?;
    let runtime = runtime()?;
    let connect = |address: SocketAddr| -> Result<PgConnection> {
        let url = format!("postgresql://{address}/postgres?user=postgres");
        Ok(runtime.block_on(PgConnectOptions::from_str(&url)?.connect())?)
    };
    let mut clients = [connect(servers[0].address()?)?, connect(servers[1].address()?)?];
    let mut times = interleave(&mut clients, setup.repeats(BATCHES), |client, _| {
        runtime.block_on(async {
            for _ in 0..BATCH {
                select_1(client).await?;
            }
            Ok(())
        })
    })?;
    let [ours, native] = &mut times;
    let trip = Row::micros(GROUP, "SELECT 1", median(ours) / BATCH)
        .native_time(median(native) / BATCH)
        .target("<= 1.25");
    Ok([trip].into_iter().chain(temporary).collect())
}

/// From nothing to the first answer: in new processes, and in one that has had a server.
fn temporary_servers(setup: &Setup) -> Result<Vec<Row>> {
    new_process(&setup.cache)?;
    let firsts = (0..setup.repeats(NEW_PROCESSES)).map(|_| new_process(&setup.cache));
    let mut firsts = firsts.collect::<Result<Vec<_>>>()?;
    let name = "new process: temporary server, connect, first query";
    let first = Row::millis(TEMPORARY_GROUP, name, median(&mut firsts)).target("<= 150 ms");

    let runtime = runtime()?;
    answer(&runtime, &setup.cache)?;
    let (mut starts, mut wholes) = (Vec::new(), Vec::new());
    for _ in 0..setup.repeats(IN_PROCESS) {
        let (start, whole) = answer(&runtime, &setup.cache)?;
        starts.push(start);
        wholes.push(whole);
    }
    let name = "warm process: temporary server, connect, first query";
    let warm = Row::millis(TEMPORARY_GROUP, name, median(&mut wholes)).target("<= 15 ms");
    let name = "warm process: of that the server's start";
    Ok(vec![first, warm, Row::millis(TEMPORARY_GROUP, name, median(&mut starts))])
}

/// How long the start of a new server takes, and that with a connection and a query. The server's end is in neither.
fn answer(runtime: &Runtime, cache: &Path) -> Result<(Duration, Duration)> {
    let begin = Instant::now();
    let server = PgliteServer::builder().cache_dir(cache).start()?;
    let start = begin.elapsed();
    let url = server.database_url();
    let whole = runtime.block_on(async {
        let mut client = PgConnectOptions::from_str(&url)?.connect().await?;
        select_1(&mut client).await?;
        anyhow::Ok(begin.elapsed())
    })?;
    drop(server);
    Ok((start, whole))
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("no tokio")
}

async fn select_1(client: &mut PgConnection) -> Result<()> {
    let row = sqlx::query("SELECT 1").fetch_one(client).await?;
    match row.try_get::<i32, _>(0)? {
        1 => Ok(()),
        other => bail!("SELECT 1 is {other}"),
    }
}

fn new_process(cache: &Path) -> Result<Duration> {
    let output = Command::new(std::env::current_exe()?)
        .args([CHILD, FIRST_SQLX])
        .arg(cache)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let micros = text.trim().parse().with_context(|| format!("a new process said {text:?}"))?;
    Ok(Duration::from_micros(micros))
}

/// In that process: `first-sqlx CACHE`. The time is that of `start()`, the connection and the query.
pub(super) fn first_query(args: &[String]) -> Result<()> {
    let [cache] = args else { bail!("{FIRST_SQLX} CACHE") };
    let (_, time) = answer(&runtime()?, cache.as_ref())?;
    println!("{}", time.as_micros());
    Ok(())
}
