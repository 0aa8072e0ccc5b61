//! Codes of one bit for each dimension: see [`ruvector_core::quantize::RaBitQ`].
//!
//! A code has the signs, then how many of them are set, the length of the vector less the centre, the alignment, and, for
//! inner products, that of the vector with the centre; all of four bytes. What is searched for, or about to be added, has
//! behind its code more of its coordinates than the signs: their four planes of bits, the least and the step, and the sum of
//! the bits. Distances from it are more precise than those of two codes.

use alloc::vec::Vec;

use ruvector_core::kernels::Kernels;
use ruvector_core::quantize::{RaBitQ, RaBitQCodeRef, RaBitQQueryRef};
use ruvector_core::{Error, Result};

use super::insert::Settings;

/// Bytes of what is behind the planes of a query.
const QUERY_NUMBERS: usize = 12;

/// Bytes of the signs of codes that have so many dimensions.
const fn signs_length(dimensions: usize) -> usize {
    dimensions.next_multiple_of(64) / 8
}

/// The next four bytes.
#[inline]
fn take(bytes: &mut &[u8]) -> Option<[u8; 4]> {
    let (four, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*four)
}

/// The signs and numbers of a code that is as long as `bytes`, with or without an offset.
#[inline]
fn parse_code(bytes: &[u8], has_offset: bool) -> Option<RaBitQCodeRef<'_>> {
    let numbers = if has_offset { 16 } else { 12 };
    let (bits, mut rest) = bytes.split_at_checked(bytes.len().checked_sub(numbers)?)?;
    let ones = u32::from_ne_bytes(take(&mut rest)?);
    let norm = f32::from_ne_bytes(take(&mut rest)?);
    let alignment = f32::from_ne_bytes(take(&mut rest)?);
    let center_inner = if has_offset { f32::from_ne_bytes(take(&mut rest)?) } else { 0.0 };
    Some(RaBitQCodeRef { bits, ones, norm, alignment, center_inner })
}

/// What is behind a code.
#[inline]
fn parse_query<'a>(code: &RaBitQCodeRef<'_>, bytes: &'a [u8]) -> Option<RaBitQQueryRef<'a>> {
    let (planes, mut rest) = bytes.split_at_checked(4 * code.bits.len())?;
    let low = f32::from_ne_bytes(take(&mut rest)?);
    let step = f32::from_ne_bytes(take(&mut rest)?);
    let sum = u32::from_ne_bytes(take(&mut rest)?);
    let (norm, center_inner) = (code.norm, code.center_inner);
    let query = RaBitQQueryRef { planes: [&[]; 4], low, step, sum, norm, center_inner };
    Some(query.with_planes(planes))
}

/// What orders codes of `length` bytes as the estimated distance of their vectors does.
#[inline]
pub(super) fn order(kernels: &Kernels, is_l2: bool, length: usize, a: &[u8], b: &[u8]) -> f32 {
    estimate(kernels, is_l2, length, a, b).unwrap_or(f32::INFINITY)
}

#[inline]
fn estimate(kernels: &Kernels, is_l2: bool, length: usize, a: &[u8], b: &[u8]) -> Option<f32> {
    // The one of which more is known goes first.
    let (a, b) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let (first, more) = a.split_at_checked(length)?;
    let first = parse_code(first, !is_l2)?;
    let second = parse_code(b.get(..length)?, !is_l2)?;
    let cosine = if more.is_empty() {
        first.cosine(kernels, &second)
    } else {
        parse_query(&first, more)?.cosine(kernels, &second)
    };
    let inner = first.norm * second.norm * cosine;
    Some(if is_l2 {
        first.norm * first.norm + second.norm * second.norm - 2.0 * inner
    } else {
        -(inner + first.center_inner + second.center_inner)
    })
}

/// So many standard deviations are allowed for the error of an estimate.
const WIDTH: f32 = 3.0;

/// How far off the squared Euclidean distance may be that is estimated of a query and a code of `length` bytes.
pub(super) fn error_of_square(length: usize, query: &[u8], code: &[u8]) -> f64 {
    let error = || {
        let (own, more) = query.split_at_checked(length)?;
        let own = parse_code(own, false)?;
        let code = parse_code(code.get(..length)?, false)?;
        let error = parse_query(&own, more)?.cosine_error(&code, WIDTH);
        Some(2.0 * f64::from(own.norm) * f64::from(code.norm) * f64::from(error))
    };
    error().unwrap_or(f64::INFINITY)
}

/// Writes the code of numbers, as many as there are centres, and what is behind it. `to` has room for all of it.
pub(super) fn encode(
    settings: &Settings,
    numbers: impl Iterator<Item = f32>,
    center: &[f32],
    to: &mut [u8],
) -> Result<()> {
    let vector = collect(numbers, center.len())?;
    let quantizer =
        RaBitQ::new(collect(center.iter().copied(), center.len())?, settings.seed.into())?;
    let (code, query) = quantizer.encode_and_query(&vector)?;
    let offset = code.center_inner.to_ne_bytes();
    let parts: [&[u8]; 9] = [
        &code.bits,
        &code.ones.to_ne_bytes(),
        &code.norm.to_ne_bytes(),
        &code.alignment.to_ne_bytes(),
        if settings.has_offsets() { &offset } else { &[] },
        &query.planes,
        &query.low.to_ne_bytes(),
        &query.step.to_ne_bytes(),
        &query.sum.to_ne_bytes(),
    ];
    let bytes = parts.into_iter().flatten();
    to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Ok(())
}

fn collect(numbers: impl Iterator<Item = f32>, count: usize) -> Result<Vec<f32>> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(count).map_err(Error::from)?;
    vector.extend(numbers.take(count));
    Ok(vector)
}

/// Bytes of a code, and of a code with what is behind it.
pub(super) const fn lengths(dimensions: usize, has_offset: bool) -> (usize, usize) {
    let signs = signs_length(dimensions);
    let code = signs + if has_offset { 16 } else { 12 };
    (code, code + 4 * signs + QUERY_NUMBERS)
}
