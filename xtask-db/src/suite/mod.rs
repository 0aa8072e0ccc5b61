//! PostgreSQL's own test suites against a server of this library: `regress` and `isolation`.
//!
//! The tests, their expected files and the programs that run them are those of the native PostgreSQL of the same
//! version; nothing of them is edited. What passed is kept in a list in the repository, and must pass again.

mod contrib;
mod isolation;
mod passing;
mod regress;
mod run;
mod schedule;
mod server;
mod vector;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::passing::Passing;
use self::run::{Outcome, Runner};
use self::schedule::Schedule;
use self::server::{Server, Transport};
use crate::args::Args;
use crate::log;
use crate::paths::Paths;

pub(crate) use contrib::command as contrib;
pub(crate) use isolation::ISOLATION;
pub(crate) use regress::REGRESS;
pub(crate) use vector::command as vector;

/// A suite that a relative of `pg_regress` runs.
pub(crate) struct Suite {
    /// The name of the command, and of the directories of its list and its results.
    name: &'static str,
    title: &'static str,
    /// In the native build tree; has `expected/`.
    dir: &'static str,
    program: &'static str,
    schedule: &'static str,
    /// Tests that are not in the schedule, as they need settings that a server need not have.
    extra: &'static [&'static str],
    /// What all others need.
    always: &'static [&'static str],
    transport: Transport,
    settings: &'static [(&'static str, &'static str)],
    /// Are all collations of ICU to be there?
    collations: bool,
    /// For the programs that run the tests.
    environment: &'static [(&'static str, &'static str)],
}

const OPTIONS: &str = "
  --ci             as CI runs it: all tests, and none is waited for as long as by default
  --only A,B,...   these tests alone, and what they need
  --update         write the tests that pass to the list of tests that must pass
  --locale LOCALE  of the test database: C (the default), or `default` for the template's
  --stall SECONDS  give up when no test has ended for this long (default 900, with --ci 300)
  --output DIR     where results are left (default target/NAME)
";

impl Suite {
    pub(crate) fn command(&self, args: &[String]) -> Result<ExitCode> {
        let mut args = Args::new(args);
        let help = format!("cargo xtask {} [OPTIONS]: {}\n{OPTIONS}", self.name, self.title);
        if args.flag("--help") {
            print!("{help}");
            return Ok(ExitCode::SUCCESS);
        }
        let ci = args.flag("--ci");
        let update = args.flag("--update");
        let only = args.value("--only")?;
        let locale = args.value("--locale")?;
        let stall = args.number("--stall", if ci { 300 } else { 900 })?;
        let output = args.value("--output")?;
        args.finish(&help)?;
        let no_locale = match locale.as_deref() {
            None | Some("C") => true,
            Some("default") => false,
            Some(other) => bail!("no such locale: {other}\n\n{help}"),
        };

        let paths = Paths::find("psql")?;
        let tests = paths.native_tree(self.dir);
        let whole = Schedule::read(&tests.join(self.schedule))?.with(self.extra);
        let always = self.always.iter().copied();
        let schedule = match &only {
            Some(names) => whole.clone().only(names.split(',').chain(always))?,
            None => whole.clone(),
        };
        let output = output.map_or_else(|| paths.repo("target").join(self.name), Into::into);
        let output = empty_dir(&output)?;

        log::to_file(&output.join("postgres.log"))?;
        let modules = paths.test_modules();
        let server =
            Server::start(self.transport, &[&tests], &output, self.settings, modules.as_slice())?;
        let runner = Runner {
            program: tests.join(self.program),
            bin: paths.native("bin"),
            tests,
            output: output.clone(),
            directory: output.clone(),
            connection: server.connection().into(),
            environment: self.environment,
            database: None,
            load: Vec::new(),
            no_locale,
            stall: std::time::Duration::from_secs(stall as u64),
        };
        if self.collations {
            runner.import_collations()?;
        }
        let outcome = runner.run(&schedule)?;
        let list = paths.repo("assets").join(self.name).join("passing.txt");
        let mut passing = Passing::read(&list)?;
        let code = report(&outcome, &schedule, &passing, &output);
        if update {
            passing.update(&schedule, &outcome.passed);
            passing.write(&list, self, &whole)?;
            println!("written: {}", list.display());
        }
        // What is left of the server ends with the process: it may hang where a test has hung.
        std::mem::forget(server);
        Ok(code)
    }
}

/// The directory without links in its path: the guest sees it at the path that `pg_regress` prints.
fn empty_dir(path: &Path) -> Result<PathBuf> {
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
