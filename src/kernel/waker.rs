//! The one thing a process sleeps on.
//!
//! A wake-up is a token: it ends the current sleep, or the next one if there is none. Waking a process
//! that is not asleep costs one atomic swap and no system call.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;

const IDLE: u8 = 0;
const NOTIFIED: u8 = 1;
/// Asleep in `std::thread::park`.
const PARKED: u8 = 2;
/// Asleep in `poll` on the wake-up descriptor, among others.
const POLLING: u8 = 3;

#[derive(Debug)]
pub(crate) struct Waker {
    state: AtomicU8,
    /// Locked by who finds it asleep, which is about to make a system call anyway.
    thread: Mutex<Option<Thread>>,
    reader: OwnedFd,
    writer: Option<OwnedFd>,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Waker> {
        let (reader, writer) = wake_descriptors()?;
        Ok(Waker { state: AtomicU8::new(IDLE), thread: Mutex::new(None), reader, writer })
    }

    /// Names the thread that will sleep here: called by that thread. A process that was dormant meanwhile has
    /// another one than before.
    pub(crate) fn attach_current_thread(&self) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
    }

    pub(crate) fn wake(&self) {
        match self.state.swap(NOTIFIED, Ordering::SeqCst) {
            PARKED => {
                let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(thread) = &*thread {
                    thread.unpark();
                }
            }
            POLLING => {
                let one = 1u64.to_ne_bytes();
                let fd = self.writer.as_ref().unwrap_or(&self.reader).as_raw_fd();
                // SAFETY: writes 8 bytes of a local array. The descriptor does not block; it is full
                // only if wake-ups are waiting in it already, which is all that is wanted.
                unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
            }
            _ => {}
        }
    }

    /// Sleeps until woken.
    pub(crate) fn sleep(&self) {
        if self.enter(PARKED) {
            while self.state.load(Ordering::SeqCst) != NOTIFIED {
                std::thread::park();
            }
        }
        self.state.store(IDLE, Ordering::SeqCst);
    }

    /// Before polling: false if a wake-up is there already (it is used up; do not poll).
    pub(crate) fn begin_poll(&self) -> bool {
        let entered = self.enter(POLLING);
        if !entered {
            self.state.store(IDLE, Ordering::SeqCst);
        }
        entered
    }

    /// After polling; `readable` if the wake-up descriptor was. Returns whether a wake-up came.
    pub(crate) fn end_poll(&self, readable: bool) -> bool {
        let woken = self.state.swap(IDLE, Ordering::SeqCst) == NOTIFIED;
        if readable {
            // A waker may still be about to write after this drain: that costs the next poll one
            // early return, which every caller copes with.
            let mut buffer = [0u8; 64];
            // SAFETY: reads into a local array; the descriptor does not block.
            unsafe {
                libc::read(self.reader.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len())
            };
        }
        woken || readable
    }

    /// Readable while a wake-up waits.
    pub(crate) fn poll_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    fn enter(&self, state: u8) -> bool {
        self.state.compare_exchange(IDLE, state, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

#[cfg(target_os = "linux")]
fn wake_descriptors() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    // SAFETY: eventfd takes no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, None))
}

#[cfg(not(target_os = "linux"))]
fn wake_descriptors() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (reader, writer) = io::pipe()?;
    for fd in [reader.as_raw_fd(), writer.as_raw_fd()] {
        // SAFETY: sets a flag on a descriptor we own.
        if unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok((reader.into(), Some(writer.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_wake_up_before_the_sleep_is_not_lost() {
        let waker = Waker::new().unwrap();
        waker.attach_current_thread();
        waker.wake();
        waker.sleep();
        waker.wake();
        assert!(!waker.begin_poll());
        assert!(waker.begin_poll());
        assert!(!waker.end_poll(false));
    }

    #[test]
    fn a_sleeper_is_woken() {
        let waker = Arc::new(Waker::new().unwrap());
        let sleeper = std::thread::spawn({
            let waker = waker.clone();
            move || {
                waker.attach_current_thread();
                for _ in 0..1000 {
                    waker.sleep();
                }
            }
        });
        while !sleeper.is_finished() {
            waker.wake();
            std::thread::sleep(Duration::from_micros(10));
        }
        sleeper.join().unwrap();
    }
}
