//! `pglite run`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};

use pglite_oxide::{ConnectionParams, ShutdownMode};
use rustix::process::{Pid, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

use crate::args::{LogLevel, RunArgs};
use crate::events::{Events, Signal};
use crate::failure::{Failure, NOT_EXECUTABLE, NOT_FOUND, chain, say};
use crate::log;
use crate::server::{Incident, Server, Started};

/// Signals that the command gets from us. Those of job control (`SIGTSTP`, `SIGCONT`) are not among them:
/// the command is in our process group, so that a shell stops and continues both.
const PASSED_ON: &[i32] = &[SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];

/// Variables that would lead a client to another server, or make it ask more of this one than it has.
const OF_OTHER_SERVERS: &[&str] = &[
    "PGCHANNELBINDING",
    "PGGSSENCMODE",
    "PGHOSTADDR",
    "PGLOADBALANCEHOSTS",
    "PGPASSWORD",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGTARGETSESSIONATTRS",
];

pub(crate) fn command(args: &RunArgs) -> Result<u8, Failure> {
    log::start(&args.server, LogLevel::Warn);
    let watched: Vec<i32> = PASSED_ON.iter().copied().chain([SIGCHLD]).collect();
    let events = Events::watch(&watched)?;
    let server = match Server::start(&args.server, &events)? {
        Started::Running(server) => server,
        Started::Interrupted(signal) => return Ok(killed_by(signal.number)),
    };
    tracing::info!("listening on {}", server.addresses());

    let status = match spawn(&args.command, &server.connection_params()) {
        Ok(child) => status(supervise(child, &server, &events)?),
        Err(error) => {
            let name = args.command.first().map(|name| name.to_string_lossy().into_owned());
            say(&format!("cannot run {}: {error}", name.unwrap_or_default()));
            match error.kind() {
                io::ErrorKind::NotFound => NOT_FOUND,
                _ => NOT_EXECUTABLE,
            }
        }
    };
    // A database in memory is gone in any case.
    let mode = match args.server.path {
        Some(_) => ShutdownMode::Fast,
        None => ShutdownMode::Immediate,
    };
    // The signal that ended the command may come to us later than the command's end.
    const PATIENCE: u32 = 1;
    if let Err(failure) = server.stop(mode, PATIENCE, &events) {
        // The status is the command's all the same.
        let _ = failure.report(status);
    }
    Ok(status)
}

fn spawn(command: &[OsString], params: &ConnectionParams) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments);
    for name in OF_OTHER_SERVERS {
        command.env_remove(name);
    }
    command.env("DATABASE_URL", params.url()).envs(params.env()).spawn()
}

/// Waits for the command, and passes signals on to it.
fn supervise(mut child: Child, server: &Server, events: &Events) -> Result<ExitStatus, Failure> {
    let pid = Pid::from_child(&child);
    let mut ended = false;
    loop {
        // Only here is its pid given back: `kill` above cannot meet another process.
        let exited = child
            .try_wait()
            .map_err(|error| Failure::because("cannot wait for the command", &error))?;
        if let Some(status) = exited {
            return Ok(status);
        }
        match server.watch(events) {
            Incident::Signal(signal) => pass_on(signal, pid),
            Incident::Ended if !ended => {
                tracing::error!("{}", server.why_ended());
                ended = true;
            }
            Incident::Ended | Incident::Nothing => {}
        }
    }
}

fn pass_on(signal: Signal, child: Pid) {
    // The command has these already: it is in the same process group as we are, to which both a
    // terminal and a command that signals "its" processes send.
    let has_it = signal.from_terminal || signal.sender == Some(child.as_raw_pid());
    if signal.number == SIGCHLD || has_it {
        return;
    }
    let Some(named) = rustix::process::Signal::from_named_raw(signal.number) else { return };
    match kill_process(child, named) {
        Ok(()) => tracing::debug!("{} passed on to the command", signal.name()),
        Err(error) => tracing::warn!("{} cannot be passed on: {}", signal.name(), chain(&error)),
    }
}

fn status(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        // A status has eight bits.
        (Some(code), _) => code as u8,
        (None, Some(signal)) => killed_by(signal),
        (None, None) => unreachable!("a process that has ended has a code or a signal"),
    }
}

/// As shells have it.
fn killed_by(signal: i32) -> u8 {
    128u8.saturating_add(u8::try_from(signal).unwrap_or(0))
}
