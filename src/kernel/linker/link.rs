//! What one process has loaded.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmer::{AsStoreMut, Extern, Function, Global, Instance, Value};

use super::core::{CoreInstance, Kind};
use super::module::{Export, Import, SideModule, Source};
use super::{Library, LoadError};
use crate::kernel::instance::Instances;
use crate::kernel::memory::Region;

/// As many as `MAX_SIDE_MODULES` in assets/wasix/dl.c.
const MAX_MODULES: usize = 1024;

/// Slots behind a module's own, for its two initialisers.
const INITIALISERS: [&str; 2] = ["__wasm_apply_data_relocs", "__wasm_call_ctors"];

/// A step of loading. The same steps in the same order give the same table and the same globals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Load {
    Module {
        path: String,
        identity: [u8; 32],
        memory: u32,
    },
    /// A function that got a slot because somebody asked for its address: of which module, from 0 on.
    Slot {
        module: usize,
        name: String,
    },
}

impl Load {
    pub(super) fn module(&self) -> Option<(&str, [u8; 32])> {
        match self {
            Load::Module { path, identity, .. } => Some((path, *identity)),
            Load::Slot { .. } => None,
        }
    }
}

/// The modules of a process.
#[derive(Default)]
pub(crate) struct Linker {
    /// The process's instance of the main module.
    instance: Option<Instance>,
    /// Looked up at the first load.
    core: Option<CoreInstance>,
    /// Opened, and to be linked next.
    opened: Option<Arc<SideModule>>,
    /// In the order of their handles.
    linked: Vec<Linked>,
    loads: Vec<Load>,
    /// Of the process that this one is a copy of, as long as they have not been replayed.
    inherited: Vec<Load>,
    /// A load has failed half-way, so that a copy would not be the same.
    spoiled: bool,
    /// The text of the last error.
    message: String,
}

struct Linked {
    module: Arc<SideModule>,
    instance: Instance,
    memory: u32,
    table: u32,
    /// Of functions that are not among the module's own slots.
    slots: HashMap<String, u32>,
}

/// What is to be called, as slots of the table; 0 for nothing.
pub(crate) type Initialisers = [u32; 2];

/// What the guest has to know to link a module.
pub(crate) struct Found {
    /// From 1 on.
    pub(crate) handle: u32,
    pub(crate) size: u32,
    pub(crate) align: u32,
    pub(crate) is_linked: bool,
}

impl Linker {
    /// Of a copy of a process that has loaded these.
    pub(crate) fn of_copy(loads: Vec<Load>) -> Linker {
        Linker { inherited: loads, ..Linker::default() }
    }

    /// The process has its instance of the main module.
    pub(crate) fn attach(&mut self, instance: &Instance) {
        self.instance = Some(instance.clone());
    }

    /// Whether it has left the instance as it was.
    pub(crate) fn is_unused(&self) -> bool {
        self.linked.is_empty() && self.loads.is_empty() && !self.spoiled
    }

    /// What a copy of the process has to load; None if there can be none.
    pub(crate) fn loads(&self) -> Option<&[Load]> {
        (!self.spoiled).then_some(&self.loads)
    }

