//! Texts to vectors.

use alloc::vec::Vec;

use super::decimal;
use super::number::{Number, read_f32, read_i64};
use super::skip_spaces;
use crate::error::{Error, Result};
use crate::half::F16;
use crate::kind::{SPARSEVEC_MAX_ELEMENTS, VECTOR_MAX_DIMENSIONS, VectorKind, check_expected};
use crate::sparse::SparseVector;

/// Reads a dense vector, `[1,2.5,-3e-2]`.
///
/// `dimensions` is the type modifier, if there is one. The text ends with the slice or with a zero byte.
///
/// # Errors
/// Those of pgvector's `vector_in`, in the same order: [`Error::Syntax`], [`Error::OutOfRange`],
/// [`Error::NotANumber`], [`Error::Infinite`], [`Error::NoDimensions`], [`Error::TooManyDimensions`],
/// [`Error::UnexpectedDimensions`]; and [`Error::OutOfMemory`].
///
/// ```
/// use ruvector_core::text::parse_vector;
///
/// assert_eq!(parse_vector(b" [ 1, 2.5 ]", None), Ok(vec![1.0, 2.5]));
/// assert_eq!(parse_vector(b"[1,2,3]", Some(2)).unwrap_err().to_string(), "expected 2 dimensions, not 3");
/// ```
pub fn parse_vector(text: &[u8], dimensions: Option<u32>) -> Result<Vec<f32>> {
    let mut elements = Vec::new();
    append_vector(text, dimensions, &mut elements)?;
    Ok(elements)
}

/// Reads a dense vector as [`parse_vector`] does, behind the elements that there are: so there can be room for what a caller
/// has before them. After an error there may be some of the elements.
///
/// # Errors
/// As [`parse_vector`].
///
/// ```
/// let mut elements = vec![0.5];
/// ruvector_core::text::append_vector(b"[1,2]", Some(2), &mut elements)?;
/// assert_eq!(elements, [0.5, 1.0, 2.0]);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn append_vector(text: &[u8], dimensions: Option<u32>, elements: &mut Vec<f32>) -> Result<()> {
    parse_dense(text, dimensions, VectorKind::Vector, elements, |number, token| {
        if number.out_of_range && number.value.is_infinite() {
            return Err(Error::out_of_range(VectorKind::Vector, token));
        }
        VectorKind::Vector.check_element(number.value)?;
        Ok(number.value)
    })
}

/// Reads a half precision vector, `[1,2.5]`. Numbers are rounded to the nearest that half precision has.
///
/// # Errors
/// As [`parse_vector`]; [`Error::OutOfRange`] from 65520 on.
///
/// ```
/// use ruvector_core::{F16, text::parse_halfvec};
///
/// assert_eq!(parse_halfvec(b"[1.23456]", None), Ok(vec![F16::from_f32(1.234375)]));
/// ```
pub fn parse_halfvec(text: &[u8], dimensions: Option<u32>) -> Result<Vec<F16>> {
    let mut elements = Vec::new();
    append_halfvec(text, dimensions, &mut elements)?;
    Ok(elements)
}

/// Reads a half precision vector as [`parse_halfvec`] does, behind the elements that there are. After an error there may be
/// some of the elements.
///
/// # Errors
/// As [`parse_halfvec`].
pub fn append_halfvec(text: &[u8], dimensions: Option<u32>, elements: &mut Vec<F16>) -> Result<()> {
    parse_dense(text, dimensions, VectorKind::HalfVec, elements, |number, token| {
        let half = F16::from_f32(number.value);
        let infinite = number.value.is_infinite();
        if (number.out_of_range && infinite) || (half.is_infinite() && !infinite) {
            return Err(Error::out_of_range(VectorKind::HalfVec, token));
        }
        VectorKind::HalfVec.check_element(number.value)?;
        Ok(half)
    })
}

/// The text up to a zero byte, which ends a string of C.
fn until_zero(text: &[u8]) -> &[u8] {
    let length = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    &text[..length]
}

