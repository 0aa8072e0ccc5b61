//! The kernel's one wait: host descriptors, listeners, time, and the process's wake-up.

use std::ffi::c_short;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::errno::Errno;
use super::listener::Listener;
use super::waker::Waker;

/// What one entry of a wait is about.
#[derive(Debug)]
pub(crate) enum Target {
    /// Never ready, as a clock's place in a list.
    Never,
    /// Ready at once, as a file.
    Always,
    /// A host descriptor that stays open during the wait, and the events of `poll(2)`.
    Host(RawFd, c_short),
    Listener(Arc<Listener>),
}

/// One entry of a wait.
#[derive(Debug)]
pub(crate) struct Watch {
    target: Target,
    revents: c_short,
}

impl Watch {
    pub(crate) fn new(target: Target) -> Watch {
        Watch { target, revents: 0 }
    }

    /// What `poll(2)` says of it; not 0 if it is ready.
    pub(crate) fn revents(&self) -> c_short {
        self.revents
    }
}

/// Waits until something is ready, time is up, or the process is woken; returns whether it was woken.
pub(crate) fn wait(
    waker: &Waker,
    watches: &mut [Watch],
    timeout: Option<Duration>,
) -> Result<bool, Errno> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut left = timeout;
    let mut polled = Vec::with_capacity(watches.len() + 1);
    let mut sources = Vec::new();
    loop {
        polled.clear();
        sources.clear();
        polled.push(entry(waker.poll_fd(), libc::POLLIN));
        for watch in &*watches {
            // poll(2) passes over a negative descriptor.
            polled.push(match &watch.target {
                Target::Host(fd, events) => entry(*fd, *events),
                Target::Never | Target::Always | Target::Listener(_) => entry(-1, 0),
            });
            match &watch.target {
                Target::Always => left = Some(Duration::ZERO),
                Target::Listener(listener) => {
                    if let Some(again) = listener.watch(&mut sources) {
                        let until = again.saturating_duration_since(Instant::now());
                        left = Some(left.map_or(until, |left| left.min(until)));
                    }
                    // Looked at after the bell is watched: a connection after this look rings it.
                    if listener.has_connections() {
                        left = Some(Duration::ZERO);
                    }
                }
                Target::Never | Target::Host(..) => {}
            }
        }
        polled.extend(sources.iter().map(|source| entry(source.fd(), libc::POLLIN)));

        let woken = if waker.begin_poll() {
            let outcome = poll(&mut polled, left);
            let woken = waker.end_poll(polled[0].revents != 0);
            outcome?;
            woken
        } else {
            // Woken before the wait: still report what is ready now.
            poll(&mut polled[1..], Some(Duration::ZERO))?;
            true
        };

        for (source, polled) in sources.iter().zip(&polled[1 + watches.len()..]) {
            if polled.revents != 0 {
                source.collect();
            }
        }
        let mut ready = false;
        for (watch, polled) in watches.iter_mut().zip(&polled[1..]) {
            watch.revents = match &watch.target {
                Target::Never => 0,
                Target::Always => libc::POLLIN | libc::POLLOUT,
                Target::Host(..) => polled.revents,
                Target::Listener(listener) if listener.has_connections() => libc::POLLIN,
                Target::Listener(_) => 0,
            };
            ready |= watch.revents != 0;
        }
        if ready || woken {
            return Ok(woken);
        }
        // Nothing yet: time is up, or a bell rang, a client was gone again, or the host program had a
        // signal.
        left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(false);
        }
    }
}

/// Waits for one host descriptor; `EINTR` if the process is woken before it is ready.
pub(crate) fn wait_for(
    waker: &Waker,
    socket: BorrowedFd<'_>,
    events: c_short,
) -> Result<(), Errno> {
    let mut watches = [Watch::new(Target::Host(socket.as_raw_fd(), events))];
    wait(waker, &mut watches, None)?;
    if watches[0].revents() == 0 { Err(Errno::INTR) } else { Ok(()) }
}

fn entry(fd: RawFd, events: c_short) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

#[cfg(target_os = "linux")]
fn poll(polled: &mut [libc::pollfd], timeout: Option<Duration>) -> Result<(), Errno> {
    let time = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the slice and the time live through the call; no signal mask is given.
    let result = unsafe {
        libc::ppoll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, time, std::ptr::null())
    };
    check(result)
}

#[cfg(not(target_os = "linux"))]
fn poll(polled: &mut [libc::pollfd], timeout: Option<Duration>) -> Result<(), Errno> {
    // Rounded up: a wait that ends early would spin.
    let milliseconds = timeout.map_or(-1, |timeout| {
        timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as libc::c_int
    });
    // SAFETY: the slice lives through the call.
    let result =
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, milliseconds) };
    check(result)
}

fn check(result: libc::c_int) -> Result<(), Errno> {
    if result >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // A signal of the host program is none of the guest's business.
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error.into()) }
}
