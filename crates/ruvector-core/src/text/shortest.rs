//! The shortest decimal form of a single precision number that reads back as the same number.

/// Bytes that [`format_f32`] needs at most: sign, nine digits, point, exponent, as in `-1.23456789e-38`.
pub const FLOAT_TEXT_MAX: usize = 15;

/// Digits after the first that the scaled number gets, or one more: it is then below `2 * 10^9`.
const SCALE_DIGITS: i32 = 8;

/// Room for [`write_f32`], which writes more than belongs to the number.
pub(super) const ROOM: usize = 40;

/// Powers of five that fit into 128 bits.
const POWERS_OF_5: [u128; 56] = {
    let mut powers = [1u128; 56];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 5;
        i += 1;
    }
    powers
};

/// Writes a number as PostgreSQL does with `extra_float_digits` above 0, and returns what was written.
///
/// That is the shortest decimal number that lies strictly between the midpoints to the two neighbours, and of several
/// with as few digits the one that is nearest; in fixed notation if its exponent is from -4 to 5, else with an exponent
/// of at least two digits.
///
/// ```
/// use ruvector_core::text::{FLOAT_TEXT_MAX, format_f32};
///
/// let mut buffer = [0; FLOAT_TEXT_MAX];
/// assert_eq!(format_f32(0.1, &mut buffer), b"0.1");
/// assert_eq!(format_f32(-1e6, &mut buffer), b"-1e+06");
/// ```
pub fn format_f32(value: f32, buffer: &mut [u8; FLOAT_TEXT_MAX]) -> &[u8] {
    let mut room = [0; ROOM];
    let length = write_f32(value, &mut room);
    buffer[..length].copy_from_slice(&room[..length]);
    &buffer[..length]
}

/// Writes a number as [`format_f32`] does and returns its length. Bytes after it may be written too.
#[inline]
pub(super) fn write_f32(value: f32, room: &mut [u8; ROOM]) -> usize {
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let sign = (bits >> 31) as usize;
    room[0] = b'-';
    if magnitude > 0x7f80_0000 {
        room[..3].copy_from_slice(b"NaN");
        return 3;
    }
    if magnitude == 0x7f80_0000 {
        room[sign..sign + 8].copy_from_slice(b"Infinity");
        return sign + 8;
    }
    if magnitude == 0 {
        room[sign] = b'0';
        return sign + 1;
    }
    let (number, exponent) = shortest(magnitude);
    let count = number.checked_ilog10().map_or(1, |last| last as usize + 1);
    // Nine digits, the last ones zeros: of a fixed number they can be had and written at once. What is too much is written
    // over by what comes next.
    let all = number * POWERS_OF_10[9 - count];
    let head = b'0' + (all / 100_000_000) as u8;
    let tail = eight_digits(all % 100_000_000);
    let mut put = |at: usize, eight: u64| {
        room[at..at + 8].copy_from_slice(&eight.to_le_bytes());
    };
    // The exponent of scientific notation: of the first digit.
    let first = exponent + count as i32 - 1;
    match first {
        -4..=-1 => {
            let start = sign + 1 + first.unsigned_abs() as usize;
            put(sign, u64::from_le_bytes(*b"0.000000"));
            put(start + 1, tail);
            room[start] = head;
            start + count
        }
        0..=5 => {
            let whole = first as usize + 1;
            put(sign + 1, tail);
            if count <= whole {
                room[sign] = head;
                return sign + whole;
            }
            put(sign + whole + 1, tail >> (8 * first));
            room[sign] = head;
            room[sign + whole] = b'.';
            sign + count + 1
        }
        _ => {
            put(sign + 2, tail);
            room[sign] = head;
            room[sign + 1] = b'.';
            let end = sign + if count > 1 { count + 1 } else { 1 };
            let magnitude = first.unsigned_abs() as u8;
            room[end] = b'e';
            room[end + 1] = if first < 0 { b'-' } else { b'+' };
            room[end + 2] = b'0' + magnitude / 10;
            room[end + 3] = b'0' + magnitude % 10;
            end + 4
        }
    }
}

