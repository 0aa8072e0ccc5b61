//! Processes: a Wasm instance, its thread, its memory and its signals.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Kernel;
use super::descriptor::Descriptors;
use super::errno::Errno;
use super::image::Base;
use super::instance::ProcessInstance;
use super::linker::{Linker, LoadError};
use super::memory::Region;
use super::park::{DORMANT as DORMANT_TIME, Dormant, Parking, ProcessImage};
use super::resolver::Lookup;
use super::timer::Timers;
use super::waker::Waker;

/// Signals the kernel itself raises; the guest's numbers are Linux'.
pub(crate) mod signal {
    pub(crate) const INT: i32 = 2;
    pub(crate) const QUIT: i32 = 3;
    pub(crate) const ABORT: i32 = 6;
    pub(crate) const KILL: i32 = 9;
    pub(crate) const USR1: i32 = 10;
    pub(crate) const SEGV: i32 = 11;
    pub(crate) const ALARM: i32 = 14;
    pub(crate) const TERM: i32 = 15;
    pub(crate) const CHILD: i32 = 17;
    /// What it means, to look around, is all that is used of it: see `Process::ask_to_share_window`.
    pub(crate) const CONTINUE: i32 = 18;
    /// To leave the instance, see `park.rs`.
    pub(crate) const STOP: i32 = 20;
}

/// How a process ended, encoded as `waitpid` has it: exit code in bits 8..16, signal in bits 0..7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitStatus(pub(crate) i32);

impl WaitStatus {
    pub(crate) fn killed_by(signal: i32) -> WaitStatus {
        WaitStatus(signal)
    }

    pub(crate) fn exit_code(self) -> Option<i32> {
        (self.0 & 0x7f == 0).then_some((self.0 >> 8) & 0xff)
    }
}

/// Where in a process's memory its signals are announced.
#[derive(Debug)]
struct SignalWords {
    region: Arc<Region>,
    pending: u32,
    interrupt: u32,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) waker: Waker,
    /// None before the process has told where they are, and after its end.
    words: Mutex<Option<SignalWords>>,
    /// Signals raised while there were no words.
    early: Mutex<u32>,
    status: Mutex<Option<WaitStatus>>,
    /// Who has the thread, whether it is to end ([`Process::execute`]), and whether there is one at all.
    state: AtomicU8,
    /// What its memory is mapped from.
    base: Mutex<Option<Arc<Base>>>,
    pub(super) parking: Parking,
    /// An image, as long as it has no instance and no thread yet; `DORMANT` in `state` tells.
    dormant: Mutex<Option<Dormant>>,
    /// Made from an image, and has not yet asked what it must not share with the original.
    is_fresh_copy: AtomicBool,
}

/// The thread is in the kernel, where it may use the guest's memory.
const IN_KERNEL: u8 = 1;
/// The process is to end at once.
const DOOMED: u8 = 2;
/// The window has to be shared, see `Window::share`.
const SHARE_WINDOW: u8 = 4;
/// The process is only an image: set and cleared with `Process::dormant` locked, so that a wake-up of any
/// other process need not lock it.
const DORMANT: u8 = 8;

/// Everything a kernel call can reach: the state of the process that makes it.
pub(crate) struct Context {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) process: Arc<Process>,
    pub(crate) region: Arc<Region>,
    pub(crate) descriptors: Descriptors,
    pub(crate) arguments: Vec<String>,
    #[cfg(feature = "tls")]
    pub(crate) tls: super::tls::ProcessTls,
    /// A question to the resolver that a signal has interrupted.
    pub(crate) lookup: Option<Lookup>,
    pub(crate) linker: Linker,
}

impl Context {
    /// Of a process without arguments, that knows of no TLS yet.
    pub(super) fn new(
        kernel: &Arc<Kernel>,
        process: Arc<Process>,
        region: Region,
        descriptors: Descriptors,
    ) -> Context {
        Context {
            kernel: kernel.clone(),
            process,
            region: Arc::new(region),
            descriptors,
            arguments: Vec::new(),
            #[cfg(feature = "tls")]
            tls: super::tls::ProcessTls::default(),
            lookup: None,
            linker: Linker::default(),
        }
    }
}

