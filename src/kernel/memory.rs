//! Linear memory of a process.
//!
//! A memory is an address range reserved once, of which the first `len` bytes are accessible. It never
//! moves: compiled code keeps the base address in a register. What backs a page is our choice, which
//! is how the shared window and copy-on-write forks come about.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use wasmer::sys::vm::{
    LinearMemory, MemoryStyle, TableStyle, Trap, TrapCode, VMConfig, VMMemory, VMMemoryDefinition,
    VMTable, VMTableDefinition,
};
use wasmer::sys::{BaseTunables, Tunables};
use wasmer::{MemoryError, MemoryType, Pages, TableType};

use super::errno::Errno;

/// Bytes of a Wasm page.
pub(crate) const WASM_PAGE: usize = 65536;

/// Addresses reserved for a memory: 4 GiB of index, 4 GiB of static offset, and room for the widest
/// access past them, so that compiled code needs no bounds checks.
const RESERVATION: usize = (8 << 30) + WASM_PAGE;

/// The end of what a 32-bit index reaches.
const MAX_LEN: usize = 4 << 30;

/// Native stack of a guest process: lazily committed. Large against what Postgres' own stack-depth
/// check lets through, see `PGL_FRAME_SIZE` in assets/wasix/port/wasix.h.
const NATIVE_STACK: usize = 256 << 20;

/// An address range that holds a linear memory.
pub(crate) struct Region {
    base: NonNull<u8>,
    len: AtomicUsize,
}

// SAFETY: the range stays mapped as long as the region lives, and access to its bytes is either atomic
// or made by the one thread that runs the guest (see `Region::slice_mut`).
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("base", &self.base).field("len", &self.len).finish()
    }
}

impl Region {
    /// Reserves addresses and makes the first `len` bytes accessible and zero.
    pub(crate) fn new(len: usize) -> io::Result<Region> {
        // SAFETY: a new anonymous mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                RESERVATION,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base =
            NonNull::new(base.cast()).expect("mmap without MAP_FIXED never returns address 0");
        let region = Region { base, len: AtomicUsize::new(0) };
        region.grow_to(len)?;
        Ok(region)
    }

    pub(crate) fn base(&self) -> usize {
        self.base.as_ptr() as usize
    }

    /// Accessible bytes.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    fn grow_to(&self, len: usize) -> io::Result<()> {
        let old = self.len();
        if len > MAX_LEN {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        if len > old {
            // SAFETY: `old..len` lies in our own reservation.
            let result = unsafe {
                libc::mprotect(
                    self.base.as_ptr().add(old).cast(),
                    len - old,
                    libc::PROT_READ | libc::PROT_WRITE,
                )
            };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
            self.len.store(len, Ordering::Release);
        }
        Ok(())
    }

