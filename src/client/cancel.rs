//! Cancelling a running statement from another thread.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use crate::error::Error;

/// How a cancel request reaches the postmaster.
pub(crate) trait Cancel: Send + Sync {
    /// Asks for the statement that the backend `pid` runs to be cancelled.
    ///
    /// An implementation opens another stream to the postmaster, sends the request with
    /// [`send_cancel_request`] and *reads to the end of the stream* before it returns: PostgreSQL
    /// closes it after the signal was sent, and only then can a statement that is sent later not be
    /// the one that is hit.
    fn cancel(&self, pid: i32, secret: i32) -> Result<(), Error>;
}

/// Writes a CancelRequest, the first and only message of a stream of its own.
pub(crate) fn send_cancel_request(
    stream: &mut impl Write,
    pid: i32,
    secret: i32,
) -> io::Result<()> {
    let mut request = BytesMut::with_capacity(16);
    frontend::cancel_request(pid, secret, &mut request);
    stream.write_all(&request)?;
    stream.flush()
}

/// Stops what a session is running, from any thread.
///
/// Made by [`Session::cancel_handle`](crate::Session::cancel_handle). The handle can be cloned and
/// kept; it does not keep the session or the database open.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use std::time::Duration;
/// use pglite_oxide::{Pglite, SqlState};
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let mut db = Pglite::temporary()?;
/// let handle = db.cancel_handle();
/// let timer = thread::spawn(move || {
///     thread::sleep(Duration::from_millis(100));
///     handle.cancel()
/// });
/// let error = db.exec("SELECT pg_sleep(60)").unwrap_err();
/// assert_eq!(error.sqlstate(), Some(&SqlState::QUERY_CANCELED));
/// timer.join().expect("the timer thread")?;
/// db.exec("SELECT 1")?; // the session goes on
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CancelHandle {
    canceller: Arc<dyn Cancel>,
    pid: i32,
    secret: i32,
}

impl CancelHandle {
    pub(super) fn new(canceller: Arc<dyn Cancel>, pid: i32, secret: i32) -> CancelHandle {
        CancelHandle { canceller, pid, secret }
    }

    /// Cancels the statement the session is running.
    ///
    /// The statement fails with [`QUERY_CANCELED`](crate::SqlState::QUERY_CANCELED) in the thread
    /// that runs it, soon after this returns, unless it ends by itself before. If the session runs
    /// nothing, nothing happens. Cancelling inside a transaction block aborts the transaction, as
    /// any error does.
    ///
    /// # Errors
    ///
    /// If the request cannot be delivered, because PostgreSQL has stopped.
    pub fn cancel(&self) -> Result<(), Error> {
        self.canceller.cancel(self.pid, self.secret)
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle").field("pid", &self.pid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_packet() {
        let mut bytes = Vec::new();
        send_cancel_request(&mut bytes, 0x0102_0304, -1).expect("writing to memory");
        assert_eq!(bytes, [0, 0, 0, 16, 4, 210, 22, 46, 1, 2, 3, 4, 255, 255, 255, 255]);
    }
}
