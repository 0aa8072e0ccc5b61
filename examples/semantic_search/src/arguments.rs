//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
usage: semantic_search [--database DIRECTORY] [--limit NUMBER] [PATH]... [--ask WORD...]

Answers questions from .txt, .md and .rs files: PATHs are files, and directories to look for them in.
Without PATHs it searches what the database has, or a few texts of its own.

  --ask WORD...         the question: all that follows. Without it, each line of the standard input is one
  --database DIRECTORY  keep the index there. Without it, it is in memory
  --limit NUMBER        how many answers to print, 3 if not given
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print [`USAGE`].
    Help,
    /// Index and search.
    Search(Arguments),
}

/// How to index and search.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Files and directories.
    pub(crate) paths: Vec<PathBuf>,
    /// Where the index is kept.
    pub(crate) database: Option<PathBuf>,
    /// How many answers to print.
    pub(crate) limit: i64,
    /// The question, if it is not read.
    pub(crate) question: Option<String>,
}

/// Reads the arguments, without the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parsed = Arguments { paths: Vec::new(), database: None, limit: 3, question: None };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--database") => {
                let directory = arguments.next().ok_or("--database takes a directory")?;
                parsed.database = Some(directory.into());
            }
            Some("--limit") => {
                let number = arguments.next().and_then(|number| number.to_str()?.parse().ok());
                let positive = number.filter(|&number| number > 0);
                parsed.limit = positive.ok_or("--limit takes a number from 1")?;
            }
            Some("--ask") => {
                let words: Vec<OsString> = arguments.by_ref().collect();
                let question = words.join(" ".as_ref()).into_string();
                parsed.question = Some(question.map_err(|_| "the question is not UTF-8")?);
            }
            Some(option) if option.starts_with("--") => {
                return Err(format!("there is no option {option}; see --help"));
            }
            _ => parsed.paths.push(argument.into()),
        }
    }
    Ok(Command::Search(parsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn arguments_are_understood() {
        for (line, paths, database, limit, question) in [
            ("", &[][..], None, 3, None),
            ("docs README.md", &["docs", "README.md"], None, 3, None),
            ("--limit 5 docs --database index", &["docs"], Some("index"), 5, None),
            ("docs --ask how --limit works", &["docs"], None, 3, Some("how --limit works")),
            ("--ask", &[], None, 3, Some("")),
        ] {
            let expected = Arguments {
                paths: paths.iter().map(PathBuf::from).collect(),
                database: database.map(PathBuf::from),
                limit,
                question: question.map(str::to_owned),
            };
            assert_eq!(parse_line(line), Ok(Command::Search(expected)), "{line}");
        }
        assert_eq!(parse_line("docs --help"), Ok(Command::Help));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, expected) in [
            ("--database", "--database takes a directory"),
            ("--limit 0", "--limit takes a number from 1"),
            ("--limit many", "--limit takes a number from 1"),
            ("--limits 3", "there is no option --limits; see --help"),
        ] {
            assert_eq!(parse_line(line), Err(expected.to_owned()), "{line}");
        }
    }
}
