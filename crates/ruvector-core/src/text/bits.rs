//! Bit strings, `101`, as SQL's type `bit` has them.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bits::{BitRef, BitVector};
use crate::error::{Error, Result};

/// Reads a bit string of zeros and ones.
///
/// # Errors
/// [`Error::BitDigit`] for any other character, [`Error::OutOfMemory`].
///
/// ```
/// use ruvector_core::text::{format_bits, parse_bits};
///
/// let bits = parse_bits("10110")?;
/// assert_eq!(bits.as_ref().len(), 5);
/// assert_eq!(format_bits(bits.as_ref())?, "10110");
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn parse_bits(text: &str) -> Result<BitVector> {
    let length = u32::try_from(text.len()).map_err(|_| Error::OutOfMemory)?;
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(text.len().div_ceil(8))?;
    bytes.resize(text.len().div_ceil(8), 0);
    for (place, digit) in text.chars().enumerate() {
        match digit {
            '0' => {}
            '1' => bytes[place / 8] |= 0x80 >> (place % 8),
            digit => return Err(Error::BitDigit { digit }),
        }
    }
    BitVector::new(length, bytes)
}

/// Prints a bit string.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn format_bits(bits: BitRef<'_>) -> Result<String> {
    let mut text = String::new();
    text.try_reserve_exact(bits.len() as usize)?;
    for place in 0..bits.len() {
        text.push(if bits.get(place) == Some(true) { '1' } else { '0' });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits() {
        assert!(parse_bits("").unwrap().as_ref().is_empty());
        assert_eq!(parse_bits("102"), Err(Error::BitDigit { digit: '2' }));
        assert_eq!(
            parse_bits("\u{e9}").unwrap_err().to_string(),
            "\"\u{e9}\" is not a valid binary digit"
        );
    }

    use alloc::string::ToString as _;

    proptest! {
        #[test]
        fn round_trip(text in "[01]{0,200}") {
            prop_assert_eq!(format_bits(parse_bits(&text).unwrap().as_ref()).unwrap(), text);
        }
    }
}
