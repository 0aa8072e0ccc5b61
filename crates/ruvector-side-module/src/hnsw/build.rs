//! Building a graph in memory, and handing it over for pages.

use alloc::vec::Vec;

use ruvector_core::Result;
use ruvector_core::hnsw::graph::{Links, Writer};
use ruvector_core::hnsw::{self, ElementId, Options, Workspace};
use ruvector_core::rng::SplitMix64;

use super::codes::Codes;
use super::insert::Settings;
use super::kernel::Kernel;
use super::layout::{PageSizes, Placement, place};
use super::{DONE, END, FAILED, StoreError, drop_object, give_object, status};
use crate::Failure;
use crate::view::slice;

/// Rows that one element can stand for.
const ROWS: usize = 10;

/// A graph that is being built.
pub struct Builder {
    kernel: Kernel,
    options: Options,
    highest: u8,
    random: SplitMix64,
    codes: Codes,
    links: Links,
    workspace: Workspace,
    /// The first row of each element, and how many there are.
    rows: Vec<(u64, u8)>,
    /// Further rows of elements.
    more: Vec<(u32, u64)>,
    /// Bytes of memory it may take.
    limit: usize,
    placement: Option<Placement>,
}

/// Makes room for one more, by an eighth at a time: memory is limited.
fn grow<T>(vec: &mut Vec<T>) -> Result<()> {
    if vec.len() == vec.capacity() {
        vec.try_reserve_exact((vec.len() / 8).max(64))?;
    }
    Ok(())
}

impl Builder {
    fn memory(&self) -> usize {
        self.codes.memory()
            + self.links.memory()
            + self.workspace.memory()
            + self.rows.capacity() * size_of::<(u64, u8)>()
            + self.more.capacity() * size_of::<(u32, u64)>()
    }

    /// Adds a row. Is there room for it?
    fn add(&mut self, code: &[u8], row: u64) -> Result<bool> {
        if self.memory() > self.limit {
            return Ok(false);
        }
        grow(&mut self.rows)?;
        grow(&mut self.more)?;
        let level = self.options.random_level(&mut self.random, self.highest);
        let mut writer = Writer { vectors: &self.codes, links: &mut self.links };
        let plan = hnsw::plan(&mut writer, &code, level, self.options, None, &mut self.workspace)?;
        let own = self.kernel.order(code, code);
        let twin = plan.nearest.iter().find(|candidate| {
            candidate.distance == own
                && self.codes.code(candidate.id.0 as u32) == Some(self.codes.kept(code))
                && self
                    .rows
                    .get(candidate.id.0 as usize)
                    .is_some_and(|&(_, count)| usize::from(count) < ROWS)
        });
        if let Some(twin) = twin {
            let twin = twin.id.0 as u32;
            self.more.push((twin, row));
            if let Some((_, count)) = self.rows.get_mut(twin as usize) {
                *count += 1;
            }
            return Ok(true);
        }
        self.links.add(level)?;
        let id = self.codes.push(code)?;
        self.rows.push((row, 1));
        self.links.set(id, &plan);
        let entry = self.links.entry();
        let mut writer = Writer { vectors: &self.codes, links: &mut self.links };
        hnsw::link(&mut writer, ElementId(u64::from(id)), &code, &plan, self.options)?;
        if entry.and_then(|entry| self.links.level(entry)).is_none_or(|highest| level > highest) {
            self.links.set_entry(Some(id));
        }
        Ok(true)
    }

    fn place(&mut self, sizes: PageSizes) -> Result<u32> {
        self.links.connect()?;
        self.more.sort_unstable();
        let codes = &self.codes;
        let length = |element| codes.code(element).map_or(0, <[u8]>::len);
        let placement = place(&self.links, length, sizes)?;
        let blocks = placement.blocks;
        self.placement = Some(placement);
        Ok(blocks)
    }
}

/// A new graph.
///
/// # Safety
/// `settings` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_build_new(
    settings: *const Settings,
    code_length: usize,
    highest_level: u32,
    seed: u64,
    limit: usize,
) -> *mut Builder {
    // SAFETY: the caller's promise.
    let settings = unsafe { &*settings };
    let (kernel, options) = (settings.kernel(), settings.options());
    let (Ok(options), Ok(workspace)) = (options, Workspace::new()) else {
        return core::ptr::null_mut();
    };
    give_object(Builder {
        kernel,
        options,
        highest: highest_level as u8,
        random: SplitMix64::new(seed),
        codes: Codes::new(kernel, code_length),
        links: Links::new(options),
        workspace,
        rows: Vec::new(),
        more: Vec::new(),
        limit,
        placement: None,
    })
}

