//! Changes to a WebAssembly module that no tool makes for us.

use anyhow::{Context as _, Result, bail};

use super::wasm::{Reader, leb128};

const CUSTOM: u8 = 0;
const TABLE: u8 = 4;
const START: u8 = 8;

/// Functions that wasm-ld makes: fills `.bss` with zeros; adds the bases to globals that hold addresses; calls both.
const ZEROES: &str = "__wasm_init_memory";
const RELOCATES: &str = "__wasm_apply_global_relocs";
const BOTH: &str = "__wasm_start";

/// The module with a start function that leaves memory alone, or none. wasm-ld lets an instance of a side module zero
/// its variables; but memory is zeroed by who links it, and an instance that is made again, for a copy of a process, must
/// not do it.
pub(crate) fn without_zeroing(module: &[u8]) -> Result<Vec<u8>> {
    let sections = sections(module)?;
    let Some(start) = sections.iter().find(|section| section.id == START) else {
        return Ok(module.to_vec());
    };
    let start = Reader { rest: start.body }.number()?;
    let names = match sections.iter().find(|section| section.name() == Some("name")) {
        Some(section) => function_names(section.body)?,
        None => bail!("it has a start function, and no names that would tell which"),
    };
    let function = |name| names.iter().find(|(_, known)| *known == name).map(|(index, _)| *index);
    let kept = match names.iter().find(|(index, _)| *index == start) {
        Some(&(_, ZEROES)) => None,
        Some(&(_, RELOCATES)) => Some(start),
        Some(&(_, BOTH)) => Some(function(RELOCATES).with_context(|| format!("no {RELOCATES}"))?),
        other => bail!("its start function is {other:?}: what does it do?"),
    };
    let mut out = module[..8].to_vec();
    for section in sections {
        if section.id != START {
            out.extend(section.whole);
        } else if let Some(function) = kept {
            let body = leb128(function as usize);
            out.push(START);
            out.extend(leb128(body.len()));
            out.extend(body);
        }
    }
    Ok(out)
}

/// The module with `free` more slots in its one table, which cannot grow any more; and the first of these slots.
pub(crate) fn with_fixed_table(module: &[u8], free: u32) -> Result<(Vec<u8>, u32)> {
    const FUNCREF: u8 = 0x70;
    const HAS_MAXIMUM: u8 = 1;
    let mut out = module[..8].to_vec();
    let mut first_free = None;
    for section in sections(module)? {
        if section.id != TABLE {
            out.extend(section.whole);
            continue;
        }
        let mut reader = Reader { rest: section.body };
        if reader.number()? != 1 || reader.byte()? != FUNCREF || reader.byte()? > HAS_MAXIMUM {
            bail!("it has another table than the one of functions");
        }
        let slots = u32::try_from(reader.number()?).context("a table of that size")?;
        first_free = Some(slots);
        let size = leb128((slots + free) as usize);
        let body = [&[1, FUNCREF, HAS_MAXIMUM], &size[..], &size[..]].concat();
        out.push(TABLE);
        out.extend(leb128(body.len()));
        out.extend(body);
    }
    Ok((out, first_free.context("it has no table")?))
}

/// The name of the first section, if it is a custom one.
pub(crate) fn first_section(module: &[u8]) -> Option<&str> {
    sections(module).ok()?.first()?.name()
}

struct Section<'a> {
    id: u8,
    body: &'a [u8],
    /// With its header.
    whole: &'a [u8],
}

impl<'a> Section<'a> {
    fn name(&self) -> Option<&'a str> {
        (self.id == CUSTOM).then(|| Reader { rest: self.body }.text().ok()).flatten()
    }
}

fn sections(module: &[u8]) -> Result<Vec<Section<'_>>> {
    let mut reader = Reader { rest: module };
    if reader.take(8)? != b"\0asm\x01\0\0\0" {
        bail!("not a WebAssembly module");
    }
    let mut sections = Vec::new();
    while !reader.rest.is_empty() {
        let from = reader.rest;
        let id = reader.byte()?;
        let len = reader.number()? as usize;
        let body = reader.take(len)?;
        sections.push(Section { id, body, whole: &from[..from.len() - reader.rest.len()] });
    }
    Ok(sections)
}

