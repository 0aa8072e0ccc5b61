//! From a connected stream to a session that is ready.

use std::any::Any;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::cancel::Cancel;
use super::session::{Event, Pending, Session};
use super::wire::Wire;
use crate::error::{ConnectionError, Error};

/// What `pg_stat_activity` calls this library's own sessions.
pub(crate) const APPLICATION_NAME: &str = "pglite-oxide";

/// What a session is opened with.
#[derive(Debug, Default)]
pub(crate) struct ConnectOptions {
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) application_name: Option<String>,
    /// Only needed if `pg_hba.conf` asks for one.
    pub(crate) password: Option<String>,
    /// Settings of the session, by name.
    pub(crate) parameters: Vec<(String, String)>,
    /// What the database may write, if it is in memory and limited.
    pub(crate) memory_limit: Option<u64>,
    /// What the session keeps from being dropped, such as the instance it is connected to.
    pub(crate) keep_alive: Option<Arc<dyn Any + Send + Sync>>,
}

impl ConnectOptions {
    /// As this library's own sessions connect.
    pub(crate) fn new(user: &str, database: &str) -> ConnectOptions {
        ConnectOptions {
            user: user.to_owned(),
            database: database.to_owned(),
            application_name: Some(APPLICATION_NAME.into()),
            ..ConnectOptions::default()
        }
    }
}

impl Session {
    /// Logs in over a connected stream.
    ///
    /// A server that refuses (no such database, too many connections, ...) gives [`Error::Db`].
    pub(crate) fn connect(
        stream: UnixStream,
        mut options: ConnectOptions,
        canceller: Arc<dyn Cancel>,
    ) -> Result<Session, Error> {
        let wire = Wire::new(stream).map_err(ConnectionError::Io)?;
        let mut session = Session::new(wire, canceller, options.keep_alive.take());
        session.memory_limit = options.memory_limit;
        session.send_startup(&options)?;
        session.authenticate(&options)?;
        session.pending = Pending::Ready { extended: false };
        loop {
            match session.next_event()? {
                Event::Ready => return Ok(session),
                Event::Message(Message::BackendKeyData(body)) => {
                    session.backend_pid = body.process_id();
                    session.secret = body.secret_key();
                }
                Event::Error(error) => return Err(Error::Db(error)),
                other => return Err(session.unexpected(other)),
            }
        }
    }

    fn send_startup(&mut self, options: &ConnectOptions) -> Result<(), Error> {
        let mut parameters = vec![
            ("client_encoding", "UTF8"),
            ("user", options.user.as_str()),
            ("database", options.database.as_str()),
        ];
        if let Some(name) = &options.application_name {
            parameters.push(("application_name", name));
        }
        for (name, value) in &options.parameters {
            parameters.push((name, value));
        }
        frontend::startup_message(parameters, &mut self.wire.output).map_err(encoding)?;
        self.flush()
    }

    fn authenticate(&mut self, options: &ConnectOptions) -> Result<(), Error> {
        let password = || match &options.password {
            Some(password) => Ok(password.as_bytes()),
            None => Err(refused("the server asks for a password and none was given")),
        };
        loop {
            match self.next_event()? {
                Event::Message(Message::AuthenticationOk) => return Ok(()),
                Event::Message(Message::AuthenticationCleartextPassword) => {
                    let password = password()?;
                    frontend::password_message(password, &mut self.wire.output)
                        .map_err(encoding)?;
                    self.flush()?;
                }
                Event::Message(Message::AuthenticationMd5Password(body)) => {
                    let hash = md5_hash(options.user.as_bytes(), password()?, body.salt());
                    frontend::password_message(hash.as_bytes(), &mut self.wire.output)
                        .map_err(encoding)?;
                    self.flush()?;
                }
                Event::Message(Message::AuthenticationSasl(body)) => {
                    let mut scram = false;
                    let mut mechanisms = body.mechanisms();
                    while let Some(mechanism) = mechanisms.next().map_err(encoding)? {
                        scram |= mechanism == SCRAM_SHA_256;
                    }
                    if !scram {
                        return Err(refused("the server offers no SASL mechanism known here"));
                    }
                    self.scram(password()?)?;
                }
                Event::Error(error) => return Err(Error::Db(error)),
                Event::Message(
                    Message::AuthenticationGss
                    | Message::AuthenticationKerberosV5
                    | Message::AuthenticationScmCredential
                    | Message::AuthenticationSspi,
                ) => {
                    return Err(refused("the server asks for an authentication method not known"));
                }
                other => return Err(self.unexpected(other)),
            }
        }
    }

    fn scram(&mut self, password: &[u8]) -> Result<(), Error> {
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut self.wire.output)
            .map_err(encoding)?;
        self.flush()?;
        match self.next_event()? {
            Event::Message(Message::AuthenticationSaslContinue(body)) => {
                scram.update(body.data()).map_err(|error| refused(&error.to_string()))?;
            }
            Event::Error(error) => return Err(Error::Db(error)),
            other => return Err(self.unexpected(other)),
        }
        frontend::sasl_response(scram.message(), &mut self.wire.output).map_err(encoding)?;
        self.flush()?;
        match self.next_event()? {
            Event::Message(Message::AuthenticationSaslFinal(body)) => {
                scram.finish(body.data()).map_err(|error| refused(&error.to_string()))
            }
            Event::Error(error) => Err(Error::Db(error)),
            other => Err(self.unexpected(other)),
        }
    }
}

fn refused(message: &str) -> Error {
    Error::Connection(ConnectionError::Authentication(message.to_owned()))
}

/// Names and values with a NUL inside cannot be sent.
fn encoding(error: std::io::Error) -> Error {
    Error::usage(format!("the text cannot be sent to PostgreSQL: {error}"))
}
