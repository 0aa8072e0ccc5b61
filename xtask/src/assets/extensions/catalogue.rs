//! `assets/extensions.toml`: which extensions there are.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::super::{Build, hash};

pub(crate) const FILE: &str = "assets/extensions.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Catalogue {
    pub(super) extension: Vec<Extension>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Extension {
    pub(super) name: String,
    contrib: Option<String>,
    /// A source package of Debian's, for what is not part of PostgreSQL.
    package: Option<String>,
    modules: Option<Vec<String>>,
    /// Static libraries that the modules are linked with.
    #[serde(default)]
    libraries: Vec<String>,
    /// Does CREATE EXTENSION know it? Else it is only loaded.
    #[serde(default = "yes")]
    pub(super) create: bool,
    /// Are scripts taken that upgrade from older versions?
    #[serde(default = "yes")]
    pub(super) upgrades: bool,
    /// Of use only if it is loaded when PostgreSQL starts.
    #[serde(default)]
    pub(super) preload: bool,
}

fn yes() -> bool {
    true
}

/// What a makefile builds: one or more extensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Below PostgreSQL's contrib.
    Contrib(String),
    Package(String),
}

impl Source {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Contrib(name) | Self::Package(name) => name,
        }
    }
}

impl Catalogue {
    pub(super) fn read(build: &Build) -> Result<Self> {
        let catalogue: Self = toml::from_str(&hash::read_text(&build.paths.repo(FILE))?)
            .with_context(|| format!("in {FILE}"))?;
        if !catalogue.extension.is_sorted_by(|a, b| a.name < b.name) {
            bail!("{FILE} is not sorted by name");
        }
        Ok(catalogue)
    }

    /// Each source once, with the libraries that its modules need.
    pub(super) fn sources(&self) -> Vec<(Source, &[String])> {
        let mut sources: Vec<(Source, &[String])> =
            self.extension.iter().map(|e| (e.source(), e.libraries.as_slice())).collect();
        sources.sort();
        sources.dedup();
        sources
    }
}

impl Extension {
    pub(super) fn source(&self) -> Source {
        match (&self.package, &self.contrib) {
            (Some(package), _) => Source::Package(package.clone()),
            (None, Some(dir)) => Source::Contrib(dir.clone()),
            (None, None) => Source::Contrib(self.name.clone()),
        }
    }

    pub(super) fn modules(&self) -> Vec<String> {
        self.modules.clone().unwrap_or_else(|| vec![self.name.clone()])
    }
}
