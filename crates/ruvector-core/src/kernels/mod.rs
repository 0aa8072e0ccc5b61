//! Sums over two vectors, with the vector instructions of the processor.
//!
//! # One order of summation
//!
//! Sums of single precision numbers depend on the order of the additions. Here it is the same for every processor, so
//! that a distance, the order of results and the graph of an index do not depend on the host. There are [`LANES`]
//! partial sums. Elements are taken in blocks of 32, the `i`-th of a block for lane `i`; of what remains, blocks of eight
//! go to lanes 0 to 7, 8 to 15 and 16 to 23; up to seven last elements are summed on their own, in order. Lanes are
//! added in pairs: `i` and `i + 8`, `i + 16` and `i + 24`, those two, then lanes 4, 2 and 1 apart, at last the sum of the
//! last elements. Products are rounded before they are added: fused operations would be no faster here, as loads are
//! what takes time.
//!
//! # Error bound
//!
//! With `u = 2^-24` and `n` elements, a sum differs from the exact sum of the exact terms by at most
//! `(n/32 + 16) u / (1 - (n/32 + 16) u)` times the sum of the terms' magnitudes, if nothing overflows or is subnormal
//! (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2: no term takes part in more additions than
//! `n/32 + 12`, and each takes part in at most three roundings before). Sums of integers are exact.

/// The table of a set whose functions need its instructions, as functions without requirements of their own.
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little")))]
macro_rules! table {
    ($set:ident) => {
        pub(super) static KERNELS: super::Kernels = super::Kernels {
            set: super::InstructionSet::$set,
            l2_squared: table!(l2_squared, (a: &[f32], b: &[f32]) -> f32),
            inner: table!(inner, (a: &[f32], b: &[f32]) -> f32),
            l1: table!(l1, (a: &[f32], b: &[f32]) -> f32),
            products: table!(products, (a: &[f32], b: &[f32]) -> Products),
            l2_squared_f16: table!(l2_squared_f16, (a: &[F16], b: &[F16]) -> f32),
            inner_f16: table!(inner_f16, (a: &[F16], b: &[F16]) -> f32),
            l1_f16: table!(l1_f16, (a: &[F16], b: &[F16]) -> f32),
            l2_squared_i8: table!(l2_squared_i8, (a: &[i8], b: &[i8]) -> u64),
            inner_i8: table!(inner_i8, (a: &[i8], b: &[i8]) -> i64),
            hamming: table!(hamming, (a: &[u8], b: &[u8]) -> u64),
            bit_counts: table!(bit_counts, (a: &[u8], b: &[u8]) -> BitCounts),
            weighted_ones: table!(weighted_ones, (code: &[u8], planes: [&[u8]; 4]) -> u64),
        };
    };
    ($function:path, ($($argument:ident: $type:ty),*) -> $result:ty) => {{
        fn entry($($argument: $type),*) -> $result {
            // SAFETY: `of` gives access to the table only if the processor has the instructions; those of NEON every
            // target of its architecture is compiled for.
            unsafe { $function($($argument),*) }
        }
        entry
    }};
}

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

use core::fmt;

use crate::half::F16;

/// Partial sums of a sum over floating point numbers.
pub const LANES: usize = 32;

/// Instructions that kernels are written with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InstructionSet {
    /// Those that the program was compiled for.
    Scalar,
    /// AVX2 and F16C, of x86-64 processors since about 2013.
    Avx2,
    /// AVX-512 (F, BW, VPOPCNTDQ).
    Avx512,
    /// NEON, of every 64-bit Arm processor.
    Neon,
    /// SIMD of WebAssembly.
    Simd128,
}

impl InstructionSet {
    /// A short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
            Self::Simd128 => "simd128",
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Three products of two vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Products {
    /// The inner product.
    pub inner: f32,
    /// The first's with itself.
    pub left: f32,
    /// The second's with itself.
    pub right: f32,
}

/// Common and all ones of two bit vectors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BitCounts {
    /// Ones of both.
    pub intersection: u64,
    /// Ones of one or the other.
    pub union: u64,
}

/// The sums, for one instruction set. Where lengths differ, the elements that both have are summed.
///
/// ```
/// use ruvector_core::kernels;
///
/// assert_eq!(kernels::detect().l2_squared(&[1.0, 2.0], &[4.0, 6.0]), 25.0);
/// ```
#[derive(Clone, Copy)]
pub struct Kernels {
    set: InstructionSet,
    l2_squared: fn(&[f32], &[f32]) -> f32,
    inner: fn(&[f32], &[f32]) -> f32,
    l1: fn(&[f32], &[f32]) -> f32,
    products: fn(&[f32], &[f32]) -> Products,
    l2_squared_f16: fn(&[F16], &[F16]) -> f32,
    inner_f16: fn(&[F16], &[F16]) -> f32,
    l1_f16: fn(&[F16], &[F16]) -> f32,
    l2_squared_i8: fn(&[i8], &[i8]) -> u64,
    inner_i8: fn(&[i8], &[i8]) -> i64,
    hamming: fn(&[u8], &[u8]) -> u64,
    bit_counts: fn(&[u8], &[u8]) -> BitCounts,
    weighted_ones: fn(&[u8], [&[u8]; 4]) -> u64,
}

