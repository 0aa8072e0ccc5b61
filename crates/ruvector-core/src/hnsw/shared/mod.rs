//! A graph in memory that several processes build at the same time.
//!
//! It is one range of memory, which may be at another address in each process, so nothing in it is a pointer. From the
//! beginning there are elements, one after the other and each of the same size: its code, a head, and its links on the
//! lowest layer. From the end there are blocks of what not every element has: codes if each has its own length, links on
//! upper layers, and rows beyond the first. The graph is full when the two meet.
//!
//! Readers take no lock. A link is one atomic number, and leads to an element that was complete before; so a reader comes
//! by a list as it was, as it is, or, while links in it move, by some links twice and others not at all, which costs a
//! search little. Who changes a list holds the lock of its element, for as long as a few distances take. An element is
//! never taken away.
//!
//! Whoever adds the first element, or one on a higher layer than there is, has to be alone: see
//! [`Shared::needs_to_be_alone`].

mod insert;
mod lists;
#[cfg(test)]
mod tests;

use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::Options;
use super::graph::{MAX_LEVEL, NEARER};
use crate::rng::SplitMix64;

/// Rows that an element can stand for.
pub const ROWS: usize = 10;

/// What a process brings to a graph in shared memory.
pub trait Codes: Copy {
    /// What orders vectors as the distance does, of their codes. What is not a number counts as infinite.
    fn order(self, a: &[u8], b: &[u8]) -> f32;

    /// Called while another process holds a lock: it may be one that does not run. `attempts` counts from 1.
    fn wait(self, attempts: u32);
}

/// What memory has to be aligned to.
pub const ALIGNMENT: usize = 64;

/// Blocks at the end are counted in so many bytes.
const UNIT: u64 = 16;
/// In place of where searches begin.
const NO_ENTRY: u64 = u64::MAX;
/// Beyond that there are marks in a link.
const MOST_ELEMENTS: u64 = 1 << 30;
/// In the place of the number of links: the list is in order and has marks.
const MARKED: u64 = 1 << 31;

/// At the beginning of the memory.
#[repr(C, align(64))]
struct Header {
    /// Elements in the upper half, units at the end in the lower one: both are taken at once.
    used: AtomicU64,
    /// The level in the upper half, the element in the lower one; or [`NO_ENTRY`].
    entry: AtomicU64,
}

/// What there is of each element beside its code and its links.
#[repr(C)]
struct Head {
    lock: AtomicU32,
    level: AtomicU32,
    /// Rows that it stands for.
    rows: AtomicU32,
    /// Blocks: rows beyond the first, links on upper layers, and the code if each has its own length.
    more: AtomicU32,
    upper: AtomicU32,
    code: AtomicU32,
    code_length: AtomicU32,
    /// Another element with the same code, if this one is full: searches do not come by all of many. 0: none.
    next: AtomicU32,
    /// The first row.
    row: AtomicU64,
    /// How many links there are on the lowest layer. They follow.
    count: AtomicU64,
}

/// A list of links: how many there are, and places for as many as there can be. In the lower half of a place is a link
/// with its mark, in the upper one its distance.
#[derive(Clone, Copy)]
struct List<'a> {
    count: &'a AtomicU64,
    places: &'a [AtomicU64],
}

impl List<'_> {
    /// How many links there are.
    #[inline]
    fn len(&self) -> usize {
        let count = self.count.load(Ordering::Acquire) & !MARKED;
        self.places.len().min(count as usize)
    }

    #[inline]
    fn link(&self, at: usize) -> (u32, f32) {
        let place = self.places[at].load(Ordering::Acquire);
        (place as u32, f32::from_bits((place >> 32) as u32))
    }

    fn set(&self, at: usize, link: u32, distance: f32) {
        let place = u64::from(distance.to_bits()) << 32 | u64::from(link);
        self.places[at].store(place, Ordering::Release);
    }
}

/// Memory with a graph that other processes use too.
///
/// ```
/// use ruvector_core::hnsw::shared::{Codes, Shared};
/// use ruvector_core::hnsw::{Options, Workspace};
///
/// #[derive(Clone, Copy)]
/// struct Differences;
///
/// impl Codes for Differences {
///     fn order(self, a: &[u8], b: &[u8]) -> f32 {
///         a.iter().zip(b).map(|(&a, &b)| f32::from(a.abs_diff(b))).sum()
///     }
///     fn wait(self, _: u32) {}
/// }
///
/// // One process; others would attach to the same memory.
/// #[repr(align(64))]
/// struct Memory([u8; 65536]);
/// let mut memory = Memory([0; 65536]);
/// let memory = &raw mut memory.0;
/// // SAFETY: the memory stays, and nobody uses it otherwise.
/// let graph = unsafe { Shared::create(memory.cast(), 65536, Options::default(), 2) };
/// let mut workspace = Workspace::new()?;
/// for row in 0..50u8 {
///     let level = graph.level_of(row.into(), 30);
///     assert!(graph.add(Differences, &[row, row], row.into(), level, &mut workspace)?);
/// }
/// assert_eq!(graph.len(), 50);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    base: *mut u8,
    size: usize,
    options: Options,
    /// Bytes of each code; 0 if each has its own length.
    code_length: usize,
    /// Where the head of an element is, from its beginning.
    head: usize,
    /// Bytes from one element to the next.
    stride: usize,
    memory: PhantomData<&'a Header>,
}

