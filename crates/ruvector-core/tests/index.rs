//! Indexes: recall, removal, filters, and their stored form.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use ruvector_core::Error;
use ruvector_core::index::{FlatIndex, HnswIndex, IndexOptions, Metric};
use ruvector_core::rng::{Random, SplitMix64};

mod mixture;

use mixture::Mixture;

const METRICS: [Metric; 4] = [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1];

/// Which share of the `count` nearest the index finds.
fn recall(
    index: &HnswIndex,
    exact: &FlatIndex,
    queries: &[Vec<f32>],
    count: usize,
    alive: impl Fn(u32) -> bool,
) -> f64 {
    let (mut hits, mut all) = (0, 0);
    for query in queries {
        let truth = exact.search_where(query, count, &alive).unwrap();
        let found = index.search(query, count).unwrap();
        assert!(found.is_sorted_by(|a, b| a.distance <= b.distance));
        // Of those that are as far as the last one, any will do.
        let last = truth.last().map_or(0.0, |neighbor| neighbor.distance);
        hits += found.iter().filter(|neighbor| neighbor.distance <= last).count();
        all += truth.len();
        assert_eq!(found.len(), truth.len());
        assert!(found.iter().all(|neighbor| alive(neighbor.id)));
    }
    hits as f64 / all as f64
}

fn build(vectors: &[Vec<f32>], metric: Metric) -> (HnswIndex, FlatIndex) {
    let dimensions = vectors[0].len() as u32;
    let mut index = HnswIndex::new(metric, dimensions, IndexOptions::default()).unwrap();
    let mut exact = FlatIndex::new(metric, dimensions).unwrap();
    for vector in vectors {
        assert_eq!(index.insert(vector).unwrap(), exact.insert(vector).unwrap());
    }
    (index, exact)
}

/// With all defaults, on a mixture of normal distributions of 128 dimensions.
#[test]
fn recall_at_default_options() {
    let mut mixture = Mixture::new(128, 100, 7);
    let vectors = mixture.sample(5000);
    let queries = mixture.sample(200);
    for metric in METRICS {
        let (index, exact) = build(&vectors, metric);
        let recall = recall(&index, &exact, &queries, 10, |_| true);
        println!("{metric:?}: {recall}");
        assert!(recall >= 0.95, "{metric:?}: {recall}");
    }
}

/// Half of the vectors go: those that are left are found as before, also after the repair, and after as many new ones.
#[test]
fn removal_and_repair() {
    let mut mixture = Mixture::new(16, 20, 3);
    let vectors = mixture.sample(4000);
    let queries = mixture.sample(100);
    let (mut index, mut exact) = build(&vectors, Metric::L2);
    for id in (0..4000).step_by(2) {
        assert!(index.remove(id));
        assert!(!index.remove(id));
    }
    assert!(!index.remove(4000));
    let alive = |id: u32| id % 2 == 1 || id >= 4000;
    let before = recall(&index, &exact, &queries, 10, alive);
    index.repair().unwrap();
    let after = recall(&index, &exact, &queries, 10, alive);
    for vector in mixture.sample(2000) {
        assert_eq!(index.insert(&vector).unwrap(), exact.insert(&vector).unwrap());
    }
    let refilled = recall(&index, &exact, &queries, 10, alive);
    println!("{before} {after} {refilled}");
    assert!(before >= 0.95 && after >= 0.95 && refilled >= 0.95, "{before} {after} {refilled}");

    let again = HnswIndex::from_bytes(&index.to_bytes().unwrap()).unwrap();
    assert_eq!(again.to_bytes().unwrap(), index.to_bytes().unwrap());
    assert_eq!(recall(&again, &exact, &queries, 10, alive), refilled);
}

