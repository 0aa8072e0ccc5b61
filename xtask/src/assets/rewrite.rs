//! Changes to a WebAssembly module that no tool makes for us.

use anyhow::{Context as _, Result, bail};

use super::wasm::Reader;

const CUSTOM: u8 = 0;
const START: u8 = 8;

/// The one function that a start section of ours may name: it fills `.bss` with zeros.
const ZEROES: &str = "__wasm_init_memory";

/// The module without its start section. wasm-ld lets an instance of a side module zero its variables; but memory is
/// zeroed by who links it, and an instance that is made again, for a copy of a process, must leave them alone.
pub(crate) fn without_start(module: &[u8]) -> Result<Vec<u8>> {
    let mut start = None;
    let mut name = None;
    let mut out = module.get(..8).context("not a WebAssembly module")?.to_vec();
    for section in sections(module)? {
        if section.id == START {
            start = Some(Reader { rest: section.body }.number()?);
            continue;
        }
        out.extend(section.whole);
        if section.id == CUSTOM && section.name()? == "name" {
            name = Some(section.body);
        }
    }
    let Some(start) = start else { return Ok(out) };
    let name = name.context("it has a start function, and no names that would tell which")?;
    match function_name(name, start)? {
        Some(ZEROES) => Ok(out),
        other => bail!("its start function is {other:?}, which may do more than {ZEROES}"),
    }
}

/// The name of the first section, if it is a custom one.
pub(crate) fn first_section(module: &[u8]) -> Option<&str> {
    sections(module).ok()?.first()?.name().ok()
}

struct Section<'a> {
    id: u8,
    body: &'a [u8],
    /// With its header.
    whole: &'a [u8],
}

impl<'a> Section<'a> {
    fn name(&self) -> Result<&'a str> {
        match self.id {
            CUSTOM => Reader { rest: self.body }.text(),
            _ => bail!("section {} has no name", self.id),
        }
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

/// Looks a function up in a section `name`.
fn function_name(section: &[u8], function: u64) -> Result<Option<&str>> {
    const FUNCTIONS: u8 = 1;
    let mut reader = Reader { rest: section };
    reader.text()?;
    while !reader.rest.is_empty() {
        let kind = reader.byte()?;
        let len = reader.number()? as usize;
        let mut part = Reader { rest: reader.take(len)? };
        if kind != FUNCTIONS {
            continue;
        }
        for _ in 0..part.number()? {
            let (index, name) = (part.number()?, part.text()?);
            if index == function {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::wasm::with_custom_section;
    use super::*;

    /// (module (func) (start 0)), and a section `name` that gives the function this name.
    fn with_start(name: &str) -> Vec<u8> {
        let module = b"\0asm\x01\0\0\0\
            \x01\x04\x01\x60\x00\x00\
            \x03\x02\x01\x00\
            \x08\x01\x00\
            \x0a\x04\x01\x02\x00\x0b";
        let len = name.len() as u8;
        let names = [&[1, len + 3, 1, 0, len], name.as_bytes()].concat();
        with_custom_section(module, "name", &names)
    }

    #[test]
    fn a_start_function_that_zeroes_memory_is_dropped() {
        let module = with_start(ZEROES);
        let without = without_start(&module).expect("its start is known");
        assert_eq!(without.len(), module.len() - 3);
        let ids = |module: &[u8]| -> Vec<u8> {
            sections(module).expect("parses").iter().map(|section| section.id).collect()
        };
        assert_eq!(ids(&module), [1, 3, 8, 10, 0]);
        assert_eq!(ids(&without), [1, 3, 10, 0]);
        assert_eq!(without_start(&without).expect("nothing to do"), without);
    }

    #[test]
    fn a_start_function_that_may_do_more_is_an_error() {
        let error = without_start(&with_start("main")).expect_err("unknown").to_string();
        assert!(error.contains("main"), "{error}");
        assert!(without_start(b"\0asm").is_err());
    }

    #[test]
    fn a_custom_section_is_found_again() {
        let empty = b"\0asm\x01\0\0\0";
        assert_eq!(
            first_section(&with_custom_section(empty, "dylink.0", &[1, 2])),
            Some("dylink.0")
        );
        assert_eq!(first_section(&with_start(ZEROES)), None);
        assert_eq!(first_section(empty), None);
    }
}