// SAFETY: all that changes is atomic, or belongs to who reserved it until it is published.
unsafe impl Send for Shared<'_> {}
// SAFETY: likewise.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Begins an empty graph. `code_length` is that of each code, or 0 if each has its own.
    ///
    /// # Safety
    /// The memory, of `size` bytes, is aligned to [`ALIGNMENT`], has room for a header of that size, stays as long as `'a`,
    /// and nobody uses it but by objects like this.
    pub unsafe fn create(base: *mut u8, size: usize, options: Options, code_length: usize) -> Self {
        // SAFETY: the caller's promise.
        let graph = unsafe { Self::attach(base, size, options, code_length) };
        graph.header().used.store(0, Ordering::Release);
        graph.header().entry.store(NO_ENTRY, Ordering::Release);
        graph
    }

    /// A graph that has been begun with the same options, maybe by another process, at another address.
    ///
    /// # Safety
    /// As of [`Shared::create`], which was called for the memory.
    pub const unsafe fn attach(
        base: *mut u8,
        size: usize,
        options: Options,
        code_length: usize,
    ) -> Self {
        Self::at(base, size, options, code_length)
    }

    const fn at(base: *mut u8, size: usize, options: Options, code_length: usize) -> Self {
        let head = code_length.next_multiple_of(8);
        let links = options.max_links(0) * size_of::<AtomicU64>();
        let stride = (head + size_of::<Head>() + links).next_multiple_of(ALIGNMENT);
        // Blocks are counted from the end.
        let size = size / ALIGNMENT * ALIGNMENT;
        Self { base, size, options, code_length, head, stride, memory: PhantomData }
    }

    /// About as many bytes as so many elements take, each with one row and, if each has its own length, a code of this one.
    pub fn memory_for(
        options: Options,
        code_length: usize,
        own_lengths: bool,
        elements: u64,
    ) -> u64 {
        let fixed = if own_lengths { 0 } else { code_length };
        let graph = Self::at(ptr::null_mut(), 0, options, fixed);
        let code = if own_lengths { code_length as u64 } else { 0 };
        // One in `m` has links on an upper layer.
        let upper = graph.units_above(1) * UNIT / u64::from(options.m) + UNIT;
        let each = graph.stride as u64 + code + upper;
        (size_of::<Header>() as u64).saturating_add(each.saturating_mul(elements))
    }

    /// How many elements there are.
    pub fn len(&self) -> u32 {
        (self.header().used.load(Ordering::Acquire) >> 32) as u32
    }

    /// Is there no element?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest layer of an element for a row: each process draws the same one.
    pub fn level_of(&self, row: u64, highest: u8) -> u8 {
        self.options.random_level(&mut SplitMix64::new(row), highest.min(MAX_LEVEL))
    }

    /// Has nobody else to be adding an element while one of this level is added?
    pub fn needs_to_be_alone(&self, level: u8) -> bool {
        self.entry_level().is_none_or(|(_, highest)| level > highest)
    }

    /// The code of an element.
    #[inline]
    pub fn code(&self, element: u32) -> Option<&'a [u8]> {
        if element >= self.len() {
            return None;
        }
        let at = HEADER + element as usize * self.stride;
        let (start, length) = if self.code_length > 0 {
            (at, self.code_length)
        } else {
            let head = self.head(element)?;
            let length = head.code_length.load(Ordering::Relaxed) as usize;
            (self.block(head.code.load(Ordering::Relaxed)), length)
        };
        // SAFETY: it was reserved for this, and is complete: who knows of the element has it of a link that was
        // published after it, and it never changes.
        Some(unsafe { core::slice::from_raw_parts(self.base.add(start), length) })
    }

    /// The rows that an element stands for. Nobody adds rows meanwhile.
    pub fn rows(&self, element: u32) -> ([u64; ROWS], usize) {
        let mut rows = [0; ROWS];
        let Some(head) = self.head(element) else { return (rows, 0) };
        let count = (head.rows.load(Ordering::Acquire) as usize).min(ROWS);
        rows[0] = head.row.load(Ordering::Relaxed);
        let more = head.more.load(Ordering::Relaxed);
        if more != 0 {
            let more = self.words(self.block(more), ROWS - 1);
            for (row, more) in rows[1..count].iter_mut().zip(more) {
                *row = more.load(Ordering::Relaxed);
            }
        }
        (rows, count)
    }

    fn header(&self) -> &'a Header {
        // SAFETY: the memory begins with it, is aligned for it, and has atomic numbers only.
        unsafe { &*self.base.cast::<Header>() }
    }

    fn entry_level(&self) -> Option<(u32, u8)> {
        let entry = self.header().entry.load(Ordering::Acquire);
        (entry != NO_ENTRY).then_some((entry as u32, (entry >> 32) as u8))
    }

    fn set_entry(&self, element: u32, level: u8) {
        let entry = u64::from(level) << 32 | u64::from(element);
        self.header().entry.store(entry, Ordering::Release);
    }

    #[inline]
    fn head(&self, element: u32) -> Option<&'a Head> {
        (element < self.len()).then(|| {
            let at = HEADER + element as usize * self.stride + self.head;
            // SAFETY: within the memory, aligned to eight bytes, and of atomic numbers only.
            unsafe { &*self.base.add(at).cast::<Head>() }
        })
    }

    /// Where a block is.
    #[inline]
    const fn block(&self, block: u32) -> usize {
        self.size - block as usize * UNIT as usize
    }

    /// Atomic numbers at a place that was reserved for them.
    #[inline]
    fn words(&self, at: usize, count: usize) -> &'a [AtomicU64] {
        // SAFETY: the place is within the memory, aligned to eight bytes, and used for atomic numbers only.
        unsafe { core::slice::from_raw_parts(self.base.add(at).cast(), count) }
    }

    /// The list of an element on a layer, if it is on that layer.
    #[inline]
    fn list(&self, element: u32, layer: u8) -> Option<List<'a>> {
        let head = self.head(element)?;
        if layer == 0 {
            let at = HEADER + element as usize * self.stride + self.head + size_of::<Head>();
            return Some(List {
                count: &head.count,
                places: self.words(at, self.options.max_links(0)),
            });
        }
        if u32::from(layer) > head.level.load(Ordering::Relaxed) {
            return None;
        }
        let each = usize::from(self.options.m) + 1;
        let at = self.block(head.upper.load(Ordering::Relaxed));
        let words = self.words(at + (usize::from(layer) - 1) * each * 8, each);
        let (count, places) = words.split_first()?;
        Some(List { count, places })
    }

    /// Units of the links on layers above the lowest.
    const fn units_above(&self, level: u8) -> u64 {
        (level as u64 * (self.options.m as u64 + 1) * 8).div_ceil(UNIT)
    }

    /// Takes room for elements, and units at the end: the number of the first element, and the block. Nothing if they are
    /// not there.
    fn reserve(&self, elements: u64, units: u64) -> Option<(u32, u32)> {
        let used = &self.header().used;
        let mut now = used.load(Ordering::Acquire);
        loop {
            let (count, block) = ((now >> 32) + elements, (now & u64::from(u32::MAX)) + units);
            let front = count.checked_mul(self.stride as u64)?.checked_add(HEADER as u64)?;
            let back = block.checked_mul(UNIT)?;
            let fits = front.checked_add(back).is_some_and(|all| all <= self.size as u64);
            if !fits || count > MOST_ELEMENTS || block > u64::from(u32::MAX) {
                return None;
            }
            match used.compare_exchange_weak(
                now,
                count << 32 | block,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(((now >> 32) as u32, block as u32)),
                Err(other) => now = other,
            }
        }
    }

    /// Bytes in use at the beginning and at the end.
    fn used(&self) -> (usize, usize) {
        let used = self.header().used.load(Ordering::Acquire);
        let front = HEADER + (used >> 32) as usize * self.stride;
        (front, (used as u32) as usize * UNIT as usize)
    }

    /// Fills what the graph has used with zeros: there is no graph any more.
    ///
    /// # Safety
    /// Nobody uses it meanwhile or afterwards.
    pub unsafe fn wipe(&self) {
        let (front, back) = self.used();
        // SAFETY: both parts are within the memory, and nobody uses it.
        unsafe {
            ptr::write_bytes(self.base.add(self.size - back), 0, back);
            ptr::write_bytes(self.base, 0, front);
        }
    }

    /// Moves the graph to another, larger place, where others have to attach to it. Nobody uses it meanwhile.
    ///
    /// # Safety
    /// As of [`Shared::create`] for the memory at `base`, which must not be shorter.
    pub unsafe fn move_to(&self, base: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        let moved = unsafe { Self::attach(base, size, self.options, self.code_length) };
        let (front, back) = self.used();
        debug_assert!(moved.size >= self.size);
        // SAFETY: both parts are within either memory, which are not the same.
        unsafe {
            ptr::copy_nonoverlapping(self.base, base, front);
            let (from, to) = (self.size - back, moved.size - back);
            ptr::copy_nonoverlapping(self.base.add(from), base.add(to), back);
        }
    }
}

const HEADER: usize = size_of::<Header>();

/// Without the mark.
const fn unmarked(link: u32) -> u32 {
    link & !NEARER
}
