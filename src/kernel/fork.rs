//! Copying a process's memory for a child: an image of it, which most often is the one of the fork before
//! and about twenty pages.

use std::io;
use std::sync::Arc;

use super::image::{Base, MemoryImage, Use};
use super::memory::Region;
use super::window::Window;

/// Makes the memory of a child, with the window in place if there is one. `base` is what the parent's
/// memory is mapped from, and the child's afterwards.
///
/// The calling thread must be the parent's own, in a kernel call: its guest code does not run.
pub(crate) fn copy_memory(
    parent: &Region,
    window: Option<&Window>,
    base: &mut Option<Arc<Base>>,
) -> io::Result<Region> {
    let ranges = match window {
        Some(window) => window.private_ranges(parent.len()),
        None => std::iter::once(0..parent.len()).collect(),
    };
    let image = MemoryImage::capture(parent, ranges, base, Use::Once)?;
    let child = Region::new(parent.len())?;
    // SAFETY: the child's guest has not started.
    unsafe { image.restore(&child)? };
    if let Some(window) = window {
        window.map_into(&child)?;
    }
    Ok(child)
}
