//! Templates that are there already: in this process, and in files for the next.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use super::error::TemplateError;
use super::key::Key;
use crate::error::{Error, SnapshotError};
use crate::snapshot::Snapshot;

type Made = Result<Snapshot, TemplateError>;
type Known = Mutex<HashMap<blake3::Hash, Arc<OnceLock<Made>>>>;

/// Every template that this process has used, and every one that it could not make.
static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);

/// The template of this key: one of this process, or from a file in the directory, or what `build` makes.
/// Of threads that need the same one, one gets it and the others wait.
pub(super) fn get(key: &Key, directory: Option<&Path>, build: impl FnOnce() -> Made) -> Made {
    let slot = {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key.contents).or_default().clone()
    };
    let directory = directory.filter(|_| key.is_lasting);
    slot.get_or_init(|| match directory {
        Some(directory) => Files::new(directory, key).get(&SNAPSHOT, build),
        None => build(),
    })
    .clone()
}

const TEMPLATE: &str = ".template";
const LOCK: &str = ".lock";
/// A template that is being written, or whose writer has died.
const UNFINISHED: &str = ".unfinished";

/// Templates of one origin that are kept: enough for going back and forth between two branches.
const KEPT: usize = 3;
/// What nobody has used for so long is removed.
const FORGOTTEN: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How a template is a file.
struct Format<T> {
    /// A file that is there is written over.
    save: fn(&T, &Path) -> Result<(), Error>,
    /// Refuses what is damaged or of another build.
    load: fn(&Path) -> Result<T, Error>,
}

const SNAPSHOT: Format<Snapshot> =
    Format { save: |snapshot, path| snapshot.write(path), load: |path| Snapshot::load(path) };

/// What all templates together may take of the disk. Each takes some 30 MB and its rows.
const LARGEST: u64 = 1 << 30;

/// The files of one template.
struct Files<'a> {
    directory: &'a Path,
    /// What the names of all templates of the same origin begin with.
    origin: String,
    /// What the names of this template's files begin with.
    name: String,
}

impl<'a> Files<'a> {
    fn new(directory: &'a Path, key: &Key) -> Files<'a> {
        let origin = key.origin.to_hex()[..16].to_owned();
        let name = format!("{origin}-{}", &key.contents.to_hex()[..32]);
        Files { directory, origin, name }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}{suffix}", self.name))
    }

    /// From the file; if there is none that can be used, `build` makes the template, and the file for
    /// other processes. What does not work with files is no reason to fail.
    fn get<T, E>(&self, format: &Format<T>, build: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if let Some(template) = self.load(format) {
            return Ok(template);
        }
        let lock = self.lock().inspect_err(|error| {
            tracing::warn!(
                "cannot write to {}: {error}; each process makes its own templates of tests",
                self.directory.display()
            );
        });
        let Ok(lock) = lock else { return build() };
        // Another process may have made it while this one waited.
        if let Some(template) = self.load(format) {
            return Ok(template);
        }
        let made = build()?;
        if let Err(error) = self.store(format, &made) {
            tracing::warn!("the template of tests {} cannot be kept: {error}", self.name);
            let _ = fs::remove_file(self.path(UNFINISHED));
        }
        drop(lock);
        self.sweep();
        Ok(made)
    }

    fn load<T>(&self, format: &Format<T>) -> Option<T> {
        let path = self.path(TEMPLATE);
        let file = File::open(&path).ok()?;
        match (format.load)(&path) {
            Ok(template) => {
                // For the sweep, which goes by the last use. A cache that cannot be written to is not swept.
                let _ = file.set_modified(SystemTime::now());
                Some(template)
            }
            Err(error) => {
                tracing::debug!("{} is made anew: {error}", path.display());
                None
            }
        }
    }

