//! `cargo xtask assets`: from pinned sources to packed assets.
//!
//! A pipeline of [steps](STEPS). Each has a key, the hash of all that goes into it; a step runs when its key is not
//! the one of its last success. A step whose output is a file that later steps read hands on that file's hash, so
//! that a change without effect stops there.

mod abi;
mod aot;
mod apt;
mod chroot;
mod compile;
mod configure;
mod data;
mod extensions;
mod flags;
mod hash;
mod image;
mod initdb;
mod libraries;
mod link;
mod lock;
mod manifest;
mod pack;
mod rewrite;
mod root;
mod share;
mod shim;
mod sources;
mod symbols;
mod sysroot;
mod tools;
mod tree;
mod wasm;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::native::{self, Extent};
use crate::paths::Paths;
use crate::process::{self, Log};

pub(crate) use chroot::Chroot;
pub(crate) use hash::{Key, empty_dir};
pub(crate) use lock::Lock;
pub(crate) use manifest::check;
pub(crate) use sources::{PGVECTOR, POSTGRES, ensure_postgres, ensure_source};

/// One step of the build.
struct Step {
    name: &'static str,
    what: &'static str,
    /// The hash of everything that decides the outcome.
    key: fn(&Build) -> Result<Key>,
    run: fn(&Build, &mut Log) -> Result<()>,
}

/// In the order they run. A later step may read what an earlier one made.
const STEPS: &[Step] = &[
    Step { name: "root", what: "Debian root with the toolchain", key: root::key, run: root::run },
    Step {
        name: "sources",
        what: "source packages, checked",
        key: sources::key,
        run: sources::run,
    },
    Step {
        name: "sysroot",
        what: "wasi-libc plus headers from musl",
        key: sysroot::key,
        run: sysroot::run,
    },
    Step { name: "shim", what: "our C, as a library", key: shim::key, run: shim::run },
    Step {
        name: "libraries",
        what: "C libraries of the core",
        key: libraries::key,
        run: libraries::run,
    },
    Step {
        name: "icu",
        what: "ICU's collations, a C++ library of the core",
        key: libraries::icu::key,
        run: libraries::icu::run,
    },
    Step {
        name: "icu-data",
        what: "their data",
        key: libraries::icu_data::key,
        run: libraries::icu_data::run,
    },
    Step {
        name: "tree",
        what: "PostgreSQL's source with our patches",
        key: tree::key,
        run: tree::run,
    },
    Step {
        name: "configure",
        what: "PostgreSQL's configure",
        key: configure::key,
        run: configure::run,
    },
    Step { name: "compile", what: "PostgreSQL's objects", key: compile::key, run: compile::run },
    Step { name: "link", what: "postgres.wasm", key: link::key, run: link::run },
    Step { name: "aot", what: "native artifact of postgres.wasm", key: aot::key, run: aot::run },
    Step {
        name: "tools",
        what: "tools.wasm: pg_dump and others",
        key: tools::key,
        run: tools::run,
    },
    Step {
        name: "tools-aot",
        what: "native artifact of tools.wasm",
        key: tools::aot_key,
        run: tools::aot_run,
    },
    Step {
        name: "extension-libraries",
        what: "C libraries of extensions",
        key: extensions::libraries::key,
        run: extensions::libraries::run,
    },
    Step {
        name: "extension-rust",
        what: "Rust libraries of extensions",
        key: extensions::rust::key,
        run: extensions::rust::run,
    },
    Step {
        name: "extensions",
        what: "modules of extensions, and their files",
        key: extensions::key,
        run: extensions::run,
    },
    Step {
        name: "extensions-aot",
        what: "native code of these modules",
        key: extensions::aot_key,
        run: extensions::aot_run,
    },
    Step {
        name: native::STEP,
        what: "native PostgreSQL, for initdb and zic",
        key: native::key,
        run: native::run,
    },
    Step { name: "share", what: "runtime files", key: share::key, run: share::run },
    Step { name: "initdb", what: "template database", key: initdb::key, run: initdb::run },
    Step {
        name: "pack",
        what: "archives in crates/ and the manifest",
        key: pack::key,
        run: pack::run,
    },
    Step {
        name: "image",
        what: "a started database, packed too",
        key: image::key,
        run: image::run,
    },
];

