//! `xtask-run ARTIFACT MEMORY PROGRAM ARGS…`: runs a compiled guest module, whose memory begins with the contents of a
//! file, as a program of the host.
//!
//! The guest sees the host's files from `/` down and has the host's standard streams. Native `initdb`
//! drives the guest's `postgres` through it when the template database is made. It includes the
//! library's kernel as it is, so that the library needs no interface for it.

#[allow(dead_code, unused_imports, reason = "a program that is not a server uses part of it")]
#[path = "../../src/kernel/mod.rs"]
mod kernel;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use wasmer::sys::EngineBuilder;
use wasmer::{Engine, Module};

use kernel::fs::HostDir;
use kernel::linker::Library;
use kernel::{Code, Instances, Kernel, Stdio};

const FAILED: u8 = 125;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(artifact), Some(memory), Some(program)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        eprintln!("usage: xtask-run ARTIFACT MEMORY PROGRAM ARGS...");
        return ExitCode::from(FAILED);
    };
    let arguments = [program].into_iter().chain(arguments).collect();
    match run(Path::new(&artifact), PathBuf::from(memory), arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask-run: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(
    artifact: &Path,
    memory: PathBuf,
    arguments: Vec<String>,
) -> Result<u8, Box<dyn std::error::Error>> {
    let engine: Engine =
        EngineBuilder::headless().set_features(Some(kernel::features::features())).engine().into();
    // SAFETY: the artifact is the one that the build has just made.
    let module = unsafe { Module::deserialize_from_file(&engine, artifact)? };
    let environment = std::env::vars()
        .filter(|(name, _)| name.starts_with("PG") || name == "LC_ALL" || name == "TZ")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let library = Library::default();
    let memory = move || Ok(Arc::new(File::open(&memory)?));
    let instances = Instances::new(engine, module, Some(Box::new(memory)));
    let code = Code { instances: &instances, library: &library };
    let kernel = Kernel::new(code, Arc::new(HostDir::open(Path::new("/"))?), environment);
    let process = kernel.start(arguments, Stdio::Inherit)?;
    let status = loop {
        if let Some(status) = kernel.wait(&process, Duration::from_secs(3600)) {
            break status;
        }
    };
    kernel.wait_all(Duration::from_secs(5));
    Ok(status.exit_code().map_or(FAILED, |code| code as u8))
}
