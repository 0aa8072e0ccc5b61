//! A graph on pages.

use alloc::vec::Vec;
use core::ffi::c_void;
use core::marker::{PhantomData, PhantomPinned};

use ruvector_core::Error;
use ruvector_core::hnsw::{Candidate, ElementId, EntryPoint, LinkStore, Options, Store, Visit};

use super::StoreError;
use super::kernel::{Code, Kernel, Query};

/// Links that a list can have: twice the largest `m`.
pub(super) const MAX_LINKS: usize = 200;

/// What C knows an open index by.
#[repr(C)]
pub struct Access {
    opaque: [u8; 0],
    marker: PhantomData<(*mut c_void, PhantomPinned)>,
}

/// What C says of an element: with [`GONE`], the distance means nothing.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageVisit {
    distance: f32,
    state: u32,
}

/// Not there any more, or another one is in its place.
const GONE: u32 = 0;
/// It has rows.
const LIVE: u32 = 2;

// All return false if C has an error pending. Elements are named by block, offset and version (see `hnsw.h`).
unsafe extern "C" {
    /// Where searches begin; 0 if there is no element.
    fn hnsw_entry(access: *mut Access, element: *mut u64, level: *mut u32) -> bool;
    /// The links of an element on a layer, of which there are at most [`MAX_LINKS`].
    fn hnsw_links(
        access: *mut Access,
        element: u64,
        layer: u32,
        links: *mut u64,
        count: *mut u32,
    ) -> bool;
    /// The distances of `count` elements from a query.
    fn hnsw_visit(
        access: *mut Access,
        query: *const c_void,
        elements: *const u64,
        count: u32,
        layer: u32,
        visits: *mut PageVisit,
    ) -> bool;
    /// The codes of `count` elements, each with so many bytes of room, and their lengths and states.
    fn hnsw_load(
        access: *mut Access,
        elements: *const u64,
        count: u32,
        codes: *mut u8,
        room: u32,
        lengths: *mut u32,
        states: *mut u32,
    ) -> bool;
    /// Puts a link in the place of `dropped`, or in a free one if that is 0. There may be no such place any more; then
    /// the element's links have changed since they were read.
    fn hnsw_replace_link(
        access: *mut Access,
        element: u64,
        layer: u32,
        dropped: u64,
        added: u64,
        changed: *mut u32,
    ) -> bool;
}

/// The graph of an index.
pub(super) struct Pages {
    access: *mut Access,
    kernel: Kernel,
    /// Bytes of the longest code there can be.
    room: u32,
    visits: Vec<PageVisit>,
    /// Has an element been linked with the one that is being added, on the lowest layer?
    linked: bool,
}

fn done(done: bool) -> Result<(), StoreError> {
    if done { Ok(()) } else { Err(StoreError::Pending) }
}

fn reserve<T>(vec: &mut Vec<T>, count: usize) -> Result<(), StoreError> {
    Ok(vec.try_reserve(count).map_err(Error::from)?)
}

impl Pages {
    /// # Safety
    /// `access` is that of an index which stays open as long as the object is used.
    pub(super) const unsafe fn new(access: *mut Access, kernel: Kernel, room: u32) -> Self {
        Self { access, kernel, room, visits: Vec::new(), linked: false }
    }

    /// Loads several elements.
    fn load_many(&mut self, elements: &[ElementId]) -> Result<Loaded, StoreError> {
        let room = self.room.next_multiple_of(8) as usize;
        let mut loaded = Loaded {
            room,
            codes: Code::zeros(room * elements.len())?,
            lengths: Vec::new(),
            states: Vec::new(),
        };
        reserve(&mut loaded.lengths, elements.len())?;
        reserve(&mut loaded.states, elements.len())?;
        loaded.lengths.resize(elements.len(), 0);
        loaded.states.resize(elements.len(), GONE);
        // SAFETY: there is as much room as the arguments say; an element's name is nothing but the number; the index is
        // open.
        done(unsafe {
            hnsw_load(
                self.access,
                elements.as_ptr().cast(),
                elements.len() as u32,
                loaded.codes.bytes_mut().as_mut_ptr(),
                room as u32,
                loaded.lengths.as_mut_ptr(),
                loaded.states.as_mut_ptr(),
            )
        })?;
        Ok(loaded)
    }
}

/// Codes of several elements.
struct Loaded {
    room: usize,
    codes: Code,
    lengths: Vec<u32>,
    states: Vec<u32>,
}

