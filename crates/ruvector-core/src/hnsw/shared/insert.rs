//! Adding elements to a graph in shared memory.

use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use super::super::Options;
use super::super::graph::{VectorTable, number, prefetch};
use super::super::insert::{Plan, Workspace, link, plan};
use super::super::list::{MAX_LINKS, mark, offer};
use super::super::store::{Candidate, ElementId, EntryPoint, LinkStore, Store, Visit};
use super::{Codes, List, MARKED, ROWS, Shared, UNIT, unmarked};
use crate::error::{Error, Result};

/// A lock that is held as long as this lives.
struct Locked<'a>(&'a AtomicU32);

impl<'a> Locked<'a> {
    fn new(lock: &'a AtomicU32, codes: impl Codes) -> Self {
        let mut attempts = 0u32;
        while lock.compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            attempts = attempts.saturating_add(1);
            codes.wait(attempts);
        }
        Self(lock)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

/// The vectors of a graph.
#[derive(Clone, Copy)]
struct Vectors<'a, C> {
    graph: Shared<'a>,
    codes: C,
}

impl<'a, C: Codes> VectorTable for Vectors<'a, C> {
    type View = &'a [u8];

    #[inline]
    fn get(self, element: u32) -> Option<&'a [u8]> {
        self.graph.code(element)
    }

    #[inline]
    fn order(self, a: &'a [u8], b: &'a [u8]) -> f32 {
        self.codes.order(a, b)
    }
}

/// A graph as one process adds to it.
struct Writer<'a, C> {
    graph: Shared<'a>,
    vectors: Vectors<'a, C>,
}

/// How many elements the set of visited ones is made larger by at once.
const BOUND: u64 = 4096;

impl<'a, C: Codes> Store for Writer<'a, C> {
    type Vector = &'a [u8];
    type Error = Error;

    fn entry_point(&mut self) -> Result<Option<EntryPoint>> {
        let entry = self.graph.entry_level();
        Ok(entry.map(|(entry, level)| EntryPoint { id: ElementId(u64::from(entry)), level }))
    }

    #[inline]
    fn links(&mut self, element: ElementId, layer: u8, into: &mut Vec<ElementId>) -> Result<()> {
        let Some(list) = self.graph.list(number(element), layer) else { return Ok(()) };
        let count = list.len();
        into.try_reserve(count)?;
        into.extend((0..count).map(|at| ElementId(u64::from(unmarked(list.link(at).0)))));
        Ok(())
    }

    #[inline]
    fn visit(&mut self, query: &&'a [u8], element: ElementId, _: u8) -> Result<Option<Visit>> {
        let code = self.graph.code(number(element));
        let visit = |code| Visit { distance: self.vectors.order(query, code), live: true };
        Ok(code.map(visit))
    }

    #[inline]
    fn prefetch(&mut self, element: ElementId) {
        if let Some(code) = self.graph.code(number(element)) {
            prefetch(code);
        }
    }

    /// With some to spare, for those that others add meanwhile.
    fn id_bound(&self) -> Option<u64> {
        Some((u64::from(self.graph.len()) / BOUND + 1) * BOUND)
    }
}

