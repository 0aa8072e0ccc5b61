//! A cluster: one PostgreSQL instance, its postmaster and its life cycle.

mod archive;
mod data_dir;
mod hba;
mod identity;
mod image;
mod image_file;
mod log;
#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::assets::Runtime;
use crate::client::{Cancel, ConnectOptions, Session, send_cancel_request};
use crate::error::{Error, StartError};
use crate::kernel::errno::Errno;
use crate::kernel::fs::{self, FileSystem, HostDir, Namespace, OpenOptions, Tree, copy_subtree};
use crate::kernel::process::{Process, signal};
use crate::kernel::{HostListener, Kernel, ListenerId, Stdio};

pub use self::archive::DumpFormat;
pub(crate) use self::archive::Source as ArchiveSource;
pub(crate) use self::image::{CopyOptions, Image};
pub(crate) use self::image_file::Unusable;

use self::data_dir::DirLock;
use self::image::MemoryFiles;
use self::log::Log;

/// Where the guest finds things.
const DATA_DIR: &str = "/pgdata";
const WAL_DIR: &str = "/pgdata/pg_wal";
const PROGRAM: &str = "/pglite/bin/postgres";
const SOCKET_DIR: &str = "/tmp";
/// Files of this run that settings name, in memory.
pub(crate) const RUN_DIR: &str = "/run";
/// PostgreSQL's default; what a cluster that nobody outside connects to has.
pub(crate) const DEFAULT_PORT: u16 = 5432;

/// Longer than any start but crash recovery of a large database, which is allowed to take its time as
/// long as the postmaster lives; only a hang is cut off.
const START_TIMEOUT: Duration = Duration::from_secs(3600);

/// A fast shutdown writes a checkpoint; this bounds one on a slow disk.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(300);

/// The same for a handle that is dropped, in which nobody expects to wait for minutes.
const DROP_TIMEOUT: Duration = Duration::from_secs(20);

/// The postmaster itself kills after 5 seconds what does not end by an immediate shutdown.
const IMMEDIATE_TIMEOUT: Duration = Duration::from_secs(8);

/// A century: a deadline that can still be added to the time of day.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Killed processes end at their next interrupt check.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the files of a cluster are.
pub(crate) enum Storage<'a> {
    /// In memory, gone with the cluster; with a limit in bytes.
    Temporary { limit: Option<u64> },
    /// In a directory of the host.
    Directory(&'a Path),
}

/// A directory of the host that the guest sees too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostMount {
    pub(crate) host: PathBuf,
    /// An absolute path outside [`RESERVED_PATHS`], without `.` and `..`.
    pub(crate) guest: String,
    pub(crate) read_only: bool,
}

/// What the cluster has mounted itself; nothing else can be there or below.
pub(crate) const RESERVED_PATHS: &[&str] = &[DATA_DIR, "/pglite", "/dev", RUN_DIR];

/// How a cluster is started.
pub(crate) struct StartOptions<'a> {
    /// Configuration parameters (name, value), stronger than `postgresql.conf`.
    pub(crate) settings: &'a [(String, String)],
    pub(crate) mounts: &'a [HostMount],
    /// What `SHOW port` says.
    pub(crate) port: Option<u16>,
    /// Clients from outside of this program need a password.
    pub(crate) require_password: bool,
    /// Files in [`RUN_DIR`]: path, contents.
    pub(crate) files: &'a [(String, Vec<u8>)],
    /// Instances are made ahead of time, see `Kernel::prepare`.
    pub(crate) prepare: bool,
}

/// As whom and to what this program's sessions connect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) user: String,
    pub(crate) database: String,
}

/// How PostgreSQL is shut down: the modes of `pg_ctl stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShutdownMode {
    /// Refuses new sessions and waits until all clients, those in this program included, have ended
    /// theirs. This can take forever.
    Smart,
    /// Rolls back what is in progress, ends all sessions and writes a checkpoint. The next start needs
    /// no recovery.
    Fast,
    /// Ends all processes at once. What was committed is safe; the next start recovers it from the log.
    Immediate,
}

/// A running instance.
pub(crate) struct Cluster {
    kernel: Arc<Kernel>,
    postmaster: Arc<Process>,
    /// The postmaster's own socket, which all connections come through.
    socket: String,
    /// What `SHOW port` says: in a copy not always the number in the socket's name.
    port: u16,
    log: Arc<Log>,
    /// Held as long as any process of the cluster may write.
    lock: Mutex<Option<DirLock>>,
    /// The data directory was made just now.
    is_new: bool,
    /// If they are in memory.
    files: Option<MemoryFiles>,
    /// Instances are made ahead of time.
    prepare: bool,
}

