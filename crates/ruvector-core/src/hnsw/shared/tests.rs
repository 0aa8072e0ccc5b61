use std::sync::RwLock;
use std::vec::Vec;
use std::{thread, vec};

use super::*;
use crate::hnsw::connect::{Lists, connect};
use crate::hnsw::{Options, Workspace};
use crate::rng::{Random as _, SplitMix64};

/// Memory as another process would have it.
struct Memory {
    words: Vec<[u64; 8]>,
    skipped: usize,
}

impl Memory {
    fn new(size: usize) -> Self {
        // What was there before does not matter.
        let words = vec![[0xa5a5_a5a5_a5a5_a5a5; 8]; size / 64 + 1];
        let skipped = (words.as_ptr() as usize).next_multiple_of(64) - words.as_ptr() as usize;
        Self { words, skipped }
    }

    fn base(&mut self) -> *mut u8 {
        self.words.as_mut_ptr().cast::<u8>().wrapping_add(self.skipped)
    }
}

#[derive(Clone, Copy)]
struct Points;

fn points(code: &[u8]) -> impl Iterator<Item = f32> {
    code.as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes))
}

impl Codes for Points {
    fn order(self, a: &[u8], b: &[u8]) -> f32 {
        points(a).zip(points(b)).map(|(a, b)| (a - b) * (a - b)).sum()
    }

    fn wait(self, attempts: u32) {
        if attempts.is_multiple_of(16) {
            thread::yield_now();
        } else {
            core::hint::spin_loop();
        }
    }
}

