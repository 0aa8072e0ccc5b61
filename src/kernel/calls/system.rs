//! Arguments, environment, clocks, random numbers.

use std::time::{SystemTime, UNIX_EPOCH};

use super::CallResult;
use crate::kernel::errno::Errno;
use crate::kernel::process::Context;

/// Writes C strings to `buffer` and their addresses to `list`.
fn put_strings(context: &Context, strings: &[String], list: u32, buffer: u32) -> CallResult {
    let mut at = buffer;
    for (index, string) in strings.iter().enumerate() {
        context.region.write_u32(list + 4 * index as u32, at)?;
        context.region.write(at, string.as_bytes())?;
        context.region.write(at + string.len() as u32, &[0])?;
        at += string.len() as u32 + 1;
    }
    Ok(())
}

fn put_sizes(context: &Context, strings: &[String], count: u32, size: u32) -> CallResult {
    context.region.write_u32(count, strings.len() as u32)?;
    context.region.write_u32(size, strings.iter().map(|string| string.len() as u32 + 1).sum())
}

pub(super) fn args_get(context: &mut Context, list: u32, buffer: u32) -> CallResult {
    put_strings(context, &context.arguments, list, buffer)
}

pub(super) fn args_sizes_get(context: &mut Context, count: u32, size: u32) -> CallResult {
    put_sizes(context, &context.arguments, count, size)
}

pub(super) fn environ_get(context: &mut Context, list: u32, buffer: u32) -> CallResult {
    put_strings(context, &context.kernel.environment, list, buffer)
}

pub(super) fn environ_sizes_get(context: &mut Context, count: u32, size: u32) -> CallResult {
    put_sizes(context, &context.kernel.environment, count, size)
}

/// WASI's clock numbers.
const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

pub(super) fn clock_res_get(context: &mut Context, _clock: u32, result: u32) -> CallResult {
    context.region.write_u64(result, 1)
}

pub(super) fn clock_time_get(
    context: &mut Context,
    clock: u32,
    _precision: u64,
    result: u32,
) -> CallResult {
    let nanoseconds = match clock {
        REALTIME => nanoseconds_since_epoch(SystemTime::now()),
        MONOTONIC => context.kernel.started.elapsed().as_nanos() as u64,
        // CPU time: of the calling thread, which is the process.
        _ => thread_cpu_time(),
    };
    context.region.write_u64(result, nanoseconds)
}

fn thread_cpu_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub(super) fn nanoseconds_since_epoch(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

pub(super) fn random_get(context: &mut Context, buffer: u32, len: u32) -> CallResult {
    let bytes = context.region.slice_mut(buffer, len as usize)?;
    getrandom::fill(bytes).map_err(|_| Errno::IO)
}

pub(super) fn sched_yield(_context: &mut Context) -> CallResult {
    std::thread::yield_now();
    Ok(())
}
