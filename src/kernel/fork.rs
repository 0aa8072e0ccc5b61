//! Copying a process's memory for a child.
//!
//! On Linux the first fork writes the parent's private pages to an anonymous file and remaps the parent
//! itself copy-on-write over it. From then on a page that is anonymous in the parent's page map is one
//! that it has changed since, and a fork copies only those (about twenty for a postmaster). Elsewhere,
//! or where the page map cannot be read, each fork copies the pages that are not zero.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use super::memory::Region;
use super::shared_file;
use super::window::Window;

const PAGE: usize = 4096;

/// More changed pages than this, and a new image is cheaper than copying them for every child.
const MAX_CHANGED_PAGES: usize = 256;

/// The parent's memory at its first fork.
#[derive(Debug)]
pub(crate) struct ForkImage {
    pid: i32,
    fd: OwnedFd,
    len: usize,
}

/// Makes the memory of a child of process `pid`, with the window in place.
///
/// The calling thread must be the parent's own, in a kernel call: its guest code does not run.
pub(crate) fn copy_memory(
    pid: i32,
    parent: &Region,
    window: &Window,
    image: &mut Option<ForkImage>,
) -> io::Result<Region> {
    let child = Region::new(parent.len())?;
    let copied = match page_map() {
        Some(page_map) => copy_on_write(pid, parent, &child, window, image, page_map)?,
        None => false,
    };
    if !copied {
        copy_pages(parent, &child, window)?;
    }
    window.map_into(&child)?;
    Ok(child)
}

/// The private part of a memory: all but the window.
fn private_ranges(len: usize, window: &Window) -> [Range<usize>; 2] {
    [0..window.start(), window.end()..len]
}

fn copy_on_write(
    pid: i32,
    parent: &Region,
    child: &Region,
    window: &Window,
    image: &mut Option<ForkImage>,
    page_map: &File,
) -> io::Result<bool> {
    for _ in 0..2 {
        // Growing memory makes the image too short for the new pages; they count as changed.
        let current = match image {
            Some(current) if current.pid == pid => current,
            _ => image.insert(ForkImage::capture(pid, parent, window, page_map)?),
        };
        let changed = current.changed_pages(parent, window, page_map)?;
        if changed.len() <= MAX_CHANGED_PAGES {
            current.map_into(child, window)?;
            for offset in changed {
                let page = parent.slice(offset as u32, PAGE).map_err(|_| out_of_range())?;
                child.write(offset as u32, page).map_err(|_| out_of_range())?;
            }
            return Ok(true);
        }
        *image = None;
    }
    Ok(false)
}

impl ForkImage {
    fn capture(
        pid: i32,
        parent: &Region,
        window: &Window,
        page_map: &File,
    ) -> io::Result<ForkImage> {
        let len = parent.len();
        let image = ForkImage { pid, fd: shared_file::create("pglite-image", len)?, len };
        let file = File::from(image.fd.try_clone()?);
        for range in private_ranges(len, window) {
            let entries = read_page_map(page_map, parent.base() + range.start, range.len() / PAGE)?;
            for (index, entry) in entries.into_iter().enumerate() {
                let offset = range.start + index * PAGE;
                if entry & (PRESENT | SWAPPED) == 0 {
                    continue;
                }
                let page = parent.slice(offset as u32, PAGE).map_err(|_| out_of_range())?;
                if page.iter().any(|byte| *byte != 0) {
                    file.write_all_at(page, offset as u64)?;
                }
            }
        }
        image.map_into(parent, window)?;
        Ok(image)
    }

    fn map_into(&self, region: &Region, window: &Window) -> io::Result<()> {
        for range in private_ranges(self.len, window) {
            // SAFETY: the parent's guest waits in the call that led here and the kernel keeps no
            // reference into its memory; the child's has not started. Contents stay the same.
            unsafe {
                region.map_file(
                    range.start,
                    range.len(),
                    self.fd.as_raw_fd(),
                    range.start,
                    false,
                )?;
            }
        }
        Ok(())
    }

    fn changed_pages(
        &self,
        parent: &Region,
        window: &Window,
        page_map: &File,
    ) -> io::Result<Vec<usize>> {
        let mut changed = Vec::new();
        for range in private_ranges(parent.len(), window) {
            let entries = read_page_map(page_map, parent.base() + range.start, range.len() / PAGE)?;
            for (index, entry) in entries.into_iter().enumerate() {
                let anonymous = entry & SWAPPED != 0 || entry & (PRESENT | FILE_BACKED) == PRESENT;
                if anonymous {
                    changed.push(range.start + index * PAGE);
                }
            }
        }
        Ok(changed)
    }
}

/// The portable way.
fn copy_pages(parent: &Region, child: &Region, window: &Window) -> io::Result<()> {
    for range in private_ranges(parent.len(), window) {
        for offset in range.step_by(PAGE) {
            let page = parent.slice(offset as u32, PAGE).map_err(|_| out_of_range())?;
            if page.iter().any(|byte| *byte != 0) {
                child.write(offset as u32, page).map_err(|_| out_of_range())?;
            }
        }
    }
    Ok(())
}

fn out_of_range() -> io::Error {
    io::Error::other("a page lies outside of the memory it belongs to")
}

// Bits of an entry of /proc/self/pagemap: Documentation/admin-guide/mm/pagemap.rst of Linux.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE_BACKED: u64 = 1 << 61;

/// The page map of this host process, where there is one whose pages are of our size.
fn page_map() -> Option<&'static File> {
    static PAGE_MAP: OnceLock<Option<File>> = OnceLock::new();
    PAGE_MAP
        .get_or_init(|| {
            // SAFETY: no pointers.
            let page_size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            if !cfg!(target_os = "linux") || page_size != PAGE as libc::c_long {
                return None;
            }
            File::open("/proc/self/pagemap").ok()
        })
        .as_ref()
}

fn read_page_map(page_map: &File, address: usize, pages: usize) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0u8; pages * 8];
    page_map.read_exact_at(&mut bytes, (address / PAGE * 8) as u64)?;
    Ok(bytes
        .chunks_exact(8)
        .map(|entry| u64::from_ne_bytes(entry.try_into().expect("chunks of 8 bytes")))
        .collect())
}
