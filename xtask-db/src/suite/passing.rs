//! The list of tests that must pass.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::Suite;
use super::schedule::Schedule;

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

    /// In alphabetical order.
    pub(crate) fn write_all(&self, path: &Path, command: &str) -> Result<()> {
        let mut text = format!(
            "# Tests of contrib's extensions that pass; `cargo xtask {command}` fails if one of them does not.\n\
             # Written by `cargo xtask {command} --update`.\n"
        );
        for test in &self.0 {
            text += test;
            text.push('\n');
        }
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// In the order of the schedule.
    pub(crate) fn write(&self, path: &Path, suite: &Suite, schedule: &Schedule) -> Result<()> {
        let name = suite.name;
        let mut text = format!(
            "# PostgreSQL's own tests that pass; `cargo xtask {name}` fails if one of them does not.\n\
             # Written by `cargo xtask {name} --update`. docs/regress.md says why the others fail.\n"
        );
        for test in schedule.names().filter(|test| self.0.contains(*test)) {
            text += test;
            text.push('\n');
        }
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