impl Process {
    pub(super) fn new(pid: i32, parent: i32) -> io::Result<Process> {
        Ok(Process {
            pid,
            parent,
            waker: Waker::new()?,
            words: Mutex::new(None),
            early: Mutex::new(0),
            status: Mutex::new(None),
            // Until its instance has been made.
            state: AtomicU8::new(IN_KERNEL),
            base: Mutex::new(None),
            parking: Parking::default(),
            dormant: Mutex::new(None),
            is_fresh_copy: AtomicBool::new(false),
        })
    }

    /// What its memory is mapped from.
    pub(super) fn set_base(&self, base: Option<Arc<Base>>) {
        *lock(&self.base) = base;
    }

    /// A process of an image.
    pub(super) fn new_copy(pid: i32, parent: i32) -> io::Result<Process> {
        Ok(Process { is_fresh_copy: AtomicBool::new(true), ..Process::new(pid, parent)? })
    }

    /// At the start of a kernel call: `EINTR` if the process is to end, and must not touch its memory.
    /// Returns whether it has to share its window first.
    pub(crate) fn enter_kernel(&self) -> Result<bool, Errno> {
        let state = self.state.fetch_or(IN_KERNEL, Ordering::SeqCst);
        if state & DOOMED != 0 {
            self.leave_kernel();
            return Err(Errno::INTR);
        }
        Ok(state & SHARE_WINDOW != 0)
    }

    /// At its end.
    pub(crate) fn leave_kernel(&self) {
        self.state.fetch_and(!IN_KERNEL, Ordering::SeqCst);
    }

    /// Ends a process whose code does not look at its signals, by taking its memory away: the next access
    /// is a trap. Returns whether there is nothing more to do; if not (the thread is in a kernel call, and
    /// ends when it returns), try again later.
    ///
    /// Nothing in the kernel uses the memory of a process but its own thread in a kernel call, and
    /// `raise`, which finds no signal words any more.
    pub(crate) fn execute(&self) -> bool {
        let mut words = lock(&self.words);
        if self.status().is_some() {
            return true;
        }
        let before = self.state.fetch_or(DOOMED, Ordering::SeqCst);
        if before & IN_KERNEL != 0 {
            return false;
        }
        let Some(known) = words.take() else { return before & DOOMED != 0 };
        known.region.make_inaccessible();
        tracing::debug!(target: "pglite_oxide::kernel", pid = self.pid, "process ended by force");
        true
    }

    fn is_doomed(&self) -> bool {
        self.state.load(Ordering::SeqCst) & DOOMED != 0
    }

    /// Asks the process to share its window at its next kernel call, and sees to it that one comes soon.
    pub(super) fn ask_to_share_window(&self) {
        self.state.fetch_or(SHARE_WINDOW, Ordering::SeqCst);
        self.raise(signal::CONTINUE);
    }

    /// Whether a signal is pending.
    pub(super) fn is_pending(&self, signal: i32) -> bool {
        let words = lock(&self.words);
        let pending = words.as_ref().and_then(|words| words.region.atomic(words.pending).ok());
        pending.is_some_and(|pending| pending.load(Ordering::SeqCst) & (1 << signal) != 0)
    }

    /// The memory of a process that has told of its signal words.
    pub(super) fn region(&self) -> Option<Arc<Region>> {
        lock(&self.words).as_ref().map(|words| words.region.clone())
    }

    /// The first time, whether it was made from an image.
    pub(super) fn take_fresh_copy(&self) -> bool {
        self.is_fresh_copy.swap(false, Ordering::Relaxed)
    }

    /// Ends a wait of the process, or the next.
    pub(crate) fn wake(&self) {
        self.waker.wake();
        self.awaken();
    }

    /// Starts a process that is only an image so far. When this returns, it has a thread.
    pub(crate) fn awaken(&self) {
        if !self.is_dormant() {
            return;
        }
        let mut dormant = lock(&self.dormant);
        if let Some(dormant) = dormant.take() {
            dormant.start();
        }
        // Only now: who finds the bit gone relies on the thread.
        self.state.fetch_and(!DORMANT, Ordering::SeqCst);
    }

    /// From now on it is an image. Returns whether a signal has come since that was made.
    fn retire(&self, image: Dormant) -> bool {
        // Held so that a signal comes before all of it or after.
        let mut words = lock(&self.words);
        let pending = words.take().and_then(|words| {
            words.region.atomic(words.pending).ok().map(|pending| pending.load(Ordering::SeqCst))
        });
        let pending = pending.unwrap_or(0);
        *lock(&self.early) |= pending;
        // Until its next instance has been made.
        self.state.fetch_or(IN_KERNEL, Ordering::SeqCst);
        self.sleep_as(image);
        pending != 0
    }

