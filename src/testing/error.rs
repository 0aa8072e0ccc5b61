//! Why there is no template.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sql;
use crate::error::{DbError, Error, ErrorPosition};

/// A template could not be made.
///
/// It is remembered: all tests of the process that need the template get this same error, without another
/// attempt. Its message tells the file, the line, the statement and what PostgreSQL said of it.
#[derive(Debug, Clone)]
pub struct TemplateError {
    kind: Arc<TemplateErrorKind>,
}

impl TemplateError {
    /// What went wrong.
    pub fn kind(&self) -> &TemplateErrorKind {
        &self.kind
    }

    /// PostgreSQL's own error, if that is what it was.
    pub fn as_db_error(&self) -> Option<&DbError> {
        match &*self.kind {
            TemplateErrorKind::Database(error)
            | TemplateErrorKind::Extension { error, .. }
            | TemplateErrorKind::Snapshot(error) => error.as_db_error(),
            TemplateErrorKind::Migration(migration) => migration.error.as_db_error(),
            _ => None,
        }
    }
}

impl From<TemplateErrorKind> for TemplateError {
    fn from(kind: TemplateErrorKind) -> TemplateError {
        TemplateError { kind: Arc::new(kind) }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl StdError for TemplateError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.kind {
            TemplateErrorKind::Database(error)
            | TemplateErrorKind::Extension { error, .. }
            | TemplateErrorKind::Snapshot(error) => error.source(),
            TemplateErrorKind::Migration(migration) => migration.error.source(),
            TemplateErrorKind::Files { source, .. } => Some(source),
            TemplateErrorKind::NoMigrations { .. } | TemplateErrorKind::Setup { .. } => None,
        }
    }
}

/// What a [`TemplateError`] is about.
#[derive(Debug)]
#[non_exhaustive]
pub enum TemplateErrorKind {
    /// There is no database to migrate.
    Database(Error),
    /// A directory or a file of migrations cannot be read.
    Files {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory of migrations has no `.sql` file in it.
    NoMigrations {
        /// The directory.
        directory: PathBuf,
    },
    /// An extension cannot be created.
    Extension {
        /// Its name.
        name: String,
        /// What PostgreSQL said.
        error: Error,
    },
    /// A migration failed.
    Migration(MigrationError),
    /// The setup function returned an error, or panicked.
    Setup {
        /// What it said.
        message: String,
    },
    /// No snapshot can be taken of the migrated database: the setup function may have left a transaction open.
    Snapshot(Error),
}

impl fmt::Display for TemplateErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateErrorKind::Database(error) => {
                write!(f, "there is no database for the tests: {error}")
            }
            TemplateErrorKind::Files { path, source } => {
                write!(f, "the migrations {} cannot be read: {source}", path.display())
            }
            TemplateErrorKind::NoMigrations { directory } => {
                write!(f, "there are no migrations (*.sql) in {}", directory.display())
            }
            TemplateErrorKind::Extension { name, error } => {
                write!(f, "the extension {name} cannot be created: {error}")
            }
            TemplateErrorKind::Migration(error) => error.fmt(f),
            TemplateErrorKind::Setup { message } => {
                write!(f, "the setup function of the tests failed: {message}")
            }
            TemplateErrorKind::Snapshot(error) => {
                write!(f, "the database cannot be the template of tests: {error}")
            }
        }
    }
}

/// A file of migrations that PostgreSQL did not take.
#[derive(Debug)]
#[non_exhaustive]
pub struct MigrationError {
    /// The file.
    pub path: PathBuf,
    /// The line of the mistake if PostgreSQL knows its place, else the one that the statement begins in.
    pub line: Option<usize>,
    /// The statement.
    pub statement: Option<String>,
    /// What went wrong with it.
    pub error: Error,
    excerpt: String,
}

