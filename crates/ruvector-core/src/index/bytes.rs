//! The stored form of indexes.
//!
//! Numbers have the lowest byte first. There are eight bytes of a mark, a version and a kind (4 bytes each), the content,
//! and a checksum over all of it (8 bytes: CRC-64 of ECMA-182, as in xz).

use alloc::vec::Vec;

use super::{MAX_VECTORS, Metric, Vectors};
use crate::error::{Error, Result};

const MARK: &[u8; 8] = b"RUVECTOR";
const VERSION: u32 = 1;

/// What is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Flat = 1,
    Hnsw = 2,
}

const fn corrupt(what: &'static str) -> Error {
    Error::Corrupt { what }
}

/// Tables for eight bytes at a time.
static TABLES: [[u64; 256]; 8] = {
    let mut tables = [[0u64; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            let lowest = value & 1;
            value >>= 1;
            if lowest == 1 {
                value ^= 0xc96c_5795_d787_0f42;
            }
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = tables[0][(before & 0xff) as usize] ^ before >> 8;
            byte += 1;
        }
        table += 1;
    }
    tables
};

/// CRC-64 of ECMA-182, with bits reversed.
fn checksum(bytes: &[u8]) -> u64 {
    let mut crc = !0u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for &word in words {
        let mixed = (crc ^ u64::from_le_bytes(word)).to_le_bytes();
        crc = 0;
        for (table, byte) in TABLES.iter().rev().zip(mixed) {
            crc ^= table[usize::from(byte)];
        }
    }
    for byte in rest {
        crc = TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8;
    }
    !crc
}

pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(kind: Kind) -> Result<Self> {
        let mut writer = Self(Vec::new());
        writer.bytes(MARK)?;
        writer.u32(VERSION)?;
        writer.u32(kind as u32)?;
        Ok(writer)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.try_reserve(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn u32(&mut self, number: u32) -> Result<()> {
        self.bytes(&number.to_le_bytes())
    }

    pub(super) fn u64(&mut self, number: u64) -> Result<()> {
        self.bytes(&number.to_le_bytes())
    }

    pub(super) fn u32s(&mut self, numbers: &[u32]) -> Result<()> {
        self.0.try_reserve(numbers.len().saturating_mul(4))?;
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        Ok(())
    }

    pub(super) fn vectors(&mut self, vectors: &Vectors) -> Result<()> {
        self.u32(match vectors.metric {
            Metric::L2 => 0,
            Metric::InnerProduct => 1,
            Metric::Cosine => 2,
            Metric::L1 => 3,
        })?;
        self.u32(vectors.dimensions as u32)?;
        self.u32(vectors.len() as u32)?;
        self.0.try_reserve(vectors.numbers.len().saturating_mul(4))?;
        self.0.extend(vectors.numbers.iter().flat_map(|number| number.to_le_bytes()));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        let sum = checksum(&self.0);
        self.u64(sum)?;
        Ok(self.0)
    }
}

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Checks mark, version, kind and sum.
    pub(super) fn new(bytes: &'a [u8], kind: Kind) -> Result<Self> {
        let Some((content, sum)) = bytes.split_last_chunk::<8>() else {
            return Err(corrupt("it is too short"));
        };
        let mut reader = Self(content);
        if reader.take::<8>()? != *MARK {
            return Err(corrupt("it does not begin as one"));
        }
        if reader.u32()? != VERSION {
            return Err(corrupt("it is of a version that this one does not know"));
        }
        if reader.u32()? != kind as u32 {
            return Err(corrupt("it is an index of another kind"));
        }
        if u64::from_le_bytes(*sum) != checksum(content) {
            return Err(corrupt("its checksum is wrong"));
        }
        Ok(reader)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (&bytes, rest) = self.0.split_first_chunk().ok_or(corrupt("it ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// So many numbers of four bytes, for which memory is taken only if they are there.
    fn fours<T>(&mut self, count: usize, convert: impl Fn([u8; 4]) -> T) -> Result<Vec<T>> {
        let length = count.checked_mul(4).filter(|&length| length <= self.0.len());
        let (bytes, rest) = self.0.split_at(length.ok_or(corrupt("it ends too early"))?);
        self.0 = rest;
        let mut numbers = Vec::new();
        numbers.try_reserve_exact(count)?;
        numbers.extend(bytes.as_chunks::<4>().0.iter().map(|&bytes| convert(bytes)));
        Ok(numbers)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(corrupt("it ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn u32s(&mut self, count: usize) -> Result<Vec<u32>> {
        self.fours(count, u32::from_le_bytes)
    }

    pub(super) fn vectors(&mut self) -> Result<Vectors> {
        let metric = match self.u32()? {
            0 => Metric::L2,
            1 => Metric::InnerProduct,
            2 => Metric::Cosine,
            3 => Metric::L1,
            _ => return Err(corrupt("its metric is unknown")),
        };
        let dimensions = self.u32()?;
        let mut vectors = Vectors::new(metric, dimensions)
            .map_err(|_| corrupt("its number of dimensions is not one that there can be"))?;
        let count = self.u32()?;
        if count > MAX_VECTORS {
            return Err(corrupt("it has more vectors than there can be"));
        }
        let numbers = (count as usize).checked_mul(vectors.dimensions);
        let numbers = numbers.ok_or(corrupt("it ends too early"))?;
        vectors.numbers = self.fours(numbers, f32::from_le_bytes)?;
        if vectors.numbers.iter().any(|number| !number.is_finite()) {
            return Err(corrupt("it has numbers that are not finite"));
        }
        Ok(vectors)
    }

    pub(super) fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(corrupt("there is more than there should be")) }
    }
}

/// Writes a file under another name first, so that there is the old one or the new one, but never a part.
#[cfg(feature = "std")]
pub(super) fn save(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;

    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let written = std::fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    });
    if written.is_err() {
        // The error that is returned is the one to know of.
        let _ = std::fs::remove_file(&temporary);
    }
    Ok(written?)
}

#[cfg(test)]
mod tests {
    /// The check value of the algorithm's catalogue.
    #[test]
    fn known_sum() {
        assert_eq!(super::checksum(b"123456789"), 0x995d_c9bb_df19_39fa);
        let bytes = [7u8; 100];
        let slow = bytes
            .iter()
            .fold(!0u64, |crc, byte| super::TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8);
        assert_eq!(super::checksum(&bytes), !slow);
    }
}
