//! `poll_oneoff`: descriptors, time, and the process's wake-up.

use std::ffi::c_short;
use std::time::Duration;

use super::CallResult;
use crate::kernel::errno::Errno;
use crate::kernel::process::Context;
use crate::kernel::readiness::{Target, Watch, wait};

const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;
/// Ours, see assets/wasix/pglite.h: the peer will send nothing more.
const FD_CLOSED: u8 = 3;

/// More subscriptions than a process can have descriptors, both ways.
const MAX_SUBSCRIPTIONS: u32 = 2049;

/// The bytes of a subscription and of an event.
const SUBSCRIPTION: u32 = 48;
const EVENT: u32 = 32;

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
    let mut timeout = None;
    let mut watches = Vec::with_capacity(count as usize);
    for index in 0..count {
        let at = subscriptions + SUBSCRIPTION * index;
        let target = match subscription_kind(context, at)? {
            CLOCK => {
                timeout = Some(clock_timeout(context, at)?);
                Target::Never
            }
            kind => match context.descriptors.get(subscribed_fd(context, at)?) {
                Ok(open) => open.target(host_events(kind)?),
                // Reported below.
                Err(_) => Target::Always,
            },
        };
        watches.push(Watch::new(target));
    }

    let woken = wait(&context.process.waker, &mut watches, timeout)?;
    let ready = report(context, subscriptions, &watches, woken, events)?;
    if ready == 0 && woken {
        return Err(Errno::INTR);
    }
    context.region.write_u32(result, ready)
}

fn subscription_kind(context: &Context, at: u32) -> Result<u8, Errno> {
    let [kind] = context.region.read(at + 8)?;
    Ok(kind)
}

fn subscribed_fd(context: &Context, at: u32) -> Result<i32, Errno> {
    context.region.read_u32(at + 16).map(|fd| fd as i32)
}

fn host_events(kind: u8) -> Result<c_short, Errno> {
    match kind {
        FD_READ => Ok(libc::POLLIN),
        FD_WRITE => Ok(libc::POLLOUT),
        #[cfg(target_os = "linux")]
        FD_CLOSED => Ok(libc::POLLRDHUP),
        // Where it cannot be asked for, the hosts report a hang-up unasked.
        #[cfg(not(target_os = "linux"))]
        FD_CLOSED => Ok(0),
        _ => Err(Errno::INVAL),
    }
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
    subscriptions: u32,
    watches: &[Watch],
    woken: bool,
    events: u32,
) -> Result<u32, Errno> {
    const HANGUP: u16 = 1;
    let time_is_up = !woken && watches.iter().all(|watch| watch.revents() == 0);
    let mut ready = 0;
    for (index, watch) in (0..).zip(watches) {
        let at = subscriptions + SUBSCRIPTION * index;
        let kind = subscription_kind(context, at)?;
        let (error, flags) = if kind == CLOCK {
            if !time_is_up {
                continue;
            }
            (0, 0)
        } else {
            match (context.descriptors.get(subscribed_fd(context, at)?), watch.revents()) {
                (Err(errno), _) => (errno.0, 0),
                (Ok(_), 0) => continue,
                (Ok(_), revents) if revents & libc::POLLNVAL != 0 => (Errno::BADF.0, 0),
                (Ok(_), revents) if revents & libc::POLLHUP != 0 => (0, HANGUP),
                // An error condition shows as readiness: the next read or write reports it.
                (Ok(_), _) => (0, 0),
            }
        };
        let mut event = [0u8; EVENT as usize];
        event[0..8].copy_from_slice(&context.region.read::<8>(at)?);
        event[8..10].copy_from_slice(&error.to_le_bytes());
        event[10] = kind;
        event[24..26].copy_from_slice(&flags.to_le_bytes());
        context.region.write(events + EVENT * ready, &event)?;
        ready += 1;
    }
    Ok(ready)
}
