//! The system identifier of a new database.
//!
//! All databases come from one template, but Postgres uses this number to tell clusters apart, so that WAL
//! of one is never replayed into another. It stands in `pg_control` (first field, protected by a CRC at
//! the end of the struct) and in the first page of each WAL segment (`xlp_sysid`):
//! src/include/catalog/pg_control.h and src/include/access/xlog_internal.h of PostgreSQL.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Offset of `xlp_sysid` in `XLogLongPageHeaderData`.
const WAL_IDENTIFIER: usize = 24;

/// `sizeof(ControlFileData)` is somewhere in between.
const CONTROL_SIZES: std::ops::Range<usize> = 200..512;

/// Gives the closed database in `path` an identifier of its own.
pub(super) fn renew(path: &Path) -> io::Result<()> {
    let new = identifier();
    let control = path.join("global/pg_control");
    let mut bytes = fs::read(&control)?;
    let old = replace_in_control(&mut bytes, new)
        .ok_or_else(|| io::Error::other("pg_control of the template is not as expected"))?;
    fs::write(&control, bytes)?;

    for entry in fs::read_dir(path.join("pg_wal"))? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let mut bytes = fs::read(entry.path())?;
        if replace_in_wal(&mut bytes, old, new) {
            fs::write(entry.path(), bytes)?;
        }
    }
    Ok(())
}

/// As in `BootStrapXLOG`: seconds, microseconds and something of the process; here random bits.
fn identifier() -> u64 {
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
    match bytes.get_mut(WAL_IDENTIFIER..WAL_IDENTIFIER + 8) {
        Some(field) if *field == old.to_le_bytes() => {
            field.copy_from_slice(&new.to_le_bytes());
            true
        }
        _ => false,
    }
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
}
