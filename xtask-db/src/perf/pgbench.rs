//! PostgreSQL's own benchmark, with the native client on both sides.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Setup;
use super::rows::{Row, median, median_number};
use super::servers::{self, Server, over_tcp};
use super::trips::Cpus;
use crate::paths::Paths;

const SCALE: &str = "5";
const INITIALIZATIONS: usize = 3;
const ROUNDS: usize = 5;
const SECONDS: usize = 3;

const SCRIPTS: [(&str, &str); 2] = [("TPC-B", "tpcb-like"), ("select-only", "select-only")];

/// How `pgbench` is run in one row.
struct Case {
    name: String,
    args: Vec<String>,
    target: &'static str,
}

pub(super) fn measure(setup: &Setup, cpus: Cpus) -> Result<Vec<Row>> {
    let group = match cpus {
        Cpus::All => "pgbench",
        Cpus::One => "pgbench, all on one CPU",
    };
    if cpus == Cpus::One {
        servers::pin()?;
    }
    let pgbench = Pgbench { program: Paths::find("pgbench")?.native("bin/pgbench") };
    // An autovacuum on one side would be a part of that side's numbers.
    let servers = over_tcp(setup, &[("autovacuum", "off")])?;
    let mut rows = Vec::new();

    let mut times = [Vec::new(), Vec::new()];
    for round in 0..setup.repeats(INITIALIZATIONS) {
        for turn in 0..2 {
            let side = (round + turn) % 2;
            times[side].push(pgbench.initialize(&servers[side])?);
        }
    }
    let [ours, native] = &mut times;
    rows.push(
        Row::millis(group, format!("-i -s {SCALE}"), median(ours)).native_time(median(native)),
    );

    for case in cases(cpus) {
        let mut tps = [Vec::new(), Vec::new()];
        for round in 0..setup.repeats(ROUNDS) {
            for turn in 0..2 {
                let side = (round + turn) % 2;
                tps[side].push(pgbench.run(&servers[side], &case)?);
            }
        }
        let [ours, native] = &mut tps;
        rows.push(
            Row::new(group, case.name, "tps", median_number(ours))
                .native(median_number(native))
                .target(case.target),
        );
    }
    Ok(rows)
}

fn cases(cpus: Cpus) -> Vec<Case> {
    let loads: &[(&str, &str)] = match cpus {
        Cpus::One => &[("-c 1", ">= 0.80")],
        Cpus::All => &[("-c 4", ">= 0.80"), ("-c 50 -j 2", ">= 0.75")],
    };
    let mut cases = Vec::new();
    for (load, target) in loads {
        for (title, script) in SCRIPTS {
            for mode in ["simple", "prepared"] {
                cases.push(Case::new(title, script, &format!("{load} -M {mode}"), target));
            }
        }
    }
    let (title, script) = SCRIPTS[1];
    cases.push(Case::new(title, script, &format!("{} -C", loads[0].0), ""));
    cases
}

impl Case {
    fn new(title: &str, script: &str, load: &str, target: &'static str) -> Case {
        let words = load.split_whitespace().map(str::to_owned);
        Case {
            name: format!("{title}, {load}"),
            args: words.chain(["-b".to_owned(), script.to_owned()]).collect(),
            target,
        }
    }
}

struct Pgbench {
    program: std::path::PathBuf,
}

impl Pgbench {
    fn initialize(&self, server: &Server) -> Result<Duration> {
        let start = Instant::now();
        self.output(server, &["-i", "-q", "-s", SCALE])?;
        Ok(start.elapsed())
    }

    /// Transactions per second.
    fn run(&self, server: &Server, case: &Case) -> Result<f64> {
        let seconds = SECONDS.to_string();
        let mut args = vec!["-T", &seconds];
        args.extend(case.args.iter().map(String::as_str));
        let text = self.output(server, &args)?;
        let (tps, failed) = report(&text);
        if failed != Some(0) {
            bail!("pgbench had failures ({}):\n{text}", case.name);
        }
        tps.with_context(|| format!("pgbench says no tps:\n{text}"))
    }

    fn output(&self, server: &Server, args: &[&str]) -> Result<String> {
        let address = server.address()?;
        let output = Command::new(&self.program)
            .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
            .args(["-U", "postgres"])
            .args(args)
            .arg("postgres")
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .context("pgbench cannot be started")?;
        if !output.status.success() {
            bail!("pgbench {args:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// What it says of transactions per second, and of failed transactions.
fn report(text: &str) -> (Option<f64>, Option<u64>) {
    let first_word = |value: &str| value.split_whitespace().next().map(str::to_owned);
    let fields: HashMap<&str, String> = text
        .lines()
        .filter_map(|line| line.split_once(" = ").or_else(|| line.split_once(": ")))
        .filter_map(|(name, value)| Some((name, first_word(value)?)))
        .collect();
    let tps = fields.get("tps").and_then(|value| value.parse().ok());
    let failed = fields.get("number of failed transactions").and_then(|value| value.parse().ok());
    (tps, failed)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_report_of_pgbench() {
        let text = "number of transactions actually processed: 1199\n\
                    number of failed transactions: 0 (0.000%)\n\
                    latency average = 0.834 ms\n\
                    tps = 1198.526871 (without initial connection time)\n";
        assert_eq!(super::report(text), (Some(1198.526871), Some(0)));
        let text = "number of failed transactions: 2 (0.1%)\n\
                    average connection time = 1.2 ms\n\
                    tps = 400.5 (including reconnection times)\n";
        assert_eq!(super::report(text), (Some(400.5), Some(2)));
        assert_eq!(super::report(""), (None, None));
    }
}
