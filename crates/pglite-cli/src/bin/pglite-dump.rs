//! `pglite-dump`: `pglite dump` under a name of its own, for scripts that call `pg_dump`.

#![deny(unsafe_code)]

#[path = "../announce.rs"]
#[allow(dead_code, reason = "shared with `pglite`, which writes what this reads")]
mod announce;
#[path = "../failure.rs"]
#[allow(dead_code, reason = "shared with `pglite`")]
mod failure;
#[path = "../tools.rs"]
#[allow(dead_code, reason = "shared with `pglite`")]
mod tools;

use std::ffi::OsString;
use std::process::ExitCode;

use pglite_oxide::tools::Program;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match tools::command(Program::PgDump, &arguments) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => failure.report(failure::FAILED),
    }
}
