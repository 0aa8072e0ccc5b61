//! Vectors as bytes that say themselves how they are to be read: for storage.
//!
//! Numbers are little-endian. First come the four bytes `RVQ1`, one for the method (1 or 2), one that is zero, and the
//! dimensions as `u16`. Then:
//!
//! - method 1, `sq8`: the least element and the step as `f32`, and a byte for each dimension, `least + step * byte`;
//! - method 2, `binary`: the mean magnitude of the elements as `f32`, and a bit for each dimension, the highest of a byte
//!   first: whether the element is above zero. It is read as the mean magnitude, or its negative.

use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::kind::VectorKind;

const MAGIC: [u8; 4] = *b"RVQ1";
const HEADER: usize = 8;

/// How a vector is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Packing {
    /// A byte for each dimension, between the least and the greatest element.
    Sq8,
    /// A bit for each dimension.
    Binary,
}

impl Packing {
    /// The packing of this name.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn from_name(name: &[u8]) -> Result<Self> {
        match name {
            b"sq8" => Ok(Self::Sq8),
            b"binary" => Ok(Self::Binary),
            _ => Err(Error::InvalidOption { name: "method", allowed: "\"sq8\" or \"binary\"" }),
        }
    }
}

/// Packs a vector.
///
/// # Errors
/// [`Error::NoDimensions`], [`Error::TooManyDimensions`], [`Error::NotANumber`], [`Error::Infinite`],
/// [`Error::OutOfMemory`].
///
/// ```
/// use ruvector_core::quantize::{Packing, pack, unpack};
///
/// let packed = pack(&[0.0, 127.5, 255.0], Packing::Sq8)?;
/// assert_eq!(packed.len(), 8 + 8 + 3);
/// assert_eq!(unpack(&packed)?, [0.0, 128.0, 255.0]);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn pack(vector: &[f32], packing: Packing) -> Result<Vec<u8>> {
    let kind = VectorKind::Vector;
    let dimensions = kind.check_dimensions(vector.len() as i64)? as u16;
    if vector.iter().any(|x| x.is_nan()) {
        return Err(Error::NotANumber { kind });
    }
    if vector.iter().any(|x| x.is_infinite()) {
        return Err(Error::Infinite { kind });
    }
    let mut packed = Vec::new();
    packed.try_reserve_exact(HEADER + 8 + vector.len())?;
    packed.extend(MAGIC);
    packed.push(match packing {
        Packing::Sq8 => 1,
        Packing::Binary => 2,
    });
    packed.push(0);
    packed.extend(dimensions.to_le_bytes());
    match packing {
        Packing::Sq8 => {
            let least = vector.iter().copied().fold(f32::INFINITY, f32::min);
            let greatest = vector.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            // In double precision, in which no difference overflows.
            let step = ((f64::from(greatest) - f64::from(least)) / 255.0) as f32;
            packed.extend(least.to_le_bytes());
            packed.extend(step.to_le_bytes());
            packed.extend(vector.iter().map(|&x| {
                let steps = (f64::from(x) - f64::from(least)) / f64::from(step);
                // What is not a number, where all elements are equal, becomes zero.
                (steps + 0.5) as u8
            }));
        }
        Packing::Binary => {
            let sum: f64 = vector.iter().map(|x| f64::from(x.abs())).sum();
            packed.extend(((sum / vector.len() as f64) as f32).to_le_bytes());
            packed.extend(vector.chunks(8).map(|eight| {
                eight
                    .iter()
                    .enumerate()
                    .fold(0u8, |byte, (place, &x)| byte | u8::from(x > 0.0) << (7 - place))
            }));
        }
    }
    Ok(packed)
}

/// Takes so many bytes from the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (first, rest) =
        bytes.split_first_chunk().ok_or(Error::Packed { what: "it is too short" })?;
    *bytes = rest;
    Ok(*first)
}

/// A number that can be an element, from the front.
fn take_number(bytes: &mut &[u8]) -> Result<f32> {
    let number = f32::from_le_bytes(take(bytes)?);
    if !number.is_finite() {
        return Err(Error::Packed { what: "a number is infinite or not a number" });
    }
    Ok(number)
}

