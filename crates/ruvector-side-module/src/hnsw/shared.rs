//! A graph that several processes build in memory they share.

use ruvector_core::Result;
use ruvector_core::hnsw::shared::{Codes, ROWS, Shared};
use ruvector_core::hnsw::{Lists, Workspace};

use super::build::{Builder, Built, Graph};
use super::give_object;
use super::insert::Settings;
use super::kernel::Kernel;

unsafe extern "C" {
    /// Sleeps for a moment, as another process holds a lock that does not run.
    fn hnsw_pause();
}

/// Times that a lock is looked at before the process sleeps.
const ATTEMPTS: u32 = 100;

impl Codes for Kernel {
    #[inline]
    fn order(self, a: &[u8], b: &[u8]) -> f32 {
        Self::order(&self, a, b)
    }

    fn wait(self, attempts: u32) {
        if attempts.is_multiple_of(ATTEMPTS) {
            // SAFETY: it needs nothing, and raises nothing.
            unsafe { hnsw_pause() };
        } else {
            core::hint::spin_loop();
        }
    }
}

/// The graph as one of the processes has it.
pub(super) struct SharedGraph {
    kernel: Kernel,
    highest: u8,
    graph: Shared<'static>,
    workspace: Workspace,
}

impl SharedGraph {
    pub(super) fn add(&mut self, code: &[u8], row: u64) -> Result<bool> {
        let level = self.graph.level_of(row, self.highest);
        self.graph.add(self.kernel, code, row, level, &mut self.workspace)
    }
}

impl Built for SharedGraph {
    fn code(&self, element: u32) -> Option<&[u8]> {
        self.graph.code(element)
    }

    fn rows(&self, element: u32) -> Option<([u64; ROWS], u8)> {
        let (rows, count) = self.graph.rows(element);
        Some((rows, count as u8))
    }
}

impl Lists for SharedGraph {
    fn count(&self) -> u32 {
        self.graph.count()
    }

    fn level(&self, element: u32) -> Option<u8> {
        self.graph.level(element)
    }

    fn entry(&self) -> Option<u32> {
        self.graph.entry()
    }

    fn each_link(&self, element: u32, layer: u8, see: impl FnMut(u32, f32)) {
        self.graph.each_link(element, layer, see);
    }

    fn distance(&self, a: u32, b: u32) -> f32 {
        let (a, b) = (self.graph.code(a), self.graph.code(b));
        a.zip(b).map_or(f32::INFINITY, |(a, b)| self.kernel.order(a, b))
    }

    fn room(&self) -> usize {
        self.graph.room()
    }

    fn put(&mut self, element: u32, at: usize, link: u32, distance: f32) {
        self.graph.put(element, at, link, distance);
    }
}

/// Begins a graph in shared memory: [`ruvector_hnsw_shared_attach`] is then called, in this process too.
///
/// # Safety
/// `settings` can be read. The memory is aligned to 64 bytes, has room for a few of them, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_shared_create(
    settings: *const Settings,
    code_length: usize,
    memory: *mut u8,
    size: usize,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let Ok(options) = (*settings).options() else { return false };
        Shared::create(memory, size, options, code_length);
    }
    true
}

/// A graph in shared memory; null if there is no memory of this process left.
///
/// # Safety
/// `settings` can be read, and stay what they are. They and the others are those that the graph was begun with, whose
/// memory stays until this object is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_shared_attach(
    settings: *const Settings,
    code_length: usize,
    highest_level: u32,
    memory: *mut u8,
    size: usize,
) -> *mut Builder {
    // SAFETY: the caller's promise.
    unsafe {
        let settings = &*settings;
        let (Ok(options), Ok(workspace)) = (settings.options(), Workspace::new()) else {
            return core::ptr::null_mut();
        };
        let graph = Shared::attach(memory, size, options, code_length);
        let (kernel, highest) = (settings.kernel(), highest_level as u8);
        let shared = SharedGraph { kernel, highest, graph, workspace };
        give_object(Builder::new(Graph::Shared(shared)))
    }
}

/// Fills all that the graph has used with zeros.
///
/// # Safety
/// The builder is one of C's, and nobody uses its graph any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_shared_wipe(builder: *const Builder) {
    // SAFETY: the caller's promise.
    unsafe {
        if let Graph::Shared(shared) = &(*builder).graph {
            shared.graph.wipe();
        }
    }
}

/// Copies the graph to larger memory, where all have to attach anew.
///
/// # Safety
/// The builder is one of C's, and nobody else uses its graph. The memory is as for [`ruvector_hnsw_shared_create`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_shared_move(
    builder: *const Builder,
    memory: *mut u8,
    size: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if let Graph::Shared(shared) = &(*builder).graph {
            shared.graph.move_to(memory, size);
        }
    }
}

/// Has this process to be the only one while it adds a row?
///
/// # Safety
/// The builder is one of C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_shared_alone(builder: *const Builder, row: u64) -> bool {
    // SAFETY: the caller's promise.
    match unsafe { &(*builder).graph } {
        Graph::Shared(shared) => {
            let level = shared.graph.level_of(row, shared.highest);
            shared.graph.needs_to_be_alone(level)
        }
        Graph::Own(_) => false,
    }
}
