//! Which pages of this host process are anonymous: Documentation/admin-guide/mm/pagemap.rst of Linux.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::image::PAGE;

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE_BACKED: u64 = 1 << 61;

/// Entries that are read at once.
const ENTRIES: usize = 1 << 13;

/// Calls `each` with the address of every anonymous page, looking at the entry of every page there is.
pub(super) fn read(
    page_map: &File,
    addresses: Range<usize>,
    mut each: impl FnMut(usize) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = vec![0u8; ENTRIES * 8];
    let mut address = addresses.start;
    while address < addresses.end {
        let count = ((addresses.end - address) / PAGE).min(ENTRIES);
        let bytes = &mut bytes[..count * 8];
        page_map.read_exact_at(bytes, (address / PAGE * 8) as u64)?;
        for entry in bytes.chunks_exact(8) {
            let entry = u64::from_ne_bytes(entry.try_into().expect("chunks of 8 bytes"));
            if entry & SWAPPED != 0 || entry & (PRESENT | FILE_BACKED) == PRESENT {
                each(address)?;
            }
            address += PAGE;
        }
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::kernel::memory::Region;

    #[test]
    fn it_finds_what_was_written() {
        let region = Region::new(1000 * PAGE).unwrap();
        let written: Vec<usize> =
            (0..1000).filter(|page| page % 7 == 0 || page % 100 < 3).collect();
        for page in &written {
            region.write((page * PAGE) as u32, b"x").unwrap();
        }
        let page_map = File::open("/proc/self/pagemap").unwrap();
        let mut found = Vec::new();
        let addresses = region.base()..region.base() + 1000 * PAGE;
        read(&page_map, addresses, |address| {
            found.push((address - region.base()) / PAGE);
            Ok(())
        })
        .unwrap();
        assert_eq!(found, written);
    }
}
