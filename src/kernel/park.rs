//! Processes that leave their instance, and images of a whole cluster.
//!
//! A process is asked to leave by a signal (patch 0008): a session does so when it waits for its client,
//! the postmaster when it has ended all that it can start again. No code of it runs then, so that its
//! memory, its globals and what it has open are all there is of it, and its thread can enter the instance
//! again as if nothing had been. An image of a cluster is its postmaster and its sessions at such a moment,
//! and its window.
//!
//! Of a cluster that is made from an image one session runs at once, whose client is the program. The others
//! are *dormant*: they get memory and a thread when somebody sends them a signal, connects, or after a
//! second. What the postmaster does then is its usual work; a further session finds that its client is gone,
//! and ends as it would have in the original.

mod dormant;
mod record;

use std::io::{self, PipeReader, PipeWriter};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub(super) use self::dormant::Dormant;
pub(crate) use self::record::ClusterRecord;

use super::console::{Console, LineSink};
use super::descriptor::{Descriptors, Kind, Local, Open};
use super::errno::Errno;
use super::fs::{FileKind, FileSystem, OpenOptions};
use super::image::{Base, MemoryImage, Use};
use super::linker::{Linker, Load};
use super::memory::Region;
use super::process::{self, Context, Process, signal};
use super::socket::{Connection, Peer};
use super::timer::Timers;
use super::window::Window;
use super::{Code, Kernel};

/// How long a session may take to leave: it is idle.
const SESSION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the postmaster may: other processes have to end, which can be in the middle of some work.
const POSTMASTER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a postmaster stays an image if nobody needs it: it has background work to see to.
pub(super) const DORMANT: Duration = Duration::from_secs(1);

/// A process that has left its instance.
#[derive(Debug)]
pub(crate) struct ProcessImage {
    pid: i32,
    parent: i32,
    pub(super) globals: Vec<u128>,
    len: usize,
    pub(super) memory: MemoryImage,
    descriptors: Vec<Option<DescriptorImage>>,
    loads: Vec<Load>,
}

/// What an open descriptor is made from again.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum DescriptorImage {
    File {
        path: String,
        flags: u16,
        position: u64,
    },
    Null,
    Console,
    Listener {
        name: String,
        flags: u16,
    },
    /// The session's connection to its client.
    Client {
        flags: u16,
    },
    /// An end of the one pipe that there is: by it processes notice that the postmaster has ended.
    Pipe {
        writer: bool,
        flags: u16,
    },
    /// What cannot be made again, a connection to another server for instance: it is at its end.
    Gone,
}

/// A cluster at one moment.
#[derive(Debug)]
pub(crate) struct ClusterImage {
    /// What the guest's monotonic clock counts from.
    started: Instant,
    last_pid: i32,
    window: Range<usize>,
    window_memory: MemoryImage,
    /// Shared by all images of clusters in which it has never been anything else.
    postmaster: Arc<ProcessImage>,
    session: ProcessImage,
    /// Sessions that have no client in a copy.
    others: Vec<Arc<ProcessImage>>,
}

impl ClusterImage {
    /// The modules of each of its processes.
    fn loads(&self) -> impl Iterator<Item = &[Load]> {
        let others = self.others.iter().chain([&self.postmaster]).map(|image| &image.loads[..]);
        others.chain([&self.session.loads[..]])
    }
}

/// What a cluster that was made from an image does not share with its original.
#[derive(Debug)]
pub(crate) struct CopyFacts {
    /// Of the session.
    pub(crate) session: i32,
    pub(crate) cancel_key: i32,
    pub(crate) system_identifier: u64,
    /// What `SHOW port` says, if not the same as in the original.
    pub(crate) port: Option<u16>,
}

/// Why no image could be made.
#[derive(Debug)]
pub(crate) enum CaptureError {
    /// Processes that do not belong to the image, and do not end by themselves.
    Busy(Vec<i32>),
    /// A process has ended.
    Ended,
    Io(io::Error),
}

