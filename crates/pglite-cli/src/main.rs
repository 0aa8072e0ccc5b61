//! `pglite`: a PostgreSQL server from one binary. See `docs/cli.md` for its users' page.

#![deny(unsafe_code)]

mod announce;
mod args;
mod events;
mod extensions;
mod failure;
mod log;
mod run;
mod serve;
mod server;
mod tools;
mod upgrade;
mod url;

use std::process::ExitCode;

use clap::Parser;
use pglite_oxide::tools::Program;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::refused(&error),
    };
    let (result, status_of_failure) = match &cli.command {
        Command::Serve(args) => (serve::command(args), failure::FAILED),
        Command::Run(args) => (run::command(args), failure::NOT_RUN),
        Command::Url(args) => (url::command(args), failure::FAILED),
        Command::Psql(args) => (tools::command(Program::Psql, &args.arguments), failure::FAILED),
        Command::Dump(args) => (tools::command(Program::PgDump, &args.arguments), failure::FAILED),
        Command::Restore(args) => {
            (tools::command(Program::PgRestore, &args.arguments), failure::FAILED)
        }
        Command::Extensions(args) => (extensions::command(args), failure::FAILED),
        Command::Upgrade(args) => (upgrade::command(args), failure::FAILED),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => failure.report(status_of_failure),
    }
}
