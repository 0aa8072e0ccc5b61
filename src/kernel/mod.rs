//! The kernel: just enough of an operating system for PostgreSQL to run in, with all its processes.
//!
//! A process is a Wasm instance on its own thread, with its own linear memory. One range of that memory,
//! the window, is shared by all processes of a cluster. The guest's system calls are WASI's and WASIX'
//! (`calls/`); files are served by `fs/`.

mod address;
mod calls;
pub(crate) mod console;
pub(crate) mod descriptor;
pub(crate) mod errno;
pub(crate) mod features;
mod fork;
pub(crate) mod fs;
mod image;
mod instance;
pub(crate) mod linker;
mod listener;
mod memory;
pub(crate) mod page_buffer;
mod page_map;
mod park;
pub(crate) mod process;
mod process_table;
mod readiness;
mod resolver;
mod shared_file;
mod socket;
mod spare;
mod timer;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod waker;
mod window;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub(crate) use self::image::{PageStore, Use};
pub(crate) use self::instance::{Instances, OpenMemory};
pub(crate) use self::listener::{HostListener, ListenerId};
pub(crate) use self::park::{CaptureError, ClusterImage, ClusterRecord, CopyFacts};

use self::console::{Console, LineSink};
use self::descriptor::{Descriptors, Kind, Open};
use self::fs::{FileSystem, OpenOptions};
use self::linker::Library;
use self::listener::Listeners;
use self::process::{Process, WaitStatus};
use self::process_table::ProcessTable;
use self::socket::Peer;
use self::timer::Timers;
use self::window::Window;

/// How long processes have to end by themselves when all are killed; most take less than a millisecond.
const KILL_GRACE: Duration = Duration::from_millis(200);

/// The machine that one cluster runs on.
pub(crate) struct Kernel {
    instances: Arc<Instances>,
    /// Instances are made ahead of time for it.
    prepares: AtomicBool,
    /// Modules that processes can load.
    library: Library,
    files: Arc<dyn FileSystem>,
    environment: Vec<String>,
    started: Instant,
    window: OnceLock<Window>,
    processes: ProcessTable,
    /// What a cluster that was made from an image does not share with its original.
    copy: Option<CopyFacts>,
    listeners: Listeners,
    connector: OnceLock<Connector>,
    timers: Timers,
    /// All processes are being killed.
    ending: AtomicBool,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("processes", &self.processes).finish_non_exhaustive()
    }
}

/// Makes a connection to a Unix socket that is neither the cluster's own nor the host's; `None` if it does
/// not know the name.
pub(crate) type Connector = Box<dyn Fn(&str) -> Option<io::Result<UnixStream>> + Send + Sync>;

/// What the processes of a cluster run.
#[derive(Clone, Copy)]
pub(crate) struct Code<'a> {
    /// Of the main module.
    pub(crate) instances: &'a Arc<Instances>,
    /// Modules that processes can load.
    pub(crate) library: &'a Library,
}

/// Where the first process's standard streams go.
pub(crate) enum Stdio {
    /// No input; output and errors in lines to the sink.
    Lines(LineSink),
    /// Files or pipes of the host; no input if there is none, and errors in lines if they are not to be a
    /// stream.
    #[allow(dead_code, reason = "for the feature `tools`")]
    Streams { input: Option<OwnedFd>, output: OwnedFd, errors: Result<OwnedFd, LineSink> },
    /// The host process's own.
    #[allow(dead_code, reason = "for xtask-run, which includes the kernel")]
    Inherit,
}

impl Kernel {
    pub(crate) fn new(
        code: Code<'_>,
        files: Arc<dyn FileSystem>,
        environment: Vec<String>,
    ) -> Arc<Kernel> {
        Arc::new(Kernel::make(code, files, environment))
    }

    fn make(code: Code<'_>, files: Arc<dyn FileSystem>, environment: Vec<String>) -> Kernel {
        let Code { instances, library } = code;
        Kernel {
            instances: instances.clone(),
            prepares: AtomicBool::new(false),
            library: library.clone(),
            files,
            environment,
            started: Instant::now(),
            window: OnceLock::new(),
            processes: ProcessTable::default(),
            copy: None,
            listeners: Listeners::default(),
            connector: OnceLock::new(),
            timers: Timers::default(),
            ending: AtomicBool::new(false),
        }
    }

    /// Starts the cluster's first process with these arguments (the first names the program).
    pub(crate) fn start(
        self: &Arc<Kernel>,
        arguments: Vec<String>,
        stdio: Stdio,
    ) -> io::Result<Arc<Process>> {
        let mut descriptors = Descriptors::default();
        let [input, output, errors] = standard_streams(stdio)?;
        let root = self
            .files
            .open("/", OpenOptions { read: true, directory: true, ..OpenOptions::default() })
            .map_err(|errno| io::Error::other(format!("cannot open the guest's root: {errno}")))?;
        for open in [input, output, errors, Open::new(Kind::File(root), "/".into(), 0)] {
            descriptors.add(Arc::new(open)).expect("an empty table has room");
        }
        process::start(self, arguments, descriptors)
    }

