//! Elements that are added to pages, or get other links.

use alloc::vec::Vec;

use ruvector_core::hnsw::{self, ElementId, LinkStore as _, Options, Plan, Workspace};
use ruvector_core::{Error, Result};

use super::kernel::{Code, Kernel, Query};
use super::pages::{Access, Pages};
use super::{DONE, END, FAILED, StoreError, drop_object, give_object, status};
use crate::Failure;
use crate::view::slice;

/// How an index is built, as C has read it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Settings {
    pub(super) kind: u32,
    pub(super) metric: u32,
    m: u32,
    ef_construction: u32,
    /// Bytes of the longest code there can be.
    pub(super) room: u32,
    quantizer: u32,
    /// What one of a code stands for, if codes are of one byte for each dimension.
    pub(super) step: f32,
    /// What the rotation is drawn with, if codes have one bit for each dimension.
    pub(super) seed: u32,
}

/// Codes of one byte for each dimension, as C numbers them.
const SQ8: u32 = 1;
/// Those of half precision numbers, likewise.
const F16: u32 = 2;
/// Those of one bit for each dimension, likewise.
const RABITQ: u32 = 3;
/// Euclidean distances, likewise.
const L2: u32 = 0;
/// Inner products, likewise.
const INNER_PRODUCT: u32 = 1;

impl Settings {
    pub(super) fn kernel(&self) -> Kernel {
        Kernel::new(self)
    }

    /// Is it squared Euclidean distances that order codes?
    pub(super) const fn is_l2(&self) -> bool {
        self.metric == L2
    }

    /// Have codes one byte for each dimension?
    pub(super) const fn is_sq8(&self) -> bool {
        self.quantizer == SQ8
    }

    /// Are codes half precision numbers, though vectors are not?
    pub(super) const fn is_f16(&self) -> bool {
        self.quantizer == F16
    }

    /// Have codes one bit for each dimension?
    pub(super) const fn is_rabitq(&self) -> bool {
        self.quantizer == RABITQ
    }

    /// Have codes the offsets of their vectors?
    pub(super) const fn has_offsets(&self) -> bool {
        (self.is_sq8() || self.is_rabitq()) && self.metric == INNER_PRODUCT
    }

    /// # Safety
    /// As [`Pages::new`].
    pub(super) unsafe fn pages(&self, access: *mut Access) -> Pages {
        // SAFETY: the caller's promise.
        unsafe { Pages::new(access, self.kernel(), self.room) }
    }

    pub(super) fn options(&self) -> Result<Options> {
        Options::new(self.m as u16, self.ef_construction as u16)
    }
}

/// An element that is to be linked.
pub struct Insertion {
    settings: Settings,
    options: Options,
    vector: Query,
    plan: Plan,
    /// Elements that may have the same code.
    twins: Vec<u64>,
}

/// Candidates for new links of an element, if those of a new one are fewer.
const REPAIR_CANDIDATES: u16 = 64;

impl Insertion {
    fn plan(
        settings: Settings,
        pages: &mut Pages,
        vector: Query,
        level: u8,
        existing: Option<ElementId>,
    ) -> Result<Self, StoreError> {
        let mut options = settings.options()?;
        if existing.is_some() {
            // Many of those that such a search comes by may be about to be removed.
            options.ef_construction =
                options.ef_construction.max(REPAIR_CANDIDATES.min(8 * options.m));
        }
        let mut workspace = Workspace::new()?;
        let plan = hnsw::plan(pages, &vector, level, options, existing, &mut workspace)?;
        let mut twins = Vec::new();
        if existing.is_none()
            && let Some(code) = &vector.code
        {
            let own = vector.order(code.bytes());
            let equal = plan.nearest.iter().filter(|candidate| candidate.distance == own);
            twins.try_reserve_exact(equal.clone().count()).map_err(Error::from)?;
            twins.extend(equal.map(|candidate| candidate.id.0));
        }
        Ok(Self { settings, options, vector, plan, twins })
    }
}

