//! Whether what is on pages is a graph.

use alloc::vec::Vec;
use core::fmt;

use ruvector_core::{Error, Result};

use super::{DONE, StoreError, drop_object, give_object, status};
use crate::view::slice;
use crate::{Failure, c_string};

/// An element as it was read.
#[derive(Clone, Copy)]
struct Element {
    id: u64,
    /// Block and offset of its links.
    links: u64,
    level: u8,
    rows: u8,
    reached: bool,
}

/// A links item as it was read.
#[derive(Clone, Copy)]
struct List {
    place: u64,
    version: u16,
    level: u8,
    used: bool,
    /// Its first link of all that were read.
    start: usize,
}

/// An index of which all pages have been read.
pub struct Checker {
    m: usize,
    elements: Vec<Element>,
    lists: Vec<List>,
    links: Vec<u64>,
    /// Rows, and the elements they stand at.
    rows: Vec<(u64, u64)>,
    problems: Vec<Problem>,
    figures: Figures,
}

/// Numbers of an index, for C.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Figures {
    elements: u64,
    /// Those that are about to be removed.
    dead: u64,
    unreachable: u64,
    /// Links on the lowest layer.
    links: u64,
    highest_level: u32,
}

enum Problem {
    NoLinks(u64),
    WrongLinks(u64),
    NoElement(u64),
    LinkToNothing { from: u64, to: u64, layer: u8 },
    LinkAbove { from: u64, to: u64, layer: u8 },
    LinkToItself { from: u64, layer: u8 },
    LinkTwice { from: u64, to: u64, layer: u8 },
    RowTwice { row: u64, first: u64, second: u64 },
    NoEntry,
    EntryLevel,
}

/// A name as block and offset.
struct At(u64);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.0 >> 32, self.0 >> 16 & 0xffff)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoLinks(id) => write!(f, "element {} has no links item", At(id)),
            Self::WrongLinks(id) => {
                write!(f, "element {} has a links item of another one", At(id))
            }
            Self::NoElement(place) => write!(f, "links item {} is of no element", At(place)),
            Self::LinkToNothing { from, to, layer } => {
                let (from, to) = (At(from), At(to));
                write!(f, "element {from} has a link to {to} on layer {layer}, where there is none")
            }
            Self::LinkAbove { from, to, layer } => {
                let (from, to) = (At(from), At(to));
                write!(f, "element {from} has a link to {to} on layer {layer}, which is not on it")
            }
            Self::LinkToItself { from, layer } => {
                write!(f, "element {} has a link to itself on layer {layer}", At(from))
            }
            Self::LinkTwice { from, to, layer } => {
                let (from, to) = (At(from), At(to));
                write!(f, "element {from} has two links to {to} on layer {layer}")
            }
            Self::RowTwice { row, first, second } => {
                let (row, first, second) = (At(row << 16), At(first), At(second));
                write!(f, "row {row} is at element {first} and at element {second}")
            }
            Self::NoEntry => f.write_str("searches begin at an element that does not exist"),
            Self::EntryLevel => {
                f.write_str("searches begin at an element that is not on the layer they begin on")
            }
        }
    }
}

fn push<T>(vec: &mut Vec<T>, item: T) -> Result<()> {
    vec.try_reserve(1)?;
    vec.push(item);
    Ok(())
}

impl Checker {
    fn find(&self, id: u64) -> Option<usize> {
        self.elements.binary_search_by_key(&id, |element| element.id).ok()
    }

    /// The links of an element on a layer.
    fn list(&self, element: &Element, layer: u8) -> Option<&[u64]> {
        let at = self.lists.binary_search_by_key(&element.links, |list| list.place).ok()?;
        let (start, level) = (self.lists.get(at)?.start, self.lists.get(at)?.level);
        let (first, count) = match layer {
            0 => (0, 2 * self.m),
            _ if layer <= level => ((usize::from(layer) + 1) * self.m, self.m),
            _ => return None,
        };
        self.links.get(start + first..start + first + count)
    }

    fn check(&mut self, entry: u64, entry_level: u8) -> Result<()> {
        self.elements.sort_unstable_by_key(|element| element.id);
        self.lists.sort_unstable_by_key(|list| list.place);
        self.rows.sort_unstable();
        let mut problems = Vec::new();
        for pair in self.rows.windows(2) {
            if let &[(row, first), (other, second)] = pair
                && row == other
            {
                push(&mut problems, Problem::RowTwice { row, first, second })?;
            }
        }
        for at in 0..self.elements.len() {
            let element = self.elements[at];
            let list = self.lists.binary_search_by_key(&element.links, |list| list.place);
            let Some(list) = list.ok().and_then(|at| self.lists.get_mut(at)) else {
                push(&mut problems, Problem::NoLinks(element.id))?;
                continue;
            };
            if list.used || list.version != element.id as u16 || list.level != element.level {
                push(&mut problems, Problem::WrongLinks(element.id))?;
                continue;
            }
            list.used = true;
            for layer in 0..=element.level {
                self.check_list(&element, layer, &mut problems)?;
            }
        }
        for list in self.lists.iter().filter(|list| !list.used) {
            push(&mut problems, Problem::NoElement(list.place))?;
        }
        if entry != 0 {
            match self.find(entry) {
                None => push(&mut problems, Problem::NoEntry)?,
                Some(at) if self.elements[at].level < entry_level => {
                    push(&mut problems, Problem::EntryLevel)?;
                }
                Some(_) => {}
            }
        }
        self.reach(entry)?;
        self.problems = problems;
        self.count();
        Ok(())
    }

