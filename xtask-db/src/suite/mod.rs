//! `cargo xtask regress`: PostgreSQL's own regression tests against a database of this library.
//!
//! The tests, their expected files, `pg_regress` and `psql` are those of the native PostgreSQL of the same
//! version; nothing of them is edited. What passed is kept in `assets/regress/passing.txt`, and must pass again.

mod passing;
mod run;
mod schedule;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use pglite_oxide::{MountAccess, Pglite};

use self::passing::Passing;
use self::run::{Outcome, Runner};
use self::schedule::Schedule;
use crate::args::Args;
use crate::paths::Paths;
use crate::{log, pump};

const HELP: &str = "\
cargo xtask regress [OPTIONS]: PostgreSQL's regression tests, with its own pg_regress and psql

  --ci             the subset that takes minutes
  --only A,B,...   these files alone (and test_setup)
  --update         write the files that pass to the list of files that must pass
  --locale LOCALE  of the test database: C (the default), or `default` for the template's
  --stall SECONDS  give up when no test has ended for this long (default 900)
  --output DIR     where results are left (default target/regress)
";

/// Run by `--ci`: in each the parts of PostgreSQL that the kernel and the shim have most to do with.
const CI: &[&str] = &[
    "test_setup",
    "boolean",
    "char",
    "name",
    "varchar",
    "text",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "numeric",
    "numerology",
    "copy",
    "copyselect",
    "copydml",
    "insert",
    "create_misc",
    "create_procedure",
    "create_table",
    "create_type",
    "create_schema",
    "create_index",
    "create_view",
    "create_aggregate",
    "create_function_sql",
    "create_cast",
    "select",
    "errors",
    "infinite_recurse",
    "select_into",
    "select_distinct",
    "select_distinct_on",
    "select_implicit",
    "select_having",
    "subselect",
    "join",
    "aggregates",
    "transactions",
    "prepared_xacts",
    "select_parallel",
    "select_views",
    "window",
    "json",
    "jsonb",
    "plpgsql",
    "largeobject",
    "with",
];

pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    let mut args = Args::new(args);
    if args.flag("--help") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let ci = args.flag("--ci");
    let update = args.flag("--update");
    let only = args.value("--only")?;
    let locale = args.value("--locale")?;
    let stall = args.number("--stall", 900)?;
    let output = args.value("--output")?;
    args.finish(HELP)?;

    let paths = Paths::find()?;
    let tests = paths.native_tree("src/test/regress");
    let schedule = Schedule::read(&tests.join("parallel_schedule"))?;
    let schedule = match &only {
        Some(names) => schedule.only(names.split(',').chain(["test_setup"]))?,
        None if ci => schedule.only(CI.iter().copied())?,
        None => schedule,
    };
    let output = output.map_or_else(|| paths.repo("target/regress"), Into::into);
    let output = empty_dir(&output)?;
    let no_locale = match locale.as_deref() {
        None | Some("C") => true,
        Some("default") => false,
        Some(other) => bail!("no such locale: {other}\n\n{HELP}"),
    };

    log::to_file(&output.join("postgres.log"))?;
    let db = Arc::new(Mutex::new(open(&tests, &output)?));
    let sockets = tempfile::tempdir()?;
    pump::listen(db.clone(), sockets.path())?;

    let runner = Runner {
        program: tests.join("pg_regress"),
        bin: paths.native("bin"),
        tests,
        output: output.clone(),
        sockets: sockets.path().to_owned(),
        no_locale,
        stall: std::time::Duration::from_secs(stall as u64),
    };
    let outcome = runner.run(&schedule)?;
    let list = paths.repo("assets/regress/passing.txt");
    let code = report(&outcome, &schedule, &Passing::read(&list)?, &output);
    if update {
        let mut passing = Passing::read(&list)?;
        passing.update(&schedule, &outcome.passed);
        passing.write(&list, &Schedule::read(&runner.tests.join("parallel_schedule"))?)?;
        println!("written: {}", list.display());
    }
    // What is left of the database ends with the process: it may hang where a test has hung.
    Ok(code)
}

/// As the instance that `pg_regress` would make, with the directories of the tests where psql says they are.
fn open(tests: &Path, output: &Path) -> Result<Pglite> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Pglite::builder()
        .mount(tests, text(tests), MountAccess::ReadOnly)
        .mount(output, text(output), MountAccess::ReadWrite)
        .config("max_prepared_transactions", "2")
        .config("log_autovacuum_min_duration", "0")
        .config("log_checkpoints", "on")
        .config("log_lock_waits", "on")
        .config("log_temp_files", "128kB")
        // A temporary database has it off, and with it tuples get their hint bits, and pages their all-visible
        // bits, later than the expected plans assume.
        .config("synchronous_commit", "on")
        .open()
        .context("the database does not open")
}

/// The directory without links in its path: the guest sees it at the path that `pg_regress` prints.
fn empty_dir(path: &Path) -> Result<std::path::PathBuf> {
    if path.exists() {
        std::fs::remove_dir_all(path)
            .with_context(|| format!("cannot remove {}", path.display()))?;
    }
    std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path.canonicalize()?)
}

fn report(outcome: &Outcome, schedule: &Schedule, listed: &Passing, output: &Path) -> ExitCode {
    let missing = schedule.names().filter(|name| !outcome.passed.contains(*name));
    let failed: BTreeSet<&str> = missing.collect();
    let regressed: Vec<&str> =
        failed.iter().copied().filter(|name| listed.contains(name)).collect();
    if !failed.is_empty() {
        println!("# differences: {}", output.join("regression.diffs").display());
        println!("# log of the server: {}", output.join("postgres.log").display());
        println!("# failed: {}", failed.iter().copied().collect::<Vec<_>>().join(" "));
    }
    if outcome.stalled {
        println!("# given up: no test ended for too long, the rest counts as failed");
    }
    if !regressed.is_empty() {
        println!("# failed, but passed before: {}", regressed.join(" "));
    }
    println!("{} passed, {} failed", outcome.passed.len(), failed.len());
    if regressed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
