//! A tool while it runs: its kernel, its files, and what goes through its standard streams.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Cancel, Program};
use crate::assets;
use crate::cluster::{Access, Cluster};
use crate::error::{Error, ToolError};
use crate::kernel::fs::{FileSystem, HostDir, Namespace, OpenOptions, Tree, write_file};
use crate::kernel::linker::Library;
use crate::kernel::process::{Process, WaitStatus};
use crate::kernel::{Code, Kernel, Stdio};

/// Where the guest finds its programs, as far as it looks for them.
const INSTALLATION: &str = "/pglite";
const BIN: &str = "/pglite/bin";

/// What libpq takes for the directory of a socket: the connector knows it, and it is nowhere else.
const SOCKET_DIR: &str = "/pglite/session";

/// Settings of a session.
const OPTIONS: &str = "PGOPTIONS";
const NOTICE_THE_END: &str = "-c client_connection_check_interval=500ms";

/// So many lines of standard error are kept.
const LINES_KEPT: usize = 500;

/// Killed processes end at their next kernel call.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

const BUFFER: usize = 256 << 10;

/// The database a tool connects to, if it is one of this process.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) access: Access,
}

/// A directory of the host that the tool sees.
pub(super) struct Mount {
    pub(super) host: PathBuf,
    pub(super) guest: &'static str,
    pub(super) read_only: bool,
}

/// All that a run is made of.
pub(super) struct Setup<'a> {
    pub(super) program: Program,
    pub(super) arguments: Vec<String>,
    pub(super) target: Option<Target>,
    /// Stronger than what the target says.
    pub(super) environment: Vec<(String, String)>,
    pub(super) mounts: Vec<Mount>,
    /// Files in memory, by path.
    pub(super) files: Vec<(&'static str, Vec<u8>)>,
    /// The tool has the host's files as its own, and is in this directory.
    pub(super) host_directory: Option<PathBuf>,
    pub(super) cache: Option<&'a Path>,
    pub(super) cancel: Option<Cancel>,
}

/// A run; dropped, it is ended.
pub(super) struct Running {
    program: Program,
    kernel: Arc<Kernel>,
    process: Arc<Process>,
    lines: Arc<Lines>,
    cancel: Option<Cancel>,
}

/// What the tool writes to standard error.
#[derive(Default)]
struct Lines(Mutex<VecDeque<String>>);

impl Lines {
    fn push(&self, program: Program, line: &str) {
        tracing::debug!(target: "pglite_oxide::tools", "{program}: {line}");
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

/// A pipe's end of ours, beside a run.
pub(super) struct Pipes {
    /// What the tool reads; none if it has no input.
    pub(super) input: Option<PipeWriter>,
    pub(super) output: PipeReader,
}

impl Setup<'_> {
    pub(super) fn new(program: Program, target: Option<Target>) -> Setup<'static> {
        Setup {
            program,
            arguments: Vec::new(),
            target,
            environment: Vec::new(),
            mounts: Vec::new(),
            files: Vec::new(),
            host_directory: None,
            cache: None,
            cancel: None,
        }
    }

    /// Starts the tool with pipes to us.
    pub(super) fn start(self, has_input: bool) -> Result<(Running, Pipes), Error> {
        let program = self.program;
        let failed = |source| Error::Tool(ToolError::Start { program, source });
        let (output, theirs) = io::pipe().map_err(failed)?;
        let (input, ours) = match has_input {
            true => {
                let (input, ours) = io::pipe().map_err(failed)?;
                (Some(OwnedFd::from(input)), Some(ours))
            }
            false => (None, None),
        };
        let lines = Arc::new(Lines::default());
        let sink = lines.clone();
        let errors = Err(Box::new(move |line: &str| sink.push(program, line)) as _);
        let running =
            self.start_with(Stdio::Streams { input, output: theirs.into(), errors }, lines)?;
        Ok((running, Pipes { input: ours, output }))
    }

    /// Starts the tool with this process's own standard streams.
    pub(super) fn start_inherited(self) -> Result<Running, Error> {
        self.start_with(Stdio::Inherit, Arc::default())
    }

