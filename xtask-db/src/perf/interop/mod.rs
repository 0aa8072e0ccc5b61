//! `cargo xtask interop`: native tools read what ours have written, and ours what native ones have.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use pglite_oxide::Pglite;
use pglite_oxide::tools::Format;

mod vector;

use super::native::{NativeData, NativeServer};
use super::servers::TEMPORARY;
use crate::paths::Paths;

const TABLES: &str = "\
    CREATE TABLE item AS SELECT i AS id, md5(i::text) AS words, i * 0.25 AS number FROM generate_series(1, 10000) i; \
    CREATE TABLE \"odd \"\"name\" (\"a b\" bytea, c int[], d jsonb); \
    INSERT INTO \"odd \"\"name\" VALUES ('\\x00ff', '{1,NULL}', '{\"k\": 1}'), (NULL, NULL, NULL); \
    CREATE SEQUENCE counter START 7; SELECT nextval('counter')";

const CHECKSUM: &str = "\
    SELECT (SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM item t) \
        || (SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM \"odd \"\"name\" t) \
        || (SELECT last_value FROM counter)";

pub(crate) use vector::command as vector;

/// Formats, how they are compressed, and what native PostgreSQL must have been configured with to read and write them.
const DUMPS: &[(Format, &str, &str, Option<&str>)] = &[
    (Format::Custom, "custom", "none", None),
    (Format::Tar, "tar", "none", None),
    (Format::Directory, "directory", "none", None),
    (Format::Custom, "custom", "gzip", Some("--with-zlib")),
    (Format::Custom, "custom", "lz4", Some("--with-lz4")),
    (Format::Custom, "custom", "zstd", Some("--with-zstd")),
    (Format::Directory, "directory", "gzip", Some("--with-zlib")),
    (Format::Directory, "directory", "lz4", Some("--with-lz4")),
    (Format::Directory, "directory", "zstd", Some("--with-zstd")),
];

pub(crate) fn command() -> Result<ExitCode> {
    let dir = tempfile::tempdir()?;
    let paths = Paths::find("postgres")?;
    let data = NativeData::make(&paths, &dir.path().join("native"))?;
    let (native, mut client) = data.start(TEMPORARY)?;
    let mut ours = Pglite::temporary()?;
    ours.exec(TABLES)?;
    let expected = checksum(&mut ours)?;

    for &(format, name, method, needs) in DUMPS {
        if let Some(option) = needs
            && !paths.is_configured(option)?
        {
            println!("{name}, {method}: left out, as native PostgreSQL is built without");
            continue;
        }
        let database = format!("from_{name}_{method}");
        let path = data.path(&format!("ours.{name}.{method}"));
        ours.dump().format(format).compress(method).to_path(&path)?;
        readable(&path)?;
        client.simple(&format!("CREATE DATABASE {database}"))?;
        let file = path.to_str().context("a path that is not UTF-8")?;
        let into = format!("--dbname={database}");
        data.client_of(&native, "pg_restore", &[&into, "--exit-on-error", file])?;
        let output = query(&data, &native, &database)?;
        ensure!(output == expected, "native pg_restore read another {name} than was written");

        let path = data.path(&format!("native.{name}.{method}"));
        let (format, file) = (format!("--format={name}"), format!("--file={}", path.display()));
        let compress = format!("--compress={method}");
        data.client_of(&native, "pg_dump", &[&format, &compress, &file, &database])?;
        let mut copy = Pglite::temporary()?;
        copy.restore().from_path(&path)?;
        ensure!(checksum(&mut copy)? == expected, "we read another {name} than native wrote");
        println!("{name}, {method}: native reads ours, and ours reads native's");
    }
    let sql = data.path("ours.sql");
    ours.dump().to_path(&sql)?;
    readable(&sql)?;
    client.simple("CREATE DATABASE from_plain")?;
    let file = format!("--file={}", sql.display());
    let arguments = ["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname=from_plain", &file];
    data.client_of(&native, "psql", &arguments)?;
    ensure!(query(&data, &native, "from_plain")? == expected, "native psql read another dump");
    println!("plain: native psql runs ours");
    Ok(ExitCode::SUCCESS)
}

fn checksum(db: &mut Pglite) -> Result<String> {
    Ok(db.query_one(CHECKSUM, &[])?.get::<_, String>(0))
}

fn query(data: &NativeData, native: &NativeServer, database: &str) -> Result<String> {
    let arguments = ["--no-psqlrc", "-At", "-c", CHECKSUM, database];
    Ok(data.output_of(native, "psql", &arguments)?.trim_end().to_owned())
}

/// For the user that the native programs run as.
fn readable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let directory = path.is_dir();
    let mode = if directory { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    if directory {
        for entry in std::fs::read_dir(path)? {
            readable(&entry?.path())?;
        }
    }
    Ok(())
}
