//! Calls on processes.

use std::time::Duration;

use wasmer::{AsStoreMut, Function, FunctionEnv, FunctionEnvMut, Imports, Store};

use super::{CallResult, in_kernel};
use crate::kernel::errno::Errno;
use crate::kernel::instance::Occupant;
use crate::kernel::memory::WASM_PAGE;
use crate::kernel::process::signal::KILL;
use crate::kernel::process::{Context, fork};
use crate::kernel::timer::Timers;
use crate::kernel::window::Window;

pub(super) fn proc_id(context: &mut Context, result: u32) -> CallResult {
    context.region.write_u32(result, context.process.pid as u32)
}

pub(super) fn proc_parent(context: &mut Context, pid: i32, result: u32) -> CallResult {
    let process = context.kernel.processes.get(pid).ok_or(Errno::SRCH)?;
    context.region.write_u32(result, process.parent as u32)
}

pub(super) fn proc_signal(context: &mut Context, pid: i32, signal: i32) -> CallResult {
    let Some(process) = context.kernel.processes.get(pid) else {
        // A data directory may name a server outside: Postgres asks whether that still runs.
        return if signal == 0 { host_process_exists(pid) } else { Err(Errno::SRCH) };
    };
    if process.status().is_some() {
        return Err(Errno::SRCH);
    }
    match signal {
        0 => Ok(()),
        1..32 => {
            process.raise(signal);
            if signal == KILL {
                Timers::execute(&context.kernel, pid);
            }
            Ok(())
        }
        _ => Err(Errno::INVAL),
    }
}

fn host_process_exists(pid: i32) -> CallResult {
    if pid <= 0 {
        return Err(Errno::SRCH);
    }
    // SAFETY: signal 0 is only a question.
    if unsafe { libc::kill(pid, 0) } == 0 { Ok(()) } else { Err(Errno::last()) }
}

pub(super) fn proc_raise_interval(
    context: &mut Context,
    signal: i32,
    nanoseconds: u64,
    repeat: u32,
) -> CallResult {
    if !(1..32).contains(&signal) || repeat != 0 {
        return Err(Errno::INVAL);
    }
    let delay = (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds));
    Timers::set(&context.kernel, context.process.pid, signal, delay);
    Ok(())
}

/// See assets/wasix/pglite.h, also for the next.
fn process_copy(context: &mut Context, copy: u32) -> Result<i32, Errno> {
    let Some(facts) = context.kernel.copy.as_ref() else { return Ok(0) };
    if !context.process.take_fresh_copy() {
        return Ok(0);
    }
    context.region.write_u32(copy, facts.session as u32)?;
    context.region.write_u32(copy + 4, facts.cancel_key as u32)?;
    context.region.write_u64(copy + 8, facts.system_identifier)?;
    context.region.write_u32(copy + 16, facts.port.unwrap_or(0).into())?;
    Ok(1)
}

pub(super) fn process_init(context: &mut Context, pending: u32, interrupt: u32) -> CallResult {
    context.region.atomic(pending)?;
    context.region.atomic(interrupt)?;
    context.process.set_signal_words(context.region.clone(), pending, interrupt);
    Ok(())
}

pub(super) fn process_window(context: &mut Context, start: u32, len: u32) -> CallResult {
    let (start, len) = (start as usize, len as usize);
    let aligned = start.is_multiple_of(WASM_PAGE) && len.is_multiple_of(WASM_PAGE);
    if !aligned || start + len > context.region.len() {
        return Err(Errno::INVAL);
    }
    let window = Window::new(start, len)?;
    window.map_into(&context.region)?;
    context.kernel.window.set(window).map_err(|_| Errno::BUSY)
}

/// A result that is a number, or a negative error.
fn number(result: Result<i32, Errno>) -> i32 {
    result.unwrap_or_else(|errno| -i32::from(errno.0))
}

/// Calls whose results are not an error number.
pub(super) fn define(store: &mut Store, env: &FunctionEnv<Occupant>, imports: &mut Imports) {
    let spawn = |mut env: FunctionEnvMut<'_, Occupant>| -> i32 {
        let globals = env.as_store_mut().objects_mut().as_sys_mut().as_u128_globals();
        number(in_kernel(env.data_mut(), |context| {
            fork(context, globals).map_err(|error| {
                tracing::error!(target: "pglite_oxide::kernel", "cannot fork: {error}");
                Errno::from(error)
            })
        }))
    };
    let wait = |mut env: FunctionEnvMut<'_, Occupant>, pid: i32, status: u32| -> i32 {
        number(in_kernel(env.data_mut(), |context| {
            match context.kernel.processes.reap(context.process.pid, pid)? {
                Some((pid, ended)) => {
                    context.region.write_u32(status, ended.0 as u32)?;
                    Ok(pid)
                }
                None => Ok(0),
            }
        }))
    };
    let sleep = |mut env: FunctionEnvMut<'_, Occupant>| {
        let _ = in_kernel(env.data_mut(), |_| Ok(()));
        // Uses no memory of the guest.
        env.data().process.waker.sleep();
    };
    let wake = |env: FunctionEnvMut<'_, Occupant>, pid: i32| {
        if let Some(process) = env.data().kernel.processes.get(pid) {
            process.wake();
        }
    };
    let give_way = |mut env: FunctionEnvMut<'_, Occupant>| {
        let _ = in_kernel(env.data_mut(), |_| Ok(()));
        std::thread::yield_now();
    };
    let copy = |mut env: FunctionEnvMut<'_, Occupant>, copy: u32| -> i32 {
        number(in_kernel(env.data_mut(), |context| process_copy(context, copy)))
    };
    imports.define("pglite", "process_copy", Function::new_typed_with_env(store, env, copy));
    imports.define("pglite", "process_spawn", Function::new_typed_with_env(store, env, spawn));
    imports.define("pglite", "process_wait", Function::new_typed_with_env(store, env, wait));
    imports.define("pglite", "process_sleep", Function::new_typed_with_env(store, env, sleep));
    imports.define("pglite", "process_wake", Function::new_typed_with_env(store, env, wake));
    imports.define("pglite", "process_yield", Function::new_typed_with_env(store, env, give_way));
}
