//! Instances of the main module, which outlive the processes that use them.
//!
//! Most of what a new process costs is Wasmer's part of it: 12,000 slots of a table, as many references to functions,
//! the kernel's calls. None of that depends on the process. One that ends in an orderly way leaves its instance behind,
//! and the next that is a copy (a child, or from an image) moves in with a memory of its own. Its globals, all that an
//! instance has beside memory and table, it brings along in any case.
//!
//! Some more are made ahead of time by a thread in the background, for bursts: see [`Instances::keep_ready`].

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use wasmer::sys::NativeEngineExt;
use wasmer::{AsStoreMut, Engine, FunctionEnv, Instance, Module, RuntimeError, Store, Value};

use super::calls;
use super::image::Base;
use super::memory::{ProcessTunables, Region, Seat};
use super::process::Context;

/// As many are made ahead of time: a database has one process at first, and a connection is one.
const READY: usize = 2;

/// As many are kept of those that processes have left. Each takes about a megabyte.
const KEPT: usize = 6;

/// How long the thread that makes them waits for more to do.
const FILLER_PATIENCE: Duration = Duration::from_secs(5);

/// The process that an instance runs, for the kernel's calls. Only an instance that runs has one.
pub(crate) struct Occupant(Option<Context>);

impl Deref for Occupant {
    type Target = Context;

    fn deref(&self) -> &Context {
        self.0.as_ref().expect("calls come from an instance that a process runs")
    }
}

impl DerefMut for Occupant {
    fn deref_mut(&mut self) -> &mut Context {
        self.0.as_mut().expect("calls come from an instance that a process runs")
    }
}

/// An instance of the main module with its store.
pub(crate) struct ProcessInstance {
    pub(super) store: Store,
    pub(super) env: FunctionEnv<Occupant>,
    instance: Instance,
    seat: Arc<Seat>,
}

// SAFETY: it moves to another thread only between calls. What keeps a store from being `Send` are pointers into what
// it owns, and a closure that nobody has set (for asyncify); the entry in the thread's list of stores
// (`StoreContext` in Wasmer 7.4.2) is there during a call only.
unsafe impl Send for ProcessInstance {}

impl fmt::Debug for ProcessInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessInstance").field("seat", &self.seat).finish_non_exhaustive()
    }
}

impl ProcessInstance {
    /// In this memory, which has its contents already or gets them from the module.
    fn new(
        engine: &Engine,
        module: &Module,
        region: Arc<Region>,
        has_contents: bool,
    ) -> io::Result<ProcessInstance> {
        let seat = Arc::new(Seat::new(region, has_contents));
        let mut engine = engine.clone();
        engine.set_tunables(ProcessTunables::new(seat.clone()));
        let mut store = Store::new(engine);
        let env = FunctionEnv::new(&mut store, Occupant(None));
        let imports = calls::imports(&mut store, &env);
        let instance = Instance::new(&mut store, module, &imports).map_err(io::Error::other)?;
        Ok(ProcessInstance { store, env, instance, seat })
    }

    /// A process moves in.
    fn occupy(&mut self, context: Context) {
        self.seat.move_to(context.region.clone());
        let occupant = self.env.as_mut(&mut self.store);
        occupant.0 = Some(context);
        occupant.linker.attach(&self.instance);
    }

    pub(super) fn context(&mut self) -> &mut Context {
        self.env.as_mut(&mut self.store)
    }

    /// Data of modules that are instantiated from now on is, or is not, in memory already.
    pub(super) fn set_has_contents(&self, has_contents: bool) {
        self.seat.set_has_contents(has_contents);
    }

    pub(super) fn globals(&mut self) -> Vec<u128> {
        self.store.objects_mut().as_sys_mut().as_u128_globals()
    }

    pub(super) fn call(&mut self, name: &str) -> Result<i32, RuntimeError> {
        let function = self
            .instance
            .exports
            .get_function(name)
            .map_err(|error| RuntimeError::new(error.to_string()))?;
        let results = function.call(&mut self.store, &[])?;
        Ok(results.first().and_then(Value::i32).unwrap_or(0))
    }
}

/// Gives the file with what the memory of a process begins with that is not a copy of another.
pub(crate) type OpenMemory = Box<dyn Fn() -> io::Result<Arc<File>> + Send + Sync>;