/// Reads the elements of a dense vector behind those that `elements` has.
fn parse_dense<T>(
    text: &[u8],
    dimensions: Option<u32>,
    kind: VectorKind,
    elements: &mut Vec<T>,
    element: impl Fn(&Number, &[u8]) -> Result<T>,
) -> Result<()> {
    // A zero byte is no part of anything below: reading stops there, as at the end.
    let syntax = |detail| Error::syntax(kind, until_zero(text), detail);
    let Some((b'[', rest)) = skip_spaces(text).split_first() else {
        return Err(syntax(Some("Vector contents must start with \"[\".")));
    };
    let rest = skip_spaces(rest);
    if rest.first() == Some(&b']') {
        return Err(Error::NoDimensions { kind });
    }
    // Numbers of embeddings have about ten characters; growth takes care of the rest.
    let expected = dimensions.map_or(text.len() / 8, |n| n as usize);
    elements.try_reserve_exact(expected.clamp(1, VECTOR_MAX_DIMENSIONS as usize))?;
    let most = elements.len() + VECTOR_MAX_DIMENSIONS as usize;
    let before = elements.len();
    let mut at = text.len() - rest.len();
    loop {
        if elements.len() == most {
            return Err(Error::TooManyDimensions { kind });
        }
        if elements.len() == elements.capacity() {
            elements.try_reserve(1)?;
        }
        // What is common in one way, and all else in another.
        at += usize::from(text.get(at) == Some(&b' '));
        let end = if let Some((value, end)) = decimal::read(text, at) {
            let number = Number { value, length: end - at, out_of_range: false };
            elements.push(element(&number, &text[at..end])?);
            end
        } else {
            let rest = skip_spaces(&text[at..]);
            let Some(number) = read_f32(rest) else { return Err(syntax(None)) };
            let (token, after) = rest.split_at(number.length);
            elements.push(element(&number, token)?);
            text.len() - skip_spaces(after).len()
        };
        at = end + 1;
        match text.get(end) {
            Some(b',') => {}
            Some(b']') => break,
            _ => return Err(syntax(None)),
        }
    }
    if !matches!(skip_spaces(&text[at..]), [] | [0, ..]) {
        return Err(syntax(Some("Junk after closing right brace.")));
    }
    check_expected(dimensions, (elements.len() - before) as u32)
}

