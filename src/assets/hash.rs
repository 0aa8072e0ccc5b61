//! Hashes of files: BLAKE3 by several threads at once, as it is a tree, whose subtrees can be hashed apart; XXH3
//! (the algorithm of xxHash 0.8, with 128 bits) by one, which is as fast as memory.
//!
//! Files are read, not mapped: what is only compared takes no part in the memory of the process, and two
//! threads do not wait for each other at the faults of their pages.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use twox_hash::XxHash3_128;

use crate::kernel::page_buffer::PageBuffer;

/// What one thread hashes at a time; a power of two, which makes it a subtree wherever it begins.
const SUBTREE: u64 = 2 << 20;

/// Small enough for the second cache of a processor.
const BUFFER: usize = 128 << 10;

/// More would hardly be faster: memory has to deliver it too.
const MAX_THREADS: usize = 4;

/// BLAKE3 of a range of a file.
pub(crate) fn hash_file(file: &File, range: Range<u64>) -> io::Result<blake3::Hash> {
    let count = range.end.saturating_sub(range.start).div_ceil(SUBTREE);
    if count <= 1 {
        return hash_part(file, range, 0, &mut buffer(), Hasher::finalize);
    }
    let next = AtomicU64::new(0);
    let work = || {
        let (mut buffer, mut done) = (buffer(), Vec::new());
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok::<_, io::Error>(done);
            }
            let offset = index * SUBTREE;
            let start = range.start + offset;
            let part = start..range.end.min(start + SUBTREE);
            let value = hash_part(file, part, offset, &mut buffer, HasherExt::finalize_non_root)?;
            done.push((index, value));
        }
    };
    let mut values = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads().min(count as usize))
            .filter_map(|_| {
                // Without it the others do its work.
                let name = "pglite hashes".to_owned();
                std::thread::Builder::new().name(name).spawn_scoped(scope, work).ok()
            })
            .collect();
        let mut values = work()?;
        for helper in helpers {
            values.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok::<_, io::Error>(values)
    })?;
    values.sort_unstable_by_key(|(index, _)| *index);
    let values: Vec<_> = values.into_iter().map(|(_, value)| value).collect();
    let (left, right) = values.split_at(left_count(values.len()));
    Ok(merge_subtrees_root(&merge(left), &merge(right), Mode::Hash))
}

fn buffer() -> PageBuffer {
    PageBuffer::new(BUFFER)
}

/// How many threads are of use at once. Asking for it reads files of the system.
pub(super) fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        std::thread::available_parallelism().map_or(1, |count| count.get().min(MAX_THREADS))
    })
}

/// A part of a file that begins at `offset` of what is hashed.
fn hash_part<T>(
    file: &File,
    part: Range<u64>,
    offset: u64,
    buffer: &mut [u8],
    finish: impl FnOnce(&Hasher) -> T,
) -> io::Result<T> {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(offset);
    each_piece(file, part, buffer, |piece| {
        hasher.update(piece);
    })?;
    Ok(finish(&hasher))
}

/// XXH3 with 128 bits, without a seed, of the first `len` bytes of a file.
pub(super) fn xxh3_file(file: &File, len: u64) -> io::Result<u128> {
    let mut hasher = XxHash3_128::new();
    each_piece(file, 0..len, &mut buffer(), |piece| hasher.write(piece))?;
    Ok(hasher.finish_128())
}

fn each_piece(
    file: &File,
    part: Range<u64>,
    buffer: &mut [u8],
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut at = part.start;
    while at < part.end {
        let len = (part.end - at).min(BUFFER as u64) as usize;
        file.read_exact_at(&mut buffer[..len], at)?;
        each(&buffer[..len]);
        at += len as u64;
    }
    Ok(())
}

/// The node above these subtrees, of which there is at least one.
fn merge(values: &[ChainingValue]) -> ChainingValue {
    match values {
        [value] => *value,
        _ => {
            let (left, right) = values.split_at(left_count(values.len()));
            merge_subtrees_non_root(&merge(left), &merge(right), Mode::Hash)
        }
    }
}

/// Of several subtrees, so many are below the left child.
fn left_count(count: usize) -> usize {
    (left_subtree_len(count as u64 * SUBTREE) / SUBTREE) as usize
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails here says where")]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_files_are_those_of_their_bytes() {
        let subtree = SUBTREE as usize;
        let bytes: Vec<u8> = (0..9 * subtree + 5).map(|at| (at / 7 + at / 65_537) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &bytes).unwrap();
        let lens = (0..=9).flat_map(|count| [count * subtree, count * subtree + 5]);
        for len in [1, 1024, 1025, BUFFER, subtree - 1].into_iter().chain(lens) {
            // Not from the file's beginning either.
            for start in [0, 3] {
                let end = bytes.len().min(start + len);
                let hash = hash_file(&file, start as u64..end as u64).unwrap();
                assert_eq!(hash, blake3::hash(&bytes[start..end]), "{len} bytes from {start}");
            }
        }
        assert!(hash_file(&file, 0..bytes.len() as u64 + 1).is_err());
        for len in [0, 1, BUFFER, BUFFER + 1, bytes.len()] {
            let hash = xxh3_file(&file, len as u64).unwrap();
            assert_eq!(hash, XxHash3_128::oneshot(&bytes[..len]), "{len} bytes");
        }
        assert!(xxh3_file(&file, bytes.len() as u64 + 1).is_err());
    }
}
