//! `pglite extensions`: what this program carries, and what a database has of it.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::args::ExtensionsArgs;
use crate::failure::Failure;
use crate::tools;

/// The packed manifest, as far as it is shown.
#[derive(Deserialize)]
struct Manifest {
    extensions: Vec<Entry>,
    modules: Vec<Module>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    /// None of a module that is no extension: `CREATE EXTENSION` does not know it.
    version: Option<String>,
    comment: Option<String>,
    requires: Vec<String>,
    modules: Vec<String>,
    preload: bool,
    trusted: bool,
}

/// Native code; sizes are in bytes.
#[derive(Deserialize)]
struct Module {
    name: String,
    size: u64,
    packed_size: u64,
}

/// An extension in this program.
#[derive(Debug, Serialize)]
struct Packed {
    name: String,
    version: Option<String>,
    comment: Option<String>,
    requires: Vec<String>,
    modules: Vec<String>,
    preload: bool,
    trusted: bool,
    /// Of its native code in the cache, in bytes; 0 if it is SQL alone.
    size: u64,
    /// The same as it is in this program.
    packed_size: u64,
}

/// An extension in a database.
#[derive(Debug, Serialize, Deserialize)]
struct Installed {
    name: String,
    version: String,
    /// The version that `ALTER EXTENSION ... UPDATE` leads to; none if this program does not have it.
    available: Option<String>,
    schema: String,
}

const INSTALLED: &str = "\
    SELECT coalesce(json_agg(json_build_object('name', extname, 'version', extversion, \
               'available', default_version, 'schema', nspname) ORDER BY extname), '[]') \
    FROM pg_catalog.pg_extension \
    JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace \
    LEFT JOIN pg_catalog.pg_available_extensions ON name = extname";

pub(crate) fn command(args: &ExtensionsArgs) -> Result<u8, Failure> {
    let text = match &args.path {
        Some(path) => {
            let installed = installed(path, &args.database)?;
            if args.json { json(&installed)? } else { table(&installed_rows(&installed)) }
        }
        None => {
            let packed = packed(pglite_oxide_extensions::MANIFEST)?;
            if args.json { json(&packed)? } else { table(&packed_rows(&packed)) }
        }
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Who reads only the beginning, as `head` does, has what they want.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::because("cannot write to standard output", &error))
        }
        _ => Ok(0),
    }
}

fn packed(manifest: &str) -> Result<Vec<Packed>, Failure> {
    let manifest: Manifest = serde_json::from_str(manifest).map_err(|error| {
        Failure::because("the list of extensions in this program is damaged", &error)
    })?;
    let Manifest { extensions, modules } = manifest;
    let sum = |names: &[String], size: fn(&Module) -> u64| {
        modules.iter().filter(|module| names.contains(&module.name)).map(size).sum()
    };
    let packed = extensions.into_iter().map(|entry| Packed {
        size: sum(&entry.modules, |module| module.size),
        packed_size: sum(&entry.modules, |module| module.packed_size),
        name: entry.name,
        version: entry.version,
        comment: entry.comment,
        requires: entry.requires,
        modules: entry.modules,
        preload: entry.preload,
        trusted: entry.trusted,
    });
    Ok(packed.collect())
}

fn installed(path: &Path, database: &str) -> Result<Vec<Installed>, Failure> {
    let answer = tools::ask(path, database, INSTALLED)?;
    serde_json::from_str(&answer).map_err(|error| {
        Failure::because("the database has given another answer than expected", &error)
    })
}

fn json(list: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(list)
        .map_err(|error| Failure::because("cannot write JSON", &error))?;
    Ok(text + "\n")
}

fn packed_rows(list: &[Packed]) -> Vec<Vec<String>> {
    let head = ["NAME", "VERSION", "SIZE", "PRELOAD", "REQUIRES", "COMMENT"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(list.iter().map(|one| {
        vec![
            one.name.clone(),
            one.version.clone().unwrap_or_else(|| "-".to_owned()),
            kilobytes(one.size),
            if one.preload { "yes" } else { "-" }.to_owned(),
            if one.requires.is_empty() { "-".to_owned() } else { one.requires.join(",") },
            one.comment.clone().unwrap_or_else(|| "(a module, not an extension)".to_owned()),
        ]
    }));
    rows
}

fn installed_rows(list: &[Installed]) -> Vec<Vec<String>> {
    let head = ["NAME", "VERSION", "AVAILABLE", "SCHEMA"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(list.iter().map(|one| {
        let available = one.available.clone().unwrap_or_else(|| "-".to_owned());
        vec![one.name.clone(), one.version.clone(), available, one.schema.clone()]
    }));
    rows
}

/// In units of 1024 bytes, as PostgreSQL has them.
fn kilobytes(bytes: u64) -> String {
    match bytes {
        0 => "-".to_owned(),
        _ => format!("{} kB", bytes.div_ceil(1024)),
    }
}

/// Columns of equal width; the last is as wide as it is.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["NAME", "SIZE"], vec!["a", "10 kB"], vec!["longer", "-"]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(table(&rows), "NAME    SIZE\na       10 kB\nlonger  -\n");
    }

    #[test]
    fn sizes_are_those_of_all_modules() {
        let manifest = r#"{"abi": "", "extensions": [
            {"name": "x", "version": "1", "requires": ["y"], "modules": ["a", "b"], "preload": true, "trusted": false},
            {"name": "y", "requires": [], "modules": [], "preload": false, "trusted": true}],
            "modules": [{"name": "a", "size": 1000, "packed_size": 10}, {"name": "b", "size": 1000, "packed_size": 5},
                        {"name": "c", "size": 7, "packed_size": 7}]}"#;
        let packed = packed(manifest).unwrap();
        assert_eq!((packed[0].size, packed[0].packed_size), (2000, 15));
        let rows = packed_rows(&packed);
        assert_eq!(rows[1][1..5], ["1", "2 kB", "yes", "y"]);
        assert_eq!(rows[2][1..5], ["-", "-", "-", "-"]);
        assert!(super::packed("{}").is_err());
    }
}
