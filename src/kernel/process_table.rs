//! The process table: who there is, who has ended, and how many threads are left.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::errno::Errno;
use super::memory;
use super::process::{Process, WaitStatus};

/// So many processes have taken enough memory for what follows to be worth while.
const MANY: usize = 64;

/// Threads of processes in all clusters of this program.
#[derive(Debug)]
struct Threads {
    now: usize,
    /// The most there were since memory was last given back to the host.
    peak: usize,
}

static THREADS: Mutex<Threads> = Mutex::new(Threads { now: 0, peak: 0 });

fn count_started() {
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    threads.now += 1;
    threads.peak = threads.peak.max(threads.now);
}

/// Whether it is time to give memory back.
fn count_finished() -> bool {
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    threads.now -= 1;
    let most_have_ended = threads.peak >= MANY && threads.now <= threads.peak / 4;
    if most_have_ended {
        threads.peak = threads.now;
    }
    most_have_ended
}

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
}

impl TableState {
    fn insert(&mut self, process: Process) -> Arc<Process> {
        let process = Arc::new(process);
        self.processes.insert(process.pid, process.clone());
        process
    }

    fn thread_started(&mut self) {
        self.threads += 1;
        count_started();
    }
}

impl ProcessTable {
    fn lock(&self) -> MutexGuard<'_, TableState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first process takes the host's pid, so that the `postmaster.pid` it writes means something
    /// to other programs on the host; the others count on from there.
    pub(super) fn insert(&self, parent: i32) -> io::Result<Arc<Process>> {
        let mut state = self.lock();
        let pid = if state.last_pid == 0 { std::process::id() as i32 } else { state.last_pid + 1 };
        let process = Process::new(pid, parent)?;
        state.last_pid = pid;
        state.thread_started();
        Ok(state.insert(process))
    }

    /// A process of an image, without a thread. The table counts on from the image's last pid already.
    pub(super) fn insert_copy(&self, pid: i32, parent: i32) -> io::Result<Arc<Process>> {
        let process = Process::new_copy(pid, parent)?;
        let mut state = self.lock();
        debug_assert!(pid <= state.last_pid, "an image's processes came before its last pid");
        Ok(state.insert(process))
    }

    /// Takes out a process that never ran.
    pub(super) fn remove(&self, pid: i32) {
        self.lock().processes.remove(&pid);
    }

    pub(super) fn last_pid(&self) -> i32 {
        self.lock().last_pid
    }

    pub(super) fn set_last_pid(&self, pid: i32) {
        self.lock().last_pid = pid;
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

    pub(super) fn thread_started(&self) {
        self.lock().thread_started();
    }

    /// The status of a process has been set; its thread may still run.
    pub(super) fn process_ended(&self) {
        self.changed.notify_all();
    }

    pub(super) fn thread_finished(&self) {
        let most_have_ended = count_finished();
        if most_have_ended {
            memory::give_back();
        }
        self.lock().threads -= 1;
        self.changed.notify_all();
    }

    /// Waits until every thread has finished and given back its memory; false if time ran out.
    pub(crate) fn wait_all(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |state| (state.threads == 0).then_some(())).is_some()
    }

    /// Waits for the end of one process.
    pub(crate) fn wait_end(&self, process: &Process, timeout: Duration) -> Option<WaitStatus> {
        self.wait_until(timeout, |_| process.status())
    }

    /// Waits until there is an answer; `None` if time ran out.
    fn wait_until<T>(
        &self,
        timeout: Duration,
        answer: impl Fn(&TableState) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(answer) = answer(&state) {
                return Some(answer);
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