/// The eight digits of a number below `10^8`, the first in the lowest byte. Quotients of all parts of the word are had by
/// one multiplication, of parts that are wide enough not to reach into each other.
#[inline]
const fn eight_digits(number: u32) -> u64 {
    let fours = (number / 10_000) as u64 | ((number % 10_000) as u64) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | (twos - tens * 10) << 8;
    ones | u64::from_le_bytes([b'0'; 8])
}

/// Digits and decimal exponent of a positive finite number, given by its bits.
///
/// The midpoints to the neighbours and the number itself are scaled by a power of ten, in integers wide enough to lose
/// nothing but what is below one; then digits are taken off as long as a number remains between the midpoints.
fn shortest(bits: u32) -> (u32, i32) {
    let (stored, fraction) = ((bits >> 23) as i32, bits & 0x007f_ffff);
    // value = mantissa * 2^(power + 2)
    let (mantissa, power) =
        if stored == 0 { (fraction, -151) } else { (fraction | 1 << 23, stored - 152) };
    let value = u64::from(mantissa) * 4;
    // Below a power of two the neighbour is half as far away.
    let below = if fraction == 0 && stored > 1 { 1 } else { 2 };

    // The exponent of the first decimal digit, or one less: log10(2) from below.
    let bit_length = 31 - (value as u32).leading_zeros() as i32;
    let magnitude = ((bit_length + power) * 78_913) >> 18;
    let exponent = magnitude - SCALE_DIGITS;

    let [low, middle, high] = scale_all(value, below, power, exponent);
    // Strictly between the midpoints.
    let least = (low.halves >> 1) as u32 + 1;
    let most = (high.halves >> 1) as u32 - u32::from(high.exact && high.halves & 1 == 0);

    // As many digits are taken off as leave a number between the midpoints. Where there is a multiple of a power of ten,
    // there is one of all lower powers, so that they can be counted without branches, which would be hard to predict. One
    // branch is easy: vectors either have been rounded to a few digits or not.
    let has_multiple = |power: u32| most / power * power >= least;
    let count = |powers: &[u32]| -> u32 {
        powers.iter().map(|&power| u32::from(has_multiple(power))).sum()
    };
    let removed: u32 = if has_multiple(POWERS_OF_10[3]) {
        count(&POWERS_OF_10[4..]) + 3
    } else {
        count(&POWERS_OF_10[1..3])
    };
    let power = POWERS_OF_10[removed as usize];
    let number = (middle.halves >> 1) as u32;
    let quotient = divide(number, removed);
    // The nearest, halves to even; what was taken off is compared with half the power.
    let doubled = (number - quotient * power) * 2 + (middle.halves & 1) as u32;
    let up = doubled > power || doubled == power && (!middle.exact || quotient % 2 == 1);
    // Nine digits tell all numbers apart, so that it has no more, or is the power of ten above those.
    let number =
        (quotient + u32::from(up)).clamp(divide(least - 1, removed) + 1, divide(most, removed));
    (number, exponent + removed as i32)
}

/// Powers of ten up to the number of digits that can be taken off.
const POWERS_OF_10: [u32; 10] = {
    let mut powers = [1u32; 10];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// For each power of ten `d`, the number `ceil(2^shift / d)` and the shift by which to divide (Granlund and Montgomery,
/// Division by invariant integers using multiplication, 1994).
const RECIPROCALS: [(u64, u32); 10] = {
    let mut reciprocals = [(0, 0); 10];
    let mut i = 0;
    while i < reciprocals.len() {
        let shift = 32 + POWERS_OF_10[i].ilog2();
        reciprocals[i] = ((1u64 << shift).div_ceil(POWERS_OF_10[i] as u64), shift);
        i += 1;
    }
    reciprocals
};

/// Divides a number below `2^31` by a power of ten. As `factor * d` is above `2^shift` by less than `d`, which is at most
/// `2^(shift - 31)`, the product is too large by less than `1 / d`, and its whole part is right.
#[inline]
fn divide(number: u32, power: u32) -> u32 {
    let (factor, shift) = RECIPROCALS[power as usize];
    ((u64::from(number) * factor) >> shift) as u32
}

/// Powers of five by which a number below `2^26` can be multiplied in 64 bits.
const SMALL_POWERS_OF_5: [u64; 17] = {
    let mut powers = [1u64; 17];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 5;
        i += 1;
    }
    powers
};

