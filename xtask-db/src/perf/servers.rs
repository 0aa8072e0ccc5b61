//! Both sides, with the same settings.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pglite_oxide::{Pglite, PgliteBuilder};

use super::Setup;
use super::client::{Client, Stream};
use super::native::{Listen, NativeServer, tcp};
use super::serve::ServerProcess;

/// What the library sets for a temporary database.
pub(super) const TEMPORARY: &[(&str, &str)] =
    &[("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")];

/// One of both.
pub(super) enum Server {
    /// In this process.
    Ours(Box<Pglite>),
    /// In a process of its own.
    Process(ServerProcess),
    Native(NativeServer),
}

impl Server {
    pub(super) fn stream(&self) -> Result<Stream> {
        match self {
            Server::Ours(db) => Ok(Stream::Unix(db.connect_raw()?)),
            Server::Process(server) => tcp(server.address()),
            Server::Native(server) => server.stream(),
        }
    }

    pub(super) fn connect(&self) -> Result<Client> {
        Client::login(self.stream()?)
    }

    /// Of a server of [`over_tcp`].
    pub(super) fn address(&self) -> Result<SocketAddr> {
        let address = match self {
            Server::Ours(_) => None,
            Server::Process(server) => Some(server.address()),
            Server::Native(server) => server.address(),
        };
        address.context("the server does not listen on TCP")
    }

    /// Of the process, or of the first process.
    pub(super) fn pid(&self) -> u32 {
        match self {
            Server::Ours(_) => std::process::id(),
            Server::Process(server) => server.pid(),
            Server::Native(server) => server.pid(),
        }
    }
}

/// A builder with the cache of the measurements.
pub(super) fn builder(setup: &Setup) -> PgliteBuilder {
    Pglite::builder().cache_dir(&setup.cache)
}

/// A temporary database here, and a native server in memory that syncs nothing either.
pub(super) fn temporary(setup: &Setup, settings: &[(&str, &str)]) -> Result<[Server; 2]> {
    let mut options = builder(setup);
    for (name, value) in settings {
        options = options.config(*name, *value);
    }
    let ours = options.open().context("the temporary database does not open")?;
    let (native, _) = setup.native_in_memory.start(&[TEMPORARY, settings].concat())?;
    Ok([Server::Ours(Box::new(ours)), Server::Native(native)])
}

/// As [`temporary`], but both listen on TCP and both are processes of their own.
pub(super) fn over_tcp(setup: &Setup, settings: &[(&str, &str)]) -> Result<[Server; 2]> {
    let ours = ServerProcess::start(setup, settings)?;
    let settings = [TEMPORARY, settings].concat();
    let (native, _) = setup.native_in_memory.start_in("data", Listen::Tcp, &settings)?;
    let servers = [Server::Process(ours), Server::Native(native)];
    compare_settings(&mut [servers[0].connect()?, servers[1].connect()?])?;
    Ok(servers)
}

/// A database in a directory here, and a native server, both with `fsync`.
pub(super) fn persistent(setup: &Setup, path: &Path) -> Result<[Server; 2]> {
    let ours = builder(setup).path(path).open().context("the database does not open")?;
    let (native, _) = setup.native.start(&[])?;
    Ok([Server::Ours(Box::new(ours)), Server::Native(native)])
}

/// Times `action` on both sides in turn, `rounds` times; the first side takes turns too.
pub(super) fn interleave<T>(
    sides: &mut [T; 2],
    rounds: usize,
    mut action: impl FnMut(&mut T, usize) -> Result<()>,
) -> Result<[Vec<Duration>; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for turn in 0..2 {
            let side = (round + turn) % 2;
            let start = Instant::now();
            action(&mut sides[side], round)?;
            times[side].push(start.elapsed());
        }
    }
    Ok(times)
}

/// Says what could make the comparison unfair.
pub(super) fn compare_settings(clients: &mut [Client; 2]) -> Result<()> {
    const SETTINGS: &str = "
        SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings
        WHERE vartype <> 'string' AND name <> 'port' AND context <> 'internal' AND category !~ 'Reporting|Client Connection'";
    let mut read = |side: usize| -> Result<Vec<String>> {
        let text = clients[side].simple(SETTINGS)?.value.unwrap_or_default();
        Ok(text.split(' ').map(str::to_owned).collect())
    };
    let (ours, native) = (read(0)?, read(1)?);
    for (side, mine, other) in [("here", &ours, &native), ("native", &native, &ours)] {
        let only: Vec<&str> =
            mine.iter().filter(|one| !other.contains(one)).map(String::as_str).collect();
        if !only.is_empty() {
            eprintln!("settings that differ, {side}: {}", only.join(" "));
        }
    }
    Ok(())
}

/// Binds this process, with all its threads and children to come, to one CPU.
pub(super) fn pin() -> Result<()> {
    // SAFETY: `set` is plain data for which all zeros is the empty set, and lives over the call.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    if result != 0 {
        bail!("cannot bind to a CPU: {}", std::io::Error::last_os_error());
    }
    Ok(())
}
