//! Unpacking: the frames of packed files, by several threads at once, each to its place in a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use zstd_safe::DCtx;

use super::cache::{Asset, has_hash};

/// Why a file could not be unpacked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file cannot be written.
    Write(io::Error),
    /// What is packed is not what was built.
    Corrupt(String),
}

/// Unpacks each asset to its file, which is new and empty, and compares its hash.
pub(super) fn unpack(targets: Vec<(Asset, File)>) -> Vec<Result<File, Failure>> {
    let frames: Vec<_> = targets.iter().map(|(asset, _)| frames(asset.packed, asset.len)).collect();
    let targets: Vec<Target> = targets
        .into_iter()
        .zip(&frames)
        .map(|((asset, file), frames)| Target {
            asset,
            file,
            frames_left: AtomicUsize::new(frames.len()),
            result: OnceLock::new(),
        })
        .collect();
    let jobs: VecDeque<_> = targets
        .iter()
        .zip(frames)
        .flat_map(|(target, frames)| frames.into_iter().map(move |frame| (target, frame)))
        .collect();
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let helpers = jobs.len().min(processors) - usize::from(!jobs.is_empty());
    let jobs = Mutex::new(jobs);
    let work = || {
        let mut decompressor = DCtx::create();
        let mut buffer = Vec::new();
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        while let Some((target, frame)) = next() {
            target.unpack(&frame, &mut decompressor, &mut buffer);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..helpers {
            // Without it the others do its work.
            let _ =
                std::thread::Builder::new().name("pglite assets".into()).spawn_scoped(scope, work);
        }
        work();
    });
    let result = |target: Target| {
        target.result.into_inner().expect("its last frame has set it")?;
        Ok(target.file)
    };
    targets.into_iter().map(result).collect()
}

/// A file that is being written.
struct Target {
    asset: Asset,
    file: File,
    frames_left: AtomicUsize,
    result: OnceLock<Result<(), Failure>>,
}

impl Target {
    fn unpack(&self, frame: &Frame, decompressor: &mut DCtx<'_>, buffer: &mut Vec<u8>) {
        if self.result.get().is_none()
            && let Err(failure) = self.write(frame, decompressor, buffer)
        {
            // Another frame may have failed before.
            let _ = self.result.set(Err(failure));
        }
        // Release and acquire: whoever is last sees what all have written.
        if self.frames_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.result.get_or_init(|| self.check());
        }
    }

    fn write(
        &self,
        frame: &Frame,
        decompressor: &mut DCtx<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        buffer.clear();
        buffer.reserve_exact(frame.len);
        let len = decompressor
            .decompress(buffer, frame.packed)
            .map_err(|code| Failure::Corrupt(zstd_safe::get_error_name(code).to_owned()))?;
        if len != frame.len {
            let reason = format!("a frame of {} bytes has {len}", frame.len);
            return Err(Failure::Corrupt(reason));
        }
        self.file.write_all_at(buffer, frame.offset).map_err(Failure::Write)
    }

    /// By what is in the file, so that it is known to be written as well.
    fn check(&self) -> Result<(), Failure> {
        match has_hash(&self.asset, &self.file).map_err(Failure::Write)? {
            true => Ok(()),
            false => Err(Failure::Corrupt("its hash is not the one that was built".into())),
        }
    }
}

/// A part that can be unpacked alone.
#[derive(Debug, PartialEq)]
struct Frame {
    packed: &'static [u8],
    /// Where its contents begin in the unpacked file.
    offset: u64,
    len: usize,
}

/// The frames of a packed file of which `len` bytes come. It is in zstd's seekable format, whose last frame
/// has the sizes of the others in a frame that readers skip; without such a table it is one frame.
fn frames(packed: &'static [u8], len: u64) -> Vec<Frame> {
    seek_table(packed, len).unwrap_or_else(|| {
        vec![Frame { packed, offset: 0, len: usize::try_from(len).unwrap_or(0) }]
    })
}

const SKIPPABLE: u32 = 0x184d_2a5e;
const SEEKABLE: u32 = 0x8f92_eab1;

/// Sizes of one frame: packed, unpacked.
const ENTRY: usize = 8;

/// Number of frames, flags, magic number.
const FOOTER: usize = 9;

