//! Reading numbers at the beginning of a text, with the grammar of C's `strtof` and `strtol`.

/// A number that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) value: f32,
    /// Bytes of the text that belong to it.
    pub(super) length: usize,
    /// Its magnitude is too large or too small for single precision: `value` is infinite or zero.
    pub(super) out_of_range: bool,
}

/// Powers of ten that double precision has exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Exponents beyond this are too large or too small whatever the digits are, as texts are shorter than that.
const EXPONENT_LIMIT: i64 = 1 << 40;

/// The longest number that the text begins with, or `None` if it begins with none.
///
/// White space is not skipped. Numbers may be decimal or hexadecimal (`0x1.8p3`), infinite or not numbers.
pub(super) fn read_f32(text: &[u8]) -> Option<Number> {
    let (negative, sign) = read_sign(text);
    let rest = &text[sign..];
    let mut number = match rest.first()? {
        b'0'..=b'9' | b'.' => {
            if let [b'0', b'x' | b'X', hexadecimal @ ..] = rest
                && let Some(number) = read_hexadecimal(hexadecimal)
            {
                Number { length: number.length + 2, ..number }
            } else {
                read_decimal(rest)?
            }
        }
        b'i' | b'I' | b'n' | b'N' => read_word(rest)?,
        _ => return None,
    };
    number.length += sign;
    if negative {
        number.value = -number.value;
    }
    Some(number)
}

/// Is there a minus, and how long is the sign?
fn read_sign(text: &[u8]) -> (bool, usize) {
    match text.first() {
        Some(b'-') => (true, 1),
        Some(b'+') => (false, 1),
        _ => (false, 0),
    }
}

fn read_word(text: &[u8]) -> Option<Number> {
    let begins =
        |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let (value, length) = if begins(b"infinity") {
        (f32::INFINITY, 8)
    } else if begins(b"inf") {
        (f32::INFINITY, 3)
    } else if begins(b"nan") {
        (f32::NAN, 3)
    } else {
        return None;
    };
    Some(Number { value, length, out_of_range: false })
}

/// An exponent after its letter: its value and length, or `None` if there are no digits.
fn read_exponent(text: &[u8]) -> Option<(i64, usize)> {
    let (negative, sign) = read_sign(text);
    let mut value = 0i64;
    let mut length = sign;
    while let Some(digit @ b'0'..=b'9') = text.get(length) {
        value = (value * 10 + i64::from(digit - b'0')).min(EXPONENT_LIMIT);
        length += 1;
    }
    (length > sign).then_some((if negative { -value } else { value }, length))
}

fn read_decimal(text: &[u8]) -> Option<Number> {
    // Up to 19 digits fit. What comes after them is left to the standard library.
    let (mut mantissa, mut significant, mut exponent) = (0u64, 0u32, 0i64);
    let (mut digits, mut point, mut length) = (false, false, 0);
    loop {
        match text.get(length) {
            Some(digit @ b'0'..=b'9') => {
                digits = true;
                if significant < 19 {
                    mantissa = mantissa * 10 + u64::from(digit - b'0');
                }
                if mantissa > 0 {
                    significant += 1;
                }
                exponent -= i64::from(point);
            }
            Some(b'.') if !point => point = true,
            _ => break,
        }
        length += 1;
    }
    if !digits {
        return None;
    }
    if let Some(b'e' | b'E') = text.get(length)
        && let Some((written, exponent_length)) = read_exponent(&text[length + 1..])
    {
        exponent += written;
        length += 1 + exponent_length;
    }
    if mantissa == 0 {
        return Some(Number { value: 0.0, length, out_of_range: false });
    }
    let quick = if significant <= 19 { read_quickly(mantissa, exponent) } else { None };
    let value = match quick {
        Some(value) => value,
        // Correctly rounded, always. The grammar there includes what was read here.
        None => core::str::from_utf8(&text[..length]).ok()?.parse().ok()?,
    };
    Some(Number { value, length, out_of_range: value == 0.0 || value.is_infinite() })
}