    pub(super) fn sleep_as(&self, image: Dormant) {
        let mut dormant = lock(&self.dormant);
        *dormant = Some(image);
        // Somebody may have told the original something after its image was made. PostgreSQL looks into
        // shared memory for what it was.
        *lock(&self.early) |= 1 << signal::USR1;
        self.state.fetch_or(DORMANT, Ordering::SeqCst);
    }

    pub(super) fn dormant_image(&self) -> Option<Arc<ProcessImage>> {
        lock(&self.dormant).as_ref().map(Dormant::image)
    }

    pub(crate) fn is_dormant(&self) -> bool {
        self.state.load(Ordering::SeqCst) & DORMANT != 0
    }

    /// Ends a process that was never more than an image; false if it is one that runs.
    fn bury(&self) -> bool {
        let image = {
            let mut dormant = lock(&self.dormant);
            self.state.fetch_and(!DORMANT, Ordering::SeqCst);
            dormant.take()
        };
        if image.is_some() {
            *lock(&self.status) = Some(WaitStatus::killed_by(signal::KILL));
        }
        image.is_some()
    }

    /// As SIGKILL, which would start a process that is only an image.
    pub(super) fn kill(&self) {
        if !self.bury() {
            self.raise(signal::KILL);
        }
    }

    /// The process tells where the kernel shall announce signals.
    pub(crate) fn set_signal_words(&self, region: Arc<Region>, pending: u32, interrupt: u32) {
        *lock(&self.words) = Some(SignalWords { region, pending, interrupt });
        let early = std::mem::take(&mut *lock(&self.early));
        for signal in 1..32 {
            if early & (1 << signal) != 0 {
                self.raise(signal);
            }
        }
    }

    /// Marks a signal as pending and wakes the process.
    pub(crate) fn raise(&self, signal: i32) {
        debug_assert!((1..32).contains(&signal), "the guest has signals 1 to 31");
        let words = lock(&self.words);
        match words.as_ref() {
            Some(words) => {
                // Both words were checked when the process announced them.
                if let Ok(pending) = words.region.atomic(words.pending) {
                    pending.fetch_or(1 << signal, Ordering::SeqCst);
                }
                if let Ok(interrupt) = words.region.atomic(words.interrupt) {
                    interrupt.store(1, Ordering::SeqCst);
                }
            }
            None => *lock(&self.early) |= 1 << signal,
        }
        drop(words);
        self.wake();
    }

    pub(crate) fn status(&self) -> Option<WaitStatus> {
        *lock(&self.status)
    }
}

/// What a new instance starts from.
enum Origin {
    /// The module's own data.
    Fresh,
    /// A parent's memory (in place already) and its globals.
    Fork { globals: Vec<u128> },
    /// The same of a process that has left its instance.
    Image { globals: Vec<u128> },
}

impl Origin {
    fn globals(&self) -> Option<&[u128]> {
        match self {
            Origin::Fresh => None,
            Origin::Fork { globals } | Origin::Image { globals } => Some(globals),
        }
    }
}

/// `PGL_PARKED` in assets/wasix/pglite.h: the instance was left, to be entered again.
const PARKED: i32 = 1 << 16;

/// Starts the first process of a cluster.
pub(crate) fn start(
    kernel: &Arc<Kernel>,
    arguments: Vec<String>,
    descriptors: Descriptors,
) -> io::Result<Arc<Process>> {
    let region = Region::new(0)?;
    let process = kernel.processes.insert(0)?;
    let context =
        Context { arguments, ..Context::new(kernel, process.clone(), region, descriptors) };
    spawn_thread(context, Origin::Fresh)?;
    Ok(process)
}

