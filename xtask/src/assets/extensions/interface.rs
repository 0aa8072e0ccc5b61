//! What side modules import, compared with what the core and other modules have.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};

use super::super::wasm;

/// What the kernel's linker provides for every side module.
const OF_THE_LINKER: &[&str] = &[
    "memory",
    "__indirect_function_table",
    "__stack_pointer",
    "__memory_base",
    "__table_base",
    "__c_longjmp",
];

/// Symbols of the core, as the step `link` lists them: `f` or `d`, and the name, in each line.
pub(super) struct Core<'a>(BTreeSet<(&'a str, &'a str)>);

impl<'a> Core<'a> {
    pub(super) fn parse(symbols: &'a str) -> Result<Self> {
        let lines = symbols.lines().map(|line| line.split_once(' '));
        let symbols: Option<BTreeSet<_>> = lines.collect();
        Ok(Self(symbols.context("the list of the core's symbols is damaged")?))
    }
}

/// The union of all imports: kind and name, and of a function the type.
#[derive(Default)]
pub(super) struct Imports(BTreeMap<(&'static str, String), String>);

impl Imports {
    /// Adds those of one module. `others` are the modules that are loaded with it.
    pub(super) fn add(
        &mut self,
        name: &str,
        module: &wasm::Module,
        core: &Core<'_>,
        others: &[&wasm::Module],
    ) -> Result<()> {
        let mut missing = Vec::new();
        for import in &module.imports {
            let (kind, letter) = match import.module.as_str() {
                "env" if OF_THE_LINKER.contains(&import.name.as_str()) => continue,
                "env" if import.kind.starts_with('(') => ("func", "f"),
                "GOT.func" => ("func", "f"),
                "GOT.mem" => ("data", "d"),
                _ => bail!(
                    "module {name} imports {}.{}: a side module can only use what the core has",
                    import.module,
                    import.name
                ),
            };
            let exported = |module: &&wasm::Module| {
                module.exports.iter().any(|export| export.name == import.name)
            };
            let found = core.0.contains(&(letter, import.name.as_str()))
                || others.iter().any(exported)
                || exported(&module);
            if !found {
                missing.push(format!("{kind} {}", import.name));
            }
            let entry = self.0.entry((kind, import.name.clone())).or_default();
            if import.module == "env" {
                entry.clone_from(&import.kind);
            }
        }
        if !missing.is_empty() {
            bail!(
                "module {name} needs what neither the core nor a module that it requires has: {}. Functions of the C \
                 library have to be in assets/wasix/side/libc.txt.",
                missing.join(", ")
            );
        }
        Ok(())
    }

    /// A line each: `func name type` or `data name`. Of a function whose address alone is used, the type is unknown.
    pub(super) fn to_text(&self) -> String {
        let line = |((kind, name), of_type): (&(&str, String), &String)| {
            format!("{kind} {name} {of_type}").trim_end().to_owned() + "\n"
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(imports: &[(&str, &str, &str)]) -> wasm::Module {
        let import = |(module, name, kind): &(&str, &str, &str)| wasm::Import {
            module: (*module).to_owned(),
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
        };
        wasm::Module { imports: imports.iter().map(import).collect(), exports: Vec::new() }
    }

    #[test]
    fn what_is_missing_is_named() {
        let core = Core::parse("f palloc\nd CurrentMemoryContext\n").expect("parses");
        let mut imports = Imports::default();
        let good = module(&[
            ("env", "__memory_base", "global"),
            ("env", "palloc", "(i32) -> (i32)"),
            ("GOT.func", "palloc", "global"),
            ("GOT.mem", "CurrentMemoryContext", "global"),
        ]);
        imports.add("good", &good, &core, &[]).expect("all is there");
        assert_eq!(imports.to_text(), "data CurrentMemoryContext\nfunc palloc (i32) -> (i32)\n");

        let bad = module(&[("env", "CurrentMemoryContext", "() -> ()")]);
        let error = imports.add("bad", &bad, &core, &[]).expect_err("no such function").to_string();
        assert!(
            error.contains("module bad") && error.contains("func CurrentMemoryContext"),
            "{error}"
        );
        assert!(imports.add("wasi", &module(&[("wasix", "f", "() -> ()")]), &core, &[]).is_err());
    }
}
