//! Every kernel this host can run against the scalar one, and that against exact sums.

use proptest::prelude::*;
use ruvector_core::F16;
use ruvector_core::kernels::{self, InstructionSet, Kernels};

fn all() -> Vec<&'static Kernels> {
    use InstructionSet::{Avx2, Avx512, Neon, Scalar, Simd128};
    [Scalar, Avx2, Avx512, Neon, Simd128].into_iter().filter_map(kernels::of).collect()
}

/// The bits, with all that is not a number alike: which of two is kept is up to the processor.
fn bits(value: f32) -> u32 {
    if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }
}

/// All short lengths, and a few of which some leave rests behind blocks of every size.
fn length() -> impl Strategy<Value = usize> {
    let long =
        prop_oneof![Just(128usize), Just(768), Just(1000), Just(1536), Just(4095), Just(16_000)];
    prop_oneof![9 => 0usize..71, 1 => long]
}

/// Two vectors, each beginning at any of sixteen places of an allocation.
fn pair<T: std::fmt::Debug + Clone>(
    element: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = (Vec<T>, Vec<T>, usize, usize)> {
    (length(), 0usize..16, 0usize..16).prop_flat_map(move |(length, i, j)| {
        let vector = |more| proptest::collection::vec(element.clone(), length + more);
        (vector(i), vector(j), Just(i), Just(j))
    })
}

fn check_f32(a: &[f32], b: &[f32]) -> Result<(), TestCaseError> {
    let scalar = kernels::scalar();
    for kernels in all() {
        let set = kernels.instruction_set();
        prop_assert_eq!(bits(kernels.l2_squared(a, b)), bits(scalar.l2_squared(a, b)), "{}", set);
        prop_assert_eq!(bits(kernels.inner(a, b)), bits(scalar.inner(a, b)), "{}", set);
        prop_assert_eq!(bits(kernels.l1(a, b)), bits(scalar.l1(a, b)), "{}", set);
        let products = kernels.products(a, b);
        prop_assert_eq!(bits(products.inner), bits(scalar.inner(a, b)), "{}", set);
        prop_assert_eq!(bits(products.left), bits(scalar.inner(a, a)), "{}", set);
        prop_assert_eq!(bits(products.right), bits(scalar.inner(b, b)), "{}", set);
    }
    Ok(())
}

fn check_f16(a: &[F16], b: &[F16]) -> Result<(), TestCaseError> {
    let scalar = kernels::scalar();
    for kernels in all() {
        let set = kernels.instruction_set();
        prop_assert_eq!(
            bits(kernels.l2_squared_f16(a, b)),
            bits(scalar.l2_squared_f16(a, b)),
            "{}",
            set
        );
        prop_assert_eq!(bits(kernels.inner_f16(a, b)), bits(scalar.inner_f16(a, b)), "{}", set);
        prop_assert_eq!(bits(kernels.l1_f16(a, b)), bits(scalar.l1_f16(a, b)), "{}", set);
        let products = kernels.products_f16(a, b);
        prop_assert_eq!(bits(products.inner), bits(scalar.products_f16(a, b).inner), "{}", set);
        prop_assert_eq!(bits(products.left), bits(scalar.inner_f16(a, a)), "{}", set);
    }
    Ok(())
}

/// The documented bound of the error.
fn within(sum: f32, terms: impl Iterator<Item = f64>) -> Result<(), TestCaseError> {
    let (mut exact, mut magnitude, mut count) = (0f64, 0f64, 0f64);
    for term in terms {
        exact += term;
        magnitude += term.abs();
        count += 1.0;
    }
    let steps = (count / 32.0 + 16.0) * 2f64.powi(-24);
    let bound = steps / (1.0 - steps) * magnitude;
    prop_assert!((f64::from(sum) - exact).abs() <= bound, "{sum} for {exact}, bound {bound}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Numbers of a kind that embeddings have: the same bits everywhere, within the bound.
    #[test]
    fn f32_sums((a, b, i, j) in pair(-10f32..10.0)) {
        let (a, b) = (&a[i..], &b[j..]);
        check_f32(a, b)?;
        let both = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        within(kernels::scalar().l2_squared(a, b), both().map(|(a, b)| (a - b) * (a - b)))?;
        within(kernels::scalar().inner(a, b), both().map(|(a, b)| a * b))?;
        within(kernels::scalar().l1(a, b), both().map(|(a, b)| (a - b).abs()))?;
    }

    /// Any bits: infinities, what is not a number, subnormal ones.
    #[test]
    fn any_f32((a, b, i, j) in pair(any::<u32>().prop_map(f32::from_bits))) {
        check_f32(&a[i..], &b[j..])?;
    }

    /// Any bits of half precision.
    #[test]
    fn any_f16((a, b, i, j) in pair(any::<u16>().prop_map(F16::from_bits))) {
        check_f16(&a[i..], &b[j..])?;
    }

    #[test]
    fn f16_sums((a, b, i, j) in pair((-10f32..10.0).prop_map(F16::from_f32))) {
        let (a, b) = (&a[i..], &b[j..]);
        check_f16(a, b)?;
        let both = || a.iter().zip(b).map(|(a, b)| (f64::from(a.to_f32()), f64::from(b.to_f32())));
        within(kernels::scalar().l2_squared_f16(a, b), both().map(|(a, b)| (a - b) * (a - b)))?;
        within(kernels::scalar().inner_f16(a, b), both().map(|(a, b)| a * b))?;
        within(kernels::scalar().l1_f16(a, b), both().map(|(a, b)| (a - b).abs()))?;
    }

    #[test]
    fn i8_sums((a, b, i, j) in pair(any::<i8>())) {
        let (a, b) = (&a[i..], &b[j..]);
        let both = || a.iter().zip(b).map(|(&a, &b)| (i64::from(a), i64::from(b)));
        let l2: i64 = both().map(|(a, b)| (a - b) * (a - b)).sum();
        let inner: i64 = both().map(|(a, b)| a * b).sum();
        for kernels in all() {
            prop_assert_eq!(kernels.l2_squared_i8(a, b), l2 as u64, "{}", kernels.instruction_set());
            prop_assert_eq!(kernels.inner_i8(a, b), inner, "{}", kernels.instruction_set());
        }
    }

    #[test]
    fn bit_sums((a, b, i, j) in pair(any::<u8>()), seed: u64) {
        let (a, b) = (&a[i..], &b[j..]);
        let ones = |f: fn(u8, u8) -> u8| -> u64 {
            a.iter().zip(b).map(|(&a, &b)| u64::from(f(a, b).count_ones())).sum()
        };
        let rotated: Vec<u8> = b.iter().map(|b| b.rotate_left((seed % 8) as u32)).collect();
        let planes = [b, &rotated, a, b];
        let weighted: u64 = planes.iter().enumerate().map(|(j, plane)| {
            a.iter().zip(*plane).map(|(a, p)| u64::from((a & p).count_ones()) << j).sum::<u64>()
        }).sum();
        for kernels in all() {
            let set = kernels.instruction_set();
            prop_assert_eq!(kernels.hamming(a, b), ones(|a, b| a ^ b), "{}", set);
            prop_assert_eq!(kernels.bit_counts(a, b).intersection, ones(|a, b| a & b), "{}", set);
            prop_assert_eq!(kernels.bit_counts(a, b).union, ones(|a, b| a | b), "{}", set);
            prop_assert_eq!(kernels.weighted_ones(a, planes), weighted, "{}", set);
        }
    }
}

/// The largest sums that there can be: where a 32-bit lane would overflow if a block were longer.
#[test]
fn i8_extremes() {
    let (low, high) = (vec![-128i8; 200_001], vec![127i8; 200_001]);
    for kernels in all() {
        assert_eq!(kernels.l2_squared_i8(&low, &high), 200_001 * 255 * 255);
        assert_eq!(kernels.inner_i8(&low, &low), 200_001 * 128 * 128);
        assert_eq!(kernels.inner_i8(&low, &high), -200_001 * 128 * 127);
    }
}

/// Where lengths differ, what both have counts.
#[test]
fn unequal_lengths() {
    for kernels in all() {
        assert_eq!(kernels.inner(&[1.0; 40], &[2.0; 3]), 6.0);
        assert_eq!(kernels.l2_squared(&[], &[2.0; 3]), 0.0);
        assert_eq!(
            kernels.weighted_ones(&[255; 9], [&[1; 8], &[1; 20], &[1], &[3; 9]]),
            1 + 2 + 4 + 16
        );
    }
}

/// The host is asked, and what it has is used.
#[test]
fn detected() {
    let best = kernels::detect().instruction_set();
    assert_eq!(kernels::of(best).map(Kernels::instruction_set), Some(best));
    assert_eq!(all().last().map(|kernels| kernels.instruction_set()), Some(best));
    println!("detected {best}");
}