/// [`scale`] of the lower midpoint, the number and the upper midpoint.
#[inline]
fn scale_all(value: u64, below: u64, power: i32, exponent: i32) -> [Scaled; 3] {
    // As are nearly all: from 1e-8 to 1e8.
    let shift = exponent - power;
    if exponent < 0
        && (1..64).contains(&shift)
        && let Some(factor) = SMALL_POWERS_OF_5.get(exponent.unsigned_abs() as usize)
    {
        let middle = value * factor;
        let shift = shift - 1;
        let mask = (1u64 << shift) - 1;
        return [middle - below * factor, middle, middle + 2 * factor]
            .map(|scaled| Scaled { halves: scaled >> shift, exact: scaled & mask == 0 });
    }
    [value - below, value, value + 2].map(|number| scale(number, power + 1, exponent))
}

/// A scaled number, in halves.
struct Scaled {
    halves: u64,
    /// There is nothing beyond the halves.
    exact: bool,
}

/// `number * 2^power / 10^exponent`, where `power` is one more than that of the number, for numbers below `2^26` whose
/// result has at most 12 digits.
#[cold]
#[inline(never)]
fn scale(number: u64, power: i32, exponent: i32) -> Scaled {
    if exponent >= 0 {
        // 2^power / 10^exponent = 2^(power - exponent) / 5^exponent, and what is divided is below 2^128.
        let divisor = POWERS_OF_5[exponent as usize];
        let shift = power - exponent;
        let (quotient, remainder, lost) = if shift >= 0 {
            let dividend = u128::from(number) << shift;
            (dividend / divisor, dividend % divisor, false)
        } else {
            let (quotient, remainder) =
                (u128::from(number) / divisor, u128::from(number) % divisor);
            let lost = quotient & ((1 << -shift) - 1) != 0;
            (quotient >> -shift, remainder, lost)
        };
        return Scaled { halves: quotient as u64, exact: remainder == 0 && !lost };
    }
    // number * 5^-exponent, of up to 26 + 128 bits, in two parts of which the lower has 64.
    let factor = POWERS_OF_5[-exponent as usize];
    let low = u128::from(number) * (factor & u128::from(u64::MAX));
    let high = u128::from(number) * (factor >> 64) + (low >> 64);
    let low = low as u64;
    // times 2^shift, which is below one but for numbers with few digits.
    let shift = power - exponent;
    if shift >= 0 {
        return Scaled { halves: low << shift, exact: true };
    }
    let shift = -shift as u32;
    if shift >= 64 {
        let shift = shift - 64;
        let lost = low != 0 || high & ((1u128 << shift) - 1) != 0;
        Scaled { halves: (high >> shift) as u64, exact: !lost }
    } else {
        let all = high << 64 | u128::from(low);
        let lost = all & ((1u128 << shift) - 1) != 0;
        Scaled { halves: (all >> shift) as u64, exact: !lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn text(value: f32) -> String {
        let mut buffer = [0; FLOAT_TEXT_MAX];
        String::from_utf8(format_f32(value, &mut buffer).to_vec()).unwrap()
    }

    #[test]
    fn eight_digits_of_all_fours() {
        for number in 0..10_000u32 {
            let expected = alloc::format!("{number:04}{:04}", 9_999 - number);
            let found = eight_digits(number * 10_000 + 9_999 - number).to_le_bytes();
            assert_eq!(found, expected.as_bytes());
        }
    }

    #[test]
    #[expect(clippy::excessive_precision, reason = "the point is what is printed of them")]
    fn as_postgresql_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (1.23456, "1.23456"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (0.00001, "1e-05"),
            (100_000.0, "100000"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (16_777_216.0, "1.6777216e+07"),
            (123_456.79, "123456.79"),
            (65_504.0, "65504"),
            (3e38, "3e+38"),
            (f32::MAX, "3.4028235e+38"),
            (f32::MIN_POSITIVE, "1.1754944e-38"),
            (1e-45, "1e-45"),
            (f32::from_bits(2), "3e-45"),
            (f32::from_bits(0x007f_ffff), "1.1754942e-38"),
            (0.600_097_66, "0.60009766"),
            (0.799_804_7, "0.7998047"),
            (f32::NAN, "NaN"),
            (f32::INFINITY, "Infinity"),
            (f32::NEG_INFINITY, "-Infinity"),
            (1.5e-38, "1.5e-38"),
            (9.5367e-7, "9.5367e-07"),
            // PostgreSQL's own tests of float4: at the limits of what rounds correctly.
            (1.17549435e-38, "1.1754944e-38"),
            (3.4e37, "3.4e+37"),
            (4.4501363e-308f64 as f32, "0"),
            (8_388_608.0, "8.388608e+06"),
            (33_554_432.0, "3.3554432e+07"),
            (9_007_199_254_740_992f64 as f32, "9.007199e+15"),
            // Halfway between two of eight digits: the even one.
            (3_231_901.25, "3.2319012e+06"),
            (3_231_901.75, "3.2319018e+06"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    /// Midpoints to the neighbours, both exact in double precision.
    fn midpoints(value: f32) -> (f64, f64) {
        let middle = |a: f32, b: f32| (f64::from(a) + f64::from(b)) / 2.0;
        let above = if value == f32::MAX {
            f64::from(f32::MAX) + 2f64.powi(103)
        } else {
            middle(value, value.next_up())
        };
        (middle(value.next_down(), value), above)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// It reads back as itself, and no number with fewer digits would.
        #[test]
        fn reads_back_and_is_shortest(bits in 1u32..0x7f80_0000, negative: bool) {
            let value = f32::from_bits(bits | u32::from(negative) << 31);
            let printed = text(value);
            prop_assert_eq!(printed.parse::<f32>().unwrap().to_bits(), value.to_bits(), "{}", printed);
            prop_assert!(printed.len() <= FLOAT_TEXT_MAX);

            // What the standard library prints is shortest too, but may lie on a midpoint.
            let standard = alloc::format!("{:e}", value.abs());
            let digits = |text: &str| text.bytes().take_while(|&b| b != b'e').filter(u8::is_ascii_digit).count();
            let standard_value: f64 = standard.parse().unwrap();
            let (low, high) = midpoints(value.abs());
            let ours = alloc::format!("{:e}", printed.parse::<f64>().unwrap().abs());
            if low < standard_value && standard_value < high {
                prop_assert_eq!(digits(&ours), digits(&standard), "{} and {}", printed, standard);
                // Of two that are as near, the even one; the library takes the upper.
                let distance = |text: &str| (text.parse::<f64>().unwrap() - f64::from(value.abs())).abs();
                prop_assert!(ours == standard || distance(&ours) <= distance(&standard), "{} and {}", ours, standard);
            } else {
                prop_assert!(digits(&ours) >= digits(&standard));
            }
        }

        /// Powers of two have a nearer neighbour below.
        #[test]
        fn powers_of_two(exponent in -149i32..128) {
            let value = 2f64.powi(exponent) as f32;
            let printed = text(value);
            prop_assert_eq!(printed.parse::<f32>().unwrap(), value);
        }
    }
}
