//! A native PostgreSQL server of our own, in a temporary directory.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::client::{Client, Stream};
use crate::paths::Paths;

/// As the template database of this library is made.
const INITDB: &[&str] = &[
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--wal-segsize=1",
    "--set=max_wal_size=1GB",
    "--set=min_wal_size=80MB",
    "--set=shared_buffers=128MB",
    "--set=max_connections=100",
    "--set=timezone=UTC",
    "--set=log_timezone=UTC",
    "--no-sync",
];

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a server listens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Listen {
    /// On a Unix socket in its directory.
    Unix,
    /// On a TCP port of the system's choice, too; sessions come that way.
    Tcp,
}

/// A data directory and the programs for it.
pub(crate) struct NativeData {
    programs: PathBuf,
    dir: PathBuf,
}

/// A running server; stopped when dropped.
pub(crate) struct NativeServer {
    child: Child,
    socket: PathBuf,
    address: Option<SocketAddr>,
}

impl NativeData {
    pub(super) fn find(paths: &Paths, dir: &Path) -> NativeData {
        NativeData { programs: paths.native("bin"), dir: dir.to_owned() }
    }

    /// Makes the data directory. PostgreSQL does not run as root: then it gets a user without rights.
    pub(crate) fn make(paths: &Paths, dir: &Path) -> Result<NativeData> {
        let data = NativeData::find(paths, dir);
        if let (Some((uid, gid)), Some(parent)) = (unprivileged(), dir.parent()) {
            std::fs::create_dir_all(dir)?;
            chown(dir, Some(uid), Some(gid))?;
            chown(parent, Some(uid), Some(gid))?;
        }
        data.initdb("data")?;
        Ok(data)
    }

    /// Makes one more data directory; returns how long it took.
    pub(super) fn initdb(&self, name: &str) -> Result<Duration> {
        let start = Instant::now();
        let output = self
            .command("initdb")
            .args(INITDB)
            .arg("-D")
            .arg(self.dir.join(name))
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(start.elapsed())
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        Ok(std::fs::remove_dir_all(self.dir.join(name))?)
    }

    /// Starts the server on the data directory and waits for the first session.
    pub(super) fn start(&self, settings: &[(&str, &str)]) -> Result<(NativeServer, Client)> {
        self.start_in("data", Listen::Unix, settings)
    }

    /// The same, for clients of others.
    pub(crate) fn serve(&self) -> Result<NativeServer> {
        Ok(self.start(&[])?.0)
    }

    pub(super) fn start_in(
        &self,
        name: &str,
        listen: Listen,
        settings: &[(&str, &str)],
    ) -> Result<(NativeServer, Client)> {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.dir.join(name)).arg("-k").arg(&self.dir);
        let address = match listen {
            Listen::Unix => None,
            // Nobody else is likely to take it in between.
            Listen::Tcp => Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?),
        };
        let port = address.map_or(5432, |address| address.port());
        command.arg("-p").arg(port.to_string()).arg("-c");
        command.arg(format!(
            "listen_addresses={}",
            address.map_or_else(String::new, |address| address.ip().to_string())
        ));
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let log = std::fs::File::create(self.dir.join("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("the native postgres does not start")?;
        let mut server =
            NativeServer { child, socket: self.dir.join(format!(".s.PGSQL.{port}")), address };
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(client) = server.connect() {
                return Ok((server, client));
            }
            if server.child.try_wait()?.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("the native postgres does not start:\n{log}");
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// A file beside the data directories, which the native programs may write.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs a client program to its end.
    pub(super) fn client(&self, program: &str, arguments: &[&str]) -> Result<()> {
        self.run_client(self.command(program), program, arguments).map(drop)
    }

    /// The same, connected to a server.
    pub(super) fn client_of(
        &self,
        server: &NativeServer,
        program: &str,
        arguments: &[&str],
    ) -> Result<()> {
        self.output_of(server, program, arguments).map(drop)
    }

    /// The same; returns its standard output.
    pub(super) fn output_of(
        &self,
        server: &NativeServer,
        program: &str,
        arguments: &[&str],
    ) -> Result<String> {
        let mut command = self.command(program);
        let directory = server.socket.parent().context("a socket without a directory")?;
        command.env("PGHOST", directory).env("PGUSER", "postgres");
        if program != "pg_restore" {
            command.env("PGDATABASE", "postgres");
        }
        self.run_client(command, program, arguments)
    }

    fn run_client(
        &self,
        mut command: Command,
        program: &str,
        arguments: &[&str],
    ) -> Result<String> {
        let output = command.args(arguments).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("native {program} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        if let Some((uid, gid)) = unprivileged() {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.dir).env_clear().env("TZ", "GMT").env("LC_ALL", "C");
        command
    }
}

impl NativeServer {
    pub(super) fn stream(&self) -> Result<Stream> {
        Ok(match self.address {
            Some(address) => tcp(address)?,
            None => Stream::Unix(UnixStream::connect(&self.socket)?),
        })
    }

    /// Of the Unix socket.
    pub(crate) fn directory(&self) -> &Path {
        self.socket.parent().unwrap_or(&self.socket)
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    pub(super) fn connect(&self) -> Result<Client> {
        Client::login(self.stream()?)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fast shutdown; returns how long it took.
    pub(super) fn stop(mut self) -> Result<Duration> {
        let start = Instant::now();
        self.signal(libc::SIGINT);
        self.child.wait()?;
        Ok(start.elapsed())
    }

    fn signal(&self, signal: i32) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // SAFETY: a plain system call without pointers; the child has not been waited for.
            unsafe { libc::kill(pid, signal) };
        }
    }
}

pub(super) fn tcp(address: SocketAddr) -> Result<Stream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}

impl Drop for NativeServer {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Immediate shutdown: it ends its children, which SIGKILL would not.
            self.signal(libc::SIGQUIT);
            let _ = self.child.wait();
        }
    }
}

/// If this is root: whom PostgreSQL runs as.
fn unprivileged() -> Option<(u32, u32)> {
    // SAFETY: a plain system call without arguments.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let nobody = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some("nobody");
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        found.then_some((uid, gid))
    });
    Some(nobody.unwrap_or((65534, 65534)))
}