    pub(crate) fn fail(&mut self, error: &LoadError) {
        self.message = error.to_string();
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The module at a path.
    pub(crate) fn open(
        &mut self,
        library: &Library,
        instances: &Instances,
        path: &str,
    ) -> Result<Found, LoadError> {
        let module = library.open(instances, path)?;
        let known = self.linked.iter().position(|linked| Arc::ptr_eq(&linked.module, &module));
        if known.is_none() && self.linked.len() == MAX_MODULES {
            return Err(LoadError::TooMany);
        }
        let align = module.dylink.memory_align.max(16);
        let found = Found {
            handle: known.unwrap_or(self.linked.len()) as u32 + 1,
            size: module.dylink.memory_size.max(16).next_multiple_of(align),
            align,
            is_linked: known.is_some(),
        };
        self.opened = Some(module);
        Ok(found)
    }

    /// Links the module that was opened last. Its memory is zeroed and its own.
    pub(crate) fn link(
        &mut self,
        store: &mut impl AsStoreMut,
        region: &Region,
        handle: u32,
        memory: u32,
    ) -> Result<Initialisers, LoadError> {
        let module = self.opened.take().ok_or(LoadError::Unknown)?;
        if handle as usize != self.linked.len() + 1 {
            return Err(LoadError::Unknown);
        }
        self.link_module(store, region, module, memory)
    }

    fn link_module(
        &mut self,
        store: &mut impl AsStoreMut,
        region: &Region,
        module: Arc<SideModule>,
        memory: u32,
    ) -> Result<Initialisers, LoadError> {
        if self.core.is_none() {
            let instance = self.instance.as_ref().ok_or(LoadError::NoInterface)?;
            self.core = Some(CoreInstance::of(instance, store, module.first_free_slot)?);
        }
        // Everything that can fail for a reason of the module's comes before anything changes.
        let resolved = self.resolve(store, region, &module)?;
        let core = self.core.as_mut().expect("looked up above");
        let reserved = module.dylink.table_size + INITIALISERS.len() as u32;
        let table = core.take_slots(store, reserved, module.dylink.table_align)?;
        self.spoiled = true;
        let core = self.core.as_ref().expect("looked up above");
        let externs = resolved.into_iter().zip(&module.imports).map(|(address, import)| {
            match (import, address) {
                (Import::Memory, _) => core.memory.clone(),
                (Import::Table, _) => Extern::Table(core.table.clone()),
                (Import::StackPointer, _) => Extern::Global(core.stack_pointer.clone()),
                (Import::LongjmpTag, _) => core.longjmp_tag.clone(),
                (Import::MemoryBase, _) => constant(store, memory),
                (Import::TableBase, _) => constant(store, table),
                (_, Resolved::Function(function)) => Extern::Function(function),
                (_, Resolved::Address(address)) => variable(store, address),
                (_, Resolved::OwnData(offset)) => variable(store, memory.wrapping_add(offset)),
                (_, Resolved::OwnSlot(slot)) => variable(store, table + slot),
                (_, Resolved::Nothing) => variable(store, 0),
            }
        });
        let externs: Vec<Extern> = externs.collect();
        let instance = Instance::new_by_index(store, &module.module, &externs)
            .map_err(|error| LoadError::Instance(error.to_string()))?;
        let core = self.core.as_ref().expect("looked up above");
        let mut initialisers = [0; 2];
        for (place, name) in INITIALISERS.iter().enumerate() {
            if let Ok(function) = instance.exports.get_function(name) {
                let slot = table + module.dylink.table_size + place as u32;
                core.set_slot(store, slot, function.clone())?;
                initialisers[place] = slot;
            }
        }
        core.publish(store, table..table + reserved)?;
        self.loads.push(Load::Module {
            path: module.path.clone(),
            identity: module.identity,
            memory,
        });
        self.linked.push(Linked { module, instance, memory, table, slots: HashMap::new() });
        self.spoiled = false;
        Ok(initialisers)
    }

    /// What each import of a module is given.
    fn resolve(
        &mut self,
        store: &mut impl AsStoreMut,
        region: &Region,
        module: &SideModule,
    ) -> Result<Vec<Resolved>, LoadError> {
        let mut unresolved = Vec::new();
        let mut resolved = Vec::with_capacity(module.imports.len());
        for import in &module.imports {
            let (name, kind, source) = match import {
                Import::Function { name, source, .. }
                | Import::FunctionAddress { name, source } => (name, Kind::Function, *source),
                Import::DataAddress { name, source } => (name, Kind::Data, *source),
                _ => {
                    resolved.push(Resolved::Nothing);
                    continue;
                }
            };
            let core = self.core.as_ref().expect("looked up before");
            let address = match source {
                Source::Core(symbol) => Some(core.address(region, symbol)?),
                Source::Own(Export::Data { offset }) => {
                    resolved.push(Resolved::OwnData(offset));
                    continue;
                }
                Source::Own(Export::Function { slot: Some(slot) }) => {
                    resolved.push(Resolved::OwnSlot(slot));
                    continue;
                }
                // wasm-ld gives each function whose address the module takes a slot.
                Source::Own(Export::Function { slot: None }) => None,
                Source::Others => self.find_in_others(store, name, kind)?,
                Source::Weak => Some(self.find_in_others(store, name, kind)?.unwrap_or(0)),
            };
            let Some(address) = address else {
                unresolved.push(name.clone());
                continue;
            };
            let Import::Function { ty, .. } = import else {
                resolved.push(Resolved::Address(address));
                continue;
            };
            let core = self.core.as_ref().expect("looked up before");
            let Some(function) = core.function(store, address) else {
                unresolved.push(name.clone());
                continue;
            };
            let found = function.ty(store);
            if found != *ty {
                return Err(LoadError::WrongType {
                    symbol: name.clone(),
                    expected: ty.to_string(),
                    found: found.to_string(),
                });
            }
            resolved.push(Resolved::Function(function));
        }
        match unresolved.is_empty() {
            true => Ok(resolved),
            false => Err(LoadError::Unresolved(unresolved)),
        }
    }

    fn find_in_others(
        &mut self,
        store: &mut impl AsStoreMut,
        name: &str,
        kind: Kind,
    ) -> Result<Option<u32>, LoadError> {
        for index in 0..self.linked.len() {
            let export = self.linked[index].module.export(name);
            let same = match export {
                Some(Export::Function { .. }) => kind == Kind::Function,
                Some(Export::Data { .. }) => kind == Kind::Data,
                None => false,
            };
            if same {
                return self.address(store, index, name).map(Some);
            }
        }
        Ok(None)
    }

    /// The address of what a linked module exports.
    pub(crate) fn symbol(
        &mut self,
        store: &mut impl AsStoreMut,
        handle: u32,
        name: &str,
    ) -> Result<u32, LoadError> {
        let index = (handle as usize).checked_sub(1).filter(|index| *index < self.linked.len());
        self.address(store, index.ok_or(LoadError::Unknown)?, name)
    }

    fn address(
        &mut self,
        store: &mut impl AsStoreMut,
        index: usize,
        name: &str,
    ) -> Result<u32, LoadError> {
        let undefined = || LoadError::UndefinedSymbol(name.to_owned());
        let linked = &self.linked[index];
        match linked.module.export(name).ok_or_else(undefined)? {
            Export::Data { offset } => return Ok(linked.memory.wrapping_add(offset)),
            Export::Function { slot: Some(slot) } => return Ok(linked.table + slot),
            Export::Function { slot: None } => {}
        }
        if let Some(slot) = linked.slots.get(name) {
            return Ok(*slot);
        }
        let function = linked.instance.exports.get_function(name).map_err(|_| undefined())?.clone();
        let core = self.core.as_mut().expect("there is a linked module");
        let slot = core.take_slots(store, 1, 1)?;
        core.set_slot(store, slot, function)?;
        core.publish(store, slot..slot + 1)?;
        self.linked[index].slots.insert(name.to_owned(), slot);
        self.loads.push(Load::Slot { module: index, name: name.to_owned() });
        Ok(slot)
    }

    /// Makes a copy's instance what the original's was. Its memory is in place, and linking must not initialise it.
    pub(crate) fn replay(
        &mut self,
        store: &mut impl AsStoreMut,
        library: &Library,
        instances: &Instances,
        region: &Region,
    ) -> Result<(), LoadError> {
        for load in std::mem::take(&mut self.inherited) {
            match load {
                Load::Module { path, identity, memory } => {
                    let module = library.open(instances, &path)?;
                    if module.identity != identity {
                        return Err(LoadError::Replay(format!("{path} is another")));
                    }
                    self.link_module(store, region, module, memory)?;
                }
                Load::Slot { module, name } => {
                    if module >= self.linked.len() {
                        return Err(LoadError::Replay("a module is missing".into()));
                    }
                    self.address(store, module, &name)?;
                }
            }
        }
        Ok(())
    }
}

enum Resolved {
    Function(Function),
    Address(u32),
    OwnData(u32),
    OwnSlot(u32),
    /// Of an import that is not a symbol; and the address of a weak one.
    Nothing,
}

fn constant(store: &mut impl AsStoreMut, value: u32) -> Extern {
    Extern::Global(Global::new(store, Value::I32(value as i32)))
}

fn variable(store: &mut impl AsStoreMut, value: u32) -> Extern {
    Extern::Global(Global::new_mut(store, Value::I32(value as i32)))
}