impl Cluster {
    /// Starts an instance and waits until it accepts connections. What is new has the archive's files, or
    /// the template's.
    pub(crate) fn start(
        runtime: &Runtime,
        storage: Storage<'_>,
        archive: Option<ArchiveSource<'_>>,
        options: &StartOptions<'_>,
    ) -> Result<Cluster, Error> {
        let limited = matches!(storage, Storage::Temporary { limit: Some(_) });
        let failed = not_put_together;
        let require_password = |data: &dyn FileSystem| match options.require_password {
            true => {
                let template = runtime.template().map_err(Error::Assets)?;
                hba::require_password(data, template).map_err(failed)
            }
            false => Ok(()),
        };
        let root = Arc::new(root(options.files).map_err(failed)?);
        let (namespace, files, lock, is_new) = match storage {
            Storage::Temporary { limit } => {
                let is_new = archive.is_none();
                let template = runtime.template().map_err(Error::Assets)?;
                let data = match archive {
                    Some(source) => load(source, limit, template)?,
                    None => template.clone_with_capacity(limit),
                };
                require_password(&data)?;
                let wal = limited.then(|| wal(&data)).transpose().map_err(failed)?;
                let files = MemoryFiles {
                    root,
                    data: Arc::new(data),
                    wal: wal.map(Arc::new),
                    limit,
                    mounts: options.mounts.to_vec(),
                };
                (files.namespace(runtime)?, Some(files), None, is_new)
            }
            Storage::Directory(path) => {
                let opened = match archive {
                    Some(source) => {
                        let template = runtime.template().map_err(Error::Assets)?;
                        data_dir::load(path, source, template)?
                    }
                    None => data_dir::open(path, runtime)?,
                };
                require_password(&opened.files)?;
                let namespace = namespace(runtime, root, Arc::new(opened.files), options.mounts)?;
                (namespace, None, Some(opened.lock), opened.is_new)
            }
        };
        let temporary = lock.is_none();
        let namespace = Arc::new(namespace);
        let kernel = Kernel::new(runtime.code(), namespace.clone(), environment());
        let port = options.port.unwrap_or(DEFAULT_PORT);
        let log = Log::new(files.as_ref().and_then(|files| files.limit));
        let sink = log.clone();
        let postmaster = kernel
            .start(
                arguments(temporary, limited, port, options.settings),
                Stdio::Lines(Box::new(move |line| sink.push(line))),
            )
            .map_err(|error| {
                Error::Start(StartError::new("its first process cannot be made").with_source(error))
            })?;
        let socket = socket_of(port);
        let lock = Mutex::new(lock);
        let prepare = options.prepare;
        let cluster =
            Cluster { kernel, postmaster, socket, port, log, lock, is_new, files, prepare };
        cluster.wait_ready()?;
        if !temporary {
            // What is not in the data directory or a mount is in memory: a tablespace or an exported
            // file there would be gone with the process.
            namespace.seal_root();
        }
        Ok(cluster)
    }

    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// A stream to a new backend.
    pub(crate) fn connect(&self) -> Result<UnixStream, Error> {
        // Refused: the postmaster has ended.
        self.kernel
            .connect(&self.socket)
            .map_err(|_| Error::Closed { cause: self.log.first_fatal().map(Box::new) })
    }

    /// A session that keeps the cluster running.
    pub(crate) fn session(cluster: &Arc<Cluster>, access: &Access) -> Result<Session, Error> {
        let options = ConnectOptions {
            keep_alive: Some(cluster.clone()),
            memory_limit: cluster.files.as_ref().and_then(|files| files.limit),
            ..ConnectOptions::new(&access.user, &access.database)
        };
        Session::connect(cluster.connect()?, options, cluster.canceller())
    }

    /// What cancels statements of this cluster's sessions, without keeping it alive.
    pub(crate) fn canceller(&self) -> Arc<dyn Cancel> {
        let socket = self.socket.clone();
        Arc::new(Canceller { kernel: Arc::downgrade(&self.kernel), socket })
    }

    /// Serves a host's socket too, from now on.
    pub(crate) fn listen(&self, socket: HostListener) -> io::Result<ListenerId> {
        let listener = self.kernel.attach(&self.socket, socket)?;
        if self.prepare {
            self.kernel.prepare();
        }
        Ok(listener)
    }

    /// Closes a socket of [`listen`](Cluster::listen); its clients stay.
    pub(crate) fn stop_listening(&self, listener: ListenerId) {
        self.kernel.detach(listener);
    }