/// The vector that bytes stand for.
///
/// # Errors
/// [`Error::Packed`] for bytes that [`pack`] does not make, or [`Error::OutOfMemory`].
pub fn unpack(mut packed: &[u8]) -> Result<Vec<f32>> {
    let bytes = &mut packed;
    if take(bytes)? != MAGIC {
        return Err(Error::Packed { what: "it does not begin with \"RVQ1\"" });
    }
    let [method, zero] = take(bytes)?;
    let dimensions = usize::from(u16::from_le_bytes(take(bytes)?));
    if zero != 0 {
        return Err(Error::Packed { what: "a byte that has to be zero is not" });
    }
    if dimensions == 0 || dimensions > VectorKind::Vector.max_dimensions() as usize {
        return Err(Error::Packed { what: "no vector has so many dimensions" });
    }
    let mut vector = Vec::new();
    vector.try_reserve_exact(dimensions)?;
    match method {
        1 => {
            let (least, step) = (take_number(bytes)?, take_number(bytes)?);
            check_rest(bytes, dimensions)?;
            vector.extend(bytes.iter().map(|&code| {
                let x = f64::from(least) + f64::from(step) * f64::from(code);
                // The step is rounded, and may lead a bit too far.
                x.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
            }));
        }
        2 => {
            let magnitude = take_number(bytes)?;
            check_rest(bytes, dimensions.div_ceil(8))?;
            let used = dimensions % 8;
            if used > 0 && bytes.last().is_some_and(|last| last << used != 0) {
                return Err(Error::Packed { what: "bits after the last dimension are set" });
            }
            vector.extend((0..dimensions).map(|place| {
                let set = bytes[place / 8] << (place % 8) & 0x80 != 0;
                if set { magnitude } else { -magnitude }
            }));
        }
        _ => return Err(Error::Packed { what: "its method is unknown" }),
    }
    Ok(vector)
}

fn check_rest(bytes: &[u8], expected: usize) -> Result<()> {
    if bytes.len() != expected {
        let what = "it does not have the length that its dimensions need";
        return Err(Error::Packed { what });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn binary_is_the_sign() {
        let packed =
            pack(&[0.5, -1.5, 0.0, 2.0, 1.0, -1.0, 1.0, -1.0, 1.0], Packing::Binary).unwrap();
        assert_eq!(packed.len(), 8 + 4 + 2);
        assert_eq!(packed[12..], [0b1001_1010, 0b1000_0000]);
        assert_eq!(unpack(&packed).unwrap(), [1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn extremes() {
        let extremes = [f32::MIN, 0.0, f32::MAX];
        let found = unpack(&pack(&extremes, Packing::Sq8).unwrap()).unwrap();
        assert_eq!(found[0], f32::MIN);
        assert!(found[2] >= f32::MAX * 0.999 && found[2].is_finite());
        assert_eq!(unpack(&pack(&[3.5; 4], Packing::Sq8).unwrap()).unwrap(), [3.5; 4]);
    }

    #[test]
    fn errors() {
        assert_eq!(pack(&[], Packing::Sq8).unwrap_err().class().sqlstate(), "22000");
        assert_eq!(pack(&[f32::NAN], Packing::Sq8).unwrap_err().class().sqlstate(), "22000");
        assert_eq!(Packing::from_name(b"pq").unwrap_err().class().sqlstate(), "22023");
        let good = pack(&[1.0, 2.0, 3.0], Packing::Sq8).unwrap();
        for length in 0..good.len() {
            assert!(matches!(unpack(&good[..length]), Err(Error::Packed { .. })), "{length}");
        }
        let change = |place: usize, to: u8| {
            let mut bad = good.clone();
            bad[place] = to;
            unpack(&bad).unwrap_err()
        };
        for (place, to) in [(0, 0), (4, 9), (5, 1), (6, 4), (7, 255), (11, 0x7f)] {
            let mut bad = good.clone();
            bad[place] = to;
            if place == 11 {
                bad[10] = 0x80;
                assert!(unpack(&bad).is_err());
            } else {
                assert_eq!(change(place, to).class().sqlstate(), "22P03");
            }
        }
        let mut bits = pack(&[1.0; 3], Packing::Binary).unwrap();
        *bits.last_mut().unwrap() |= 1;
        assert!(unpack(&bits).is_err());
    }

    proptest! {
        #[test]
        fn within_half_a_step(vector in proptest::collection::vec(-1e6f32..1e6, 1..80)) {
            let found = unpack(&pack(&vector, Packing::Sq8).unwrap()).unwrap();
            let least = vector.iter().copied().fold(f32::INFINITY, f32::min);
            let greatest = vector.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let allowed = f64::from(greatest - least) / 255.0 * 0.5001 + 1e-6 * f64::from(greatest.abs().max(least.abs()));
            for (x, y) in vector.iter().zip(&found) {
                prop_assert!((f64::from(*x) - f64::from(*y)).abs() <= allowed, "{} {}", x, y);
            }
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>, method in 1u8..3, dimensions in 0u16..40) {
            let _ = unpack(&bytes);
            let mut framed = vec![b'R', b'V', b'Q', b'1', method, 0];
            framed.extend(dimensions.to_le_bytes());
            framed.extend(bytes);
            if let Ok(vector) = unpack(&framed) {
                prop_assert!(vector.iter().all(|x| x.is_finite()));
            }
        }
    }
}