impl Loaded {
    /// The code of an element, and whether it is live; nothing if it is gone.
    fn get(&self, at: usize) -> Option<(&[u8], bool)> {
        let (&length, &state) = (self.lengths.get(at)?, self.states.get(at)?);
        if state == GONE {
            return None;
        }
        let start = at * self.room;
        Some((self.codes.bytes().get(start..start + length as usize)?, state == LIVE))
    }
}

impl Store for Pages {
    type Vector = Query;
    type Error = StoreError;

    fn entry_point(&mut self) -> Result<Option<EntryPoint>, StoreError> {
        let (mut element, mut level) = (0, 0);
        // SAFETY: both can be written to; the index is open.
        done(unsafe { hnsw_entry(self.access, &raw mut element, &raw mut level) })?;
        let level = u8::try_from(level).unwrap_or(u8::MAX);
        Ok((element != 0).then_some(EntryPoint { id: ElementId(element), level }))
    }

    fn links(
        &mut self,
        element: ElementId,
        layer: u8,
        into: &mut Vec<ElementId>,
    ) -> Result<(), StoreError> {
        let mut links = [0u64; MAX_LINKS];
        let mut count = 0u32;
        let (to, count_to) = (links.as_mut_ptr(), &raw mut count);
        // SAFETY: there is room for as many links as there can be; the index is open.
        done(unsafe { hnsw_links(self.access, element.0, u32::from(layer), to, count_to) })?;
        let links = links.get(..count as usize).unwrap_or_default();
        reserve(into, links.len())?;
        into.extend(links.iter().map(|&link| ElementId(link)));
        Ok(())
    }

    fn visit(
        &mut self,
        query: &Query,
        element: ElementId,
        layer: u8,
    ) -> Result<Option<Visit>, StoreError> {
        let mut visit = PageVisit::default();
        let (elements, to) = (&raw const element.0, &raw mut visit);
        let query = (&raw const *query).cast();
        // SAFETY: one name is read, and one entry written; the index is open.
        done(unsafe { hnsw_visit(self.access, query, elements, 1, u32::from(layer), to) })?;
        Ok(seen(visit))
    }

    fn visit_many(
        &mut self,
        query: &Query,
        elements: &[ElementId],
        layer: u8,
        into: &mut Vec<Option<Visit>>,
    ) -> Result<(), StoreError> {
        self.visits.clear();
        reserve(&mut self.visits, elements.len())?;
        self.visits.resize(elements.len(), PageVisit::default());
        // An element's name is nothing but the number.
        let (names, count) = (elements.as_ptr().cast(), elements.len() as u32);
        let (to, query) = (self.visits.as_mut_ptr(), (&raw const *query).cast());
        // SAFETY: so many names are read, and so many entries written; the index is open.
        done(unsafe { hnsw_visit(self.access, query, names, count, u32::from(layer), to) })?;
        reserve(into, elements.len())?;
        into.extend(self.visits.iter().map(|&visit| seen(visit)));
        Ok(())
    }
}

fn seen(visit: PageVisit) -> Option<Visit> {
    (visit.state != GONE).then_some(Visit { distance: visit.distance, live: visit.state == LIVE })
}

impl LinkStore for Pages {
    fn load(&mut self, element: ElementId) -> Result<Option<Query>, StoreError> {
        let mut code = Code::zeros(self.room as usize)?;
        let (mut length, mut state) = (0u32, GONE);
        // SAFETY: there is room for one code; the index is open.
        done(unsafe {
            hnsw_load(
                self.access,
                &raw const element.0,
                1,
                code.bytes_mut().as_mut_ptr(),
                self.room,
                &raw mut length,
                &raw mut state,
            )
        })?;
        if state == GONE {
            return Ok(None);
        }
        code.truncate(length as usize);
        Ok(Some(Query { kernel: self.kernel, code: Some(code) }))
    }

    fn distance(&mut self, a: &Query, b: &Query) -> Result<f32, StoreError> {
        Ok(b.code.as_ref().map_or(0.0, |code| a.order(code.bytes())))
    }

    fn replace_link(
        &mut self,
        element: ElementId,
        layer: u8,
        dropped: Option<ElementId>,
        added: ElementId,
    ) -> Result<(), StoreError> {
        self.replace(element, layer, dropped, added).map(|_| ())
    }