    fn check_list(&self, element: &Element, layer: u8, problems: &mut Vec<Problem>) -> Result<()> {
        let from = element.id;
        let list = self.list(element, layer).unwrap_or_default();
        for (at, &to) in list.iter().enumerate().filter(|&(_, &to)| to != 0) {
            if to == from {
                push(problems, Problem::LinkToItself { from, layer })?;
            }
            if list[..at].contains(&to) {
                push(problems, Problem::LinkTwice { from, to, layer })?;
            }
            match self.find(to) {
                // One that is about to be removed, as the others were that it was linked with: a vacuum was cut short.
                None if element.rows == 0 => {}
                None => push(problems, Problem::LinkToNothing { from, to, layer })?,
                Some(other) if self.elements[other].level < layer => {
                    push(problems, Problem::LinkAbove { from, to, layer })?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Follows all links from where searches begin.
    fn reach(&mut self, entry: u64) -> Result<()> {
        let mut open = Vec::new();
        if let Some(at) = self.find(entry) {
            self.elements[at].reached = true;
            push(&mut open, at)?;
        }
        while let Some(at) = open.pop() {
            let element = self.elements[at];
            for layer in 0..=element.level {
                let count = self.list(&element, layer).map_or(0, <[u64]>::len);
                for place in 0..count {
                    let to = self.list(&element, layer).and_then(|list| list.get(place).copied());
                    if let Some(other) = to.filter(|&to| to != 0).and_then(|to| self.find(to))
                        && !self.elements[other].reached
                    {
                        self.elements[other].reached = true;
                        push(&mut open, other)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn count(&mut self) {
        let mut figures = Figures { elements: self.elements.len() as u64, ..Figures::default() };
        for element in &self.elements {
            figures.dead += u64::from(element.rows == 0);
            figures.unreachable += u64::from(element.rows > 0 && !element.reached);
            figures.highest_level = figures.highest_level.max(u32::from(element.level));
            let list = self.list(element, 0).unwrap_or_default();
            figures.links += list.iter().filter(|&&link| link != 0).count() as u64;
        }
        self.figures = figures;
    }
}

/// A checker of an index; null if there is no memory.
///
/// # Safety
/// There is nothing to be kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_check_new(m: u32) -> *mut Checker {
    give_object(Checker {
        m: m as usize,
        elements: Vec::new(),
        lists: Vec::new(),
        links: Vec::new(),
        rows: Vec::new(),
        problems: Vec::new(),
        figures: Figures::default(),
    })
}

/// Tells of an element.
///
/// # Safety
/// The checker is one of C's, `count` rows are at `rows`, and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_check_element(
    checker: *mut Checker,
    id: u64,
    level: u32,
    links: u64,
    rows: *const u64,
    count: usize,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let (checker, rows) = (&mut *checker, slice(rows, count));
        let element = Element { id, links, level: level as u8, rows: count as u8, reached: false };
        let told = push(&mut checker.elements, element)
            .and_then(|()| rows.iter().try_for_each(|&row| push(&mut checker.rows, (row, id))));
        status(told.map(|()| DONE).map_err(StoreError::Own), failure)
    }
}

/// Tells of a links item.
///
/// # Safety
/// The checker is one of C's, `count` links are at `links`, and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_check_links(
    checker: *mut Checker,
    place: u64,
    version: u32,
    level: u32,
    links: *const u64,
    count: usize,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let (checker, links) = (&mut *checker, slice(links, count));
        let start = checker.links.len();
        let (version, level) = (version as u16, level as u8);
        let list = List { place, version, level, used: false, start };
        let told = push(&mut checker.lists, list).and_then(|()| {
            checker.links.try_reserve(links.len()).map_err(Error::from)?;
            checker.links.extend_from_slice(links);
            Ok(())
        });
        status(told.map(|()| DONE).map_err(StoreError::Own), failure)
    }
}

/// Checks all that was told of.
///
/// # Safety
/// The checker is one of C's; the others can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_check_finish(
    checker: *mut Checker,
    entry: u64,
    entry_level: u32,
    figures: *mut Figures,
    failure: *mut Failure,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let checked = (*checker).check(entry, entry_level as u8);
        *figures = (*checker).figures;
        status(checked.map(|()| DONE).map_err(StoreError::Own), failure)
    }
}

/// The `position`th problem as a string that C gives back with `pfree`; null behind the last one.
///
/// # Safety
/// The checker is one of C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_check_problem(
    checker: *const Checker,
    position: usize,
) -> *mut u8 {
    // SAFETY: the caller's promise.
    let checker = unsafe { &*checker };
    checker.problems.get(position).map_or(core::ptr::null_mut(), |problem| c_string(problem))
}

/// The first row at or behind `position` in the order of rows that stands at an element which cannot be reached, and that
/// element with its level; the position behind it is returned, or 0 if there is none.
///
/// # Safety
/// The checker is one of C's; the others can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_check_unreachable(
    checker: *const Checker,
    position: usize,
    row: *mut u64,
    element: *mut u64,
    level: *mut u32,
) -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        let checker = &*checker;
        for (at, &(found, id)) in checker.rows.iter().enumerate().skip(position) {
            let lost = checker.find(id).map(|at| checker.elements[at]);
            if let Some(lost) = lost.filter(|lost| !lost.reached) {
                (*row, *element, *level) = (found, id, u32::from(lost.level));
                return at + 1;
            }
        }
    }
    0
}

/// Gives a checker back.
///
/// # Safety
/// It is one that is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_check_free(checker: *mut Checker) {
    // SAFETY: the caller's promise.
    unsafe { drop_object(checker) }
}
