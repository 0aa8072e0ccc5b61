//! Short requests: what a round trip costs.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Setup;
use super::client::Client;
use super::rows::{Row, median};
use super::servers::{self, Server, builder, interleave, persistent, temporary};

/// Where the measurement runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cpus {
    All,
    /// Client and server of both sides on one. With more, it is mostly measured how long an idle CPU takes to
    /// wake up, which on a virtual machine varies by a factor of five.
    One,
}

const BATCHES: usize = 15;

/// Requests of one batch.
const BATCH: u32 = 2000;

/// Where each waits for the disk.
const SYNC_BATCH: u32 = 100;

const CONNECTIONS: u32 = 20;

const TABLE: &str = "
    CREATE TABLE point (id int PRIMARY KEY, words text);
    INSERT INTO point SELECT i, md5(i::text) FROM generate_series(1, 100000) i;
    VACUUM ANALYZE point;
    CREATE TABLE log (id int, words text)";

const POINT: &str = "SELECT words FROM point WHERE id = $1";

/// The table's number of rows, as a step that visits them in no order.
const STEP: i32 = 7919;
const ROWS: i32 = 100_000;

pub(super) fn measure(setup: &Setup, cpus: Cpus) -> Result<Vec<Row>> {
    let group = match cpus {
        Cpus::All => "Round trips",
        Cpus::One => "Round trips, all on one CPU",
    };
    if cpus == Cpus::One {
        servers::pin()?;
    }
    let mut rows = Vec::new();
    let mut row =
        |name: &str, batch: u32, sides: &mut [Side; 2], action: Action<'_>| -> Result<()> {
            let [ours, native] = per_request(sides, setup.repeats(BATCHES), batch, action)?;
            rows.push(Row::micros(group, name, ours).native_time(native));
            Ok(())
        };

    let mut sides = sides(temporary(setup, &[("autovacuum", "off")])?)?;
    row("SELECT 1, simple query", BATCH, &mut sides, &mut |side, _| {
        side.client.simple("SELECT 1").map(drop)
    })?;
    row("point select, prepared", BATCH, &mut sides, &mut |side, i| {
        let reply = side.client.execute("point", &[point(i)])?;
        if reply.rows == 1 { Ok(()) } else { bail!("{} rows", reply.rows) }
    })?;
    row("insert, prepared", BATCH, &mut sides, &mut |side, i| {
        side.client.execute("insert", &[i]).map(drop)
    })?;
    row("select of 100,000 rows", 1, &mut sides, &mut |side, _| {
        side.client.simple("SELECT * FROM point").map(drop)
    })?;
    row("connect, SELECT 1, close", CONNECTIONS, &mut sides, &mut |side, _| {
        let mut client = side.server.connect()?;
        client.simple("SELECT 1")?;
        client.close()
    })?;
    drop(sides);

    let mut sides = self::sides(persistent(setup, &setup.scratch.join("db"))?)?;
    row("insert, prepared, synced to disk", SYNC_BATCH, &mut sides, &mut |side, i| {
        side.client.execute("insert", &[i]).map(drop)
    })?;
    drop(sides);

    let time = through_session(setup)?;
    let row = Row::micros(group, "point select through the library's Session", time);
    // With more it is mostly a measurement of waking up, see `Cpus`.
    rows.push(if cpus == Cpus::One { row.target("<= 15 us") } else { row });
    Ok(rows)
}

type Action<'a> = &'a mut dyn FnMut(&mut Side, i32) -> Result<()>;

struct Side {
    client: Client,
    server: Server,
}

fn sides(servers: [Server; 2]) -> Result<[Side; 2]> {
    let side = |server: Server| -> Result<Side> {
        let mut client = server.connect()?;
        client.simple("DROP TABLE IF EXISTS point, log")?;
        for statement in TABLE.split(';') {
            client.simple(statement)?;
        }
        client.prepare("point", POINT)?;
        client.prepare(
            "insert",
            "INSERT INTO log VALUES ($1, 'some words that fill the row a bit')",
        )?;
        Ok(Side { client, server })
    };
    let [ours, native] = servers;
    Ok([side(ours)?, side(native)?])
}

/// Median over batches of the time per request.
fn per_request(
    sides: &mut [Side; 2],
    batches: usize,
    batch: u32,
    action: Action<'_>,
) -> Result<[Duration; 2]> {
    let mut times = interleave(sides, batches, |side, round| {
        let first = i32::try_from(round)? * i32::try_from(batch)?;
        (first..).take(batch as usize).try_for_each(|i| action(side, i))
    })?;
    Ok([median(&mut times[0]) / batch, median(&mut times[1]) / batch])
}

/// The same point select through the public API, decoding included.
fn through_session(setup: &Setup) -> Result<Duration> {
    let mut db = builder(setup).config("autovacuum", "off").open()?;
    for statement in TABLE.split(';') {
        db.exec(statement)?;
    }
    let statement = db.prepare(POINT)?;
    let mut times = Vec::new();
    for round in 0..setup.repeats(BATCHES) {
        let start = Instant::now();
        for i in 0..BATCH {
            let id = point(i32::try_from(round)? + i32::try_from(i)?);
            let row = db.query_one(&statement, &[&id])?;
            if row.get::<_, &str>(0).len() != 32 {
                bail!("a wrong row");
            }
        }
        times.push(start.elapsed());
    }
    Ok(median(&mut times) / BATCH)
}

fn point(i: i32) -> i32 {
    i.wrapping_mul(STEP).rem_euclid(ROWS) + 1
}
