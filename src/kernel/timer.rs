//! Interval timers: one thread per cluster that raises signals when they are due.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Kernel;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// (due, pid, signal); a process has one timer.
    due: BTreeSet<(Instant, i32, i32)>,
    running: bool,
    stopped: bool,
}

impl Timers {
    /// Sets the timer of a process, or with `None` switches it off.
    pub(crate) fn set(kernel: &Arc<Kernel>, pid: i32, signal: i32, delay: Option<Duration>) {
        let timers = &kernel.timers;
        let mut state = timers.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.due.retain(|timer| timer.1 != pid);
        let Some(delay) = delay else { return };
        state.due.insert((Instant::now() + delay, pid, signal));
        if !state.running && !state.stopped {
            let kernel = Arc::downgrade(kernel);
            let thread = std::thread::Builder::new()
                .name("postgres timers".into())
                .stack_size(128 << 10)
                .spawn(move || run(&kernel));
            state.running = thread.is_ok();
        }
        timers.changed.notify_one();
    }

    pub(crate) fn cancel(&self, pid: i32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.due.retain(|timer| timer.1 != pid);
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopped = true;
        self.changed.notify_all();
    }
}

fn run(kernel: &Weak<Kernel>) {
    // The kernel outlives its thread: `stop` is called before it is dropped.
    while let Some(kernel) = kernel.upgrade() {
        let timers = &kernel.timers;
        let mut state = timers.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.stopped {
                return;
            }
            let now = Instant::now();
            match state.due.first().copied() {
                Some((due, pid, signal)) if due <= now => {
                    state.due.pop_first();
                    drop(state);
                    if let Some(process) = kernel.processes.get(pid) {
                        process.raise(signal);
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
