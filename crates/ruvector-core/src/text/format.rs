//! Vectors to texts.

use alloc::string::String;
use alloc::vec::Vec;

use super::shortest::{FLOAT_TEXT_MAX, ROOM, write_f32};
use crate::error::{Error, Result};
use crate::half::F16;
use crate::sparse::SparseRef;

/// Prints a dense vector, `[1,2.5,-0.03]`, with the shortest numbers that read back as the same.
///
/// # Errors
/// [`Error::OutOfMemory`].
///
/// ```
/// assert_eq!(ruvector_core::text::format_vector(&[1.0, 2.5, 1e-6])?, "[1,2.5,1e-06]");
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn format_vector(vector: &[f32]) -> Result<String> {
    let mut text = Text::with_room(vector.len(), FLOAT_TEXT_MAX + 1)?;
    text.dense(vector.iter().copied());
    text.finish()
}

/// Prints a half precision vector as the single precision numbers that its elements are, as pgvector does.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn format_halfvec(vector: &[F16]) -> Result<String> {
    let mut text = Text::with_room(vector.len(), FLOAT_TEXT_MAX + 1)?;
    text.dense(vector.iter().map(|half| half.to_f32()));
    text.finish()
}

/// Prints a sparse vector, `{1:1.5,3:-2}/5`.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn format_sparsevec(vector: SparseRef<'_>) -> Result<String> {
    // A position has at most ten digits.
    let mut text = Text::with_room(vector.values().len() + 1, FLOAT_TEXT_MAX + 12)?;
    text.byte(b'{');
    for (place, (&index, &value)) in vector.indices().iter().zip(vector.values()).enumerate() {
        if place > 0 {
            text.byte(b',');
        }
        text.whole(index.saturating_add(1));
        text.byte(b':');
        text.float(value);
    }
    text.byte(b'}');
    text.byte(b'/');
    text.whole(vector.dimensions());
    text.finish()
}

/// A text that has room for all that will be written to it, and some more.
struct Text {
    bytes: Vec<u8>,
    length: usize,
}

impl Text {
    fn with_room(elements: usize, each: usize) -> Result<Self> {
        let room = elements.checked_mul(each).and_then(|n| n.checked_add(2 + ROOM));
        let room = room.ok_or(Error::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(room)?;
        bytes.resize(room, 0);
        Ok(Self { bytes, length: 0 })
    }

    fn dense(&mut self, elements: impl Iterator<Item = f32>) {
        self.byte(b'[');
        for value in elements {
            self.float(value);
            self.byte(b',');
        }
        // In the place of the last comma; a vector has an element.
        self.length = self.length.saturating_sub(1).max(1);
        self.byte(b']');
    }

    fn byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn float(&mut self, value: f32) {
        if let Some(room) = self.bytes[self.length..].first_chunk_mut::<ROOM>() {
            self.length += write_f32(value, room);
        }
    }

    fn whole(&mut self, mut number: u32) {
        let mut buffer = [0; 10];
        let mut at = buffer.len();
        loop {
            at -= 1;
            buffer[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        buffer[at..].iter().for_each(|&digit| self.byte(digit));
    }

    fn finish(mut self) -> Result<String> {
        self.bytes.truncate(self.length);
        Ok(String::from_utf8(self.bytes).expect("digits and punctuation are ASCII"))
    }
}
