//! One run of `pg_regress` or `pg_isolation_regress`, and what it reports.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pglite_oxide::ConnectionParams;

use super::schedule::Schedule;

/// Where extensions' tests expect to be.
pub(super) const DATABASE_OF_CONTRIB: &str = "contrib_regression";

/// Where the guest finds modules, those that only tests need among them.
const MODULES: &str = "/pglite/lib/postgresql";

/// Where a server listens, and as whom the tests come.
pub(super) struct Address {
    /// Of a Unix socket the directory.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
}

impl From<ConnectionParams> for Address {
    fn from(params: ConnectionParams) -> Address {
        Address { host: params.host, port: params.port, user: params.user }
    }
}

/// How the program is run.
pub(super) struct Runner {
    pub(super) program: PathBuf,
    /// Where `psql` is.
    pub(super) bin: PathBuf,
    /// Where the tests and `expected/` are.
    pub(super) tests: PathBuf,
    pub(super) output: PathBuf,
    /// What paths in the tests are relative to.
    pub(super) directory: PathBuf,
    pub(super) connection: Address,
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// Where the tests run, if not in the database that is `pg_regress`'s default.
    pub(super) database: Option<&'static str>,
    /// Extensions that the tests take for granted.
    pub(super) load: Vec<String>,
    pub(super) no_locale: bool,
    /// Longest time without a test that ends.
    pub(super) stall: Duration,
}

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) passed: BTreeSet<String>,
    pub(super) stalled: bool,
}

impl Runner {
    pub(super) fn run(&self, schedule: &Schedule) -> Result<Outcome> {
        let schedule_file = self.output.join("schedule");
        std::fs::write(&schedule_file, schedule.text())?;
        let option = |name: &str, value: &PathBuf| {
            let mut option = std::ffi::OsString::from(format!("--{name}="));
            option.push(value);
            option
        };
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--host={}", self.connection.host))
            .arg(format!("--port={}", self.connection.port))
            .arg(format!("--user={}", self.connection.user))
            .arg(option("bindir", &self.bin))
            .arg(option("inputdir", &self.tests))
            .arg(option("expecteddir", &self.tests))
            .arg(option("outputdir", &self.output))
            .arg(format!("--dlpath={MODULES}"))
            .args(self.database.map(|name| format!("--dbname={name}")))
            .args(self.load.iter().map(|name| format!("--load-extension={name}")))
            .arg(option("schedule", &schedule_file))
            .arg("--encoding=UTF8")
            .args(self.no_locale.then_some("--no-locale"));
        // What psql would take from the maintainer's environment.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .envs(self.environment.iter().copied())
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // With the psqls it starts, so that all can be ended.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let outcome = self.follow(&mut child);
        end(&mut child);
        outcome
    }

    /// Gives databases to come the collations of ICU's locales, as initdb does natively. The packed template has none, and
    /// tests of ICU would leave themselves out.
    pub(super) fn import_collations(&self) -> Result<()> {
        let allow = |yes: bool| format!("ALTER DATABASE template0 ALLOW_CONNECTIONS {yes}");
        self.psql("postgres", &allow(true))?;
        self.psql("template0", "SELECT pg_import_system_collations('pg_catalog')")?;
        self.psql("postgres", &allow(false))
    }

    fn psql(&self, database: &str, sql: &str) -> Result<()> {
        let status = Command::new(self.bin.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--set=ON_ERROR_STOP=1"])
            .arg(format!("--host={}", self.connection.host))
            .arg(format!("--port={}", self.connection.port))
            .arg(format!("--username={}", self.connection.user))
            .args(["--dbname", database, "--command", sql])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("cannot start psql")?;
        if !status.success() {
            bail!("psql failed in {database}: {sql}");
        }
        Ok(())
    }

    fn follow(&self, child: &mut Child) -> Result<Outcome> {
        let stdout = child.stdout.take().context("the output is not a pipe")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut outcome = Outcome::default();
        loop {
            match lines.recv_timeout(self.stall) {
                Ok(line) => {
                    println!("{line}");
                    if let Some(name) = passed(&line) {
                        outcome.passed.insert(name.to_owned());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(outcome),
                Err(RecvTimeoutError::Timeout) => {
                    outcome.stalled = true;
                    return Ok(outcome);
                }
            }
        }
    }
}

/// The name in `ok 2         + boolean                                  288 ms`.
fn passed(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let is_ok = words.next() == Some("ok") && words.next()?.parse::<u32>().is_ok();
    let is_test = is_ok && matches!(words.next(), Some("+" | "-"));
    is_test.then(|| words.next()).flatten()
}

/// Ends it, if it has not ended yet.
fn end(child: &mut Child) {
    if let Ok(Some(_)) = child.try_wait() {
        return;
    }
    let group = i32::try_from(child.id()).map(|pid| -pid);
    if let Ok(group) = group {
        // SAFETY: a plain system call without pointers; the process group is the child's own.
        unsafe { libc::kill(group, libc::SIGKILL) };
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_pg_regress() {
        let name = "ok 2         + boolean                                  288 ms";
        assert_eq!(passed(name), Some("boolean"));
        assert_eq!(passed("not ok 1     - test_setup      9 ms"), None);
        assert_eq!(passed("# parallel group (20 tests):  char"), None);
        assert_eq!(passed("1..222"), None);
    }
}
