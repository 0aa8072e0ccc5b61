//! `pglite serve`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use pglite_oxide::ShutdownMode;
use signal_hook::consts::SIGQUIT;

use crate::args::{LogLevel, ServeArgs};
use crate::events::{ENDING, Events};
use crate::failure::{Failure, STOPPED_AT_ONCE};
use crate::log;
use crate::server::{Incident, Server, Started, Stopped};

pub(crate) fn command(args: &ServeArgs) -> Result<u8, Failure> {
    log::start(&args.server, LogLevel::Info);
    let events = Events::watch(ENDING)?;
    if let Some(file) = &args.ready_file {
        remove_old(file)?;
    }
    let mut server = match Server::start(&args.server, &events)? {
        Started::Running(server) => server,
        Started::Interrupted(_) => return Ok(0),
    };
    let url = match args.show_password {
        true => server.connection_params().url(),
        false => server.public_url(),
    };
    if let Some(file) = &args.ready_file {
        server.announce("ready file", file, &url)?;
    }
    tracing::info!("listening on {}", server.addresses());
    let mut stdout = io::stdout();
    if let Err(error) = writeln!(stdout, "{url}").and_then(|()| stdout.flush()) {
        // Nobody wanted to know it; clients may all the same.
        tracing::warn!("the URL cannot be written to standard output: {error}");
    }

    let mode = loop {
        match server.watch(&events) {
            Incident::Nothing => {}
            Incident::Signal(signal) if signal.number == SIGQUIT => {
                tracing::info!("SIGQUIT: immediate shutdown");
                break ShutdownMode::Immediate;
            }
            Incident::Signal(signal) => {
                tracing::info!("{}: fast shutdown", signal.name());
                break ShutdownMode::Fast;
            }
            Incident::Ended => return Err(Failure::new(server.why_ended())),
        }
    };
    match server.stop(mode, 0, &events)? {
        Stopped::Cleanly => Ok(0),
        Stopped::AtOnce => Ok(STOPPED_AT_ONCE),
    }
}

/// A file of an earlier run would tell whoever waits for it that this one is ready.
fn remove_old(file: &Path) -> Result<(), Failure> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::because(
            format!("cannot remove the old ready file {}", file.display()),
            &error,
        )),
        _ => Ok(()),
    }
}