/// Starts a child with a copy of the calling process's memory; returns its pid.
pub(crate) fn fork(parent: &Context, globals: Vec<u128>) -> io::Result<i32> {
    let kernel = &parent.kernel;
    // A program that is not a server has none.
    let window = kernel.window.get();
    let loads = parent.linker.loads().ok_or_else(not_the_same)?.to_vec();
    let region = {
        // Held so that no signal is announced in memory that is just being remapped.
        let _words = lock(&parent.process.words);
        super::fork::copy_memory(&parent.region, window, &mut lock(&parent.process.base))?
    };
    if let Some(words) = lock(&parent.process.words).as_ref() {
        // The parent's signals are not the child's.
        region.write_u32(words.pending, 0).map_err(|_| io::Error::other("bad signal words"))?;
    }
    let process = kernel.processes.insert(parent.process.pid)?;
    process.set_base(lock(&parent.process.base).clone());
    let pid = process.pid;
    let context = Context {
        #[cfg(feature = "tls")]
        tls: parent.tls.clone(),
        linker: Linker::of_copy(loads),
        ..Context::new(kernel, process, region, parent.descriptors.clone())
    };
    spawn_thread(context, Origin::Fork { globals })?;
    if kernel.prepares.load(Ordering::Relaxed) && kernel.listeners.have_hosts() {
        kernel.instances.keep_ready();
    }
    Ok(pid)
}

/// The error of a copy of a process that has failed to load a module, half-way.
pub(super) fn not_the_same() -> io::Error {
    io::Error::other(
        "a module that could not be loaded has left traces, so the process cannot be copied",
    )
}

/// Starts the thread of a process that was made from an image.
pub(super) fn start_copy(context: Context, image: &ProcessImage) -> io::Result<()> {
    context.process.set_base(image.memory.base());
    context.kernel.processes.thread_started();
    spawn_thread(context, Origin::Image { globals: image.globals.clone() })
}

/// Starts the thread of a process that makes its memory itself, when what it needs of others is there.
pub(super) fn start_copy_later(
    kernel: Arc<Kernel>,
    process: Arc<Process>,
    image: impl FnOnce() -> io::Result<(Context, Vec<u128>, Option<Arc<Base>>)> + Send + 'static,
) {
    kernel.processes.thread_started();
    let spawned = spawn(kernel, process, move |end| match image() {
        Ok((context, globals, base)) => {
            context.process.set_base(base);
            run(context, Origin::Image { globals }, end);
        }
        Err(_) if end.kernel.ending.load(Ordering::Relaxed) => {}
        Err(error) => {
            tracing::error!(target: "pglite_oxide::kernel", "cannot start a process: {error}");
        }
    });
    if let Err(error) = spawned {
        tracing::error!(target: "pglite_oxide::kernel", "cannot start a process: {error}");
    }
}

fn spawn_thread(context: Context, origin: Origin) -> io::Result<()> {
    let (kernel, process) = (context.kernel.clone(), context.process.clone());
    spawn(kernel, process, move |end| run(context, origin, end))
}

fn spawn(
    kernel: Arc<Kernel>,
    process: Arc<Process>,
    body: impl FnOnce(End) + Send + 'static,
) -> io::Result<()> {
    let spawned = std::thread::Builder::new()
        .name(format!("postgres {}", process.pid))
        // Kernel calls run on this stack; the guest has its own. The deepest loads a module.
        .stack_size(1 << 20)
        .spawn({
            let kernel = kernel.clone();
            let process = process.clone();
            move || {
                process.waker.attach_current_thread();
                let status = WaitStatus::killed_by(signal::ABORT);
                body(End { kernel, process, status, retired: false });
            }
        });
    if let Err(error) = spawned {
        kernel.processes.remove(process.pid);
        kernel.processes.thread_finished();
        return Err(error);
    }
    Ok(())
}

/// Publishes the end of a process, also when its thread panics.
struct End {
    kernel: Arc<Kernel>,
    process: Arc<Process>,
    status: WaitStatus,
    /// The process goes on without this thread.
    retired: bool,
}

