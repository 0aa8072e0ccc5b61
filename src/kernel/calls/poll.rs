//! `poll_oneoff`: descriptors, time, and the process's wake-up.

use std::io;
use std::time::Duration;

use super::CallResult;
use crate::kernel::errno::Errno;
use crate::kernel::process::Context;

const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

/// More subscriptions than a process can have descriptors, both ways.
const MAX_SUBSCRIPTIONS: u32 = 2049;

/// One subscription, decoded.
struct Subscription {
    userdata: u64,
    kind: u8,
    /// Index among the host descriptors to poll; `None` for clocks.
    polled: Option<usize>,
    /// Known without polling.
    result: Option<Result<(), Errno>>,
}

/// Waits for any of the subscriptions. Ends with `EINTR` when the process is woken before one of them
/// is ready.
pub(super) fn poll_oneoff(
    context: &mut Context,
    subscriptions: u32,
    events: u32,
    count: u32,
    result: u32,
) -> CallResult {
    if count == 0 || count > MAX_SUBSCRIPTIONS {
        return Err(Errno::INVAL);
    }
    let mut polled = Vec::with_capacity(count as usize + 1);
    polled.push(libc::pollfd {
        fd: context.process.waker.poll_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let mut timeout = None;
    let mut subscribed = Vec::with_capacity(count as usize);
    for index in 0..count {
        let at = subscriptions + 48 * index;
        let [kind] = context.region.read(at + 8)?;
        let mut subscription = Subscription {
            userdata: context.region.read_u64(at)?,
            kind,
            polled: None,
            result: None,
        };
        match kind {
            CLOCK => timeout = Some(clock_timeout(context, at)?),
            FD_READ | FD_WRITE => {
                let fd = context.region.read_u32(at + 16)? as i32;
                match context.descriptors.get(fd).map(|open| open.poll_fd()) {
                    Ok(Some(fd)) => {
                        let events = if kind == FD_READ { libc::POLLIN } else { libc::POLLOUT };
                        subscription.polled = Some(polled.len());
                        polled.push(libc::pollfd { fd, events, revents: 0 });
                    }
                    Ok(None) => subscription.result = Some(Ok(())),
                    Err(errno) => subscription.result = Some(Err(errno)),
                }
            }
            _ => return Err(Errno::INVAL),
        }
        subscribed.push(subscription);
    }

    if subscribed.iter().any(|subscription| subscription.result.is_some()) {
        timeout = Some(Duration::ZERO);
    }
    let waker = &context.process.waker;
    let woken = if waker.begin_poll() {
        let outcome = wait(&mut polled, timeout);
        let woken = waker.end_poll(polled[0].revents != 0);
        outcome?;
        woken
    } else {
        // Woken before the wait: still report what is ready now.
        wait(&mut polled[1..], Some(Duration::ZERO))?;
        true
    };

    let ready = report(context, &subscribed, &polled, woken, events)?;
    if ready == 0 && woken {
        return Err(Errno::INTR);
    }
    context.region.write_u32(result, ready)
}

fn clock_timeout(context: &Context, at: u32) -> Result<Duration, Errno> {
    const ABSOLUTE: u32 = 1;
    const REALTIME: u32 = 0;
    let clock = context.region.read_u32(at + 16)?;
    let nanoseconds = context.region.read_u64(at + 24)?;
    let absolute = context.region.read_u32(at + 40)? & ABSOLUTE != 0;
    let time = Duration::from_nanos(nanoseconds);
    Ok(match (absolute, clock) {
        (false, _) => time,
        (true, REALTIME) => (std::time::UNIX_EPOCH + time)
            .duration_since(std::time::SystemTime::now())
            .unwrap_or_default(),
        (true, _) => time.saturating_sub(context.kernel.started.elapsed()),
    })
}

/// Writes an event for each subscription that is ready; returns how many.
fn report(
    context: &Context,
    subscribed: &[Subscription],
    polled: &[libc::pollfd],
    woken: bool,
    events: u32,
) -> Result<u32, Errno> {
    const HANGUP: u16 = 1;
    let any_polled = polled[1..].iter().any(|fd| fd.revents != 0);
    let any_known = subscribed.iter().any(|subscription| subscription.result.is_some());
    let mut ready = 0;
    for subscription in subscribed {
        let (error, flags) = match (subscription.polled, subscription.result) {
            (Some(index), _) => match polled[index].revents {
                0 => continue,
                revents if revents & libc::POLLNVAL != 0 => (Errno::BADF.0, 0),
                revents if revents & libc::POLLHUP != 0 => (0, HANGUP),
                // An error condition shows as readiness: the next read or write reports it.
                _ => (0, 0),
            },
            (None, Some(Ok(()))) => (0, 0),
            (None, Some(Err(errno))) => (errno.0, 0),
            // The clock: it is why the wait ended, if nothing else is.
            (None, None) if any_polled || any_known || woken => continue,
            (None, None) => (0, 0),
        };
        let mut event = [0u8; 32];
        event[0..8].copy_from_slice(&subscription.userdata.to_le_bytes());
        event[8..10].copy_from_slice(&error.to_le_bytes());
        event[10] = subscription.kind;
        event[24..26].copy_from_slice(&flags.to_le_bytes());
        context.region.write(events + 32 * ready, &event)?;
        ready += 1;
    }
    Ok(ready)
}

#[cfg(target_os = "linux")]
fn wait(polled: &mut [libc::pollfd], timeout: Option<Duration>) -> Result<(), Errno> {
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
fn wait(polled: &mut [libc::pollfd], timeout: Option<Duration>) -> Result<(), Errno> {
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
    // A signal of the host program is none of the guest's business: it sees an early return.
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error.into()) }
}