    /// As the default, but with one call for all elements that this one is linked with; and again, if others have
    /// changed the links meanwhile.
    fn link_back(
        &mut self,
        element: Candidate,
        layer: u8,
        added: ElementId,
        vector: &Query,
        options: Options,
    ) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            if self.try_link_back(element, layer, added, vector, options, false)? {
                break;
            }
        }
        Ok(())
    }
}

/// An element whose links others change all the time goes without one more.
const ATTEMPTS: usize = 4;

impl Pages {
    /// Did the links change as was intended?
    fn replace(
        &mut self,
        element: ElementId,
        layer: u8,
        dropped: Option<ElementId>,
        added: ElementId,
    ) -> Result<bool, StoreError> {
        let dropped = dropped.map_or(0, |dropped| dropped.0);
        let layer = u32::from(layer);
        let mut changed = 0;
        let to = &raw mut changed;
        // SAFETY: the index is open.
        done(unsafe { hnsw_replace_link(self.access, element.0, layer, dropped, added.0, to) })?;
        self.linked |= changed != 0 && layer == 0;
        Ok(changed != 0)
    }

    /// Makes sure that an element can be come by, if none of those that it was to be linked with has found it good enough.
    pub(super) fn ensure_linked(
        &mut self,
        candidates: &[Candidate],
        added: ElementId,
        vector: &Query,
        options: Options,
    ) -> Result<(), StoreError> {
        for &candidate in candidates {
            if self.linked {
                break;
            }
            self.try_link_back(candidate, 0, added, vector, options, true)?;
        }
        Ok(())
    }

    /// Was there nothing in the way?
    fn try_link_back(
        &mut self,
        element: Candidate,
        layer: u8,
        added: ElementId,
        vector: &Query,
        options: Options,
        force: bool,
    ) -> Result<bool, StoreError> {
        let mut links = Vec::new();
        self.links(element.id, layer, &mut links)?;
        if links.contains(&added) {
            self.linked |= layer == 0;
            return Ok(true);
        }
        if links.len() < options.max_links(layer) {
            return self.replace(element.id, layer, None, added);
        }
        reserve(&mut links, 1)?;
        links.push(element.id);
        let loaded = self.load_many(&links)?;
        let Some((base, _)) = loaded.get(links.len() - 1) else { return Ok(true) };
        links.pop();
        let (kernel, Some(own)) = (self.kernel, &vector.code) else { return Ok(true) };

        let mut candidates: Vec<(f32, ElementId, &[u8])> = Vec::new();
        reserve(&mut candidates, links.len() + 1)?;
        for (at, &id) in links.iter().enumerate() {
            match loaded.get(at) {
                Some((code, true)) => candidates.push((kernel.order(base, code), id, code)),
                // Of no use any more.
                _ => return self.replace(element.id, layer, Some(id), added),
            }
        }
        candidates.push((element.distance, added, own.bytes()));
        // What was there before goes before what is as far.
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut taken: Vec<(ElementId, &[u8])> = Vec::new();
        reserve(&mut taken, candidates.len())?;
        // Those that are farther from this element than from one that it keeps a link to: names of both.
        let mut others: Vec<(ElementId, ElementId)> = Vec::new();
        reserve(&mut others, candidates.len())?;
        for &(distance, id, code) in &candidates {
            match taken.iter().find(|(_, other)| kernel.order(code, other) <= distance) {
                Some(&(by, _)) => others.push((id, by)),
                None => taken.push((id, code)),
            }
        }
        // The farthest gives way to which there is a link from the one that it is nearer to: so it is still come by.
        for &(id, by) in others.iter().rev() {
            if id == added && !force {
                return Ok(true);
            }
            links.clear();
            self.links(by, layer, &mut links)?;
            if id != added && links.contains(&id) {
                return self.replace(element.id, layer, Some(id), added);
            }
        }
        if !force {
            return Ok(true);
        }
        let dropped = others.iter().map(|&(id, _)| id).rfind(|&id| id != added);
        let dropped = dropped.or_else(|| candidates.iter().map(|c| c.1).rfind(|&id| id != added));
        let Some(dropped) = dropped else { return Ok(true) };
        // Come by over the new one, on whose links nothing depends yet.
        links.clear();
        self.links(added, layer, &mut links)?;
        if !links.contains(&dropped) {
            let farthest =
                links.last().copied().filter(|_| links.len() >= options.max_links(layer));
            self.replace(added, layer, farthest, dropped)?;
            self.linked = false;
        }
        self.replace(element.id, layer, Some(dropped), added)
    }
}