    fn start_with(self, stdio: Stdio, lines: Arc<Lines>) -> Result<Running, Error> {
        let program = self.program;
        let failed = |source| Error::Tool(ToolError::Start { program, source });
        let instances = assets::tools(self.cache).map_err(Error::Assets)?;
        let mut files = self.namespace()?;
        if let Stdio::Inherit = stdio {
            // Where a user may be asked for a password.
            files.mount_terminal();
        }
        let library = Library::default();
        let code = Code { instances: &instances, library: &library };
        let kernel = Kernel::new(code, Arc::new(files), self.environment());
        if self.cancel.as_ref().is_some_and(|cancel| !cancel.watch(&kernel)) {
            return Err(Error::Tool(ToolError::Cancelled { program }));
        }
        if let Some(Target { cluster, .. }) = self.target {
            kernel.set_connector(Box::new(move |path| {
                path.strip_prefix(SOCKET_DIR)?.strip_prefix("/.s.PGSQL.")?;
                Some(cluster.connect().map_err(io::Error::other))
            }));
        }
        let arguments =
            [format!("{BIN}/{program}")].into_iter().chain(self.arguments).collect::<Vec<_>>();
        let process = kernel.start(arguments, stdio).map_err(failed)?;
        Ok(Running { program, kernel, process, lines, cancel: self.cancel })
    }

    fn environment(&self) -> Vec<String> {
        let mut environment = Vec::new();
        if let Some(Target { access, .. }) = &self.target {
            environment.push(format!("PGHOST={SOCKET_DIR}"));
            environment.push(format!("PGUSER={}", access.user));
            environment.push(format!("PGDATABASE={}", access.database));
            // A tool that is ended in the middle must not leave a session that waits, for example for a lock.
            let given = self.environment.iter().find(|(name, _)| name == OPTIONS);
            let given = given.map_or("", |(_, value)| value.as_str());
            environment.push(format!("{OPTIONS}={NOTICE_THE_END} {given}"));
        }
        if let Some(directory) = self.host_directory.as_deref().and_then(Path::to_str) {
            environment.push(format!("PGLITE_DIRECTORY={directory}"));
        }
        for (name, value) in [("LC_ALL", "C"), ("HOME", "/")] {
            if self.environment.iter().all(|(given, _)| given != name) {
                environment.push(format!("{name}={value}"));
            }
        }
        let is_merged = |name: &str| name == OPTIONS && self.target.is_some();
        for (name, value) in self.environment.iter().filter(|(name, _)| !is_merged(name)) {
            environment.retain(|known| known.split('=').next() != Some(name));
            environment.push(format!("{name}={value}"));
        }
        environment
    }

    fn namespace(&self) -> Result<Namespace, Error> {
        let cannot =
            |path: &Path, source| Error::Tool(ToolError::Path { path: path.to_owned(), source });
        let host = |path: &Path| HostDir::open(path).map_err(|source| cannot(path, source));
        let put_together = |errno| cannot(Path::new("/"), io::Error::from(errno));

        // pg_dumpall looks for pg_dump beside itself.
        let installation = Tree::new();
        installation.create_dir("/bin").map_err(put_together)?;
        for program in Program::ALL {
            let options = OpenOptions { write: true, create: true, ..OpenOptions::default() };
            installation.open(&format!("/bin/{program}"), options).map_err(put_together)?;
        }
        let mut namespace = match &self.host_directory {
            Some(_) => Namespace::new(Arc::new(host(Path::new("/"))?)),
            None => {
                let root = Tree::new();
                root.create_dir("/tmp").map_err(put_together)?;
                Namespace::new(Arc::new(root))
            }
        };
        namespace.mount_devices().map_err(put_together)?;
        // Not to make directories in the host's root.
        namespace.mount_unseen(INSTALLATION, Arc::new(installation), true);
        if !self.files.is_empty() {
            let tree = Tree::new();
            for (path, contents) in &self.files {
                write_file(&tree, path, contents).map_err(put_together)?;
            }
            namespace.mount(MEMORY, Arc::new(tree), true).map_err(put_together)?;
        }
        for mount in &self.mounts {
            namespace
                .mount(mount.guest, Arc::new(host(&mount.host)?), mount.read_only)
                .map_err(put_together)?;
        }
        Ok(namespace)
    }
}