impl MigrationError {
    /// `completed` statements of `text` had been run when the error came. `sent` is the byte that the text
    /// sent to PostgreSQL began with.
    pub(super) fn new(
        path: &Path,
        text: &str,
        sent: usize,
        completed: usize,
        error: Error,
    ) -> MigrationError {
        let statements = sql::statements(text);
        let place = place(&text[sent..], &error).map(|at| sent + at);
        let statement = match place {
            // A mistake at the very end lies behind the last of them.
            Some(at) => statements
                .iter()
                .find(|range| at < range.end)
                .or(statements.iter().rfind(|range| range.start <= at)),
            None => statements.get(completed),
        };
        let excerpt = statement.map(|range| excerpt(text, range.start, range.end, place));
        let first = place.or(statement.map(|range| range.start));
        MigrationError {
            path: path.to_owned(),
            line: first.map(|at| sql::line_of(text, at)),
            statement: statement.map(|range| text[range.clone()].to_owned()),
            error,
            excerpt: excerpt.unwrap_or_default(),
        }
    }
}

/// The byte that PostgreSQL points to.
fn place(text: &str, error: &Error) -> Option<usize> {
    match error.as_db_error()?.position()? {
        ErrorPosition::Original(position) => {
            let character = (*position as usize).checked_sub(1)?;
            Some(text.char_indices().nth(character).map_or(text.len(), |(at, _)| at))
        }
        ErrorPosition::Internal { .. } => None,
    }
}

/// Some lines of a statement, numbered, and a mark below the place of the mistake.
fn excerpt(text: &str, start: usize, end: usize, place: Option<usize>) -> String {
    /// Lines before and after the one that counts.
    const AROUND: usize = 4;
    const WIDTH: usize = 120;
    let (first, last) = (sql::line_of(text, start), sql::line_of(text, end));
    let center = sql::line_of(text, place.unwrap_or(start));
    let shown = first.max(center.saturating_sub(AROUND))..=last.max(center).min(center + AROUND);
    let mut lines = String::new();
    for (index, line) in text.split('\n').enumerate() {
        let number = index + 1;
        if !shown.contains(&number) {
            continue;
        }
        let line = line.trim_end();
        let cut: String = line.chars().take(WIDTH).collect();
        let more = if cut.len() < line.len() { " ..." } else { "" };
        lines += &format!("\n{number:>5} | {cut}{more}");
        if let Some(place) = place.filter(|_| number == center) {
            let line_start = text[..place].rfind('\n').map_or(0, |at| at + 1);
            // Tabs stay, so that the mark is below what it is about.
            let blanks: String = text[line_start..place]
                .chars()
                .take(WIDTH)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            lines += &format!("\n      | {blanks}^");
        }
    }
    lines
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the migration {}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, " failed{}{}", if self.excerpt.is_empty() { ": " } else { "" }, self.excerpt)?;
        if !self.excerpt.is_empty() {
            f.write_str("\n")?;
        }
        write!(f, "{}", self.error)?;
        if let Some(error) = self.error.as_db_error() {
            if let Some(query) = error.internal_query() {
                write!(f, "\nQUERY: {query}")?;
            }
            if let Some(context) = error.where_() {
                write!(f, "\nCONTEXT: {context}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts() {
        let text = "SELECT 1;\n\nCREATE TABLE t (\n\tid int,\n\tx nothing\n);\nSELECT 2;";
        let start = text.find("CREATE").expect("it is there");
        let end = text.find(");").expect("it is there") + 1;
        let place = text.find("nothing");
        assert_eq!(
            excerpt(text, start, end, place),
            "\n    3 | CREATE TABLE t (\n    4 | \tid int,\n    5 | \tx nothing\n      | \t  ^\n    6 | );"
        );
        assert_eq!(excerpt(text, 0, 8, None), "\n    1 | SELECT 1;");
        let long = format!("SELECT '{}'", "x\n".repeat(50));
        assert_eq!(excerpt(&long, 0, long.len(), None).lines().count(), 6);
    }
}
