//! The window: memory that every process of a cluster shares, at the same guest address.
//!
//! A cluster that was made from an image begins with one process. As long as there is no other, its window
//! is its own, mapped copy-on-write from the image; before a second process starts, the first makes it one
//! that can be shared ([`Window::share`]), in a kernel call.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::image::{Base, MemoryImage, PAGE, Use, written_pages};
use super::memory::Region;
use super::shared_file;
use super::spare::Spare;

/// One window of one cluster.
#[derive(Debug)]
pub(crate) struct Window {
    /// Guest address, a multiple of the host's page size.
    start: usize,
    len: usize,
    backing: Mutex<Backing>,
    changed: Condvar,
}

#[derive(Debug)]
enum Backing {
    /// A file that processes map.
    Shared(OwnedFd),
    /// Pages of the cluster's one process, and what they were mapped from.
    Single(Option<Arc<Base>>),
}

impl Window {
    /// Fresh, zero memory; pages take no room until they are written.
    pub(crate) fn new(start: usize, len: usize) -> io::Result<Window> {
        let file = shared_file::create("pglite-window", len)?;
        Ok(Window::with(start, len, Backing::Shared(file)))
    }

    /// A window that one process has by itself: [`MemoryImage::restore`] puts it there.
    pub(crate) fn of_image(range: Range<usize>, image: &MemoryImage) -> Window {
        Window::with(range.start, range.len(), Backing::Single(image.base()))
    }

    fn with(start: usize, len: usize, backing: Backing) -> Window {
        Window { start, len, backing: Mutex::new(backing), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Backing> {
        self.backing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start + self.len
    }

    /// The private part of a memory: all but the window.
    pub(crate) fn private_ranges(&self, len: usize) -> Vec<Range<usize>> {
        vec![0..self.start, self.start + self.len..len]
    }

    /// Makes the window visible in a process's memory.
    pub(crate) fn map_into(&self, region: &Region) -> io::Result<()> {
        match &*self.lock() {
            Backing::Shared(file) => self.map(region, file),
            Backing::Single(_) => Err(io::Error::other("the window is not shared yet")),
        }
    }

    fn map(&self, region: &Region, file: &OwnedFd) -> io::Result<()> {
        // SAFETY: the guest announces the window before it keeps anything in it, a forked memory has no
        // running guest yet, and `share` is called by the guest's own thread in a kernel call that
        // uses no guest memory.
        unsafe { region.map_file(self.start, self.len, file.as_raw_fd(), 0, true) }
    }

    /// Makes the window of a cluster's one process one that others can map, too. With `has_likes` there may be other
    /// clusters of the same image that will need that soon.
    ///
    /// To be called by the thread of that process, in a kernel call that does not use its memory.
    pub(crate) fn share(&self, region: &Region, has_likes: bool) -> io::Result<()> {
        let mut backing = self.lock();
        let Backing::Single(base) = &*backing else { return Ok(()) };
        let range = self.range();
        let spare = base.as_ref().filter(|_| has_likes).and_then(|base| Spare::take(base, &range));
        let file = match spare {
            Some(file) => file,
            None => {
                let file = File::from(shared_file::create("pglite-window", self.len)?);
                if let Some(base) = base {
                    base.copy_mapped(region, &range, &file, 0)?;
                }
                file
            }
        };
        for offset in written_pages(region, &range)? {
            let page = region
                .slice(offset as u32, PAGE)
                .map_err(|_| io::Error::other("the window lies outside of memory"))?;
            file.write_all_at(page, (offset - self.start) as u64)?;
        }
        let shared = OwnedFd::from(file);
        self.map(region, &shared)?;
        *backing = Backing::Shared(shared);
        self.changed.notify_all();
        Ok(())
    }

    /// Makes the window of a cluster whose other processes are gone that of one process alone, whose memory
    /// this is, and which does not run. `image` is of its contents.
    pub(crate) fn make_single(&self, region: &Region, image: &MemoryImage) -> io::Result<()> {
        let mut backing = self.lock();
        // SAFETY: the guest does not run, and nothing in the kernel uses its window but itself.
        unsafe { image.restore(region)? };
        *backing = Backing::Single(image.base());
        Ok(())
    }

    pub(crate) fn is_shared(&self) -> bool {
        matches!(*self.lock(), Backing::Shared(_))
    }

    /// Waits until it is shared; false if time ran out.
    pub(crate) fn wait_shared(&self, timeout: Duration) -> bool {
        let single = |backing: &mut Backing| matches!(backing, Backing::Single(_));
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, single);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// An image of its contents. No process may run; `region` is the memory of one of them.
    pub(crate) fn capture(&self, region: &Region, usage: Use) -> io::Result<MemoryImage> {
        match &mut *self.lock() {
            Backing::Shared(file) => MemoryImage::of_file(file, self.range()),
            Backing::Single(base) => MemoryImage::capture(region, vec![self.range()], base, usage),
        }
    }
}
