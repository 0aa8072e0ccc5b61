//! Calls on side modules: see assets/wasix/pglite.h.

use wasmer::{Function, FunctionEnv, FunctionEnvMut, Imports, Store, StoreMut};

use super::{code, in_kernel};
use crate::kernel::errno::Errno;
use crate::kernel::instance::Occupant;
use crate::kernel::linker::LoadError;
use crate::kernel::process::{Context, share_window};

fn dl_open(context: &mut Context, path: u32, len: u32, result: u32) -> Result<(), LoadError> {
    let region = context.region.clone();
    let path = region.text(path, len).map_err(|_| LoadError::Unknown)?;
    let kernel = context.kernel.clone();
    let found = context.linker.open(&kernel.library, &kernel.instances, path)?;
    let words = [found.handle, found.size, found.align, found.is_linked.into()];
    write_words(context, result, &words)
}

fn dl_link(
    context: &mut Context,
    store: &mut StoreMut<'_>,
    handle: u32,
    memory: u32,
    result: u32,
) -> Result<(), LoadError> {
    let region = context.region.clone();
    let initialisers = context.linker.link(store, &region, handle, memory)?;
    write_words(context, result, &initialisers)
}

fn dl_symbol(
    context: &mut Context,
    store: &mut StoreMut<'_>,
    handle: u32,
    name: u32,
    len: u32,
    result: u32,
) -> Result<(), LoadError> {
    let region = context.region.clone();
    let name = region.text(name, len).map_err(|_| LoadError::Unknown)?;
    let address = context.linker.symbol(store, handle, name)?;
    write_words(context, result, &[address])
}

fn dl_message(context: &mut Context, buffer: u32, size: u32) -> Result<i32, Errno> {
    let message = context.linker.message();
    let len = message.floor_char_boundary(size as usize);
    context.region.write(buffer, &message.as_bytes()[..len])?;
    Ok(len as i32)
}

fn write_words(context: &Context, at: u32, words: &[u32]) -> Result<(), LoadError> {
    for (at, word) in (at..).step_by(4).zip(words) {
        context.region.write_u32(at, *word).map_err(|_| LoadError::Unknown)?;
    }
    Ok(())
}

/// Runs a call that needs the store, unless the process is to end; what goes wrong is kept for `dl_message`.
fn linking(
    mut env: FunctionEnvMut<'_, Occupant>,
    call: impl FnOnce(&mut Context, &mut StoreMut<'_>) -> Result<(), LoadError>,
) -> i32 {
    let (context, mut store) = env.data_and_store_mut();
    let result = context.process.enter_kernel().and_then(|has_to_share| {
        if has_to_share {
            share_window(context);
        }
        let result = call(context, &mut store).map_err(|error| {
            context.linker.fail(&error);
            Errno::NOEXEC
        });
        context.process.leave_kernel();
        result
    });
    code(result)
}

pub(super) fn define(store: &mut Store, env: &FunctionEnv<Occupant>, imports: &mut Imports) {
    let open = |env: FunctionEnvMut<'_, Occupant>, path: u32, len: u32, result: u32| -> i32 {
        linking(env, |context, _| dl_open(context, path, len, result))
    };
    let link = |env: FunctionEnvMut<'_, Occupant>, handle: u32, memory: u32, result: u32| -> i32 {
        linking(env, |context, store| dl_link(context, store, handle, memory, result))
    };
    let symbol =
        |env: FunctionEnvMut<'_, Occupant>, handle: u32, name: u32, len: u32, result: u32| -> i32 {
            linking(env, |context, store| dl_symbol(context, store, handle, name, len, result))
        };
    let message = |mut env: FunctionEnvMut<'_, Occupant>, buffer: u32, size: u32| -> i32 {
        in_kernel(env.data_mut(), |context| dl_message(context, buffer, size)).unwrap_or(0)
    };
    imports.define("pglite", "dl_open", Function::new_typed_with_env(store, env, open));
    imports.define("pglite", "dl_link", Function::new_typed_with_env(store, env, link));
    imports.define("pglite", "dl_symbol", Function::new_typed_with_env(store, env, symbol));
    imports.define("pglite", "dl_message", Function::new_typed_with_env(store, env, message));
}