/// All instances of a main module that no process uses.
pub(crate) struct Instances {
    engine: Engine,
    module: Module,
    /// None if the module has its data itself.
    open_memory: Option<OpenMemory>,
    /// What that gave.
    memory: OnceLock<Arc<Base>>,
    /// The module's global that must not be inherited, see [`Instances::restore_globals`].
    exception_global: Option<usize>,
    state: Mutex<State>,
    /// The filler is to look whether there are enough.
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct State {
    vacant: Vec<ProcessInstance>,
    has_filler: bool,
    /// Whether there has been a process that took one.
    is_used: bool,
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instances").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Instances {
    pub(crate) fn new(
        engine: Engine,
        module: Module,
        open_memory: Option<OpenMemory>,
    ) -> Arc<Instances> {
        // Globals of a store are numbered in the order of the module's own: it imports none.
        let exception_global = match module.info().exports.get("pgl_longjmp_exception") {
            Some(wasmer::ExportIndex::Global(index)) => Some(index.as_u32() as usize),
            _ => None,
        };
        Arc::new(Instances {
            engine,
            module,
            open_memory,
            memory: OnceLock::new(),
            exception_global,
            state: Mutex::default(),
            wanted: Condvar::new(),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instance for a process whose memory is to be what the module says.
    pub(super) fn fresh(&self, context: Context) -> io::Result<ProcessInstance> {
        let region = context.region.clone();
        let mut instance = ProcessInstance::new(&self.engine, &self.module, region.clone(), false)?;
        if let Some(memory) = self.memory()? {
            // SAFETY: the guest has not started.
            unsafe { memory.map_into(&region, &(0..region.len()))? };
            context.process.set_base(Some(memory));
        }
        instance.occupy(context);
        Ok(instance)
    }

    fn memory(&self) -> io::Result<Option<Arc<Base>>> {
        let Some(open) = &self.open_memory else { return Ok(None) };
        if let Some(memory) = self.memory.get() {
            return Ok(Some(memory.clone()));
        }
        let memory = Arc::new(Base::of_file(open()?)?);
        Ok(Some(self.memory.get_or_init(|| memory).clone()))
    }

    /// An instance for a process that has its memory, with the globals that belong to it.
    pub(super) fn of_copy(&self, context: Context) -> io::Result<ProcessInstance> {
        let vacant = self.lock().vacant.pop();
        let mut instance = match vacant {
            Some(instance) => instance,
            None => self.make()?,
        };
        instance.set_has_contents(true);
        instance.occupy(context);
        Ok(instance)
    }

    /// Gives an instance the globals of the process that its own is a copy of, all but the exception that longjmp
    /// throws: that is a handle of a store, and this store has its own, or makes it at its first longjmp.
    pub(super) fn restore_globals(&self, instance: &mut ProcessInstance, globals: &[u128]) {
        let objects = instance.store.objects_mut().as_sys_mut();
        for (index, value) in globals.iter().enumerate() {
            if Some(index) != self.exception_global {
                objects.set_global_unchecked(index, *value);
            }
        }
    }

    fn make(&self) -> io::Result<ProcessInstance> {
        ProcessInstance::new(&self.engine, &self.module, Arc::new(Region::new(0)?), true)
    }

    /// Takes an instance back from a process that has returned from it.
    pub(super) fn give_back(&self, mut instance: ProcessInstance) {
        // What a module was loaded for is in the table and the store for good.
        if !instance.context().linker.is_unused() {
            return;
        }
        let Ok(nowhere) = Region::new(0) else { return };
        instance.env.as_mut(&mut instance.store).0 = None;
        // The process's memory ends here at the latest.
        instance.seat.move_to(Arc::new(nowhere));
        let mut state = self.lock();
        if state.vacant.len() < KEPT {
            state.vacant.push(instance);
        }
    }

    /// Makes an instance for the first process that is a copy. If that fails, the process hears why.
    pub(crate) fn make_one_ready(&self) {
        if let Ok(instance) = self.make() {
            self.lock().vacant.push(instance);
        }
    }

    /// There is a process that will be followed by others. From the second time on, some instances are made ahead of
    /// time: who has one database may never have another.
    pub(super) fn keep_ready(self: &Arc<Instances>) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.is_used, true) || state.vacant.len() >= READY {
            return;
        }
        if state.has_filler {
            self.wanted.notify_one();
            return;
        }
        let instances = self.clone();
        let spawned = std::thread::Builder::new()
            .name("pglite instances".into())
            .stack_size(1 << 20)
            .spawn(move || instances.fill());
        // Without it, all is as before but slower.
        state.has_filler = spawned.is_ok();
    }

    /// The body of the thread that makes instances ahead of time.
    fn fill(&self) {
        let mut state = self.lock();
        loop {
            if state.vacant.len() >= READY {
                let (again, timeout) = self
                    .wanted
                    .wait_timeout(state, FILLER_PATIENCE)
                    .unwrap_or_else(PoisonError::into_inner);
                state = again;
                if timeout.timed_out() {
                    break;
                }
                continue;
            }
            drop(state);
            let made = self.make();
            state = self.lock();
            match made {
                Ok(instance) => state.vacant.push(instance),
                // Who needs one will hear the error.
                Err(_) => break,
            }
        }
        state.has_filler = false;
    }
}