/// Gives all of a graph back.
///
/// # Safety
/// The graph is one that is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_build_free(builder: *mut Builder) {
    // SAFETY: the caller's promise.
    unsafe { drop_object(builder) }
}

/// Adds a row with a code. [`END`] if there is no memory left for more.
///
/// # Safety
/// The graph is one of C's, and `length` bytes are at `code`; `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_build_add(
    builder: *mut Builder,
    code: *const u8,
    length: usize,
    row: u64,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let added = (*builder).add(slice(code, length), row);
        let added = added.map(|added| if added { DONE } else { END });
        status(added.map_err(StoreError::Own), failure)
    }
}

/// Decides where all elements are put, and how many blocks there are then.
///
/// # Safety
/// The graph is one of C's; `blocks` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_build_place(
    builder: *mut Builder,
    sizes: *const PageSizes,
    blocks: *mut u32,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let placed = (*builder).place(*sizes).map(|count| {
            *blocks = count;
            DONE
        });
        status(placed.map_err(StoreError::Own), failure)
    }
}

/// An element for a page.
#[repr(C)]
pub struct Placed {
    id: u64,
    links_block: u32,
    links_offset: u16,
    level: u8,
    row_count: u8,
    code: *const u8,
    code_length: usize,
    rows: [u64; ROWS],
}

/// The `position`th element in the order of pages, and its links, as many as there can be, those that are not there 0.
/// [`END`] behind the last one.
///
/// # Safety
/// The elements of the graph have their places; `placed` can be written to, and `links` has room for the links of the
/// highest level.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_build_element(
    builder: *const Builder,
    position: u32,
    placed: *mut Placed,
    links: *mut u64,
) -> i32 {
    // SAFETY: the caller's promise.
    let builder = unsafe { &*builder };
    let Some(placement) = &builder.placement else { return FAILED };
    let Some(&element) = placement.order.get(position as usize) else { return END };
    let (Some(place), Some(level), Some(code), Some(&(row, row_count))) = (
        placement.places.get(element as usize),
        builder.links.level(element),
        builder.codes.code(element),
        builder.rows.get(element as usize),
    ) else {
        return FAILED;
    };
    let mut rows = [0; ROWS];
    rows[0] = row;
    let first = builder.more.partition_point(|&(other, _)| other < element);
    let more = builder.more.get(first..).unwrap_or_default();
    for (to, &(_, row)) in
        rows[1..].iter_mut().zip(more.iter().take_while(|(other, _)| *other == element))
    {
        *to = row;
    }
    // SAFETY: the caller's promise; no list is longer than its part of the room.
    unsafe {
        placed.write(Placed {
            id: place.id(),
            links_block: place.links_block,
            links_offset: place.links_offset,
            level,
            row_count,
            code: code.as_ptr(),
            code_length: code.len(),
            rows,
        });
        let mut to = links;
        for layer in 0..=level {
            let room = builder.options.max_links(layer);
            let list = core::slice::from_raw_parts_mut(to, room);
            list.fill(0);
            let mut count = 0;
            for link in builder.links.ids(element, layer) {
                if let (Some(to), Some(place)) =
                    (list.get_mut(count), placement.places.get(link as usize))
                {
                    *to = place.id();
                    count += 1;
                }
            }
            // So that elements on one page follow each other.
            list[..count].sort_unstable();
            to = to.add(room);
        }
    }
    DONE
}

/// Where searches begin: its name, or 0 if there is none, and its level.
///
/// # Safety
/// The elements of the graph have their places; `id` and `level` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_build_entry(
    builder: *const Builder,
    id: *mut u64,
    level: *mut u32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let builder = &*builder;
        let entry = builder.links.entry();
        let place = entry.zip(builder.placement.as_ref()).and_then(|(entry, placement)| {
            let level = builder.links.level(entry)?;
            Some((placement.places.get(entry as usize)?.id(), u32::from(level)))
        });
        (*id, *level) = place.unwrap_or((0, 0));
    }
}