/// `mantissa * 10^exponent`, if that can be had by one operation in double precision that is then rounded to single.
///
/// One operation on exact operands is correctly rounded to 53 bits. Rounding that to 24 bits is right unless it lies
/// just halfway between two, where it cannot be told from which side it came.
fn read_quickly(mantissa: u64, exponent: i64) -> Option<f32> {
    if mantissa >= 1 << 53 {
        return None;
    }
    let power = *EXACT_POWERS.get(usize::try_from(exponent.unsigned_abs()).ok()?)?;
    let double = mantissa as f64;
    let double = if exponent < 0 { double / power } else { double * power };
    let halfway = double.to_bits() & 0x1fff_ffff == 0x1000_0000;
    // Subnormal numbers have fewer bits.
    (!halfway && double >= f64::from(f32::MIN_POSITIVE)).then_some(double as f32)
}

/// A hexadecimal number after its `0x`.
fn read_hexadecimal(text: &[u8]) -> Option<Number> {
    // 60 bits, and whether there is anything below them.
    let (mut mantissa, mut sticky, mut exponent) = (0u64, false, 0i64);
    let (mut digits, mut point, mut length) = (false, false, 0);
    loop {
        match text.get(length) {
            Some(b'.') if !point => point = true,
            Some(&byte) => {
                let Some(digit) = char::from(byte).to_digit(16) else { break };
                digits = true;
                if mantissa < 1 << 56 {
                    mantissa = mantissa << 4 | u64::from(digit);
                    exponent -= if point { 4 } else { 0 };
                } else {
                    sticky |= digit != 0;
                    exponent += if point { 0 } else { 4 };
                }
            }
            None => break,
        }
        length += 1;
    }
    if !digits {
        return None;
    }
    if let Some(b'p' | b'P') = text.get(length)
        && let Some((written, exponent_length)) = read_exponent(&text[length + 1..])
    {
        exponent += written;
        length += 1 + exponent_length;
    }
    if mantissa == 0 {
        return Some(Number { value: 0.0, length, out_of_range: false });
    }
    // value = mantissa * 2^exponent, with the mantissa's first bit at 63.
    let zeros = mantissa.leading_zeros();
    let mantissa = mantissa << zeros;
    let exponent = exponent - i64::from(zeros);
    // The last bit of a single precision number is worth at least 2^-149.
    let last = (exponent + 40).max(-149);
    let drop = last - exponent;
    let value = if drop > 64 {
        0.0
    } else if exponent + 63 > 127 {
        f32::INFINITY
    } else {
        let wide = u128::from(mantissa);
        let (kept, lost) = (wide >> drop, wide & ((1 << drop) - 1));
        let half = 1u128 << (drop - 1);
        let up = lost > half || lost == half && (sticky || kept & 1 == 1);
        // At most 25 bits, so that both the conversion and the scaling are exact, up to an infinity.
        let rounded = (kept as u32 + u32::from(up)) as f32;
        (f64::from(rounded) * two_to(last)) as f32
    };
    Some(Number { value, length, out_of_range: value == 0.0 || value.is_infinite() })
}

