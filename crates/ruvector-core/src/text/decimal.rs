//! The numbers that vectors are full of: a sign, up to fifteen digits and a point, ended by a comma or a bracket.
//!
//! They are read without a loop over their characters and without branches that depend on them, which would be hard to
//! predict: signs and lengths are as random as the numbers. What is written otherwise is left to [`super::number`].

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use core::arch::wasm32::{u8x16_bitmask, u8x16_gt, u8x16_splat, u8x16_sub, v128_load};
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{
    _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_movemask_epi8, _mm_set1_epi8, _mm_sub_epi8,
};

/// Bytes that are looked at before and after the place where the number begins.
const BEFORE: usize = 16;
const AFTER: usize = 16;

/// Digits of numbers below `2^53`, which double precision has exactly.
const MOST_DIGITS: usize = 15;

/// What a number of so many decimals is to be multiplied by.
const FACTORS: [f64; 16] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14,
    1e-15,
];

/// The last so many of sixteen bytes.
const LAST: [u128; 17] = {
    let mut masks = [u128::MAX; 17];
    let mut i = 0;
    while i < 16 {
        masks[i] = !(u128::MAX >> (8 * i));
        i += 1;
    }
    masks
};

/// A number and the place of the comma or bracket after it, if it is one of those described above.
///
/// There have to be sixteen bytes before it and as many from its first one on.
#[inline(always)]
pub(super) fn read(text: &[u8], at: usize) -> Option<(f32, usize)> {
    let near: &[u8; BEFORE + AFTER] =
        text.get(at.checked_sub(BEFORE)?..at + AFTER)?.try_into().ok()?;
    let (_, number) = near.split_last_chunk::<AFTER>()?;
    let negative = number[0] == b'-';
    let sign = usize::from(negative);
    // The point, if there is one, and the end are the first characters that are neither digits nor the sign.
    let others = non_digits(number) & !u32::from(negative);
    let first = others.trailing_zeros() as usize;
    let second = (others & others.wrapping_sub(1)).trailing_zeros() as usize;
    let point = *number.get(first)? == b'.';
    let end = if point { second } else { first };
    let (b',' | b']') = *number.get(end)? else { return None };
    let digits = end - sign - usize::from(point);
    if !(1..=MOST_DIGITS).contains(&digits) {
        return None;
    }
    let decimals = if point { end - first - 1 } else { 0 };

    // The sixteen bytes that end with the last digit. Those before the point move up by one.
    let last = u128::from_le_bytes(*near.get(end..)?.first_chunk()?);
    let stay = LAST[if point { decimals } else { digits }];
    let all = (last & stay | (last << 8) & !stay) & LAST[digits];
    // What is no digit has become a zero byte: a leading zero.
    let all = all & u128::from_ne_bytes([0x0f; 16]);
    let mantissa = eight_digits(all as u64) * 100_000_000 + eight_digits((all >> 64) as u64);

    // The factor and the product are both rounded, so that the result is wrong by less than two units of its last place. It
    // has 29 bits more than single precision: rounding those away is right unless it lies about halfway between two numbers.
    let double = mantissa as i64 as f64 * FACTORS[decimals];
    let beyond = double.to_bits() as u32 & 0x1fff_ffff;
    if beyond.abs_diff(0x1000_0000) <= 4 {
        return None;
    }
    let bits = (double as f32).to_bits() | u32::from(negative) << 31;
    Some((f32::from_bits(bits), at + end))
}

/// The number of eight digits from 0 to 9, the first in the lowest byte: neighbours are put together three times.
#[inline(always)]
const fn eight_digits(digits: u64) -> u64 {
    let twos = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos.wrapping_mul(100) + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// Which of the bytes are no digits, a bit for each.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn non_digits(bytes: &[u8; 16]) -> u32 {
    // SAFETY: there are sixteen bytes to read, and loads need no alignment.
    let bytes = unsafe { v128_load(bytes.as_ptr().cast()) };
    u32::from(u8x16_bitmask(u8x16_gt(u8x16_sub(bytes, u8x16_splat(b'0')), u8x16_splat(9))))
}

