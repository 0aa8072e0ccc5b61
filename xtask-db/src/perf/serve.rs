//! A server of this library in a process of its own, as clients and measurements of a whole process want it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail};
use pglite_oxide::{PgliteServer, ShutdownMode};

use super::{CHILD, Setup};

/// The child that serves until its input ends.
pub(super) const SERVE: &str = "serve";

/// A temporary server on a TCP port; stopped when dropped.
pub(super) struct ServerProcess {
    child: Child,
    /// Its end is the child's.
    input: Option<ChildStdin>,
    address: SocketAddr,
}

impl ServerProcess {
    pub(super) fn start(setup: &Setup, settings: &[(&str, &str)]) -> Result<ServerProcess> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([CHILD, SERVE])
            .arg(&setup.cache)
            .args(settings.iter().map(|(name, value)| format!("{name}={value}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let stdout = child.stdout.take().context("the output is not a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Ok(address) = line.trim().parse() else {
            bail!("the server does not start: {}", child.wait()?);
        };
        Ok(ServerProcess { child, input, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// In the child: `serve CACHE [NAME=VALUE ...]`.
pub(super) fn serve(args: &[String]) -> Result<()> {
    let [cache, settings @ ..] = args else { bail!("{SERVE} CACHE [NAME=VALUE ...]") };
    let mut builder = PgliteServer::builder().cache_dir(cache);
    for setting in settings {
        let (name, value) = setting.split_once('=').context("a setting is NAME=VALUE")?;
        builder = builder.config(name, value);
    }
    let server = builder.start().context("the server does not start")?;
    println!("{}", server.local_addr().context("the server does not listen on TCP")?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(server.shutdown(ShutdownMode::Fast)?)
}
