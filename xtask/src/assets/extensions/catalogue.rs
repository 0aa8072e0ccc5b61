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
    /// A crate of this repository's, with a makefile.
    #[serde(rename = "crate")]
    krate: Option<String>,
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
    /// Only built to be compared with: an extension of the same name is packed.
    #[serde(default)]
    pub(super) reference: bool,
}

fn yes() -> bool {
    true
}

/// A library that PostgreSQL loads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) purpose: Purpose,
    pub(super) source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    Packed,
    /// See [`Extension::reference`].
    Reference,
    /// For PostgreSQL's regression tests.
    Regress,
}

/// What a makefile builds: one or more extensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Below PostgreSQL's contrib.
    Contrib(String),
    Package(String),
    /// Below this repository's crates.
    Crate(String),
    /// PostgreSQL's own module for its regression tests.
    Regress,
}

impl Source {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Contrib(name) | Self::Package(name) | Self::Crate(name) => name,
            Self::Regress => "regress",
        }
    }
}

impl Catalogue {
    pub(super) fn read(build: &Build) -> Result<Self> {
        let catalogue: Self = toml::from_str(&hash::read_text(&build.paths.repo(FILE))?)
            .with_context(|| format!("in {FILE}"))?;
        let key = |extension: &Extension| (extension.name.clone(), extension.reference);
        if !catalogue.extension.is_sorted_by(|a, b| key(a) < key(b)) {
            bail!("{FILE} is not sorted by name");
        }
        Ok(catalogue)
    }

    /// What users get.
    pub(super) fn packed(&self) -> impl Iterator<Item = &Extension> {
        self.extension.iter().filter(|extension| !extension.reference)
    }

    /// Each module once; no two have the same name.
    pub(super) fn modules(&self) -> Result<Vec<Module>> {
        let mut modules = vec![Module {
            name: "regress".to_owned(),
            purpose: Purpose::Regress,
            source: Source::Regress,
        }];
        for extension in &self.extension {
            let purpose = if extension.reference { Purpose::Reference } else { Purpose::Packed };
            for name in extension.modules() {
                modules.push(Module { name, purpose, source: extension.source() });
            }
        }
        modules.sort();
        modules.dedup();
        match modules.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => bail!("{FILE}: two modules are named {}", pair[0].name),
            None => Ok(modules),
        }
    }

    /// Each source once, with the libraries that its modules need.
    pub(super) fn sources(&self) -> Vec<(Source, &[String])> {
        let mut sources: Vec<(Source, &[String])> =
            self.extension.iter().map(|e| (e.source(), e.libraries.as_slice())).collect();
        sources.push((Source::Regress, &[]));
        sources.sort();
        sources.dedup();
        sources
    }
}

impl Extension {
    pub(super) fn source(&self) -> Source {
        match (&self.krate, &self.package, &self.contrib) {
            (Some(krate), _, _) => Source::Crate(krate.clone()),
            (None, Some(package), _) => Source::Package(package.clone()),
            (None, None, Some(dir)) => Source::Contrib(dir.clone()),
            (None, None, None) => Source::Contrib(self.name.clone()),
        }
    }

    pub(super) fn modules(&self) -> Vec<String> {
        self.modules.clone().unwrap_or_else(|| vec![self.name.clone()])
    }
}
