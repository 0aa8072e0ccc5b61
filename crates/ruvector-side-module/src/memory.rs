//! Memory of PostgreSQL's current memory context.

use core::alloc::{GlobalAlloc, Layout};

unsafe extern "C" {
    /// `palloc` that returns null instead of raising an error.
    fn ruvector_allocate(size: usize) -> *mut u8;
    fn ruvector_reallocate(memory: *mut u8, size: usize) -> *mut u8;
    fn ruvector_free(memory: *mut u8);
}

struct Palloc;

/// What `palloc` aligns to, on every platform.
const ALIGNMENT: usize = 8;

// SAFETY: the C functions hand out memory of at least the size, aligned to eight bytes, that stays until it is given back,
// or null; larger alignments are refused.
unsafe impl GlobalAlloc for Palloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGNMENT {
            return core::ptr::null_mut();
        }
        // SAFETY: any size will do.
        unsafe { ruvector_allocate(layout.size()) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: it came from `alloc`.
        unsafe { ruvector_free(memory) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() > ALIGNMENT {
            return core::ptr::null_mut();
        }
        // SAFETY: it came from `alloc`.
        unsafe { ruvector_reallocate(memory, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Palloc = Palloc;