    /// Ends the connections that came in by a socket.
    pub(crate) fn disconnect(&self, listener: ListenerId) {
        self.kernel.disconnect(listener);
    }

    /// How many connections that came in by a socket are open.
    pub(crate) fn clients(&self, listener: ListenerId) -> usize {
        self.kernel.connections(listener)
    }

    /// The postmaster says in its lock file when it is ready.
    fn wait_ready(&self) -> Result<(), Error> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut pause = Duration::from_micros(500);
        loop {
            if self.is_ready() {
                return Ok(());
            }
            let ended = self.kernel.wait(&self.postmaster, pause);
            pause = (pause * 5 / 4).min(Duration::from_millis(20));
            if let Some(status) = ended {
                self.kernel.wait_all(KILL_TIMEOUT);
                let reason = match status.exit_code() {
                    Some(code) => format!("the postmaster ended with code {code}"),
                    None => "the postmaster crashed".to_owned(),
                };
                return Err(Error::Start(self.start_error(reason)));
            }
            if Instant::now() > deadline {
                return Err(Error::Start(self.start_error("it is not ready after an hour".into())));
            }
        }
    }

    fn start_error(&self, reason: String) -> StartError {
        let error = StartError::new(reason).with_log(self.log.lines());
        match self.log.first_fatal() {
            Some(fatal) => error.with_fatal(fatal),
            None => error,
        }
    }

    /// Whether it takes connections: it has started, and is neither recovering nor shutting down.
    pub(crate) fn is_ready(&self) -> bool {
        // Line 8 of postmaster.pid is the status: src/include/utils/pidfile.h of PostgreSQL.
        const STATUS_LINE: usize = 7;
        let options = OpenOptions { read: true, ..OpenOptions::default() };
        let path = format!("{DATA_DIR}/postmaster.pid");
        let Ok(file) = self.kernel.files().open(&path, options) else { return false };
        let mut buffer = [0u8; 1024];
        let Ok(len) = file.read_at(&mut [io::IoSliceMut::new(&mut buffer)], 0) else {
            return false;
        };
        let text = String::from_utf8_lossy(&buffer[..len]);
        let mut lines = text.lines();
        // A file of an earlier run has another pid, or this postmaster has not written it yet.
        lines.next() == Some(&self.postmaster.pid.to_string())
            && lines.nth(STATUS_LINE - 1).is_some_and(|status| status.trim() == "ready")
            && self.kernel.connect_possible(&self.socket)
    }

    /// Whether the postmaster has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.kernel.wait(&self.postmaster, Duration::ZERO).is_none()
    }

    /// Shuts down and waits until all processes have ended.
    pub(crate) fn shut_down(&self, mode: ShutdownMode) -> Result<(), Error> {
        let (signal, timeout) = match mode {
            ShutdownMode::Smart => (signal::TERM, FOREVER),
            ShutdownMode::Fast => (signal::INT, SHUTDOWN_TIMEOUT),
            ShutdownMode::Immediate => (signal::QUIT, IMMEDIATE_TIMEOUT),
        };
        self.postmaster.raise(signal);
        let status = self.kernel.wait(&self.postmaster, timeout);
        let clean = status.and_then(|status| status.exit_code()) == Some(0);
        let ended = self.kill();
        if (clean || mode == ShutdownMode::Immediate) && ended {
            Ok(())
        } else {
            let cause = self.log.first_fatal().map(Box::new);
            Err(Error::Closed { cause })
        }
    }

    /// Ends a cluster of which nothing stays, and whose postmaster has not been needed; false if it is
    /// another.
    pub(crate) fn end_unseen(&self) -> bool {
        self.files.is_some() && self.postmaster.is_dormant() && self.kill()
    }

    /// A fast shutdown that becomes harder if it takes long.
    pub(crate) fn shut_down_in_bounded_time(&self) {
        for (signal, timeout) in [(signal::INT, DROP_TIMEOUT), (signal::QUIT, IMMEDIATE_TIMEOUT)] {
            self.postmaster.raise(signal);
            if self.kernel.wait(&self.postmaster, timeout).is_some() {
                break;
            }
        }
        self.kill();
    }

    /// Ends everything at once, as a power failure would.
    fn kill(&self) -> bool {
        let ended = self.kernel.kill_all(KILL_TIMEOUT);
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if !ended {
            // A process that might still write must keep everybody else out.
            std::mem::forget(lock);
            tracing::error!("a PostgreSQL process did not end; its data directory stays locked");
        }
        ended
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where PostgreSQL's clients look for a server with that port.
fn socket_of(port: u16) -> String {
    format!("{SOCKET_DIR}/.s.PGSQL.{port}")
}

fn environment() -> Vec<String> {
    vec!["LC_ALL=C".into(), "HOME=/".into()]
}

/// What is in no other part of the guest's tree.
fn root(run_files: &[(String, Vec<u8>)]) -> Result<Tree, Errno> {
    let root = Tree::new();
    root.create_dir(SOCKET_DIR)?;
    root.create_dir(RUN_DIR)?;
    for (path, contents) in run_files {
        write_file(&root, path, contents)?;
    }
    Ok(root)
}

fn namespace(
    runtime: &Runtime,
    root: Arc<Tree>,
    data: Arc<dyn FileSystem>,
    mounts: &[HostMount],
) -> Result<Namespace, Error> {
    let mut namespace = Namespace::new(root);
    namespace
        .mount_devices()
        .and_then(|()| {
            let installation = Arc::new(runtime.installation.clone_tree());
            namespace.mount("/pglite", installation, true)
        })
        .and_then(|()| namespace.mount(DATA_DIR, data, false))
        .map_err(not_put_together)?;
    for mount in mounts {
        add_mount(&mut namespace, mount)?;
    }
    Ok(namespace)
}

fn not_put_together(errno: Errno) -> Error {
    Error::Start(StartError::new(format!("the file system cannot be put together: {errno}")))
}

/// An archive's files, which may take as much as the database is allowed to write later.
fn load(source: ArchiveSource<'_>, limit: Option<u64>, template: &Tree) -> Result<Tree, Error> {
    let files = match limit {
        Some(bytes) => Tree::with_capacity(bytes),
        None => Tree::new(),
    };
    archive::unpack(source, &files, template)?;
    Ok(files.clone_with_capacity(limit))
}

/// The write-ahead log of a limited database is kept out of the limit: without room for it Postgres cannot
/// even roll back, and panics.
fn wal(data: &Tree) -> Result<Tree, Errno> {
    let wal = Tree::new();
    copy_subtree(data, "/pg_wal", &wal)?;
    Ok(wal)
}

fn add_mount(namespace: &mut Namespace, mount: &HostMount) -> Result<(), Error> {
    let failed = |source: io::Error| {
        let reason = format!("{} cannot be mounted at {}", mount.host.display(), mount.guest);
        Error::Start(StartError::new(reason).with_source(source))
    };
    let files = HostDir::open(&mount.host).map_err(failed)?;
    namespace
        .mount(&mount.guest, Arc::new(files), mount.read_only)
        .map_err(|errno| failed(io::Error::from(errno)))
}

fn write_file(files: &dyn FileSystem, path: &str, contents: &[u8]) -> Result<(), Errno> {
    fs::write_file(files, path, contents)?.sync(false)
}

fn arguments(
    temporary: bool,
    limited: bool,
    port: u16,
    settings: &[(String, String)],
) -> Vec<String> {
    let mut arguments = vec![PROGRAM.to_owned(), "-D".to_owned(), DATA_DIR.to_owned()];
    let mut set = |name: &str, value: &str| {
        arguments.push("-c".to_owned());
        arguments.push(format!("{name}={value}"));
    };
    // First, so that what is wrong with the others is logged in the form that is read here; and again
    // below, so that no other has the last word.
    set("log_line_prefix", log::LINE_PREFIX);
    if temporary {
        // Nothing of it outlives the process: there is no disk to wait for.
        set("fsync", "off");
        set("synchronous_commit", "off");
        set("full_page_writes", "off");
    }
    if limited {
        set("max_wal_size", "16MB");
        set("min_wal_size", "4MB");
    }
    for (name, value) in settings {
        set(name, value);
    }
    // How the library reaches it, and reads its log.
    set("listen_addresses", "");
    set("unix_socket_directories", SOCKET_DIR);
    set("port", &port.to_string());
    set("log_line_prefix", log::LINE_PREFIX);
    set("log_destination", "stderr");
    set("logging_collector", "off");
    // The one kind that all processes see: segments of the window.
    set("dynamic_shared_memory_type", "sysv");
    arguments
}

struct Canceller {
    kernel: Weak<Kernel>,
    socket: String,
}

impl Cancel for Canceller {
    fn cancel(&self, pid: i32, secret: i32) -> Result<(), Error> {
        let closed = || Error::Closed { cause: None };
        let kernel = self.kernel.upgrade().ok_or_else(closed)?;
        let mut stream = kernel.connect(&self.socket).map_err(|_| closed())?;
        let sent = send_cancel_request(&mut stream, pid, secret)
            .and_then(|()| stream.read_to_end(&mut Vec::new()));
        sent.map(drop).map_err(|_| closed())
    }
}
