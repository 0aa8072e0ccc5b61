//! Packing and unpacking a stream with zstd.

use std::io::{self, Read, Write};

use ruzstd::decoding::BlockDecodingStrategy;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::encoding::{CompressionLevel, FrameCompressor, MatchGeneratorDriver};

use super::CHUNK;

pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes of each frame, unpacked. The compressor pulls a whole frame from a reader, and this is pushed into;
/// it remembers 128 KiB, so that little is lost at the border of two frames.
const FRAME: usize = 4 << 20;

/// Packs what is written to it, as one frame after another.
pub(super) struct Packer<W> {
    inner: W,
    frame: Vec<u8>,
    packed: Vec<u8>,
}

impl<W: Write> Packer<W> {
    pub(super) fn new(inner: W) -> Packer<W> {
        Packer { inner, frame: Vec::with_capacity(FRAME), packed: Vec::new() }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.packed.clear();
        // Neither end can fail: both are memory.
        let mut compressor: FrameCompressor<&[u8], &mut Vec<u8>, MatchGeneratorDriver> =
            FrameCompressor::new(CompressionLevel::Fastest);
        compressor.set_source(&self.frame);
        compressor.set_drain(&mut self.packed);
        compressor.compress();
        drop(compressor);
        self.frame.clear();
        self.inner.write_all(&self.packed)
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.frame.is_empty() {
            self.end_frame()?;
        }
        Ok(self.inner)
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(FRAME - self.frame.len());
        self.frame.extend_from_slice(&bytes[..len]);
        if self.frame.len() == FRAME {
            self.end_frame()?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Unpacks what it reads: any number of frames, as `zstd` and [`Packer`] write them.
pub(super) struct Unpacker<R: Read> {
    inner: io::BufReader<R>,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: Read> Unpacker<R> {
    pub(super) fn new(inner: R) -> Unpacker<R> {
        let inner = io::BufReader::with_capacity(CHUNK, inner);
        Unpacker { inner, decoder: FrameDecoder::new(), in_frame: false }
    }

    /// Begins the next frame; false if there is none.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if io::BufRead::fill_buf(&mut self.inner)?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.inner) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.inner).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl<R: Read> Read for Unpacker<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.in_frame = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.inner, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let checksum = self.decoder.get_checksum_from_data();
            if checksum.is_some() && checksum != self.decoder.get_calculated_checksum() {
                return Err(io::Error::other("a checksum of zstd is wrong"));
            }
            self.in_frame = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(bytes: &[u8]) -> usize {
        let mut packer = Packer::new(Vec::new());
        packer.write_all(bytes).unwrap();
        let packed = packer.finish().unwrap();
        let mut unpacked = Vec::new();
        Unpacker::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == bytes);
        packed.len()
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        };
        let noise: Vec<u8> = (0..FRAME + 1000).map(|_| random()).collect();
        let words: Vec<u8> =
            (0..3 * FRAME).map(|at| b"tuples and pages"[(at + at / 999) % 16]).collect();
        for bytes in [&b""[..], b"x", &noise, &noise[..FRAME], &words, &vec![0; 2 * FRAME + 1]] {
            round_trip(bytes);
        }
        assert!(round_trip(&vec![0; FRAME]) < 10_000);
    }

    #[test]
    fn what_is_cut_off_or_changed_is_an_error() {
        let mut packer = Packer::new(Vec::new());
        packer.write_all(&b"0123456789".repeat(1000)).unwrap();
        let packed = packer.finish().unwrap();
        for len in 1..packed.len() {
            assert!(Unpacker::new(&packed[..len]).read_to_end(&mut Vec::new()).is_err(), "{len}");
        }
        let mut changed = packed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(Unpacker::new(&changed[..]).read_to_end(&mut Vec::new()).is_err());
    }
}
