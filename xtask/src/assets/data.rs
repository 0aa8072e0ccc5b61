//! The data of a module apart from its code.
//!
//! Wasmer would keep a module's data in the artifact, read all of it when that is loaded, and copy it into the memory of
//! each process that is not a copy of another. A file of its own is mapped instead, by those that need it.

use anyhow::{Context as _, Result, bail};

use super::wasm::{Reader, leb128};

const DATA_COUNT: u8 = 12;
const DATA: u8 = 11;

/// The host's pages, which are what is mapped.
const PAGE: usize = 4096;

/// So many zeros are not in the file.
const MAX_GAP: usize = 32 * PAGE;

/// The module without its data, and the file with the memory that it begins with.
pub(crate) fn split(module: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let (code, memory) = take_data(module)?;
    Ok((code, file(&memory)?))
}

/// A page with the number of segments and for each its address and length, all in little-endian words of 32 bits; then
/// the segments, which are whole pages. `Base::of_file` of the library's kernel reads it.
fn file(memory: &[u8]) -> Result<Vec<u8>> {
    let mut segments: Vec<(usize, usize)> = Vec::new();
    for (index, page) in memory.chunks_exact(PAGE).enumerate() {
        if page.iter().all(|byte| *byte == 0) {
            continue;
        }
        let at = index * PAGE;
        match segments.last_mut().filter(|(start, len)| at - (start + len) < MAX_GAP) {
            Some((start, len)) => *len = at + PAGE - *start,
            None => segments.push((at, PAGE)),
        }
    }
    let numbers = std::iter::once(segments.len())
        .chain(segments.iter().flat_map(|(start, len)| [*start, *len]));
    let mut file = Vec::new();
    for number in numbers {
        file.extend(u32::try_from(number)?.to_le_bytes());
    }
    if file.len() > PAGE {
        bail!("the data lie in too many places: {}", segments.len());
    }
    file.resize(PAGE, 0);
    for (start, len) in segments {
        file.extend(&memory[start..start + len]);
    }
    Ok(file)
}

/// The module without its data, and memory from address 0 to the last page with data.
fn take_data(module: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    const PREAMBLE: usize = 8;
    let (preamble, rest) = module.split_at_checked(PREAMBLE).context("not a module")?;
    let (mut code, mut memory) = (preamble.to_vec(), Vec::new());
    let mut reader = Reader { rest };
    while !reader.rest.is_empty() {
        let id = reader.byte()?;
        let len = reader.number()? as usize;
        let section = reader.take(len)?;
        match id {
            DATA => segments(section, &mut memory).context("data section")?,
            // Of what is no longer there. No instruction refers to segments: they are all active.
            DATA_COUNT => {}
            _ => {
                code.push(id);
                code.extend(leb128(len));
                code.extend(section);
            }
        }
    }
    memory.resize(memory.len().next_multiple_of(PAGE), 0);
    Ok((code, memory))
}

fn segments(section: &[u8], memory: &mut Vec<u8>) -> Result<()> {
    const I32_CONST: u8 = 0x41;
    const END: u8 = 0x0b;
    let mut reader = Reader { rest: section };
    for _ in 0..reader.number()? {
        if reader.number()? != 0 {
            bail!("a segment that is not copied to memory at the start");
        }
        if reader.byte()? != I32_CONST {
            bail!("the address of a segment is not a constant");
        }
        let at = address(&mut reader)?;
        if reader.byte()? != END {
            bail!("the address of a segment is an expression");
        }
        let len = reader.number()? as usize;
        let bytes = reader.take(len)?;
        let end = at + len;
        if memory.len() < end {
            memory.resize(end, 0);
        }
        memory[at..end].copy_from_slice(bytes);
    }
    Ok(())
}

/// A signed LEB128 number of 32 bits, taken for an address.
fn address(reader: &mut Reader<'_>) -> Result<usize> {
    let (mut value, mut shift) = (0i64, 0);
    loop {
        let byte = reader.byte()?;
        value |= i64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            if byte & 0x40 != 0 {
                value |= -1 << shift;
            }
            return Ok(value as u32 as usize);
        }
        if shift >= 35 {
            bail!("a number is too long");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory of a page, 3 bytes at 1024 and 2 at 5000, an export.
    fn module(segments: &[u8]) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend([5, 3, 1, 0, 1]);
        module.extend([7, 5, 1, 1, b'm', 2, 0]);
        module.extend([12, 1, 2]);
        module.extend([11, segments.len() as u8]);
        module.extend(segments);
        module.extend([0, 2, 1, b'x']);
        module
    }

    #[test]
    fn long_gaps_are_not_in_the_file() {
        let mut memory = vec![0; 200 * PAGE];
        for (page, byte) in [(1, 1), (3, 2), (100, 3)] {
            memory[page * PAGE + 5] = byte;
        }
        let file = file(&memory).expect("a file");
        let words: Vec<u32> = file[..PAGE]
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")))
            .collect();
        let page = PAGE as u32;
        assert_eq!(words[..6], [2, page, 3 * page, 100 * page, page, 0]);
        assert_eq!(file.len(), 5 * PAGE);
        assert_eq!((file[PAGE + 5], file[3 * PAGE + 5], file[4 * PAGE + 5]), (1, 2, 3));
    }

    #[test]
    fn data_goes_where_it_is_in_memory() {
        let segments =
            [2, 0, 0x41, 0x80, 0x08, 0x0b, 3, b'a', b'b', b'c', 0, 0x41, 0x88, 0x27, 0x0b, 2, 1, 2];
        let (code, memory) = take_data(&module(&segments)).expect("a module");
        assert_eq!(code, b"\0asm\x01\0\0\0\x05\x03\x01\0\x01\x07\x05\x01\x01m\x02\0\0\x02\x01x");
        assert_eq!(memory.len(), 8192);
        assert_eq!(&memory[1024..1027], b"abc");
        assert_eq!(&memory[5000..5002], [1, 2]);
        assert_eq!(memory.iter().filter(|byte| **byte != 0).count(), 5);
    }

    #[test]
    fn what_cannot_be_taken_out_is_refused() {
        let passive = [1, 1, 1, b'a'];
        let relative = [1, 0, 0x23, 0, 0x0b, 1, b'a'];
        for segments in [&passive[..], &relative] {
            assert!(split(&module(segments)).is_err());
        }
    }
}