impl<C: Codes> LinkStore for Writer<'_, C> {
    fn load(&mut self, element: ElementId) -> Result<Option<Self::Vector>> {
        Ok(self.graph.code(number(element)))
    }

    fn distance(&mut self, a: &Self::Vector, b: &Self::Vector) -> Result<f32> {
        Ok(self.vectors.order(a, b))
    }

    fn replace_link(
        &mut self,
        element: ElementId,
        layer: u8,
        dropped: Option<ElementId>,
        added: ElementId,
    ) -> Result<()> {
        let (element, added) = (number(element), number(added));
        let (Some(own), Some(other), Some(head), Some(list)) = (
            self.graph.code(element),
            self.graph.code(added),
            self.graph.head(element),
            self.graph.list(element, layer),
        ) else {
            return Ok(());
        };
        let distance = self.vectors.order(own, other);
        let _locked = Locked::new(&head.lock, self.vectors.codes);
        let count = list.len();
        let links = || (0..count).map(|at| unmarked(list.link(at).0));
        if links().any(|link| link == added) {
            return Ok(());
        }
        let place = match dropped {
            None => count,
            Some(dropped) => {
                links().position(|link| link == number(dropped)).unwrap_or(list.places.len())
            }
        };
        if place < list.places.len() {
            list.set(place, added, distance);
            // Neither in order nor marked any more.
            list.count.store(count.max(place + 1) as u64, Ordering::Release);
        }
        Ok(())
    }

    fn link_back(
        &mut self,
        candidate: Candidate,
        layer: u8,
        added: ElementId,
        vector: &Self::Vector,
        _: Options,
    ) -> Result<()> {
        let element = number(candidate.id);
        let (Some(head), Some(list)) = (self.graph.head(element), self.graph.list(element, layer))
        else {
            return Ok(());
        };
        let link = (candidate.distance, number(added));
        let _locked = Locked::new(&head.lock, self.vectors.codes);
        add_link(self.vectors, list, link, vector)
    }
}

/// Adds a link to a list that is locked, if it is one of the best.
fn add_link<'a, C: Codes>(
    vectors: Vectors<'a, C>,
    list: List<'_>,
    (distance, added): (f32, u32),
    vector: &'a [u8],
) -> Result<()> {
    let count = list.len();
    if (0..count).any(|at| unmarked(list.link(at).0) == added) {
        return Ok(());
    }
    if count < list.places.len() {
        list.set(count, added, distance);
        list.count.store(count as u64 + 1, Ordering::Release);
        return Ok(());
    }
    let (mut places, mut distances) = ([0u32; MAX_LINKS], [0f32; MAX_LINKS]);
    let (places, distances) = (&mut places[..count], &mut distances[..count]);
    for at in 0..count {
        (places[at], distances[at]) = list.link(at);
    }
    let marked = list.count.load(Ordering::Relaxed) & MARKED != 0;
    if !marked {
        mark(vectors, places, distances);
    }
    offer(vectors, places, distances, (distance, added), vector)?;
    for (at, (&link, &distance)) in places.iter().zip(&*distances).enumerate() {
        // Others are not to read again what has stayed as it was.
        if list.link(at).0 != link {
            list.set(at, link, distance);
        }
    }
    if !marked {
        list.count.store(count as u64 | MARKED, Ordering::Release);
    }
    Ok(())
}

