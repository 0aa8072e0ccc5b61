//! Processes: a Wasm instance, its thread, its memory and its place in the process table.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wasmer::sys::NativeEngineExt;
use wasmer::{AsStoreMut, FunctionEnv, Instance, RuntimeError, Store, Value};

use super::descriptor::Descriptors;
use super::errno::Errno;
use super::memory::{self, ProcessTunables, Region};
use super::resolver::Lookup;
use super::waker::Waker;
use super::{Kernel, calls};

/// Signals the kernel itself raises; the guest's numbers are Linux'.
pub(crate) mod signal {
    pub(crate) const ABORT: i32 = 6;
    pub(crate) const KILL: i32 = 9;
    pub(crate) const SEGV: i32 = 11;
    pub(crate) const CHILD: i32 = 17;
    pub(crate) const INT: i32 = 2;
    pub(crate) const QUIT: i32 = 3;
    pub(crate) const TERM: i32 = 15;
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
    /// Who has the thread, and whether it is to end: see [`Process::execute`].
    state: AtomicU8,
}

/// The thread is in the kernel, where it may use the guest's memory.
const IN_KERNEL: u8 = 1;
/// The process is to end at once.
const DOOMED: u8 = 2;

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
}

impl Process {
    fn new(pid: i32, parent: i32) -> io::Result<Arc<Process>> {
        Ok(Arc::new(Process {
            pid,
            parent,
            waker: Waker::new()?,
            words: Mutex::new(None),
            early: Mutex::new(0),
            status: Mutex::new(None),
            // Until its instance has been made.
            state: AtomicU8::new(IN_KERNEL),
        }))
    }

    /// At the start of a kernel call: `EINTR` if the process is to end, and must not touch its memory.
    pub(crate) fn enter_kernel(&self) -> Result<(), Errno> {
        if self.state.fetch_or(IN_KERNEL, Ordering::SeqCst) & DOOMED != 0 {
            self.leave_kernel();
            return Err(Errno::INTR);
        }
        Ok(())
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
        self.waker.wake();
    }

    pub(crate) fn status(&self) -> Option<WaitStatus> {
        *lock(&self.status)
    }
}

/// So many processes have taken enough memory for what follows to be worth while.
const MANY: usize = 64;

/// All processes of a cluster.
#[derive(Debug, Default)]
pub(crate) struct ProcessTable {
    state: Mutex<TableState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct TableState {
    processes: BTreeMap<i32, Arc<Process>>,
    last_pid: i32,
    /// Threads that have not finished, of processes alive or just ended.
    threads: usize,
    /// The most there were since memory was last given back to the host.
    peak: usize,
}

impl ProcessTable {
    fn lock(&self) -> MutexGuard<'_, TableState> {
        lock(&self.state)
    }

    /// The first process takes the host's pid, so that the `postmaster.pid` it writes means something
    /// to other programs on the host; the others count on from there.
    fn insert(&self, parent: i32) -> io::Result<Arc<Process>> {
        let mut state = self.lock();
        let pid = if state.last_pid == 0 { std::process::id() as i32 } else { state.last_pid + 1 };
        let process = Process::new(pid, parent)?;
        state.last_pid = pid;
        state.processes.insert(pid, process.clone());
        state.threads += 1;
        state.peak = state.peak.max(state.threads);
        Ok(process)
    }