/// The functions in a section `name`.
fn function_names(section: &[u8]) -> Result<Vec<(u64, &str)>> {
    const FUNCTIONS: u8 = 1;
    let mut names = Vec::new();
    let mut reader = Reader { rest: section };
    reader.text()?;
    while !reader.rest.is_empty() {
        let kind = reader.byte()?;
        let len = reader.number()? as usize;
        let mut part = Reader { rest: reader.take(len)? };
        if kind == FUNCTIONS {
            for _ in 0..part.number()? {
                names.push((part.number()?, part.text()?));
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::wasm::with_custom_section;
    use super::*;

    /// (module (func) (func) (start 0)), and a section `name` that gives the functions these names.
    fn with_start(names: [&str; 2]) -> Vec<u8> {
        let module = b"\0asm\x01\0\0\0\
            \x01\x04\x01\x60\x00\x00\
            \x03\x03\x02\x00\x00\
            \x08\x01\x00\
            \x0a\x07\x02\x02\x00\x0b\x02\x00\x0b";
        let mut functions = vec![2];
        for (index, name) in names.iter().enumerate() {
            functions.extend([index as u8, name.len() as u8]);
            functions.extend(name.as_bytes());
        }
        let section = [&[1, functions.len() as u8], functions.as_slice()].concat();
        with_custom_section(module, "name", &section)
    }

    fn start_of(module: &[u8]) -> Option<Vec<u8>> {
        let sections = sections(module).expect("parses");
        sections.iter().find(|section| section.id == START).map(|section| section.body.to_vec())
    }

    #[test]
    fn a_start_function_that_zeroes_memory_is_dropped() {
        let module = with_start([ZEROES, "f"]);
        let without = without_zeroing(&module).expect("its start is known");
        assert_eq!(start_of(&without), None);
        assert_eq!(without.len(), module.len() - 3);
        assert_eq!(without_zeroing(&without).expect("nothing to do"), without);
    }

    #[test]
    fn a_start_function_that_relocates_stays() {
        let module = with_start([RELOCATES, "f"]);
        assert_eq!(without_zeroing(&module).expect("its start is known"), module);
        let both = without_zeroing(&with_start([BOTH, RELOCATES])).expect("its start is known");
        assert_eq!(start_of(&both), Some(vec![1]));
    }

    #[test]
    fn a_start_function_that_may_do_more_is_an_error() {
        let error = without_zeroing(&with_start(["main", "f"])).expect_err("unknown").to_string();
        assert!(error.contains("main"), "{error}");
        assert!(without_zeroing(b"\0asm").is_err());
    }

    #[test]
    fn a_table_gets_a_fixed_size() {
        for (limits, slots) in [(&b"\0\x03"[..], 3), (b"\x01\x05\x05", 5)] {
            let section = [b"\x04", &[2 + limits.len() as u8, 1, 0x70][..], limits].concat();
            let module = [b"\0asm\x01\0\0\0", &section[..], b"\x05\x03\x01\0\x01"].concat();
            let (fixed, first_free) = with_fixed_table(&module, 200).expect("it has a table");
            assert_eq!(first_free, slots);
            let sections = sections(&fixed).expect("parses");
            let size = leb128(slots as usize + 200);
            assert_eq!(sections[0].body, [&[1, 0x70, 1], &size[..], &size[..]].concat());
            assert_eq!(sections[1].body, b"\x01\0\x01");
        }
        assert!(with_fixed_table(b"\0asm\x01\0\0\0", 1).is_err());
    }

    #[test]
    fn a_custom_section_is_found_again() {
        let empty = b"\0asm\x01\0\0\0";
        let custom = with_custom_section(empty, "dylink.0", &[1, 2]);
        assert_eq!(first_section(&custom), Some("dylink.0"));
        assert_eq!(first_section(&with_start([ZEROES, "f"])), None);
        assert_eq!(first_section(empty), None);
    }
}
