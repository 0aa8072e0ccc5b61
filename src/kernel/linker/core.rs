//! What the main module, the core, has for side modules.
//!
//! Exports would be the usual way, but each is made anew with each instance, and there are thousands. So the
//! build puts the addresses of all symbols into an array in the core's memory (a function's address is its slot in
//! the table), and their names into a custom section, in the same order.

use wasmer::{AsStoreMut, AsStoreRef, Extern, Function, Global, Instance, Module, Table, Value};

use super::LoadError;
use crate::kernel::memory::Region;

/// Lines of a kind (`f` or `d`), a space and a name, sorted by name.
const SYMBOLS: &str = "pglite.symbols";
/// The hash of what side modules are compiled against.
pub(super) const ABI: &str = "pglite.abi";
/// The array of addresses.
const VALUES: &str = "pgl_symbol_values";

/// The names, read once per core and process of the host.
#[derive(Debug)]
pub(crate) struct Core {
    names: Box<[u8]>,
    /// Where in `names` each line begins.
    lines: Vec<u32>,
    pub(super) abi: Box<[u8]>,
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
        let mut lines = vec![0];
        let ends = names.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        lines.extend(ends.map(|(at, _)| at as u32 + 1));
        lines.pop();
        Ok(Core { names, lines, abi })
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
}

impl CoreInstance {
    pub(super) fn of(
        instance: &Instance,
        store: &mut impl AsStoreMut,
    ) -> Result<CoreInstance, LoadError> {
        let export =
            |name| instance.exports.get_extern(name).cloned().ok_or(LoadError::NoInterface);
        let (Extern::Table(table), Extern::Global(stack_pointer), Extern::Global(values)) =
            (export("__indirect_function_table")?, export("__stack_pointer")?, export(VALUES)?)
        else {
            return Err(LoadError::NoInterface);
        };
        let Value::I32(values) = values.get(store) else { return Err(LoadError::NoInterface) };
        Ok(CoreInstance {
            memory: export("memory")?,
            table,
            stack_pointer,
            longjmp_tag: export("__c_longjmp")?,
            values: values as u32,
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

    pub(super) fn table_size(&self, store: &impl AsStoreRef) -> u32 {
        self.table.size(store)
    }
}