    /// From now on instances are made ahead of time: for another cluster like this, and for clients from outside.
    pub(crate) fn prepare(&self) {
        self.prepares.store(true, Ordering::Relaxed);
        self.instances.keep_ready();
    }

    /// Says who connects the guest to what. To be called once, before the first process starts.
    #[allow(dead_code, reason = "for the feature `tools`")]
    pub(crate) fn set_connector(&self, connector: Connector) {
        let first = self.connector.set(connector).is_ok();
        debug_assert!(first, "a kernel has one connector");
    }

    /// Connects to a local listener of the guest.
    pub(crate) fn connect(&self, name: &str) -> io::Result<UnixStream> {
        let stream = self.listeners.connect(name, Peer::Program)?;
        self.awaken_all();
        Ok(stream)
    }

    /// See [`Listeners::alias`].
    #[allow(dead_code, reason = "for xtask-run, which has no servers")]
    pub(crate) fn alias(&self, alias: String, name: String) {
        self.listeners.alias(alias, name);
    }

    /// Starts the processes that are only images so far.
    pub(crate) fn awaken_all(&self) {
        for process in self.processes.all() {
            process.awaken();
        }
    }

    /// Serves a listening socket of the host, too, by the guest's local listener of that name: the guest
    /// accepts its clients as if they had connected to that name.
    pub(crate) fn attach(&self, name: &str, socket: HostListener) -> io::Result<ListenerId> {
        let id = self.listeners.attach(name, socket)?;
        self.awaken_all();
        Ok(id)
    }

    /// Closes a host's listener. Connections that came through it go on.
    pub(crate) fn detach(&self, id: ListenerId) {
        self.listeners.detach(id);
    }

    /// Hangs up all connections that came through a host's listener, attached or not any more.
    pub(crate) fn disconnect(&self, id: ListenerId) {
        self.listeners.disconnect(id);
    }

    /// How many connections that came through a host's listener are open.
    pub(crate) fn connections(&self, id: ListenerId) -> usize {
        self.listeners.connections(id)
    }

    /// Whether somebody listens under that name.
    pub(crate) fn connect_possible(&self, name: &str) -> bool {
        self.listeners.is_open(name)
    }

    #[cfg(test)]
    pub(crate) fn process(&self, pid: i32) -> Option<Arc<Process>> {
        self.processes.get(pid)
    }

    pub(crate) fn files(&self) -> &dyn FileSystem {
        self.files.as_ref()
    }

    /// Waits for the end of a process.
    pub(crate) fn wait(&self, process: &Process, timeout: Duration) -> Option<WaitStatus> {
        self.processes.wait_end(process, timeout)
    }

    /// Ends all processes without giving them a chance to do anything more, and waits until they are
    /// gone; false if one is still there when time is up.
    pub(crate) fn kill_all(&self, timeout: Duration) -> bool {
        self.ending.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        let deadline = begin + timeout;
        loop {
            // Again and again: a process may have been forking.
            for process in self.processes.all() {
                if process.status().is_none() {
                    process.kill();
                    if begin.elapsed() > KILL_GRACE {
                        process.execute();
                    }
                }
            }
            if self.processes.wait_all(Duration::from_millis(20)) {
                self.timers.stop();
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
        }
    }

    /// Waits until all processes have ended by themselves.
    pub(crate) fn wait_all(&self, timeout: Duration) -> bool {
        let ended = self.processes.wait_all(timeout);
        if ended {
            self.timers.stop();
        }
        ended
    }
}

/// A file that has no name and lives in memory, for code that has to be mapped from a file.
pub(crate) fn memory_file(name: &str) -> io::Result<std::fs::File> {
    shared_file::create(name, 0).map(std::fs::File::from)
}

fn standard_streams(stdio: Stdio) -> io::Result<[Open; 3]> {
    let open = |kind| Open::new(kind, String::new(), 0);
    Ok(match stdio {
        Stdio::Lines(sink) => {
            let console = Arc::new(Console::new(sink));
            [open(Kind::Null), open(Kind::Console(console.clone())), open(Kind::Console(console))]
        }
        Stdio::Streams { input, output, errors } => {
            let input = input.map_or(Kind::Null, Kind::Pipe);
            let errors = match errors {
                Ok(fd) => Kind::Pipe(fd),
                Err(sink) => Kind::Console(Arc::new(Console::new(sink))),
            };
            [open(input), open(Kind::Pipe(output)), open(errors)]
        }
        Stdio::Inherit => {
            use std::os::fd::AsFd;
            let stream = |fd| open(Kind::Pipe(fd));
            [
                stream(io::stdin().as_fd().try_clone_to_owned()?),
                stream(io::stdout().as_fd().try_clone_to_owned()?),
                stream(io::stderr().as_fd().try_clone_to_owned()?),
            ]
        }
    })
}
