//! Running the program, and looking at what it says.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::{NamedTempFile, TempDir};

/// `pglite` with these arguments, and no settings of another server around.
pub(crate) fn pglite<S: AsRef<OsStr>>(args: &[S]) -> Command {
    // What runs the tests may ignore signals, as nohup does, and `pglite` would go on with that.
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP,INT,QUIT,TERM").arg(env!("CARGO_BIN_EXE_pglite")).args(args);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let of_postgres = name.starts_with("PG") && !name.starts_with("PGLITE_OXIDE");
        if of_postgres || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program to its end.
pub(crate) fn outcome<S: AsRef<OsStr>>(args: &[S]) -> Outcome {
    let output = pglite(args).output().unwrap();
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A program that is running; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: NamedTempFile,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let stderr = NamedTempFile::new().unwrap();
        // Opened on its own: the position of `stderr` is for reading.
        let appended = File::options().append(true).open(stderr.path()).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(appended).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Running { child, stdout, stderr }
    }

    /// The next line of its standard output, without the line end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        if self.stdout.read_line(&mut line).unwrap() == 0 {
            panic!("it ended with nothing more to say: {}", self.stderr());
        }
        line.trim_end().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has said this on standard error.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        while !self.stderr().contains(text) {
            assert_eq!(self.child.try_wait().unwrap(), None, "{}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.stderr.path()).unwrap()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Outcome {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let status = self.child.wait().unwrap().code();
        Outcome { status, stdout, stderr: self.stderr() }
    }

    pub(crate) fn stop(self, signal: Signal) -> Outcome {
        self.signal(signal);
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `pglite serve`, ready for clients.
pub(crate) struct Server {
    pub(crate) process: Running,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start<S: AsRef<OsStr>>(args: &[S]) -> Server {
        let mut command = pglite(&["serve"]);
        command.args(args);
        let mut process = Running::start(command);
        let url = process.line();
        Server { process, url }
    }

    pub(crate) fn for_directory(path: &Path) -> Server {
        Server::start(&[OsStr::new("--path"), path.as_os_str()])
    }

    pub(crate) fn client(&self) -> postgres::Client {
        connect(&self.url)
    }

    pub(crate) fn stop(self, signal: Signal) -> Outcome {
        self.process.stop(signal)
    }
}

pub(crate) fn connect(url: &str) -> postgres::Client {
    postgres::Client::connect(url, postgres::NoTls).unwrap()
}

/// One value of one row, as text.
pub(crate) fn value(client: &mut postgres::Client, sql: &str) -> String {
    for message in client.simple_query(sql).unwrap() {
        if let postgres::SimpleQueryMessage::Row(row) = message {
            return row.get(0).unwrap().to_owned();
        }
    }
    panic!("no row: {sql}");
}

pub(crate) struct Dir(TempDir);

impl Dir {
    pub(crate) fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn file(&self, name: &str, contents: &str) -> String {
        fs::write(self.at(name), contents).unwrap();
        self.at(name)
    }
}

pub(crate) fn exists(directory: &str, name: &str) -> bool {
    Path::new(directory).join(name).exists()
}

/// Errors are one line, by the name of the program.
pub(crate) fn assert_one_line(text: &str) {
    assert!(text.starts_with("pglite: "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}
