//! The order of the tests: groups that run in parallel, one after the other.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// A schedule file of `pg_regress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule(Vec<Vec<String>>);

impl Schedule {
    pub(crate) fn read(path: &Path) -> Result<Schedule> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Schedule::parse(&text))
    }

    /// Each test alone, in this order.
    pub(crate) fn one_by_one(names: &[&str]) -> Schedule {
        Schedule(Vec::new()).with(names)
    }

    fn parse(text: &str) -> Schedule {
        let groups = text.lines().filter_map(|line| line.strip_prefix("test:"));
        Schedule(
            groups.map(|names| names.split_whitespace().map(str::to_owned).collect()).collect(),
        )
    }

    /// With these after the others, one by one.
    pub(crate) fn with(mut self, names: &[&str]) -> Schedule {
        self.0.extend(names.iter().map(|name| vec![(*name).to_owned()]));
        self
    }

    /// The part with these tests, in the order and the groups of the whole.
    pub(crate) fn only<'a>(self, names: impl Iterator<Item = &'a str>) -> Result<Schedule> {
        let mut wanted: BTreeSet<&str> = names.collect();
        let mut groups = self.0;
        for group in &mut groups {
            group.retain(|name| wanted.remove(name.as_str()));
        }
        groups.retain(|group| !group.is_empty());
        if !wanted.is_empty() {
            bail!("not in the schedule: {}", wanted.into_iter().collect::<Vec<_>>().join(", "));
        }
        Ok(Schedule(groups))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|group| format!("test: {}\n", group.join(" "))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_keeps_order_and_groups() {
        let text = "# comment\ntest: setup\n\ntest: a b c\ntest: d\n";
        let part = Schedule::parse(text).only(["d", "c", "setup", "a"].into_iter()).unwrap();
        assert_eq!(part.text(), "test: setup\ntest: a c\ntest: d\n");
        let more = Schedule::parse(text).with(&["e"]).only(["e", "d"].into_iter()).unwrap();
        assert_eq!(more.text(), "test: d\ntest: e\n");
        assert!(Schedule::parse(text).only(["x"].into_iter()).is_err());
    }
}
