//! TLS for the guest's sockets, by rustls: what OpenSSL is to native PostgreSQL.
//!
//! The postmaster makes a [`Config`] from its settings and files; the processes it spawns inherit it. A
//! backend starts a [`Session`] on the socket of its client. A session never waits: it says what for, and
//! the guest waits as it does for a socket without TLS, where a signal or a shutdown reaches it.

mod certificate;
mod ciphers;
mod config;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use config::{Config, Part, Settings, Versions};
pub(crate) use session::{Fact, Failure, Progress, Session};

/// What a process has of TLS beside its sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessTls {
    pub(crate) config: Option<std::sync::Arc<Config>>,
    /// What the last call that failed has to say; `errno` alone would not tell.
    pub(crate) message: String,
}
