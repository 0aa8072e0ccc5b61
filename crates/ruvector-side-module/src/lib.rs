//! What the C part of the extension calls.
//!
//! C has all that knows PostgreSQL: arguments and results, memory contexts, `ereport`. It never leaves a function here by
//! `longjmp`: what is called here for memory returns null instead, and what is called for pages (see [`hnsw`]) `false`.
//! Functions return whether they succeeded; if not, they have filled in a [`Failure`].

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod aggregate;
mod hnsw;
mod ivfflat;
mod memory;
mod quantize;
mod types;
mod view;

use alloc::vec::Vec;
use core::ffi::c_char;
use core::fmt;

use ruvector_core::{Error, Result};

#[cfg(not(feature = "std"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    loop {}
}

/// Bytes that C has to give back with `pfree`; all of them are in use.
#[repr(C)]
pub struct Bytes {
    data: *mut u8,
    length: usize,
}

impl Bytes {
    fn from_vec(bytes: Vec<u8>) -> Self {
        Self::from_vector(bytes)
    }

    /// The memory of numbers, which `palloc` has given whatever their alignment is.
    fn from_vector<T: Copy>(mut elements: Vec<T>) -> Self {
        // An empty one has no memory of its own: a null pointer says so.
        if elements.capacity() == 0 {
            return Self { data: core::ptr::null_mut(), length: 0 };
        }
        let length = size_of_val(elements.as_slice());
        let data = elements.as_mut_ptr().cast();
        core::mem::forget(elements);
        Self { data, length }
    }
}

/// An error, for `ereport`.
#[repr(C)]
pub struct Failure {
    /// The five characters of the class, and a zero.
    sqlstate: [c_char; 6],
    /// The message in UTF-8, ended by a zero; null if there was no memory for it.
    message: *mut u8,
    /// The detail, likewise, or null.
    detail: *mut u8,
}

/// A text that is written as far as there is memory for it.
struct Text(Vec<u8>);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.try_reserve(text.len() + 1).map_err(|_| fmt::Error)?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A string of C, or null if there was no memory for it.
fn c_string(text: &dyn fmt::Display) -> *mut u8 {
    let mut written = Text(Vec::new());
    if fmt::Write::write_fmt(&mut written, format_args!("{text}")).is_err()
        || written.0.try_reserve(1).is_err()
    {
        return core::ptr::null_mut();
    }
    // What comes from a string of C has no zero within.
    written.0.push(0);
    Bytes::from_vec(written.0).data
}

/// Writes a result, or what went wrong.
///
/// # Safety
/// `failure` is null or can be written to.
unsafe fn report(result: Result<()>, failure: *mut Failure) -> bool {
    let Err(error) = result else { return true };
    let mut sqlstate = [0; 6];
    for (to, from) in sqlstate.iter_mut().zip(error.class().sqlstate().bytes()) {
        *to = from as c_char;
    }
    let (message, detail) = if error == Error::OutOfMemory {
        (core::ptr::null_mut(), core::ptr::null_mut())
    } else {
        let detail = error.detail().map(|detail| c_string(&detail));
        (c_string(&error), detail.unwrap_or(core::ptr::null_mut()))
    };
    // SAFETY: the caller's promise, and null was left out.
    if let Some(failure) = unsafe { failure.as_mut() } {
        *failure = Failure { sqlstate, message, detail };
    }
    false
}