impl From<io::Error> for CaptureError {
    fn from(error: io::Error) -> CaptureError {
        CaptureError::Io(error)
    }
}

/// Where a process is with leaving its instance.
#[derive(Debug, Default)]
pub(super) struct Parking {
    state: Mutex<ParkState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ParkState {
    /// Somebody waits for it to leave.
    awaited: bool,
    /// It has left, and is not to go on.
    held: bool,
    /// Until it goes on, it shares its window if it is asked to.
    may_share: bool,
    usage: Option<Use>,
    image: Option<io::Result<ProcessImage>>,
    /// It shall end as a thread, and stay an image.
    retire: Option<Retire>,
    retired: bool,
}

/// What a process has to know that becomes dormant.
#[derive(Debug)]
pub(super) struct Retire {
    pub(super) image: Arc<ProcessImage>,
    /// The process that has the window.
    pub(super) session: i32,
}

impl Parking {
    fn lock(&self) -> MutexGuard<'_, ParkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process's thread has left the instance. If nobody waits for that any more, it goes on.
    pub(super) fn begin(&self, image: io::Result<ProcessImage>) {
        let mut state = self.lock();
        if state.awaited {
            state.held = true;
            state.image = Some(image);
            self.changed.notify_all();
        }
    }

    /// Whether it is not to enter the instance again yet.
    pub(super) fn is_held(&self) -> bool {
        self.lock().held
    }

    pub(super) fn may_share(&self) -> bool {
        self.lock().may_share
    }

    pub(super) fn take_retire(&self) -> Option<Retire> {
        self.lock().retire.take()
    }

    pub(super) fn retired(&self) {
        self.lock().retired = true;
        self.changed.notify_all();
    }

