//! Searching a graph.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::store::{Candidate, ElementId, EntryPoint, Store, Visit};
use super::visited::Visited;
use crate::error::Result;

/// The search of one layer, with memory that is used again and again.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) visited: Visited,
    /// Candidates whose links were not followed yet, nearest first.
    open: BinaryHeap<Reverse<Candidate>>,
    /// The nearest so far, farthest first.
    nearest: BinaryHeap<Candidate>,
    /// How many of those are live.
    live: usize,
    links: Vec<ElementId>,
    /// What visiting these has given.
    visited_now: Vec<Option<Visit>>,
    /// What was found, nearest first.
    pub(super) found: Vec<Candidate>,
    /// How many distances were computed.
    pub(super) visits: u64,
}

impl Layer {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            visited: Visited::new(Some(0), 0)?,
            open: BinaryHeap::new(),
            nearest: BinaryHeap::new(),
            live: 0,
            links: Vec::new(),
            visited_now: Vec::new(),
            found: Vec::new(),
            visits: 0,
        })
    }

    /// Begins a new search: nothing has been visited.
    pub(super) fn reset<S: Store>(&mut self, store: &S, expected: usize) -> Result<(), S::Error> {
        Ok(self.visited.reset(store.id_bound(), expected)?)
    }

    /// Adds an element to the nearest ones, of which there may be `ef`, and to those whose links are to be followed.
    /// What has to give way goes to `discarded`.
    fn add(
        &mut self,
        candidate: Candidate,
        ef: usize,
        mut discarded: Option<&mut BinaryHeap<Reverse<Candidate>>>,
    ) -> Result<()> {
        push(&mut self.open, Reverse(candidate))?;
        push(&mut self.nearest, candidate)?;
        self.live += usize::from(candidate.live);
        // Elements about to be removed take no place, but are stepping stones.
        while self.live > ef
            && let Some(farthest) = self.nearest.pop()
        {
            self.live -= usize::from(farthest.live);
            if let Some(discarded) = discarded.as_deref_mut() {
                push(discarded, Reverse(farthest))?;
            }
        }
        Ok(())
    }

    /// Algorithm 2: the `ef` nearest elements on a layer, from `entries` on, which the set of visited ones knows
    /// already. What was visited and is not one of them goes to `discarded`.
    pub(super) fn search<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Vector,
        entries: impl IntoIterator<Item = Candidate>,
        (ef, layer): (usize, u8),
        mut discarded: Option<&mut BinaryHeap<Reverse<Candidate>>>,
    ) -> Result<(), S::Error> {
        self.open.clear();
        self.nearest.clear();
        self.live = 0;
        for entry in entries {
            self.add(entry, ef, discarded.as_deref_mut())?;
        }
        while let Some(Reverse(candidate)) = self.open.pop() {
            let farthest = self.nearest.peek().map_or(f32::INFINITY, |c| c.distance);
            if self.live >= ef && candidate.distance > farthest {
                break;
            }
            store.check_interrupts()?;
            self.links.clear();
            let mut links = core::mem::take(&mut self.links);
            store.links(candidate.id, layer, &mut links)?;
            let mut unvisited = 0;
            for at in 0..links.len() {
                if self.visited.insert(links[at])? {
                    links[unvisited] = links[at];
                    unvisited += 1;
                }
            }
            links.truncate(unvisited);
            self.visits += unvisited as u64;
            let mut visits = core::mem::take(&mut self.visited_now);
            visits.clear();
            store.visit_many(query, &links, layer, &mut visits)?;
            for (&id, &visit) in links.iter().zip(&visits) {
                let Some(visit) = visit else { continue };
                let candidate = Candidate::new(id, visit);
                let farthest = self.nearest.peek().map_or(f32::INFINITY, |c| c.distance);
                if self.live < ef || candidate.distance < farthest {
                    self.add(candidate, ef, discarded.as_deref_mut())?;
                } else if let Some(discarded) = discarded.as_deref_mut() {
                    push(discarded, Reverse(candidate))?;
                }
            }
            self.links = links;
            self.visited_now = visits;
        }
        self.found.clear();
        self.found.try_reserve(self.nearest.len()).map_err(crate::Error::from)?;
        while let Some(candidate) = self.nearest.pop() {
            self.found.push(candidate);
        }
        self.found.reverse();
        Ok(())
    }

    /// From the entry point down to the layer above `target`, one nearest element on each; the found one is where to go
    /// on. It is marked as visited.
    pub(super) fn descend<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Vector,
        entry: EntryPoint,
        target: u8,
    ) -> Result<(), S::Error> {
        self.found.clear();
        let Some(visit) = store.visit(query, entry.id, entry.level)? else { return Ok(()) };
        self.visits += 1;
        let mut nearest = Candidate::new(entry.id, visit);
        for layer in (target + 1..=entry.level).rev() {
            self.reset(store, 64)?;
            self.visited.insert(nearest.id)?;
            // One that is about to be removed is as good a way down, but stays one.
            self.search(store, query, [Candidate { live: true, ..nearest }], (1, layer), None)?;
            if let Some(&found) = self.found.first()
                && found.id != nearest.id
            {
                nearest = found;
            }
        }
        self.found.clear();
        self.found.try_reserve(1).map_err(crate::Error::from)?;
        self.found.push(nearest);
        Ok(())
    }

    pub(super) fn memory(&self) -> usize {
        let candidates = self.open.capacity() + self.nearest.capacity() + self.found.capacity();
        self.visited.memory() + candidates * size_of::<Candidate>()
    }
}

