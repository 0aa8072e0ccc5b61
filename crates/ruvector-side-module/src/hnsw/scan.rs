//! Searches over pages.

use alloc::vec::Vec;

use ruvector_core::Error;
use ruvector_core::hnsw::{Candidate, Scan};

use super::bound::Bound;
use super::insert::Settings;
use super::kernel::{Code, Query};
use super::pages::Access;
use super::{DONE, END, StoreError, give_object, status};
use crate::Failure;
use crate::view::slice;

/// A search that goes on as long as more results are wanted.
pub struct Search {
    settings: Settings,
    scan: Scan,
    query: Query,
    bound: Bound,
    /// Elements of a batch, at most.
    ef: usize,
    iterative: bool,
    begun: bool,
    /// Results that were not taken yet, the nearest last.
    batch: Vec<Candidate>,
}

/// Bounds of a search that goes on.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SearchLimits {
    /// Elements to visit.
    visits: u64,
    /// Bytes of memory.
    memory: usize,
}

impl Search {
    /// Gets a new batch. Is there anything in it?
    fn step(&mut self, access: *mut Access, limits: SearchLimits) -> Result<bool, StoreError> {
        if self.begun && !self.iterative {
            return Ok(false);
        }
        self.batch.clear();
        if self.begun && (self.scan.visits() >= limits.visits || self.scan.memory() > limits.memory)
        {
            // Nothing new is visited; what was visited is given.
            while self.batch.len() < self.ef
                && let Some(candidate) = self.scan.pop_visited()
            {
                self.batch.try_reserve(1).map_err(Error::from)?;
                self.batch.push(candidate);
            }
            self.batch.reverse();
            return Ok(!self.batch.is_empty());
        }
        // SAFETY: C has promised that the index is open, and this is not kept.
        let mut pages = unsafe { self.settings.pages(access) };
        let found = if self.begun {
            self.scan.more(&mut pages, &self.query)?
        } else {
            self.scan.first(&mut pages, &self.query)?
        };
        self.begun = true;
        self.batch.try_reserve(found.len()).map_err(Error::from)?;
        self.batch.extend(found.iter().rev());
        Ok(!self.batch.is_empty())
    }
}

/// A new search for what is near a code; without one (null), all is as near. Null if there is no memory.
///
/// # Safety
/// `length` bytes are at `code`, if it is not null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_search_new(
    settings: *const Settings,
    code: *const u8,
    length: usize,
    ef: u32,
    iterative: bool,
) -> *mut Search {
    // SAFETY: the caller's promise.
    let (settings, code) = unsafe {
        let code = (!code.is_null()).then(|| Code::new(slice(code, length)));
        (*settings, code.transpose())
    };
    let (Ok(code), Ok(scan)) = (code, Scan::new(ef as usize, iterative)) else {
        return core::ptr::null_mut();
    };
    let query = Query { kernel: settings.kernel(), code };
    let (bound, ef) = (Bound::new(&settings, &query), (ef as usize).max(1));
    give_object(Search {
        settings,
        scan,
        query,
        bound,
        ef,
        iterative,
        begun: false,
        batch: Vec::new(),
    })
}

/// Takes the nearest result of the batch. Was there one?
///
/// # Safety
/// The search is one of C's; the others can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_search_take(
    search: *mut Search,
    element: *mut u64,
    distance: *mut f32,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(candidate) = (*search).batch.pop() else { return false };
        *element = candidate.id.0;
        *distance = candidate.distance;
        true
    }
}

/// Gets a new batch. [`END`] if there is nothing more.
///
/// # Safety
/// The search is one of C's, the index of `access` is open, `limits` can be read, and `failure` written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_search_step(
    search: *mut Search,
    access: *mut Access,
    limits: *const SearchLimits,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let found = (*search).step(access, *limits);
        status(found.map(|found| if found { DONE } else { END }), failure)
    }
}

/// The least squared distance that a vector may have whose code has this place in the order; less than any number if that is
/// not known.
///
/// # Safety
/// The search is one of C's, and `length` bytes are at `code`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_search_least(
    search: *const Search,
    order: f32,
    code: *const u8,
    length: usize,
) -> f64 {
    // SAFETY: the caller's promise.
    unsafe { (*search).bound.least_squared(&(*search).query, order, slice(code, length)) }
}
