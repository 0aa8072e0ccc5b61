//! Maintainer commands that open databases. `cargo xtask regress`, `isolation` and `perf` run them; they are a
//! package of their own so that `cargo xtask` needs no database to build the database.

mod args;
mod image;
mod log;
mod paths;
mod perf;
mod suite;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask-db: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<ExitCode> {
    match args.split_first() {
        Some((command, rest))
            if command == "regress" && rest.iter().any(|arg| arg == "--contrib") =>
        {
            let rest: Vec<String> =
                rest.iter().filter(|arg| *arg != "--contrib").cloned().collect();
            suite::contrib(&rest)
        }
        Some((command, rest))
            if command == "regress" && rest.iter().any(|arg| arg == "--vector") =>
        {
            let rest: Vec<String> = rest.iter().filter(|arg| *arg != "--vector").cloned().collect();
            suite::vector(&rest)
        }
        Some((command, rest)) if command == "regress" => suite::REGRESS.command(rest),
        Some((command, rest)) if command == "isolation" => suite::ISOLATION.command(rest),
        Some((command, [path])) if command == "image" => image::make(path.as_ref()),
        Some((command, [])) if command == "interop" => perf::interop::command(),
        Some((command, [option])) if command == "interop" && option == "--vector" => {
            perf::interop::vector()
        }
        Some((command, rest)) if command == "perf" => perf::command(rest),
        Some((command, rest)) if command == perf::CHILD => perf::child(rest),
        _ => bail!("usage: xtask-db regress|isolation|interop|perf [OPTIONS] (--help lists them)"),
    }
}
