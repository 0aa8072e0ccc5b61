//! What a running command waits for: signals, and work on other threads.

use std::fs;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use pglite_oxide::{Error, PgliteServer};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use crate::failure::Failure;

/// The signals that end a server.
pub(crate) const ENDING: &[i32] = &[SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Something that has happened.
pub(crate) enum Event {
    Signal(Signal),
    /// The server has started, or not.
    Started(Box<Result<PgliteServer, Error>>),
    /// The server has stopped.
    Stopped(Result<(), Error>),
}

/// A signal, and who sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signal {
    pub(crate) number: i32,
    /// From the terminal, and so to all processes in its foreground.
    pub(crate) from_terminal: bool,
    pub(crate) sender: Option<i32>,
}

impl Signal {
    pub(crate) fn name(self) -> &'static str {
        signal_hook::low_level::signal_name(self.number).unwrap_or("a signal")
    }

    /// Whether it asks this program to end.
    pub(crate) fn ends(self) -> bool {
        ENDING.contains(&self.number)
    }
}

impl From<Origin> for Signal {
    fn from(origin: Origin) -> Signal {
        Signal {
            number: origin.signal,
            from_terminal: origin.cause == Cause::Kernel,
            sender: origin.process.map(|process| process.pid),
        }
    }
}

/// A queue of events.
pub(crate) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Events {
    /// Takes these signals over from now on, and queues them.
    pub(crate) fn watch(signals: &[i32]) -> Result<Events, Failure> {
        let failed = |error| Failure::because("cannot handle signals", &error);
        let ignored = ignored_signals();
        // What was ignored when this program was started stays so: `nohup` means it.
        let signals = signals
            .iter()
            .filter(|signal| **signal == SIGCHLD || ignored >> (**signal - 1) & 1 == 0);
        let mut signals = SignalsInfo::<WithOrigin>::new(signals).map_err(failed)?;
        let (sender, receiver) = mpsc::channel();
        let queue = sender.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for origin in signals.forever() {
                    if queue.send(Event::Signal(origin.into())).is_err() {
                        break;
                    }
                }
            })
            .map_err(failed)?;
        Ok(Events { sender, receiver })
    }

    /// The next event; none if there is none for that long.
    pub(crate) fn next(&self, patience: Duration) -> Option<Event> {
        match self.receiver.recv_timeout(patience) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("`sender` is here"),
        }
    }

    /// The next event, however long it takes.
    pub(crate) fn wait(&self) -> Event {
        loop {
            if let Some(event) = self.next(Duration::from_secs(3600)) {
                return event;
            }
        }
    }

    /// Does something on a thread of its own; its result becomes an event.
    pub(crate) fn spawn(
        &self,
        name: &str,
        work: impl FnOnce() -> Event + Send + 'static,
    ) -> Result<(), Failure> {
        let queue = self.sender.clone();
        thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                // Nobody waits for it if the program is ending.
                let _ = queue.send(work());
            })
            .map(drop)
            .map_err(|error| Failure::because("cannot start a thread", &error))
    }
}

/// A bit for each signal that is ignored, where the system tells.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
