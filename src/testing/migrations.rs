//! Directories of SQL files, and running one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{MigrationError, TemplateError, TemplateErrorKind};
use super::sql;
use crate::client::{Session, TransactionStatus};
use crate::error::Error;

/// A file, read.
#[derive(Debug)]
pub(super) struct Migration {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) text: String,
}

/// The files of a directory, in the order in which they are run.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, TemplateError> {
    let failed = |path: &Path, source: io::Error| {
        TemplateError::from(TemplateErrorKind::Files { path: path.to_owned(), source })
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| failed(directory, error))? {
        let entry = entry.map_err(|error| failed(directory, error))?;
        // One that is not UTF-8 is none of ours.
        if let Ok(name) = entry.file_name().into_string()
            && is_migration(&name)
        {
            names.push(name);
        }
    }
    if names.is_empty() {
        let directory = directory.to_owned();
        return Err(TemplateErrorKind::NoMigrations { directory }.into());
    }
    names.sort_by(|a, b| order(a).cmp(&order(b)));
    let read = |name: String| {
        let path = directory.join(&name);
        let text = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
        // Some editors begin a file with this mark.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(Migration { path, name, text })
    };
    names.into_iter().map(read).collect()
}

/// SQL that leads forward.
fn is_migration(name: &str) -> bool {
    name.ends_with(".sql") && !name.ends_with(".down.sql") && !name.starts_with('.')
}

/// Versions (`<version>_<name>.sql`) by their number, and everything else behind them by name.
fn order(name: &str) -> (u64, &str) {
    let version = name.split_once('_').and_then(|(version, _)| version.parse().ok());
    (version.unwrap_or(u64::MAX), name)
}

/// Runs a file: as one transaction, or statement by statement if it begins as SQLx asks for.
pub(super) fn run(session: &mut Session, migration: &Migration) -> Result<(), TemplateError> {
    let text = &migration.text;
    let failed = |sent: usize, completed: usize, error: Error| -> TemplateError {
        let error = MigrationError::new(&migration.path, text, sent, completed, error);
        TemplateErrorKind::Migration(error).into()
    };
    if text.starts_with("-- no-transaction") {
        for (index, range) in sql::statements(text).into_iter().enumerate() {
            session
                .exec(&text[range.clone()])
                .map_err(|error| failed(range.start, index, error))?;
        }
    } else {
        let mut done = Vec::new();
        session.exec_into(text, &mut done).map_err(|error| failed(0, done.len(), error))?;
    }
    if session.transaction_status() != TransactionStatus::Idle {
        let error = Error::usage("it leaves a transaction open: there is a BEGIN without a COMMIT");
        return Err(failed(0, usize::MAX, error));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_their_order() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in [
            "10_ten.sql",
            "2_two.up.sql",
            "2_two.down.sql",
            "0003_three.sql",
            "20240101120000_year.sql",
            "readme.md",
            "seed.sql",
            "2024-01-01 plain.sql",
            ".hidden.sql",
        ] {
            fs::write(dir.path().join(name), "\u{feff}SELECT 1").expect("a file");
        }
        let found = read(dir.path()).expect("migrations");
        let names: Vec<_> = found.iter().map(|migration| migration.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "2_two.up.sql",
                "0003_three.sql",
                "10_ten.sql",
                "20240101120000_year.sql",
                "2024-01-01 plain.sql",
                "seed.sql",
            ]
        );
        assert!(found.iter().all(|migration| migration.text == "SELECT 1"));
    }

    #[test]
    fn directories_that_are_none() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let error = read(dir.path()).expect_err("it is empty");
        assert!(matches!(error.kind(), TemplateErrorKind::NoMigrations { .. }), "{error}");
        let error = read(&dir.path().join("nowhere")).expect_err("it does not exist");
        assert!(matches!(error.kind(), TemplateErrorKind::Files { .. }), "{error}");
        fs::write(dir.path().join("1_binary.sql"), [0xff, 0xfe]).expect("a file");
        let error = read(dir.path()).expect_err("it is not UTF-8");
        assert!(error.to_string().contains("1_binary.sql cannot be read"), "{error}");
    }
}
