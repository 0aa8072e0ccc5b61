//! The contents of a file: a sparse array of copy-on-write pages.

use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::errno::Errno;
use crate::kernel::fs::FsResult;

/// Postgres' block size, so that a block write touches one page.
pub(super) const PAGE: usize = 8192;
/// Pages per chunk. The first write after a clone copies one chunk of page pointers (6 KiB) and
/// the list of chunks (4 KiB per GiB of file).
const CHUNK: usize = 256;
/// Largest file; beyond it is `EFBIG`. Far above Postgres' 1 GiB segments, and low enough that the
/// list of chunks of a file with one byte at the end stays small.
pub(super) const LEN_MAX: u64 = 1 << 40;

static ZEROS: [u8; PAGE] = [0; PAGE];

/// Immutable bytes that pages may be slices of: a mapped archive, or one in memory.
pub(super) struct Backing(Box<dyn AsRef<[u8]> + Send + Sync>);

impl Backing {
    pub(super) fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Backing {
        Backing(Box::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backing({} bytes)", self.bytes().len())
    }
}

/// Counts the pages that one tree has allocated and that are still held by anyone.
///
/// A page is paid for by the tree that wrote it, even where a clone shares it, until the last
/// holder lets go: the sum over all trees is the memory in use.
#[derive(Debug)]
pub(super) struct Account {
    /// In pages.
    limit: Option<u64>,
    used: AtomicU64,
    /// Of this tree and all its relatives by cloning.
    family: Arc<AtomicU64>,
}

impl Account {
    pub(super) fn new(limit_bytes: Option<u64>) -> Account {
        let limit = limit_bytes.map(|bytes| bytes / PAGE as u64);
        Account { limit, used: AtomicU64::new(0), family: Arc::default() }
    }

    /// For a clone: the same limit for pages of its own.
    pub(super) fn relative(&self) -> Account {
        let family = Arc::clone(&self.family);
        Account { limit: self.limit, used: AtomicU64::new(0), family }
    }

    pub(super) fn with_limit(self, limit_bytes: Option<u64>) -> Account {
        Account { limit: limit_bytes.map(|bytes| bytes / PAGE as u64), ..self }
    }

    #[allow(dead_code, reason = "for statistics")]
    pub(super) fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed) * PAGE as u64
    }

    #[allow(dead_code, reason = "for statistics")]
    pub(super) fn family_bytes(&self) -> u64 {
        self.family.load(Ordering::Relaxed) * PAGE as u64
    }

    fn take(&self, pages: u64) -> FsResult<()> {
        let limit = self.limit.unwrap_or(u64::MAX);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(pages).filter(|sum| *sum <= limit)
            })
            .map_err(|_| Errno::NOSPC)?;
        self.family.fetch_add(pages, Ordering::Relaxed);
        Ok(())
    }
}

/// One page on an account.
#[derive(Debug)]
struct Charge(Arc<Account>);

impl Charge {
    fn new(account: &Arc<Account>) -> FsResult<Charge> {
        account.take(1)?;
        Ok(Charge(Arc::clone(account)))
    }