    /// Maps `len` bytes of the file at `file_offset` over `offset..`, shared or copy-on-write.
    ///
    /// # Safety
    /// No reference into that range may be alive, and compiled code must not run in it.
    pub(crate) unsafe fn map_file(
        &self,
        offset: usize,
        len: usize,
        fd: libc::c_int,
        file_offset: usize,
        shared: bool,
    ) -> io::Result<()> {
        assert!(offset + len <= self.len(), "only accessible memory is ever remapped");
        if len == 0 {
            return Ok(());
        }
        let kind = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE | libc::MAP_NORESERVE };
        // SAFETY: the range lies in our own reservation; the caller vouches for its users.
        let address = unsafe {
            libc::mmap(
                self.base.as_ptr().add(offset).cast(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                kind | libc::MAP_FIXED,
                fd,
                file_offset as libc::off_t,
            )
        };
        if address == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Makes every access from now on a fault.
    pub(crate) fn make_inaccessible(&self) {
        // SAFETY: our own reservation. Who would use it is the guest, which traps, and kernel calls of its
        // thread, of which there are none: see `Process::execute`. A failure leaves things as they are.
        unsafe { libc::mprotect(self.base.as_ptr().cast(), RESERVATION, libc::PROT_NONE) };
    }

    /// The address of `len` bytes at `at`, checked against the accessible part.
    fn check(&self, at: u32, len: usize) -> Result<*mut u8, Errno> {
        match (at as usize).checked_add(len) {
            // SAFETY: inside the mapping, just checked.
            Some(end) if end <= self.len() => Ok(unsafe { self.base.as_ptr().add(at as usize) }),
            _ => Err(Errno::FAULT),
        }
    }

    /// Guest memory as bytes, for the length of one kernel call.
    ///
    /// The guest whose memory this is waits for the call to return, so nothing else touches its private
    /// memory. Bytes of the shared window may be changed by other processes meanwhile, as with any
    /// system call on shared memory; they are only handed to I/O calls, or copied.
    #[allow(clippy::mut_from_ref)]
    pub(crate) fn slice_mut(&self, at: u32, len: usize) -> Result<&mut [u8], Errno> {
        let start = self.check(at, len)?;
        // SAFETY: the range is accessible, and exclusive in the sense explained above.
        Ok(unsafe { std::slice::from_raw_parts_mut(start, len) })
    }

    pub(crate) fn slice(&self, at: u32, len: usize) -> Result<&[u8], Errno> {
        self.slice_mut(at, len).map(|bytes| &*bytes)
    }

    pub(crate) fn text(&self, at: u32, len: u32) -> Result<&str, Errno> {
        std::str::from_utf8(self.slice(at, len as usize)?).map_err(|_| Errno::INVAL)
    }

    pub(crate) fn read<const N: usize>(&self, at: u32) -> Result<[u8; N], Errno> {
        Ok(self.slice(at, N)?.try_into().expect("the slice has N bytes"))
    }

    pub(crate) fn read_u32(&self, at: u32) -> Result<u32, Errno> {
        self.read(at).map(u32::from_le_bytes)
    }

    pub(crate) fn read_u64(&self, at: u32) -> Result<u64, Errno> {
        self.read(at).map(u64::from_le_bytes)
    }

    pub(crate) fn write(&self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        self.slice_mut(at, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn write_u32(&self, at: u32, value: u32) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&self, at: u32, value: u64) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    /// A word that host threads and compiled code both access atomically.
    pub(crate) fn atomic(&self, at: u32) -> Result<&AtomicU32, Errno> {
        let address = self.check(at, 4)?;
        if !address.addr().is_multiple_of(4) {
            return Err(Errno::FAULT);
        }
        // SAFETY: accessible for as long as `self`, aligned, and only accessed atomically.
        Ok(unsafe { AtomicU32::from_ptr(address.cast()) })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: our own reservation; whoever could use it holds a reference to `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), RESERVATION) };
    }
}

/// Where an instance has its memory: in a region, which can be another one as long as no code of it runs.
#[derive(Debug)]
pub(crate) struct Seat {
    place: Mutex<Place>,
    /// The region already has its contents, and the data segments of modules must not overwrite them.
    has_contents: AtomicBool,
}

#[derive(Debug)]
struct Place {
    region: Arc<Region>,
    /// What compiled code reads, in the instance. None before there is one.
    definition: Option<NonNull<VMMemoryDefinition>>,
}

// SAFETY: the definition belongs to the instance that has this memory, moves with its store, and is written with
// `Seat::place` locked only.
unsafe impl Send for Place {}

impl Place {
    /// Tells compiled code where memory is, and how much.
    fn publish(&self) {
        if let Some(definition) = self.definition {
            let value = VMMemoryDefinition {
                base: self.region.base.as_ptr(),
                current_length: self.region.len(),
            };
            // SAFETY: Wasmer has handed out the place for it in the instance, which owns the memory that owns this.
            unsafe { definition.as_ptr().write(value) };
        }
    }
}

impl Seat {
    pub(crate) fn new(region: Arc<Region>, has_contents: bool) -> Seat {
        let place = Mutex::new(Place { region, definition: None });
        Seat { place, has_contents: AtomicBool::new(has_contents) }
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instance goes on in another memory. No code of it may be running: who calls this has its store.
    pub(crate) fn move_to(&self, region: Arc<Region>) {
        let before = {
            let mut place = self.lock();
            let before = std::mem::replace(&mut place.region, region);
            place.publish();
            before
        };
        // Takes its time if it is the last of that memory.
        drop(before);
    }

    pub(crate) fn set_has_contents(&self, has_contents: bool) {
        self.has_contents.store(has_contents, Ordering::Relaxed);
    }
}

/// Tells Wasmer to use a seat's region as the memory of the next instance.
pub(crate) struct ProcessTunables {
    base: BaseTunables,
    seat: Arc<Seat>,
    config: VMConfig,
}

impl ProcessTunables {
    pub(crate) fn new(seat: Arc<Seat>) -> ProcessTunables {
        ProcessTunables {
            base: BaseTunables::new(),
            seat,
            config: VMConfig { wasm_stack_size: Some(NATIVE_STACK) },
        }
    }

    fn memory(
        &self,
        ty: &MemoryType,
        definition: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        let minimum = ty.minimum.0 as usize * WASM_PAGE;
        let mut place = self.seat.lock();
        place.region.grow_to(minimum).map_err(|error| MemoryError::Region(error.to_string()))?;
        place.definition = Some(definition);
        place.publish();
        let memory = ProcessMemory { seat: self.seat.clone(), definition, ty: *ty };
        Ok(VMMemory::from_custom(Box::new(memory) as Box<dyn LinearMemory + Send + Sync>))
    }
}

impl Tunables for ProcessTunables {
    fn memory_style(&self, memory: &MemoryType) -> MemoryStyle {
        self.base.memory_style(memory)
    }

    fn table_style(&self, table: &TableType) -> TableStyle {
        self.base.table_style(table)
    }

    fn create_host_memory(&self, _: &MemoryType, _: &MemoryStyle) -> Result<VMMemory, MemoryError> {
        Err(MemoryError::UnsupportedOperation {
            message: "a process has the one memory that its module defines".into(),
        })
    }

    unsafe fn create_vm_memory(
        &self,
        ty: &MemoryType,
        _: &MemoryStyle,
        definition: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        self.memory(ty, definition)
    }

    fn create_host_table(&self, ty: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        self.base.create_host_table(ty, style)
    }

    unsafe fn create_vm_table(
        &self,
        ty: &TableType,
        style: &TableStyle,
        definition: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        // SAFETY: the caller's promise is passed on.
        unsafe { self.base.create_vm_table(ty, style, definition) }
    }

    fn vmconfig(&self) -> &VMConfig {
        &self.config
    }
}

/// A seat as Wasmer sees it.
#[derive(Debug)]
struct ProcessMemory {
    seat: Arc<Seat>,
    definition: NonNull<VMMemoryDefinition>,
    ty: MemoryType,
}

// SAFETY: the definition belongs to the instance that owns this memory, and moves with its store.
unsafe impl Send for ProcessMemory {}
// SAFETY: as above; it is only handed out, to Wasmer.
unsafe impl Sync for ProcessMemory {}

impl LinearMemory for ProcessMemory {
    fn ty(&self) -> MemoryType {
        MemoryType { minimum: self.size(), ..self.ty }
    }

    fn size(&self) -> Pages {
        Pages((self.seat.lock().region.len() / WASM_PAGE) as u32)
    }

    fn style(&self) -> MemoryStyle {
        MemoryStyle::Static
    }

    fn grow(&mut self, delta: Pages) -> Result<Pages, MemoryError> {
        let place = self.seat.lock();
        let old = Pages((place.region.len() / WASM_PAGE) as u32);
        let len = (old.0 as usize + delta.0 as usize) * WASM_PAGE;
        place
            .region
            .grow_to(len)
            .map_err(|_| MemoryError::CouldNotGrow { current: old, attempted_delta: delta })?;
        place.publish();
        Ok(old)
    }

    fn vmmemory(&self) -> NonNull<VMMemoryDefinition> {
        self.definition
    }

    fn try_clone(&self) -> Result<Box<dyn LinearMemory + Send + Sync>, MemoryError> {
        Err(not_copyable())
    }

    fn copy(&self) -> Result<Box<dyn LinearMemory + Send + Sync>, MemoryError> {
        Err(not_copyable())
    }

    unsafe fn initialize_with_data(&self, start: usize, data: &[u8]) -> Result<(), Trap> {
        if !self.seat.has_contents.load(Ordering::Relaxed) {
            let region = self.seat.lock().region.clone();
            let target = u32::try_from(start)
                .ok()
                .and_then(|at| region.slice_mut(at, data.len()).ok())
                .ok_or_else(|| Trap::lib(TrapCode::HeapAccessOutOfBounds))?;
            target.copy_from_slice(data);
        }
        Ok(())
    }
}

fn not_copyable() -> MemoryError {
    MemoryError::UnsupportedOperation {
        message: "a process's memory is copied by fork only".into(),
    }
}

/// Gives back to the host what this process's allocator keeps: after many processes of the guest at once
/// that is hundreds of kilobytes for each, in arenas that glibc does not shrink by itself.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: locks the arenas as each allocation does, and has no other conditions.
    unsafe {
        libc::malloc_trim(0);
    }
}
