//! What happens later: signals of interval timers when they are due, and the end of processes that were killed.
//!
//! Each cluster has its [`Timers`], and all clusters of this program one thread, the *clock*. It looks at a
//! cluster when the first of its timers may be due; a timer that is switched off meanwhile costs one look.
//! So a cluster that is there for a millisecond needs no thread of its own, and wakes none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Kernel;

/// The timers of one cluster.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// (when, pid, what).
    due: BTreeSet<(Instant, i32, Action)>,
    /// When the clock looks here next.
    look: Option<Instant>,
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
            state.add(kernel, pid, Action::Raise(signal), delay);
        }
    }

    /// A process has been killed: sees to it that it ends.
    pub(crate) fn execute(kernel: &Arc<Kernel>, pid: i32) {
        kernel.timers.lock().add(kernel, pid, Action::Execute, GRACE);
    }

    /// A process shall not be a mere image for longer than this.
    pub(crate) fn awaken(kernel: &Arc<Kernel>, pid: i32, delay: Duration) {
        kernel.timers.lock().add(kernel, pid, Action::Awaken, delay);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cancel(&self, pid: i32) {
        self.lock().due.retain(|(_, owner, _)| *owner != pid);
    }

    /// Nothing happens any more.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
    }
}

impl State {
    fn add(&mut self, kernel: &Arc<Kernel>, pid: i32, action: Action, delay: Duration) {
        self.due.insert((Instant::now() + delay, pid, action));
        self.call_clock(kernel);
    }

    /// Sees to it that the clock looks here when the first timer is due.
    fn call_clock(&mut self, kernel: &Arc<Kernel>) {
        let Some((first, ..)) = self.due.first().copied() else { return };
        if !self.stopped && self.look.is_none_or(|look| first < look) {
            self.look = CLOCK.call(first, Arc::downgrade(kernel)).then_some(first);
        }
    }
}

/// The clock has been called for this time: does what is due.
fn look(kernel: &Arc<Kernel>, at: Instant) {
    let mut state = kernel.timers.lock();
    // If not, it was called for an earlier time afterwards, and has been here.
    if state.look == Some(at) {
        state.look = None;
    }
    while !state.stopped {
        let Some((_, pid, action)) =
            state.due.first().copied().filter(|due| due.0 <= Instant::now())
        else {
            break;
        };
        state.due.pop_first();
        drop(state);
        match (kernel.processes.get(pid), action) {
            (Some(process), Action::Raise(signal)) => process.raise(signal),
            (Some(process), Action::Awaken) => process.awaken(),
            (Some(process), Action::Execute) if !process.execute() => {
                Timers::execute(kernel, pid);
            }
            _ => {}
        }
        state = kernel.timers.lock();
    }
    state.call_clock(kernel);
}

/// The one thread.
struct Clock {
    state: Mutex<ClockState>,
    changed: Condvar,
}

struct ClockState {
    /// When to look at whom. The number tells calls for the same time apart.
    calls: BTreeMap<(Instant, u64), Weak<Kernel>>,
    next: u64,
    running: bool,
}

static CLOCK: Clock = Clock {
    state: Mutex::new(ClockState { calls: BTreeMap::new(), next: 0, running: false }),
    changed: Condvar::new(),
};

/// How long the thread stays when nobody needs it.
const IDLE: Duration = Duration::from_secs(1);

impl Clock {
    fn lock(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if the host has no room for a thread.
    fn call(&'static self, at: Instant, kernel: Weak<Kernel>) -> bool {
        let mut state = self.lock();
        let is_first = state.calls.first_key_value().is_none_or(|((first, _), _)| at < *first);
        let number = state.next;
        state.next += 1;
        state.calls.insert((at, number), kernel);
        if !state.running {
            let thread = std::thread::Builder::new()
                .name("postgres timers".into())
                .stack_size(128 << 10)
                .spawn(|| self.run());
            state.running = thread.is_ok();
        } else if is_first {
            self.changed.notify_one();
        }
        state.running
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            let first = state.calls.first_key_value().map(|((at, _), _)| *at);
            let now = Instant::now();
            if first.is_some_and(|at| at <= now) {
                let call = state.calls.pop_first();
                drop(state);
                if let Some(((at, _), kernel)) = call
                    && let Some(kernel) = kernel.upgrade()
                {
                    look(&kernel, at);
                }
                state = self.lock();
                continue;
            }
            let wait = first.map_or(IDLE, |at| at - now);
            let waited = self.changed.wait_timeout(state, wait);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if timeout.timed_out() && state.calls.is_empty() {
                state.running = false;
                return;
            }
        }
    }
}
