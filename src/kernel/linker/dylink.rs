//! The custom section `dylink.0`: what a side module wants of whoever links it.
//!
//! Format: <https://github.com/WebAssembly/tool-conventions/blob/main/DynamicLinking.md>.

/// The section's contents, as far as they matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dylink {
    /// Bytes of memory, and their alignment.
    pub(super) memory_size: u32,
    pub(super) memory_align: u32,
    /// Slots of the table, and their alignment.
    pub(super) table_size: u32,
    pub(super) table_align: u32,
    /// Names of imports that may stay unresolved.
    pub(super) weak: Vec<String>,
}

const MEMORY_INFO: u8 = 1;
const IMPORT_INFO: u8 = 4;
const BINDING_WEAK: u32 = 1;

/// More than any alignment that makes sense.
const ALIGN_LOG_MAX: u32 = 16;

impl Dylink {
    /// None if it is not such a section.
    pub(super) fn parse(section: &[u8]) -> Option<Dylink> {
        let mut reader = Reader { rest: section };
        let mut dylink = Dylink { memory_align: 1, table_align: 1, ..Dylink::default() };
        while !reader.rest.is_empty() {
            let kind = reader.byte()?;
            let len = reader.number()?;
            let mut part = Reader { rest: reader.take(len)? };
            match kind {
                MEMORY_INFO => {
                    dylink.memory_size = part.number()?;
                    dylink.memory_align = part.power_of_two()?;
                    dylink.table_size = part.number()?;
                    dylink.table_align = part.power_of_two()?;
                }
                IMPORT_INFO => {
                    for _ in 0..part.number()? {
                        let _module = part.name()?;
                        let name = part.name()?;
                        if part.number()? & BINDING_WEAK != 0 {
                            dylink.weak.push(name.to_owned());
                        }
                    }
                }
                // Names of needed libraries, flags of exports, search paths.
                _ => {}
            }
        }
        Some(dylink)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: u32) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len as usize)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    /// An unsigned LEB128 number of 32 bits.
    fn number(&mut self) -> Option<u32> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    fn power_of_two(&mut self) -> Option<u32> {
        let log = self.number()?;
        (log <= ALIGN_LOG_MAX).then(|| 1 << log)
    }

    fn name(&mut self) -> Option<&'a str> {
        let len = self.number()?;
        std::str::from_utf8(self.take(len)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_weak_imports() {
        let section = [
            &[1, 5, 0x90, 0x02, 4, 3, 0][..],
            &[4, 16, 2, 3, b'e', b'n', b'v', 1, b'a', 1, 3, b'e', b'n', b'v', 1, b'b', 0, 0],
        ];
        // The second part ends with a byte too many for its entries, which is no error.
        let mut bytes = section.concat();
        bytes[8] = (bytes.len() - 9) as u8;
        assert_eq!(
            Dylink::parse(&bytes),
            Some(Dylink {
                memory_size: 272,
                memory_align: 16,
                table_size: 3,
                table_align: 1,
                weak: vec!["a".into()],
            })
        );
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        for bytes in [&[1][..], &[1, 5, 1], &[1, 4, 0x80, 0x80, 0x80, 0x80], &[1, 2, 0, 40]] {
            assert_eq!(Dylink::parse(bytes), None, "{bytes:?}");
        }
        assert!(Dylink::parse(&[]).is_some_and(|dylink| dylink.memory_size == 0));
    }
}
