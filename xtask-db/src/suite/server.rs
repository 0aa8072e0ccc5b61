//! The server that a suite runs against.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pglite_oxide::{ConnectionParams, MountAccess, PgliteServer};

/// How the tests reach it. Each suite has another way, so that both are used in earnest.
#[derive(Clone, Copy)]
pub(super) enum Transport {
    Unix,
    Tcp,
}

/// A temporary server.
pub(super) struct Server {
    server: PgliteServer,
    /// Of the Unix socket.
    _directory: tempfile::TempDir,
}

impl Server {
    /// With the directories of the tests where psql says they are.
    pub(super) fn start(
        transport: Transport,
        tests: &[&Path],
        output: &Path,
        settings: &[(&str, &str)],
        extension_dirs: &[PathBuf],
    ) -> Result<Server> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let directory = tempfile::tempdir()?;
        let mut builder =
            PgliteServer::builder().mount(output, text(output), MountAccess::ReadWrite);
        for tests in tests {
            builder = builder.mount(tests, text(tests), MountAccess::ReadOnly);
        }
        for dir in extension_dirs {
            builder = builder.extension_dir(dir);
        }
        if let Transport::Unix = transport {
            builder = builder.without_tcp().unix_socket(directory.path());
        }
        for (name, value) in settings {
            builder = builder.config(*name, *value);
        }
        let server = builder.start().context("the server does not start")?;
        Ok(Server { server, _directory: directory })
    }

    pub(super) fn connection(&self) -> ConnectionParams {
        self.server.connection_params()
    }
}