/// All go, and others come.
#[test]
fn removal_of_all() {
    let (mut index, _) = build(&Mixture::new(4, 3, 1).sample(100), Metric::L2);
    (0..100).for_each(|id| assert!(index.remove(id)));
    assert_eq!(index.search(&[0.0; 4], 5).unwrap(), []);
    index.repair().unwrap();
    assert_eq!(index.search(&[0.0; 4], 5).unwrap(), []);
    HnswIndex::from_bytes(&index.to_bytes().unwrap()).unwrap();
    assert_eq!(index.insert(&[1.0; 4]).unwrap(), 100);
    assert_eq!(index.search(&[0.0; 4], 5).unwrap()[0].id, 100);
    HnswIndex::from_bytes(&index.to_bytes().unwrap()).unwrap();
}

/// A filter that few fulfil does not make results fewer than there are.
#[test]
fn filters_never_run_short() {
    let mut mixture = Mixture::new(32, 20, 5);
    let (index, exact) = build(&mixture.sample(3000), Metric::Cosine);
    for every in [2, 10, 100, 1000] {
        let (mut hits, mut all) = (0, 0);
        for query in mixture.sample(20) {
            let condition = |id: u32| id.is_multiple_of(every);
            let truth = exact.search_where(&query, 10, condition).unwrap();
            let found = index.search_where(&query, 10, condition).unwrap();
            assert_eq!(found.len(), truth.len(), "one in {every}");
            assert!(found.iter().all(|neighbor| condition(neighbor.id)));
            hits += found.iter().filter(|n| truth.iter().any(|t| t.id == n.id)).count();
            all += truth.len();
        }
        assert!(hits as f64 >= 0.95 * all as f64, "one in {every}: {hits} of {all}");
    }
}

/// Many equal vectors do not cut others off, and each is found.
#[test]
fn duplicates() {
    let mut index = HnswIndex::new(Metric::L2, 3, IndexOptions::default()).unwrap();
    let mut random = SplitMix64::new(1);
    for place in 0..3000u32 {
        let vector = match place % 3 {
            0 => [0.0, 0.0, 0.0],
            1 => [1.0, 1.0, 1.0],
            _ => [0; 3].map(|_| random.next_f64() as f32),
        };
        index.insert(&vector).unwrap();
    }
    let found = index.search(&[0.0; 3], 1001).unwrap();
    assert!(found[..1000].iter().all(|neighbor| neighbor.id % 3 == 0 && neighbor.distance == 0.0));
    assert!(found[1000].id % 3 == 2);
    for id in (0..3000).step_by(6) {
        index.remove(id);
    }
    index.repair().unwrap();
    let again = HnswIndex::from_bytes(&index.to_bytes().unwrap()).unwrap();
    for index in [index, again] {
        let found = index.search(&[0.0; 3], 501).unwrap();
        assert!(found[..500].iter().all(|neighbor| neighbor.id % 6 == 3));
        assert!(found[500].id % 3 == 2);
    }
}

#[test]
fn bad_vectors_are_refused() {
    let mut index = HnswIndex::new(Metric::Cosine, 2, IndexOptions::default()).unwrap();
    for (vector, error) in [
        (&[1.0][..], Error::UnexpectedDimensions { expected: 2, found: 1 }),
        (&[f32::NAN, 1.0], Error::NotANumber { kind: ruvector_core::VectorKind::Vector }),
        (&[f32::INFINITY, 1.0], Error::Infinite { kind: ruvector_core::VectorKind::Vector }),
        (&[0.0, 0.0], Error::ZeroVector),
    ] {
        assert_eq!(index.insert(vector), Err(error.clone()));
        assert_eq!(index.search(vector, 1), Err(error));
    }
    assert!(index.is_empty() && index.search(&[1.0, 0.0], 5).unwrap().is_empty());
    assert!(HnswIndex::new(Metric::L2, 0, IndexOptions::default()).is_err());
    assert!(HnswIndex::new(Metric::L2, 16_001, IndexOptions::default()).is_err());
    let mut options = IndexOptions::default();
    options.graph.m = 1;
    assert!(HnswIndex::new(Metric::L2, 1, options).is_err());
}