/// Adds to a heap, if there is memory.
fn push<T: Ord>(heap: &mut BinaryHeap<T>, item: T) -> Result<()> {
    if heap.len() == heap.capacity() {
        heap.try_reserve(1)?;
    }
    heap.push(item);
    Ok(())
}

/// The most elements that the set of visited ones gets room for at once. It grows if there are more; a small graph does
/// not have as many as a wide search would allow.
const MOST_EXPECTED: usize = 1 << 14;

/// A search for the nearest elements, which can go on after the first results.
///
/// [`Scan::first`] gives the nearest ones that were found. If those are not enough, because the caller has conditions of
/// its own, [`Scan::more`] searches from the nearest of those that were visited and not given yet. Each batch is in order of
/// distance; a later batch may have elements that are nearer than some of an earlier one. No element comes twice.
#[derive(Clone, Debug)]
pub struct Scan {
    ef: usize,
    iterative: bool,
    layer: Layer,
    discarded: BinaryHeap<Reverse<Candidate>>,
    batch: Vec<Candidate>,
}

impl Scan {
    /// A search that keeps the `ef` nearest elements in view: more find more of the nearest ones, and cost more. If it is
    /// to go on after the first results, `iterative` is true, and what is visited is remembered.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn new(ef: usize, iterative: bool) -> Result<Self> {
        Ok(Self {
            ef: ef.max(1),
            iterative,
            layer: Layer::new()?,
            discarded: BinaryHeap::new(),
            batch: Vec::new(),
        })
    }

    /// Changes how many are kept in view, for the next call.
    pub fn set_ef(&mut self, ef: usize) {
        self.ef = ef.max(1);
    }

    /// Searches, and returns up to `ef` live elements in order of distance. What an earlier search left is forgotten.
    ///
    /// # Errors
    /// The store's, and [`crate::Error::OutOfMemory`].
    pub fn first<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Vector,
    ) -> Result<&[Candidate], S::Error> {
        self.discarded.clear();
        self.layer.visits = 0;
        self.layer.found.clear();
        if let Some(entry) = store.entry_point()? {
            self.layer.descend(store, query, entry, 0)?;
            self.layer.reset(store, self.ef.saturating_mul(16).min(MOST_EXPECTED))?;
            let entry = self.layer.found.first().copied();
            if let Some(entry) = entry {
                self.layer.visited.insert(entry.id)?;
            }
            let entry = entry.into_iter();
            let discarded = self.iterative.then_some(&mut self.discarded);
            self.layer.search(store, query, entry, (self.ef, 0), discarded)?;
        }
        self.finish()
    }

    /// Goes on, and returns up to `ef` more live elements in order of distance; none if there are no more.
    ///
    /// # Errors
    /// The store's, and [`crate::Error::OutOfMemory`].
    pub fn more<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Vector,
    ) -> Result<&[Candidate], S::Error> {
        loop {
            let mut entries = core::mem::take(&mut self.batch);
            entries.clear();
            entries.try_reserve(self.ef.min(self.discarded.len())).map_err(crate::Error::from)?;
            while entries.len() < self.ef
                && let Some(Reverse(candidate)) = self.discarded.pop()
            {
                entries.push(candidate);
            }
            let exhausted = entries.is_empty();
            if exhausted {
                self.layer.found.clear();
            } else {
                let entries = entries.iter().copied();
                self.layer.search(
                    store,
                    query,
                    entries,
                    (self.ef, 0),
                    Some(&mut self.discarded),
                )?;
            }
            self.batch = entries;
            // A batch of elements that are all about to be removed is not the end.
            if exhausted || self.layer.found.iter().any(|candidate| candidate.live) {
                return self.finish();
            }
        }
    }

    /// The nearest live element of those that were visited and not given yet, without any further search: for when a limit
    /// on the work was reached.
    pub fn pop_visited(&mut self) -> Option<Candidate> {
        while let Some(Reverse(candidate)) = self.discarded.pop() {
            if candidate.live {
                return Some(candidate);
            }
        }
        None
    }

    /// How many distances have been computed since the beginning.
    pub const fn visits(&self) -> u64 {
        self.layer.visits
    }

    /// Bytes of memory in use.
    pub fn memory(&self) -> usize {
        let candidates = self.discarded.capacity() + self.batch.capacity();
        self.layer.memory() + candidates * size_of::<Candidate>()
    }

    fn finish<E>(&mut self) -> Result<&[Candidate], E> {
        self.layer.found.retain(|candidate| candidate.live);
        Ok(&self.layer.found)
    }
}
