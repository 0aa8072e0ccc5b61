//! Memory at one moment, to make more of it.
//!
//! On Linux an image is an anonymous file, its base, that memory is mapped from copy-on-write, and the
//! pages that have changed since. A page that is anonymous in the page map of a memory that was mapped
//! from a base is one that has changed, so a further image of it costs as much as it has changed.
//! Elsewhere, or where the page map cannot be read, an image is all pages that are not zero.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::memory::Region;
use super::page_map::PageMap;
use super::shared_file;

pub(crate) const PAGE: usize = 4096;

/// More changed pages than this, and a new base is cheaper than copying them.
const MAX_CHANGED_PAGES: usize = 256;

/// The same if many memories will be made of the image: a page that is copied to one costs about a
/// microsecond, and a new base as much for every page that is not zero, once.
const MAX_CHANGED_OF_MANY: usize = 16;

/// What an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Once,
    ManyTimes,
}

/// Pages in a file, at the offsets that they have in memory.
#[derive(Debug)]
pub(crate) struct Base {
    fd: OwnedFd,
    len: usize,
}

/// Parts of a memory at one moment.
#[derive(Debug)]
pub(crate) struct MemoryImage {
    ranges: Vec<Range<usize>>,
    base: Option<Arc<Base>>,
    /// Offsets of pages that differ from the base, and their contents one after the other.
    changed: Vec<usize>,
    contents: Vec<u8>,
}

/// A file that pages are written to, each once: processes are copies of each other, and buffers of files.
pub(crate) struct PageStore<'a> {
    out: &'a mut dyn Write,
    /// Where the next one goes.
    at: usize,
    known: HashMap<blake3::Hash, usize>,
}

impl<'a> PageStore<'a> {
    /// `out` is at a multiple of the size of a page in the file.
    pub(crate) fn new(out: &'a mut dyn Write, at: usize) -> PageStore<'a> {
        PageStore { out, at, known: HashMap::new() }
    }

    /// What the file has already, from a multiple of the size of a page on.
    pub(crate) fn add(&mut self, bytes: &[u8], at: usize) {
        for (page, at) in bytes.chunks_exact(PAGE).zip((at..).step_by(PAGE)) {
            self.known.entry(blake3::hash(page)).or_insert(at);
        }
    }

    /// Where the page is in the file.
    fn put(&mut self, page: &[u8]) -> io::Result<usize> {
        match self.known.entry(blake3::hash(page)) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(vacant) => {
                self.out.write_all(page)?;
                self.at += PAGE;
                Ok(*vacant.insert(self.at - PAGE))
            }
        }
    }
}

/// What is to be known of a memory whose pages are in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MemoryRecord {
    ranges: Vec<Range<usize>>,
    /// The pages that are not zero.
    runs: Vec<Run>,
}

/// Pages that follow each other in memory and in the file; all in bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    /// In memory.
    start: usize,
    len: usize,
    /// In the file.
    at: usize,
}

impl MemoryImage {
    /// An image of these ranges, which begin and end with pages. `base` is what they are mapped from,
    /// before and after.
    ///
    /// The guest whose memory it is must not run, and the kernel must not use that memory.
    pub(crate) fn capture(
        region: &Region,
        ranges: Vec<Range<usize>>,
        base: &mut Option<Arc<Base>>,
        usage: Use,
    ) -> io::Result<MemoryImage> {
        let Some(page_map) = PageMap::get() else {
            *base = None;
            return MemoryImage::of_pages(region, ranges);
        };
        let limit = match usage {
            Use::Once => MAX_CHANGED_PAGES,
            Use::ManyTimes => MAX_CHANGED_OF_MANY,
        };
        let mut current = match base {
            Some(current) => current.clone(),
            None => Base::capture(region, &ranges, page_map, None)?,
        };
        for _ in 0..2 {
            *base = Some(current.clone());
            let mut changed = Vec::new();
            for range in &ranges {
                changed.extend(written(page_map, region, range)?);
            }
            if changed.len() <= limit {
                let mut contents = Vec::with_capacity(changed.len() * PAGE);
                for offset in &changed {
                    contents.extend_from_slice(page(region, *offset)?);
                }
                return Ok(MemoryImage { ranges, base: Some(current), changed, contents });
            }
            current = Base::capture(region, &ranges, page_map, Some(&current))?;
        }
        Err(io::Error::other("a memory changes while its image is taken"))
    }

