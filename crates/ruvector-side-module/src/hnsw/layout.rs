//! On which page each element of a graph in memory is put.
//!
//! Elements that are linked with each other are put on one page where that is possible: a search then reads fewer pages.

use alloc::vec::Vec;

use ruvector_core::hnsw::Lists;
use ruvector_core::{Error, Result};

/// Sizes of C's pages and items.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PageSizes {
    /// Bytes of a page for items, their pointers included.
    room: u32,
    /// Bytes of an item's pointer.
    pointer: u32,
    /// Bytes of an element without its code.
    element: u32,
    /// Bytes of a links item without its links.
    links: u32,
    /// The first block of elements.
    first: u32,
    /// Links on each layer but the lowest.
    m: u32,
}

/// Where an element is.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) block: u32,
    pub(super) offset: u16,
    /// Counts the elements of a page, so that none has the name of one that was there before.
    pub(super) version: u16,
    pub(super) links_block: u32,
    pub(super) links_offset: u16,
}

impl Place {
    /// The element's name.
    pub(super) fn id(&self) -> u64 {
        u64::from(self.block) << 32 | u64::from(self.offset) << 16 | u64::from(self.version)
    }
}

/// What was laid out.
pub(super) struct Placement {
    /// Elements in the order of their pages.
    pub(super) order: Vec<u32>,
    /// By element.
    pub(super) places: Vec<Place>,
    /// Pages, the first ones not included.
    pub(super) blocks: u32,
}

const UNPLACED: u32 = 0;

/// Bytes of an item, as pages align them.
fn item(size: u32, pointer: u32) -> u32 {
    size.next_multiple_of(8) + pointer
}

/// A page that is being filled.
struct Open {
    block: u32,
    used: u32,
    items: u16,
    elements: u16,
}

/// Elements that are linked with those of the page, and with how many of them.
struct Frontier {
    elements: Vec<u32>,
    /// By element: 0 if it is not among them.
    counts: Vec<u8>,
}

impl Frontier {
    fn new(count: usize) -> Result<Self> {
        let mut counts = Vec::new();
        counts.try_reserve_exact(count)?;
        counts.resize(count, 0);
        Ok(Self { elements: Vec::new(), counts })
    }

    fn add(&mut self, element: u32) -> Result<()> {
        let Some(count) = self.counts.get_mut(element as usize) else { return Ok(()) };
        if *count == 0 {
            self.elements.try_reserve(1)?;
            self.elements.push(element);
        }
        *count = count.saturating_add(1);
        Ok(())
    }

    /// Takes the one that is linked with most; of those the first.
    fn take(&mut self) -> Option<u32> {
        let (mut best, mut most) = (0, 0);
        for (at, &element) in self.elements.iter().enumerate() {
            let count = self.counts.get(element as usize).copied().unwrap_or(0);
            if count > most {
                (best, most) = (at, count);
            }
        }
        (most > 0).then(|| {
            let element = self.elements.swap_remove(best);
            self.forget(element);
            element
        })
    }

    /// Keeps some, for a new page: the others would be no better there than any element.
    fn cut(&mut self) {
        while self.elements.len() > KEPT
            && let Some(element) = self.elements.pop()
        {
            self.forget(element);
        }
    }

    fn forget(&mut self, element: u32) {
        if let Some(count) = self.counts.get_mut(element as usize) {
            *count = 0;
        }
    }
}

const KEPT: usize = 64;

/// Lays out all elements of a graph, whose codes have these lengths.
pub(super) fn place(
    graph: &impl Lists,
    code_length: impl Fn(u32) -> usize,
    sizes: PageSizes,
) -> Result<Placement> {
    let count = graph.count();
    let (mut order, mut places) = (Vec::new(), Vec::new());
    order.try_reserve_exact(count as usize)?;
    places.try_reserve_exact(count as usize)?;
    places.resize(count as usize, Place::default());

    let mut next_block = sizes.first;
    let mut start_page = || {
        next_block += 1;
        Open { block: next_block - 1, used: 0, items: 0, elements: 0 }
    };
    let mut page: Option<Open> = None;
    // Of elements that are too large to have their links on the same page.
    let mut links_page: Option<Open> = None;
    let mut frontier = Frontier::new(count as usize)?;
    let mut seed = 0u32;
    for _ in 0..count {
        let element = loop {
            match frontier.take() {
                Some(element) if places[element as usize].block == UNPLACED => break element,
                Some(_) => {}
                None => {
                    while places.get(seed as usize).is_some_and(|place| place.block != UNPLACED) {
                        seed += 1;
                    }
                    break seed;
                }
            }
        };
        let level = u32::from(graph.level(element).unwrap_or(0));
        let element_size = item(sizes.element + code_length(element) as u32, sizes.pointer);
        let links_size = item(sizes.links + 8 * sizes.m * (level + 2), sizes.pointer);
        let together = element_size + links_size <= sizes.room;
        let needed = if together { element_size + links_size } else { element_size };
        let open = match page.take().filter(|open| open.used + needed <= sizes.room) {
            Some(open) => page.insert(open),
            None => {
                frontier.cut();
                page.insert(start_page())
            }
        };
        open.used += needed;
        open.items += 1;
        open.elements += 1;
        let mut place = Place {
            block: open.block,
            offset: open.items,
            version: open.elements,
            ..Place::default()
        };
        let with_links = if together {
            open
        } else {
            match links_page.take().filter(|open| open.used + links_size <= sizes.room) {
                Some(open) => links_page.insert(Open { used: open.used + links_size, ..open }),
                None => links_page.insert(Open { used: links_size, ..start_page() }),
            }
        };
        with_links.items += 1;
        place.links_block = with_links.block;
        place.links_offset = with_links.items;
        *places.get_mut(element as usize).ok_or(Error::Corrupt { what: "elements" })? = place;
        order.push(element);
        let mut added = Ok(());
        graph.each_link(element, 0, |link, _| {
            if places.get(link as usize).is_some_and(|place| place.block == UNPLACED)
                && added.is_ok()
            {
                added = frontier.add(link);
            }
        });
        added?;
    }
    Ok(Placement { order, places, blocks: next_block })
}