/// A power of two, from 2^-149 to 2^127.
fn two_to(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// The longest whole number that the text begins with, and its length; too large or too small ones become the
/// largest or smallest.
pub(super) fn read_i64(text: &[u8]) -> Option<(i64, usize)> {
    let (negative, sign) = read_sign(text);
    let mut value = 0i64;
    let mut length = sign;
    while let Some(digit @ b'0'..=b'9') = text.get(length) {
        let digit = i64::from(digit - b'0');
        value = value.saturating_mul(10);
        value = if negative { value.saturating_sub(digit) } else { value.saturating_add(digit) };
        length += 1;
    }
    (length > sign).then_some((value, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<(f32, usize, bool)> {
        read_f32(text.as_bytes()).map(|number| (number.value, number.length, number.out_of_range))
    }

    #[test]
    fn the_grammar_of_strtof() {
        assert_eq!(read("1.,"), Some((1.0, 2, false)));
        assert_eq!(read(".5]"), Some((0.5, 2, false)));
        assert_eq!(read("+1e2e3"), Some((100.0, 4, false)));
        assert_eq!(read("1e"), Some((1.0, 1, false)));
        assert_eq!(read("1e+"), Some((1.0, 1, false)));
        assert_eq!(read("-0x1.8p1"), Some((-3.0, 8, false)));
        assert_eq!(read("0x"), Some((0.0, 1, false)));
        assert_eq!(read("0x.p1"), Some((0.0, 1, false)));
        assert_eq!(read("0X1P-150"), Some((0.0, 8, true)));
        assert_eq!(read("0x1.000001p-150"), Some((f32::from_bits(1), 15, false)));
        assert_eq!(read("0x1p128"), Some((f32::INFINITY, 7, true)));
        assert_eq!(read("0xffffffp104"), Some((f32::MAX, 12, false)));
        assert_eq!(read("0xffffff8p100"), Some((f32::INFINITY, 13, true)));
        assert_eq!(read("0x1.0000010000000000000000000001"), Some((1.0f32.next_up(), 32, false)));
        assert_eq!(read("0x1.000001"), Some((1.0, 10, false)));
        assert_eq!(read("iNFx"), Some((f32::INFINITY, 3, false)));
        assert_eq!(read("-Infinity"), Some((f32::NEG_INFINITY, 9, false)));
        assert!(read("NaN").unwrap().0.is_nan());
        assert_eq!(read("4e38"), Some((f32::INFINITY, 4, true)));
        assert_eq!(read("-1e-46"), Some((-0.0, 6, true)));
        assert_eq!(read("0e99999999999999999999"), Some((0.0, 22, false)));
        assert_eq!(read("1e99999999999999999999"), Some((f32::INFINITY, 22, true)));
        for none in ["", "-", "+", ".", "-.e1", "hello", "e5", " 1", "--1"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(read_i64(b"-12:"), Some((-12, 3)));
        assert_eq!(read_i64(b"99999999999999999999"), Some((i64::MAX, 20)));
        assert_eq!(read_i64(b"-99999999999999999999"), Some((i64::MIN, 21)));
        assert_eq!(read_i64(b"-"), None);
        assert_eq!(read_i64(b"x"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn decimals_are_correctly_rounded(mantissa in 0u64.., digits in 1usize..20, exponent in -60i32..45) {
            let text = format!("{mantissa}");
            let text = &text[..digits.min(text.len())];
            for text in [format!("{text}e{exponent}"), format!("0.{text}e{exponent}"), format!("{text}.{text}")] {
                let expected: f32 = text.parse().unwrap();
                prop_assert_eq!(read(&text).map(|(value, length, _)| (value, length)), Some((expected, text.len())));
            }
        }

        /// Halfway between two numbers, and a bit beside.
        #[test]
        fn halves_go_to_even(bits in 0x0080_0000u32..0x7f00_0000) {
            let (a, b) = (f32::from_bits(bits), f32::from_bits(bits + 1));
            let middle = (f64::from(a) + f64::from(b)) / 2.0;
            let text = format!("{middle:.160}");
            prop_assert_eq!(read(&text).unwrap().0, text.parse::<f32>().unwrap());
            let even = if bits % 2 == 0 { a } else { b };
            if middle.abs() > 1e-20 {
                prop_assert_eq!(read(&text).unwrap().0, even);
            }
        }

        #[test]
        fn hexadecimal_numbers_are_exact(bits in 0u32..0x7f80_0000) {
            let value = f32::from_bits(bits);
            let (exponent, fraction) = ((bits >> 23) as i32, bits & 0x7f_ffff);
            let text = if exponent == 0 {
                format!("0x{fraction:x}p-149")
            } else {
                format!("0x{:x}p{}", fraction | 0x80_0000, exponent - 150)
            };
            prop_assert_eq!(read(&text).unwrap().0, value);
        }

        #[test]
        fn any_bytes(text: alloc::vec::Vec<u8>) {
            if let Some(number) = read_f32(&text) {
                prop_assert!(0 < number.length && number.length <= text.len());
            }
        }
    }
}
