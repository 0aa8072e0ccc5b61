//! `pglite psql`, `dump` and `restore`, and the program `pglite-dump`: PostgreSQL's tools with their own
//! arguments, and `--path` for a database that no server runs for.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pglite_oxide::tools::{Program, Tool};
use pglite_oxide::{DataDirError, Error, Pglite};

use crate::announce;
use crate::failure::{Failure, chain, say};

/// What a tool may know of this program's environment when it does not use the network.
const LOCAL_VARIABLES: &[&str] = &[
    "HOME",
    "TERM",
    "COLUMNS",
    "PGOPTIONS",
    "PGAPPNAME",
    "PGCLIENTENCODING",
    "PGDATESTYLE",
    "PGTZ",
    "PG_COLOR",
    "PSQLRC",
];

/// Where a tool connects to.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Where its arguments and the environment say.
    Elsewhere,
    Directory(PathBuf),
    Temporary,
}

/// Runs a tool with these arguments; the result is its exit status.
pub(crate) fn command(program: Program, arguments: &[OsString]) -> Result<u8, Failure> {
    let (place, mut arguments) = parse(arguments)?;
    let directory = working_directory()?;
    let tool = match &place {
        Place::Elsewhere => tool_of_url(program, None),
        Place::Temporary => {
            let db = Pglite::temporary()?;
            let status = run(local(db.tool(program)), arguments, &directory)?;
            return Ok(status);
        }
        Place::Directory(path) => {
            let fresh = Fresh::of(program, path);
            add_database(program, &mut arguments);
            let db = match open(program, path) {
                Ok(db) => db,
                Err(Opening::Served(url)) => {
                    return run(tool_of_url(program, Some(&url)), arguments, &directory);
                }
                Err(Opening::Failed(failure)) => return Err(failure),
            };
            let stops = stops_at_errors(&arguments);
            let status = run(local(db.tool(program)), arguments, &directory);
            let unused = match (&status, fresh) {
                (Ok(0), _) | (_, None) => None,
                (_, Some(fresh)) => (stops || is_untouched(&db)).then_some(fresh),
            };
            db.close()?;
            if let Some(fresh) = unused {
                fresh.remove(path)?;
            }
            return status;
        }
    };
    run(tool, arguments, &directory)
}

/// A directory that a restore makes a database in.
enum Fresh {
    Missing,
    Empty,
}

impl Fresh {
    /// None if there is something already, or the program makes no database.
    fn of(program: Program, path: &Path) -> Option<Fresh> {
        if program != Program::PgRestore {
            return None;
        }
        match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none().then_some(Fresh::Empty),
            Err(error) => (error.kind() == io::ErrorKind::NotFound).then_some(Fresh::Missing),
        }
    }

    /// What it was before. The database is closed.
    fn remove(self, path: &Path) -> Result<(), Failure> {
        let failed = |error| Failure::because(format!("cannot remove {}", path.display()), &error);
        fs::remove_dir_all(path).map_err(failed)?;
        if let Fresh::Empty = self {
            fs::create_dir(path).map_err(failed)?;
        }
        say(&format!("the restore failed: {} is as it was before", path.display()));
        Ok(())
    }
}

/// Whether `pg_restore` ends at the first error. Otherwise it goes on, and its status says that there were some: then
/// what it has restored is there, and wanted.
fn stops_at_errors(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| match argument.strip_prefix("--") {
        Some(long) => ["exit-on-error", "single-transaction"].contains(&long),
        None => ["-e", "-1"].contains(&argument.as_str()),
    })
}

/// Whether nothing is in a new database but what is in any.
fn is_untouched(db: &Pglite) -> bool {
    // Object identifiers below 16384 are those of initdb.
    let sql = "SELECT oid FROM pg_class UNION ALL SELECT oid FROM pg_proc UNION ALL SELECT oid FROM pg_type \
               UNION ALL SELECT oid FROM pg_namespace UNION ALL SELECT oid FROM pg_database \
               UNION ALL SELECT oid FROM pg_largeobject_metadata";
    let sql = format!("SELECT count(*) = 0 FROM ({sql}) AS all_objects WHERE oid >= 16384");
    let asked = db.connect().and_then(|mut session| session.query_one(&sql, &[])?.try_get(0));
    // In doubt it stays.
    asked.unwrap_or(false)
}

/// Asks the database in a directory, or the server that `pglite` runs for it, for one value.
pub(crate) fn ask(path: &Path, database: &str, sql: &str) -> Result<String, Failure> {
    let ask = |tool: Tool| {
        let tool =
            tool.env("PGDATABASE", database).args(["--no-psqlrc", "--no-align", "--tuples-only"]);
        let output = tool.args(["--quiet", "--no-password", "--command", sql]).output()?;
        match output.status {
            0 => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            _ => Err(Failure::new(output.stderr.trim_end())),
        }
    };
    match open(Program::Psql, path) {
        Ok(db) => {
            let answer = ask(local(db.tool(Program::Psql)));
            db.close()?;
            answer
        }
        Err(Opening::Served(url)) => ask(tool_of_url(Program::Psql, Some(&url))),
        Err(Opening::Failed(failure)) => Err(failure),
    }
}

fn working_directory() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::because("cannot tell the working directory", &error))
}

enum Opening {
    /// `pglite` serves it already.
    Served(String),
    Failed(Failure),
}

