//! Building a graph in memory, and handing it over for pages.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use ruvector_core::Result;
use ruvector_core::hnsw::graph::{Links, Writer};
use ruvector_core::hnsw::shared::ROWS;
use ruvector_core::hnsw::{self, ElementId, Lists, Options, Plan, Workspace};
use ruvector_core::rng::SplitMix64;

use super::codes::Codes;
use super::insert::Settings;
use super::kernel::Kernel;
use super::layout::{PageSizes, Placement, place};
use super::shared::SharedGraph;
use super::{DONE, END, FAILED, StoreError, drop_object, give_object, status};
use crate::Failure;
use crate::view::slice;

/// A graph that is being built.
pub struct Builder {
    pub(super) graph: Graph,
    placement: Option<Placement>,
}

/// Where a graph is.
#[expect(clippy::large_enum_variant, reason = "there is one for each build")]
pub(super) enum Graph {
    /// In memory of this process.
    Own(OwnGraph),
    /// In memory that other processes use too.
    Shared(SharedGraph),
}

/// A graph that is complete, with what its elements stand for.
pub(super) trait Built: Lists {
    /// The code of an element.
    fn code(&self, element: u32) -> Option<&[u8]>;

    /// Its rows, and how many there are.
    fn rows(&self, element: u32) -> Option<([u64; ROWS], u8)>;
}

/// A graph that one process builds.
pub(super) struct OwnGraph {
    kernel: Kernel,
    options: Options,
    highest: u8,
    random: SplitMix64,
    codes: Codes,
    links: Links,
    workspace: Workspace,
    /// What each element stands for.
    rows: Vec<Rows>,
    /// Further rows of elements.
    more: Vec<(u32, u64)>,
    /// Bytes of memory it may take.
    limit: usize,
}

/// The rows of an element.
#[derive(Clone, Copy)]
struct Rows {
    first: u64,
    /// Another element with the same code, if this one is full: searches do not come by all of many.
    next: Option<NonZeroU32>,
    count: u8,
}

/// Makes room for one more, by an eighth at a time: memory is limited.
fn grow<T>(vec: &mut Vec<T>) -> Result<()> {
    if vec.len() == vec.capacity() {
        vec.try_reserve_exact((vec.len() / 8).max(64))?;
    }
    Ok(())
}

impl OwnGraph {
    fn memory(&self) -> usize {
        self.codes.memory()
            + self.links.memory()
            + self.workspace.memory()
            + self.rows.capacity() * size_of::<Rows>()
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
        let twin = self.twin(code, &plan);
        if let Some(twin) = twin
            && let Some(rows) = self.rows.get_mut(twin as usize)
            && usize::from(rows.count) < ROWS
        {
            rows.count += 1;
            self.more.push((twin, row));
            return Ok(true);
        }
        self.links.add(level)?;
        let id = self.codes.push(code)?;
        self.rows.push(Rows { first: row, next: None, count: 1 });
        if let Some(full) = twin.and_then(|twin| self.rows.get_mut(twin as usize)) {
            full.next = NonZeroU32::new(id);
        }
        self.links.set(id, &plan);
        let entry = self.links.entry();
        let mut writer = Writer { vectors: &self.codes, links: &mut self.links };
        hnsw::link(&mut writer, ElementId(u64::from(id)), &code, &plan, self.options)?;
        if entry.and_then(|entry| self.links.level(entry)).is_none_or(|highest| level > highest) {
            self.links.set_entry(Some(id));
        }
        Ok(true)
    }
}

impl OwnGraph {
    /// An element with a code that has room for a row, or else the last one with this code.
    fn twin(&mut self, code: &[u8], plan: &Plan) -> Option<u32> {
        let own = self.kernel.order(code, code);
        let kept = self.kernel.kept(code);
        let mut first: Option<u32> = None;
        for candidate in plan.nearest.iter().filter(|candidate| candidate.distance == own) {
            let id = candidate.id.0 as u32;
            if self.codes.code(id) == Some(kept) {
                if self.rows.get(id as usize).is_some_and(|rows| usize::from(rows.count) < ROWS) {
                    return Some(id);
                }
                first = Some(first.map_or(id, |first| first.min(id)));
            }
        }
        let first = first?;
        let next = |id: u32| self.rows.get(id as usize).and_then(|rows| rows.next);
        let mut last = first;
        while let Some(id) = next(last) {
            last = id.get();
        }
        // Those between are full.
        if last != first
            && let Some(rows) = self.rows.get_mut(first as usize)
        {
            rows.next = NonZeroU32::new(last);
        }
        Some(last)
    }
}