/// Where files in memory are mounted.
pub(super) const MEMORY: &str = "/memory";

/// How a tool ended, and what it said.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) program: Program,
    status: WaitStatus,
    pub(super) stderr: String,
    cancelled: bool,
}

impl Ended {
    /// Its exit status; an error if it has none.
    pub(super) fn status(&self) -> Result<i32, Error> {
        if self.cancelled && self.status.exit_code() != Some(0) {
            return Err(Error::Tool(ToolError::Cancelled { program: self.program }));
        }
        self.status.exit_code().ok_or_else(|| {
            Error::Tool(ToolError::Crashed {
                program: self.program,
                signal: self.status.0 & 0x7f,
                stderr: self.stderr.clone(),
            })
        })
    }

    /// An error unless it did what it should.
    pub(super) fn check(self) -> Result<(), Error> {
        match self.status()? {
            0 => Ok(()),
            status => Err(Error::Tool(ToolError::Failed {
                program: self.program,
                status,
                stderr: self.stderr,
            })),
        }
    }
}

impl Running {
    /// Waits for the end.
    pub(super) fn wait(self) -> Ended {
        let status = loop {
            if let Some(status) = self.kernel.wait(&self.process, Duration::from_secs(3600)) {
                break status;
            }
        };
        // Workers of a tool that gave up.
        self.kernel.kill_all(KILL_TIMEOUT);
        let cancelled = self.cancel.as_ref().is_some_and(Cancel::is_cancelled);
        Ended { program: self.program, status, stderr: self.lines.text(), cancelled }
    }

    /// Passes on all that the tool writes to standard output, and waits for its end.
    pub(super) fn read_output(
        self,
        mut output: PipeReader,
        mut writer: impl Write,
    ) -> Result<Ended, Error> {
        let write = |error| Error::Tool(ToolError::Write(error));
        let mut buffer = vec![0; BUFFER];
        loop {
            match output.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => writer.write_all(&buffer[..len]).map_err(write)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(write(error)),
            }
        }
        let ended = self.wait();
        writer.flush().map_err(write)?;
        Ok(ended)
    }

    /// Gives the tool all there is to read, and waits for its end. What it writes to standard output is not
    /// wanted.
    pub(super) fn write_input(self, pipes: Pipes, mut reader: impl Read) -> Result<Ended, Error> {
        let Pipes { input, output } = pipes;
        let program = self.program;
        let failed = |source| Error::Tool(ToolError::Start { program, source });
        let drain = std::thread::Builder::new()
            .name(format!("{program} output"))
            .spawn(move || {
                let mut output = output;
                io::copy(&mut output, &mut io::sink())
            })
            .map_err(failed)?;
        let mut outcome = Ok(());
        if let Some(mut input) = input {
            let mut buffer = vec![0; BUFFER];
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => break,
                    // A tool that does not want to read more has ended, and says why.
                    Ok(len) if input.write_all(&buffer[..len]).is_err() => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        outcome = Err(Error::Tool(ToolError::Read(error)));
                        break;
                    }
                }
            }
            if outcome.is_err() {
                // Before the tool takes the end of the pipe for that of the dump.
                self.kernel.kill_all(KILL_TIMEOUT);
            }
        }
        let ended = self.wait();
        // It has come to its end with the tool.
        let _ = drain.join();
        outcome.map(|()| ended)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.kernel.kill_all(KILL_TIMEOUT) {
            tracing::error!("{} did not end", self.program);
        }
    }
}

/// The directory of a path and the name in it, as the guest can have it.
pub(super) fn split(path: &Path) -> Result<(PathBuf, &str), Error> {
    let unusable = |kind: io::ErrorKind, reason: &str| {
        let source = io::Error::new(kind, reason.to_owned());
        Error::Tool(ToolError::Path { path: path.to_owned(), source })
    };
    let name = path
        .file_name()
        .ok_or_else(|| unusable(io::ErrorKind::InvalidInput, "it names no file"))?
        .to_str()
        .ok_or_else(|| unusable(io::ErrorKind::InvalidInput, "the name is not UTF-8"))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((parent.to_owned(), name))
}
