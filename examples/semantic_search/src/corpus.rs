//! The files that are searched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Kinds of files that are read, by the ends of their names.
const EXTENSIONS: [&str; 3] = ["md", "rs", "txt"];

/// A text with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// Absolute, so that it is the same document wherever the program is started.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Corpus {
    /// All texts, in the order of their paths, and none of them twice.
    pub(crate) documents: Vec<Document>,
    /// Which files were left out, and why.
    pub(crate) skipped: Vec<String>,
}

/// There is no corpus.
#[derive(Debug)]
pub(crate) enum CorpusError {
    /// A file or a directory cannot be read.
    Unreadable(PathBuf, io::Error),
    /// There is no text in what was given.
    Empty,
}

impl fmt::Display for CorpusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CorpusError::Unreadable(path, error) => {
                write!(f, "cannot read {}: {error}", path.display())
            }
            CorpusError::Empty => {
                write!(f, "there is nothing to search: no .txt, .md or .rs file with text in it")
            }
        }
    }
}

impl std::error::Error for CorpusError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CorpusError::Unreadable(_, error) => Some(error),
            CorpusError::Empty => None,
        }
    }
}

/// Reads files, and all files of the right kinds below directories.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Corpus, CorpusError> {
    let mut found = Found::default();
    for path in paths {
        let unreadable = |error| CorpusError::Unreadable(path.clone(), error);
        let absolute = path.canonicalize().map_err(unreadable)?;
        if absolute.is_dir() {
            found.walk(&absolute)?;
        } else {
            found.take(&absolute)?;
        }
    }
    let documents: Vec<Document> =
        found.texts.into_iter().map(|(path, text)| Document { path, text }).collect();
    if documents.iter().all(|document| !document.text.contains(char::is_alphanumeric)) {
        return Err(CorpusError::Empty);
    }
    Ok(Corpus { documents, skipped: found.skipped })
}

#[derive(Default)]
struct Found {
    texts: BTreeMap<String, String>,
    skipped: Vec<String>,
}

impl Found {
    fn walk(&mut self, directory: &Path) -> Result<(), CorpusError> {
        let unreadable = |error| CorpusError::Unreadable(directory.to_owned(), error);
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = entry.path();
            // Symbolic links are neither: they could lead round in circles.
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() && !is_left_out(&path) {
                self.walk(&path)?;
            } else if kind.is_file() && is_text(&path) {
                self.take(&path)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, path: &Path) -> Result<(), CorpusError> {
        let mut skip = |why: &str| self.skipped.push(format!("{}: {why}", path.display()));
        let Some(name) = path.to_str() else {
            skip("its name is not UTF-8");
            return Ok(());
        };
        if !is_text(path) {
            skip("not a .txt, .md or .rs file");
            return Ok(());
        }
        let bytes =
            fs::read(path).map_err(|error| CorpusError::Unreadable(path.to_owned(), error))?;
        match String::from_utf8(bytes) {
            // No text of PostgreSQL can have it, and no text has it.
            Ok(text) if text.contains('\0') => skip("binary: it has a NUL byte"),
            Ok(text) => {
                self.texts.insert(name.to_owned(), text);
            }
            Err(_) => skip("not UTF-8"),
        }
        Ok(())
    }
}

fn is_text(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.to_lowercase().as_str()))
}

/// Hidden directories, and caches such as Cargo's `target`, which are marked by a file of this name.
fn is_left_out(directory: &Path) -> bool {
    let hidden = directory.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
    hidden || directory.join("CACHEDIR.TAG").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with files of these names and contents.
    fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, contents) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        directory
    }

    /// Paths below a directory.
    fn below(directory: &tempfile::TempDir, paths: impl Iterator<Item = String>) -> Vec<String> {
        let root = format!("{}/", directory.path().canonicalize().unwrap().display());
        paths.map(|path| path.replace(&root, "")).collect()
    }

    #[test]
    fn directories_are_searched_for_texts() {
        let files = directory(&[
            ("b.md", b"text"),
            ("a/c.RS", b"text"),
            ("a/d.txt", b"text"),
            ("a/e.toml", b"no"),
            ("md", b"no"),
            (".git/f.md", b"no"),
            ("target/CACHEDIR.TAG", b""),
            ("target/g.md", b"no"),
        ]);
        let twice = [files.path().to_owned(), files.path().join("a/../b.md")];
        let corpus = read(&twice).unwrap();
        let paths = corpus.documents.into_iter().map(|document| document.path);
        assert_eq!(below(&files, paths), ["a/c.RS", "a/d.txt", "b.md"]);
        assert!(corpus.skipped.is_empty());
    }

    #[test]
    fn files_that_are_no_texts_are_skipped() {
        let files = directory(&[
            ("a.md", b"text"),
            ("latin1.txt", b"caf\xe9"),
            ("nul.txt", b"a\0b"),
            ("Cargo.toml", b"text"),
        ]);
        let paths = [files.path().join("Cargo.toml"), files.path().to_owned()];
        let corpus = read(&paths).unwrap();
        assert_eq!(corpus.documents.len(), 1);
        let mut skipped = below(&files, corpus.skipped.into_iter());
        skipped.sort();
        assert_eq!(
            skipped,
            [
                "Cargo.toml: not a .txt, .md or .rs file",
                "latin1.txt: not UTF-8",
                "nul.txt: binary: it has a NUL byte"
            ]
        );
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let files = directory(&[("empty.md", b" \n"), ("no.toml", b"text")]);
        for (path, expected) in [
            (files.path().to_owned(), "there is nothing to search: no .txt, .md or .rs file with"),
            ("not/there.md".into(), "cannot read not/there.md: No such file or directory"),
        ] {
            let error = read(&[path]).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