fn seek_table(packed: &'static [u8], len: u64) -> Option<Vec<Frame>> {
    let (rest, footer) = packed.split_at_checked(packed.len().checked_sub(FOOTER)?)?;
    // No flags: no checksums in the table.
    if number(footer, 5)? != SEEKABLE || footer[4] != 0 {
        return None;
    }
    let table_len = (number(footer, 0)? as usize).checked_mul(ENTRY)?;
    let (rest, table) = rest.split_at_checked(rest.len().checked_sub(table_len)?)?;
    let (mut rest, header) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
    if number(header, 0)? != SKIPPABLE || number(header, 4)? as usize != table_len + FOOTER {
        return None;
    }
    let mut frames = Vec::new();
    let mut offset = 0;
    for entry in table.chunks_exact(ENTRY) {
        let (packed, others) = rest.split_at_checked(number(entry, 0)? as usize)?;
        let len = number(entry, 4)? as usize;
        frames.push(Frame { packed, offset, len });
        offset += len as u64;
        rest = others;
    }
    (rest.is_empty() && offset == len && !frames.is_empty()).then_some(frames)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use twox_hash::XxHash3_128;

    /// As `xtask` packs, but leaked, as what is packed is in the program.
    fn packed(parts: &[&[u8]]) -> &'static [u8] {
        let (mut file, mut table) = (Vec::new(), Vec::new());
        for part in parts {
            let frame = compress_to_vec(*part, CompressionLevel::Fastest);
            table.extend((frame.len() as u32).to_le_bytes());
            table.extend((part.len() as u32).to_le_bytes());
            file.extend(frame);
        }
        file.extend(SKIPPABLE.to_le_bytes());
        file.extend(((table.len() + FOOTER) as u32).to_le_bytes());
        file.extend(&table);
        file.extend((parts.len() as u32).to_le_bytes());
        file.push(0);
        file.extend(SEEKABLE.to_le_bytes());
        file.leak()
    }

    fn asset(packed: &'static [u8], contents: &[u8]) -> Asset {
        let hash = blake3::hash(contents).to_hex().to_string();
        let xxh3 = XxHash3_128::oneshot(contents);
        Asset { name: "some.img", packed, hash: hash.leak(), xxh3, len: contents.len() as u64 }
    }

    fn unpacked(assets: &[Asset]) -> Vec<Result<Vec<u8>, Failure>> {
        let targets = assets.iter().map(|asset| (*asset, tempfile::tempfile().unwrap())).collect();
        let contents = |file: File| {
            let mut contents = vec![0; file.metadata().unwrap().len() as usize];
            file.read_exact_at(&mut contents, 0).unwrap();
            contents
        };
        unpack(targets).into_iter().map(|result| result.map(contents)).collect()
    }

    fn numbers(count: u32) -> Vec<u8> {
        (0..count).flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn files_of_one_frame_and_of_several_are_unpacked_together() {
        let contents = numbers(100_000);
        let (first, second) = contents.split_at(123_456);
        let several = packed(&[first, second]);
        assert_eq!(frames(several, contents.len() as u64).len(), 2);
        let single: &'static [u8] =
            compress_to_vec(&contents[..], CompressionLevel::Fastest).leak();
        assert_eq!(frames(single, contents.len() as u64).len(), 1);
        // Frames that follow each other are read as one.
        let without_table = &several[..several.len() - 33];
        assert_eq!(frames(without_table, contents.len() as u64).len(), 1);
        let assets =
            [several, single, without_table, packed(&[first, second, &[]]), packed(&[&contents])]
                .map(|packed| asset(packed, &contents));
        for result in unpacked(&assets) {
            assert!(result.unwrap() == contents);
        }
        assert!(unpacked(&[]).is_empty());
    }

    #[test]
    fn what_is_not_what_was_built_is_found_and_the_others_are_not_hurt() {
        let contents = numbers(50_000);
        let (first, second) = contents.split_at(100_000);
        let good = packed(&[first, second]);
        let swapped = packed(&[second, first]);
        let cut = &good[..good.len() - 1];
        let of_less = packed(&[first]);
        let of_more = packed(&[first, second, first]);
        let all = [good, swapped, cut, of_less, of_more, &[]];
        let results = unpacked(&all.map(|packed| asset(packed, &contents)));
        let mut results = results.into_iter();
        assert!(results.next().unwrap().unwrap() == contents);
        for (number, result) in results.enumerate() {
            assert!(matches!(result, Err(Failure::Corrupt(_))), "{number}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_from_what_is_corrupt() {
        let contents = numbers(50_000);
        let good = asset(packed(&[&contents[..9], &contents[9..]]), &contents);
        let read_only = File::open("/dev/null").unwrap();
        let results = unpack(vec![(good, read_only)]);
        assert!(matches!(results[..], [Err(Failure::Write(_))]));
    }
}
