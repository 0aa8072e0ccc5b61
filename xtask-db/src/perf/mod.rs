//! `cargo xtask perf`: how fast it is, beside native PostgreSQL of the same version in the same run.
//!
//! Every group of measurements is a child process of its own, so that none runs in the memory and on the warm
//! caches of another. The child prints its rows as JSON; this process collects them and prints the table.

mod bench;
mod client;
mod connect;
mod dump;
mod idle;
pub(crate) mod interop;
mod limits;
mod memory;
pub(crate) mod native;
mod pgbench;
mod rows;
mod serve;
mod servers;
mod sqlx;
mod start;
mod trips;
mod vector;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use self::native::NativeData;
use self::rows::Row;
use crate::args::Args;
use crate::paths::Paths;

const HELP: &str = "\
cargo xtask perf [OPTIONS]: measurements, beside native PostgreSQL of the same version

  --json FILE        write the rows to FILE too
  --groups A,B,...   only these: start trips trips-pinned bench limits memory connect pgbench
                     pgbench-pinned sqlx idle dump vector (default: all but vector)
                     (`cargo xtask perf vector` is short for `--groups vector`)
  --rounds N         repetitions of each statement of bench.sql (default 5)
  --quick            a third of all repetitions: to see that it works, and roughly how fast
  --sql FILE         measure the statements of FILE (one per paragraph) instead of those of bench.sql
";

/// The command by which this program runs itself.
pub(crate) const CHILD: &str = "perf-child";

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

const VECTOR: &str = "vector";

/// How the native PostgreSQL is configured that is measured: `native build --quick` makes another.
const OPTIMISED: &str = "CFLAGS=-O2";

const GROUPS: &[&str] = &[
    "start",
    "trips",
    "trips-pinned",
    "bench",
    "limits",
    "memory",
    "connect",
    "pgbench",
    "pgbench-pinned",
    "sqlx",
    "idle",
    "dump",
    VECTOR,
];

/// How thorough the measurements are: the last argument of a child.
const LENGTHS: [&str; 2] = ["full", "quick"];

/// What a child is told.
struct Setup {
    /// Where the runtime is unpacked: warm, but not the user's own.
    cache: PathBuf,
    /// A directory of its own.
    scratch: PathBuf,
    native: NativeData,
    /// A native data directory in memory, as a temporary database is.
    native_in_memory: NativeData,
    rounds: usize,
    quick: bool,
    /// Statements, one per paragraph.
    sql: String,
}

impl Setup {
    /// How often something is done that is done so often in a full measurement.
    fn repeats(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(3) } else { full }
    }
}

pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    let mut args = Args::new(args);
    if args.flag("--help") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let json = args.value("--json")?;
    let groups = args.value("--groups")?.unwrap_or_else(|| {
        // That one needs more of what is built.
        let groups: Vec<&str> = GROUPS.iter().copied().filter(|name| *name != VECTOR).collect();
        if args.flag(VECTOR) { VECTOR.to_owned() } else { groups.join(",") }
    });
    let rounds = args.number("--rounds", 5)?;
    let length = LENGTHS[usize::from(args.flag("--quick"))];
    let sql = match args.value("--sql")? {
        Some(path) => {
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?
        }
        None => bench::SQL.to_owned(),
    };
    args.finish(HELP)?;

    let dir = tempfile::tempdir()?;
    let memory = match Path::new(MEMORY).is_dir() {
        true => tempfile::tempdir_in(MEMORY)?,
        false => tempfile::tempdir()?,
    };
    let paths = Paths::find("postgres")?;
    if !paths.is_configured(OPTIMISED)? {
        bail!(
            "the native PostgreSQL is not optimised, but for tests: run `cargo xtask native build`"
        );
    }
    NativeData::make(&paths, &dir.path().join("native"))?;
    NativeData::make(&paths, &memory.path().join("native"))?;
    std::fs::write(dir.path().join("statements.sql"), sql)?;
    let mut rows = Vec::new();
    for group in groups.split(',') {
        if !GROUPS.contains(&group) {
            bail!("no such group: {group}\n\n{HELP}");
        }
        eprintln!("{group} ...");
        rows.extend(run_group(group, dir.path(), memory.path(), rounds, length)?);
    }
    print!("{}", rows::table(&rows));
    if let Some(path) = json {
        std::fs::write(&path, serde_json::to_string_pretty(&rows)?)
            .with_context(|| format!("cannot write {path}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_group(
    group: &str,
    dir: &Path,
    memory: &Path,
    rounds: usize,
    length: &str,
) -> Result<Vec<Row>> {
    let output = Command::new(std::env::current_exe()?)
        .args([CHILD, group])
        .args([dir, memory])
        .args([&rounds.to_string(), length])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("the measurement {group} failed ({})", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("the rows of {group}"))
}

/// In the child: `perf-child GROUP DIR MEMORY ROUNDS LENGTH`, or what groups run in processes of their own.
pub(crate) fn child(args: &[String]) -> Result<ExitCode> {
    let [group, rest @ ..] = args else { bail!("{CHILD} needs a group") };
    match group.as_str() {
        start::FIRST_QUERY => start::first_query(rest)?,
        serve::SERVE => serve::serve(rest)?,
        sqlx::FIRST_SQLX => sqlx::first_query(rest)?,
        _ => return measure(group, rest),
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(group: &str, args: &[String]) -> Result<ExitCode> {
    let [dir, memory, rounds, length] = args else {
        bail!("{CHILD} GROUP DIR MEMORY ROUNDS {}", LENGTHS.join("|"))
    };
    let dir = Path::new(dir);
    let paths = Paths::find("postgres")?;
    let setup = Setup {
        cache: dir.join("cache"),
        scratch: dir.join(group),
        native: NativeData::find(&paths, &dir.join("native")),
        native_in_memory: NativeData::find(&paths, &Path::new(memory).join("native")),
        rounds: rounds.parse()?,
        quick: length == LENGTHS[1],
        sql: std::fs::read_to_string(dir.join("statements.sql"))?,
    };
    std::fs::create_dir_all(&setup.scratch)?;
    let rows = match group {
        "start" => start::measure(&setup)?,
        "trips" => trips::measure(&setup, trips::Cpus::All)?,
        "trips-pinned" => trips::measure(&setup, trips::Cpus::One)?,
        "bench" => bench::measure(&setup)?,
        "limits" => limits::measure(&setup)?,
        "memory" => memory::measure(&setup)?,
        "connect" => connect::measure(&setup)?,
        "pgbench" => pgbench::measure(&setup, trips::Cpus::All)?,
        "pgbench-pinned" => pgbench::measure(&setup, trips::Cpus::One)?,
        "sqlx" => sqlx::measure(&setup)?,
        "idle" => idle::measure(&setup)?,
        "dump" => dump::measure(&setup)?,
        VECTOR => vector::measure(&setup, Path::new(memory))?,
        _ => bail!("no such group: {group}"),
    };
    println!("{}", serde_json::to_string(&rows)?);
    Ok(ExitCode::SUCCESS)
}
