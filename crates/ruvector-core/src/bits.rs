//! Bit vectors, with the first bit in the highest place of the first byte, as SQL's type `bit` has them.

use alloc::vec::Vec;

use crate::error::{Error, Result};

/// A view of a bit vector. Places after its last bit are zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BitRef<'a> {
    length: u32,
    bytes: &'a [u8],
}

impl<'a> BitRef<'a> {
    /// A view of `length` bits.
    ///
    /// # Errors
    /// [`Error::BitPadding`] if the bytes are not as many as the bits need, or there are ones after the last bit.
    ///
    /// ```
    /// use ruvector_core::BitRef;
    ///
    /// let bits = BitRef::new(10, &[0b1010_0000, 0b0100_0000])?;
    /// assert_eq!(bits.get(2), Some(true));
    /// assert!(BitRef::new(9, &[0b1010_0000, 0b0100_0000]).is_err());
    /// # Ok::<(), ruvector_core::Error>(())
    /// ```
    pub fn new(length: u32, bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() != length.div_ceil(8) as usize {
            return Err(Error::BitPadding);
        }
        let used = length % 8;
        if used > 0 && bytes.last().is_some_and(|last| last << used != 0) {
            return Err(Error::BitPadding);
        }
        Ok(Self { length, bytes })
    }

    /// How many bits.
    pub const fn len(self) -> u32 {
        self.length
    }

    /// Is it without any bit?
    pub const fn is_empty(self) -> bool {
        self.length == 0
    }

    /// The bytes.
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// One bit, if there are so many.
    pub fn get(self, place: u32) -> Option<bool> {
        if place >= self.length {
            return None;
        }
        self.bytes.get(place as usize / 8).map(|byte| byte << (place % 8) & 0x80 != 0)
    }
}

/// A bit vector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BitVector {
    length: u32,
    bytes: Vec<u8>,
}

impl BitVector {
    /// A vector of `length` bits.
    ///
    /// # Errors
    /// As [`BitRef::new`].
    pub fn new(length: u32, bytes: Vec<u8>) -> Result<Self> {
        BitRef::new(length, &bytes)?;
        Ok(Self { length, bytes })
    }

    /// A view.
    pub fn as_ref(&self) -> BitRef<'_> {
        BitRef { length: self.length, bytes: &self.bytes }
    }
}
