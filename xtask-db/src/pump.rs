//! A Unix socket of the host in front of a database of this process, for programs that bring libpq.
//!
//! Nothing of the protocol is looked at: each connection is a backend's stream, bytes are copied both ways, and
//! an end on one side is passed on to the other. Cancel requests are connections like any other.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use pglite_oxide::Pglite;

/// libpq makes the socket's name of it.
pub(crate) const PORT: &str = "5432";

const BUFFER: usize = 64 * 1024;

/// A database that others in this process connect to.
pub(crate) type Shared = Arc<Mutex<Pglite>>;

/// Accepts connections for `db` on `.s.PGSQL.PORT` in `dir`, as long as the process lives.
pub(crate) fn listen(db: Shared, dir: &Path) -> Result<PathBuf> {
    let name = dir.join(format!(".s.PGSQL.{PORT}"));
    let listener = UnixListener::bind(&name)
        .with_context(|| format!("cannot listen on {}", name.display()))?;
    thread::Builder::new().name("listener".into()).spawn(move || {
        for client in listener.incoming() {
            let served = client.and_then(|client| serve(&db, client));
            if let Err(error) = served {
                tracing::warn!("a connection could not be served: {error}");
            }
        }
    })?;
    Ok(name)
}

fn serve(db: &Shared, client: UnixStream) -> io::Result<()> {
    let backend = {
        let db = db.lock().unwrap_or_else(PoisonError::into_inner);
        db.connect_raw().map_err(io::Error::other)?
    };
    let (client_again, backend_again) = (client.try_clone()?, backend.try_clone()?);
    let spawn = |name: &str, from: UnixStream, to: UnixStream| {
        thread::Builder::new()
            .name(name.into())
            .stack_size(128 * 1024)
            .spawn(move || copy(from, to))
    };
    spawn("to backend", client, backend)?;
    spawn("to client", backend_again, client_again)?;
    Ok(())
}

fn copy(mut from: UnixStream, mut to: UnixStream) {
    let mut buffer = vec![0; BUFFER];
    let ended = loop {
        match from.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(len) => {
                if let Err(error) = to.write_all(&buffer[..len]) {
                    break Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    // An end in one direction leaves the other one open: a client may half-close and read on. A failure ends
    // both, or the thread of the other direction would wait for ever.
    let _ = to.shutdown(if ended.is_ok() { Shutdown::Write } else { Shutdown::Both });
    if ended.is_err() {
        let _ = from.shutdown(Shutdown::Both);
    }
}