/// Reads a sparse vector, `{1:1.5,3:-2}/5`: positions count from 1 and may come in any order; zeros are dropped.
///
/// # Errors
/// Those of pgvector's `sparsevec_in`, in the same order: [`Error::TooManyElements`], [`Error::Syntax`],
/// [`Error::OutOfRange`], [`Error::NotANumber`], [`Error::Infinite`], [`Error::NoDimensions`],
/// [`Error::TooManyDimensions`], [`Error::UnexpectedDimensions`], [`Error::IndexOutOfBounds`],
/// [`Error::IndexDuplicate`]; and [`Error::OutOfMemory`].
///
/// ```
/// use ruvector_core::text::parse_sparsevec;
///
/// let vector = parse_sparsevec(b"{3:-2, 1:1.5, 2:0}/5", None)?;
/// assert_eq!(vector.as_ref().dimensions(), 5);
/// assert_eq!(vector.as_ref().indices(), [0, 2]);
/// assert_eq!(vector.as_ref().values(), [1.5, -2.0]);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn parse_sparsevec(text: &[u8], dimensions: Option<u32>) -> Result<SparseVector> {
    let kind = VectorKind::SparseVec;
    let text = until_zero(text);
    let syntax = |detail| Error::syntax(kind, text, detail);
    let most = text.iter().filter(|&&byte| byte == b',').count() + 1;
    if most > SPARSEVEC_MAX_ELEMENTS as usize {
        return Err(Error::TooManyElements);
    }
    let Some((b'{', rest)) = skip_spaces(text).split_first() else {
        return Err(syntax(Some("Vector contents must start with \"{\".")));
    };
    let mut elements: Vec<(i64, f32)> = Vec::new();
    let mut rest = skip_spaces(rest);
    if let Some((b'}', after)) = rest.split_first() {
        rest = after;
    } else {
        elements.try_reserve_exact(most)?;
        loop {
            rest = skip_spaces(rest);
            let Some((index, length)) = read_i64(rest) else { return Err(syntax(None)) };
            let Some((b':', after)) = skip_spaces(&rest[length..]).split_first() else {
                return Err(syntax(None));
            };
            rest = skip_spaces(after);
            let Some(number) = read_f32(rest) else { return Err(syntax(None)) };
            let (token, after) = rest.split_at(number.length);
            if number.out_of_range {
                return Err(Error::out_of_range(kind, token));
            }
            kind.check_element(number.value)?;
            if number.value != 0.0 {
                elements.push((index.saturating_sub(1), number.value));
            }
            match skip_spaces(after).split_first() {
                Some((b',', after)) => rest = after,
                Some((b'}', after)) => {
                    rest = after;
                    break;
                }
                _ => return Err(syntax(None)),
            }
        }
    }
    let Some((b'/', rest)) = skip_spaces(rest).split_first() else {
        return Err(syntax(Some("Unexpected end of input.")));
    };
    let rest = skip_spaces(rest);
    let Some((total, length)) = read_i64(rest) else { return Err(syntax(None)) };
    if !skip_spaces(&rest[length..]).is_empty() {
        return Err(syntax(Some("Junk after closing.")));
    }
    let total = kind.check_dimensions(total)?;
    check_expected(dimensions, total)?;

    elements.sort_unstable_by_key(|&(index, _)| index);
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    indices.try_reserve_exact(elements.len())?;
    values.try_reserve_exact(elements.len())?;
    for (index, value) in elements {
        let index = u32::try_from(index).map_err(|_| Error::IndexOutOfBounds)?;
        if index >= total {
            return Err(Error::IndexOutOfBounds);
        }
        if indices.last() == Some(&index) {
            return Err(Error::IndexDuplicate);
        }
        indices.push(index);
        values.push(value);
    }
    SparseVector::new(total, indices, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{format_halfvec, format_sparsevec, format_vector};
    use alloc::format;
    use alloc::string::{String, ToString as _};
    use alloc::vec;
    use proptest::prelude::*;

    fn vector(text: &str) -> String {
        match parse_vector(text.as_bytes(), None) {
            Ok(vector) => format_vector(&vector).unwrap(),
            Err(error) => describe(&error),
        }
    }

    fn halfvec(text: &str) -> String {
        match parse_halfvec(text.as_bytes(), None) {
            Ok(vector) => format_halfvec(&vector).unwrap(),
            Err(error) => describe(&error),
        }
    }

    fn sparsevec(text: &str) -> String {
        match parse_sparsevec(text.as_bytes(), None) {
            Ok(vector) => format_sparsevec(vector.as_ref()).unwrap(),
            Err(error) => describe(&error),
        }
    }

    fn describe(error: &Error) -> String {
        match error.detail() {
            Some(detail) => format!("{error} | {detail}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn vectors() {
        assert_eq!(vector("[1,2,3]"), "[1,2,3]");
        assert_eq!(vector("\t[ 1.,\u{b} 2 ,    3  ] \n"), "[1,2,3]");
        assert_eq!(vector("[1.5e+38,-1.5E-38]"), "[1.5e+38,-1.5e-38]");
        assert_eq!(vector("[1e-46,-1e-46]"), "[0,-0]");
        assert_eq!(vector("[NaN,1]"), "NaN not allowed in vector");
        assert_eq!(vector("[-inf]"), "infinite value not allowed in vector");
        assert_eq!(vector("[4e38]"), "\"4e38\" is out of range for type vector");
        assert_eq!(vector("[]"), "vector must have at least 1 dimension");
        assert_eq!(vector("[ ]9"), "vector must have at least 1 dimension");
        for text in
            ["[", "[ ", "[,", "[,]", "[1,]", "[1a]", "[1,,3]", "[1, ,3]", "[1,2,3", "[hello,1]"]
        {
            assert_eq!(vector(text), format!("invalid input syntax for type vector: \"{text}\""));
        }
        assert_eq!(
            vector("[1,2,3]9"),
            "invalid input syntax for type vector: \"[1,2,3]9\" | Junk after closing right brace."
        );
        assert_eq!(
            vector(""),
            "invalid input syntax for type vector: \"\" | Vector contents must start with \"[\"."
        );
        assert_eq!(parse_vector(b"[1]\0garbage", None), Ok(vec![1.0]));
        assert_eq!(
            describe(&parse_vector(b"[\xff\xfe1]", None).unwrap_err()),
            "invalid input syntax for type vector: \"[\u{fffd}\u{fffd}1]\""
        );
        let long = format!("[{}1]", "0,".repeat(16_000));
        assert_eq!(vector(&long), "vector cannot have more than 16000 dimensions");
        assert_eq!(
            parse_vector(&long.as_bytes()[2..], None).unwrap_err().class().sqlstate(),
            "22P02"
        );
        let longest = format!("[{}1]", "0,".repeat(15_999));
        assert_eq!(parse_vector(longest.as_bytes(), Some(16_000)).unwrap().len(), 16_000);
    }

    #[test]
    fn half_vectors() {
        assert_eq!(halfvec("[1.23456,65519,-65519]"), "[1.234375,65504,-65504]");
        assert_eq!(halfvec("[1e-8,-1e-8,1e-46]"), "[0,-0,0]");
        assert_eq!(halfvec("[65520]"), "\"65520\" is out of range for type halfvec");
        assert_eq!(halfvec("[4e38]"), "\"4e38\" is out of range for type halfvec");
        assert_eq!(halfvec("[Infinity]"), "infinite value not allowed in halfvec");
        assert_eq!(halfvec("[nan]"), "NaN not allowed in halfvec");
        assert_eq!(halfvec("[]"), "halfvec must have at least 1 dimension");
    }

    #[test]
    fn sparse_vectors() {
        assert_eq!(sparsevec(" { 1 : 1.5 ,  3  :  3.5  } / 5 "), "{1:1.5,3:3.5}/5");
        assert_eq!(sparsevec("{2:1,1:1}/2"), "{1:1,2:1}/2");
        assert_eq!(sparsevec("{1:0,2:1,3:0}/3"), "{2:1}/3");
        assert_eq!(sparsevec("{9:0}/3"), "{}/3");
        assert_eq!(sparsevec("{ }/1"), "{}/1");
        assert_eq!(sparsevec("{1:NaN}/1"), "NaN not allowed in sparsevec");
        assert_eq!(sparsevec("{1:-Infinity}/1"), "infinite value not allowed in sparsevec");
        for number in ["4e38", "-4e38", "1e-46", "-1e-46"] {
            assert_eq!(
                sparsevec(&format!("{{1:{number}}}/1")),
                format!("\"{number}\" is out of range for type sparsevec")
            );
        }
        for text in [
            "{",
            "{ ",
            "{:",
            "{,",
            "{}/",
            "{:}/1",
            "{,}/1",
            "{1,}/1",
            "{:1}/1",
            "{1:}/1",
            "{1a:1}/1",
            "{1:1a}/1",
            "{1:1,}/1",
            "{1:hello,2:1}/2",
        ] {
            assert_eq!(
                sparsevec(text),
                format!("invalid input syntax for type sparsevec: \"{text}\"")
            );
        }
        for (text, detail) in [
            ("", "Vector contents must start with \"{\"."),
            ("{}", "Unexpected end of input."),
            ("{}/1a", "Junk after closing."),
        ] {
            assert_eq!(
                sparsevec(text),
                format!("invalid input syntax for type sparsevec: \"{text}\" | {detail}")
            );
        }
        for text in ["{1:1,1:1}/2", "{1:1,2:1,1:1}/2"] {
            assert_eq!(sparsevec(text), "sparsevec indices must not contain duplicates");
        }
        for text in ["{}/-1", "{}/0", "{}/-2147483649", "{}/-9223372036854775809"] {
            assert_eq!(sparsevec(text), "sparsevec must have at least 1 dimension");
        }
        for text in ["{}/1000000001", "{}/2147483648", "{}/9223372036854775808"] {
            assert_eq!(sparsevec(text), "sparsevec cannot have more than 1000000000 dimensions");
        }
        for index in ["2147483647", "2147483648", "-2147483648", "-2147483649", "0", "2"] {
            assert_eq!(sparsevec(&format!("{{{index}:1}}/1")), "sparsevec index out of bounds");
        }
        let long = format!("{{{}1:1}}/20000", "2:1,".repeat(16_000));
        assert_eq!(sparsevec(&long), "sparsevec cannot have more than 16000 non-zero elements");
        assert_eq!(
            parse_sparsevec(b"{}/3", Some(2)).unwrap_err().to_string(),
            "expected 2 dimensions, not 3"
        );
    }

    fn finite() -> impl Strategy<Value = f32> {
        any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |value| value.is_finite())
    }

    proptest! {
        #[test]
        fn vectors_round_trip(vector in proptest::collection::vec(finite(), 1..70)) {
            let text = format_vector(&vector).unwrap();
            let again = parse_vector(text.as_bytes(), Some(vector.len() as u32)).unwrap();
            let bits = |vector: &[f32]| vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&again), bits(&vector));
        }

        #[test]
        fn half_vectors_round_trip(bits in proptest::collection::vec(any::<u16>(), 1..70)) {
            let vector: Vec<F16> = bits.into_iter().filter(|bits| bits & 0x7c00 != 0x7c00).map(F16::from_bits).collect();
            prop_assume!(!vector.is_empty());
            let text = format_halfvec(&vector).unwrap();
            prop_assert_eq!(parse_halfvec(text.as_bytes(), None).unwrap(), vector);
        }

        #[test]
        fn sparse_vectors_round_trip(
            elements in proptest::collection::btree_map(0u32..1000, finite().prop_filter("not zero", |x| *x != 0.0), 0..70),
            more in 1u32..999_999_000,
        ) {
            let vector = SparseVector::new(
                1000 + more, elements.keys().copied().collect(), elements.values().copied().collect(),
            ).unwrap();
            let text = format_sparsevec(vector.as_ref()).unwrap();
            prop_assert_eq!(parse_sparsevec(text.as_bytes(), None).unwrap(), vector);
        }

        /// Any bytes at all, and bytes of the kind that come near to being vectors.
        #[test]
        fn any_text_is_a_vector_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            near in "[\\[{]?[-+0-9.,:eEinfatyxp \\]}/]{0,60}",
        ) {
            for text in [&bytes[..], near.as_bytes()] {
                if let Ok(vector) = parse_vector(text, None) {
                    prop_assert!(vector.iter().all(|x| x.is_finite()) && !vector.is_empty());
                }
                if let Ok(vector) = parse_halfvec(text, None) {
                    prop_assert!(vector.iter().all(|x| x.to_f32().is_finite()));
                }
                if let Ok(vector) = parse_sparsevec(text, None) {
                    prop_assert!(vector.as_ref().values().iter().all(|x| x.is_finite() && *x != 0.0));
                }
            }
        }
    }
}
