//! Memory at one moment, to make more of it.
//!
//! On Linux an image is a file, its base, that memory is mapped from copy-on-write, and the pages that have
//! changed since. A page that is anonymous in the page map of a memory that was mapped from a base is one
//! that has changed, so a further image of it costs as much as it has changed. Elsewhere, or where the page
//! map cannot be read, an image is all pages that are not zero.
//!
//! A base is anonymous, or a part of a file that an image was saved to: see [`PageStore`].

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::memory::Region;
use super::page_map::PageMap;
use super::shared_file;
use super::spare::Spare;

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

/// Zero pages between others that are written to a file all the same: each gap is one more mapping in each
/// memory. With 32, the image of a new database has 20 segments, and 9 % of it are such zeros.
const MAX_GAP: usize = 32 * PAGE;

/// Pages in a file.
#[derive(Debug)]
pub(crate) struct Base {
    file: Arc<File>,
    /// In the order of memory; what is in none is zero.
    segments: Vec<Segment>,
    /// Of the window.
    pub(super) spare: Spare,
}

/// Pages that follow each other in memory and in a file; all in bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Segment {
    /// In memory.
    start: usize,
    len: usize,
    /// In the file.
    at: usize,
}

impl Segment {
    /// The part of it that lies in a range of memory.
    fn within(&self, range: &Range<usize>) -> Option<Segment> {
        let start = self.start.max(range.start);
        let len =
            (self.start + self.len).min(range.end).checked_sub(start).filter(|len| *len > 0)?;
        Some(Segment { start, len, at: self.at + (start - self.start) })
    }

    fn in_file(&self) -> Range<usize> {
        self.at..self.at + self.len
    }
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

/// A file that memories are written to, such that it can be their base.
pub(crate) struct PageStore<'a> {
    out: &'a mut dyn Write,
    /// Where the next page goes.
    at: usize,
}

