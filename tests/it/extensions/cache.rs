//! A packed module in the cache that is not as it should be is made anew, or not used; it is never run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::child::Process;

const CACHE: &str = "PGLITE_OXIDE_CACHE_DIR";

/// A process that loads the module `seg`; its answer must be right.
#[track_caller]
fn use_module(cache: &Path) {
    let environment = [(CACHE, cache.to_str().unwrap())];
    let mut child = Process::start("extension", Path::new(""), &environment);
    assert_eq!(child.line().as_deref(), Some("1 .. 2"));
    child.wait();
}

fn file_of(cache: &Path, module: &str) -> PathBuf {
    let files = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    let ending = format!("-{module}");
    let is_of_it = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(&ending));
    files.into_iter().find(is_of_it).expect("it is in the cache")
}

/// What has become of a file, from its own contents and those of another module's.
type Damage = fn(&[u8], &[u8]) -> Vec<u8>;

const DAMAGES: &[(&str, Damage)] = &[
    ("a bit flipped in the code", |good, _| {
        let mut bad = good.to_vec();
        bad[good.len() / 2] ^= 1;
        bad
    }),
    ("a bit flipped in the first byte", |good, _| {
        let mut bad = good.to_vec();
        bad[0] ^= 0x80;
        bad
    }),
    ("cut off", |good, _| good[..good.len() / 3].to_vec()),
    ("the last byte missing", |good, _| good[..good.len() - 1].to_vec()),
    ("longer", |good, _| [good, b"\0"].concat()),
    ("empty", |_, _| Vec::new()),
    ("another module", |_, other| other.to_vec()),
    ("another module of its length", |good, other| {
        other.iter().copied().cycle().take(good.len()).collect()
    }),
    ("zeros", |good, _| vec![0; good.len()]),
];

/// A cache with two modules in it, and the file of one with what is in both.
fn filled() -> (tempfile::TempDir, PathBuf, Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    use_module(dir.path());
    let path = file_of(dir.path(), "seg");
    let good = fs::read(&path).unwrap();
    // Whole code of our own compiler's, but not what is asked for.
    let other = fs::read(super::directories::modules().join("lib/regress.so")).unwrap();
    (dir, path, good, other)
}

#[test]
fn an_altered_module_is_made_anew() {
    let (dir, path, good, other) = filled();
    for (what, damage) in DAMAGES {
        fs::write(&path, damage(&good, &other)).unwrap();
        use_module(dir.path());
        assert!(fs::read(&path).unwrap() == good, "{what}");
    }
}

/// Where the cache cannot be written the module is unpacked to memory.
#[test]
fn an_altered_module_in_a_cache_that_is_read_only_is_not_used() {
    const SCRIPT: &str = r#"
        mount --bind "$PGLITE_OXIDE_CACHE_DIR" "$PGLITE_OXIDE_CACHE_DIR"
        mount -o remount,ro,bind "$PGLITE_OXIDE_CACHE_DIR"
        exec "$0" "$@""#;
    let (dir, path, good, other) = filled();
    let environment = [(CACHE, dir.path().to_str().unwrap())];
    // Who finds the file wanting is the same as above; here it is about what comes then.
    for (what, damage) in DAMAGES.iter().step_by(3) {
        let bad = damage(&good, &other);
        fs::write(&path, &bad).unwrap();
        let child = Process::start_with_mounts(SCRIPT, "extension", Path::new(""), &environment);
        let Some(mut child) = child else { return };
        assert_eq!(child.line().as_deref(), Some("1 .. 2"), "{what}");
        child.wait();
        assert!(fs::read(&path).unwrap() == bad, "{what}");
    }
}
