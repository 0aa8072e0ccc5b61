//! How fast the sums are: each over 64 pairs of vectors that fit into the nearest cache or the next one.

use divan::{Bencher, counter::BytesCount};
use ruvector_core::F16;
use ruvector_core::kernels::{self, InstructionSet};
use ruvector_core::quantize::RaBitQ;
use ruvector_core::rng::{Random, SplitMix64};
use ruvector_core::text::{format_vector, parse_vector};

fn main() {
    divan::main();
}

const DIMENSIONS: [usize; 4] = [3, 128, 768, 1536];
const SETS: [InstructionSet; 2] = [InstructionSet::Scalar, InstructionSet::Avx2];

fn vectors(dimensions: usize) -> Vec<Vec<f32>> {
    let mut random = SplitMix64::new(1);
    let vector = |_| (0..dimensions).map(|_| random.next_f64() as f32 - 0.5).collect();
    (0..64).map(vector).collect()
}

macro_rules! sums {
    ($($name:ident: $element:ty, $convert:expr;)*) => {$(
        #[divan::bench(args = DIMENSIONS, consts = [0, 1])]
        fn $name<const SET: usize>(bencher: Bencher, dimensions: usize) {
            let Some(kernels) = kernels::of(SETS[SET]) else { return };
            let convert: fn(&f32) -> $element = $convert;
            let vectors: Vec<Vec<$element>> =
                vectors(dimensions).iter().map(|v| v.iter().map(convert).collect()).collect();
            let query = vectors[7].clone();
            bencher
                .counter(BytesCount::new(64 * dimensions * size_of::<$element>()))
                .bench_local(|| vectors.iter().map(|v| kernels.$name(divan::black_box(&query), v) as f64).sum::<f64>());
        }
    )*};
}

sums! {
    l2_squared: f32, |&x| x;
    inner: f32, |&x| x;
    l1: f32, |&x| x;
    l2_squared_f16: F16, |&x| F16::from_f32(x);
    inner_f16: F16, |&x| F16::from_f32(x);
    l2_squared_i8: i8, |&x| (x * 254.0) as i8;
    inner_i8: i8, |&x| (x * 254.0) as i8;
    hamming: u8, |&x| (x * 254.0) as i8 as u8;
}

#[divan::bench(args = DIMENSIONS)]
fn products(bencher: Bencher, dimensions: usize) {
    let vectors = vectors(dimensions);
    let kernels = kernels::detect();
    bencher.counter(BytesCount::new(64 * dimensions * 4)).bench_local(|| {
        vectors.iter().map(|v| kernels.products(&vectors[7], v).inner).sum::<f32>()
    });
}

#[divan::bench(args = [128, 768, 1536])]
fn rabitq_estimate(bencher: Bencher, dimensions: usize) {
    let vectors = vectors(dimensions);
    let quantizer = RaBitQ::new(vec![0.0; dimensions], 1).expect("there is memory");
    let codes: Vec<_> =
        vectors.iter().map(|v| quantizer.encode(v).expect("there is memory")).collect();
    let query = quantizer.query(&vectors[7]).expect("there is memory");
    bencher.bench_local(|| {
        codes.iter().map(|code| quantizer.l2_squared(code.as_ref(), &query, 1.9).value).sum::<f32>()
    });
}

#[divan::bench(args = [128])]
fn parse(bencher: Bencher, dimensions: usize) {
    let texts: Vec<String> =
        vectors(dimensions).iter().map(|v| format_vector(v).expect("there is memory")).collect();
    bencher.counter(BytesCount::new(texts.iter().map(String::len).sum::<usize>())).bench_local(
        || {
            texts
                .iter()
                .map(|t| parse_vector(t.as_bytes(), None).map_or(0, |v| v.len()))
                .sum::<usize>()
        },
    );
}

#[divan::bench(args = [128])]
fn format(bencher: Bencher, dimensions: usize) {
    let vectors = vectors(dimensions);
    bencher.counter(BytesCount::new(64 * dimensions * 4)).bench_local(|| {
        vectors.iter().map(|v| format_vector(v).map_or(0, |text| text.len())).sum::<usize>()
    });
}
