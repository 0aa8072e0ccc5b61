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

const BATCHES: usize = 15;
const BATCH: u32 = 2000;
const NEW_PROCESSES: usize = 15;

pub(super) fn measure(setup: &Setup) -> Result<Vec<Row>> {
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
    drop(servers);

    new_process(&setup.cache)?;
    let firsts = (0..setup.repeats(NEW_PROCESSES)).map(|_| new_process(&setup.cache));
    let mut firsts = firsts.collect::<Result<Vec<_>>>()?;
    let first = Row::millis(
        GROUP,
        "new process: temporary server, connect, first query",
        median(&mut firsts),
    );
    Ok(vec![trip, first.target("<= 150 ms")])
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
    let runtime = runtime()?;
    let start = Instant::now();
    let server = PgliteServer::builder().cache_dir(cache).start()?;
    runtime.block_on(async {
        let options = PgConnectOptions::from_str(&server.database_url())?;
        select_1(&mut options.connect().await?).await
    })?;
    println!("{}", start.elapsed().as_micros());
    Ok(())
}