/// Which of the bytes are no digits, a bit for each.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn non_digits(bytes: &[u8; 16]) -> u32 {
    // SAFETY: there are sixteen bytes to read, and the load needs no alignment. All processors of this architecture have SSE2.
    let mask = unsafe {
        let values =
            _mm_sub_epi8(_mm_loadu_si128(bytes.as_ptr().cast()), _mm_set1_epi8(b'0' as i8));
        let nine = _mm_set1_epi8(9);
        // There is no comparison of unsigned bytes: those up to 9 are the ones for which 9 is the larger.
        _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(values, nine), nine))
    };
    mask as u32 ^ 0xffff
}

/// Which of the bytes are no digits, a bit for each.
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
#[inline(always)]
fn non_digits(bytes: &[u8; 16]) -> u32 {
    portable_non_digits(bytes)
}

/// The same without vector instructions.
#[cfg(any(
    test,
    not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))
))]
fn portable_non_digits(bytes: &[u8; 16]) -> u32 {
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let eight = |word: u64| {
        // Digits become 0 to 9, and what is more gets its highest bit set; nothing carries into the next byte.
        let values = word ^ u64::from_ne_bytes([b'0'; 8]);
        let larger = ((values & !HIGH) + u64::from_ne_bytes([0x76; 8])) | values;
        // Eight bits, seven apart from where they belong in the highest byte.
        (((larger & HIGH) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    };
    let word = u128::from_le_bytes(*bytes);
    eight(word as u64) | eight((word >> 64) as u64) << 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use proptest::prelude::*;

    /// What is read of a number that comes after others.
    fn read_of(number: &str) -> Option<(f32, usize)> {
        let text = format!("[1,2,3,4,5,6,7,8,{number},9,10,11,12,13,14]");
        read(text.as_bytes(), 17).map(|(value, end)| (value, end - 17))
    }

    #[test]
    fn what_is_read_and_what_is_not() {
        for (number, value) in [
            ("0,", 0.0),
            ("-0,", -0.0),
            ("7]", 7.0),
            ("1.,", 1.0),
            (".5,", 0.5),
            ("-.5]", -0.5),
            ("0.97383136,", 0.973_831_36),
            ("-0.00067375571,", -0.000_673_755_7),
            ("123456.75,", 123_456.75),
            ("123456789012345,", 123_456_789_012_345.0),
            ("1234567890.1234,", 1_234_567_890.123_4),
            ("0.1234567890123,", 0.123_456_79),
        ] {
            let (read, end) = read_of(number).unwrap_or_else(|| panic!("{number} is not read"));
            assert_eq!(read.to_bits(), f32::to_bits(value), "{number}");
            assert_eq!(end, number.len() - 1, "{number}");
        }
        for number in [
            "",
            ",",
            "-,",
            ".,",
            "-.,",
            "+1,",
            "--1,",
            "1e5,",
            "1.5e-5,",
            "1 ,",
            "1\0",
            "1.2.3,",
            "1..2,",
            "1;",
            "0x1,",
            "nan,",
            "inf,",
            "1234567890123456,",
            "0.12345678901234,",
            "1.2-3,",
            "1/2,",
            "1:2,",
        ] {
            assert_eq!(read_of(number), None, "{number}");
        }
        // Halfway between two numbers.
        assert_eq!(read_of("16777217,"), None);
        // Near the ends of the text.
        assert_eq!(read(b"0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,", 15), None);
        assert_eq!(read(b"0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,", 16), Some((0.5, 19)));
        assert_eq!(read(b"0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,", 20), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50_000))]

        #[test]
        fn numbers_are_correctly_rounded(digits in "-?[0-9]{0,7}\\.?[0-9]{0,8}", end in "[,\\]]") {
            let text: String = format!("{digits}{end}");
            if let Some((value, length)) = read_of(&text) {
                prop_assert_eq!(length, digits.len());
                prop_assert_eq!(value.to_bits(), digits.parse::<f32>().unwrap().to_bits());
            }
        }

        #[test]
        fn shortest_forms_are_read(value in -1000f32..1000.0) {
            let text = format!("{value}");
            prop_assume!(text.len() < 16);
            prop_assert_eq!(read_of(&format!("{text},")).unwrap(), (value, text.len()));
        }

        #[test]
        fn without_vector_instructions_it_is_the_same(bytes: [u8; 16]) {
            let expected: u32 =
                bytes.iter().enumerate().map(|(i, byte)| u32::from(!byte.is_ascii_digit()) << i).sum();
            prop_assert_eq!(non_digits(&bytes), expected);
            prop_assert_eq!(portable_non_digits(&bytes), expected);
        }
    }
}
