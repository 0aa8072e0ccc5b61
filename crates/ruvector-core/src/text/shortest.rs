//! The shortest decimal form of a single precision number that reads back as the same number.

/// Bytes that [`format_f32`] needs at most: sign, nine digits, point, exponent, as in `-1.23456789e-38`.
pub const FLOAT_TEXT_MAX: usize = 15;

/// Digits below the point that the scaled number gets, so that it has nine or ten in all.
const SCALE_DIGITS: i32 = 9;

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
    let length = write(value, buffer);
    &buffer[..length]
}

fn write(value: f32, buffer: &mut [u8; FLOAT_TEXT_MAX]) -> usize {
    if value.is_nan() {
        buffer[..3].copy_from_slice(b"NaN");
        return 3;
    }
    let mut at = 0;
    if value.is_sign_negative() {
        buffer[0] = b'-';
        at = 1;
    }
    if value.is_infinite() {
        buffer[at..at + 8].copy_from_slice(b"Infinity");
        return at + 8;
    }
    if value == 0.0 {
        buffer[at] = b'0';
        return at + 1;
    }
    let (mut number, exponent) = shortest(value.to_bits() & 0x7fff_ffff);

    let mut digits = [0u8; 10];
    let mut count = 0;
    while number > 0 {
        count += 1;
        digits[10 - count] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let digits = &digits[10 - count..];
    // The exponent of scientific notation: of the first digit.
    let first = exponent + count as i32 - 1;
    let mut put = |byte: u8| {
        buffer[at] = byte;
        at += 1;
    };
    match first {
        -4..=-1 => {
            put(b'0');
            put(b'.');
            (first..-1).for_each(|_| put(b'0'));
            digits.iter().for_each(|&digit| put(digit));
        }
        0..=5 => {
            let whole = first as usize + 1;
            for place in 0..whole.max(count) {
                if place == whole {
                    put(b'.');
                }
                put(digits.get(place).copied().unwrap_or(b'0'));
            }
        }
        _ => {
            put(digits[0]);
            if count > 1 {
                put(b'.');
                digits[1..].iter().for_each(|&digit| put(digit));
            }
            put(b'e');
            put(if first < 0 { b'-' } else { b'+' });
            let magnitude = first.unsigned_abs() as u8;
            put(b'0' + magnitude / 10);
            put(b'0' + magnitude % 10);
        }
    }
    at
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
    let mut least = low.whole + 1;
    let mut most = if high.exact { high.whole - 1 } else { high.whole };
    let mut number = middle.whole;

    // The digit that was taken off last, and whether there is anything behind it.
    let (mut digit, mut rest, mut exponent) = (0, !middle.exact, exponent);
    loop {
        let (next_least, next_most) = (least.div_ceil(10), most / 10);
        if next_least > next_most {
            break;
        }
        rest |= digit != 0;
        digit = number % 10;
        (least, most, number, exponent) = (next_least, next_most, number / 10, exponent + 1);
    }
    // Nearest, halves to even.
    let up = digit > 5 || digit == 5 && (rest || number % 2 == 1);
    // Nine digits tell all numbers apart, so that it has no more, or is the power of ten above those.
    let mut number = (number + u64::from(up)).clamp(least, most) as u32;
    while number.is_multiple_of(10) {
        number /= 10;
        exponent += 1;
    }
    (number, exponent)
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
fn scale_all(value: u64, below: u64, power: i32, exponent: i32) -> [Scaled; 3] {
    // As are nearly all: from 1e-7 to 1e9.
    let shift = exponent - power;
    if exponent < 0
        && (1..64).contains(&shift)
        && let Some(factor) = SMALL_POWERS_OF_5.get(exponent.unsigned_abs() as usize)
    {
        let middle = value * factor;
        let mask = (1u64 << shift) - 1;
        return [middle - below * factor, middle, middle + 2 * factor]
            .map(|scaled| Scaled { whole: scaled >> shift, exact: scaled & mask == 0 });
    }
    [value - below, value, value + 2].map(|number| scale(number, power, exponent))
}

/// The whole part of a scaled number.
struct Scaled {
    whole: u64,
    /// There is nothing behind the point.
    exact: bool,
}

/// `number * 2^power / 10^exponent`, for numbers below `2^26` whose result has at most 12 digits.
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
        return Scaled { whole: quotient as u64, exact: remainder == 0 && !lost };
    }
    // number * 5^-exponent, of up to 26 + 128 bits, in two parts of which the lower has 64.
    let factor = POWERS_OF_5[-exponent as usize];
    let low = u128::from(number) * (factor & u128::from(u64::MAX));
    let high = u128::from(number) * (factor >> 64) + (low >> 64);
    let low = low as u64;
    // times 2^shift, which is below one but for numbers with few digits.
    let shift = power - exponent;
    if shift >= 0 {
        return Scaled { whole: low << shift, exact: true };
    }
    let shift = -shift as u32;
    if shift >= 64 {
        let shift = shift - 64;
        let lost = low != 0 || high & ((1u128 << shift) - 1) != 0;
        Scaled { whole: (high >> shift) as u64, exact: !lost }
    } else {
        let all = high << 64 | u128::from(low);
        let lost = all & ((1u128 << shift) - 1) != 0;
        Scaled { whole: (all >> shift) as u64, exact: !lost }
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
