//! A graph in memory.
//!
//! For each element and layer there is a list: one place that says how many links there are, then places for as many as
//! there may be. Next to each link is its distance; its highest bit says whether the heuristic takes it, if the list is
//! marked. Marked lists are in order of distance.

use alloc::vec::Vec;

use super::Options;
use super::insert::Plan;
use super::list::{mark, offer};
use super::store::{Candidate, ElementId, EntryPoint, LinkStore, Store, Visit};
use crate::error::{Error, Result};

/// The highest layer that an element can have.
pub const MAX_LEVEL: u8 = 30;
/// In place of the level of a vector that is not an element of the graph, because it equals another one.
pub const NO_NODE: u8 = u8::MAX;
/// In the place of the count: the list is in order and has marks.
pub(super) const MARKED: u32 = 1 << 31;
/// In the place of a link: the heuristic takes it.
pub(super) const NEARER: u32 = 1 << 31;

/// Makes room, for an eighth more at least: who builds large graphs has given them a limit, which doubling would break.
fn grow<T>(vec: &mut Vec<T>, count: usize) -> Result<()> {
    if vec.len() + count > vec.capacity() {
        vec.try_reserve_exact(count.max(vec.len() / 8).max(64))?;
    }
    Ok(())
}

/// The vectors of a graph in memory, by the numbers of their elements.
pub trait VectorTable: Copy {
    /// A vector, as distances are computed of it.
    type View: Copy;

    /// The vector of an element, if there is one.
    fn get(self, element: u32) -> Option<Self::View>;

    /// What orders vectors as the distance does. What is not a number counts as infinite.
    fn order(self, a: Self::View, b: Self::View) -> f32;

    /// A hint that the vector of an element will be read soon.
    fn prefetch(self, element: u32) {
        let _ = element;
    }
}

/// A hint that a vector or a code will be read soon: its first lines of 64 bytes, as the processor goes on by itself.
#[inline]
pub fn prefetch<T>(numbers: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in numbers.chunks((64 / size_of::<T>().max(1)).max(1)).take(8) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing as far as the program can tell.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}

/// The links of a graph in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Links {
    pub(crate) options: Options,
    pub(crate) levels: Vec<u8>,
    /// The first place of each element.
    starts: Vec<usize>,
    pub(crate) places: Vec<u32>,
    pub(super) distances: Vec<f32>,
    /// How many vectors that stand at an element are not removed.
    pub(crate) live: Vec<u32>,
    pub(crate) entry: Option<u32>,
}

impl Links {
    /// Without any element.
    pub const fn new(options: Options) -> Self {
        Self {
            options,
            levels: Vec::new(),
            starts: Vec::new(),
            places: Vec::new(),
            distances: Vec::new(),
            live: Vec::new(),
            entry: None,
        }
    }

    /// How many elements there are, those that are not in the graph included.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Is there no element?
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// The highest layer of an element.
    pub fn level(&self, element: u32) -> Option<u8> {
        self.levels.get(element as usize).copied().filter(|&level| level != NO_NODE)
    }

    /// Where searches begin.
    pub const fn entry(&self) -> Option<u32> {
        self.entry
    }

    /// Sets where searches begin: at an element of the highest layer that there is.
    pub const fn set_entry(&mut self, entry: Option<u32>) {
        self.entry = entry;
    }

    /// Bytes of memory that adding elements will soon take, and those that are in use.
    pub fn memory(&self) -> usize {
        let element = size_of::<u8>() + size_of::<usize>() + size_of::<u32>();
        self.levels.capacity() * element + self.places.capacity() * 2 * size_of::<u32>()
    }

    /// Where the list of an element on a layer is, if it is on that layer.
    #[inline]
    pub(super) fn list(&self, element: u32, layer: u8) -> Option<usize> {
        let level = *self.levels.get(element as usize)?;
        if layer > level || level == NO_NODE {
            return None;
        }
        let start = *self.starts.get(element as usize)?;
        let m = usize::from(self.options.m);
        Some(if layer == 0 {
            start
        } else {
            start + (2 * m + 1) + (usize::from(layer) - 1) * (m + 1)
        })
    }

    /// Places of an element with a level.
    fn size(&self, level: u8) -> usize {
        let m = usize::from(self.options.m);
        if level == NO_NODE { 0 } else { (2 * m + 1) + usize::from(level) * (m + 1) }
    }

    pub(super) fn count(&self, list: usize) -> usize {
        (self.places[list] & !MARKED) as usize
    }

    /// The links of an element on a layer.
    #[inline]
    pub fn ids(&self, element: u32, layer: u8) -> impl Iterator<Item = u32> {
        let links = self
            .list(element, layer)
            .map_or(&[][..], |list| &self.places[list + 1..][..self.count(list)]);
        links.iter().map(|&link| link & !NEARER)
    }

