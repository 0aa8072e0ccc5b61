//! Control files, scripts and dictionaries: what the makefiles install beside the modules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::super::{Build, flags, hash, share};
use super::build::INSTALL;
use super::catalogue::{Catalogue, Extension, Purpose, Source};
use super::share_dir;

/// Of the share directory, what is taken.
pub(super) const PARTS: &[&str] = &["extension", "tsearch_data"];

/// Where a source's makefile has installed things: the guest's installation.
pub(super) fn installed(build: &Build, source: &Source) -> PathBuf {
    build.paths.work(INSTALL).join(source.name()).join(flags::PREFIX.trim_start_matches('/'))
}

pub(super) fn collect(build: &Build, catalogue: &Catalogue) -> Result<()> {
    let (reference, packed): (Vec<&Extension>, Vec<&Extension>) =
        catalogue.extension.iter().partition(|extension| extension.reference);
    collect_to(build, &share_dir(build, Purpose::Packed), &packed)?;
    collect_to(build, &share_dir(build, Purpose::Reference), &reference)
}

fn collect_to(build: &Build, out: &Path, extensions: &[&Extension]) -> Result<()> {
    hash::empty_dir(out)?;
    let sources: BTreeSet<Source> = extensions.iter().map(|extension| extension.source()).collect();
    for source in sources {
        let share = installed(build, &source).join(share::SHARE);
        for part in PARTS {
            let from = share.join(part);
            if !from.exists() {
                continue;
            }
            for file in hash::files(&from)? {
                if !is_wanted(part, &file, extensions) {
                    continue;
                }
                let to = out.join(part).join(&file);
                if to.exists() {
                    bail!("{} comes from more than one source", to.display());
                }
                hash::copy(&from.join(&file), &to)?;
            }
        }
    }
    for extension in extensions {
        let control = control_file(out, &extension.name);
        if extension.create != control.exists() {
            bail!(
                "{} {}",
                control.display(),
                if extension.create { "is missing" } else { "is there" }
            );
        }
    }
    Ok(())
}

/// Beside control files and scripts of versions, some makefiles install what is from before there were extensions.
fn is_wanted(part: &str, file: &Path, extensions: &[&Extension]) -> bool {
    if part != "extension" || file.extension().is_some_and(|ending| ending == "control") {
        return true;
    }
    let name = file.to_string_lossy();
    let parts: Vec<&str> = name.split("--").collect();
    let extension = extensions.iter().find(|extension| extension.name == parts[0]);
    match parts.len() {
        1 => false,
        2 => extension.is_some(),
        _ => extension.is_some_and(|extension| extension.upgrades),
    }
}

fn control_file(share: &Path, extension: &str) -> PathBuf {
    share.join("extension").join(format!("{extension}.control"))
}

/// What a control file says.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) version: String,
    pub(super) comment: String,
    pub(super) requires: Vec<String>,
    pub(super) trusted: bool,
}

impl Control {
    pub(super) fn read(build: &Build, extension: &str) -> Result<Self> {
        let path = control_file(&share_dir(build, Purpose::Packed), extension);
        Self::parse(&hash::read_text(&path)?).with_context(|| path.display().to_string())
    }

    /// Lines `name = value`, where a text is quoted as in SQL.
    fn parse(text: &str) -> Result<Self> {
        let mut control = Self::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once('=').context("a line without =")?;
            let value = value.trim();
            let value = match value.strip_prefix('\'') {
                Some(quoted) => {
                    let end = quoted.rfind('\'').context("a quote that does not end")?;
                    quoted[..end].replace("''", "'")
                }
                None => value.split('#').next().unwrap_or_default().trim().to_owned(),
            };
            match name.trim() {
                "default_version" => control.version = value,
                "comment" => control.comment = value,
                "trusted" => control.trusted = value == "true",
                "requires" => {
                    control.requires =
                        value.split(',').map(|name| name.trim().to_owned()).collect();
                }
                _ => {}
            }
        }
        Ok(control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_files_are_understood() {
        let text = "# cube\ncomment = 'it''s # a cube'\ndefault_version = '1.5'  # now\n\
                    relocatable = true\ntrusted = true # yes\nrequires = 'cube, hstore'\n";
        let control = Control {
            version: "1.5".to_owned(),
            comment: "it's # a cube".to_owned(),
            requires: vec!["cube".to_owned(), "hstore".to_owned()],
            trusted: true,
        };
        assert_eq!(Control::parse(text).expect("parses"), control);
        assert!(Control::parse("nothing").is_err());
    }
}
