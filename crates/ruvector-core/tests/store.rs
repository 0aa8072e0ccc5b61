//! The graph over a store of another make: bytes on pages, every access of which can fail.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use ruvector_core::hnsw::{
    self, ElementId, EntryPoint, LinkStore, Options, Scan, Store, Visit, Workspace,
};
use ruvector_core::kernels;
use ruvector_core::rng::SplitMix64;

mod mixture;

use mixture::Mixture;

const PAGE: usize = 2048;
const DIMENSIONS: usize = 16;
const MAX_LEVEL: u8 = 3;

#[derive(Debug, PartialEq)]
enum Failure {
    Core(ruvector_core::Error),
    Disk,
    Interrupted,
}

impl From<ruvector_core::Error> for Failure {
    fn from(error: ruvector_core::Error) -> Self {
        Self::Core(error)
    }
}

/// Elements at byte offsets of pages: state, level, vector, then lists of names, zeros where there is none.
#[derive(Default)]
struct Pages {
    pages: Vec<[u8; PAGE]>,
    used: usize,
    entry: Option<EntryPoint>,
    /// Accesses until one fails.
    fails_after: Option<usize>,
    interrupted_after: Option<usize>,
    accesses: usize,
}

const OPTIONS: fn() -> Options = || Options::new(8, 32).unwrap();

fn size(level: u8) -> usize {
    2 + DIMENSIONS * 4 + 8 * (0..=level).map(|layer| OPTIONS().max_links(layer)).sum::<usize>()
}

