//! Which pages of this host process are anonymous: Documentation/admin-guide/mm/pagemap.rst of Linux.
//!
//! A page of a private mapping of a file becomes anonymous when it is written to. Linux 6.7 and later are asked
//! for those alone; older ones for an entry of every page there is, which takes a millisecond for 512 MB.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::image::PAGE;

/// The page map of this host process.
#[derive(Debug)]
pub(super) struct PageMap {
    file: File,
    can_scan: AtomicBool,
}

impl PageMap {
    /// None where there is none, or its pages are not of our size.
    pub(super) fn get() -> Option<&'static PageMap> {
        static PAGE_MAP: OnceLock<Option<PageMap>> = OnceLock::new();
        PAGE_MAP.get_or_init(PageMap::open).as_ref()
    }

    fn open() -> Option<PageMap> {
        // SAFETY: no pointers.
        let page_size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        if !cfg!(target_os = "linux") || page_size != PAGE as libc::c_long {
            return None;
        }
        let file = File::open("/proc/self/pagemap").ok()?;
        Some(PageMap { file, can_scan: AtomicBool::new(true) })
    }

    /// The addresses of all anonymous pages in a range of addresses, in their order.
    pub(super) fn anonymous(&self, addresses: Range<usize>) -> io::Result<Vec<usize>> {
        if self.can_scan.load(Ordering::Relaxed) {
            match scan(&self.file, addresses.clone()) {
                Ok(pages) => return Ok(pages),
                // Not known, or forbidden by a filter of system calls.
                Err(_) => self.can_scan.store(false, Ordering::Relaxed),
            }
        }
        read(&self.file, addresses)
    }
}

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region` of the same.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct ScanRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u64 =
    3 << 30 | (size_of::<ScanArguments>() as u64) << 16 | (b'f' as u64) << 8 | 16;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
/// The page of zeros, which is there for who has only read.
const PAGE_IS_PFNZERO: u64 = 1 << 5;

fn scan(file: &File, addresses: Range<usize>) -> io::Result<Vec<usize>> {
    let mut regions = [ScanRegion::default(); 256];
    let mut pages = Vec::new();
    let mut start = addresses.start;
    while start < addresses.end {
        let mut arguments = ScanArguments {
            size: size_of::<ScanArguments>() as u64,
            start: start as u64,
            end: addresses.end as u64,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            // Present or swapped, and neither a file's nor only read.
            category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
            category_mask: PAGE_IS_FILE | PAGE_IS_PFNZERO,
            category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            return_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            ..ScanArguments::default()
        };
        // SAFETY: both structures are those of the kernel's interface, and `regions` has the length that
        // the arguments say.
        let found = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN as _, &raw mut arguments) };
        let found = usize::try_from(found).map_err(|_| io::Error::last_os_error())?;
        for region in &regions[..found.min(regions.len())] {
            pages.extend((region.start as usize..region.end as usize).step_by(PAGE));
        }
        let end = arguments.walk_end as usize;
        if end <= start {
            return Err(io::Error::other("the page map was not walked"));
        }
        start = end;
    }
    Ok(pages)
}

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE_BACKED: u64 = 1 << 61;

/// Entries that are read at once.
const ENTRIES: usize = 1 << 13;

fn read(file: &File, addresses: Range<usize>) -> io::Result<Vec<usize>> {
    let mut pages = Vec::new();
    let mut bytes = vec![0u8; ENTRIES * 8];
    let mut address = addresses.start;
    while address < addresses.end {
        let count = ((addresses.end - address) / PAGE).min(ENTRIES);
        let bytes = &mut bytes[..count * 8];
        file.read_exact_at(bytes, (address / PAGE * 8) as u64)?;
        for entry in bytes.chunks_exact(8) {
            let entry = u64::from_ne_bytes(entry.try_into().expect("chunks of 8 bytes"));
            if entry & SWAPPED != 0 || entry & (PRESENT | FILE_BACKED) == PRESENT {
                pages.push(address);
            }
            address += PAGE;
        }
    }
    Ok(pages)
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test that fails here says where")]
mod tests {
    use super::*;
    use crate::kernel::image::{MemoryImage, Use};
    use crate::kernel::memory::Region;

    const PAGES: usize = 4096;

    /// By both ways, as far as this kernel has them.
    fn found(region: &Region) -> Vec<usize> {
        let map = PageMap::get().unwrap();
        let addresses = region.base()..region.base() + PAGES * PAGE;
        let read = read(&map.file, addresses.clone()).unwrap();
        if let Ok(scanned) = scan(&map.file, addresses) {
            assert_eq!(scanned, read);
        }
        read.into_iter().map(|address| (address - region.base()) / PAGE).collect()
    }

    #[test]
    fn it_finds_what_was_written() {
        let region = Region::new(PAGES * PAGE).unwrap();
        // More runs than are asked for at once.
        let written: Vec<usize> =
            (0..PAGES).filter(|page| page % 7 == 0 || page % 100 < 3).collect();
        for page in &written {
            region.write((page * PAGE) as u32, b"x").unwrap();
        }
        assert_eq!(found(&region), written);
    }

    #[test]
    fn what_was_only_read_is_a_file_s() {
        let region = Region::new(PAGES * PAGE).unwrap();
        region.write(0, &[1; 100 * PAGE]).unwrap();
        let all = 0..PAGES * PAGE;
        MemoryImage::capture(&region, vec![all], &mut None, Use::Once).unwrap();
        assert_eq!(region.slice(5 * PAGE as u32, 1).unwrap(), [1]);
        region.write(7 * PAGE as u32, b"x").unwrap();
        assert_eq!(found(&region), [7]);
    }
}
