//! What the main module, the core, has for side modules.
//!
//! Exports would be the usual way, but each is made anew with each instance, and there are thousands. So the
//! build puts the addresses of all symbols into an array in the core's memory (a function's address is its slot in
//! the table), and their names into a custom section, in the same order.

use std::ops::Range;

use wasmer::{AsStoreMut, AsStoreRef, Extern, Function, Global, Instance, Module, Table, Value};

use super::LoadError;
use crate::kernel::memory::Region;

/// Lines of a kind (`f` or `d`), a space and a name, sorted by name.
const SYMBOLS: &str = "pglite.symbols";
/// The hash of what side modules are compiled against.
pub(super) const ABI: &str = "pglite.abi";
/// The first slot of the table that is not the core's own, as a number of 32 bits.
const TABLE: &str = "pglite.table";
/// Has compiled code see slots that were filled from outside.
const PUBLISH: &str = "pgl_table_publish";
/// The array of addresses.
const VALUES: &str = "pgl_symbol_values";

/// The names, read once per core and process of the host.
#[derive(Debug)]
pub(crate) struct Core {
    names: Box<[u8]>,
    /// Where in `names` each line begins.
    lines: Vec<u32>,
    pub(super) abi: Box<[u8]>,
    pub(super) first_free_slot: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Function,
    Data,
}

/// A symbol's place in the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol(u32);

impl Core {
    pub(super) fn of(module: &Module) -> Result<Core, LoadError> {
        let section = |name| module.custom_sections(name).next().ok_or(LoadError::NoInterface);
        let names = section(SYMBOLS)?;
        let abi = section(ABI)?;
        let first_free_slot = <[u8; 4]>::try_from(&*section(TABLE)?)
            .map(u32::from_le_bytes)
            .map_err(|_| LoadError::NoInterface)?;
        let mut lines = vec![0];
        let ends = names.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        lines.extend(ends.map(|(at, _)| at as u32 + 1));
        lines.pop();
        Ok(Core { names, lines, abi, first_free_slot })
    }

    fn line(&self, index: usize) -> (u8, &[u8]) {
        let start = self.lines[index] as usize;
        let end = self.lines.get(index + 1).map_or(self.names.len(), |next| *next as usize);
        match &self.names[start..end] {
            [kind, b' ', name @ .., b'\n'] | [kind, b' ', name @ ..] => (*kind, name),
            _ => (0, &[]),
        }
    }

    pub(super) fn find(&self, kind: Kind, name: &str) -> Option<Symbol> {
        let (mut low, mut high) = (0, self.lines.len());
        while low < high {
            let middle = (low + high) / 2;
            let (found, line) = self.line(middle);
            match line.cmp(name.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let same = (found == b'f') == (kind == Kind::Function);
                    return same.then_some(Symbol(middle as u32));
                }
            }
        }
        None
    }
}

/// An instance of the core, as side modules see it.
pub(super) struct CoreInstance {
    pub(super) memory: Extern,
    pub(super) table: Table,
    pub(super) stack_pointer: Global,
    pub(super) longjmp_tag: Extern,
    values: u32,
    publish: Function,
    /// Slots before are in use.
    next_slot: u32,
}

impl CoreInstance {
    pub(super) fn of(
        instance: &Instance,
        store: &mut impl AsStoreMut,
        first_free_slot: u32,
    ) -> Result<CoreInstance, LoadError> {
        let export =
            |name| instance.exports.get_extern(name).cloned().ok_or(LoadError::NoInterface);
        let (Extern::Table(table), Extern::Global(stack_pointer), Extern::Global(values)) =
            (export("__indirect_function_table")?, export("__stack_pointer")?, export(VALUES)?)
        else {
            return Err(LoadError::NoInterface);
        };
        let Extern::Function(publish) = export(PUBLISH)? else {
            return Err(LoadError::NoInterface);
        };
        let Value::I32(values) = values.get(store) else { return Err(LoadError::NoInterface) };
        Ok(CoreInstance {
            memory: export("memory")?,
            table,
            stack_pointer,
            longjmp_tag: export("__c_longjmp")?,
            values: values as u32,
            publish,
            next_slot: first_free_slot,
        })
    }

    /// The address of data, the slot of a function.
    pub(super) fn address(&self, region: &Region, symbol: Symbol) -> Result<u32, LoadError> {
        region.read_u32(self.values + 4 * symbol.0).map_err(|_| LoadError::NoInterface)
    }

    pub(super) fn function(&self, store: &mut impl AsStoreMut, slot: u32) -> Option<Function> {
        match self.table.get(store, slot) {
            Some(Value::FuncRef(function)) => function,
            _ => None,
        }
    }

    /// Takes as many slots, the first at a multiple of `align`.
    pub(super) fn take_slots(
        &mut self,
        store: &impl AsStoreRef,
        count: u32,
        align: u32,
    ) -> Result<u32, LoadError> {
        let first = self.next_slot.next_multiple_of(align);
        match first.checked_add(count) {
            Some(end) if end <= self.table.size(store) => {
                self.next_slot = end;
                Ok(first)
            }
            _ => Err(LoadError::TableFull),
        }
    }

    pub(super) fn set_slot(
        &self,
        store: &mut impl AsStoreMut,
        slot: u32,
        function: Function,
    ) -> Result<(), LoadError> {
        let value = Value::FuncRef(Some(function));
        self.table.set(store, slot, value).map_err(|error| LoadError::Instance(error.to_string()))
    }

    /// To be called when slots have been filled: the core has a copy of them inside its instance.
    pub(super) fn publish(
        &self,
        store: &mut impl AsStoreMut,
        slots: Range<u32>,
    ) -> Result<(), LoadError> {
        let slots = [Value::I32(slots.start as i32), Value::I32(slots.end as i32)];
        let done = self.publish.call(store, &slots);
        done.map(drop).map_err(|error| LoadError::Instance(error.to_string()))
    }
}
