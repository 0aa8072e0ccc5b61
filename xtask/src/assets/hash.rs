//! Keys of steps, and files in and out.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

/// A hash of named inputs, in the order they are added.
pub(crate) struct Key(blake3::Hasher);

impl Key {
    pub(crate) fn new(name: &str) -> Self {
        Self(blake3::Hasher::new()).text("step", name)
    }

    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        self.add(name.as_bytes());
        self.add(value.as_bytes());
        self
    }

    /// Adds a file's content under a name that does not tell where the file is. A Rust source
    /// counts without what rustfmt changes: it makes no difference to what is built.
    pub(crate) fn file(self, name: &str, path: &Path) -> Result<Self> {
        let content = if path.extension().is_some_and(|ending| ending == "rs") {
            without_format(&read_text(path)?).into_bytes()
        } else {
            read(path)?
        };
        Ok(self.text(name, &blake3::hash(&content).to_hex()))
    }

    /// Adds the files below a directory, by relative name and content. Git's view: no modes, no times.
    pub(crate) fn dir(mut self, name: &str, dir: &Path) -> Result<Self> {
        for path in files(dir)? {
            self = self.file(&format!("{name}/{}", path.display()), &dir.join(&path))?;
        }
        Ok(self)
    }

    pub(crate) fn finish(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }

    fn add(&mut self, bytes: &[u8]) {
        // The length first, so that no two lists of inputs look alike.
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

/// A Rust source without comment lines and the characters that rustfmt adds and removes.
fn without_format(source: &str) -> String {
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace() && !matches!(c, ',' | '{' | '}'))
        .collect()
}

/// The files below a directory, relative to it, sorted.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(dir).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot list {}", dir.display()))?;
        if !entry.file_type().is_dir() {
            let path = entry.path().strip_prefix(dir).context("a file outside its directory")?;
            found.push(path.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

pub(crate) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file, making its directory when needed.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Copies a file, making its directory when needed.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    write_file(to, &read(from)?)
}

/// An empty directory, whatever was there.
pub(crate) fn empty_dir(dir: &Path) -> Result<()> {
    remove_dir(dir)?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}

pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Makes `to` hold the same files as `from`; a file whose content is right is left alone, so that `make` sees only
/// what changed.
pub(crate) fn mirror(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let wanted = files(from)?;
    for path in files(to)? {
        if wanted.binary_search(&path).is_err() {
            let path = to.join(path);
            std::fs::remove_file(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    for path in &wanted {
        let (source, target) = (from.join(path), to.join(path));
        let content = read(&source)?;
        if std::fs::read(&target).is_ok_and(|old| old == content) {
            continue;
        }
        write_file(&target, &content)?;
        let mode = std::fs::metadata(&source)
            .with_context(|| format!("cannot read {}", source.display()))?;
        std::fs::set_permissions(&target, mode.permissions())
            .with_context(|| format!("cannot set the mode of {}", target.display()))?;
    }
    Ok(())
}

pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut file =
        std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n =
            file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_confuse_neighbours() {
        let split = |a: &str, b: &str| Key::new("x").text(a, b).finish();
        assert_ne!(split("ab", "c"), split("a", "bc"));
        assert_eq!(split("a", "b"), split("a", "b"));
    }

    #[test]
    fn format_does_not_count() {
        let one = "/// Why.\nconst A: &[&str] = &[\"x\", \"y\"];\n";
        let other = "const A: &[&str] =\n    // No.\n    &[\n    \"x\",\n    \"y\",\n];\n";
        assert_eq!(without_format(one), without_format(other));
        assert_ne!(without_format(one), without_format("const A: &[&str] = &[\"x\"];"));
    }

    #[test]
    fn hex_has_two_digits_a_byte() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
