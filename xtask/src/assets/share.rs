//! Step `share`: the files that Postgres reads at run time, as an installation under `flags::PREFIX`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::compile::modules;
use super::{Build, Key, hash};
use crate::process::Log;

/// Where Postgres, given our prefix, looks for its files.
pub(crate) const SHARE: &str = "share/postgresql";
pub(crate) const LIBRARIES: &str = "lib/postgresql";

/// Single files: `(tree, path in it)`. They go into the share directory itself.
const FILES: &[(&str, &str)] = &[
    ("obj", "src/include/catalog/postgres.bki"),
    ("obj", "src/include/catalog/system_constraints.sql"),
    ("obj", "src/backend/snowball/snowball_create.sql"),
    ("pg", "src/backend/catalog/information_schema.sql"),
    ("pg", "src/backend/catalog/sql_features.txt"),
    ("pg", "src/backend/catalog/system_functions.sql"),
    ("pg", "src/backend/catalog/system_views.sql"),
    ("pg", "src/backend/libpq/pg_hba.conf.sample"),
    ("pg", "src/backend/libpq/pg_ident.conf.sample"),
    ("pg", "src/backend/utils/misc/postgresql.conf.sample"),
];

/// Directories of the source: `(path, endings of the files to take, into)`.
const DIRECTORIES: &[(&str, &[&str], &str)] = &[
    ("src/backend/snowball/stopwords", &[".stop"], "tsearch_data"),
    ("src/backend/tsearch/dicts", &[".affix", ".dict", ".rules", ".syn", ".ths"], "tsearch_data"),
    ("src/pl/plpgsql/src", &[".control", "--1.0.sql"], "extension"),
    ("src/timezone/tznames", &[".txt", "Default", "Australia", "India"], "timezonesets"),
];

/// What only `initdb` reads. The library ships a template database in its place.
pub(crate) const INITDB_ONLY: &[&str] = &[
    "postgres.bki",
    "system_constraints.sql",
    "snowball_create.sql",
    "information_schema.sql",
    "sql_features.txt",
    "system_functions.sql",
    "system_views.sql",
    "pg_hba.conf.sample",
    "pg_ident.conf.sample",
    "postgresql.conf.sample",
];

/// Tokens in `postgres.bki` that initdb replaces by values of the machine it runs on, and their values in the guest:
/// replaced here, before a native initdb sees them.
const GUEST_VALUES: &[(&str, &str)] =
    &[("SIZEOF_POINTER", "4"), ("ALIGNOF_POINTER", "i"), ("FLOAT8PASSBYVAL", "f")];

pub(crate) fn key(build: &Build) -> Result<Key> {
    Ok(Key::new("share")
        .text("compile", &super::compile::key(build)?.finish())
        .text("native", &crate::native::key(build)?.finish())
        .text(
            "lists",
            &format!(
                "{FILES:?} {DIRECTORIES:?} {GUEST_VALUES:?} {:?}",
                modules().collect::<Vec<_>>()
            ),
        ))
}

/// The installation.
pub(crate) fn dir(build: &Build) -> PathBuf {
    build.paths.out("runtime")
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let runtime = dir(build);
    hash::empty_dir(&runtime)?;
    let share = runtime.join(SHARE);
    for (tree, path) in FILES {
        let from = build.paths.work(tree).join(path);
        let name = from.file_name().context("a file without a name")?;
        hash::copy(&from, &share.join(name))?;
    }
    for (path, endings, into) in DIRECTORIES {
        copy_matching(build, path, endings, into)?;
    }
    for name in ["bin", LIBRARIES] {
        std::fs::create_dir_all(runtime.join(name))?;
    }
    // Postgres finds its share directory from its own place, and looks whether a module is there before it asks
    // dlopen. Different contents, as files of the same content may become one.
    hash::write_file(&runtime.join("bin/postgres"), b"postgres is part of the module\n")?;
    for (_, name) in modules() {
        let text = format!("{name} is part of the module\n");
        hash::write_file(&runtime.join(LIBRARIES).join(format!("{name}.so")), text.as_bytes())?;
    }
    substitute(&share.join("postgres.bki"))?;
    copy_time_zones(build, log)
}

fn copy_matching(build: &Build, path: &str, endings: &[&str], into: &str) -> Result<()> {
    let from = build.paths.work("pg").join(path);
    let into = dir(build).join(SHARE).join(into);
    for file in hash::files(&from)? {
        let name = file.to_string_lossy();
        if !name.contains('/') && endings.iter().any(|ending| name.ends_with(ending)) {
            hash::copy(&from.join(&file), &into.join(&file))?;
        }
    }
    Ok(())
}

fn substitute(bki: &std::path::Path) -> Result<()> {
    let mut text = hash::read_text(bki)?;
    for (token, value) in GUEST_VALUES {
        if !text.contains(token) {
            bail!("postgres.bki does not mention {token}: has initdb changed?");
        }
        text = text.replace(token, value);
    }
    hash::write_file(bki, text.as_bytes())
}

/// The native installation's, made by the `zic` of the same source.
fn copy_time_zones(build: &Build, log: &mut Log) -> Result<()> {
    let share =
        log.output(Command::new(build.paths.native().join("bin/pg_config")).arg("--sharedir"))?;
    hash::mirror(
        &PathBuf::from(share.trim()).join("timezone"),
        &dir(build).join(SHARE).join("timezone"),
    )
}
