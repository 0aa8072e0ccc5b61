//! The list of tests that must pass.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::schedule::Schedule;

const HEAD: &str = "\
# PostgreSQL's regression tests that pass; `cargo xtask regress` fails if one of them does not.
# Written by `cargo xtask regress --update`. docs/regress.md says why the others fail.
";

/// Names of tests.
#[derive(Debug, Default)]
pub(crate) struct Passing(BTreeSet<String>);

impl Passing {
    /// No file is an empty list.
    pub(crate) fn read(path: &Path) -> Result<Passing> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let names =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Passing(names.map(str::to_owned).collect()))
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Takes over what this run says; tests that it did not have stay as they are.
    pub(crate) fn update(&mut self, ran: &Schedule, passed: &BTreeSet<String>) {
        for name in ran.names() {
            if passed.contains(name) {
                self.0.insert(name.to_owned());
            } else {
                self.0.remove(name);
            }
        }
    }

    /// In the order of the schedule.
    pub(crate) fn write(&self, path: &Path, schedule: &Schedule) -> Result<()> {
        let names = schedule.names().filter(|name| self.0.contains(*name));
        let text: String = names.map(|name| format!("{name}\n")).collect();
        std::fs::write(path, format!("{HEAD}{text}"))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