/// Methods that cut both vectors to the shorter one's length.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident: $element:ty => $result:ty;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(&self, a: &[$element], b: &[$element]) -> $result {
            let length = a.len().min(b.len());
            (self.$name)(&a[..length], &b[..length])
        }
    )*};
}

impl Kernels {
    /// The instructions they are written with.
    pub const fn instruction_set(&self) -> InstructionSet {
        self.set
    }

    methods! {
        /// Sum of the squares of the differences.
        l2_squared: f32 => f32;
        /// Sum of the products.
        inner: f32 => f32;
        /// Sum of the magnitudes of the differences.
        l1: f32 => f32;
        /// The inner products that the cosine is computed of. Each is what [`Kernels::inner`] gives.
        products: f32 => Products;
        /// Sum of the squares of the differences, in single precision.
        l2_squared_f16: F16 => f32;
        /// Sum of the products, in single precision.
        inner_f16: F16 => f32;
        /// Sum of the magnitudes of the differences, in single precision.
        l1_f16: F16 => f32;
        /// Sum of the squares of the differences: exact.
        l2_squared_i8: i8 => u64;
        /// Sum of the products: exact.
        inner_i8: i8 => i64;
        /// How many bits differ.
        hamming: u8 => u64;
        /// How many ones both have, and how many one or the other has.
        bit_counts: u8 => BitCounts;
    }

    /// The inner products that the cosine is computed of.
    #[inline]
    pub fn products_f16(&self, a: &[F16], b: &[F16]) -> Products {
        Products {
            inner: self.inner_f16(a, b),
            left: self.inner_f16(a, a),
            right: self.inner_f16(b, b),
        }
    }

    /// `sum of 2^j * (ones of code and plane j)`: the inner product of bits with numbers of four bits.
    #[inline]
    pub fn weighted_ones(&self, code: &[u8], planes: [&[u8]; 4]) -> u64 {
        let length = planes.iter().fold(code.len(), |length, plane| length.min(plane.len()));
        (self.weighted_ones)(&code[..length], planes.map(|plane| &plane[..length]))
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernels").field("set", &self.set).finish_non_exhaustive()
    }
}

/// Kernels without vector instructions of their own.
pub const fn scalar() -> &'static Kernels {
    &scalar::KERNELS
}

/// Kernels for an instruction set, if this program may use it on this processor.
pub fn of(set: InstructionSet) -> Option<&'static Kernels> {
    match set {
        InstructionSet::Scalar => Some(&scalar::KERNELS),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => has_avx2().then_some(&avx2::KERNELS),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => has_avx512().then_some(&avx512::KERNELS),
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        InstructionSet::Neon => Some(&neon::KERNELS),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        InstructionSet::Simd128 => Some(&wasm::KERNELS),
        _ => None,
    }
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
fn has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("f16c")
        && std::is_x86_feature_detected!("popcnt")
}

#[cfg(all(target_arch = "x86_64", not(feature = "std")))]
const fn has_avx2() -> bool {
    cfg!(all(target_feature = "avx2", target_feature = "f16c", target_feature = "popcnt"))
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
fn has_avx512() -> bool {
    has_avx2()
        && std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512vpopcntdq")
}

#[cfg(all(target_arch = "x86_64", not(feature = "std")))]
const fn has_avx512() -> bool {
    has_avx2()
        && cfg!(all(
            target_feature = "avx512f",
            target_feature = "avx512bw",
            target_feature = "avx512vpopcntdq"
        ))
}

/// The best kernels for the processor.
///
/// With the feature `std` the processor is asked, once; without, what the program was compiled for decides.
#[inline]
pub fn detect() -> &'static Kernels {
    #[cfg(feature = "std")]
    {
        use InstructionSet::{Avx2, Avx512, Neon, Simd128};
        static BEST: std::sync::OnceLock<&'static Kernels> = std::sync::OnceLock::new();
        BEST.get_or_init(|| {
            [Avx512, Avx2, Neon, Simd128].into_iter().find_map(of).unwrap_or(&scalar::KERNELS)
        })
    }
    // A constant, so that calls are to the kernels themselves.
    #[cfg(all(not(feature = "std"), target_arch = "wasm32", target_feature = "simd128"))]
    return &wasm::KERNELS;
    #[cfg(all(not(feature = "std"), not(all(target_arch = "wasm32", target_feature = "simd128"))))]
    {
        use InstructionSet::{Avx2, Avx512, Neon};
        [Avx512, Avx2, Neon].into_iter().find_map(of).unwrap_or(&scalar::KERNELS)
    }
}
