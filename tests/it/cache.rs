//! The cache of unpacked assets, and doing without.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::child::Process;
use crate::eventually;

const CACHE: &str = "PGLITE_OXIDE_CACHE_DIR";

const DAY: Duration = Duration::from_secs(24 * 3600);

fn start(cache: &str) -> Process {
    Process::start("select", Path::new(""), &[(CACHE, cache)])
}

#[track_caller]
fn assert_answers(mut child: Process) {
    assert_eq!(child.line().as_deref(), Some("42"));
    child.wait();
}

/// Starts a process with this cache directory; its answer must be right.
#[track_caller]
fn select(cache: &str) {
    assert_answers(start(cache));
}

/// Names and contents.
type Files = BTreeMap<String, Vec<u8>>;

fn files(dir: &Path) -> Files {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn names(files: &Files) -> Vec<&str> {
    files.keys().map(String::as_str).collect()
}

/// What a database takes: code, image, and the installation in up to three parts.
const PARTS: usize = 3 + cfg!(feature = "extensions") as usize + cfg!(feature = "icu") as usize;

/// A filled cache, and what is in it.
fn filled() -> (tempfile::TempDir, Files) {
    let dir = tempfile::tempdir().unwrap();
    select(dir.path().to_str().unwrap());
    let files = files(dir.path());
    assert_eq!(files.len(), PARTS, "{:?}", names(&files));
    (dir, files)
}

/// Says of a file that it was last used so long ago.
fn age(path: &Path, age: Duration) {
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn an_empty_cache_is_filled_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("new/cache");
    select(cache.to_str().unwrap());
    let filled = files(&cache);
    assert_eq!(filled.len(), PARTS, "{:?}", names(&filled));
    let mut child = Process::start("mapped", Path::new(""), &[(CACHE, cache.to_str().unwrap())]);
    assert_eq!(child.line().as_deref(), Some("42"));
    assert_eq!(child.line().unwrap(), names(&filled).join(" "));
    child.wait();
    assert!(files(&cache) == filled);
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
    let (dir, filled) = filled();
    let flipped = |good: &[u8], _: &[u8]| {
        let mut bad = good.to_vec();
        bad[good.len() / 2] ^= 1;
        bad
    };
    let of_another_version_s_length = |_: &[u8], other: &[u8]| other.to_vec();
    let of_the_right_length =
        |good: &[u8], other: &[u8]| other.iter().copied().cycle().take(good.len()).collect();
    type Damage = fn(&[u8], &[u8]) -> Vec<u8>;
    let cases: [(&str, Damage); 5] = [
        ("truncated", |good, _| good[..good.len() / 3].to_vec()),
        ("empty", |_, _| Vec::new()),
        ("a bit flipped", flipped),
        ("of another version", of_another_version_s_length),
        ("of another version and the right length", of_the_right_length),
    ];
    for (what, damage) in cases {
        let mut others = filled.values().cycle().skip(1);
        for (name, good) in &filled {
            let other = others.next().expect("they go round");
            fs::write(dir.path().join(name), damage(good, other)).unwrap();
        }
        select(dir.path().to_str().unwrap());
        assert!(files(dir.path()) == filled, "{what}");
    }
}

#[test]
fn processes_that_start_together_share_an_empty_cache() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("new/cache");
    let children: Vec<_> = (0..16).map(|_| start(cache.to_str().unwrap())).collect();
    children.into_iter().for_each(assert_answers);
    assert_eq!(files(&cache).len(), PARTS);
}

#[test]
fn a_killed_process_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let scratch = dir.path().join("tmp");
    fs::create_dir(&scratch).unwrap();
    let environment = [(CACHE, cache.to_str().unwrap()), ("TMPDIR", scratch.to_str().unwrap())];
    // It needs other files than a temporary database.
    Process::start("first open", &dir.path().join("other"), &environment).wait();
    let filled = files(&cache);
    let mut child = Process::start("hold", &dir.path().join("db"), &environment);
    assert_eq!(child.line().as_deref(), Some("open"));
    child.kill();
    assert!(files(&cache) == filled);
    assert!(files(&scratch).is_empty());
}

/// Killed when there is a first, a second and a third file: in the middle of writing it, as a rule.
#[test]
fn a_process_killed_while_it_fills_the_cache_leaves_whole_files() {
    let (_reference, filled) = filled();
    for count in 1..=PARTS {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().to_str().unwrap();
        let mut child = start(cache);
        eventually("the cache is being filled", || fs::read_dir(cache).unwrap().count() >= count);
        child.kill();
        for (name, contents) in files(dir.path()) {
            let is_temporary = name.starts_with("unpacking-");
            assert!(is_temporary || filled.get(&name) == Some(&contents), "{name}");
        }
        // What is left of the dead one's goes when it is certain that it is dead, and somebody writes.
        fs::write(dir.path().join("unpacking-now"), "by a process that lives").unwrap();
        select(cache);
        let mut left = files(dir.path());
        left.retain(|name, _| !name.starts_with("unpacking-"));
        assert!(left == filled, "{:?}", names(&left));
        for name in files(dir.path()).keys().filter(|name| *name != "unpacking-now") {
            age(&dir.path().join(name), Duration::from_secs(3600));
        }
        fs::remove_file(dir.path().join(names(&filled)[0])).unwrap();
        select(cache);
        assert_eq!(fs::read(dir.path().join("unpacking-now")).unwrap().len(), 23);
        fs::remove_file(dir.path().join("unpacking-now")).unwrap();
        assert!(files(dir.path()) == filled);
    }
}

