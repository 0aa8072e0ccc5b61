//! The algorithms of the access method `hnsw`, over pages that C reads and writes.
//!
//! C calls a function here, and that calls C again for pages. Such a call never ends by `longjmp`: C catches its own error,
//! and returns `false`; all here is left, and the C function at the beginning raises the error again ([`RETHROW`]).

mod bound;
mod build;
mod check;
mod codes;
mod encode;
mod insert;
mod kernel;
mod layout;
mod pages;
mod rabitq;
mod scan;
mod shared;
mod sq8;

use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr;

use ruvector_core::{Error, Result};

use crate::{Failure, report};

/// What functions return: an error that is described.
const FAILED: i32 = 0;
/// What was wanted is done.
const DONE: i32 = 1;
/// An error of C's is pending.
const RETHROW: i32 = 2;
/// There is no more, or no more room.
const END: i32 = 3;

/// Why work over pages is left.
enum StoreError {
    /// C has an error pending.
    Pending,
    Own(Error),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

/// Hands an object to C, or null if there is no memory for it.
fn give_object<T>(object: T) -> *mut T {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return ptr::null_mut();
    }
    // SAFETY: the size is not zero.
    let memory: *mut T = unsafe { alloc::alloc::alloc(layout) }.cast();
    if !memory.is_null() {
        // SAFETY: the memory is new, large enough and aligned.
        unsafe { memory.write(object) };
    }
    memory
}

/// Takes an object back.
///
/// # Safety
/// It came from [`give_object`], and is not used any more; or it is null.
unsafe fn drop_object<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: the memory was allocated as that of a box is, and holds an object.
        drop(unsafe { Box::from_raw(object) });
    }
}

/// The status of a result.
///
/// # Safety
/// `failure` is null or can be written to.
unsafe fn status(result: Result<i32, StoreError>, failure: *mut Failure) -> i32 {
    match result {
        Ok(status) => status,
        Err(StoreError::Pending) => RETHROW,
        Err(StoreError::Own(error)) => {
            // SAFETY: the caller's promise.
            unsafe { report(Err(error), failure) };
            FAILED
        }
    }
}
