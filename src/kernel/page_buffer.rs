//! Buffers to read files into.

use std::ops::{Deref, DerefMut};

const PAGE: usize = 4096;

/// A buffer that begins with a page, as what the system copies to it does.
///
/// Large allocations of glibc begin 16 bytes behind one, and there the instruction that Linux copies with takes five times
/// as long on AMD's Zen: it takes each store for one to what it loads next (glibc bug 30994 is about the same).
pub(crate) struct PageBuffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl PageBuffer {
    /// Zeros.
    pub(crate) fn new(len: usize) -> PageBuffer {
        let bytes = vec![0; len + PAGE - 1];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE - 1);
        PageBuffer { bytes, start, len }
    }
}

impl Deref for PageBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for PageBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_with_a_page() {
        for len in [0, 1, 4096, 100_000, 1 << 20] {
            let mut buffer = PageBuffer::new(len);
            assert_eq!((buffer.len(), buffer.as_ptr() as usize % PAGE), (len, 0));
            buffer.fill(1);
        }
    }
}
