//! Both sides, with the same settings.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pglite_oxide::{Pglite, PgliteBuilder};

use super::Setup;
use super::client::Client;
use super::native::NativeServer;

/// What the library sets for a temporary database.
pub(super) const TEMPORARY: &[(&str, &str)] =
    &[("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")];

/// One of both.
pub(super) enum Server {
    Ours(Box<Pglite>),
    Native(NativeServer),
}

impl Server {
    pub(super) fn stream(&self) -> Result<UnixStream> {
        match self {
            Server::Ours(db) => Ok(db.connect_raw()?),
            Server::Native(server) => server.stream(),
        }
    }

    pub(super) fn connect(&self) -> Result<Client> {
        Client::login(self.stream()?)
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
