//! `xtask-aot`: compiles a WebAssembly module ahead of time to a native artifact.
//!
//! A package of its own, outside the workspace, because it links LLVM: nobody who builds or tests the library
//! needs that. `cargo xtask assets build` builds and runs it.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use wasmer::sys::{CpuFeature, EngineBuilder, Features, Target, Triple};
use wasmer::{Engine, Module};

mod bitselect;
#[path = "../../src/kernel/features.rs"]
mod features;

const USAGE: &str =
    "usage: xtask-aot [--compiler llvm|cranelift] [--triple TRIPLE] MODULE.wasm ARTIFACT";

/// What every x86-64 machine since 2009 has (the psABI's x86-64-v2, as far as Wasmer names its parts). Nothing
/// newer: the loader refuses an artifact that asks for a feature the machine lacks.
const X86_64_V2: [CpuFeature; 6] = [
    CpuFeature::SSE2,
    CpuFeature::SSE3,
    CpuFeature::SSSE3,
    CpuFeature::SSE41,
    CpuFeature::SSE42,
    CpuFeature::POPCNT,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compiler {
    Llvm,
    Cranelift,
}

fn main() -> Result<()> {
    let mut compiler = Compiler::Llvm;
    let mut triple = "x86_64-unknown-linux-gnu".to_owned();
    let mut paths = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--compiler" => {
                compiler = match value()?.as_str() {
                    "llvm" => Compiler::Llvm,
                    "cranelift" => Compiler::Cranelift,
                    other => bail!("no compiler named {other:?}\n{USAGE}"),
                }
            }
            "--triple" => triple = value()?,
            other if other.starts_with('-') => bail!("no option {other}\n{USAGE}"),
            _ => paths.push(PathBuf::from(arg)),
        }
    }
    let [input, output] = paths.as_slice() else { bail!("{USAGE}") };

    let wasm = std::fs::read(input).with_context(|| format!("cannot read {}", input.display()))?;
    let engine = engine(compiler, target(&triple)?)?;
    let start = Instant::now();
    let wasm = bitselect::lower(&wasm).with_context(|| format!("in {}", input.display()))?;
    let module = Module::new(&engine, &wasm).context("the module does not compile")?;
    let artifact = module.serialize().context("the artifact cannot be serialized")?;
    std::fs::write(output, &artifact)
        .with_context(|| format!("cannot write {}", output.display()))?;
    eprintln!(
        "{} -> {}: {} bytes in {:.1?}",
        input.display(),
        output.display(),
        artifact.len(),
        start.elapsed()
    );
    Ok(())
}

fn target(triple: &str) -> Result<Target> {
    let triple: Triple = triple.parse().map_err(|error| anyhow::anyhow!("{triple}: {error}"))?;
    let cpu = match triple.architecture {
        wasmer::sys::Architecture::X86_64 => X86_64_V2.into_iter().collect(),
        _ => CpuFeature::set(),
    };
    Ok(Target::new(triple, cpu))
}

fn engine(compiler: Compiler, target: Target) -> Result<Engine> {
    match compiler {
        #[cfg(feature = "llvm")]
        Compiler::Llvm => {
            let mut llvm = wasmer::sys::LLVM::default();
            llvm.opt_level(wasmer::sys::LLVMOptLevel::Aggressive)
                // Volatile accesses cost 10 % and guard nothing here: what Postgres' processes share goes through
                // atomics.
                .non_volatile_memops(true)
                // An ELF image: mapped rather than read, and one `.eh_frame` instead of one per function, which
                // would make every error walk a list of thousands.
                .experimental_artifact(true);
            Ok(EngineBuilder::new(llvm)
                .set_target(Some(target))
                .set_features(Some(features::features()))
                .engine()
                .into())
        }
        #[cfg(feature = "cranelift")]
        Compiler::Cranelift => {
            let mut cranelift = wasmer::sys::Cranelift::default();
            cranelift.opt_level(wasmer::sys::CraneliftOptLevel::Speed).experimental_artifact(true);
            // Cranelift refuses a feature set with tail calls; the guest has none.
            let mut features: Features = features::features();
            features.tail_call(false);
            Ok(EngineBuilder::new(cranelift)
                .set_target(Some(target))
                .set_features(Some(features))
                .engine()
                .into())
        }
        #[allow(unreachable_patterns, reason = "a compiler may be left out by features")]
        _ => bail!("this xtask-aot was built without that compiler"),
    }
}
