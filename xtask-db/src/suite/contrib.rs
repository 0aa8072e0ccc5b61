//! `cargo xtask regress --contrib`: the tests that contrib's extensions come with, each on a server of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::passing::Passing;
use super::run::{Address, DATABASE_OF_CONTRIB, Outcome, Runner};
use super::schedule::Schedule;
use super::server::{Server, Transport};
use super::{REGRESS, empty_dir};
use crate::args::Args;
use crate::log;
use crate::paths::Paths;

const HELP: &str = "\
cargo xtask regress --contrib [OPTIONS]: the regression tests of contrib's extensions

  --only A,B,...   these extensions alone
  --update         write the tests that pass to the list of tests that must pass
  --output DIR     where results are left (default target/contrib)
";

const LIST: &str = "assets/regress/contrib.txt";

/// Directories of contrib that are no extensions for a server here: programs, scripts, other languages, and what needs a
/// shell, SELinux or OpenSSL's TLS.
const OTHERS: &[&str] = &[
    "auth_delay",
    "basebackup_to_shell",
    "bool_plperl",
    "hstore_plperl",
    "hstore_plpython",
    "jsonb_plperl",
    "jsonb_plpython",
    "ltree_plpython",
    "oid2name",
    "sepgsql",
    "sslinfo",
    "start-scripts",
    "vacuumlo",
];

/// What a makefile says of its tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tests {
    pub(super) names: Vec<String>,
    /// Lines of a `postgresql.conf`.
    settings: Vec<(String, String)>,
    load: Vec<String>,
}

pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    let mut args = Args::new(args);
    if args.flag("--help") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let _ = args.flag("--ci");
    let update = args.flag("--update");
    let only = args.value("--only")?;
    let output = args.value("--output")?;
    args.finish(HELP)?;

    let paths = Paths::find("psql")?;
    let output = output.map_or_else(|| paths.repo("target/contrib"), PathBuf::from);
    let output = empty_dir(&output)?;
    log::to_file(&output.join("postgres.log"))?;
    let known = directories(&paths)?;
    let chosen: Vec<String> = match &only {
        Some(names) => names.split(',').map(str::to_owned).collect(),
        None => known.clone(),
    };
    if let Some(unknown) = chosen.iter().find(|name| !known.contains(name)) {
        bail!("contrib has no tests of {unknown}\n\n{HELP}");
    }

    let list = paths.repo(LIST);
    let mut passing = Passing::read(&list)?;
    let (mut passed, mut failed, mut all) = (BTreeSet::new(), Vec::new(), Vec::new());
    for extension in &chosen {
        let tests = Tests::of(&paths.native_tree("contrib").join(extension))?;
        if tests.names.is_empty() {
            continue;
        }
        println!("# {extension}");
        let ok = run(&paths, extension, &tests, &output)?;
        for name in tests.names {
            let full = format!("{extension}/{name}");
            match ok.contains(&name) {
                true => drop(passed.insert(full.clone())),
                false => failed.push(full.clone()),
            }
            all.push(full);
        }
    }
    let regressed: Vec<&String> = failed.iter().filter(|name| passing.contains(name)).collect();
    if !failed.is_empty() {
        println!("# failed: {}", failed.join(" "));
        println!("# differences: {}/*/regression.diffs", output.display());
    }
    if !regressed.is_empty() {
        println!("# failed, but passed before: {regressed:?}");
    }
    println!("{} passed, {} failed", passed.len(), failed.len());
    if update {
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        let ran = Schedule::one_by_one(&names);
        passing.update(&ran, &passed);
        passing.write_all(&list, "regress --contrib")?;
        println!("written: {}", list.display());
    }
    Ok(if regressed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn directories(paths: &Paths) -> Result<Vec<String>> {
    let contrib = paths.native_tree("contrib");
    let entries = std::fs::read_dir(&contrib)
        .with_context(|| format!("cannot list {}", contrib.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().join("Makefile").exists() && !OTHERS.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

impl Tests {
    /// The files of a directory `sql`, in the order of their names.
    pub(super) fn in_directory(dir: &Path, load: &[&str]) -> Result<Tests> {
        let sql = dir.join("sql");
        let mut names = Vec::new();
        let entries =
            std::fs::read_dir(&sql).with_context(|| format!("cannot list {}", sql.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "sql")
                && let Some(name) = path.file_stem()
            {
                names.push(name.to_string_lossy().into_owned());
            }
        }
        names.sort();
        let load = load.iter().map(|&name| name.to_owned()).collect();
        Ok(Tests { names, settings: Vec::new(), load })
    }

    /// Asks the makefile in that directory.
    fn of(dir: &Path) -> Result<Tests> {
        let output = Command::new("make")
            .args(["-s", "--no-print-directory", "-C"])
            .arg(dir)
            .arg("--eval=pglite-tests: ; @echo '$(REGRESS)'; echo '$(REGRESS_OPTS)'")
            .arg("pglite-tests")
            .output()
            .context("cannot run make")?;
        if !output.status.success() {
            bail!("make in {}: {}", dir.display(), String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        let names = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned);
        let mut tests = Tests { names: names.collect(), settings: Vec::new(), load: Vec::new() };
        let mut options = lines.next().unwrap_or_default().split_whitespace();
        while let Some(option) = options.next() {
            if let Some(name) = option.strip_prefix("--load-extension=") {
                tests.load.push(name.to_owned());
            } else if option == "--temp-config" {
                // Relative to src/test/regress or to the directory: it is always a file of the directory.
                let path = Path::new(options.next().context("--temp-config needs a file")?);
                let name = path.file_name().context("--temp-config needs a file")?;
                let text = std::fs::read_to_string(dir.join(name))
                    .with_context(|| format!("cannot read {}", path.display()))?;
                tests.settings.extend(text.lines().filter_map(setting));
            }
        }
        Ok(tests)
    }
}

/// A line of `postgresql.conf`.
fn setting(line: &str) -> Option<(String, String)> {
    let line = line.split('#').next()?.trim();
    let (name, value) = line.split_once('=').or_else(|| line.split_once(' '))?;
    Some((name.trim().to_owned(), value.trim().trim_matches('\'').to_owned()))
}

fn run(paths: &Paths, extension: &str, tests: &Tests, output: &Path) -> Result<BTreeSet<String>> {
    let dir = paths.native_tree("contrib").join(extension);
    let output = empty_dir(&output.join(extension))?;
    // Off in a temporary database, and expected by those that look into the log.
    let mut settings = [REGRESS.settings, &[("full_page_writes", "on")]].concat();
    for (name, value) in &tests.settings {
        settings.retain(|(known, _)| known != name);
        settings.push((name, value));
    }
    let server =
        Server::start(Transport::Unix, &[&dir], &output, &settings, &paths.test_modules())?;
    let outcome = run_at(paths, server.connection().into(), &dir, &dir, tests, output)?;
    // A hanging server ends with the process.
    match outcome.stalled {
        true => std::mem::forget(server),
        false => drop(server),
    }
    Ok(outcome.passed)
}

/// The tests in a directory, on a server that can read it. What paths in them are relative to is another directory.
pub(super) fn run_at(
    paths: &Paths,
    connection: Address,
    dir: &Path,
    relative_to: &Path,
    tests: &Tests,
    output: PathBuf,
) -> Result<Outcome> {
    let names: Vec<&str> = tests.names.iter().map(String::as_str).collect();
    Runner {
        program: paths.native_tree("src/test/regress/pg_regress"),
        bin: paths.native("bin"),
        directory: relative_to.to_owned(),
        tests: dir.to_owned(),
        output,
        connection,
        environment: &[],
        database: Some(DATABASE_OF_CONTRIB),
        load: tests.load.clone(),
        no_locale: true,
        stall: Duration::from_secs(300),
    }
    .run(&Schedule::one_by_one(&names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_configuration() {
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(setting("wal_level = logical"), pair("wal_level", "logical"));
        assert_eq!(
            setting("shared_preload_libraries = 'pg_stat_statements'  # x"),
            pair("shared_preload_libraries", "pg_stat_statements")
        );
        assert_eq!(setting("# nothing"), None);
        assert_eq!(setting(""), None);
    }
}
