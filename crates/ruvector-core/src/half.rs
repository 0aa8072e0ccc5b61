//! Half precision numbers (IEEE 754 binary16).

use core::fmt;

use crate::error::{Error, Result};
use crate::kind::VectorKind;
use crate::text::format_f32;

/// A half precision number: one sign bit, five of exponent, ten of fraction. Its largest finite value is 65504.
///
/// It is stored and converted; arithmetic is done in single precision.
///
/// ```
/// use ruvector_core::F16;
///
/// assert_eq!(F16::from_f32(1.23456).to_f32(), 1.234375);
/// assert!(F16::from_f32(65520.0).is_infinite());
/// ```
#[derive(Clone, Copy, Default, Eq, PartialEq)]
#[repr(transparent)]
pub struct F16(u16);

impl F16 {
    /// Zero.
    pub const ZERO: Self = Self(0);
    /// Positive infinity.
    pub const INFINITY: Self = Self(0x7c00);
    /// The largest finite number, 65504.
    pub const MAX: Self = Self(0x7bff);

    /// From the sixteen bits.
    #[inline]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The sixteen bits.
    #[inline]
    pub const fn to_bits(self) -> u16 {
        self.0
    }

    /// Exact: single precision has every half precision number.
    #[inline]
    pub const fn to_f32(self) -> f32 {
        let sign = (self.0 as u32 & 0x8000) << 16;
        let rest = (self.0 as u32 & 0x7fff) << 13;
        let bits = if rest >= 0x1f << 23 {
            // Infinities, and what is not a number.
            rest + (224 << 23)
        } else if rest >= 1 << 23 {
            rest + (112 << 23)
        } else {
            // Subnormal: put behind a leading one, which is then subtracted.
            let magic = f32::from_bits(113 << 23);
            (f32::from_bits(rest + (113 << 23)) - magic).to_bits()
        };
        f32::from_bits(bits | sign)
    }

    /// The nearest half precision number, halves to even; infinite from 65520 on.
    #[inline]
    pub const fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let sign = ((bits >> 16) & 0x8000) as u16;
        let magnitude = bits & 0x7fff_ffff;
        let half = if magnitude > 0x7f80_0000 {
            // Not a number: quiet, with the upper bits of what it carries.
            0x7e00 | ((magnitude >> 13) & 0x3ff) as u16
        } else if magnitude >= 0x4780_0000 {
            0x7c00
        } else if magnitude >= 0x3880_0000 {
            // The rounding may carry into the exponent, up to infinity: that is as it should be.
            let odd = (magnitude >> 13) & 1;
            ((magnitude - (112 << 23) + 0xfff + odd) >> 13) as u16
        } else {
            // Adding a half puts the last bit that half precision has in place, and rounds.
            let magic = 0.5f32;
            ((f32::from_bits(magnitude) + magic).to_bits() - magic.to_bits()) as u16
        };
        Self(sign | half)
    }

    /// As [`F16::from_f32`], but a finite number must stay finite.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], with the number as PostgreSQL would print it.
    pub fn try_from_f32(value: f32) -> Result<Self> {
        let half = Self::from_f32(value);
        if half.is_infinite() && value.is_finite() {
            let mut buffer = [0; crate::text::FLOAT_TEXT_MAX];
            return Err(Error::out_of_range(VectorKind::HalfVec, format_f32(value, &mut buffer)));
        }
        Ok(half)
    }

    /// Is it positive or negative infinity?
    #[inline]
    pub const fn is_infinite(self) -> bool {
        self.0 & 0x7fff == 0x7c00
    }

    /// Is it not a number?
    #[inline]
    pub const fn is_nan(self) -> bool {
        self.0 & 0x7fff > 0x7c00
    }

    /// Is it zero, of either sign?
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 & 0x7fff == 0
    }
}

impl fmt::Debug for F16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_f32(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::F16;
    use alloc::string::ToString as _;

    /// The definition, in double precision: every half precision number, and halfway between each two.
    #[test]
    fn all_numbers_and_all_halfway_points() {
        let exact = |bits: u16| -> f64 {
            let (exponent, fraction) = (i32::from(bits >> 10), f64::from(bits & 0x3ff));
            if exponent == 0 {
                fraction * 2f64.powi(-24)
            } else {
                (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15)
            }
        };
        for bits in 0..0x7c00u16 {
            let value = exact(bits);
            assert_eq!(f64::from(F16::from_bits(bits).to_f32()), value, "{bits:#x}");
            assert_eq!(F16::from_f32(value as f32).to_bits(), bits, "{bits:#x}");
            assert_eq!(F16::from_f32(-value as f32).to_bits(), bits | 0x8000, "{bits:#x}");
            // Exact in single precision, too.
            let middle = ((value + exact(bits + 1)) / 2.0) as f32;
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(F16::from_f32(middle).to_bits(), even, "above {bits:#x}");
            assert_eq!(F16::from_f32(middle.next_down()).to_bits(), bits, "above {bits:#x}");
            assert_eq!(F16::from_f32(middle.next_up()).to_bits(), bits + 1, "above {bits:#x}");
        }
    }

    #[test]
    fn special_values() {
        assert_eq!(F16::INFINITY.to_f32(), f32::INFINITY);
        assert_eq!(F16::from_bits(0xfc00).to_f32(), f32::NEG_INFINITY);
        assert!(F16::from_bits(0x7e00).to_f32().is_nan() && F16::from_bits(0x7e00).is_nan());
        assert!(F16::from_f32(f32::NAN).is_nan());
        assert!(F16::from_f32(f32::from_bits(0x7f80_0001)).is_nan());
        assert!(F16::from_f32(f32::MAX).is_infinite());
        assert!(F16::from_bits(0x8000).is_zero());
        assert_eq!(
            F16::try_from_f32(-65520.0).unwrap_err().to_string(),
            "\"-65520\" is out of range for type halfvec"
        );
        assert_eq!(F16::try_from_f32(f32::INFINITY), Ok(F16::INFINITY));
    }
}
