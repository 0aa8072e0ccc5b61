//! A server from its start to its end, as `serve` and `run` need it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use pglite_oxide::{
    ConnectionParams, DataDirError, Error, MountAccess, PgliteServer, PgliteServerBuilder,
    ShutdownMode,
};
use signal_hook::consts::SIGQUIT;

use crate::announce::{self, Announcement};
use crate::args::ServerArgs;
use crate::events::{Event, Events, Signal};
use crate::failure::Failure;

/// How often it is looked whether PostgreSQL still runs.
const LOOK: Duration = Duration::from_millis(500);

/// What came of a start.
pub(crate) enum Started {
    Running(Server),
    /// A signal came before it was ready; it has been shut down again.
    Interrupted(Signal),
}

/// What happened while a server runs.
pub(crate) enum Incident {
    Signal(Signal),
    /// Nothing, for a while.
    Nothing,
    /// PostgreSQL has ended by itself.
    Ended,
}

/// How a server stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    Cleanly,
    /// Without a checkpoint: the next start recovers.
    AtOnce,
}

/// A running server.
pub(crate) struct Server {
    server: PgliteServer,
    announcements: Vec<Announcement>,
}

impl Server {
    /// Starts a server. A signal in the meantime stops it as soon as it has started; a second one, or
    /// SIGQUIT, ends this program.
    pub(crate) fn start(args: &ServerArgs, events: &Events) -> Result<Started, Failure> {
        let Prepared { builder, certificate } = prepare(args)?;
        events.spawn("start", move || Event::Started(Box::new(builder.start())))?;
        let mut interrupted: Option<Signal> = None;
        loop {
            match events.wait() {
                Event::Signal(signal) if !signal.ends() => {}
                Event::Signal(signal) if signal.number == SIGQUIT || interrupted.is_some() => {
                    process::exit(128 + signal.number);
                }
                Event::Signal(signal) => {
                    tracing::info!("{} while starting: stopping", signal.name());
                    interrupted = Some(signal);
                }
                Event::Started(result) => {
                    let server = result.map_err(|error| start_failure(args, error))?;
                    let mut server = Server { server, announcements: Vec::new() };
                    if let Some(signal) = interrupted {
                        server.stop(ShutdownMode::Fast, 1, events)?;
                        return Ok(Started::Interrupted(signal));
                    }
                    if let Some((file, pem)) = &certificate {
                        server.announce("certificate file", file, pem)?;
                    }
                    if let Some(directory) = &args.path {
                        server.announce_in(directory);
                    }
                    return Ok(Started::Running(server));
                }
                Event::Stopped(_) => {}
            }
        }
    }

    pub(crate) fn connection_params(&self) -> ConnectionParams {
        self.server.connection_params()
    }

    /// The URL without the password.
    pub(crate) fn public_url(&self) -> String {
        let mut params = self.server.connection_params();
        params.password = None;
        params.url()
    }

    /// Where it listens, for the log.
    pub(crate) fn addresses(&self) -> String {
        let tcp = self.server.local_addr().map(|address| address.to_string());
        let unix = self.server.socket_path().map(|path| path.display().to_string());
        [tcp, unix].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }

    /// Puts a file there with this text; it is removed when the server stops.
    pub(crate) fn announce(&mut self, what: &str, file: &Path, text: &str) -> Result<(), Failure> {
        let written = Announcement::write(file, text).map_err(|error| {
            Failure::because(format!("cannot write the {what} {}", file.display()), &error)
        })?;
        self.announcements.push(written);
        Ok(())
    }

    /// For `pglite url`, without which a server can do.
    fn announce_in(&mut self, directory: &Path) {
        match Announcement::in_directory(directory, &self.public_url()) {
            Ok(written) => self.announcements.push(written),
            Err(error) => tracing::warn!(
                "`pglite url` will not find this server, as its file in {} cannot be written: {error}",
                directory.display()
            ),
        }
    }

    /// What happens next.
    pub(crate) fn watch(&self, events: &Events) -> Incident {
        match events.next(LOOK) {
            Some(Event::Signal(signal)) => Incident::Signal(signal),
            Some(Event::Started(_) | Event::Stopped(_)) => Incident::Nothing,
            None if self.server.is_running() => Incident::Nothing,
            None => Incident::Ended,
        }
    }

    /// Why PostgreSQL has ended by itself.
    pub(crate) fn why_ended(&self) -> String {
        match self.server.connect_raw() {
            Err(Error::Closed { cause: Some(cause) }) => {
                format!("PostgreSQL ended by itself; its last message was: {cause}")
            }
            _ => "PostgreSQL ended by itself; its log says why".to_owned(),
        }
    }