/// The ahead-of-time compiler of the artifact.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compiler {
    Llvm,
    Cranelift,
}

impl Compiler {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llvm => "llvm",
            Self::Cranelift => "cranelift",
        }
    }
}

/// The options of `assets build`.
pub(crate) struct Options {
    only: Option<&'static str>,
    from: Option<&'static str>,
    until: Option<&'static str>,
    compiler: Compiler,
    update_lock: bool,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            only: None,
            from: None,
            until: None,
            compiler: Compiler::Llvm,
            update_lock: false,
        };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut value =
                || words.next().copied().with_context(|| format!("{word} needs a value"));
            match word {
                "--only" => options.only = Some(step_name(value()?)?),
                "--from" => options.from = Some(step_name(value()?)?),
                "--until" => options.until = Some(step_name(value()?)?),
                "--update-lock" => options.update_lock = true,
                "--compiler" => {
                    options.compiler = match value()? {
                        "llvm" => Compiler::Llvm,
                        "cranelift" => Compiler::Cranelift,
                        other => bail!("no compiler named {other}: llvm or cranelift"),
                    }
                }
                other => bail!("no option {other}: see `cargo xtask help`"),
            }
        }
        Ok(options)
    }
}

fn step_name(name: &str) -> Result<&'static str> {
    match STEPS.iter().find(|step| step.name == name) {
        Some(step) => Ok(step.name),
        None => bail!("no step {name}: see `cargo xtask assets steps`"),
    }
}

/// What every step sees.
pub(crate) struct Build {
    pub(crate) paths: Paths,
    pub(crate) lock: Lock,
    pub(crate) compiler: Compiler,
    pub(crate) update_lock: bool,
}

impl Build {
    pub(crate) fn open(compiler: Compiler, update_lock: bool) -> Result<Self> {
        let paths = Paths::find()?;
        let lock = Lock::read(&paths)?;
        Ok(Self { paths, lock, compiler, update_lock })
    }

    pub(crate) fn chroot(&self) -> Chroot {
        Chroot::new(self.paths.root())
    }
}

pub(crate) fn print_steps() {
    for step in STEPS {
        println!("{:19} {}", step.name, step.what);
    }
}

/// Runs the pipeline.
pub(crate) fn build(options: &Options) -> Result<()> {
    if !process::is_root() {
        bail!(
            "`assets build` needs root, for the toolchain's Debian root; `assets check` does not"
        );
    }
    let mut build = Build::open(options.compiler, options.update_lock)?;
    let _alone = lock_build_directory(&build.paths)?;
    let mut forced = false;
    for step in STEPS {
        let name = step.name;
        forced |= options.from == Some(name);
        if options.only.is_none_or(|only| only == name) {
            run_step(&mut build, step, forced || options.only.is_some())?;
        }
        if options.until == Some(name) {
            break;
        }
        if options.compiler == Compiler::Cranelift && name == "aot" {
            println!("Cranelift's artifact is not packed: stopping here");
            break;
        }
    }
    Ok(())
}

/// The native PostgreSQL alone, or what is asked for of it. Needs no toolchain.
pub(crate) fn build_native(extent: Extent) -> Result<()> {
    let mut build = Build::open(Compiler::Llvm, false)?;
    let _alone = lock_build_directory(&build.paths)?;
    ensure_native(&mut build, extent)
}

/// A native PostgreSQL with an implementation of `vector`: ours, or the one that it is compared with.
pub(crate) fn build_native_vector(name: &str, extent: Extent) -> Result<()> {
    let mut build = Build::open(Compiler::Llvm, false)?;
    let _alone = lock_build_directory(&build.paths)?;
    ensure_native(&mut build, extent)?;
    let step = match name {
        "ruvector" => &NATIVE_RUVECTOR,
        _ => &NATIVE_PGVECTOR,
    };
    run_step(&mut build, step, false)
}

