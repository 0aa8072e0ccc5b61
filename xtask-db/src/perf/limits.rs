//! What stops a statement, and what goes on and on: cancel, time-outs, recursion, exceptions.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Setup;
use super::client::{Client, ServerError};
use super::memory::rss_of;
use super::rows::{Row, median};
use super::servers::{Server, temporary};

const GROUP: &str = "Limits";

const BUSY: &str = "SELECT count(*) FROM generate_series(1, 1000000000000)";
const REPEATS: usize = 11;

const QUERY_CANCELED: &str = "57014";
const STACK_DEPTH: &str = "54001";

const RECURSIONS: &[(&str, &str, &str)] = &[
    (
        "SQL function",
        "CREATE OR REPLACE FUNCTION sql_f(i int) RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE OR REPLACE FUNCTION sql_f(i int) RETURNS int LANGUAGE sql AS 'SELECT sql_f(i + 1)'",
        "SELECT sql_f(1)",
    ),
    (
        "plpgsql",
        "CREATE OR REPLACE FUNCTION pl_f(i int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN pl_f(i + 1); END'",
        "SELECT pl_f(1)",
    ),
    (
        "plpgsql with handlers",
        "CREATE OR REPLACE FUNCTION plh_f(i int) RETURNS int LANGUAGE plpgsql AS
         'BEGIN RETURN plh_f(i + 1); EXCEPTION WHEN division_by_zero THEN RETURN 0; END'",
        "SELECT plh_f(1)",
    ),
];

const EXCEPTIONS: &str = "
    DO $$ BEGIN FOR i IN 1..1000000 LOOP
        BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END;
    END LOOP; END $$";

pub(super) fn measure(setup: &Setup) -> Result<Vec<Row>> {
    let servers = temporary(setup, &[])?;
    let [ours, native] = &servers;
    let mut rows = Vec::new();
    for (name, sql) in
        [("cancel of pg_sleep", "SELECT pg_sleep(100)"), ("cancel of a busy statement", BUSY)]
    {
        let row = Row::millis(GROUP, name, cancel(ours, sql)?).native_time(cancel(native, sql)?);
        rows.push(row.target("<= 50 ms"));
    }
    let row = Row::millis(GROUP, "lateness of statement_timeout, busy", lateness(ours)?);
    rows.push(row.native_time(lateness(native)?).target("<= 50 ms"));

    for (name, create, call) in RECURSIONS {
        let name = format!("recursion to the stack limit, {name}");
        let row = Row::millis(GROUP, name, recursion(ours, create, call)?);
        rows.push(row.native_time(recursion(native, create, call)?).target("< 500 ms"));
    }

    let (time, growth) = exceptions(ours, |_| std::process::id())?;
    let (native_time, native_growth) =
        exceptions(native, |client| u32::try_from(client.pid()).unwrap_or_default())?;
    rows.push(Row::millis(GROUP, "1,000,000 caught exceptions", time).native_time(native_time));
    rows.push(
        Row::new(GROUP, "growth of RSS by them", "MB", growth)
            .native(native_growth)
            .target("nothing"),
    );
    Ok(rows)
}

/// From the cancel request to the error.
fn cancel(server: &Server, sql: &str) -> Result<Duration> {
    let mut client = server.connect()?;
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let request = client.cancel_request();
        let mut stream = server.stream()?;
        let started = thread::scope(|scope| -> Result<Duration> {
            let canceller = scope.spawn(move || -> std::io::Result<Instant> {
                thread::sleep(Duration::from_millis(50));
                let now = Instant::now();
                stream.write_all(&request)?;
                stream.read_to_end(&mut Vec::new())?;
                Ok(now)
            });
            expect(&mut client, sql, QUERY_CANCELED)?;
            let ended = Instant::now();
            match canceller.join() {
                Ok(started) => Ok(ended - started?),
                Err(_) => bail!("the cancelling thread panicked"),
            }
        });
        times.push(started?);
    }
    Ok(median(&mut times))
}

fn lateness(server: &Server) -> Result<Duration> {
    let limit = Duration::from_millis(100);
    let mut client = server.connect()?;
    client.simple("SET statement_timeout = '100ms'")?;
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let start = Instant::now();
        expect(&mut client, BUSY, QUERY_CANCELED)?;
        times.push(start.elapsed().saturating_sub(limit));
    }
    Ok(median(&mut times))
}

fn recursion(server: &Server, create: &str, call: &str) -> Result<Duration> {
    let mut client = server.connect()?;
    client.simple(create)?;
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let start = Instant::now();
        expect(&mut client, call, STACK_DEPTH)?;
        times.push(start.elapsed());
    }
    Ok(median(&mut times))
}

/// Time, and by how many MB the process grows.
fn exceptions(server: &Server, process: impl Fn(&Client) -> u32) -> Result<(Duration, f64)> {
    let mut client = server.connect()?;
    // What the first ones load stays.
    client.simple(&EXCEPTIONS.replace("1000000", "1000"))?;
    let pid = process(&client);
    let before = rss_of(pid)?;
    let start = Instant::now();
    client.simple(EXCEPTIONS)?;
    Ok((start.elapsed(), rss_of(pid)? - before))
}

fn expect(client: &mut Client, sql: &str, code: &str) -> Result<()> {
    match client.simple(sql) {
        Ok(_) => bail!("no error: {sql}"),
        Err(error) => match error.downcast_ref::<ServerError>() {
            Some(found) if found.code == code => Ok(()),
            _ => Err(error),
        },
    }
}
