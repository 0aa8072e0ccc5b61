//! Tests that need another process run this program again, with one of the tasks below.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use pglite_oxide::Pglite;

const TASK: &str = "PGLITE_TEST_TASK";
const PATH: &str = "PGLITE_TEST_PATH";

/// A process of this program that does a task; killed when dropped.
pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(task: &str, path: &Path, environment: &[(&str, &str)]) -> Process {
        let program = Command::new(std::env::current_exe().unwrap());
        Process::spawn(program, task, path, environment)
    }

    /// With as many files as the system lets it open, which shells offer only on demand.
    pub(crate) fn start_with_many_files(task: &str, path: &Path) -> Process {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\""]);
        Process::start_in(shell, task, path, &[])
    }

    /// From a shell script that can mount what it likes, and runs this program as `"$0" "$@"`. None where
    /// nobody may do that, as in most containers; the test says so then.
    pub(crate) fn start_with_mounts(
        script: &str,
        task: &str,
        path: &Path,
        environment: &[(&str, &str)],
    ) -> Option<Process> {
        let namespace = || {
            let mut unshare = Command::new("unshare");
            unshare.args(["--map-root-user", "--mount", "sh", "-ec"]);
            unshare
        };
        let probe = namespace().arg("mount -t tmpfs none /tmp").stderr(Stdio::null()).status();
        if !probe.is_ok_and(|status| status.success()) {
            eprintln!("not tested: nothing can be mounted here");
            return None;
        }
        let mut shell = namespace();
        shell.arg(script);
        Some(Process::start_in(shell, task, path, environment))
    }

    fn start_in(
        mut shell: Command,
        task: &str,
        path: &Path,
        environment: &[(&str, &str)],
    ) -> Process {
        shell.arg(std::env::current_exe().unwrap());
        Process::spawn(shell, task, path, environment)
    }

    fn spawn(
        mut program: Command,
        task: &str,
        path: &Path,
        environment: &[(&str, &str)],
    ) -> Process {
        let mut child = program
            .args(["--exact", "child::entry", "--nocapture", "--test-threads=1"])
            .env(TASK, task)
            .env(PATH, path)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Process { child, output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that the task has said, without the test harness's own; `None` at its end.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some((_, said)) = line.trim_end().split_once(SAID) {
                return Some(said.to_owned());
            }
        }
    }

    /// As a power failure, or the kernel's out-of-memory killer, would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(&mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SAID: &str = "said: ";

pub(crate) fn say(what: impl std::fmt::Display) {
    println!("{SAID}{what}");
    std::io::stdout().flush().unwrap();
}

#[test]
fn entry() {
    let Ok(task) = std::env::var(TASK) else {
        // Started by hand, as one of the tests: nobody asked for anything.
        return assert!(std::env::var_os(PATH).is_none());
    };
    let path = std::env::var_os(PATH).unwrap();
    let path = Path::new(&path);
    match task.as_str() {
        "hold" => {
            let _db = Pglite::open(path).unwrap();
            say("open");
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
        "insert" => {
            let mut db = Pglite::open(path).unwrap();
            db.exec("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, filler text)").unwrap();
            let next: i32 = db.query_one("SELECT coalesce(max(id), 0) FROM t", &[]).unwrap().get(0);
            for id in next + 1.. {
                db.execute("INSERT INTO t VALUES ($1, repeat('x', 300))", &[&id]).unwrap();
                say(id);
            }
        }
        #[cfg(feature = "extensions")]
        "change vectors" => super::extensions::vectors::change(path),
        "first open" => {
            say("opening");
            drop(Pglite::open(path).unwrap());
            say("opened");
        }
        "select" => {
            let mut db = Pglite::temporary().unwrap();
            say(super::text(&mut db, "SELECT 40 + 2"));
        }
        "select from a snapshot" => {
            let mut db = pglite_oxide::Snapshot::load(path).unwrap().start().unwrap();
            say(super::text(&mut db, "SELECT count(*) FROM item"));
        }
        "mapped" => {
            let mut db = Pglite::temporary().unwrap();
            say(super::text(&mut db, "SELECT 40 + 2"));
            let cache = format!(" {}/", std::env::var("PGLITE_OXIDE_CACHE_DIR").unwrap());
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let mut files: Vec<_> = maps
                .lines()
                .filter_map(|line| line.split_once(&cache))
                .map(|(_, file)| file)
                .collect();
            files.sort_unstable();
            files.dedup();
            say(files.join(" "));
        }
        "exceptions" => {
            // In a copy the background processes would start between the two measurements.
            let mut db = Pglite::builder().instant_start(false).open().unwrap();
            let run = |db: &mut Pglite, times: u32| {
                db.exec(&format!(
                    "DO $$ BEGIN FOR i IN 1..{times} LOOP
                         BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END;
                     END LOOP; END $$"
                ))
                .unwrap();
            };
            run(&mut db, 20_000);
            let before = resident_kilobytes();
            run(&mut db, 200_000);
            say(resident_kilobytes().saturating_sub(before));
        }
        "dropped copies" => {
            let mut db = Pglite::temporary().unwrap();
            db.exec("CREATE TABLE t (words text)").unwrap();
            let snapshot = db.snapshot().unwrap();
            // Its background processes would start between the two measurements, or not, as time goes.
            drop(db);
            let run = |times: u32| {
                for _ in 0..times {
                    let mut copy = snapshot.start().unwrap();
                    copy.exec(
                        "INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 1000)",
                    )
                    .unwrap();
                }
            };
            run(50);
            let before = resident_kilobytes();
            run(300);
            say(resident_kilobytes().saturating_sub(before));
        }
        "threads" => {
            let count = || std::fs::read_dir("/proc/self/task").unwrap().count();
            drop(Pglite::temporary().unwrap());
            let before = count();
            for _ in 0..5 {
                drop(Pglite::temporary().unwrap());
            }
            // A thread says that it is done a moment before it is gone.
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while count() > before && std::time::Instant::now() < deadline {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            say(count().saturating_sub(before));
        }
        #[cfg(feature = "extensions")]
        "extension" => {
            let mut db = Pglite::temporary().unwrap();
            db.exec("CREATE EXTENSION seg").unwrap();
            say(super::text(&mut db, "SELECT '1 .. 2'::seg"));
        }
        #[cfg(feature = "extensions")]
        "module cycles" => crate::extensions::errors::module_cycles(),
        "template" => crate::template_files::task(path),
        "bad input" => crate::server::bad_input::run(),
        "log of passwords" => crate::server::auth::log_of_passwords(path),
        other => panic!("no task {other}"),
    }
}

pub(crate) fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