/// Builds it, unless it is there or more than it.
fn ensure_native(build: &mut Build, extent: Extent) -> Result<()> {
    let whole = STEPS.iter().find(|step| step.name == native::STEP).context("no step native")?;
    let more = match extent {
        Extent::Whole => [].as_slice(),
        Extent::Quick => &[whole],
        Extent::Clients => &[whole, &NATIVE_QUICK],
    };
    for step in more {
        if is_done(build, step.name, &(step.key)(build)?) {
            println!("{:10} up to date", step.name);
            return Ok(());
        }
    }
    let step = match extent {
        Extent::Whole => whole,
        Extent::Quick => &NATIVE_QUICK,
        Extent::Clients => &NATIVE_CLIENTS,
    };
    run_step(build, step, false)
}

const NATIVE_RUVECTOR: Step = Step {
    name: native::extension::RUVECTOR_STEP,
    what: "native PostgreSQL with our extensions for vectors",
    key: native::extension::ruvector_key,
    run: native::extension::build_ruvector,
};

const NATIVE_PGVECTOR: Step = Step {
    name: native::extension::PGVECTOR_STEP,
    what: "native PostgreSQL with pgvector",
    key: native::extension::pgvector_key,
    run: native::extension::build_pgvector,
};

/// For `native build --quick`; no other step needs it.
const NATIVE_QUICK: Step = Step {
    name: Extent::Quick.step(),
    what: "native PostgreSQL, for tests",
    key: native::quick_key,
    run: native::run_quick,
};

/// For `native build --clients`; no other step needs it.
const NATIVE_CLIENTS: Step = Step {
    name: Extent::Clients.step(),
    what: "psql and the programs of the test suites",
    key: native::key,
    run: native::run_clients,
};

/// Two builds in one directory would mix their outputs. The lock ends with the file's last handle.
fn lock_build_directory(paths: &Paths) -> Result<std::fs::File> {
    let path = paths.build().join("lock");
    hash::write_file(&path, b"")?;
    let file =
        std::fs::File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    if file.try_lock().is_err() {
        println!("waiting for another build in {} ...", paths.build().display());
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

/// Where the key of a step's last success is.
fn stamp(build: &Build, name: &str) -> PathBuf {
    build.paths.build().join("stamps").join(name)
}

/// Has a step run again next time, as what it made is going to be replaced.
pub(crate) fn forget(build: &Build, name: &str) {
    let _ = std::fs::remove_file(stamp(build, name));
}

/// Was it the last to be done with this key?
pub(crate) fn is_done(build: &Build, name: &str, key: &Key) -> bool {
    is_fresh(&stamp(build, name), &key.finish())
}

fn is_fresh(stamp: &Path, key: &str) -> bool {
    std::fs::read_to_string(stamp).is_ok_and(|last| last.trim() == key)
}

fn run_step(build: &mut Build, step: &Step, forced: bool) -> Result<()> {
    let name = step.name;
    // Each compiler has an artifact of its own.
    let stamp = match (name, build.compiler) {
        ("aot", compiler) => stamp(build, &format!("aot-{}", compiler.name())),
        _ => stamp(build, name),
    };
    let mut key = (step.key)(build).with_context(|| format!("step {name}"))?.finish();
    let fresh = is_fresh(&stamp, &key);
    let updates_lock = build.update_lock && matches!(name, "root" | "sources");
    if fresh && !forced && !updates_lock {
        println!("{name:10} up to date");
        return Ok(());
    }
    println!("{name:10} {} ...", step.what);
    let start = Instant::now();
    // A step that fails half-way must run again, whatever it had done.
    let _ = std::fs::remove_file(&stamp);
    let mut log = Log::create(build.paths.build().join("logs").join(format!("{name}.log")))?;
    (step.run)(build, &mut log).with_context(|| format!("step {name}"))?;
    if updates_lock {
        // The lock may be another now: the key of next time is what counts.
        build.lock = Lock::read(&build.paths)?;
        key = (step.key)(build)?.finish();
    }
    hash::write_file(&stamp, key.as_bytes())?;
    println!("{name:10} done in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