    pub(crate) fn get(&self, pid: i32) -> Option<Arc<Process>> {
        self.lock().processes.get(&pid).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Process>> {
        self.lock().processes.values().cloned().collect()
    }

    /// `waitpid` without waiting: an ended child is taken out of the table.
    pub(crate) fn reap(&self, parent: i32, pid: i32) -> Result<Option<(i32, WaitStatus)>, Errno> {
        let mut state = self.lock();
        let mut children = state
            .processes
            .values()
            .filter(|child| child.parent == parent && (pid == -1 || child.pid == pid))
            .peekable();
        if children.peek().is_none() {
            return Err(Errno::CHILD);
        }
        let ended = children.find_map(|child| child.status().map(|status| (child.pid, status)));
        if let Some((pid, _)) = ended {
            state.processes.remove(&pid);
        }
        Ok(ended)
    }

    fn thread_finished(&self) {
        let mut state = self.lock();
        state.threads -= 1;
        let most_have_ended = state.peak >= MANY && state.threads <= state.peak / 4;
        if most_have_ended {
            state.peak = state.threads;
        }
        drop(state);
        self.changed.notify_all();
        if most_have_ended {
            memory::give_back();
        }
    }

    /// Waits until every thread has finished and given back its memory; false if time ran out.
    pub(crate) fn wait_all(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        while state.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits for the end of one process.
    pub(crate) fn wait_end(&self, process: &Process, timeout: Duration) -> Option<WaitStatus> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(status) = process.status() {
                return Some(status);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What a new instance starts from.
enum Origin {
    /// The module's own data.
    Fresh,
    /// A parent's memory (in place already) and its globals.
    Fork { globals: Vec<u128> },
}

/// Starts the first process of a cluster.
pub(crate) fn start(
    kernel: &Arc<Kernel>,
    arguments: Vec<String>,
    descriptors: Descriptors,
) -> io::Result<Arc<Process>> {
    let region = Arc::new(Region::new(0)?);
    let process = kernel.processes.insert(0)?;
    let context = Context {
        kernel: kernel.clone(),
        process: process.clone(),
        region,
        descriptors,
        arguments,
        #[cfg(feature = "tls")]
        tls: super::tls::ProcessTls::default(),
        lookup: None,
    };
    spawn_thread(context, Origin::Fresh)?;
    Ok(process)
}

/// Starts a child with a copy of the calling process's memory; returns its pid.
pub(crate) fn fork(parent: &Context, globals: Vec<u128>) -> io::Result<i32> {
    let kernel = &parent.kernel;
    let window = kernel.window.get().ok_or_else(|| io::Error::other("no window announced yet"))?;
    let region = {
        // Held so that no signal is announced in memory that is just being remapped.
        let _words = lock(&parent.process.words);
        let mut image = lock(&kernel.fork_image);
        super::fork::copy_memory(parent.process.pid, &parent.region, window, &mut image)?
    };
    if let Some(words) = lock(&parent.process.words).as_ref() {
        // The parent's signals are not the child's.
        region.write_u32(words.pending, 0).map_err(|_| io::Error::other("bad signal words"))?;
    }
    let process = kernel.processes.insert(parent.process.pid)?;
    let pid = process.pid;
    let context = Context {
        kernel: kernel.clone(),
        process,
        region: Arc::new(region),
        descriptors: parent.descriptors.clone(),
        arguments: Vec::new(),
        #[cfg(feature = "tls")]
        tls: parent.tls.clone(),
        lookup: None,
    };
    spawn_thread(context, Origin::Fork { globals })?;
    Ok(pid)
}

fn spawn_thread(context: Context, origin: Origin) -> io::Result<()> {
    let kernel = context.kernel.clone();
    let process = context.process.clone();
    let spawned = std::thread::Builder::new()
        .name(format!("postgres {}", process.pid))
        // Kernel calls run on this stack; the guest has its own.
        .stack_size(512 << 10)
        .spawn({
            let kernel = kernel.clone();
            let process = process.clone();
            move || {
                process.waker.attach_current_thread();
                let end = End { kernel, process, status: WaitStatus::killed_by(signal::ABORT) };
                run(context, origin, end);
            }
        });
    if let Err(error) = spawned {
        kernel.processes.lock().processes.remove(&process.pid);
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
}

impl End {
    fn publish(&self) {
        if self.process.status().is_some() {
            return;
        }
        *lock(&self.process.words) = None;
        self.kernel.timers.cancel(self.process.pid);
        *lock(&self.process.status) = Some(self.status);
        self.kernel.processes.changed.notify_all();
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
    let inherited = Arc::new(AtomicBool::new(matches!(origin, Origin::Fork { .. })));
    let mut engine = context.kernel.engine.clone();
    engine.set_tunables(ProcessTunables::new(context.region.clone(), inherited.clone()));
    let mut store = Store::new(engine);
    let kernel = context.kernel.clone();
    let env = FunctionEnv::new(&mut store, context);
    let imports = calls::imports(&mut store, &env);
    let instance = match Instance::new(&mut store, &kernel.module, &imports) {
        Ok(instance) => instance,
        Err(error) => {
            tracing::error!(target: "pglite_oxide::kernel", "cannot start a process: {error}");
            return;
        }
    };
    if let Origin::Fork { globals } = &origin {
        restore_globals(&mut store, &kernel, globals);
        inherited.store(false, Ordering::Relaxed);
    }
    end.process.leave_kernel();
    let result = match origin {
        Origin::Fresh => call(&mut store, &instance, "_initialize")
            .and_then(|_| call(&mut store, &instance, "pgl_main")),
        Origin::Fork { .. } => call(&mut store, &instance, "pgl_child"),
    };
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
    env.as_mut(&mut store).descriptors = Descriptors::default();
    end.publish();
    drop(store);
}

fn call(store: &mut Store, instance: &Instance, name: &str) -> Result<i32, RuntimeError> {
    let function = instance
        .exports
        .get_function(name)
        .map_err(|error| RuntimeError::new(error.to_string()))?;
    let results = function.call(store, &[])?;
    Ok(results.first().and_then(Value::i32).unwrap_or(0))
}

/// Gives a forked instance its parent's globals, all but the exception that longjmp throws: that is a
/// handle of the parent's store, and the child makes its own at its first longjmp.
fn restore_globals(store: &mut Store, kernel: &Kernel, globals: &[u128]) {
    let objects = store.objects_mut().as_sys_mut();
    for (index, value) in globals.iter().enumerate() {
        if Some(index) != kernel.exception_global {
            objects.set_global_unchecked(index, *value);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
