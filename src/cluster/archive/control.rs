//! The control file: whether a data directory is one that our PostgreSQL can read.
//!
//! `ControlFileData` in `src/include/catalog/pg_control.h` of PostgreSQL 17, which has the same layout on all
//! machines where an `int64` is aligned to 8 bytes, and ends with the CRC-32C of what is before it. PostgreSQL
//! makes these checks itself, at its start; here they come before a directory is made of an archive.

use crate::error::LoadError;

/// `PG_CONTROL_FILE_SIZE`, filled up with zeros.
pub(super) const FILE_SIZE: usize = 8192;

const VERSION: usize = 8;
const CATALOG_VERSION: usize = 12;
const BY_VALUE: usize = 248;
const CRC: usize = 288;

/// Fields that have to be as ours, but for those above: offset, name.
const LAYOUT: &[(usize, &str)] = &[
    (204, "maximum alignment"),
    (216, "block size"),
    (220, "relation segment size"),
    (224, "WAL block size"),
    (232, "name length"),
    (236, "number of index columns"),
    (240, "TOAST chunk size"),
    (244, "large object chunk size"),
];

/// Whether the bytes are a control file, not half of one and half of another.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    bytes.len() == FILE_SIZE && field(bytes, CRC) == crc32c::crc32c(&bytes[..CRC])
}

fn field(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Compares with the control file of the template, which PostgreSQL has made.
pub(super) fn check(found: &[u8], template: &[u8]) -> Result<(), LoadError> {
    if !is_whole(found) {
        return Err(LoadError::Damaged {
            reason: format!("{} has not the checksum that it should have", super::CONTROL_FILE),
        });
    }
    if !is_whole(template) {
        // PostgreSQL's own check remains.
        tracing::warn!("the template's control file is not as expected");
        return Ok(());
    }
    let incompatible = |reason: String| Err(LoadError::Incompatible { reason });
    for (at, name) in [(VERSION, "control file"), (CATALOG_VERSION, "catalog")] {
        let (found, ours) = (field(found, at), field(template, at));
        if found != ours {
            return incompatible(format!(
                "its database has {name} version {found} instead of {ours}"
            ));
        }
    }
    if found[BY_VALUE] != template[BY_VALUE] {
        let bits = |file: &[u8]| if file[BY_VALUE] == 0 { 32 } else { 64 };
        let (found, ours) = (bits(found), bits(template));
        return incompatible(format!(
            "it comes from a {found}-bit PostgreSQL, and that of this library has {ours} bits"
        ));
    }
    for (at, name) in LAYOUT {
        let (found, ours) = (field(found, *at), field(template, *at));
        if found != ours {
            return incompatible(format!(
                "it comes from a PostgreSQL with {name} {found} instead of {ours}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the values of PostgreSQL's own build; `by_value` as on a machine of 64 bits.
    fn control(by_value: bool) -> Vec<u8> {
        let mut bytes = vec![0; FILE_SIZE];
        for (at, value) in
            [(VERSION, 1700u32), (CATALOG_VERSION, 202_406_281), (204, 8), (216, 8192)]
        {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes[BY_VALUE] = by_value.into();
        sealed(bytes)
    }

    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let crc = crc32c::crc32c(&bytes[..CRC]);
        bytes[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn what_is_told_apart() {
        let ours = control(false);
        check(&ours, &ours).unwrap();
        let message = |found: &[u8]| check(found, &ours).unwrap_err().to_string();
        assert!(message(&control(true)).contains("64-bit PostgreSQL"));
        let mut other = ours.clone();
        other[217] = 0x40;
        assert!(message(&other).contains("checksum"));
        assert!(message(&sealed(other)).contains("block size 16384 instead of 8192"));
        assert!(message(&ours[..100]).contains("checksum"));
    }

    #[test]
    fn the_template_s_fields_are_where_they_are_looked_for() {
        let runtime = crate::assets::Runtime::load(None, None).unwrap();
        let template = runtime.template().unwrap();
        let bytes =
            super::super::load::read(template, crate::cluster::archive::CONTROL_FILE).unwrap();
        assert!(is_whole(&bytes));
        assert_eq!(field(&bytes, VERSION), 1700);
        assert_eq!(f64::from_le_bytes(bytes[208..216].try_into().unwrap()), 1_234_567.0);
        let values: Vec<_> = LAYOUT.iter().map(|(at, _)| field(&bytes, *at)).collect();
        assert_eq!(values, [8, 8192, 131_072, 8192, 64, 32, 1996, 2048]);
        assert_eq!(bytes[BY_VALUE], 0);
    }
}
