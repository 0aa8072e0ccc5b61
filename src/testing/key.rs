//! What tells one template from another.

use std::any::TypeId;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::migrations::Migration;
use crate::assets;

/// Changes with what a template file means.
const FORMAT: &str = "template 1";

/// What the names of directories begin with in which rustdoc puts programs.
const RUSTDOC: &str = "rustdoctest";

/// The name of a template, by what is in it.
pub(super) struct Key {
    /// Of everything that makes the template what it is.
    pub(super) contents: blake3::Hash,
    /// Of where it comes from, whatever the contents: templates that replace each other as the files are
    /// edited, or the test program is compiled again.
    pub(super) origin: blake3::Hash,
    /// It is the same in another process.
    pub(super) is_lasting: bool,
}

/// What a template is made of, for its key.
pub(super) struct Parts<'a> {
    /// The options of the database, as text.
    pub(super) options: String,
    pub(super) extensions: &'a [String],
    pub(super) directories: &'a [PathBuf],
    pub(super) migrations: &'a [Migration],
    pub(super) setup: Option<FunctionId>,
    /// Something of it is in no file: directories of the host, mounted.
    pub(super) is_bound: bool,
}

impl Key {
    pub(super) fn new(parts: &Parts<'_>) -> Key {
        let mut contents = Fields::new();
        let mut origin = Fields::new();
        // Where there is none, no database starts either.
        contents.add(assets::identity().unwrap_or_default());
        for both in [&mut contents, &mut origin] {
            both.add(&parts.options);
            both.add_all(parts.extensions);
        }
        contents.add_all(parts.migrations.iter().flat_map(|file| [&file.name, &file.text]));
        origin.add_all(parts.directories.iter().map(|directory| {
            let path = directory.canonicalize().unwrap_or_else(|_| directory.clone());
            path.as_os_str().as_bytes().to_owned()
        }));
        let mut is_lasting = !parts.is_bound;
        if let Some(FunctionId(id)) = parts.setup {
            let program = Program::current();
            is_lasting &= program.is_some();
            for both in [&mut contents, &mut origin] {
                both.add(id.to_le_bytes());
            }
            if let Some(program) = program {
                contents.add(program.path.as_os_str().as_bytes());
                contents.add(program.version);
                origin.add(program.path.as_os_str().as_bytes());
            }
        }
        Key { contents: contents.finish(), origin: origin.finish(), is_lasting }
    }
}

/// A function, as far as a program can tell its functions apart. Its contents nobody can tell: those are the
/// program's.
#[derive(Debug, Clone, Copy)]
pub(super) struct FunctionId(u64);

impl FunctionId {
    /// Every function and every closure has a type of its own. If it has no size as well, the type is all
    /// there is to it.
    pub(super) fn of<F: 'static>() -> FunctionId {
        let mut hasher = DefaultHasher::new();
        TypeId::of::<F>().hash(&mut hasher);
        FunctionId(hasher.finish())
    }
}

/// The running program, as a file.
struct Program {
    path: PathBuf,
    /// Length, and time of the last change.
    version: String,
}

impl Program {
    /// None where the system does not tell, and for a program that nobody will run again: examples in
    /// documentation, which rustdoc compiles to a new directory each time.
    fn current() -> Option<Program> {
        let path = std::env::current_exe().ok()?;
        let is_of_rustdoc =
            path.iter().any(|part| part.as_encoded_bytes().starts_with(RUSTDOC.as_bytes()));
        if is_of_rustdoc {
            return None;
        }
        let version = version(&path)?;
        Some(Program { path, version })
    }
}

fn version(path: &Path) -> Option<String> {
    let file = path.metadata().ok()?;
    let changed = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} {}", file.len(), changed.as_nanos()))
}

/// A hash of texts in a row, which differs if a byte moves from one to the next.
struct Fields(blake3::Hasher);

impl Fields {
    fn new() -> Fields {
        let mut fields = Fields(blake3::Hasher::new());
        fields.add(FORMAT);
        fields
    }

    fn add(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        self.0.update(&(field.len() as u64).to_le_bytes());
        self.0.update(field);
    }

    fn add_all(&mut self, fields: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let mut count = 0u64;
        for field in fields {
            self.add(field);
            count += 1;
        }
        self.add(count.to_le_bytes());
    }

    fn finish(&self) -> blake3::Hash {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() {}
    fn other() {}

    #[test]
    fn keys() {
        fn id<F: 'static>(_: F) -> FunctionId {
            FunctionId::of::<F>()
        }
        let file = |name: &str, text: &str| Migration {
            path: PathBuf::new(),
            name: name.into(),
            text: text.into(),
        };
        let key = |extensions: &[&str], files: &[Migration], setup: Option<FunctionId>| {
            let extensions: Vec<_> = extensions.iter().map(|name| (*name).to_owned()).collect();
            Key::new(&Parts {
                options: String::new(),
                extensions: &extensions,
                directories: &[],
                migrations: files,
                setup,
                is_bound: false,
            })
        };
        let keys = [
            key(&[], &[], None),
            key(&["a"], &[], None),
            key(&["a", "b"], &[], None),
            key(&["ab"], &[], None),
            key(&[], &[file("a", "b")], None),
            key(&[], &[file("ab", "")], None),
            key(&[], &[file("a", "b"), file("c", "d")], None),
            key(&[], &[file("c", "d"), file("a", "b")], None),
            key(&[], &[], Some(id(one))),
            key(&[], &[], Some(id(other))),
            key(&[], &[], Some(id(|| ()))),
            key(&[], &[], Some(id(|| ()))),
        ];
        for (index, key) in keys.iter().enumerate() {
            let same = keys.iter().filter(|other| other.contents == key.contents).count();
            assert_eq!(same, 1, "key {index}");
            assert!(key.is_lasting);
        }
        assert_eq!(keys[4].origin, keys[6].origin);
        assert_eq!(
            key(&["a"], &[], Some(id(one))).contents,
            key(&["a"], &[], Some(id(one))).contents
        );
    }
}
