//! Maintainer commands: `cargo xtask help`.

mod assets;
mod native;
mod paths;
mod process;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use self::native::Extent;

const HELP: &str = "\
Maintainer commands of pglite-oxide.

  cargo xtask assets build [OPTIONS]   build Postgres, its template database and the packed assets
      --only STEP                      run this step alone, even if nothing changed
      --from STEP                      run this step and all after it, even if nothing changed
      --until STEP                     stop after this step
      --compiler llvm|cranelift        ahead-of-time compiler; cranelift's artifact is not packed
      --update-lock                    pin the newest sources and tools in assets/sources.lock.toml
  cargo xtask assets check             do the committed assets match their inputs? (needs no toolchain)
  cargo xtask assets steps             list the steps of the build
  cargo xtask native build             native PostgreSQL of the same version, for initdb and comparisons
      --quick                          a server without optimisation: for tests, not for measurements
      --clients                        only psql and the programs that run PostgreSQL's tests
  cargo xtask native ruvector          one with our extensions for vectors, from the same sources
  cargo xtask native pgvector          one with pgvector, which they are compared with
      --quick                          from the quick server, if the other is not there
  cargo xtask regress [OPTIONS]        PostgreSQL's own regression tests (--help lists the options)
      --contrib                        those of contrib's extensions instead
      --vector                         pgvector's, against our `vector`
  cargo xtask isolation [OPTIONS]      its isolation tests: sessions that wait for each other
  cargo xtask interop                  native pg_dump, pg_restore and psql read our dumps, and the reverse
      --vector                         vectors move to native PostgreSQL and back
  cargo xtask perf [OPTIONS]           measurements, beside the native PostgreSQL (--help lists the options)

`assets build` needs Debian, root and network; `native build` Debian and network. They work in $PGLITE_OXIDE_BUILD
(default /var/cache/pglite-oxide-build); the log of each step is in logs/ there.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => print!("{HELP}"),
        ["assets", "build", options @ ..] => assets::build(&assets::Options::parse(options)?)?,
        ["assets", "check"] => assets::check()?,
        ["assets", "steps"] => assets::print_steps(),
        ["native", "build"] => assets::build_native(Extent::Whole)?,
        ["native", "build", "--quick"] => assets::build_native(Extent::Quick)?,
        ["native", "build", "--clients"] => assets::build_native(Extent::Clients)?,
        ["native", name @ ("ruvector" | "pgvector")] => {
            assets::build_native_vector(name, Extent::Whole)?
        }
        ["native", name @ ("ruvector" | "pgvector"), "--quick"] => {
            assets::build_native_vector(name, Extent::Quick)?
        }
        ["regress" | "isolation" | "interop" | "perf", ..] => {
            bail!("{} cannot be run: {}", words[0], run_database_command(args))
        }
        _ => bail!("no such command: {}\n\n{HELP}", args.join(" ")),
    }
    Ok(())
}

/// Commands that open databases are those of a package of their own, which needs the assets that this one makes.
/// Returns only if it cannot be run.
fn run_database_command(args: &[String]) -> std::io::Error {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "xtask-db", "--"])
        .args(args)
        .exec()
}