impl End {
    fn publish(&self) {
        if self.retired || self.process.status().is_some() {
            return;
        }
        *lock(&self.process.words) = None;
        self.kernel.timers.cancel(self.process.pid);
        *lock(&self.process.status) = Some(self.status);
        self.kernel.processes.process_ended();
        if let Some(parent) = self.kernel.processes.get(self.process.parent) {
            parent.raise(signal::CHILD);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.publish();
        self.kernel.processes.thread_finished();
    }
}

fn run(context: Context, origin: Origin, mut end: End) {
    let kernel = context.kernel.clone();
    let mut instance = match instantiate(&kernel, context, &origin) {
        Ok(instance) => instance,
        Err(error) => {
            tracing::error!(target: "pglite_oxide::kernel", "cannot start a process: {error}");
            return;
        }
    };
    end.process.leave_kernel();
    let mut result = match origin {
        Origin::Fresh => instance.call("_initialize").and_then(|_| instance.call("pgl_main")),
        Origin::Fork { .. } => instance.call("pgl_child"),
        Origin::Image { .. } => instance.call("pgl_unpark"),
    };
    while matches!(result, Ok(PARKED)) {
        let globals = instance.globals();
        result = match park(instance.context(), globals) {
            Parked::Released => instance.call("pgl_unpark"),
            Parked::Killed => Ok(signal::KILL),
            Parked::Retired => {
                end.retired = true;
                kernel.instances.give_back(instance);
                return;
            }
        };
    }
    let in_order = result.is_ok();
    end.status = match result {
        Ok(status) => WaitStatus(status),
        Err(_) if end.process.is_doomed() => WaitStatus::killed_by(signal::KILL),
        Err(error) => {
            let frames: Vec<_> = error
                .trace()
                .iter()
                .take(16)
                .map(|frame| frame.function_name().unwrap_or("?").to_owned())
                .collect();
            tracing::error!(
                target: "pglite_oxide::kernel",
                pid = end.process.pid,
                "a PostgreSQL process crashed: {} (in {})", error.message(), frames.join(" < ")
            );
            WaitStatus::killed_by(signal::SEGV)
        }
    };
    // Sockets and pipes close before the parent hears of it, as on Unix.
    let context = instance.context();
    context.descriptors = Descriptors::default();
    if !kernel.ending.load(Ordering::Relaxed) {
        // The last chance: the memory goes.
        share_window(context);
    }
    end.publish();
    if in_order {
        kernel.instances.give_back(instance);
    }
}

/// The instance of a process, ready to be entered.
fn instantiate(
    kernel: &Kernel,
    context: Context,
    origin: &Origin,
) -> Result<ProcessInstance, Box<dyn Error>> {
    let Some(globals) = origin.globals() else { return Ok(kernel.instances.fresh(context)?) };
    let mut instance = kernel.instances.of_copy(context)?;
    replay_loads(&mut instance)?;
    kernel.instances.restore_globals(&mut instance, globals);
    // Modules that it loads itself are new.
    instance.set_has_contents(false);
    Ok(instance)
}

/// Why a process that has left its instance does not wait any longer.
enum Parked {
    Released,
    Killed,
    /// It is an image from now on, and this thread is not needed.
    Retired,
}

/// Stays out of the instance until the process may go on, or shall not.
fn park(context: &mut Context, globals: Vec<u128>) -> Parked {
    let process = context.process.clone();
    let image = ProcessImage::capture(context, &mut lock(&process.base), globals);
    process.parking.begin(image);
    while process.parking.is_held() {
        if process.is_doomed() || process.is_pending(signal::KILL) {
            return Parked::Killed;
        }
        let asked_to_share = process.state.load(Ordering::SeqCst) & SHARE_WINDOW != 0;
        if asked_to_share && process.parking.may_share() {
            share_window(context);
        }
        if let Some(retire) = process.parking.take_retire() {
            let dormant = Dormant::of(context, retire);
            let told = process.retire(dormant);
            Timers::awaken(&context.kernel, process.pid, DORMANT_TIME);
            process.parking.retired();
            // Who has connected just now has found nobody to wake.
            if told || context.kernel.listeners.have_connections() {
                process.awaken();
            }
            return Parked::Retired;
        }
        process.waker.sleep();
    }
    // A wake-up that was for the guest may have been used up here.
    process.waker.wake();
    Parked::Released
}

/// Makes the window of a cluster's one process one that others can map.
pub(super) fn share_window(context: &mut Context) {
    context.process.state.fetch_and(!SHARE_WINDOW, Ordering::SeqCst);
    if let Some(window) = context.kernel.window.get()
        && let Err(error) = window.share(&context.region, context.kernel.listeners.have_hosts())
    {
        tracing::error!(target: "pglite_oxide::kernel", "the window cannot be shared: {error}");
    }
}

/// Loads the modules that the original of a copy has.
fn replay_loads(instance: &mut ProcessInstance) -> Result<(), LoadError> {
    let mut env = instance.env.clone().into_mut(&mut instance.store);
    let (context, mut store) = env.data_and_store_mut();
    let (kernel, region) = (context.kernel.clone(), context.region.clone());
    context.linker.replay(&mut store, &kernel.library, &kernel.instances, &region)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
