//! A session on a copy of a backend that is logged in already.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cancel::Cancel;
use super::session::{Epochs, Session, TransactionStatus};
use super::types::TypeCache;
use super::wire::Wire;
use crate::error::{ConnectionError, Error, SnapshotError};

/// What a session knows of its backend, and a session on a copy of it has to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SessionState {
    pub(super) backend_pid: i32,
    pub(super) parameters: HashMap<String, String>,
    /// Not in files: it can be asked for again.
    #[serde(skip)]
    pub(super) types: TypeCache,
    /// Names below it may be statements of the backend.
    pub(super) next_statement: u64,
    pub(super) epochs: Epochs,
    pub(super) memory_limit: Option<u64>,
}

impl SessionState {
    pub(crate) fn backend_pid(&self) -> i32 {
        self.backend_pid
    }
}

impl Session {
    /// The state of a session between two requests, out of any transaction.
    pub(crate) fn state(&mut self) -> Result<SessionState, Error> {
        self.settle()?;
        if self.status != TransactionStatus::Idle {
            return Err(Error::Snapshot(SnapshotError::InTransaction));
        }
        Ok(SessionState {
            backend_pid: self.backend_pid,
            parameters: self.parameters.clone(),
            types: self.types.clone(),
            next_statement: self.next_statement,
            epochs: self.epochs,
            memory_limit: self.memory_limit,
        })
    }

    /// A session with a copy of the backend that the state is of; it waits for a request.
    pub(crate) fn resume(
        stream: UnixStream,
        state: &SessionState,
        secret: i32,
        canceller: Arc<dyn Cancel>,
    ) -> Result<Session, Error> {
        let wire = Wire::new(stream).map_err(ConnectionError::Io)?;
        let mut session = Session::new(wire, canceller, None);
        session.backend_pid = state.backend_pid;
        session.secret = secret;
        session.parameters = state.parameters.clone();
        session.types = state.types.clone();
        session.next_statement = state.next_statement;
        session.epochs = state.epochs;
        session.memory_limit = state.memory_limit;
        Ok(session)
    }
}
