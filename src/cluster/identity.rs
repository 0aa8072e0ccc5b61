//! The system identifier of a new database.
//!
//! All databases come from one template, but Postgres uses this number to tell clusters apart, so that WAL
//! of one is never replayed into another. It stands in `pg_control` (first field, protected by a CRC at
//! the end of the struct) and in the first page of each WAL segment (`xlp_sysid`):
//! src/include/catalog/pg_control.h and src/include/access/xlog_internal.h of PostgreSQL.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::kernel::fs::{File, FileKind, FileSystem, OpenOptions};

/// `XLogLongPageHeaderData`: where in the log the page is (`xlp_pageaddr`), the identifier (`xlp_sysid`), and
/// the size of segments (`xlp_seg_size`).
const WAL_ADDRESS: std::ops::Range<usize> = 8..16;
const WAL_IDENTIFIER: std::ops::Range<usize> = 24..32;
const WAL_SEGMENT_SIZE: std::ops::Range<usize> = 32..36;

/// `sizeof(ControlFileData)` is somewhere in between.
const CONTROL_SIZES: std::ops::Range<usize> = 200..512;

/// Gives the database in the directory `path` an identifier. No process may use it.
pub(super) fn renew(files: &dyn FileSystem, path: &str, new: u64) -> io::Result<()> {
    let open = OpenOptions { read: true, write: true, ..OpenOptions::default() };
    let control = files.open(&format!("{path}/global/pg_control"), open)?;
    let mut bytes = control.read_first(CONTROL_SIZES.end)?;
    let old = replace_in_control(&mut bytes, new)
        .ok_or_else(|| io::Error::other("pg_control of the template is not as expected"))?;
    control.write_all_at(&bytes, 0)?;
    for Segment { file, mut header } in segments(files, path)? {
        if replace_in_wal(&mut header, old, new) {
            file.write_all_at(&header, 0)?;
        }
    }
    Ok(())
}

/// A segment of the log, open for writing.
pub(super) struct Segment {
    file: Arc<dyn File>,
    /// Its first bytes.
    header: Vec<u8>,
}

/// The segments of the log of the database in the directory `path`, but for those that were recycled: they
/// have the name of a later one and are written anew before they are read, and there can be very many.
pub(super) fn segments(files: &dyn FileSystem, path: &str) -> io::Result<Vec<Segment>> {
    let wal = format!("{path}/pg_wal");
    let list = OpenOptions { read: true, directory: true, ..OpenOptions::default() };
    let open = OpenOptions { read: true, write: true, ..OpenOptions::default() };
    let mut segments = Vec::new();
    for entry in files.open(&wal, list)?.read_dir()? {
        if entry.kind != FileKind::Regular {
            continue;
        }
        let file = files.open(&format!("{wal}/{}", entry.name), open)?;
        let header = file.read_first(WAL_SEGMENT_SIZE.end)?;
        if is_segment(&header, &entry.name) {
            segments.push(Segment { file, header });
        }
    }
    Ok(segments)
}

/// As in `BootStrapXLOG`: seconds, microseconds and something of the process; here random bits.
pub(super) fn new_identifier() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = [0u8; 8];
    // Without randomness the time alone still differs from the template's.
    let _ = getrandom::fill(&mut random);
    (now.as_secs() << 32)
        | (u64::from(now.subsec_micros()) << 12)
        | (u64::from_le_bytes(random) & 0xfff)
}

/// Returns the old identifier; `None` if no CRC fits.
fn replace_in_control(bytes: &mut [u8], new: u64) -> Option<u64> {
    let field = |bytes: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let crc_at = CONTROL_SIZES
        .step_by(4)
        .find(|at| field(bytes, *at).is_some_and(|crc| crc == crc32c::crc32c(&bytes[..*at])))?;
    let old = u64::from_le_bytes(bytes[..8].try_into().ok()?);
    bytes[..8].copy_from_slice(&new.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..crc_at]);
    bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    Some(old)
}

fn replace_in_wal(bytes: &mut [u8], old: u64, new: u64) -> bool {
    match bytes.get_mut(WAL_IDENTIFIER) {
        Some(field) if *field == old.to_le_bytes() => {
            field.copy_from_slice(&new.to_le_bytes());
            true
        }
        _ => false,
    }
}

/// Whether these first bytes are of the segment whose name the file has. The name is three numbers of eight
/// hexadecimal digits: the time line, the upper half of the address, and which segment of those 4 GB it is.
fn is_segment(bytes: &[u8], name: &str) -> bool {
    let number = |range: std::ops::Range<usize>| {
        let field = bytes.get(range)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let digits = |range: std::ops::Range<usize>| u64::from_str_radix(name.get(range)?, 16).ok();
    let start = || {
        let segment = digits(16..24)?.checked_mul(number(WAL_SEGMENT_SIZE)?)?;
        digits(8..16)?.checked_mul(1 << 32)?.checked_add(segment)
    };
    name.len() == 24 && start().is_some_and(|start| number(WAL_ADDRESS) == Some(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_file_keeps_a_valid_crc() {
        let mut bytes = vec![0u8; 8192];
        bytes[..8].copy_from_slice(&7u64.to_le_bytes());
        bytes[100] = 3;
        let crc = crc32c::crc32c(&bytes[..292]);
        bytes[292..296].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(replace_in_control(&mut bytes, 9), Some(7));
        assert_eq!(bytes[..8], 9u64.to_le_bytes());
        assert_eq!(bytes[292..296], crc32c::crc32c(&bytes[..292]).to_le_bytes());
        bytes[5] ^= 1;
        assert_eq!(replace_in_control(&mut bytes, 10), None);
    }

    #[test]
    fn only_the_old_identifier_is_replaced_in_wal() {
        let mut page = vec![0u8; 64];
        page[24..32].copy_from_slice(&7u64.to_le_bytes());
        assert!(!replace_in_wal(&mut page, 8, 9));
        assert!(replace_in_wal(&mut page, 7, 9));
        assert_eq!(page[24..32], 9u64.to_le_bytes());
    }

    #[test]
    fn segments_that_were_recycled_are_none() {
        let mut page = vec![0u8; 64];
        page[8..16].copy_from_slice(&0x2_0030_0000_u64.to_le_bytes());
        page[32..36].copy_from_slice(&0x10_0000_u32.to_le_bytes());
        assert!(is_segment(&page, "000000010000000200000003"));
        for name in ["000000010000000200000004", "000000010000000100000003", "00000001.history", ""]
        {
            assert!(!is_segment(&page, name), "{name}");
        }
        assert!(!is_segment(&page[..20], "000000010000000200000003"));
    }
}