    fn of_pages(region: &Region, ranges: Vec<Range<usize>>) -> io::Result<MemoryImage> {
        let mut image =
            MemoryImage { ranges, base: None, changed: Vec::new(), contents: Vec::new() };
        for offset in image.ranges.iter().flat_map(|range| range.clone().step_by(PAGE)) {
            let page = page(region, offset)?;
            if page.iter().any(|byte| *byte != 0) {
                image.changed.push(offset);
                image.contents.extend_from_slice(page);
            }
        }
        Ok(image)
    }

    /// An image of the contents of a file, of which a copy is made: a window's.
    pub(crate) fn of_file(file: &OwnedFd, range: Range<usize>) -> io::Result<MemoryImage> {
        let fd = shared_file::create("pglite-image", range.end)?;
        shared_file::copy_range(file, &fd, 0..range.len(), range.start)?;
        let base = Arc::new(Base { fd, len: range.end });
        Ok(MemoryImage {
            ranges: vec![range],
            base: Some(base),
            changed: Vec::new(),
            contents: Vec::new(),
        })
    }

    /// Writes all pages that are not zero.
    pub(crate) fn write(&self, out: &mut PageStore<'_>) -> io::Result<MemoryRecord> {
        let mut runs: Vec<Run> = Vec::new();
        let mut put = |offset: usize, page: &[u8]| {
            if page.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            let at = out.put(page)?;
            match runs.last_mut() {
                Some(run) if run.start + run.len == offset && run.at + run.len == at => {
                    run.len += PAGE;
                }
                _ => runs.push(Run { start: offset, len: PAGE, at }),
            }
            Ok(())
        };
        let mut changed = self.changed.iter().copied().zip(self.contents.chunks_exact(PAGE));
        let mut next = changed.next();
        for range in &self.ranges {
            if let Some(base) = &self.base {
                shared_file::each_block(&base.fd, range.clone(), PAGE, |offset, page| {
                    while let Some((changed_offset, contents)) =
                        next.filter(|next| next.0 <= offset)
                    {
                        put(changed_offset, contents)?;
                        next = changed.next();
                        if changed_offset == offset {
                            return Ok(());
                        }
                    }
                    put(offset, page)
                })?;
            }
            // Behind the last page of the base.
            while let Some((offset, contents)) = next.filter(|next| next.0 < range.end) {
                put(offset, contents)?;
                next = changed.next();
            }
        }
        Ok(MemoryRecord { ranges: self.ranges.clone(), runs })
    }

    /// The image whose pages are in a file with these bytes.
    pub(crate) fn read(record: &MemoryRecord, file: &[u8]) -> io::Result<MemoryImage> {
        let len = record.ranges.iter().map(|range| range.end).max().unwrap_or(0);
        let base = Base { fd: shared_file::create("pglite-image", len)?, len };
        let target = File::from(base.fd.try_clone()?);
        for run in &record.runs {
            let pages = file
                .get(run.at..run.at.saturating_add(run.len))
                .ok_or_else(|| io::Error::other("pages of an image are missing"))?;
            target.write_all_at(pages, run.start as u64)?;
        }
        Ok(MemoryImage {
            ranges: record.ranges.clone(),
            base: Some(Arc::new(base)),
            changed: Vec::new(),
            contents: Vec::new(),
        })
    }

    /// What a memory is mapped from that was made from this image.
    pub(crate) fn base(&self) -> Option<Arc<Base>> {
        self.base.clone()
    }

    /// Gives a memory these contents.
    ///
    /// # Safety
    /// No reference into the memory may be alive, and compiled code must not run in it.
    pub(crate) unsafe fn restore(&self, region: &Region) -> io::Result<()> {
        if let Some(base) = &self.base {
            for range in &self.ranges {
                // SAFETY: the caller's promise.
                unsafe { base.map_into(region, range)? };
            }
        }
        for (offset, page) in self.changed.iter().zip(self.contents.chunks_exact(PAGE)) {
            region.write(*offset as u32, page).map_err(|_| out_of_range())?;
        }
        Ok(())
    }
}

impl Base {
    /// The pages of a memory, which was mapped from another base if it was mapped; it is mapped from this
    /// one afterwards.
    fn capture(
        region: &Region,
        ranges: &[Range<usize>],
        page_map: &PageMap,
        before: Option<&Base>,
    ) -> io::Result<Arc<Base>> {
        let len = region.len();
        let base = Base { fd: shared_file::create("pglite-image", len)?, len };
        let file = File::from(base.fd.try_clone()?);
        for range in ranges {
            if let Some(before) = before {
                // Pages that this memory has not touched since are in no page map.
                shared_file::copy_range(&before.fd, &base.fd, range.clone(), range.start)?;
            }
            for offset in written(page_map, region, range)? {
                let page = page(region, offset)?;
                if before.is_some() || page.iter().any(|byte| *byte != 0) {
                    file.write_all_at(page, offset as u64)?;
                }
            }
        }
        for range in ranges {
            // SAFETY: the guest does not run, and the kernel keeps no reference into its memory, as who
            // called `MemoryImage::capture` promised. Contents stay the same.
            unsafe { base.map_into(region, range)? };
        }
        Ok(Arc::new(base))
    }