impl Shared<'_> {
    /// Adds a row with a code: to an element that has the same one, or as an element of a level. Is there room for it?
    ///
    /// Where all codes have one length, this one may have more behind it, by which distances from it are more precise.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], for memory of the process.
    pub fn add(
        &self,
        codes: impl Codes,
        code: &[u8],
        row: u64,
        level: u8,
        workspace: &mut Workspace,
    ) -> Result<bool> {
        // For as long as there is the code.
        let graph: Shared<'_> = *self;
        let mut writer = Writer { graph, vectors: Vectors { graph, codes } };
        let options = self.options;
        let plan = plan(&mut writer, &code, level, options, None, workspace)?;
        let own = codes.order(code, code);
        let twins = plan.nearest.iter().filter(|candidate| candidate.distance == own);
        let twins = twins.map(|candidate| number(candidate.id));
        let mut first = None;
        for twin in twins.filter(|&twin| self.code(twin) == Some(self.kept(code))) {
            match self.add_row(codes, twin, row) {
                Some(true) => return Ok(true),
                Some(false) => first = Some(first.map_or(twin, |first: u32| first.min(twin))),
                None => return Ok(false),
            }
        }
        // One that the search has not come by.
        let mut last = first;
        while let Some(twin) = last.and_then(|last| self.next(last)) {
            match self.add_row(codes, twin, row) {
                Some(true) => return Ok(true),
                Some(false) => last = Some(twin),
                None => return Ok(false),
            }
        }
        let Some(element) = self.write(code, row, level, &plan) else { return Ok(false) };
        // Those before are full, and others may have come meanwhile: one way is as good as the other.
        for full in [first, last].into_iter().flatten() {
            if let Some(head) = self.head(full) {
                head.next.store(element, Ordering::Release);
            }
        }
        link(&mut writer, ElementId(u64::from(element)), &code, &plan, options)?;
        if self.needs_to_be_alone(level) {
            self.set_entry(element, level);
        }
        Ok(true)
    }

    /// Another element with the same code as one that is full.
    fn next(&self, element: u32) -> Option<u32> {
        let next = self.head(element)?.next.load(Ordering::Acquire);
        (next != 0).then_some(next)
    }

    /// The part of a code that is kept.
    fn kept<'c>(&self, code: &'c [u8]) -> &'c [u8] {
        let length = if self.code_length > 0 { self.code_length } else { code.len() };
        code.get(..length).unwrap_or(code)
    }

    /// Adds a row to an element, if that can stand for one more. Nothing if there is no room.
    fn add_row(&self, codes: impl Codes, element: u32, row: u64) -> Option<bool> {
        let Some(head) = self.head(element) else { return Some(false) };
        let _locked = Locked::new(&head.lock, codes);
        let count = head.rows.load(Ordering::Relaxed) as usize;
        if count >= ROWS {
            return Some(false);
        }
        let mut more = head.more.load(Ordering::Relaxed);
        if more == 0 {
            (_, more) = self.reserve(0, (8 * (ROWS as u64 - 1)).div_ceil(UNIT))?;
            head.more.store(more, Ordering::Release);
        }
        self.words(self.block(more), ROWS - 1)[count - 1].store(row, Ordering::Release);
        head.rows.store(count as u32 + 1, Ordering::Release);
        Some(true)
    }

    /// Writes an element with its own links. Nobody knows of it before others are linked with it. Nothing if there is no
    /// room.
    fn write(&self, code: &[u8], row: u64, level: u8, plan: &Plan) -> Option<u32> {
        let (fixed, code) = (self.code_length > 0, self.kept(code));
        let code_units = if fixed { 0 } else { (code.len() as u64).div_ceil(UNIT) };
        let upper_units = self.units_above(level);
        let (element, block) = self.reserve(1, code_units + upper_units)?;
        // Blocks are named by where they begin: the code's is behind the links'.
        let code_block = block - upper_units as u32;
        let head = self.head(element)?;
        for (field, value) in [
            (&head.lock, 0),
            (&head.level, u32::from(level)),
            (&head.rows, 1),
            (&head.more, 0),
            (&head.next, 0),
            (&head.upper, block),
            (&head.code, code_block),
            (&head.code_length, code.len() as u32),
        ] {
            field.store(value, Ordering::Relaxed);
        }
        head.row.store(row, Ordering::Relaxed);
        let at = if fixed {
            super::HEADER + element as usize * self.stride
        } else {
            self.block(code_block)
        };
        // SAFETY: this place was reserved for it, and nobody else knows of it.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), self.base.add(at), code.len()) };
        for layer in 0..=level {
            let list = self.list(element, layer)?;
            let links = plan.links.get(usize::from(layer)).map_or(&[][..], Vec::as_slice);
            let count = links.len().min(list.places.len());
            for (at, link) in links[..count].iter().enumerate() {
                list.set(at, number(link.id), link.distance);
            }
            list.count.store(count as u64, Ordering::Release);
        }
        Some(element)
    }
}

/// Searches as inserts do, for tests.
#[cfg(test)]
pub(super) struct Searcher;

#[cfg(test)]
impl Searcher {
    /// Distances of the nearest rows, nearest first.
    pub(super) fn nearest(graph: Shared<'_>, codes: impl Codes, query: &[u8]) -> Vec<f32> {
        let graph: Shared<'_> = graph;
        let mut writer = Writer { graph, vectors: Vectors { graph, codes } };
        let mut workspace = Workspace::new().unwrap();
        let options = Options::new(2, 64).unwrap();
        let plan = plan(&mut writer, &query, 0, options, None, &mut workspace).unwrap();
        plan.nearest.iter().map(|candidate| candidate.distance).collect()
    }
}