    /// Has a process that is held become dormant, and waits until it is.
    fn retire(&self, process: &Process, retire: Retire) {
        let mut state = self.lock();
        state.retire = Some(retire);
        process.waker.wake();
        while !state.retired && process.status().is_none() {
            let wait = self.changed.wait_timeout(state, Duration::from_millis(10));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn take(&self, process: &Process, deadline: Instant) -> Result<ProcessImage, CaptureError> {
        let mut state = self.lock();
        loop {
            if let Some(image) = state.image.take() {
                return Ok(image?);
            }
            if process.status().is_some() {
                return Err(CaptureError::Ended);
            }
            if Instant::now() >= deadline {
                return Err(CaptureError::Busy(vec![process.pid]));
            }
            // Now and then whether it has ended instead.
            let wait = self.changed.wait_timeout(state, Duration::from_millis(10));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A process that shall be out of its instance: enters it again when this is dropped.
struct Stopped<'a>(&'a Process);

impl<'a> Stopped<'a> {
    fn ask(process: &'a Process, usage: Use) -> Stopped<'a> {
        {
            let mut state = process.parking.lock();
            state.awaited = true;
            state.usage = Some(usage);
        }
        process.raise(signal::STOP);
        Stopped(process)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        *self.0.parking.lock() = ParkState::default();
        self.0.waker.wake();
    }
}

/// A process that shall be an image: it is one already, or leaves its instance for it.
struct Stop<'a> {
    process: &'a Process,
    dormant: Option<Arc<ProcessImage>>,
    _stopped: Option<Stopped<'a>>,
}

impl Stop<'_> {
    fn ask(process: &Process, usage: Use) -> Stop<'_> {
        let dormant = process.dormant_image();
        let stopped = dormant.is_none().then(|| Stopped::ask(process, usage));
        Stop { process, dormant, _stopped: stopped }
    }

    fn image(&self, deadline: Instant) -> Result<Arc<ProcessImage>, CaptureError> {
        match &self.dormant {
            Some(image) => Ok(image.clone()),
            None => self.process.parking.take(self.process, deadline).map(Arc::new),
        }
    }
}

impl ProcessImage {
    /// By the thread of the process, which has left its instance.
    pub(super) fn capture(
        context: &mut Context,
        base: &mut Option<Arc<Base>>,
        globals: Vec<u128>,
    ) -> io::Result<ProcessImage> {
        let usage = context.process.parking.lock().usage.unwrap_or(Use::Once);
        let window = context.kernel.window.get().ok_or_else(no_window)?;
        let len = context.region.len();
        let ranges = window.private_ranges(len);
        let memory = MemoryImage::capture(&context.region, ranges, base, usage)?;
        let descriptors = context.descriptors.entries();
        // PostgreSQL opens a thousand at its start, to find out how many it may, and closes them again.
        let used = descriptors.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let descriptors = &descriptors[..used];
        let loads = context.linker.loads().ok_or_else(process::not_the_same)?.to_vec();
        Ok(ProcessImage {
            loads,
            pid: context.process.pid,
            parent: context.process.parent,
            globals,
            len,
            memory,
            descriptors: descriptors
                .iter()
                .map(|open| open.as_ref().map(|open| describe(&context.kernel, open)))
                .collect(),
        })
    }

    fn memory(&self) -> io::Result<Region> {
        let region = Region::new(self.len)?;
        // SAFETY: the memory has no guest yet.
        unsafe { self.memory.restore(&region)? };
        Ok(region)
    }
}

fn no_window() -> io::Error {
    io::Error::other("no window announced yet")
}

fn describe(kernel: &Kernel, open: &Open) -> DescriptorImage {
    match &open.kind {
        Kind::File(_) => DescriptorImage::File {
            path: open.path.clone(),
            flags: open.flags(),
            position: *open.position.lock().unwrap_or_else(PoisonError::into_inner),
        },
        Kind::Null => DescriptorImage::Null,
        Kind::Console(_) => DescriptorImage::Console,
        Kind::Socket(connection) if connection.is_of_program() => {
            DescriptorImage::Client { flags: open.flags() }
        }
        Kind::Local(slot) => match slot.get() {
            Some(Local::Listener(listener)) => match kernel.listeners.name(listener) {
                Some(name) => DescriptorImage::Listener { name, flags: open.flags() },
                None => DescriptorImage::Gone,
            },
            _ => DescriptorImage::Gone,
        },
        Kind::Pipe(end) => DescriptorImage::Pipe { writer: is_writer(end), flags: open.flags() },
        Kind::Socket(_) => DescriptorImage::Gone,
    }
}

fn is_writer(end: &OwnedFd) -> bool {
    // SAFETY: no pointers.
    let flags = unsafe { libc::fcntl(end.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ACCMODE == libc::O_WRONLY
}

/// What descriptors of an image are made from.
struct Opener<'a> {
    kernel: &'a Kernel,
    console: Arc<Console>,
    pipe: (PipeReader, PipeWriter),
    client: Option<Arc<Connection>>,
}

impl Opener<'_> {
    fn open_all(&self, images: &[Option<DescriptorImage>]) -> io::Result<Descriptors> {
        let open = |image: &Option<DescriptorImage>| match image {
            Some(image) => Ok(Some(Arc::new(self.open(image)?))),
            None => Ok(None),
        };
        Ok(Descriptors::from_entries(images.iter().map(open).collect::<io::Result<_>>()?))
    }

    fn open(&self, image: &DescriptorImage) -> io::Result<Open> {
        let open = |kind| Open::new(kind, String::new(), 0);
        Ok(match image {
            DescriptorImage::File { path, flags, position } => {
                let kind = self.file(path)?.map_or(Kind::Null, Kind::File);
                let file = Open::new(kind, path.clone(), *flags);
                *file.position.lock().unwrap_or_else(PoisonError::into_inner) = *position;
                file
            }
            DescriptorImage::Console => open(Kind::Console(self.console.clone())),
            DescriptorImage::Listener { name, flags } => {
                let listener = self.kernel.listeners.bind(name).map_err(io::Error::from)?;
                let kind = Kind::Local(OnceLock::from(Local::Listener(listener)));
                Open::new(kind, String::new(), *flags)
            }
            DescriptorImage::Client { flags } => match &self.client {
                Some(client) => Open::new(Kind::Socket(client.clone()), String::new(), *flags),
                None => open(Kind::Null),
            },
            DescriptorImage::Pipe { writer, flags } => {
                let end = if *writer { self.pipe.1.as_fd() } else { self.pipe.0.as_fd() };
                let end = Open::new(Kind::Pipe(end.try_clone_to_owned()?), String::new(), 0);
                end.set_flags(*flags).map_err(io::Error::from)?;
                end
            }
            DescriptorImage::Null => open(Kind::Null),
            // A connection whose other end has closed, so that who uses it finds what they know how to handle:
            // libpq, and `postgres_fdw` behind it, connects anew.
            DescriptorImage::Gone => {
                let (connection, _closed) = UnixStream::pair()?;
                open(Kind::Socket(Arc::new(Connection::local(connection, Peer::Cluster)?)))
            }
        })
    }

    /// None if it was removed while it was open: as a segment of the log that a session has written to and
    /// the checkpointer has recycled. PostgreSQL closes such a file without using it again.
    fn file(&self, path: &str) -> io::Result<Option<Arc<dyn super::fs::File>>> {
        let files = &self.kernel.files;
        let failed = |errno: Errno| {
            io::Error::other(format!("{path} of an image cannot be opened again: {errno}"))
        };
        // Most are tables, so that is tried first.
        let options = OpenOptions { read: true, ..OpenOptions::default() };
        match files.open(path, OpenOptions { write: true, ..options }) {
            Ok(file) => return Ok(Some(file)),
            Err(Errno::NOENT) => return Ok(None),
            Err(_) => {}
        }
        let directory = files.metadata(path, true).map_err(failed)?.kind == FileKind::Directory;
        files.open(path, OpenOptions { directory, ..options }).map(Some).map_err(failed)
    }
}

/// A cluster made from an image.
pub(crate) struct Restored {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) postmaster: Arc<Process>,
    /// To the session, which waits for a request.
    pub(crate) stream: UnixStream,
}

impl Kernel {
    /// An image of this cluster, and what `files` makes of its files at the same moment. This session and
    /// all others must be idle, and out of any transaction.
    pub(crate) fn capture<T>(
        &self,
        postmaster: &Process,
        session: i32,
        usage: Use,
        files: impl FnOnce() -> T,
    ) -> Result<(ClusterImage, T), CaptureError> {
        let session = self.processes.get(session).ok_or(CaptureError::Ended)?;
        let window = self.window.get().ok_or_else(no_window)?;
        if !postmaster.is_dormant() && !window.wait_shared(SESSION_TIMEOUT) {
            // It is about to run, and needs the session for that.
            return Err(CaptureError::Busy(vec![session.pid]));
        }
        // The session first: what it still has to ask of the postmaster is asked then.
        let _stopped = Stopped::ask(&session, usage);
        let deadline = Instant::now() + SESSION_TIMEOUT;
        let session_image = session.parking.take(&session, deadline)?;
        let stopped_postmaster = Stop::ask(postmaster, usage);
        if stopped_postmaster.dormant.is_none() && !window.is_shared() {
            // It was woken just now, and waits for the window before it can hear that it is to stop. One that is
            // woken after its image was taken waits until all is done.
            session.parking.lock().may_share = true;
            session.waker.wake();
        }
        let postmaster_image = stopped_postmaster.image(Instant::now() + POSTMASTER_TIMEOUT)?;
        // All that are left now are sessions.
        let others: Vec<Arc<Process>> = self
            .processes
            .all()
            .into_iter()
            .filter(|other| other.status().is_none())
            .filter(|other| other.pid != postmaster.pid && other.pid != session.pid)
            .collect();
        let stopped: Vec<Stop<'_>> = others.iter().map(|other| Stop::ask(other, usage)).collect();
        let deadline = Instant::now() + SESSION_TIMEOUT;
        let mut busy = Vec::new();
        let mut images = Vec::new();
        for (other, stopped) in others.iter().zip(&stopped) {
            match stopped.image(deadline) {
                Ok(image) => images.push(image),
                // It has left just now.
                Err(CaptureError::Ended) => {}
                Err(CaptureError::Busy(_)) => busy.push(other.pid),
                Err(error) => return Err(error),
            }
        }
        if !busy.is_empty() {
            return Err(CaptureError::Busy(busy));
        }
        let region = session.region().ok_or(CaptureError::Ended)?;
        let alone = others.is_empty();
        let image = ClusterImage {
            started: self.started,
            last_pid: self.processes.last_pid(),
            window: window.range(),
            window_memory: window.capture(&region, usage)?,
            postmaster: postmaster_image,
            session: session_image,
            others: images,
        };
        let files = files();
        if alone && stopped_postmaster.dormant.is_none() && !self.listeners.have_hosts() {
            // From now on this cluster is like a copy of itself, so that the next image of it is one of what
            // has changed, and no process has to end for it.
            window.make_single(&region, &image.window_memory)?;
            let retire = Retire { image: image.postmaster.clone(), session: session.pid };
            postmaster.parking.retire(postmaster, retire);
        }
        Ok((image, files))
    }