/// Every release brought three files more, and nobody removed those of the old ones.
#[test]
fn what_nobody_uses_any_more_is_removed() {
    let (dir, filled) = filled();
    let at = |name: &str| dir.path().join(name);
    let old = ["0123456789abcdef-postgres.elf", "0123456789abcdef-share.img"];
    let young = ["fedcba9876543210-postgres.elf", "fedcba9876543210-template.img"];
    let foreign = ["notes.txt", "postgres.elf", "0123456789abcdef-notes.txt", "x-share.img"];
    for name in old.iter().chain(&young).chain(&foreign) {
        fs::write(at(name), name).unwrap();
    }
    for name in old.iter().chain(&foreign) {
        age(&at(name), 31 * DAY);
    }
    young.iter().for_each(|name| age(&at(name), 29 * DAY));
    filled.keys().for_each(|name| age(&at(name), 31 * DAY));

    // Who finds everything in the cache says that it is in use, and does no more.
    let before = files(dir.path());
    select(dir.path().to_str().unwrap());
    assert!(files(dir.path()) == before);
    for name in filled.keys() {
        let used = fs::metadata(at(name)).unwrap().modified().unwrap();
        assert!(used.elapsed().unwrap() < DAY, "{name}");
    }
    // Within a day it is not said again.
    filled.keys().for_each(|name| age(&at(name), DAY / 2));
    select(dir.path().to_str().unwrap());
    for name in filled.keys() {
        let used = fs::metadata(at(name)).unwrap().modified().unwrap();
        assert!(used.elapsed().unwrap() >= DAY / 2, "{name}");
    }

    // Who writes removes the old, but none of its own.
    filled.keys().for_each(|name| age(&at(name), 31 * DAY));
    fs::remove_file(at(names(&filled)[1])).unwrap();
    select(dir.path().to_str().unwrap());
    let mut left = files(dir.path());
    for name in young.iter().chain(&foreign) {
        assert!(left.remove(*name).is_some(), "{name}");
    }
    assert!(left == filled, "{:?}", names(&left));
}

/// A cache that was filled when an image was built, for example.
#[test]
fn a_cache_that_is_read_only() {
    const SCRIPT: &str = r#"
        mount -t tmpfs none "$PGLITE_OXIDE_CACHE_DIR"
        cp "$PGLITE_TEST_PATH"/* "$PGLITE_OXIDE_CACHE_DIR"
        mount -o remount,ro "$PGLITE_OXIDE_CACHE_DIR"
        exec "$0" "$@""#;
    let (dir, filled) = filled();
    let empty = tempfile::tempdir().unwrap();
    let cache = empty.path().to_str().unwrap();
    let start = || Process::start_with_mounts(SCRIPT, "mapped", dir.path(), &[(CACHE, cache)]);
    let Some(mut child) = start() else { return };
    assert_eq!(child.line().as_deref(), Some("42"));
    assert_eq!(child.line().unwrap(), names(&filled).join(" "));
    child.wait();
    // What is damaged cannot be replaced, and is not used.
    let all = names(&filled);
    for damaged in &all {
        let path = dir.path().join(damaged);
        fs::write(&path, "damaged").unwrap();
        let mut child = start().unwrap();
        assert_eq!(child.line().as_deref(), Some("42"));
        let used: Vec<_> = all.iter().copied().filter(|name| name != damaged).collect();
        assert_eq!(child.line().unwrap(), used.join(" "));
        child.wait();
        fs::write(&path, &filled[*damaged]).unwrap();
    }
}

/// There is room for the smallest file only.
#[test]
fn a_cache_on_a_disk_that_is_full() {
    const SCRIPT: &str = r#"
        mount -t tmpfs -o size=1m none "$PGLITE_OXIDE_CACHE_DIR"
        "$0" "$@"
        cp "$PGLITE_OXIDE_CACHE_DIR"/* "$PGLITE_TEST_PATH""#;
    let (_reference, filled) = filled();
    let (copy, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let environment = [(CACHE, cache.path().to_str().unwrap())];
    let Some(mut child) = Process::start_with_mounts(SCRIPT, "mapped", copy.path(), &environment)
    else {
        return;
    };
    assert_eq!(child.line().as_deref(), Some("42"));
    let used = child.line().unwrap();
    child.wait();
    let left = files(copy.path());
    assert_eq!(names(&left), [used.as_str()], "no half of a file");
    assert_eq!(left.get(&used), filled.get(&used));
}