    /// Waits until this process is the one to make the template. The lock ends with its file, and so with
    /// the process too.
    fn lock(&self) -> io::Result<File> {
        fs::create_dir_all(self.directory)?;
        let path = self.path(LOCK);
        loop {
            let file = File::options().create(true).append(true).open(&path)?;
            file.lock()?;
            // It may have been swept before it was locked, and another one made.
            let is_current = path.metadata().is_ok_and(|now| {
                file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (now.dev(), now.ino()))
            });
            if is_current {
                let _ = file.set_modified(SystemTime::now());
                return Ok(file);
            }
        }
    }

    /// Writes the file under its name in one step. Only the owner of the lock does.
    fn store<T>(&self, format: &Format<T>, template: &T) -> Result<(), Error> {
        let unfinished = self.path(UNFINISHED);
        (format.save)(template, &unfinished)?;
        fs::rename(&unfinished, self.path(TEMPLATE))
            .map_err(|error| Error::Snapshot(SnapshotError::Io(error)))
    }

    /// Removes what this template replaces, what nobody uses any more, and what is too much.
    fn sweep(&self) {
        let mut templates = Vec::new();
        for found in found(self.directory) {
            let is_forgotten = found.used.elapsed().is_ok_and(|age| age > FORGOTTEN);
            if is_forgotten && found.name.ends_with(LOCK) {
                remove_lock(&self.directory.join(&found.name));
            } else if is_forgotten {
                self.remove(&found);
            } else if found.name.ends_with(TEMPLATE) {
                templates.push(found);
            }
        }
        templates.sort_by_key(|found| std::cmp::Reverse(found.used));
        let (mut of_this_origin, mut bytes) = (0, 0);
        for found in templates {
            of_this_origin += usize::from(found.name.starts_with(&self.origin));
            bytes += found.bytes;
            let is_replaced = found.name.starts_with(&self.origin) && of_this_origin > KEPT;
            if is_replaced || bytes > LARGEST {
                self.remove(&found);
                bytes -= found.bytes;
            }
        }
    }

    /// Who has it mapped keeps it.
    fn remove(&self, found: &Found) {
        let _ = fs::remove_file(self.directory.join(&found.name));
    }
}

/// A file of a template, this one or another.
struct Found {
    name: String,
    used: SystemTime,
    bytes: u64,
}

fn found(directory: &Path) -> Vec<Found> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let found = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let is_ours = [TEMPLATE, LOCK, UNFINISHED].iter().any(|kind| name.ends_with(kind));
        let file = entry.metadata().ok().filter(|_| is_ours)?;
        Some(Found { name, used: file.modified().ok()?, bytes: file.len() })
    });
    found.collect()
}