    /// Adds an element without links; with [`NO_NODE`] one that is not in the graph.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn add(&mut self, level: u8) -> Result<()> {
        let size = self.size(level);
        grow(&mut self.levels, 1)?;
        grow(&mut self.starts, 1)?;
        grow(&mut self.live, 1)?;
        grow(&mut self.places, size)?;
        grow(&mut self.distances, size)?;
        self.levels.push(level);
        self.starts.push(self.places.len());
        self.live.push(u32::from(level != NO_NODE));
        self.places.resize(self.places.len() + size, 0);
        self.distances.resize(self.distances.len() + size, 0.0);
        Ok(())
    }

    /// Sets all links of an element.
    pub fn set(&mut self, element: u32, plan: &Plan) {
        for (layer, links) in (0u8..).zip(&plan.links) {
            let Some(list) = self.list(element, layer) else { continue };
            let count = links.len().min(self.options.max_links(layer));
            self.places[list] = count as u32;
            for (place, link) in (list + 1..).zip(&links[..count]) {
                self.places[place] = link.id.0 as u32;
                self.distances[place] = link.distance;
            }
        }
    }

    /// Takes all links of an element away.
    pub(crate) fn clear(&mut self, element: u32) {
        let level = self.levels.get(element as usize).copied().filter(|&level| level != NO_NODE);
        for layer in 0..=level.unwrap_or(0) {
            if let Some(list) = self.list(element, layer) {
                self.places[list] = 0;
            }
        }
    }

    /// The parts as they were stored, checked, with the distances computed again.
    pub(crate) fn from_parts<T: VectorTable>(
        options: Options,
        levels: Vec<u8>,
        places: Vec<u32>,
        entry: Option<u32>,
        vectors: T,
    ) -> Result<Self> {
        let corrupt = |what| Error::Corrupt { what };
        let count = levels.len();
        let mut links = Self { levels, places, entry, ..Self::new(options) };
        links.starts.try_reserve_exact(count)?;
        links.live.try_reserve_exact(count)?;
        links.live.resize(count, 0);
        links.distances.try_reserve_exact(links.places.len())?;
        links.distances.resize(links.places.len(), 0.0);
        let mut start = 0usize;
        for &level in &links.levels {
            if level > MAX_LEVEL && level != NO_NODE {
                return Err(corrupt("an element is on a layer that there cannot be"));
            }
            links.starts.push(start);
            start += links.size(level);
        }
        if start != links.places.len() {
            return Err(corrupt("it has not as many links as its elements have"));
        }
        for element in 0..count as u32 {
            let level = links.levels[element as usize];
            if level == NO_NODE {
                continue;
            }
            for layer in 0..=level {
                let Some(list) = links.list(element, layer) else { continue };
                let links_here = links.count(list);
                if links_here > options.max_links(layer) {
                    return Err(corrupt("an element has more links than it can have"));
                }
                let own = vectors.get(element).ok_or(corrupt("an element has no vector"))?;
                for place in list + 1..=list + links_here {
                    let link = links.places[place] & !NEARER;
                    if link == element || links.list(link, layer).is_none() {
                        return Err(corrupt("a link leads nowhere"));
                    }
                    let other = vectors.get(link).ok_or(corrupt("a link leads nowhere"))?;
                    links.distances[place] = vectors.order(own, other);
                }
                let marked = links.places[list] & MARKED != 0;
                let distances = &links.distances[list + 1..][..links_here];
                if marked && !distances.is_sorted() {
                    return Err(corrupt("links are not in order"));
                }
            }
        }
        if let Some(entry) = links.entry {
            let level = links.levels.get(entry as usize).copied().filter(|&level| level != NO_NODE);
            let highest = links.levels.iter().filter(|&&level| level != NO_NODE).max().copied();
            if level.is_none() || (level != highest && !links.is_cleared_above(level)) {
                return Err(corrupt("searches cannot begin"));
            }
        } else if links.levels.iter().any(|&level| level != NO_NODE) && links.any_linked() {
            return Err(corrupt("searches cannot begin"));
        }
        Ok(links)
    }

    /// Are all elements on higher layers than `level` without links, as those are that were removed?
    fn is_cleared_above(&self, level: Option<u8>) -> bool {
        let Some(level) = level else { return false };
        let higher = (0u32..).zip(&self.levels).filter(|&(_, &l)| l != NO_NODE && l > level);
        higher.map(|(element, _)| element).all(|element| self.ids(element, 0).next().is_none())
    }

    fn any_linked(&self) -> bool {
        (0..self.levels.len() as u32).any(|element| self.ids(element, 0).next().is_some())
    }
}

pub(crate) fn entry_point(links: &Links) -> Option<EntryPoint> {
    let entry = links.entry?;
    let level = *links.levels.get(entry as usize)?;
    Some(EntryPoint { id: ElementId(u64::from(entry)), level })
}

