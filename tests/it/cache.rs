//! The cache of unpacked assets, and doing without.

use std::fs;
use std::path::Path;

use crate::child::Process;

/// Starts a process with this cache directory; its answer must be right.
fn select(cache: &str) {
    let mut child = Process::start("select", Path::new(""), &[("PGLITE_OXIDE_CACHE_DIR", cache)]);
    assert_eq!(child.line().as_deref(), Some("42"), "cache {cache:?}");
    child.wait();
}

fn files(dir: &Path) -> Vec<(String, u64)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn an_empty_cache_is_filled_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("new/cache");
    select(cache.to_str().unwrap());
    let filled = files(&cache);
    assert_eq!(filled.len(), 3, "{filled:?}");
    select(cache.to_str().unwrap());
    assert_eq!(files(&cache), filled);
}

#[test]
fn no_cache_at_all_works() {
    select("");
    select("/sys/kernel/no-cache-here");
    let file = tempfile::NamedTempFile::new().unwrap();
    select(file.path().to_str().unwrap());
}

#[test]
fn a_damaged_cache_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().to_str().unwrap();
    select(cache);
    let filled = files(dir.path());
    for (name, len) in &filled {
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[*len as usize / 2] ^= 1;
        fs::write(&path, &bytes).unwrap();
        select(cache);
        fs::write(&path, &bytes[..bytes.len() / 3]).unwrap();
        select(cache);
    }
    assert_eq!(files(dir.path()), filled);
}

#[test]
fn processes_that_start_together_share_an_empty_cache() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().to_str().unwrap();
    let mut children: Vec<_> = (0..4)
        .map(|_| Process::start("select", Path::new(""), &[("PGLITE_OXIDE_CACHE_DIR", cache)]))
        .collect();
    for child in &mut children {
        assert_eq!(child.line().as_deref(), Some("42"));
        child.wait();
    }
    assert_eq!(files(dir.path()).len(), 3);
}

#[test]
fn a_killed_process_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let scratch = dir.path().join("tmp");
    fs::create_dir(&scratch).unwrap();
    select(cache.to_str().unwrap());
    let filled = files(&cache);
    let environment = [
        ("PGLITE_OXIDE_CACHE_DIR", cache.to_str().unwrap()),
        ("TMPDIR", scratch.to_str().unwrap()),
    ];
    let mut child = Process::start("hold", &dir.path().join("db"), &environment);
    assert_eq!(child.line().as_deref(), Some("open"));
    child.kill();
    assert_eq!(files(&cache), filled);
    assert_eq!(files(&scratch), []);
}
