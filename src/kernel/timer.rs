//! What happens later: one thread per cluster that raises the signals of interval timers when they are
//! due, and sees to it that a process that was killed ends.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Kernel;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// (when, pid, what).
    due: BTreeSet<(Instant, i32, Action)>,
    running: bool,
    stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// The interval timer, of which a process has one.
    Raise(i32),
    /// Ends a process that has not ended by itself after SIGKILL.
    Execute,
    /// Starts a process that is only an image so far.
    Awaken,
}

/// How long a killed process has to end by itself, and how long until the next look at one in a kernel
/// call.
const GRACE: Duration = Duration::from_millis(100);

impl Timers {
    /// Sets the interval timer of a process, or with `None` switches it off.
    pub(crate) fn set(kernel: &Arc<Kernel>, pid: i32, signal: i32, delay: Option<Duration>) {
        let mut state = kernel.timers.lock();
        state.due.retain(|(_, owner, action)| *owner != pid || !matches!(action, Action::Raise(_)));
        if let Some(delay) = delay {
            add(kernel, &mut state, pid, Action::Raise(signal), delay);
        }
    }

    /// A process has been killed: sees to it that it ends.
    pub(crate) fn execute(kernel: &Arc<Kernel>, pid: i32) {
        add(kernel, &mut kernel.timers.lock(), pid, Action::Execute, GRACE);
    }

    /// A process shall not be a mere image for longer than this.
    pub(crate) fn awaken(kernel: &Arc<Kernel>, pid: i32, delay: Duration) {
        add(kernel, &mut kernel.timers.lock(), pid, Action::Awaken, delay);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cancel(&self, pid: i32) {
        self.lock().due.retain(|(_, owner, _)| *owner != pid);
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }
}

fn add(kernel: &Arc<Kernel>, state: &mut State, pid: i32, action: Action, delay: Duration) {
    state.due.insert((Instant::now() + delay, pid, action));
    if !state.running && !state.stopped {
        let kernel = Arc::downgrade(kernel);
        let thread = std::thread::Builder::new()
            .name("postgres timers".into())
            .stack_size(128 << 10)
            .spawn(move || run(&kernel));
        state.running = thread.is_ok();
    }
    kernel.timers.changed.notify_one();
}

fn run(kernel: &Weak<Kernel>) {
    // The kernel outlives its thread: `stop` is called before it is dropped.
    while let Some(kernel) = kernel.upgrade() {
        let timers = &kernel.timers;
        let mut state = timers.lock();
        loop {
            if state.stopped {
                return;
            }
            let now = Instant::now();
            match state.due.first().copied() {
                Some((due, pid, action)) if due <= now => {
                    state.due.pop_first();
                    drop(state);
                    match (kernel.processes.get(pid), action) {
                        (Some(process), Action::Raise(signal)) => process.raise(signal),
                        (Some(process), Action::Awaken) => process.awaken(),
                        (Some(process), Action::Execute) if !process.execute() => {
                            Timers::execute(&kernel, pid);
                        }
                        _ => {}
                    }
                    break;
                }
                Some((due, ..)) => {
                    let wait = timers.changed.wait_timeout(state, due - now);
                    state = wait.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => {
                    let wait = timers.changed.wait(state);
                    state = wait.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}