/// Numbers of elements fit into 32 bits: others come from nowhere.
pub(crate) fn number(element: ElementId) -> u32 {
    u32::try_from(element.0).unwrap_or(u32::MAX)
}

pub(crate) fn add_links(
    links: &Links,
    element: ElementId,
    layer: u8,
    into: &mut Vec<ElementId>,
) -> Result<()> {
    into.try_reserve(links.options.max_links(layer))?;
    into.extend(links.ids(number(element), layer).map(|id| ElementId(u64::from(id))));
    Ok(())
}

/// A graph in memory that is being built. New elements are planned with [`super::plan`], added to the links, and linked
/// with [`super::link`].
#[derive(Debug)]
pub struct Writer<'a, T> {
    /// The vectors.
    pub vectors: T,
    /// The links.
    pub links: &'a mut Links,
}

impl<T: VectorTable> Store for Writer<'_, T> {
    type Vector = T::View;
    type Error = Error;

    fn entry_point(&mut self) -> Result<Option<EntryPoint>> {
        Ok(entry_point(self.links))
    }

    fn links(&mut self, element: ElementId, layer: u8, into: &mut Vec<ElementId>) -> Result<()> {
        add_links(self.links, element, layer, into)
    }

    #[inline]
    fn visit(&mut self, query: &T::View, element: ElementId, _: u8) -> Result<Option<Visit>> {
        let element = number(element);
        let Some(vector) = self.vectors.get(element) else { return Ok(None) };
        let distance = self.vectors.order(*query, vector);
        let live = self.links.live.get(element as usize).is_some_and(|&live| live > 0);
        Ok(Some(Visit { distance, live }))
    }

    #[inline]
    fn prefetch(&mut self, element: ElementId) {
        self.vectors.prefetch(number(element));
    }

    fn id_bound(&self) -> Option<u64> {
        Some(self.links.levels.len() as u64)
    }
}

impl<T: VectorTable> LinkStore for Writer<'_, T> {
    fn load(&mut self, element: ElementId) -> Result<Option<Self::Vector>> {
        Ok(self.vectors.get(number(element)))
    }

    fn distance(&mut self, a: &Self::Vector, b: &Self::Vector) -> Result<f32> {
        Ok(self.vectors.order(*a, *b))
    }

    fn replace_link(
        &mut self,
        element: ElementId,
        layer: u8,
        dropped: Option<ElementId>,
        added: ElementId,
    ) -> Result<()> {
        let (element, added) = (number(element), number(added));
        let (Some(own), Some(other)) = (self.vectors.get(element), self.vectors.get(added)) else {
            return Ok(());
        };
        let distance = self.vectors.order(own, other);
        let Some(list) = self.links.list(element, layer) else { return Ok(()) };
        let count = self.links.count(list);
        if self.links.ids(element, layer).any(|link| link == added) {
            return Ok(());
        }
        let place = match dropped {
            None if count < self.links.options.max_links(layer) => {
                self.links.places[list] = (count + 1) as u32;
                list + 1 + count
            }
            None => return Ok(()),
            Some(dropped) => {
                let dropped = number(dropped);
                let Some(at) = self.links.ids(element, layer).position(|link| link == dropped)
                else {
                    return Ok(());
                };
                // Neither in order nor marked any more.
                self.links.places[list] = count as u32;
                list + 1 + at
            }
        };
        self.links.places[place] = added;
        self.links.distances[place] = distance;
        Ok(())
    }

    fn link_back(
        &mut self,
        candidate: Candidate,
        layer: u8,
        added: ElementId,
        vector: &Self::Vector,
        options: Options,
    ) -> Result<()> {
        let element = number(candidate.id);
        let Some(list) = self.links.list(element, layer) else { return Ok(()) };
        let count = self.links.count(list);
        if count < options.max_links(layer) {
            return self.replace_link(candidate.id, layer, None, added);
        }
        if self.links.ids(element, layer).any(|link| link == number(added)) {
            return Ok(());
        }
        let dead = |&link: &u32| self.links.live.get(link as usize).is_none_or(|&live| live == 0);
        let dead = self.links.ids(element, layer).find(dead);
        if let Some(dead) = dead {
            let dead = Some(ElementId(u64::from(dead)));
            return self.replace_link(candidate.id, layer, dead, added);
        }
        let vectors = self.vectors;
        let marked = self.links.places[list] & MARKED != 0;
        let places = &mut self.links.places[list + 1..][..count];
        let distances = &mut self.links.distances[list + 1..][..count];
        if !marked {
            mark(vectors, places, distances);
        }
        offer(vectors, places, distances, (candidate.distance, number(added)), *vector)?;
        self.links.places[list] = count as u32 | MARKED;
        Ok(())
    }
}