    /// A cluster from an image, with files of the same moment.
    pub(crate) fn restore(
        code: Code<'_>,
        files: Arc<dyn FileSystem>,
        environment: Vec<String>,
        image: &Arc<ClusterImage>,
        sink: LineSink,
        copy: CopyFacts,
    ) -> io::Result<Restored> {
        for loads in image.loads() {
            code.library.has_all(loads).map_err(|path| {
                io::Error::other(format!(
                    "{path}, which the original had loaded, is not in this program"
                ))
            })?;
        }
        let mut kernel = Kernel::make(code, files, environment);
        kernel.started = image.started;
        kernel.copy = Some(copy);
        kernel.processes.set_last_pid(image.last_pid);
        let window = Window::of_image(image.window.clone(), &image.window_memory);
        kernel.window.set(window).expect("a new kernel has no window");
        let kernel = Arc::new(kernel);

        let (stream, server) = UnixStream::pair()?;
        let mut opener = Opener {
            kernel: &kernel,
            console: Arc::new(Console::new(sink)),
            pipe: io::pipe()?,
            client: Some(Arc::new(Connection::local(server, Peer::Program)?)),
        };
        let session = &image.session;
        let region = session.memory()?;
        // SAFETY: the memory has no guest yet.
        unsafe { image.window_memory.restore(&region)? };
        let descriptors = opener.open_all(&session.descriptors)?;
        let process = kernel.processes.insert_copy(session.pid, session.parent)?;
        // A timer that was set in the original does not run here: PostgreSQL looks at the time, and sets it.
        process.raise(signal::ALARM);

        opener.client = None;
        let sleep = |image: &Arc<ProcessImage>| -> io::Result<Arc<Process>> {
            let process = kernel.processes.insert_copy(image.pid, image.parent)?;
            process.sleep_as(Dormant {
                kernel: Arc::downgrade(&kernel),
                process: Arc::downgrade(&process),
                descriptors: opener.open_all(&image.descriptors)?,
                #[cfg(feature = "tls")]
                tls: super::tls::ProcessTls::default(),
                image: image.clone(),
                session: session.pid,
            });
            Ok(process)
        };
        let postmaster = sleep(&image.postmaster)?;
        let others: Vec<_> = image.others.iter().map(sleep).collect::<io::Result<_>>()?;
        let context = Context {
            linker: Linker::of_copy(session.loads.clone()),
            ..Context::new(&kernel, process, region, descriptors)
        };
        process::start_copy(context, session)?;
        for dormant in others.iter().chain([&postmaster]) {
            Timers::awaken(&kernel, dormant.pid, DORMANT);
        }
        Ok(Restored { kernel, postmaster, stream })
    }
}