impl Pages {
    fn access(&mut self) -> Result<(), Failure> {
        self.accesses += 1;
        match self.fails_after.as_mut() {
            Some(0) => Err(Failure::Disk),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Names are page and offset; none is zero.
    fn bytes(&mut self, element: ElementId) -> Result<&mut [u8], Failure> {
        self.access()?;
        let (page, offset) = ((element.0 >> 16) as usize, (element.0 & 0xffff) as usize);
        Ok(&mut self.pages[page - 1][offset..])
    }

    fn list(&mut self, element: ElementId, layer: u8) -> Result<Option<&mut [[u8; 8]]>, Failure> {
        let bytes = self.bytes(element)?;
        if bytes[0] == 0 || layer > bytes[1] {
            return Ok(None);
        }
        let start = 2
            + DIMENSIONS * 4
            + 8 * (0..layer).map(|layer| OPTIONS().max_links(layer)).sum::<usize>();
        let length = OPTIONS().max_links(layer);
        Ok(Some(&mut bytes[start..].as_chunks_mut::<8>().0[..length]))
    }

    fn create(&mut self, vector: &[f32], level: u8) -> Result<ElementId, Failure> {
        self.access()?;
        if self.pages.is_empty() || self.used + size(level) > PAGE {
            self.pages.push([0; PAGE]);
            self.used = 0;
        }
        let id = ElementId((self.pages.len() as u64) << 16 | self.used as u64);
        self.used += size(level);
        let bytes = self.bytes(id)?;
        bytes[0] = 1;
        bytes[1] = level;
        for (place, number) in bytes[2..].as_chunks_mut::<4>().0.iter_mut().zip(vector) {
            *place = number.to_le_bytes();
        }
        Ok(id)
    }

    fn insert(
        &mut self,
        vector: &[f32],
        level: u8,
        workspace: &mut Workspace,
    ) -> Result<ElementId, Failure> {
        let vector = vector.to_vec();
        let plan = hnsw::plan(self, &vector, level, OPTIONS(), None, workspace)?;
        let id = self.create(&vector, level)?;
        for (layer, links) in (0..).zip(&plan.links) {
            for link in links {
                self.replace_link(id, layer, None, link.id)?;
            }
        }
        if self.entry.is_none_or(|entry| entry.level < level) {
            self.entry = Some(EntryPoint { id, level });
        }
        hnsw::link(self, id, &vector, &plan, OPTIONS())?;
        Ok(id)
    }
}

impl Store for Pages {
    type Vector = Vec<f32>;
    type Error = Failure;

    fn entry_point(&mut self) -> Result<Option<EntryPoint>, Failure> {
        self.access()?;
        Ok(self.entry)
    }

    fn links(
        &mut self,
        element: ElementId,
        layer: u8,
        into: &mut Vec<ElementId>,
    ) -> Result<(), Failure> {
        if let Some(list) = self.list(element, layer)? {
            into.extend(
                list.iter()
                    .map(|&link| ElementId(u64::from_le_bytes(link)))
                    .filter(|link| link.0 != 0),
            );
        }
        Ok(())
    }

    fn visit(
        &mut self,
        query: &Vec<f32>,
        element: ElementId,
        layer: u8,
    ) -> Result<Option<Visit>, Failure> {
        let live = self.bytes(element)?[0] == 1;
        let on_layer = layer <= self.bytes(element)?[1];
        let Some(vector) = self.load(element)?.filter(|_| on_layer) else { return Ok(None) };
        Ok(Some(Visit { distance: kernels::detect().l2_squared(query, &vector), live }))
    }

    fn check_interrupts(&mut self) -> Result<(), Failure> {
        match self.interrupted_after.as_mut() {
            Some(0) => Err(Failure::Interrupted),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl LinkStore for Pages {
    fn load(&mut self, element: ElementId) -> Result<Option<Vec<f32>>, Failure> {
        let bytes = self.bytes(element)?;
        let numbers = bytes[2..].as_chunks::<4>().0.iter().take(DIMENSIONS);
        let vector = numbers.map(|&number| f32::from_le_bytes(number)).collect();
        Ok((bytes[0] != 0).then_some(vector))
    }

    fn distance(&mut self, a: &Vec<f32>, b: &Vec<f32>) -> Result<f32, Failure> {
        Ok(kernels::detect().l2_squared(a, b))
    }

    fn replace_link(
        &mut self,
        element: ElementId,
        layer: u8,
        dropped: Option<ElementId>,
        added: ElementId,
    ) -> Result<(), Failure> {
        let old = dropped.map_or(0, |id| id.0).to_le_bytes();
        if let Some(list) = self.list(element, layer)?
            && !list.contains(&added.0.to_le_bytes())
            && let Some(place) = list.iter_mut().find(|place| **place == old)
        {
            *place = added.0.to_le_bytes();
        }
        Ok(())
    }
}

/// All vectors of a test, and the graph of them.
fn build(count: usize, seed: u64) -> (Pages, Vec<(ElementId, Vec<f32>)>, Mixture) {
    let mut mixture = Mixture::new(DIMENSIONS, 10, seed);
    let (mut pages, mut workspace) = (Pages::default(), Workspace::new().unwrap());
    let mut random = SplitMix64::new(seed);
    let mut elements = Vec::new();
    for vector in mixture.sample(count) {
        let level = OPTIONS().random_level(&mut random, MAX_LEVEL);
        elements.push((pages.insert(&vector, level, &mut workspace).unwrap(), vector));
    }
    (pages, elements, mixture)
}

fn exact(elements: &[(ElementId, Vec<f32>)], query: &[f32], count: usize) -> Vec<ElementId> {
    let mut all: Vec<_> = elements
        .iter()
        .map(|(id, vector)| (kernels::scalar().l2_squared(query, vector), *id))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().take(count).map(|(_, id)| id).collect()
}

fn recall(pages: &mut Pages, elements: &[(ElementId, Vec<f32>)], queries: &[Vec<f32>]) -> f64 {
    let mut scan = Scan::new(40, false).unwrap();
    let mut hits = 0;
    for query in queries {
        let truth = exact(elements, query, 10);
        let found = scan.first(pages, query).unwrap();
        assert!(found.is_sorted() && found.iter().all(|candidate| candidate.live));
        hits += found.iter().take(10).filter(|candidate| truth.contains(&candidate.id)).count();
    }
    hits as f64 / (10 * queries.len()) as f64
}

#[test]
fn recall_over_pages() {
    let (mut pages, elements, mut mixture) = build(3000, 1);
    let recall = recall(&mut pages, &elements, &mixture.sample(100));
    println!("{recall}");
    assert!(recall >= 0.95, "{recall}");
}

/// A scan that goes on gives every element once; batches are in order, and nearly so are all.
#[test]
fn a_scan_gives_all() {
    let (mut pages, elements, mut mixture) = build(1000, 2);
    let query = mixture.sample(1).remove(0);
    let mut scan = Scan::new(20, true).unwrap();
    let mut given: Vec<_> = scan.first(&mut pages, &query).unwrap().to_vec();
    assert_eq!(given.len(), 20);
    loop {
        let batch = scan.more(&mut pages, &query).unwrap();
        if batch.is_empty() {
            break;
        }
        assert!(batch.is_sorted() && batch.len() <= 20);
        given.extend_from_slice(batch);
    }
    let mut ids: Vec<_> = given.iter().map(|candidate| candidate.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), given.len(), "an element came twice");
    assert!(ids.len() >= 990, "{}", ids.len());
    let truth = exact(&elements, &query, 100);
    let early = given[..150].iter().filter(|candidate| truth.contains(&candidate.id)).count();
    assert!(early >= 95, "{early}");
    assert!(scan.visits() >= 990 && scan.memory() > 0 && scan.pop_visited().is_none());

    // After a limit, what was visited comes in order.
    let mut scan = Scan::new(20, true).unwrap();
    let last = *scan.first(&mut pages, &query).unwrap().last().unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| scan.pop_visited()).collect();
    assert!(!rest.is_empty() && rest.is_sorted() && rest[0] >= last);
}

/// Elements that are about to be removed are passed through, but neither found nor linked with; elements that were linked
/// with them get other links.
#[test]
fn elements_about_to_be_removed() {
    let (mut pages, elements, mut mixture) = build(2000, 3);
    let queries = mixture.sample(50);
    for (id, _) in elements.iter().step_by(3) {
        pages.bytes(*id).unwrap()[0] = 2;
    }
    let left: Vec<_> =
        elements.iter().enumerate().filter(|(at, _)| at % 3 != 0).map(|(_, e)| e.clone()).collect();
    let before = recall(&mut pages, &left, &queries);

    let mut workspace = Workspace::new().unwrap();
    let gone = |pages: &mut Pages, id: ElementId| pages.bytes(id).unwrap()[0] == 2;
    for (id, _) in &left {
        let level = pages.bytes(*id).unwrap()[1];
        let (vector, plan) =
            hnsw::relink(&mut pages, *id, level, OPTIONS(), &mut workspace).unwrap().unwrap();
        for (layer, links) in (0..).zip(&plan.links) {
            assert!(links.iter().all(|link| link.id != *id && link.live));
            pages.list(*id, layer).unwrap().unwrap().fill([0; 8]);
            for link in links {
                pages.replace_link(*id, layer, None, link.id).unwrap();
            }
        }
        hnsw::link(&mut pages, *id, &vector, &plan, OPTIONS()).unwrap();
    }
    let entry = left.iter().max_by_key(|(id, _)| pages.bytes(*id).unwrap()[1]).unwrap().0;
    pages.entry = Some(EntryPoint { id: entry, level: pages.bytes(entry).unwrap()[1] });
    for (id, _) in elements.iter().step_by(3) {
        pages.bytes(*id).unwrap()[0] = 0;
    }
    for (id, _) in &left {
        let mut links = Vec::new();
        pages.links(*id, 0, &mut links).unwrap();
        assert!(!links.iter().any(|&link| gone(&mut pages, link)));
    }
    let after = recall(&mut pages, &left, &queries);
    println!("{before} {after}");
    assert!(before >= 0.95 && after >= 0.95, "{before} {after}");
}

#[test]
fn an_empty_graph() {
    let mut scan = Scan::new(10, true).unwrap();
    assert!(scan.first(&mut Pages::default(), &vec![0.0; DIMENSIONS]).unwrap().is_empty());
    assert!(scan.more(&mut Pages::default(), &vec![0.0; DIMENSIONS]).unwrap().is_empty());
}

/// The entry point is gone, as when others remove it: nothing is found, and nothing breaks.
#[test]
fn an_entry_point_that_is_gone() {
    let (mut pages, ..) = build(50, 4);
    let entry = pages.entry.unwrap();
    pages.bytes(entry.id).unwrap()[0] = 0;
    let mut scan = Scan::new(10, true).unwrap();
    assert!(scan.first(&mut pages, &vec![0.0; DIMENSIONS]).unwrap().is_empty());
    let mut workspace = Workspace::new().unwrap();
    pages.insert(&[1.0; DIMENSIONS], 2, &mut workspace).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever access fails, its error comes out, and afterwards the graph can be used as before.
    #[test]
    fn failures_come_out(after in 0usize..4000, interrupt: bool, seed in 0u64..4) {
        let (mut pages, elements, mut mixture) = build(120, seed);
        let mut workspace = Workspace::new().unwrap();
        if interrupt {
            pages.interrupted_after = Some(after / 20);
        } else {
            pages.fails_after = Some(after);
        }
        let vector = mixture.sample(1).remove(0);
        let inserted = pages.insert(&vector, 1, &mut workspace);
        let mut scan = Scan::new(40, true).unwrap();
        let searched = scan.first(&mut pages, &vector).map(|_| ());
        let expected = if interrupt { Failure::Interrupted } else { Failure::Disk };
        if let Err(error) = &inserted {
            prop_assert_eq!(error, &expected);
            prop_assert!(searched.is_err());
        }
        (pages.fails_after, pages.interrupted_after) = (None, None);
        let queries = mixture.sample(10);
        prop_assert!(recall(&mut pages, &elements, &queries) >= 0.9);
        pages.insert(&vector, 1, &mut workspace).unwrap();
    }
}
