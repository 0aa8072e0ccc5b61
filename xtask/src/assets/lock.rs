//! `assets/sources.lock.toml`: the pinned inputs that are not in this repository.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::hash;
use crate::paths::Paths;

pub(crate) const FILE: &str = "assets/sources.lock.toml";

const HEADER: &str = "\
# The inputs of `cargo xtask assets build` that are not in this repository: Debian packages.
# Written by `cargo xtask assets build --update-lock`.
";

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    /// Upstream tarballs out of source packages.
    #[serde(default)]
    pub(crate) source: Vec<Source>,
    /// Binary packages that decide what comes out.
    #[serde(default)]
    pub(crate) tool: Vec<Tool>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// Of the source package.
    pub(crate) name: String,
    /// Upstream's version: Debian's revision may change, the tarball may not.
    pub(crate) version: String,
    pub(crate) file: String,
    pub(crate) sha256: String,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Lock {
    pub(crate) fn read(paths: &Paths) -> Result<Self> {
        let path = paths.repo(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        toml::from_str(&hash::read_text(&path)?).with_context(|| format!("in {}", path.display()))
    }

    pub(crate) fn write(&self, paths: &Paths) -> Result<()> {
        let text = toml::to_string_pretty(self).context("cannot write the lock as TOML")?;
        hash::write_file(&paths.repo(FILE), format!("{HEADER}\n{text}").as_bytes())
    }

    pub(crate) fn source(&self, name: &str) -> Result<&Source> {
        self.source.iter().find(|source| source.name == name).with_context(|| {
            format!("{FILE} has no source {name}: run `cargo xtask assets build --update-lock`")
        })
    }

    pub(crate) fn tool(&self, name: &str) -> Option<&Tool> {
        self.tool.iter().find(|tool| tool.name == name)
    }

    /// All pinned tools as one text, for keys.
    pub(crate) fn tools_text(&self) -> String {
        self.tool.iter().map(|tool| format!("{} {}\n", tool.name, tool.version)).collect()
    }
}