    /// # Safety
    /// As [`Region::map_file`].
    unsafe fn map_into(&self, region: &Region, range: &Range<usize>) -> io::Result<()> {
        // Memory that has grown since has pages that the base has not: they count as changed.
        let end = range.end.min(self.len);
        let Some(len) = end.checked_sub(range.start) else { return Ok(()) };
        // SAFETY: the caller's promise.
        unsafe { region.map_file(range.start, len, self.fd.as_raw_fd(), range.start, false) }
    }

    /// Copies what the base has of a range to a file that begins with that range.
    pub(crate) fn copy_to(&self, file: &OwnedFd, range: &Range<usize>) -> io::Result<()> {
        shared_file::copy_range(&self.fd, file, range.clone(), 0)
    }
}

/// Offsets of the pages of a range that may have been written since the memory was mapped.
pub(crate) fn written_pages(region: &Region, range: &Range<usize>) -> io::Result<Vec<usize>> {
    match PageMap::get() {
        Some(page_map) => written(page_map, region, range),
        None => Ok(range.clone().step_by(PAGE).collect()),
    }
}

fn written(page_map: &PageMap, region: &Region, range: &Range<usize>) -> io::Result<Vec<usize>> {
    let start = region.base();
    let mut pages = page_map.anonymous(start + range.start..start + range.end)?;
    pages.iter_mut().for_each(|page| *page -= start);
    Ok(pages)
}

fn page(region: &Region, offset: usize) -> io::Result<&[u8]> {
    region.slice(offset as u32, PAGE).map_err(|_| out_of_range())
}

fn out_of_range() -> io::Error {
    io::Error::other("a page lies outside of the memory it belongs to")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: usize = 4096;

    fn memory() -> Region {
        Region::new(PAGES * PAGE).unwrap()
    }

    fn write(region: &Region, page: usize, text: &str) {
        region.write((page * PAGE) as u32, text.as_bytes()).unwrap();
    }

    fn read(region: &Region, page: usize) -> &str {
        region.text((page * PAGE) as u32, 4).unwrap()
    }

    fn copy(region: &Region, base: &mut Option<Arc<Base>>) -> Region {
        let all = 0..PAGES * PAGE;
        let image = MemoryImage::capture(region, vec![all], base, Use::Once).unwrap();
        let copy = memory();
        // SAFETY: no guest has this memory.
        unsafe { image.restore(&copy).unwrap() };
        copy
    }

    #[test]
    fn a_copy_has_what_was_there() {
        let region = memory();
        let mut base = None;
        write(&region, 7, "old ");
        let first = copy(&region, &mut base);
        write(&region, 7, "new ");
        write(&region, 9, "more");
        let second = copy(&region, &mut base);
        write(&second, 7, "own ");
        assert_eq!((read(&first, 7), read(&first, 9)), ("old ", "\0\0\0\0"));
        assert_eq!((read(&region, 7), read(&region, 9)), ("new ", "more"));
        assert_eq!((read(&second, 7), read(&second, 9)), ("own ", "more"));
    }

    /// A second base once had only what the memory had touched since the first: what it had not was zero
    /// from then on, in the memory itself as well.
    #[test]
    fn a_new_base_has_what_was_not_touched_since_the_last() {
        let region = memory();
        let mut base = None;
        write(&region, 1, "kept");
        write(&region, 2, "gone");
        drop(copy(&region, &mut base));
        write(&region, 2, "\0\0\0\0");
        for page in 1000..1000 + 2 * MAX_CHANGED_PAGES {
            write(&region, page, "much");
        }
        let first = base.clone().unwrap();
        let copy = copy(&region, &mut base);
        assert!(!Arc::ptr_eq(&first, &base.unwrap()), "no new base was made");
        for memory in [&region, &copy] {
            assert_eq!((read(memory, 1), read(memory, 2)), ("kept", "\0\0\0\0"));
            assert_eq!(read(memory, 1003), "much");
        }
    }
}
