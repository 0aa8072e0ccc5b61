//! The statements of `sql/bench.sql`: sorts, joins, aggregates, loops, index builds.

use anyhow::{Context, Result};

use super::Setup;
use super::rows::{Row, median};
use super::servers::{compare_settings, interleave, temporary};

const GROUP: &str = "Statements of bench.sql";

pub(super) const SQL: &str = include_str!("../../sql/bench.sql");

/// One per paragraph.
pub(super) fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split("\n\n").map(str::trim).filter(|statement| !statement.is_empty())
}

pub(super) fn measure(setup: &Setup) -> Result<Vec<Row>> {
    // An analyze in the middle of a round on one side would give the sides different plans.
    let servers = temporary(setup, &[("autovacuum", "off")])?;
    let [ours, native] = &servers;
    let mut clients = [ours.connect()?, native.connect()?];
    compare_settings(&mut clients)?;

    let statements: Vec<&str> = statements(&setup.sql).collect();
    let mut times = vec![[Vec::new(), Vec::new()]; statements.len()];
    for _ in 0..setup.rounds {
        for (statement, times) in statements.iter().zip(&mut times) {
            let pair = interleave(&mut clients, 1, |client, _| client.simple(statement).map(drop))
                .with_context(|| format!("{statement:.60}"))?;
            for (all, one) in times.iter_mut().zip(pair) {
                all.extend(one);
            }
        }
    }
    let rows = statements.iter().zip(&mut times).map(|(statement, times)| {
        let [ours, native] = times;
        Row::millis(GROUP, name(statement), median(ours)).native_time(median(native)).in_mean()
    });
    Ok(rows.collect())
}

fn name(statement: &str) -> String {
    let line = statement.lines().next().unwrap_or_default().trim_end_matches(';');
    let mut name: String = line.chars().take(75).collect();
    if name.len() < line.len() {
        name += "...";
    }
    name
}