    /// Stops the server. When signals that ask for the end have come more than `patience` times, it is
    /// stopped where it is, which PostgreSQL recovers from as from an immediate shutdown.
    pub(crate) fn stop(
        self,
        mode: ShutdownMode,
        mut patience: u32,
        events: &Events,
    ) -> Result<Stopped, Failure> {
        let Server { server, announcements } = self;
        // Before the server lets go of the directory, which may then be another's.
        drop(announcements);
        let socket = server.socket_path();
        events.spawn("stop", move || Event::Stopped(server.shutdown(mode)))?;
        loop {
            match events.wait() {
                Event::Signal(signal) if signal.ends() => {
                    if patience == 0 || signal.number == SIGQUIT {
                        tracing::warn!("{}: stopping at once", signal.name());
                        // PostgreSQL's processes end with this one.
                        remove_socket(socket);
                        return Ok(Stopped::AtOnce);
                    }
                    patience -= 1;
                }
                Event::Signal(_) | Event::Started(_) => {}
                Event::Stopped(Ok(())) if mode == ShutdownMode::Immediate => {
                    return Ok(Stopped::AtOnce);
                }
                Event::Stopped(Ok(())) => return Ok(Stopped::Cleanly),
                Event::Stopped(Err(error)) => {
                    return Err(Failure::because("the server did not stop cleanly", &error));
                }
            }
        }
    }
}

/// Otherwise it would stay until a server wants the same name.
fn remove_socket(path: Option<PathBuf>) {
    if let Some(path) = path {
        // The server may have done it itself in this moment.
        let _ = fs::remove_file(path);
    }
}

fn start_failure(args: &ServerArgs, error: Error) -> Failure {
    if let (Some(directory), Error::DataDir(DataDirError::Locked { .. })) = (&args.path, &error) {
        // A server to connect to is better than the advice to close it.
        if let Ok(Some(url)) = announce::find(directory) {
            return Failure::new(format!(
                "pglite serves {} already, at {url}",
                directory.display()
            ));
        }
    }
    error.into()
}

/// A server that can be started.
struct Prepared {
    builder: PgliteServerBuilder,
    /// A file that clients are to find the server's certificate in, and the certificate.
    certificate: Option<(PathBuf, String)>,
}

fn prepare(args: &ServerArgs) -> Result<Prepared, Failure> {
    if !args.host.is_loopback() && !args.allow_remote {
        return Err(Failure::usage(format!(
            "other machines can reach {}: that takes --allow-remote and --password-file too",
            args.host
        )));
    }
    let mut builder =
        PgliteServer::builder().database(args.database.as_str()).user(args.user.as_str());
    if let Some(path) = &args.path {
        builder = builder.path(path);
    }
    if let Some(bytes) = args.memory_limit {
        builder = builder.memory_limit(bytes);
    }
    builder = if args.no_tcp {
        builder.without_tcp()
    } else {
        builder.tcp(SocketAddr::new(args.host, args.port))
    };
    if let Some(directory) = &args.socket {
        builder = builder.unix_socket(directory);
    }
    if let Some(file) = &args.password_file {
        builder = builder.password(read_password(file)?);
    }
    if args.allow_remote {
        builder = builder.allow_remote();
    }
    if let Some(count) = args.max_connections {
        builder = builder.max_connections(count);
    }
    for (name, value) in &args.config {
        builder = builder.config(name.as_str(), value.as_str());
    }
    for mount in &args.mount {
        let access = if mount.read_only { MountAccess::ReadOnly } else { MountAccess::ReadWrite };
        builder = builder.mount(&mount.host, mount.guest.as_str(), access);
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = tls(&args.tls)? {
        let out = args.tls.tls_cert_out.clone();
        let certificate = out.map(|file| (file, tls.certificate_pem()));
        return Ok(Prepared { builder: builder.tls(tls), certificate });
    }
    Ok(Prepared { builder, certificate: None })
}

fn read_password(file: &Path) -> Result<String, Failure> {
    let name = file.display();
    let failed = |error| Failure::because(format!("cannot read the password file {name}"), &error);
    let text = fs::read_to_string(file).map_err(failed)?;
    let mode = fs::metadata(file).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!("others can read the password file {name}; `chmod 600` it");
    }
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(password.to_owned()),
        _ => Err(Failure::new(format!("the first line of the password file {name} is empty"))),
    }
}

#[cfg(feature = "tls")]
fn tls(args: &crate::args::TlsArgs) -> Result<Option<pglite_oxide::Tls>, Failure> {
    use pglite_oxide::Tls;
    match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Ok(Some(Tls::from_pem_files(certificate, key)?)),
        _ if args.tls => Ok(Some(Tls::self_signed()?)),
        _ => Ok(None),
    }
}
