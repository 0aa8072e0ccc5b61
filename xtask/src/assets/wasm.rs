//! What a WebAssembly module imports and exports: just enough of the binary format for that.

use anyhow::{Context as _, Result, bail};

/// The imports and exports of a module, in its order.
#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) imports: Vec<Import>,
    pub(crate) exports: Vec<Export>,
}

#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) module: String,
    pub(crate) name: String,
    /// For a function, its type, such as `(i32, i64) -> (i32)`.
    pub(crate) kind: String,
}

#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
}

impl Module {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader { rest: bytes };
        if reader.take(8)? != b"\0asm\x01\0\0\0" {
            bail!("not a WebAssembly module");
        }
        let mut module = Self::default();
        let mut types = Vec::new();
        while !reader.rest.is_empty() {
            let id = reader.byte()?;
            let len = reader.number()? as usize;
            let mut section = Reader { rest: reader.take(len)? };
            match id {
                1 => types = section.types().context("type section")?,
                2 => module.imports = section.imports(&types).context("import section")?,
                7 => module.exports = section.exports().context("export section")?,
                _ => {}
            }
        }
        Ok(module)
    }
}

/// The module with one more custom section, at its end.
pub(crate) fn with_custom_section(module: &[u8], name: &str, contents: &[u8]) -> Vec<u8> {
    let mut body = leb128(name.len());
    body.extend(name.as_bytes());
    body.extend(contents);
    [module, &[0], &leb128(body.len()), &body].concat()
}

pub(crate) fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).context("the module ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned LEB128 number.
    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        bail!("a number is too long")
    }

    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let len = self.number()? as usize;
        std::str::from_utf8(self.take(len)?).context("a name is not UTF-8")
    }

    fn name(&mut self) -> Result<String> {
        Ok(self.text()?.to_owned())
    }

    fn types(&mut self) -> Result<Vec<String>> {
        let mut types = Vec::new();
        for _ in 0..self.number()? {
            match self.byte()? {
                0x60 => {
                    let parameters = self.values()?;
                    let results = self.values()?;
                    types.push(format!("({parameters}) -> ({results})"));
                }
                // Rec groups and the like come after all types that imports use, in what the toolchain makes.
                other => bail!("a type of form {other:#x}"),
            }
        }
        Ok(types)
    }

    fn values(&mut self) -> Result<String> {
        let count = self.number()?;
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(match self.byte()? {
                0x7f => "i32",
                0x7e => "i64",
                0x7d => "f32",
                0x7c => "f64",
                0x7b => "v128",
                0x70 => "funcref",
                0x6f => "externref",
                0x69 => "exnref",
                0x63 | 0x64 => {
                    self.number()?;
                    "ref"
                }
                other => bail!("a value type {other:#x}"),
            });
        }
        Ok(names.join(", "))
    }

    fn imports(&mut self, types: &[String]) -> Result<Vec<Import>> {
        let mut imports = Vec::new();
        for _ in 0..self.number()? {
            let module = self.name()?;
            let name = self.name()?;
            let kind = match self.byte()? {
                0 => {
                    let index = self.number()? as usize;
                    types.get(index).context("an import of an unknown type")?.clone()
                }
                1 => {
                    self.byte()?;
                    self.limits()?;
                    "table".to_owned()
                }
                2 => {
                    self.limits()?;
                    "memory".to_owned()
                }
                3 => {
                    self.take(2)?;
                    "global".to_owned()
                }
                4 => {
                    self.byte()?;
                    self.number()?;
                    "tag".to_owned()
                }
                other => bail!("an import of kind {other}"),
            };
            imports.push(Import { module, name, kind });
        }
        Ok(imports)
    }

    fn limits(&mut self) -> Result<()> {
        let flags = self.byte()?;
        self.number()?;
        if flags & 1 != 0 {
            self.number()?;
        }
        Ok(())
    }

    fn exports(&mut self) -> Result<Vec<Export>> {
        let mut exports = Vec::new();
        for _ in 0..self.number()? {
            let name = self.name()?;
            let kind = match self.byte()? {
                0 => "function",
                1 => "table",
                2 => "memory",
                3 => "global",
                4 => "tag",
                other => bail!("an export of kind {other}"),
            };
            self.number()?;
            exports.push(Export { name, kind });
        }
        Ok(exports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_and_exports_are_found() {
        // (module (import "a" "f" (func (param i32 i64) (result i32))) (memory (export "m") 1))
        let bytes = b"\0asm\x01\0\0\0\
            \x01\x07\x01\x60\x02\x7f\x7e\x01\x7f\
            \x02\x07\x01\x01a\x01f\x00\x00\
            \x05\x03\x01\x00\x01\
            \x07\x05\x01\x01m\x02\x00";
        let module = Module::parse(bytes).expect("parses");
        assert_eq!(module.imports[0].kind, "(i32, i64) -> (i32)");
        assert_eq!((module.exports[0].name.as_str(), module.exports[0].kind), ("m", "memory"));
    }

    #[test]
    fn a_cut_module_is_an_error() {
        assert!(Module::parse(b"\0asm\x01\0\0\0\x01\x07").is_err());
        assert!(Module::parse(b"#!/bin/sh").is_err());
    }
}