/// Hands an insertion to C.
unsafe fn give(insertion: Insertion, to: *mut *mut Insertion) -> Result<i32, StoreError> {
    let insertion = give_object(insertion);
    if insertion.is_null() {
        return Err(Error::OutOfMemory.into());
    }
    // SAFETY: the caller's promise.
    unsafe { *to = insertion };
    Ok(DONE)
}

/// Chooses links for a vector, if there is one. [`END`] if there is none.
///
/// # Safety
/// The index of `access` is open, and the others can be read and written to.
unsafe fn plan_links(
    access: *mut Access,
    settings: *const Settings,
    vector: impl FnOnce(&Settings, &mut Pages) -> Result<Option<Query>, StoreError>,
    level: u32,
    existing: Option<ElementId>,
    insertion: *mut *mut Insertion,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let settings = *settings;
        let mut pages = settings.pages(access);
        let result = vector(&settings, &mut pages).and_then(|vector| {
            let Some(vector) = vector else { return Ok(END) };
            let planned = Insertion::plan(settings, &mut pages, vector, level as u8, existing)?;
            give(planned, insertion)
        });
        status(result, failure)
    }
}

/// Chooses the links of a new element with a code.
///
/// # Safety
/// The index of `access` is open, `length` bytes are at `code`, and the others can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_insert_plan(
    access: *mut Access,
    settings: *const Settings,
    code: *const u8,
    length: usize,
    level: u32,
    insertion: *mut *mut Insertion,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let code = slice(code, length);
        let vector = |settings: &Settings, _: &mut Pages| {
            let code = Code::new(code).map_err(StoreError::Own)?;
            Ok(Some(Query { kernel: settings.kernel(), code: Some(code) }))
        };
        plan_links(access, settings, vector, level, None, insertion, failure)
    }
}

/// Chooses new links for an element. [`END`] if it is gone.
///
/// # Safety
/// The index of `access` is open, and the others can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_relink_plan(
    access: *mut Access,
    settings: *const Settings,
    element: u64,
    level: u32,
    insertion: *mut *mut Insertion,
    failure: *mut Failure,
) -> i32 {
    let element = ElementId(element);
    // SAFETY: the caller's promise.
    unsafe {
        let vector = |_: &Settings, pages: &mut Pages| pages.load(element);
        plan_links(access, settings, vector, level, Some(element), insertion, failure)
    }
}

/// The `position`th element that may have the same code; 0 behind the last one.
///
/// # Safety
/// The insertion is one of C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_insert_twin(
    insertion: *const Insertion,
    position: u32,
) -> u64 {
    // SAFETY: the caller's promise.
    let insertion = unsafe { &*insertion };
    insertion.twins.get(position as usize).copied().unwrap_or(0)
}

/// The links that were chosen, in as many places as there are for the level; those that are free are 0.
///
/// # Safety
/// The insertion is one of C's, and `links` has room for so many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_insert_links(insertion: *const Insertion, links: *mut u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let insertion = &*insertion;
        let mut to = links;
        for (layer, chosen) in (0u8..).zip(&insertion.plan.links) {
            let room = insertion.options.max_links(layer);
            let list = core::slice::from_raw_parts_mut(to, room);
            list.fill(0);
            for (to, link) in list.iter_mut().zip(chosen) {
                *to = link.id.0;
            }
            to = to.add(room);
        }
    }
}

/// Links the chosen elements with the new one, which is on its page.
///
/// # Safety
/// The index of `access` is open, the insertion is one of C's, and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_insert_link(
    insertion: *const Insertion,
    access: *mut Access,
    element: u64,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(insertion) = insertion.as_ref() else { return FAILED };
        let mut pages = insertion.settings.pages(access);
        let (element, options) = (ElementId(element), insertion.options);
        let (vector, plan) = (&insertion.vector, &insertion.plan);
        let linked = hnsw::link(&mut pages, element, vector, plan, options).and_then(|()| {
            let nearest = plan.links.first().map(Vec::as_slice).unwrap_or_default();
            pages.ensure_linked(nearest, element, vector, options)
        });
        status(linked.map(|()| DONE), failure)
    }
}

/// Gives an insertion back.
///
/// # Safety
/// It is one that is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_insert_free(insertion: *mut Insertion) {
    // SAFETY: the caller's promise.
    unsafe { drop_object(insertion) }
}