/// Removes a lock that nobody holds.
fn remove_lock(path: &Path) {
    if let Ok(file) = File::open(path)
        && file.try_lock().is_ok()
    {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn files(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("the directory");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// Templates that are texts.
    const TEXT: Format<String> = Format {
        save: |text, path| fs::write(path, format!("text {text}")).map_err(failed),
        load: |path| {
            let file = fs::read_to_string(path).map_err(failed)?;
            let text = file.strip_prefix("text ");
            text.map(str::to_owned).ok_or_else(|| Error::usage("it is damaged"))
        },
    };

    fn failed(error: io::Error) -> Error {
        Error::Snapshot(SnapshotError::Io(error))
    }

    fn files_of<'a>(directory: &'a Path, name: &str) -> Files<'a> {
        let (origin, _) = name.split_once('-').expect("an origin");
        Files { directory, origin: origin.to_owned(), name: name.to_owned() }
    }

    /// What is got, and whether it had to be made.
    fn get(directory: &Path, name: &str) -> (String, bool) {
        let mut made = false;
        let got = files_of(directory, name).get(&TEXT, || {
            made = true;
            Ok::<_, io::Error>(name.to_owned())
        });
        (got.expect("making it does not fail"), made)
    }

    #[test]
    fn there_is_a_bound_for_all_together() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (name, age) in [("a-1", 4), ("b-1", 2), ("c-1", 3), ("d-1", 1)] {
            let path = dir.path().join(format!("{name}.template"));
            let file = File::create(path).expect("a file");
            // With nothing in it, so it takes no space.
            file.set_len(LARGEST * 2 / 5).expect("its length");
            let used = SystemTime::now() - Duration::from_secs(age);
            file.set_modified(used).expect("its time");
        }
        files_of(dir.path(), "d-1").sweep();
        assert_eq!(files(dir.path()), ["b-1.template", "d-1.template"]);
    }

    /// A lock is of an open file: threads are to it what processes are.
    #[test]
    fn one_makes_it_and_the_others_wait() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cache = dir.path().join("new/templates");
        let (cache, made) = (&cache, &AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(move || {
                    let got = files_of(cache, "a-1").get(&TEXT, || {
                        std::thread::sleep(Duration::from_millis(50));
                        Ok::<_, io::Error>(format!("the {}", made.fetch_add(1, Ordering::SeqCst)))
                    });
                    assert_eq!(got.expect("making it does not fail"), "the 0");
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert_eq!(files(cache), ["a-1.lock", "a-1.template"]);
        assert_eq!(get(cache, "a-1"), ("the 0".into(), false));
        assert_eq!(get(cache, "b-1"), ("b-1".into(), true));
    }

    #[test]
    fn failures_leave_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let failed = files_of(dir.path(), "a-1").get(&TEXT, || Err::<String, _>("no"));
        assert_eq!(failed, Err("no"));
        assert_eq!(get(dir.path(), "a-1"), ("a-1".into(), true));
    }

    #[test]
    fn damaged_and_unfinished_files_are_replaced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("a-1.template"), "of another build").expect("a file");
        // Of a process that was killed.
        fs::write(dir.path().join("a-1.unfinished"), "tex").expect("a file");
        fs::write(dir.path().join("a-1.lock"), "").expect("a file");
        assert_eq!(get(dir.path(), "a-1"), ("a-1".into(), true));
        assert_eq!(get(dir.path(), "a-1"), ("a-1".into(), false));
        assert_eq!(files(dir.path()), ["a-1.lock", "a-1.template"]);
    }

    #[test]
    fn without_a_directory_each_makes_its_own() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        for _ in 0..2 {
            assert_eq!(get(file.path(), "a-1"), ("a-1".into(), true));
            assert_eq!(
                get(Path::new("/sys/kernel/no-templates-here"), "a-1"),
                ("a-1".into(), true)
            );
        }
    }

    /// A file that cannot be written is one that others do not have.
    #[test]
    fn a_template_that_cannot_be_kept() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let full = Format { save: |_, _| Err(Error::usage("the disk is full")), load: TEXT.load };
        let got = files_of(dir.path(), "a-1").get(&full, || Ok::<_, io::Error>("x".to_owned()));
        assert_eq!(got.expect("it is there"), "x");
        assert_eq!(files(dir.path()), ["a-1.lock"]);
    }

    #[test]
    fn old_files_go() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let now = SystemTime::now();
        let make = |name: &str, days: u64| {
            let file = File::create(dir.path().join(name)).expect("a file");
            let used = now - Duration::from_secs(days * 24 * 60 * 60);
            file.set_modified(used).expect("its time");
            file
        };
        for (name, days) in [
            ("mine-0.template", 0),
            ("mine-1.template", 3),
            ("mine-2.template", 1),
            ("mine-3.template", 2),
            ("mine-3.lock", 2),
            ("other-1.template", 13),
            ("other-2.template", 15),
            ("other-2.lock", 15),
            ("other-3.unfinished", 15),
            ("not ours", 100),
        ] {
            make(name, days);
        }
        let held = make("other-4.lock", 15);
        held.lock().expect("the lock");
        let files_of =
            Files { directory: dir.path(), origin: "mine".into(), name: "mine-0".into() };
        files_of.sweep();
        assert_eq!(
            files(dir.path()),
            [
                "mine-0.template",
                "mine-2.template",
                "mine-3.lock",
                "mine-3.template",
                "not ours",
                "other-1.template",
                "other-4.lock",
            ]
        );
    }
}
