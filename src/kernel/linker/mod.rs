//! The linker: side modules, which a process loads while it runs.
//!
//! A side module is position-independent WebAssembly (`wasm-ld -shared`), compiled ahead of time like the main
//! module, the *core*. It shares the core's memory, table, stack pointer and the tag of longjmp; other imports are
//! resolved by name: functions and data of the core (`core.rs`), then those of side modules that were loaded before.
//!
//! A module may have a start function, which runs with each instance: it sets globals to addresses of the module's own.
//! What wasm-ld has it do to memory beside that, the build takes out.
//!
//! Loading is up to the guest (`assets/wasix/dl.c`): it asks for a path, allocates the memory that the module needs,
//! has it linked there, and calls its initialisers. The kernel never calls into the guest for it.
//!
//! A copy of a process, by fork or from an image, has the same memory, and so must have the same modules at the same
//! places: what a process has loaded is a list of [`Load`]s, which the copy replays.

mod core;
mod dylink;
mod link;
mod module;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmer::{Engine, Module};

pub(crate) use self::link::{Linker, Load};
pub(crate) use self::module::SideModule;

use self::core::Core;
use super::instance::Instances;

/// Where PostgreSQL looks for modules (`$libdir`).
pub(crate) const MODULES_DIR: &str = "/pglite/lib/postgresql";

/// Why a module cannot be loaded: PostgreSQL shows it behind "could not load library".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LoadError {
    /// The path is not of a known module.
    Unknown,
    /// The main module was made without an interface for others.
    NoInterface,
    /// Its file is damaged, or cannot be read.
    Unusable(String),
    /// Not a side module at all.
    NotAModule(&'static str),
    OtherCore {
        expected: String,
        found: String,
    },
    Unresolved(Vec<String>),
    WrongType {
        symbol: String,
        expected: String,
        found: String,
    },
    /// Wasmer's words.
    Instance(String),
    /// A copy of a process would not be the same.
    Replay(String),
    UndefinedSymbol(String),
    TooMany,
    TableFull,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Unknown => write!(
                f,
                "there is no such module in this program: modules are loaded from {MODULES_DIR} only, where those \
                 are that the program was built with or whose directory it names"
            ),
            LoadError::NoInterface => f.write_str("this build of PostgreSQL cannot load modules"),
            LoadError::Unusable(reason) => f.write_str(reason),
            LoadError::NotAModule(reason) => write!(f, "it is not a side module: {reason}"),
            LoadError::OtherCore { expected, found } => write!(
                f,
                "it was built for another PostgreSQL core: its ABI is {found}, this core's {expected}; build it \
                 with the sources of this release of pglite-oxide"
            ),
            LoadError::Unresolved(symbols) => {
                write!(f, "undefined symbols: {}", symbols.join(", "))
            }
            LoadError::WrongType { symbol, expected, found } => {
                write!(f, "{symbol} is {found}, but the module expects {expected}")
            }
            LoadError::Instance(reason) => f.write_str(reason),
            LoadError::Replay(reason) => {
                write!(f, "it cannot be loaded as in the original: {reason}")
            }
            LoadError::UndefinedSymbol(name) => write!(f, "undefined symbol: {name}"),
            LoadError::TooMany => f.write_str("too many modules"),
            LoadError::TableFull => {
                f.write_str("the modules that are loaded already have all slots for functions")
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Native code that has been checked and can be run, or why not.
type Loader = Box<dyn Fn(&Engine) -> Result<Module, String> + Send + Sync>;

/// A module that can be loaded, and is once somebody asks for it.
pub(crate) struct Artifact {
    /// Of its contents.
    identity: [u8; 32],
    loader: Loader,
    loaded: Mutex<Option<Arc<SideModule>>>,
}

impl Artifact {
    pub(crate) fn new(
        identity: [u8; 32],
        loader: impl Fn(&Engine) -> Result<Module, String> + Send + Sync + 'static,
    ) -> Artifact {
        Artifact { identity, loader: Box::new(loader), loaded: Mutex::new(None) }
    }
}

/// The modules that the processes of a cluster can load. Clones share what has been loaded.
#[derive(Clone, Default)]
pub(crate) struct Library {
    /// By name, without directory and ending. Shared, as each cluster has a clone.
    artifacts: Arc<BTreeMap<String, Arc<Artifact>>>,
    core: Arc<OnceLock<Result<Core, LoadError>>>,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.artifacts.keys()).finish()
    }
}

impl Library {
    /// Adds a module, in the place of one of the same name.
    #[allow(dead_code, reason = "for xtask-run, which has none")]
    pub(crate) fn add(&mut self, name: &str, artifact: Artifact) {
        Arc::make_mut(&mut self.artifacts).insert(name.to_owned(), Arc::new(artifact));
    }

    /// The names of all modules.
    #[allow(dead_code, reason = "for xtask-run, which has none")]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.artifacts.keys().map(String::as_str)
    }

    fn core(&self, main: &Module) -> Result<&Core, LoadError> {
        self.core.get_or_init(|| Core::of(main)).as_ref().map_err(Clone::clone)
    }

    /// The module at a path of the guest's tree, loaded if it is not yet.
    fn open(&self, instances: &Instances, path: &str) -> Result<Arc<SideModule>, LoadError> {
        let artifact = module_name(path).and_then(|name| self.artifacts.get(name));
        let artifact = artifact.ok_or(LoadError::Unknown)?;
        let mut loaded = artifact.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = &*loaded {
            return Ok(module.clone());
        }
        let core = self.core(instances.module())?;
        let module = (artifact.loader)(instances.engine()).map_err(LoadError::Unusable)?;
        let module = Arc::new(SideModule::of(path, artifact.identity, module, core)?);
        *loaded = Some(module.clone());
        Ok(module)
    }

    /// Whether a process can be made that has these modules loaded; the path of the first that is not there or another.
    pub(crate) fn has_all(&self, loads: &[Load]) -> Result<(), String> {
        for (path, identity) in loads.iter().filter_map(Load::module) {
            let artifact = module_name(path).and_then(|name| self.artifacts.get(name));
            if artifact.is_none_or(|artifact| artifact.identity != identity) {
                return Err(path.to_owned());
            }
        }
        Ok(())
    }
}

/// The name of a module in [`MODULES_DIR`].
fn module_name(path: &str) -> Option<&str> {
    let name = path.strip_prefix(MODULES_DIR)?.strip_prefix('/')?;
    Some(name.strip_suffix(".so").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_in_one_directory() {
        for (path, name) in [
            ("/pglite/lib/postgresql/hstore.so", Some("hstore")),
            ("/pglite/lib/postgresql/hstore", Some("hstore")),
            ("/pglite/lib/postgresql-evil/hstore.so", None),
            ("/tmp/hstore.so", None),
            ("hstore", None),
        ] {
            assert_eq!(module_name(path), name, "{path}");
        }
    }
}
