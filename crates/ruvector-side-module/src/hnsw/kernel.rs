//! What stands for a vector on a page, and distances of two of them.
//!
//! A *code* is the bytes of a vector without any header: the numbers of a dense one, positions and then values of a sparse
//! one, the bits of a bit string; or of a dense one what [`super::encode`] makes of it. How many dimensions there are is known of
//! the index.
//!
//! What is searched for, or about to be added, may have more behind its code than is kept: see [`super::rabitq`].

use alloc::vec::Vec;
use core::slice;

use ruvector_core::distance::Vector as _;
use ruvector_core::kernels::{self, Kernels};
use ruvector_core::{Error, F16, Result, SparseRef};

use super::insert::Settings;
use super::{rabitq, sq8};

/// The type of the vectors, as C numbers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Vector,
    HalfVec,
    SparseVec,
    Bit,
    /// One byte for each dimension.
    Sq8,
    /// One bit for each dimension.
    RaBitQ,
}

/// What orders vectors, as C numbers it. Vectors for the cosine have length one, so that it is the inner product.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Metric {
    L2,
    InnerProduct,
    L1,
    Hamming,
    Jaccard,
}

/// Distances of codes of one index.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    kind: Kind,
    metric: Metric,
    /// What one of a code stands for, if codes are of one byte for each dimension.
    step: f32,
    /// Bytes of the longest code.
    room: usize,
    kernels: &'static Kernels,
}

/// The numbers of a code. Where it does not begin or end with a whole, aligned number, that part is left out.
fn numbers<T: Number>(code: &[u8]) -> &[T] {
    // SAFETY: any bits are a number of such a type.
    unsafe { code.align_to().1 }
}

trait Number {}
impl Number for f32 {}
impl Number for u32 {}
impl Number for F16 {}

fn sparse(code: &[u8]) -> SparseRef<'_> {
    let (indices, values) = code.split_at(code.len() / 8 * 4);
    SparseRef::new_unchecked(u32::MAX, numbers(indices), numbers(values))
}

impl Kernel {
    pub(super) fn new(settings: &Settings) -> Self {
        let kind = match settings.kind {
            _ if settings.is_sq8() => Kind::Sq8,
            _ if settings.is_f16() => Kind::HalfVec,
            _ if settings.is_rabitq() => Kind::RaBitQ,
            0 => Kind::Vector,
            1 => Kind::HalfVec,
            2 => Kind::SparseVec,
            _ => Kind::Bit,
        };
        let metric = match settings.metric {
            0 => Metric::L2,
            1 => Metric::InnerProduct,
            2 => Metric::L1,
            3 => Metric::Hamming,
            _ => Metric::Jaccard,
        };
        Self {
            kind,
            metric,
            step: settings.step,
            room: settings.room as usize,
            kernels: kernels::detect(),
        }
    }

    /// The part of a code that is kept: what is searched for, or about to be added, may have more behind it.
    #[inline]
    pub(super) fn kept<'a>(&self, code: &'a [u8]) -> &'a [u8] {
        code.get(..self.room).unwrap_or(code)
    }

    /// What orders vectors as the distance does; what is not a number counts as infinite.
    #[inline]
    pub(super) fn order(&self, a: &[u8], b: &[u8]) -> f32 {
        let order = match self.kind {
            Kind::Vector => {
                let (a, b) = (numbers(a), numbers(b));
                match self.metric {
                    Metric::L2 => self.kernels.l2_squared(a, b),
                    Metric::L1 => self.kernels.l1(a, b),
                    _ => -self.kernels.inner(a, b),
                }
            }
            Kind::HalfVec => {
                let (a, b) = (numbers(a), numbers(b));
                match self.metric {
                    Metric::L2 => self.kernels.l2_squared_f16(a, b),
                    Metric::L1 => self.kernels.l1_f16(a, b),
                    _ => -self.kernels.inner_f16(a, b),
                }
            }
            Kind::SparseVec => {
                let (a, b) = (sparse(a), sparse(b));
                match self.metric {
                    Metric::L2 => a.raw_l2_squared(b),
                    Metric::L1 => a.raw_l1(b),
                    _ => -a.raw_inner(b),
                }
            }
            Kind::Sq8 => {
                // Without what is behind the code of what is searched for.
                let (a, b) = (self.kept(a), self.kept(b));
                match self.metric {
                    Metric::L2 => self.kernels.l2_squared_i8(sq8::signed(a), sq8::signed(b)) as f32,
                    Metric::L1 => sq8::l1(a, b),
                    _ => sq8::negative_inner(self.kernels, self.step, a, b),
                }
            }
            Kind::RaBitQ => rabitq::order(self.kernels, self.metric == Metric::L2, self.room, a, b),
            Kind::Bit => match self.metric {
                Metric::Hamming => self.kernels.hamming(a, b) as f32,
                _ => {
                    let counts = self.kernels.bit_counts(a, b);
                    if counts.intersection == 0 {
                        1.0
                    } else {
                        (1.0 - counts.intersection as f64 / counts.union as f64) as f32
                    }
                }
            },
        };
        if order.is_nan() { f32::INFINITY } else { order }
    }
}

impl Query {
    /// How far off the order of a code of one bit for each dimension may be.
    pub(super) fn error(&self, code: &[u8]) -> f64 {
        let own = self.code.as_ref();
        own.map_or(f64::INFINITY, |own| {
            rabitq::error_of_square(self.kernel.room, own.bytes(), code)
        })
    }
}

/// A code of its own, aligned for any number.
pub(super) struct Code {
    words: Vec<u64>,
    length: usize,
}

impl Code {
    pub(super) fn new(code: &[u8]) -> Result<Self> {
        let mut own = Self::zeros(code.len())?;
        own.bytes_mut().copy_from_slice(code);
        Ok(own)
    }

    pub(super) fn zeros(length: usize) -> Result<Self> {
        let mut words = Vec::new();
        let count = length.div_ceil(8);
        words.try_reserve_exact(count).map_err(Error::from)?;
        words.resize(count, 0);
        Ok(Self { words, length })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the words have at least so many bytes, and any is a byte.
        unsafe { slice::from_raw_parts(self.words.as_ptr().cast(), self.length) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the words have at least so many bytes, and any bytes are words.
        unsafe { slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.length) }
    }

    /// Cuts off what is behind a length.
    pub(super) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

/// What is searched for; without a code it is as far from all vectors.
pub struct Query {
    pub(super) kernel: Kernel,
    pub(super) code: Option<Code>,
}

impl Query {
    #[inline]
    pub(super) fn order(&self, code: &[u8]) -> f32 {
        self.code.as_ref().map_or(0.0, |own| self.kernel.order(own.bytes(), code))
    }
}

/// The order of what is searched for and a code on a page. C calls it while it has the page locked.
///
/// # Safety
/// `query` is what C was given by a function of the store, and `length` bytes are at `code`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_order(
    query: *const Query,
    code: *const u8,
    length: usize,
) -> f32 {
    // SAFETY: the caller's promise.
    unsafe { (*query).order(crate::view::slice(code, length)) }
}