    /// Also beyond the limit.
    fn forced(account: &Arc<Account>) -> Charge {
        account.used.fetch_add(1, Ordering::Relaxed);
        account.family.fetch_add(1, Ordering::Relaxed);
        Charge(Arc::clone(account))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
        self.0.family.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct OwnedPage {
    data: [u8; PAGE],
    /// Given back with the page.
    _charge: Charge,
}

/// Invariant: bytes of a page past the end of its file read as zero.
#[derive(Clone, Debug, Default)]
enum Page {
    /// Zeros.
    #[default]
    Hole,
    /// Zeros too, but there is room for other bytes: what `posix_fallocate` promises, and what
    /// filling a new WAL segment with zeros is for. Only where there is a limit.
    Reserved(Arc<Charge>),
    /// `len` bytes of the backing, then zeros.
    Shared {
        backing: Arc<Backing>,
        offset: usize,
        len: u16,
    },
    Owned(Arc<OwnedPage>),
}

impl Page {
    /// The bytes of the page; all after them are zero.
    fn bytes(&self) -> &[u8] {
        match self {
            Page::Hole | Page::Reserved(_) => &[],
            Page::Shared { backing, offset, len } => {
                &backing.bytes()[*offset..*offset + usize::from(*len)]
            }
            Page::Owned(page) => &page.data,
        }
    }

    fn read(&self, start: usize, buffer: &mut [u8]) {
        let bytes = self.bytes();
        let have = bytes.len().saturating_sub(start).min(buffer.len());
        let (data, zeros) = buffer.split_at_mut(have);
        if have > 0 {
            data.copy_from_slice(&bytes[start..start + have]);
        }
        zeros.fill(0);
    }

    fn write(&mut self, start: usize, bytes: &[u8], account: &Arc<Account>) -> FsResult<()> {
        if let Page::Owned(page) = self
            && let Some(page) = Arc::get_mut(page)
        {
            page.data[start..start + bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        let whole = bytes.len() == PAGE;
        if whole && matches!(self, Page::Hole | Page::Reserved(_)) && bytes == ZEROS {
            return self.reserve(account);
        }
        let charge = self.take_charge(account)?;
        let mut page = Arc::new(OwnedPage { data: ZEROS, _charge: charge });
        let data = &mut Arc::get_mut(&mut page).expect("nobody else has the new page yet").data;
        if !whole {
            let old = self.bytes();
            data[..old.len()].copy_from_slice(old);
        }
        data[start..start + bytes.len()].copy_from_slice(bytes);
        *self = Page::Owned(page);
        Ok(())
    }

    /// The charge for an owned page in place of this one, which must then be replaced.
    fn take_charge(&mut self, account: &Arc<Account>) -> FsResult<Charge> {
        match std::mem::take(self) {
            Page::Reserved(charge) => match Arc::try_unwrap(charge) {
                Ok(charge) => Ok(charge),
                Err(shared) => {
                    *self = Page::Reserved(shared);
                    Charge::new(account)
                }
            },
            page => {
                *self = page;
                Charge::new(account)
            }
        }
    }

    fn reserve(&mut self, account: &Arc<Account>) -> FsResult<()> {
        if matches!(self, Page::Hole) && account.limit.is_some() {
            *self = Page::Reserved(Arc::new(Charge::new(account)?));
        }
        Ok(())
    }

    /// Makes all bytes from `len` on zero. Shrinking a file must not fail for want of space, so the
    /// copy that this may need is not held to the limit.
    fn cut(&mut self, len: usize, account: &Arc<Account>) {
        match self {
            Page::Hole | Page::Reserved(_) => {}
            Page::Shared { len: have, .. } => {
                *have = u16::try_from(len).map_or(*have, |len| len.min(*have));
            }
            Page::Owned(page) => match Arc::get_mut(page) {
                Some(page) => page.data[len..].fill(0),
                None => {
                    let mut data = ZEROS;
                    data[..len].copy_from_slice(&page.data[..len]);
                    *page = Arc::new(OwnedPage { data, _charge: Charge::forced(account) });
                }
            },
        }
    }
}

type Chunk = Arc<Vec<Page>>;

/// What a file contains. A clone costs one reference count.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    len: u64,
    /// Missing chunks, and missing pages at the end of one, are holes.
    chunks: Arc<Vec<Option<Chunk>>>,
}

/// The part of `[offset, offset + len)` that is in one page: page number, start, and length.
fn piece(offset: u64, len: usize) -> (usize, usize, usize) {
    let number = usize::try_from(offset / PAGE as u64).expect("LEN_MAX bounds page numbers");
    let start = usize::try_from(offset % PAGE as u64).expect("less than PAGE");
    (number, start, len.min(PAGE - start))
}

impl Content {
    /// A file whose pages are slices of `backing`: for each page offset and length, or `None` for a
    /// hole. The caller has checked that the slices lie in the backing.
    pub(super) fn of_slices(
        len: u64,
        backing: &Arc<Backing>,
        pages: impl Iterator<Item = Option<(usize, u16)>>,
    ) -> Content {
        let mut chunks: Vec<Option<Chunk>> = Vec::new();
        let mut chunk = Vec::new();
        let mut finish = |chunk: &mut Vec<Page>| {
            let empty = chunk.iter().all(|page| matches!(page, Page::Hole));
            chunks.push((!empty).then(|| Arc::new(std::mem::take(chunk))));
            chunk.clear();
        };
        for page in pages {
            chunk.push(match page {
                Some((offset, len)) => Page::Shared { backing: Arc::clone(backing), offset, len },
                None => Page::Hole,
            });
            if chunk.len() == CHUNK {
                finish(&mut chunk);
            }
        }
        if !chunk.is_empty() {
            finish(&mut chunk);
        }
        Content { len, chunks: Arc::new(chunks) }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    fn page(&self, number: usize) -> Option<&Page> {
        self.chunks.get(number / CHUNK)?.as_ref()?.get(number % CHUNK)
    }

    fn page_mut(&mut self, number: usize) -> &mut Page {
        let chunks = Arc::make_mut(&mut self.chunks);
        let at = number / CHUNK;
        if chunks.len() <= at {
            chunks.resize(at + 1, None);
        }
        let chunk = Arc::make_mut(chunks[at].get_or_insert_default());
        let at = number % CHUNK;
        if chunk.len() <= at {
            chunk.resize(at + 1, Page::Hole);
        }
        &mut chunk[at]
    }

    pub(super) fn read(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> usize {
        let mut position = offset;
        for buffer in buffers {
            let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
            let wanted = buffer.len().min(left);
            let mut buffer = &mut buffer[..wanted];
            while !buffer.is_empty() {
                let (number, start, len) = piece(position, buffer.len());
                let (now, later) = buffer.split_at_mut(len);
                self.page(number).unwrap_or(&Page::Hole).read(start, now);
                position += len as u64;
                buffer = later;
            }
        }
        usize::try_from(position - offset).expect("bytes that fit in buffers")
    }

    /// Writes fewer bytes than given where space runs out after some.
    pub(super) fn write(
        &mut self,
        buffers: &[IoSlice<'_>],
        offset: u64,
        account: &Arc<Account>,
    ) -> FsResult<usize> {
        let mut position = offset;
        let mut result = Ok(());
        'buffers: for buffer in buffers {
            let mut bytes = &buffer[..];
            while !bytes.is_empty() {
                if position >= LEN_MAX {
                    result = Err(Errno::FBIG);
                    break 'buffers;
                }
                let (number, start, len) = piece(position, bytes.len());
                let (now, later) = bytes.split_at(len);
                result = self.page_mut(number).write(start, now, account);
                if result.is_err() {
                    break 'buffers;
                }
                position += len as u64;
                bytes = later;
            }
        }
        let done = usize::try_from(position - offset).expect("bytes that fit in buffers");
        if done == 0 {
            result?;
        } else {
            self.len = self.len.max(position);
        }
        Ok(done)
    }

    pub(super) fn set_len(&mut self, len: u64, account: &Arc<Account>) -> FsResult<()> {
        if len > LEN_MAX {
            return Err(Errno::FBIG);
        }
        if len < self.len {
            let (number, start, _) = piece(len, 0);
            let pages = number + usize::from(start > 0);
            let chunks = Arc::make_mut(&mut self.chunks);
            chunks.truncate(pages.div_ceil(CHUNK));
            if pages / CHUNK < chunks.len()
                && let Some(chunk) = &mut chunks[pages / CHUNK]
            {
                Arc::make_mut(chunk).truncate(pages % CHUNK);
            }
            if start > 0 && self.page(number).is_some() {
                self.page_mut(number).cut(start, account);
            }
        }
        self.len = len;
        Ok(())
    }

    /// `posix_fallocate`. Without a limit there is always space, and holes do.
    pub(super) fn allocate(
        &mut self,
        offset: u64,
        len: u64,
        account: &Arc<Account>,
    ) -> FsResult<()> {
        let end = offset.checked_add(len).filter(|end| *end <= LEN_MAX).ok_or(Errno::FBIG)?;
        if account.limit.is_some() {
            let (first, _, _) = piece(offset, 0);
            let (last, start, _) = piece(end, 0);
            let pages = first..last + usize::from(start > 0);
            let is_hole = |number: &usize| matches!(self.page(*number), None | Some(Page::Hole));
            // All or nothing: a failed call must not leave the pages that there was room for.
            let missing = pages.clone().filter(is_hole).count() as u64;
            account.take(missing)?;
            for number in pages {
                let page = self.page_mut(number);
                if matches!(page, Page::Hole) {
                    *page = Page::Reserved(Arc::new(Charge(Arc::clone(account))));
                }
            }
        }
        self.len = self.len.max(end);
        Ok(())
    }
}