fn code(point: &[f32]) -> Vec<u8> {
    point.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

/// Points in groups, so that some would be lost.
fn random_points(count: usize, dimensions: usize) -> Vec<Vec<f32>> {
    let mut random = SplitMix64::new(5);
    let mut point = || {
        let group = random.below(10) as f32 * 20.0;
        (0..dimensions).map(|_| group + random.next_f64() as f32).collect()
    };
    (0..count).map(|_| point()).collect()
}

/// Adds each as a row, by several threads at once; how many had room?
fn build(graph: Shared<'_>, codes: &[Vec<u8>], threads: usize) -> usize {
    let alone = RwLock::new(());
    let add = |first: usize| {
        let mut workspace = Workspace::new().unwrap();
        let mut added = 0;
        for row in (first..codes.len()).step_by(threads) {
            let level = graph.level_of(row as u64, 30);
            let shared = alone.read().unwrap();
            let (_shared, _exclusive) = if graph.needs_to_be_alone(level) {
                drop(shared);
                (None, Some(alone.write().unwrap()))
            } else {
                (Some(shared), None)
            };
            let room = graph.add(Points, &codes[row], row as u64, level, &mut workspace).unwrap();
            added += usize::from(room);
        }
        added
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|first| scope.spawn(move || add(first))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn links(graph: &Shared<'_>, element: u32, layer: u8) -> Vec<u32> {
    let mut links = Vec::new();
    graph.each_link(element, layer, |link, _| links.push(link));
    links
}

/// All rows, in order. What is wrong with the graph fails the test.
fn check(mut graph: Shared<'_>, codes: &[Vec<u8>]) -> Vec<u64> {
    // Links that are moved out of the way of others have no distance of their own.
    for element in 0..graph.len() {
        for layer in 0..=graph.level(element).unwrap() {
            graph.each_link(element, layer, |link, distance| {
                let (own, other) = (graph.code(element).unwrap(), graph.code(link).unwrap());
                assert_eq!(distance, Points.order(own, other));
            });
        }
    }
    assert_eq!(connect(&mut graph).unwrap(), 0);
    let mut rows = Vec::new();
    let highest = (0..graph.len()).filter_map(|element| graph.level(element)).max();
    assert_eq!(graph.entry().and_then(|entry| graph.level(entry)), highest);
    for element in 0..graph.len() {
        let (own, count) = graph.rows(element);
        for &row in &own[..count] {
            assert_eq!(graph.code(element), Some(&codes[row as usize][..]), "{row}");
            rows.push(row);
        }
        for layer in 0..=graph.level(element).unwrap() {
            let mut links = links(&graph, element, layer);
            assert!(links.len() <= graph.options.max_links(layer));
            assert!(links.iter().all(|&link| graph.level(link).unwrap() >= layer), "{links:?}");
            assert!(!links.contains(&element));
            let count = links.len();
            links.sort_unstable();
            links.dedup();
            assert_eq!(links.len(), count, "the same link twice");
        }
    }
    rows.sort_unstable();
    rows
}

/// How many of the true ten nearest a search over the links finds.
fn recall(graph: Shared<'_>, codes: &[Vec<u8>]) -> f64 {
    use crate::hnsw::shared::insert::Searcher;
    let mut found = 0;
    for query in codes.iter().step_by(codes.len() / 50) {
        let mut distances: Vec<f32> = codes.iter().map(|code| Points.order(query, code)).collect();
        distances.sort_unstable_by(f32::total_cmp);
        let nearest = Searcher::nearest(graph, Points, query);
        found += nearest.iter().take(10).filter(|&&distance| distance <= distances[9]).count();
    }
    found as f64 / 500.0
}

#[test]
fn threads_build_one_graph() {
    for (m, dimensions) in [(2, 2), (4, 3), (16, 8)] {
        let options = Options::new(m, 64).unwrap();
        let codes: Vec<_> = random_points(3000, dimensions).iter().map(|p| code(p)).collect();
        for own_lengths in [false, true] {
            for threads in [1, 4] {
                let mut memory = Memory::new(8 << 20);
                let length = if own_lengths { 0 } else { 4 * dimensions };
                // SAFETY: the memory stays, and nobody else uses it.
                let graph = unsafe { Shared::create(memory.base(), 8 << 20, options, length) };
                assert_eq!(build(graph, &codes, threads), codes.len());
                assert_eq!(check(graph, &codes), (0..3000).collect::<Vec<u64>>());
                if m == 16 {
                    let recall = recall(graph, &codes);
                    assert!(recall > 0.97, "{threads} threads: {recall}");
                }
            }
        }
    }
}

#[test]
fn rows_with_the_same_code_share_an_element() {
    let options = Options::new(16, 64).unwrap();
    let mut random = SplitMix64::new(9);
    let points: Vec<_> =
        (0..50).map(|_| [random.next_f64() as f32, random.next_f64() as f32]).collect();
    let codes: Vec<_> = (0..2000).map(|row| code(&points[row % 50])).collect();
    for threads in [1, 4] {
        let mut memory = Memory::new(4 << 20);
        // SAFETY: the memory stays, and nobody else uses it.
        let graph = unsafe { Shared::create(memory.base(), 4 << 20, options, 8) };
        assert_eq!(build(graph, &codes, threads), codes.len());
        assert_eq!(check(graph, &codes), (0..2000).collect::<Vec<u64>>());
        // Two that come at the same time do not know of each other.
        assert!((200..250).contains(&graph.len()), "{}", graph.len());
    }
}

/// What makes distances from a new code more precise is not kept.
#[test]
fn more_behind_a_code() {
    let mut memory = Memory::new(64 << 10);
    // SAFETY: the memory stays, and nobody else uses it.
    let graph = unsafe { Shared::create(memory.base(), 64 << 10, Options::default(), 8) };
    let mut workspace = Workspace::new().unwrap();
    for row in 0..20u64 {
        let point = [(row / 2) as f32, 1.0];
        let longer = code(&[point[0], point[1], row as f32]);
        assert!(graph.add(Points, &longer, row, 0, &mut workspace).unwrap());
        assert_eq!(graph.code(row as u32 / 2), Some(&code(&point)[..]));
    }
    assert_eq!(graph.len(), 10);
    assert_eq!(graph.rows(3), ([6, 7, 0, 0, 0, 0, 0, 0, 0, 0], 2));
}

#[test]
fn full_and_moved() {
    let options = Options::default();
    let codes: Vec<_> = random_points(2000, 4).iter().map(|p| code(p)).collect();
    for own_lengths in [false, true] {
        let (length, size) = (if own_lengths { 0 } else { 16 }, 200_000);
        let mut memory = Memory::new(size);
        // SAFETY: the memory stays, and nobody else uses it.
        let graph = unsafe { Shared::create(memory.base(), size, options, length) };
        let added = build(graph, &codes, 3);
        assert_eq!(added, graph.len() as usize);
        let expected = Shared::memory_for(options, 16, own_lengths, added as u64);
        assert!(expected.abs_diff(size as u64) < 20_000, "{added}: {expected}");
        let rows = check(graph, &codes);
        assert_eq!(rows.len(), added);

        let mut larger = Memory::new(3 << 20);
        // SAFETY: likewise, for both.
        let moved = unsafe {
            graph.move_to(larger.base(), 3 << 20);
            drop(memory);
            Shared::attach(larger.base(), 3 << 20, options, length)
        };
        assert_eq!(check(moved, &codes), rows);
        // Some rows stand there twice then.
        assert_eq!(build(moved, &codes, 3), codes.len());
        check(moved, &codes);
        assert_eq!(moved.len() as usize, codes.len());
        // SAFETY: the memory is there, and nobody has anything of the graph.
        let left = unsafe {
            moved.wipe();
            core::slice::from_raw_parts(larger.base(), 3 << 20)
        };
        // What was there before, which was never used.
        assert!(left.iter().all(|&byte| byte == 0 || byte == 0xa5));
    }
}

#[test]
fn no_room_for_anything() {
    let mut memory = Memory::new(256);
    // SAFETY: the memory stays, and nobody else uses it.
    let graph = unsafe { Shared::create(memory.base(), 256, Options::default(), 8) };
    let mut workspace = Workspace::new().unwrap();
    assert!(!graph.add(Points, &[0; 8], 1, 0, &mut workspace).unwrap());
    assert!(graph.is_empty() && graph.entry().is_none());
}