fn open(program: Program, path: &Path) -> Result<Pglite, Opening> {
    // Only a restore may make it.
    if program != Program::PgRestore && !path.join("PG_VERSION").exists() {
        let what = format!("there is no database in {}", path.display());
        return Err(Opening::Failed(Failure::new(what)));
    }
    Pglite::open(path).map_err(|error| {
        if let Error::DataDir(DataDirError::Locked { .. }) = &error
            && let Ok(Some(url)) = announce::find(path)
        {
            return Opening::Served(url);
        }
        Opening::Failed(error.into())
    })
}

fn run(tool: Tool, arguments: Vec<String>, directory: &Path) -> Result<u8, Failure> {
    let status = tool.args(arguments).host_files(directory).status()?;
    // A status has eight bits.
    Ok(status as u8)
}

fn local(mut tool: Tool) -> Tool {
    for name in LOCAL_VARIABLES {
        if let Ok(value) = std::env::var(name) {
            tool = tool.env(*name, value);
        }
    }
    tool
}

/// A tool with the environment of this program; without a URL, it finds its server as any client does.
fn tool_of_url(program: Program, url: Option<&str>) -> Tool {
    let mut tool = local(Tool::new(program));
    for (name, value) in std::env::vars() {
        if name.starts_with("PG") && !(url.is_some() && name == "PGDATABASE") {
            tool = tool.env(name, value);
        }
    }
    if let Some(url) = url {
        for (name, value) in connection_variables(url) {
            tool = tool.env(name, value);
        }
    }
    tool
}

/// `postgresql://user@host:port/database` of our own making, as variables: a tool's own arguments win then.
fn connection_variables(url: &str) -> Vec<(&'static str, String)> {
    let Some(rest) = url.strip_prefix("postgresql://") else { return Vec::new() };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut variables = Vec::new();
    if let Some((host, port)) = address.rsplit_once(':') {
        variables.push(("PGHOST", host.trim_matches(['[', ']']).to_owned()));
        variables.push(("PGPORT", port.to_owned()));
    }
    for pair in query.split('&') {
        // A Unix socket's directory.
        if let Some(host) = pair.strip_prefix("host=") {
            variables.push(("PGHOST", decode(host)));
        }
    }
    variables.push(("PGUSER", decode(user)));
    variables.push(("PGDATABASE", decode(path)));
    variables.retain(|(_, value)| !value.is_empty());
    variables
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Takes our own options out of a tool's arguments.
fn parse(arguments: &[OsString]) -> Result<(Place, Vec<String>), Failure> {
    let mut place = Place::Elsewhere;
    let mut rest = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let text = word
            .to_str()
            .ok_or_else(|| Failure::usage(format!("{} is not UTF-8", Path::new(word).display())))?;
        match text {
            "--" => {
                rest.push(text.to_owned());
                for word in words.by_ref() {
                    rest.push(word.to_string_lossy().into_owned());
                }
            }
            "--path" => {
                let path =
                    words.next().ok_or_else(|| Failure::usage("--path needs a directory"))?;
                place = Place::Directory(path.into());
            }
            "--temporary" => place = Place::Temporary,
            _ => match text.strip_prefix("--path=") {
                Some(path) => place = Place::Directory(path.into()),
                None => rest.push(text.to_owned()),
            },
        }
    }
    Ok((place, rest))
}

/// `pg_restore` writes a script unless it is told a database; who gives a directory means the one in it.
fn add_database(program: Program, arguments: &mut Vec<String>) {
    const ELSEWHERE: &[&str] =
        &["-d", "--dbname", "-f", "--file", "-l", "--list", "--help", "-?", "--version", "-V"];
    let says = |argument: &String| {
        ELSEWHERE.iter().any(|option| match option.starts_with("--") {
            true => argument.split('=').next() == Some(option),
            false => argument.starts_with(option),
        })
    };
    if program == Program::PgRestore && !arguments.iter().any(says) {
        arguments.insert(0, "--dbname=postgres".to_owned());
    }
}

/// The error of a tool that was used on the way, as far as it says it itself.
pub(crate) fn tool_failure(what: &str, error: &Error) -> Failure {
    Failure::new(format!("{what}: {}", chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn our_options_are_taken_out() {
        let parsed = |text| parse(&words(text)).unwrap();
        assert_eq!(
            parsed("-Fc --path db -f x"),
            (Place::Directory("db".into()), vec!["-Fc".into(), "-f".into(), "x".into()])
        );
        assert_eq!(parsed("--path=db").0, Place::Directory("db".into()));
        assert_eq!(parsed("-- --path db").0, Place::Elsewhere);
        assert!(parse(&words("--path")).is_err());
    }

    #[test]
    fn a_url_becomes_variables() {
        assert_eq!(
            connection_variables("postgresql://postgres@127.0.0.1:5433/my%20db"),
            [
                ("PGHOST", "127.0.0.1".to_owned()),
                ("PGPORT", "5433".to_owned()),
                ("PGUSER", "postgres".to_owned()),
                ("PGDATABASE", "my db".to_owned())
            ]
        );
        let unix = connection_variables("postgresql://postgres@/db?host=%2Frun%2Fpg");
        assert!(unix.contains(&("PGHOST", "/run/pg".to_owned())), "{unix:?}");
    }

    #[test]
    fn a_restore_into_a_directory_has_a_database() {
        let added = |text: &str| {
            let mut arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            add_database(Program::PgRestore, &mut arguments);
            arguments.first().is_some_and(|first| first == "--dbname=postgres")
        };
        assert!(added("x.dump"));
        assert!(!added("-dapp x.dump"));
        assert!(!added("--dbname=app x.dump"));
        assert!(!added("-l x.dump"));
    }
}
