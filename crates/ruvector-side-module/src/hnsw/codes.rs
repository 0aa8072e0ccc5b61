//! The codes of a graph in memory.

use alloc::vec::Vec;

use ruvector_core::hnsw::graph::{VectorTable, prefetch};
use ruvector_core::{Error, Result};

use super::kernel::{Code, Kernel};

/// Bytes of a piece of memory. A large graph is in many of them: one that grows would have to be moved, and need twice as
/// much memory while it is.
const PIECE: usize = 256 * 1024;

/// Codes, one after the other.
pub(super) struct Codes {
    kernel: Kernel,
    /// Bytes from one to the next, if all are of one length.
    stride: Option<usize>,
    /// The length of each, if so.
    length: usize,
    /// Codes in a piece, likewise.
    per_piece: usize,
    pieces: Vec<Code>,
    /// Bytes of the last piece in use.
    used: usize,
    /// Where each is, if they have lengths of their own: piece, first byte, length.
    places: Vec<(u32, u32, u32)>,
    count: u32,
}

/// What is beyond that has a mark of the graph in it.
const MOST: u32 = 1 << 30;

impl Codes {
    /// For codes of one length, or, if it is 0, of any up to a page.
    pub(super) fn new(kernel: Kernel, length: usize) -> Self {
        let stride = (length > 0).then(|| length.next_multiple_of(8));
        let per_piece = stride.map_or(0, |stride| (PIECE / stride).max(1));
        let (pieces, places) = (Vec::new(), Vec::new());
        Self { kernel, stride, length, per_piece, pieces, used: 0, places, count: 0 }
    }

    pub(super) fn memory(&self) -> usize {
        let piece = self.stride.map_or(PIECE, |stride| stride * self.per_piece);
        self.pieces.len() * piece + self.places.capacity() * size_of::<(u32, u32, u32)>()
    }

    pub(super) fn push(&mut self, code: &[u8]) -> Result<u32> {
        let code = self.kernel.kept(code);
        if self.count >= MOST {
            return Err(Error::IndexFull);
        }
        let size = self.stride.unwrap_or_else(|| code.len().next_multiple_of(8));
        let piece = self.stride.map_or(PIECE.max(size), |stride| stride * self.per_piece);
        let room = self.pieces.last().map_or(0, |last| last.bytes().len());
        if self.used + size > room || self.pieces.is_empty() {
            self.pieces.try_reserve(1)?;
            self.pieces.push(Code::zeros(piece)?);
            self.used = 0;
        }
        if self.stride.is_none() {
            self.places.try_reserve(1)?;
            let piece = self.pieces.len() - 1;
            self.places.push((piece as u32, self.used as u32, code.len() as u32));
        }
        let used = self.used;
        let to = self.pieces.last_mut().and_then(|last| last.bytes_mut().get_mut(used..));
        for (to, from) in to.into_iter().flatten().zip(code) {
            *to = *from;
        }
        self.used += size;
        self.count += 1;
        Ok(self.count - 1)
    }

    #[inline]
    pub(super) fn code(&self, element: u32) -> Option<&[u8]> {
        let (piece, start, length) = match self.stride {
            Some(stride) => {
                if element >= self.count {
                    return None;
                }
                let element = element as usize;
                (element / self.per_piece, element % self.per_piece * stride, self.length)
            }
            None => {
                let &(piece, start, length) = self.places.get(element as usize)?;
                (piece as usize, start as usize, length as usize)
            }
        };
        self.pieces.get(piece)?.bytes().get(start..start + length)
    }
}

impl<'a> VectorTable for &'a Codes {
    type View = &'a [u8];

    #[inline]
    fn get(self, element: u32) -> Option<&'a [u8]> {
        self.code(element)
    }

    #[inline]
    fn order(self, a: &'a [u8], b: &'a [u8]) -> f32 {
        self.kernel.order(a, b)
    }

    #[inline]
    fn prefetch(self, element: u32) {
        if let Some(code) = self.code(element) {
            prefetch(code);
        }
    }
}
