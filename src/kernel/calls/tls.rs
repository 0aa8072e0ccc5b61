//! Calls on TLS sessions; assets/wasix/pglite.h says what each does.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::CallResult;
use crate::kernel::descriptor::Open;
use crate::kernel::errno::Errno;
use crate::kernel::memory::Region;
use crate::kernel::process::Context;
use crate::kernel::tls::{Config, Fact, Failure, Progress, Session, Settings, Versions};

const WANT_READ: u32 = 1;
const WANT_WRITE: u32 = 2;

pub(super) fn tls_available(_: &mut Context) -> CallResult {
    Ok(())
}

pub(super) fn tls_configure(context: &mut Context, settings: u32, part: u32) -> CallResult {
    match Config::new(&read_settings(&context.region, settings)?) {
        Ok(config) => {
            context.tls.config = Some(Arc::new(config));
            Ok(())
        }
        Err(error) => {
            context.region.write_u32(part, error.part as u32)?;
            context.tls.message = error.to_string();
            Err(Errno::INVAL)
        }
    }
}

/// `PglTlsSettings`.
fn read_settings(region: &Region, at: u32) -> Result<Settings<'_>, Errno> {
    let word = |index: u32| region.read_u32(at + 4 * index);
    let bytes = |index: u32| region.slice(word(2 * index)?, word(2 * index + 1)? as usize);
    let text = |index: u32| region.text(word(2 * index)?, word(2 * index + 1)?);
    Ok(Settings {
        chain: bytes(0)?,
        key: bytes(1)?,
        authorities: bytes(2)?,
        revoked: bytes(3)?,
        protocol: bytes(4)?,
        ciphers: text(5)?,
        curve: text(6)?,
        prefer_server_ciphers: word(14)? != 0,
        versions: Versions { min: word(15)?, max: word(16)? },
    })
}

pub(super) fn tls_forget(context: &mut Context) -> CallResult {
    context.tls.config = None;
    Ok(())
}

pub(super) fn tls_accept(context: &mut Context, fd: i32, early: u32, len: u32) -> CallResult {
    let open = context.descriptors.get(fd)?;
    socket(open)?;
    let config = context.tls.config.as_ref().ok_or(Errno::NOTSUP)?;
    match Session::new(config, context.region.slice(early, len as usize)?) {
        Ok(session) => open.tls.set(Mutex::new(session)).map_err(|_| Errno::ISCONN),
        Err(failure) => Err(failed(&mut context.tls.message, failure)),
    }
}

pub(super) fn tls_handshake(context: &mut Context, fd: i32, wants: u32) -> CallResult {
    let open = context.descriptors.get(fd)?.clone();
    let outcome = session(&open)?.handshake(socket(&open)?);
    progress(context, outcome, wants)
}

pub(super) fn tls_read(
    context: &mut Context,
    fd: i32,
    buffer: u32,
    len: u32,
    result: u32,
    wants: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?.clone();
    let buffer = context.region.slice_mut(buffer, len as usize)?;
    let outcome = session(&open)?.read(socket(&open)?, buffer);
    if let Err(Failure::Eof) = outcome {
        // As without TLS, when a connection breaks.
        return Err(Errno::CONNRESET);
    }
    let read = progress(context, outcome, wants)?;
    context.region.write_u32(result, read as u32)
}

pub(super) fn tls_write(
    context: &mut Context,
    fd: i32,
    data: u32,
    len: u32,
    result: u32,
    wants: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?.clone();
    let data = context.region.slice(data, len as usize)?;
    let outcome = session(&open)?.write(socket(&open)?, data);
    let written = progress(context, outcome, wants)?;
    context.region.write_u32(result, written as u32)
}

pub(super) fn tls_close(context: &mut Context, fd: i32) -> CallResult {
    let open = context.descriptors.get(fd)?;
    session(open)?.close(socket(open)?);
    Ok(())
}

pub(super) fn tls_fact(
    context: &mut Context,
    fd: i32,
    fact: u32,
    buffer: u32,
    size: u32,
    result: u32,
) -> CallResult {
    let open = context.descriptors.get(fd)?;
    let fact = session(open)?.fact(Fact::from_number(fact).ok_or(Errno::INVAL)?);
    context.region.write(buffer, &fact[..fact.len().min(size as usize)])?;
    context.region.write_u32(result, fact.len() as u32)
}

pub(super) fn tls_message(context: &mut Context, buffer: u32, size: u32) -> CallResult {
    let room = (size as usize).checked_sub(1).ok_or(Errno::INVAL)?;
    let message = &context.tls.message;
    let mut text = message.as_bytes()[..message.floor_char_boundary(room)].to_vec();
    text.push(0);
    context.region.write(buffer, &text)
}

fn socket(open: &Open) -> Result<BorrowedFd<'_>, Errno> {
    Ok(open.connection()?.as_fd())
}

fn session(open: &Open) -> Result<MutexGuard<'_, Session>, Errno> {
    let session = open.tls.get().ok_or(Errno::NOTCONN)?;
    Ok(session.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What a step has done, or the error that tells the guest to wait.
fn progress<T>(
    context: &mut Context,
    outcome: Result<Progress<T>, Failure>,
    wants: u32,
) -> Result<T, Errno> {
    let wanted = match outcome {
        Ok(Progress::Done(result)) => return Ok(result),
        Ok(Progress::WantRead) => WANT_READ,
        Ok(Progress::WantWrite) => WANT_WRITE,
        Err(failure) => return Err(failed(&mut context.tls.message, failure)),
    };
    context.region.write_u32(wants, wanted)?;
    Err(Errno::AGAIN)
}

fn failed(message: &mut String, failure: Failure) -> Errno {
    *message = failure.to_string();
    match failure {
        Failure::Io(error) => Errno::from(error),
        failure if failure.is_about_versions() => Errno::PROTONOSUPPORT,
        _ => Errno::PROTO,
    }
}