/// Sums that overflow are far away, and break nothing.
#[test]
fn huge_numbers() {
    let mut index = HnswIndex::new(Metric::L2, 2, IndexOptions::default()).unwrap();
    for place in 0..200 {
        let sign = if place % 2 == 0 { 1.0 } else { -1.0 };
        index.insert(&[sign * 3e38, place as f32]).unwrap();
    }
    // Links that are infinitely long are the first to give way.
    let found = index.search(&[3e38, 0.0], 100).unwrap();
    assert!(found.iter().all(|neighbor| neighbor.id % 2 == 0) && found.len() == 100);
    HnswIndex::from_bytes(&index.to_bytes().unwrap()).unwrap();
}

/// The file comes back as it was; a part of it, or one bit another, is an error.
#[cfg(not(target_family = "wasm"))]
#[test]
fn files() {
    let directory = std::env::temp_dir().join(format!("ruvector-core-test-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("index");
    let (index, exact) = build(&Mixture::new(8, 5, 2).sample(300), Metric::L1);
    index.save(&path).unwrap();
    assert_eq!(HnswIndex::load(&path).unwrap().to_bytes().unwrap(), index.to_bytes().unwrap());
    assert_eq!(FlatIndex::load(&path).unwrap_err().class().sqlstate(), "XX002");
    exact.save(&path).unwrap();
    assert_eq!(FlatIndex::load(&path).unwrap(), exact);
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(HnswIndex::load(&path).unwrap_err().class().sqlstate(), "58030");
    assert!(index.save(&path).is_err());
}

#[test]
fn the_same_on_every_run() {
    let vectors = Mixture::new(8, 5, 9).sample(500);
    let bytes = |seed| {
        let mut options = IndexOptions::default();
        options.seed = seed;
        let mut index = HnswIndex::new(Metric::L2, 8, options).unwrap();
        vectors.iter().for_each(|vector| assert!(index.insert(vector).is_ok()));
        index.to_bytes().unwrap()
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

/// The sum over all but itself, made right again: for what gets past it.
fn with_sum(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.len() - 8;
    let mut crc = !0u64;
    for &byte in &bytes[..length] {
        crc ^= u64::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xc96c_5795_d787_0f42 } else { crc >> 1 };
        }
    }
    bytes[length..].copy_from_slice(&(!crc).to_le_bytes());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Damage is an error; and what was made to look right is an error too, or an index that can be used.
    #[test]
    fn damaged_bytes(cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), value: u8, word: bool) {
        let (mut index, flat) = build(&Mixture::new(3, 4, 4).sample(60), Metric::L2);
        index.insert(&[0.5; 3]).unwrap();
        index.insert(&[0.5; 3]).unwrap();
        index.remove(5);
        let (bytes, flat) = (index.to_bytes().unwrap(), flat.to_bytes().unwrap());
        let with_sum_is_right = with_sum(bytes.clone()) == bytes;
        prop_assert!(with_sum_is_right);

        prop_assert!(HnswIndex::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(FlatIndex::from_bytes(&flat[..cut.index(flat.len())]).is_err());
        let mut longer = bytes.clone();
        longer.push(value);
        prop_assert!(HnswIndex::from_bytes(&longer).is_err());

        for (bytes, hnsw) in [(bytes, true), (flat, false)] {
            let mut altered = bytes.clone();
            let at = at.index(altered.len());
            altered[at] ^= value.max(1);
            if word {
                let end = altered.len().min(at + 4);
                altered[at..end].fill(value);
            }
            if altered == bytes {
                continue;
            }
            prop_assert!(!hnsw || HnswIndex::from_bytes(&altered).is_err());
            prop_assert!(hnsw || FlatIndex::from_bytes(&altered).is_err());
            if at < altered.len() - 8 {
                let altered = with_sum(altered);
                if hnsw && let Ok(mut index) = HnswIndex::from_bytes(&altered) {
                    let query = vec![1.0; index.dimensions() as usize];
                    let _ = index.search(&query, 10).unwrap();
                    let _ = index.insert(&query).unwrap();
                    index.repair().unwrap();
                    let _ = index.search(&query, 10).unwrap();
                } else if !hnsw && let Ok(index) = FlatIndex::from_bytes(&altered) {
                    let _ = index.search(&vec![1.0; index.dimensions() as usize], 10).unwrap();
                }
            }
        }
    }
}
