//! The kernel's calls, as the guest imports them.
//!
//! Each takes the calling process and plain numbers; addresses are checked where they are used. A call
//! returns nothing but its error: results go to guest memory, as in WASI.

mod files;
mod linker;
mod paths;
mod poll;
mod process;
mod sockets;
mod system;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls_absent.rs"]
mod tls;

use wasmer::{Function, FunctionEnv, FunctionEnvMut, Imports, Store};

use super::errno::Errno;
use super::instance::Occupant;
use super::process::{Context, share_window};

type CallResult = Result<(), Errno>;

fn code(result: CallResult) -> i32 {
    match result {
        Ok(()) => 0,
        Err(errno) => i32::from(errno.0),
    }
}

/// Runs a call, unless the process is to end.
fn in_kernel<T>(
    context: &mut Context,
    call: impl FnOnce(&mut Context) -> Result<T, Errno>,
) -> Result<T, Errno> {
    if context.process.enter_kernel()? {
        share_window(context);
    }
    let result = call(context);
    context.process.leave_kernel();
    result
}

macro_rules! define {
    ($imports:ident, $store:ident, $env:ident, $module:literal,
     $($path:ident :: $name:ident ( $($arg:ident : $ty:ty),* );)*) => {
        $($imports.define(
            $module,
            stringify!($name),
            Function::new_typed_with_env(
                $store,
                $env,
                |mut env: FunctionEnvMut<'_, Occupant>, $($arg: $ty),*| -> i32 {
                    let context = env.data_mut();
                    code(in_kernel(context, |context| $path::$name(context, $($arg),*)))
                },
            ),
        );)*
    };
}

/// Everything a module may import.
pub(super) fn imports(store: &mut Store, env: &FunctionEnv<Occupant>) -> Imports {
    let mut imports = Imports::new();
    define! { imports, store, env, "wasi_snapshot_preview1",
        system::args_get(list: u32, buffer: u32);
        system::args_sizes_get(count: u32, size: u32);
        system::environ_get(list: u32, buffer: u32);
        system::environ_sizes_get(count: u32, size: u32);
        system::clock_res_get(clock: u32, result: u32);
        system::clock_time_get(clock: u32, precision: u64, result: u32);
        system::random_get(buffer: u32, len: u32);
        system::sched_yield();
        files::fd_advise(fd: i32, offset: u64, len: u64, advice: u32);
        files::fd_allocate(fd: i32, offset: u64, len: u64);
        files::fd_close(fd: i32);
        files::fd_datasync(fd: i32);
        files::fd_sync(fd: i32);
        files::fd_fdstat_get(fd: i32, result: u32);
        files::fd_fdstat_set_flags(fd: i32, flags: u32);
        files::fd_filestat_get(fd: i32, result: u32);
        files::fd_filestat_set_size(fd: i32, len: u64);
        files::fd_filestat_set_times(fd: i32, accessed: u64, modified: u64, which: u32);
        files::fd_pread(fd: i32, vectors: u32, count: u32, offset: u64, result: u32);
        files::fd_pwrite(fd: i32, vectors: u32, count: u32, offset: u64, result: u32);
        files::fd_read(fd: i32, vectors: u32, count: u32, result: u32);
        files::fd_write(fd: i32, vectors: u32, count: u32, result: u32);
        files::fd_prestat_get(fd: i32, result: u32);
        files::fd_prestat_dir_name(fd: i32, path: u32, len: u32);
        files::fd_readdir(fd: i32, buffer: u32, len: u32, cookie: u64, result: u32);
        files::fd_renumber(from: i32, to: i32);
        files::fd_seek(fd: i32, offset: i64, whence: u32, result: u32);
        files::fd_tell(fd: i32, result: u32);
        paths::path_create_directory(fd: i32, path: u32, len: u32);
        paths::path_filestat_get(fd: i32, lookup: u32, path: u32, len: u32, result: u32);
        paths::path_filestat_set_times(fd: i32, lookup: u32, path: u32, len: u32, accessed: u64, modified: u64, which: u32);
        paths::path_link(from_fd: i32, lookup: u32, from: u32, from_len: u32, to_fd: i32, to: u32, to_len: u32);
        paths::path_open(fd: i32, lookup: u32, path: u32, len: u32, how: u32, rights: u64, inherited: u64, flags: u32, result: u32);
        paths::path_readlink(fd: i32, path: u32, len: u32, buffer: u32, buffer_len: u32, result: u32);
        paths::path_remove_directory(fd: i32, path: u32, len: u32);
        paths::path_rename(from_fd: i32, from: u32, from_len: u32, to_fd: i32, to: u32, to_len: u32);
        paths::path_symlink(target: u32, target_len: u32, fd: i32, path: u32, len: u32);
        paths::path_unlink_file(fd: i32, path: u32, len: u32);
        poll::poll_oneoff(subscriptions: u32, events: u32, count: u32, result: u32);
        sockets::sock_accept(fd: i32, flags: u32, result: u32);
        sockets::sock_recv(fd: i32, vectors: u32, count: u32, how: u32, result: u32, result_flags: u32);
        sockets::sock_send(fd: i32, vectors: u32, count: u32, how: u32, result: u32);
        sockets::sock_shutdown(fd: i32, how: u32);
    }
    define! { imports, store, env, "wasix_32v1",
        files::fd_dup(fd: i32, result: u32);
        files::fd_pipe(reader: u32, writer: u32);
        process::proc_id(result: u32);
        process::proc_parent(pid: i32, result: u32);
        process::proc_signal(pid: i32, signal: i32);
        process::proc_raise_interval(signal: i32, nanoseconds: u64, repeat: u32);
        sockets::sock_open(family: u32, kind: u32, protocol: u32, result: u32);
        sockets::sock_listen(fd: i32, backlog: u32);
    }
    define! { imports, store, env, "pglite",
        process::process_init(pending: u32, interrupt: u32);
        process::process_window(start: u32, len: u32);
        files::fd_sync_file_system(fd: i32);
        sockets::sock_bind_local(fd: i32, name: u32, len: u32);
        tls::tls_available();
        tls::tls_configure(settings: u32, part: u32);
        tls::tls_forget();
        tls::tls_accept(fd: i32, early: u32, len: u32);
        tls::tls_handshake(fd: i32, wants: u32);
        tls::tls_read(fd: i32, buffer: u32, len: u32, result: u32, wants: u32);
        tls::tls_write(fd: i32, buffer: u32, len: u32, result: u32, wants: u32);
        tls::tls_close(fd: i32);
        tls::tls_fact(fd: i32, fact: u32, buffer: u32, size: u32, result: u32);
        tls::tls_message(buffer: u32, size: u32);
        sockets::sock_connect(fd: i32, address: u32, len: u32);
        sockets::sock_local_address(fd: i32, buffer: u32, len: u32);
        sockets::sock_peer_address(fd: i32, buffer: u32, len: u32);
        sockets::sock_set_option(fd: i32, level: i32, option: i32, value: i32);
        sockets::sock_get_option(fd: i32, level: i32, option: i32, result: u32);
        sockets::sock_peer_identity(fd: i32, who: u32, user: u32);
        sockets::resolve_name(name: u32, len: u32, addresses: u32, room: u32, count: u32);
    }
    process::define(store, env, &mut imports);
    linker::define(store, env, &mut imports);
    imports
}
