//! `pg_dump` and `pg_restore`: in this process, and the native programs on a native server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pglite_oxide::Pglite;
use pglite_oxide::tools::{Format, Program, Tool};

use super::Setup;
use super::native::NativeServer;
use super::rows::{Row, median};
use super::servers::{Server, temporary};

const GROUP: &str = "pg_dump and pg_restore";

const ROWS: &str = "\
    CREATE TABLE item AS SELECT i AS id, md5(i::text) AS words, i * 0.25 AS number, \
    now() + i * interval '1 s' AS at, i % 7 = 0 AS flag FROM generate_series(1, 100000) i; \
    ALTER TABLE item ADD PRIMARY KEY (id); VACUUM ANALYZE item";

const FORMATS: &[(Format, &str)] =
    &[(Format::Plain, "plain"), (Format::Custom, "custom"), (Format::Directory, "directory")];

pub(super) fn measure(setup: &Setup) -> Result<Vec<Row>> {
    let [Server::Ours(db), Server::Native(native)] = temporary(setup, &[("autovacuum", "off")])?
    else {
        bail!("not the servers that were asked for");
    };
    let mut db = *db;
    for statement in ROWS.split(';') {
        db.exec(statement)?;
        native.connect()?.simple(statement)?;
    }
    let mut rows = Vec::new();

    // The first use unpacks and loads the tools.
    let version = || Tool::new(Program::PgDump).arg("--version").cache_dir(&setup.cache).output();
    version()?;
    let start = times(setup.repeats(20), || Ok(version().map(drop)?))?;
    let theirs = times(setup.repeats(20), || setup.native.client("pg_dump", &["--version"]))?;
    rows.push(Row::millis(GROUP, "pg_dump --version", start).native_time(theirs));

    for (format, name) in FORMATS {
        let path = setup.scratch.join(name);
        let native_path = setup.native_in_memory.path(name);
        let our_times = times(setup.repeats(9), || {
            remove(&path)?;
            // Native compresses nothing: it is built without zlib.
            let dump = db.dump().format(*format).compress("none").arg("--no-sync");
            Ok(dump.to_path(&path)?)
        })?;
        let native_times = times(setup.repeats(9), || {
            remove(&native_path)?;
            let format = format!("--format={name}");
            let file = format!("--file={}", native_path.display());
            setup.native_in_memory.client_of(&native, "pg_dump", &[&format, &file, "--no-sync"])
        })?;
        rows.push(
            Row::millis(GROUP, format!("dump 100,000 rows, {name}"), our_times)
                .native_time(native_times)
                .target("1.5x native"),
        );
    }
    let ours = times(setup.repeats(9), || Ok(db.dump().to_vec().map(drop)?))?;
    rows.push(Row::millis(GROUP, "dump 100,000 rows, plain, to memory", ours));
    let ours =
        times(setup.repeats(5), || Ok(db.dump().format(Format::Custom).to_vec().map(drop)?))?;
    rows.push(Row::millis(GROUP, "dump 100,000 rows, custom with gzip, to memory", ours));

    rows.extend(restores(setup, &db, &native)?);
    Ok(rows)
}

fn restores(setup: &Setup, db: &Pglite, native: &NativeServer) -> Result<Vec<Row>> {
    let ours = setup.scratch.join("custom");
    let theirs = setup.native_in_memory.path("custom");
    let our_times = times(setup.repeats(5), || Ok(db.restore().clean().from_path(&ours)?))?;
    let native_times = times(setup.repeats(5), || {
        let file = theirs.to_str().context("a path that is not UTF-8")?;
        let arguments = ["--dbname=postgres", "--clean", "--exit-on-error", file];
        setup.native_in_memory.client_of(native, "pg_restore", &arguments)
    })?;
    let name = "restore 100,000 rows, custom, with a primary key";
    Ok(vec![Row::millis(GROUP, name, our_times).native_time(native_times)])
}

fn times(count: usize, mut action: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        action()?;
        times.push(start.elapsed());
    }
    Ok(median(&mut times))
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        std::fs::remove_dir_all(path)?;
    } else if path.exists() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}
