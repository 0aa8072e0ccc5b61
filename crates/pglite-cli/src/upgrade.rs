//! `pglite upgrade`: a directory's databases to a new directory, by way of SQL.
//!
//! The old directory is not changed. The new one has its name when all is in it; until then the dump stays.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use pglite_oxide::Pglite;
use pglite_oxide::tools::{Program, Tool};

use crate::args::UpgradeArgs;
use crate::failure::Failure;
use crate::tools::tool_failure;

/// The role that a new directory has already.
const BOOTSTRAP_ROLE: &str = "CREATE ROLE postgres;";

pub(crate) fn command(args: &UpgradeArgs) -> Result<u8, Failure> {
    let UpgradeArgs { old, new } = args;
    if !old.join("PG_VERSION").exists() {
        return Err(Failure::new(format!("there is no database in {}", old.display())));
    }
    if !is_free(new).map_err(|error| cannot("look at", new, &error))? {
        return Err(Failure::new(format!(
            "{} is there already: give a directory that is empty or missing",
            new.display()
        )));
    }
    let backup = beside(new, ".upgrade.sql");
    if backup.exists() {
        return Err(Failure::new(format!(
            "{} is there, from an upgrade that failed; remove it first",
            backup.display()
        )));
    }
    dump(old, &backup)?;
    let unfinished = beside(new, ".unfinished");
    let restored = restore(&backup, &unfinished).and_then(|()| {
        if new.exists() {
            fs::remove_dir(new).map_err(|error| cannot("replace", new, &error))?;
        }
        fs::rename(&unfinished, new).map_err(|error| cannot("rename", &unfinished, &error))
    });
    if let Err(failure) = restored {
        let _ = fs::remove_dir_all(&unfinished);
        let kept = format!("{failure}; the dump is kept in {}", backup.display());
        return Err(Failure::new(kept));
    }
    fs::remove_file(&backup).map_err(|error| cannot("remove", &backup, &error))?;
    writeln!(io::stdout(), "{}", new.display())
        .map_err(|error| Failure::because("cannot write to standard output", &error))?;
    Ok(0)
}

fn dump(old: &Path, backup: &Path) -> Result<(), Failure> {
    let db = Pglite::open(old)?;
    let directory = std::env::current_dir()
        .map_err(|error| Failure::because("cannot tell the working directory", &error))?;
    let file = std::path::absolute(backup).map_err(|error| cannot("use", backup, &error))?;
    let file = file.to_str().ok_or_else(|| Failure::new("the path is not UTF-8"))?;
    let tool: Tool = db.tool(Program::PgDumpall).arg(format!("--file={file}"));
    let output = tool.host_files(directory).output();
    let result = match output {
        Ok(output) if output.status == 0 => Ok(()),
        Ok(output) => Err(Failure::new(format!("pg_dumpall: {}", output.stderr.trim_end()))),
        Err(error) => Err(tool_failure("the old directory cannot be dumped", &error)),
    };
    if result.is_err() {
        let _ = fs::remove_file(backup);
    }
    result?;
    db.close()?;
    Ok(())
}

fn restore(backup: &Path, new: &Path) -> Result<(), Failure> {
    let file = File::open(backup).map_err(|error| cannot("read", backup, &error))?;
    let reader = without_bootstrap_role(file).map_err(|error| cannot("read", backup, &error))?;
    let db = Pglite::open(new)?;
    db.restore()
        .from_reader(reader)
        .map_err(|error| tool_failure("the new directory cannot be filled", &error))?;
    db.close()?;
    Ok(())
}

/// The dump without the one command that fails in any new directory.
fn without_bootstrap_role(file: File) -> io::Result<impl Read> {
    let mut lines = BufReader::new(file);
    let mut head = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let len = lines.read_until(b'\n', &mut line)?;
        if len == 0 || line.starts_with(b"\\connect") {
            // There was none: from the beginning.
            lines.rewind()?;
            return Ok(Box::new(lines) as Box<dyn Read>);
        }
        if line.trim_ascii_end() == BOOTSTRAP_ROLE.as_bytes() {
            let rest = lines.stream_position()?;
            lines.rewind()?;
            let mut before = vec![0; head];
            lines.read_exact(&mut before)?;
            lines.seek(io::SeekFrom::Start(rest))?;
            return Ok(Box::new(io::Cursor::new(before).chain(lines)));
        }
        head += len;
    }
}

fn is_free(directory: &Path) -> io::Result<bool> {
    match fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(ending);
    name.into()
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::because(format!("cannot {what} {}", path.display()), error)
}
