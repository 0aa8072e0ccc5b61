//! Templates of tests that other processes have made.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pglite_oxide::Pglite;
use pglite_oxide::testing::Template;

use crate::child::{Process, say};
use crate::text;

/// Where the setup function of a child says that it was called.
const MADE: &str = "PGLITE_TEST_MADE";
/// Whether it goes on for ever.
const FOR_EVER: &str = "PGLITE_TEST_FOR_EVER";

/// The task of a child: a database from the template whose migrations are in this directory.
pub(crate) fn task(migrations: &Path) {
    fn setup(db: &mut Pglite) -> Result<(), pglite_oxide::Error> {
        let made = std::env::var_os(MADE).expect("the test says where");
        let times = fs::read_to_string(&made).unwrap_or_default();
        fs::write(&made, times + "x").expect("the file can be written");
        say("making");
        // So that others that started at the same time do meet it.
        std::thread::sleep(Duration::from_millis(200));
        if std::env::var_os(FOR_EVER).is_some() {
            std::thread::sleep(Duration::from_secs(600));
        }
        db.exec("INSERT INTO t VALUES (2)")?;
        Ok(())
    }
    let template = Template::new().migrations(migrations).setup(setup);
    let mut db = template.snapshot().unwrap().start().unwrap();
    db.exec("INSERT INTO t VALUES (3)").unwrap();
    say(text(&mut db, "SELECT string_agg(i::text, ' ' ORDER BY i) FROM t"));
}

struct Shared {
    dir: tempfile::TempDir,
}

impl Shared {
    fn new() -> Shared {
        let shared = Shared { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(shared.migrations()).unwrap();
        shared.migrate("CREATE TABLE t (i int); INSERT INTO t VALUES (1)");
        shared
    }

    fn migrations(&self) -> PathBuf {
        self.dir.path().join("migrations")
    }

    fn migrate(&self, sql: &str) {
        fs::write(self.migrations().join("1_t.sql"), sql).unwrap();
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn start(&self, environment: &[(&str, &str)]) -> Process {
        let (made, cache) = (self.dir.path().join("made"), self.cache());
        let mut all = vec![
            (MADE, made.to_str().unwrap()),
            ("PGLITE_OXIDE_CACHE_DIR", cache.to_str().unwrap()),
        ];
        all.extend_from_slice(environment);
        Process::start("template", &self.migrations(), &all)
    }

    /// Runs a child; what it finds in its database.
    fn run(&self, environment: &[(&str, &str)]) -> String {
        finish(self.start(environment))
    }

    /// How often the template was made so far.
    fn made(&self) -> usize {
        fs::read_to_string(self.dir.path().join("made")).unwrap_or_default().len()
    }

    fn files(&self, kind: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache().join("templates")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|found| found == kind)).collect()
    }
}

fn finish(mut child: Process) -> String {
    let mut last = String::new();
    while let Some(line) = child.line() {
        last = line;
    }
    child.wait();
    last
}

#[test]
fn processes_share_a_template() {
    let shared = Shared::new();
    let children: Vec<_> = (0..4).map(|_| shared.start(&[])).collect();
    for child in children {
        assert_eq!(finish(child), "1 2 3");
    }
    assert_eq!(shared.run(&[]), "1 2 3");
    assert_eq!(shared.made(), 1);
    assert_eq!(shared.files("template").len(), 1);
}

#[test]
fn a_killed_maker_is_replaced() {
    let shared = Shared::new();
    let mut maker = shared.start(&[(FOR_EVER, "1")]);
    assert_eq!(maker.line().as_deref(), Some("making"));
    let waiting = shared.start(&[]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(shared.made(), 1);
    maker.kill();
    assert_eq!(finish(waiting), "1 2 3");
    assert_eq!(shared.run(&[]), "1 2 3");
    assert_eq!(shared.made(), 2);
}

#[test]
fn damaged_files_are_made_anew() {
    let shared = Shared::new();
    shared.run(&[]);
    let files = shared.files("template");
    let bytes = fs::read(&files[0]).unwrap();
    let half = bytes.len() / 2;
    let flipped = [&bytes[..half], &[bytes[half] ^ 1], &bytes[half + 1..]].concat();
    for (times, damaged) in [&bytes[..half], b"", b"of another build", &flipped].iter().enumerate()
    {
        fs::write(&files[0], damaged).unwrap();
        assert_eq!(shared.run(&[]), "1 2 3");
        assert_eq!(shared.made(), times + 2);
        assert_eq!(shared.files("template"), files);
    }
}

/// While somebody writes migrations, their older templates go.
#[test]
fn other_contents_are_another_template() {
    let shared = Shared::new();
    for version in 4..10 {
        shared.migrate(&format!("CREATE TABLE t (i int); INSERT INTO t VALUES ({version})"));
        assert_eq!(shared.run(&[]), format!("2 3 {version}"));
    }
    assert_eq!(shared.made(), 6);
    assert_eq!(shared.files("template").len(), 3);
    // The one before is still there.
    shared.migrate("CREATE TABLE t (i int); INSERT INTO t VALUES (8)");
    assert_eq!(shared.run(&[]), "2 3 8");
    assert_eq!(shared.made(), 6);
}

#[test]
fn without_a_cache_each_process_makes_its_own() {
    let shared = Shared::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    let caches = ["", "/sys/kernel/no-cache-here", file.path().to_str().unwrap()];
    for (times, cache) in caches.into_iter().enumerate() {
        assert_eq!(shared.run(&[("PGLITE_OXIDE_CACHE_DIR", cache)]), "1 2 3");
        assert_eq!(shared.made(), times + 1);
    }
}