impl<'a> PageStore<'a> {
    /// `out` is at a multiple of the size of a page in the file.
    pub(crate) fn new(out: &'a mut dyn Write, at: usize) -> PageStore<'a> {
        PageStore { out, at }
    }

    /// Adds a page of a memory, whose pages come in their order.
    fn put(&mut self, segments: &mut Vec<Segment>, start: usize, page: &[u8]) -> io::Result<()> {
        let last = segments.last_mut().filter(|last| start - (last.start + last.len) <= MAX_GAP);
        match last {
            Some(last) => {
                let gap = start - (last.start + last.len);
                io::copy(&mut io::repeat(0).take(gap as u64), &mut self.out)?;
                last.len += gap + PAGE;
                self.at += gap;
            }
            None => segments.push(Segment { start, len: PAGE, at: self.at }),
        }
        self.out.write_all(page)?;
        self.at += PAGE;
        Ok(())
    }
}

/// What is to be known of a memory whose pages are in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MemoryRecord {
    ranges: Vec<Range<usize>>,
    segments: Vec<Segment>,
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
            if !is_zero(page) {
                image.changed.push(offset);
                image.contents.extend_from_slice(page);
            }
        }
        Ok(image)
    }

    /// An image of the contents of a file, of which a copy is made: a window's.
    pub(crate) fn of_file(file: &OwnedFd, range: Range<usize>) -> io::Result<MemoryImage> {
        let copy = shared_file::create("pglite-image", range.end)?;
        shared_file::copy_range(file, &copy, 0..range.len(), range.start)?;
        let base = Arc::new(Base::whole(copy, range.end));
        Ok(MemoryImage {
            ranges: vec![range],
            base: Some(base),
            changed: Vec::new(),
            contents: Vec::new(),
        })
    }

    /// Writes all pages that are not zero.
    pub(crate) fn write(&self, out: &mut PageStore<'_>) -> io::Result<MemoryRecord> {
        let mut segments = Vec::new();
        let mut changed = self.changed.iter().copied().zip(self.contents.chunks_exact(PAGE));
        let mut next = changed.next();
        for range in &self.ranges {
            // No segment is in two ranges: what is between them is another memory's.
            let mut of_range = Vec::new();
            let mut put = |offset: usize, page: &[u8]| match is_zero(page) {
                true => Ok(()),
                false => out.put(&mut of_range, offset, page),
            };
            if let Some(base) = &self.base {
                base.each_page(range, &mut |offset, page| {
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
            segments.extend(of_range);
        }
        Ok(MemoryRecord { ranges: self.ranges.clone(), segments })
    }

    /// The image that was written to a file of so many bytes.
    pub(crate) fn read(
        record: MemoryRecord,
        file: &Arc<File>,
        len: usize,
    ) -> io::Result<MemoryImage> {
        let MemoryRecord { ranges, segments } = record;
        let mut end = 0;
        for Segment { start, len: segment_len, at } in &segments {
            let is_page = |number: usize| number.is_multiple_of(PAGE);
            let after = start.checked_add(*segment_len);
            let is_in_file = at.checked_add(*segment_len).is_some_and(|end| end <= len);
            let in_range = |range: &Range<usize>| range.start <= *start && after <= Some(range.end);
            if *start < end
                || !is_in_file
                || !ranges.iter().any(in_range)
                || ![*start, *segment_len, *at].into_iter().all(is_page)
            {
                return Err(io::Error::other("the pages of an image are not where they should be"));
            }
            end = start + segment_len;
        }
        let base = Arc::new(Base::new(file.clone(), segments));
        Ok(MemoryImage { ranges, base: Some(base), changed: Vec::new(), contents: Vec::new() })
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
    fn new(file: Arc<File>, segments: Vec<Segment>) -> Base {
        Base { file, segments, spare: Spare::default() }
    }

    /// A file with the offsets of memory, of so many bytes.
    fn whole(file: OwnedFd, len: usize) -> Base {
        Base::new(Arc::new(file.into()), vec![Segment { start: 0, len, at: 0 }])
    }

    /// What a memory begins with, from a file that `xtask/src/assets/data.rs` describes.
    pub(super) fn of_file(file: Arc<File>) -> io::Result<Base> {
        let mut head = [0; PAGE];
        file.read_exact_at(&mut head, 0)?;
        let mut words =
            head.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word) as usize);
        let mut word =
            || words.next().ok_or_else(|| io::Error::other("a memory has too many segments"));
        let mut segments: Vec<Segment> = Vec::new();
        for _ in 0..word()? {
            let at = segments.last().map_or(PAGE, |last| last.at + last.len);
            segments.push(Segment { start: word()?, len: word()?, at });
        }
        Ok(Base::new(file, segments))
    }

    /// The pages of a memory, which was mapped from another base if it was mapped; it is mapped from this
    /// one afterwards.
    fn capture(
        region: &Region,
        ranges: &[Range<usize>],
        page_map: &PageMap,
        before: Option<&Base>,
    ) -> io::Result<Arc<Base>> {
        let len = region.len();
        let base = Base::whole(shared_file::create("pglite-image", len)?, len);
        for range in ranges {
            if let Some(before) = before {
                // Pages that this memory has not touched since are in no page map.
                before.copy_mapped(region, range, &base.file, range.start)?;
            }
            for offset in written(page_map, region, range)? {
                let page = page(region, offset)?;
                if !is_zero(page) {
                    base.file.write_all_at(page, offset as u64)?;
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

    /// Maps what the base has of a range. What it has not stays as it is: zero, or pages that the memory has
    /// written since it was mapped from this base, which count as changed.
    ///
    /// # Safety
    /// As [`Region::map_file`].
    pub(super) unsafe fn map_into(&self, region: &Region, range: &Range<usize>) -> io::Result<()> {
        for part in self.segments.iter().filter_map(|segment| segment.within(range)) {
            // SAFETY: the caller's promise.
            unsafe {
                region.map_file(part.start, part.len, self.file.as_raw_fd(), part.at, false)?
            };
        }
        Ok(())
    }

    /// Copies what the base has of a range to the beginning of an empty file.
    pub(super) fn copy_to(&self, range: &Range<usize>, file: &File) -> io::Result<()> {
        for part in self.segments.iter().filter_map(|segment| segment.within(range)) {
            let place = part.start - range.start;
            shared_file::copy_range(&self.file, file, part.in_file(), place)?;
        }
        Ok(())
    }

    /// Copies what the base has of a range to an empty file, where it begins at `place`, as it is by now in a memory that
    /// is mapped from this base: to read it from there takes no buffer. Pages of zeros become holes.
    pub(crate) fn copy_mapped(
        &self,
        region: &Region,
        range: &Range<usize>,
        file: &File,
        place: usize,
    ) -> io::Result<()> {
        for part in self.segments.iter().filter_map(|segment| segment.within(range)) {
            shared_file::each_data(&self.file, part.in_file(), |data| {
                let start = data.start - part.at + part.start;
                let bytes = region.slice(start as u32, data.len()).map_err(|_| out_of_range())?;
                let mut at = start - range.start + place;
                let pages = bytes.as_chunks::<PAGE>().0;
                for run in pages.chunk_by(|page, next| is_zero(page) == is_zero(next)) {
                    if !is_zero(&run[0]) {
                        file.write_all_at(run.as_flattened(), at as u64)?;
                    }
                    at += size_of_val(run);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Calls `each` with the pages that the base has of a range, in their order; not with those in holes.
    fn each_page(
        &self,
        range: &Range<usize>,
        each: &mut dyn FnMut(usize, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for part in self.segments.iter().filter_map(|segment| segment.within(range)) {
            shared_file::each_block(&self.file, part.in_file(), PAGE, |at, page| {
                each(at - part.at + part.start, page)
            })?;
        }
        Ok(())
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

/// As fast without optimisation: slices are compared by a function of the C library.
fn is_zero(page: &[u8]) -> bool {
    page == &[0; PAGE][..]
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

    /// Writes an image to a file, behind something else.
    fn saved(image: &MemoryImage) -> (Arc<File>, usize, MemoryRecord) {
        let mut bytes = vec![7; PAGE];
        let record = image.write(&mut PageStore::new(&mut bytes, PAGE)).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (Arc::new(file), bytes.len(), record)
    }

    #[test]
    fn a_copy_from_a_file_has_what_was_written() {
        let region = memory();
        let ranges = vec![0..1024 * PAGE, 2048 * PAGE..PAGES * PAGE];
        // Pages beside each other, with a small gap, at the ends of ranges, far away.
        let pages = [3, 4, 9, 1023, 2048, 3000, 4095];
        for page in pages {
            write(&region, page, "here");
        }
        // In none of the ranges.
        write(&region, 1500, "else");
        let mut base = None;
        let image = MemoryImage::capture(&region, ranges, &mut base, Use::Once).unwrap();
        let (file, len, record) = saved(&image);
        assert_eq!(record.segments.len(), 5, "{record:?}");
        assert_eq!(len, PAGE + (pages.len() + 4) * PAGE, "with four pages of zeros in a gap");

        let loaded = MemoryImage::read(record, &file, len).unwrap();
        let copy = memory();
        // SAFETY: no guest has this memory.
        unsafe { loaded.restore(&copy).unwrap() };
        for page in 0..PAGES {
            let expected = if pages.contains(&page) { "here" } else { "\0\0\0\0" };
            assert_eq!(read(&copy, page), expected, "page {page}");
        }

        // An image of the copy, with pages that it has changed: in a segment, in a gap, and beside all.
        for page in [4, 6, 600] {
            write(&copy, page, "more");
        }
        let mut base = loaded.base();
        let ranges = vec![0..1024 * PAGE, 2048 * PAGE..PAGES * PAGE];
        let image = MemoryImage::capture(&copy, ranges, &mut base, Use::ManyTimes).unwrap();
        assert!(Arc::ptr_eq(&loaded.base().unwrap(), &image.base().unwrap()));
        let (file, len, record) = saved(&image);
        let again = memory();
        // SAFETY: no guest has this memory.
        unsafe { MemoryImage::read(record, &file, len).unwrap().restore(&again).unwrap() };
        for page in 0..PAGES {
            assert_eq!(read(&again, page), read(&copy, page), "page {page}");
        }
    }

    #[test]
    fn pages_outside_of_file_or_memory_are_refused() {
        let region = memory();
        write(&region, 10, "here");
        write(&region, 500, "here");
        let all = 0..PAGES * PAGE;
        let image = MemoryImage::capture(&region, vec![all], &mut None, Use::Once).unwrap();
        type Change = fn(&mut MemoryRecord);
        let changes: [(&str, Change); 7] = [
            ("behind the file", |record| record.segments[1].at += PAGE),
            ("longer than the file", |record| record.segments[1].len += PAGE),
            ("behind the memory", |record| record.segments[1].start = PAGES * PAGE),
            ("in the wrong order", |record| record.segments.swap(0, 1)),
            ("over another", |record| record.segments[1].start = record.segments[0].start),
            ("between pages", |record| record.segments[0].start += 8),
            ("too large for an address", |record| record.segments[1].len = usize::MAX & !4095),
        ];
        for (what, change) in changes {
            let (file, len, mut record) = saved(&image);
            change(&mut record);
            assert!(MemoryImage::read(record, &file, len).is_err(), "{what}");
        }
        let (file, len, record) = saved(&image);
        assert!(MemoryImage::read(record, &file, len).is_ok());
    }
}
