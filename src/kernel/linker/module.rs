//! A side module: where each of its imports comes from, found out once per process of the host.

use std::collections::HashMap;

use wasmer::{ExportIndex, ExternType, FunctionType, GlobalInit, Module};

use super::LoadError;
use super::core::{ABI, Core, Kind, Symbol};
use super::dylink::Dylink;

/// A module that can be linked into any process.
#[derive(Debug)]
pub(crate) struct SideModule {
    pub(super) path: String,
    /// Of its artifact.
    pub(super) identity: [u8; 32],
    pub(super) module: Module,
    pub(super) dylink: Dylink,
    /// In the module's order.
    pub(super) imports: Vec<Import>,
    exports: HashMap<String, Export>,
    /// Of the core's table.
    pub(super) first_free_slot: u32,
}

/// What an import is given.
#[derive(Debug)]
pub(super) enum Import {
    Memory,
    Table,
    StackPointer,
    LongjmpTag,
    MemoryBase,
    TableBase,
    Function {
        name: String,
        ty: FunctionType,
        source: Source,
    },
    /// A global variable with the address of data.
    DataAddress {
        name: String,
        source: Source,
    },
    /// The same with a function's slot in the table.
    FunctionAddress {
        name: String,
        source: Source,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Core(Symbol),
    /// The module has it itself.
    Own(Export),
    /// Some side module that was loaded before; whether there is one shows only then.
    Others,
    /// If nobody has it, 0.
    Weak,
}

/// What a module has for others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Export {
    /// A function, and its place among the module's slots if it has one.
    Function { slot: Option<u32> },
    /// Where data begin, from the module's memory on.
    Data { offset: u32 },
}

impl SideModule {
    pub(super) fn of(
        path: &str,
        identity: [u8; 32],
        module: Module,
        core: &Core,
    ) -> Result<SideModule, LoadError> {
        let section = |name| module.custom_sections(name).next();
        let abi = section(ABI)
            .ok_or(LoadError::NotAModule("it does not say which core it was built for"))?;
        if abi != core.abi {
            let (expected, found) = (hexadecimal(&core.abi), hexadecimal(&abi));
            return Err(LoadError::OtherCore { expected, found });
        }
        let dylink = section("dylink.0")
            .and_then(|section| Dylink::parse(&section))
            .ok_or(LoadError::NotAModule("it has no dylink.0 section that makes sense"))?;
        let exports = exports(&module);
        let (imports, unresolved) = imports(&module, core, &dylink, &exports);
        if !unresolved.is_empty() {
            return Err(LoadError::Unresolved(unresolved));
        }
        Ok(SideModule {
            path: path.to_owned(),
            identity,
            module,
            dylink,
            imports,
            exports,
            first_free_slot: core.first_free_slot,
        })
    }

    pub(super) fn export(&self, name: &str) -> Option<Export> {
        self.exports.get(name).copied()
    }
}

fn exports(module: &Module) -> HashMap<String, Export> {
    let info = module.info();
    let mut slots = HashMap::new();
    // One segment, whose first element goes to the table base.
    for segment in info.table_initializers.iter().take(1) {
        for (slot, function) in segment.elements.iter().enumerate() {
            slots.entry(*function).or_insert(slot as u32);
        }
    }
    let export = |index: &ExportIndex| match index {
        ExportIndex::Function(function) => {
            Some(Export::Function { slot: slots.get(function).copied() })
        }
        ExportIndex::Global(global) => {
            let initial = info.global_initializers.get(info.local_global_index(*global)?)?;
            match initial {
                GlobalInit::I32Const(offset) => Some(Export::Data { offset: *offset as u32 }),
                _ => None,
            }
        }
        _ => None,
    };
    info.exports.iter().filter_map(|(name, index)| Some((name.clone(), export(index)?))).collect()
}

/// All imports, and the names of those that nobody can have.
fn imports(
    module: &Module,
    core: &Core,
    dylink: &Dylink,
    exports: &HashMap<String, Export>,
) -> (Vec<Import>, Vec<String>) {
    let mut unresolved = Vec::new();
    let mut imports = Vec::new();
    for import in module.imports() {
        let name = import.name().to_owned();
        let weak = || dylink.weak.contains(&name);
        let in_core = |kind| core.find(kind, &name).map(Source::Core);
        let elsewhere = || if weak() { Source::Weak } else { Source::Others };
        let own = |wanted: fn(&Export) -> bool| {
            exports.get(&name).copied().filter(wanted).map(Source::Own)
        };
        imports.push(match (import.module(), import.ty()) {
            ("env", ExternType::Memory(_)) => Import::Memory,
            ("env", ExternType::Table(_)) => Import::Table,
            ("env", ExternType::Tag(_)) if name == "__c_longjmp" => Import::LongjmpTag,
            ("env", ExternType::Global(_)) if name == "__stack_pointer" => Import::StackPointer,
            ("env", ExternType::Global(_)) if name == "__memory_base" => Import::MemoryBase,
            ("env", ExternType::Global(_)) if name == "__table_base" => Import::TableBase,
            ("env", ExternType::Function(ty)) => Import::Function {
                ty: ty.clone(),
                source: in_core(Kind::Function).unwrap_or(Source::Others),
                name,
            },
            ("GOT.mem", ExternType::Global(_)) => {
                let source = own(|export| matches!(export, Export::Data { .. }))
                    .or_else(|| in_core(Kind::Data))
                    .unwrap_or_else(elsewhere);
                Import::DataAddress { name, source }
            }
            ("GOT.func", ExternType::Global(_)) => {
                let source = own(|export| matches!(export, Export::Function { .. }))
                    .or_else(|| in_core(Kind::Function))
                    .unwrap_or_else(elsewhere);
                Import::FunctionAddress { name, source }
            }
            (module, _) => {
                unresolved.push(format!("{module}.{name}"));
                continue;
            }
        });
    }
    (imports, unresolved)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
