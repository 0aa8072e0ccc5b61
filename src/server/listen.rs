//! Opening the sockets that clients connect to.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::error::ListenError;
use crate::kernel::HostListener;

/// An open socket, before it is handed to the kernel.
pub(super) struct Bound {
    pub(super) listener: HostListener,
    pub(super) address: Address,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(SocketFile),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(file) => file.path().display().fmt(f),
        }
    }
}

/// A socket's file, which has to be removed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketFile {
    pub(super) directory: PathBuf,
    pub(super) port: u16,
}

impl SocketFile {
    /// The name that libpq derives from host and port.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(format!(".s.PGSQL.{}", self.port))
    }
}

pub(super) fn tcp(address: SocketAddr) -> Result<Bound, ListenError> {
    let failed = |source: io::Error| classify(address.to_string(), source);
    let listener = TcpListener::bind(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener: HostListener::Tcp(listener), address: Address::Tcp(address) })
}

/// Makes `DIRECTORY/.s.PGSQL.PORT`, and the directory if it does not exist. Only this user can connect,
/// unless it is for `everybody`.
pub(super) fn unix(directory: &Path, port: u16, everybody: bool) -> Result<Bound, ListenError> {
    // Clients take a host that starts with a slash for a directory.
    let directory = std::path::absolute(directory)
        .map_err(|source| classify(directory.display().to_string(), source))?;
    let file = SocketFile { directory, port };
    let path = file.path();
    let failed = |source: io::Error| classify(path.display().to_string(), source);
    DirBuilder::new().recursive(true).mode(0o700).create(&file.directory).map_err(failed)?;
    match fs::symlink_metadata(&path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        Ok(_) if UnixStream::connect(&path).is_ok() => {
            return Err(ListenError::InUse { address: path.display().to_string() });
        }
        // Nobody listens: left by a process that was killed.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // Under another name first, so that nobody meets it before its permissions are set, and so that it
    // takes the place of a stale one in one step.
    let new = file.directory.join(format!(".s.PGSQL.{port}.{}", std::process::id()));
    let listener = match UnixListener::bind(&new) {
        Ok(listener) => listener,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(ListenError::PathTooLong { path });
        }
        Err(error) => return Err(failed(error)),
    };
    let mode = if everybody { 0o777 } else { 0o700 };
    let placed = fs::set_permissions(&new, Permissions::from_mode(mode))
        .and_then(|()| fs::rename(&new, &path));
    if let Err(error) = placed {
        // Removing it is all that can still be done about it.
        let _ = fs::remove_file(&new);
        return Err(failed(error));
    }
    Ok(Bound { listener: HostListener::Unix(listener), address: Address::Unix(file) })
}

fn classify(address: String, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        _ => ListenError::Io { address, source },
    }
}