impl Built for OwnGraph {
    fn code(&self, element: u32) -> Option<&[u8]> {
        self.codes.code(element)
    }

    fn rows(&self, element: u32) -> Option<([u64; ROWS], u8)> {
        let &Rows { first: row, count, .. } = self.rows.get(element as usize)?;
        let mut rows = [0; ROWS];
        rows[0] = row;
        let first = self.more.partition_point(|&(other, _)| other < element);
        let more = self.more.get(first..).unwrap_or_default();
        for (to, &(_, row)) in
            rows[1..].iter_mut().zip(more.iter().take_while(|(other, _)| *other == element))
        {
            *to = row;
        }
        Some((rows, count))
    }
}

impl Lists for OwnGraph {
    fn count(&self) -> u32 {
        Lists::count(&self.links)
    }

    fn level(&self, element: u32) -> Option<u8> {
        self.links.level(element)
    }

    fn entry(&self) -> Option<u32> {
        self.links.entry()
    }

    fn each_link(&self, element: u32, layer: u8, see: impl FnMut(u32, f32)) {
        self.links.each_link(element, layer, see);
    }

    fn distance(&self, a: u32, b: u32) -> f32 {
        let (a, b) = (self.codes.code(a), self.codes.code(b));
        a.zip(b).map_or(f32::INFINITY, |(a, b)| self.kernel.order(a, b))
    }

    fn room(&self) -> usize {
        self.links.room()
    }

    fn put(&mut self, element: u32, at: usize, link: u32, distance: f32) {
        self.links.put(element, at, link, distance);
    }
}

/// Links what is lost, and decides where all is put.
fn complete(graph: &mut impl Built, sizes: PageSizes) -> Result<Placement> {
    hnsw::connect(graph)?;
    let graph = &*graph;
    let length = |element| graph.code(element).map_or(0, <[u8]>::len);
    place(graph, length, sizes)
}

impl Builder {
    pub(super) const fn new(graph: Graph) -> Self {
        Self { graph, placement: None }
    }

    fn place(&mut self, sizes: PageSizes) -> Result<u32> {
        let placement = match &mut self.graph {
            Graph::Own(graph) => {
                graph.more.sort_unstable();
                complete(graph, sizes)?
            }
            Graph::Shared(graph) => complete(graph, sizes)?,
        };
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
    give_object(Builder::new(Graph::Own(OwnGraph {
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
    })))
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
        let code = slice(code, length);
        let added = match &mut (*builder).graph {
            Graph::Own(graph) => graph.add(code, row),
            Graph::Shared(graph) => graph.add(code, row),
        };
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
    unsafe {
        let builder = &*builder;
        let Some(placement) = &builder.placement else { return FAILED };
        let Some(&element) = placement.order.get(position as usize) else { return END };
        let written = match &builder.graph {
            Graph::Own(graph) => write_element(graph, placement, element, placed, links),
            Graph::Shared(graph) => write_element(graph, placement, element, placed, links),
        };
        if written.is_some() { DONE } else { FAILED }
    }
}

/// Writes an element for C.
///
/// # Safety
/// `placed` can be written to, and `links` has room for the links of the highest level.
unsafe fn write_element(
    graph: &impl Built,
    placement: &Placement,
    element: u32,
    placed: *mut Placed,
    links: *mut u64,
) -> Option<()> {
    let place = placement.places.get(element as usize)?;
    let (level, code, (rows, row_count)) =
        (graph.level(element)?, graph.code(element)?, graph.rows(element)?);
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
            // As many on the lowest layer as on two others.
            let room = if layer == 0 { graph.room() } else { graph.room() / 2 };
            let list = core::slice::from_raw_parts_mut(to, room);
            list.fill(0);
            let mut count = 0;
            graph.each_link(element, layer, |link, _| {
                if let (Some(to), Some(place)) =
                    (list.get_mut(count), placement.places.get(link as usize))
                {
                    *to = place.id();
                    count += 1;
                }
            });
            // So that elements on one page follow each other.
            list[..count].sort_unstable();
            to = to.add(room);
        }
    }
    Some(())
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
        let entry = match &builder.graph {
            Graph::Own(graph) => graph.entry().zip(graph.entry().and_then(|e| graph.level(e))),
            Graph::Shared(graph) => graph.entry().zip(graph.entry().and_then(|e| graph.level(e))),
        };
        let place =
            entry.zip(builder.placement.as_ref()).and_then(|((entry, level), placement)| {
                Some((placement.places.get(entry as usize)?.id(), u32::from(level)))
            });
        (*id, *level) = place.unwrap_or((0, 0));
    }
}
