//! The state of a session and the reading of replies.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::cancel::{Cancel, CancelHandle};
use super::notify::{Notices, Notification};
use super::statement::{Statement, statement_name};
use super::types::TypeCache;
use super::wire::{Frame, Wire, WireError};
use crate::error::{ConnectionError, DbError, Error, Severity};

/// How many statements are kept prepared for calls that pass SQL text.
const STATEMENT_CACHE: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not zero");

/// How long `close` waits for the backend to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Sessions are numbered, so that a statement of one is not taken for a statement of another.
static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

/// Where a session stands with regard to transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// Not in a transaction block: each statement commits by itself.
    Idle,
    /// In a transaction block.
    InTransaction,
    /// In a transaction block that an error has aborted: everything up to its `ROLLBACK` fails.
    Failed,
}

/// What the backend owes us, or we owe the backend, before the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// Nothing.
    Idle,
    /// A reply that ends with ReadyForQuery. `extended`: by a Sync of ours (that a COPY FROM STDIN
    /// would swallow), and not by a simple query.
    Ready { extended: bool },
    /// A portal is open: rows may come, then we send Sync.
    Portal,
    /// The backend takes COPY data.
    CopyIn { extended: bool },
}

/// A message that matters to whoever made the request.
pub(super) enum Event {
    Row(Bytes),
    CopyData(Bytes),
    Error(Box<DbError>),
    Ready,
    Message(Message),
}

/// What statements need to know of their session, to say that they were dropped.
pub(super) struct Shared {
    pub(super) session: u64,
    dropped: Mutex<Vec<u64>>,
}

impl Shared {
    pub(super) fn statement_dropped(&self, id: u64) {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }
}

/// A session of a PostgreSQL database.
///
/// All methods take `&mut self`: a session does one thing at a time. It is [`Send`], so it can move
/// between threads or live in a [`Mutex`].
///
/// # Statements
///
/// Statements with parameters run with [`query`](Session::query) and its relatives, or
/// [`execute`](Session::execute). Where they take SQL text, it is prepared once and kept in a cache
/// of the 100 most recently used statements; [`prepare`](Session::prepare) gives a statement to
/// keep. Several statements at once, without parameters, run with [`exec`](Session::exec).
///
/// A prepared statement that PostgreSQL no longer has (after `DISCARD ALL`) or whose result has
/// other columns than before (after `ALTER TABLE`) is prepared again without the caller noticing,
/// as long as no transaction has been aborted by it.
///
/// # After an error
///
/// An error of a statement leaves the session usable. Inside a transaction block it aborts the
/// transaction, as always with PostgreSQL. When the backend itself ends, the call that meets this
/// returns the reason, and all later ones return [`Error::Closed`].
pub struct Session {
    pub(super) wire: Wire,
    pub(super) pending: Pending,
    pub(super) status: TransactionStatus,
    pub(super) backend_pid: i32,
    pub(super) secret: i32,
    /// Of the database, if it is in memory: PostgreSQL knows nothing of it.
    pub(super) memory_limit: Option<u64>,
    canceller: Arc<dyn Cancel>,
    pub(super) parameters: HashMap<String, String>,
    pub(super) notices: Notices,
    pub(super) notifications: VecDeque<Notification>,
    pub(super) types: TypeCache,
    pub(super) cache: Option<LruCache<Arc<str>, Statement>>,
    pub(super) shared: Arc<Shared>,
    /// Statements that PostgreSQL has still to be told of that they were dropped.
    closing: Vec<u64>,
    /// Whether the output buffer says so.
    closing_encoded: bool,
    pub(super) next_statement: u64,
    pub(super) epochs: Epochs,
    ddl_in_transaction: bool,
    closed: bool,
    /// The last message that said that the backend ends.
    last_fatal: Option<Box<DbError>>,
    /// Last, so that the connection is closed before it is let go.
    _keep_alive: Option<Arc<dyn Any + Send + Sync>>,
}

/// Counters of events after which prepared statements are not what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Epochs {
    /// `DISCARD ALL` and `DEALLOCATE ALL`: the server has forgotten them.
    pub(super) statements: u64,
    /// `ALTER TABLE` and the like: they may have other columns now.
    pub(super) schema: u64,
}

impl Session {
    pub(super) fn new(
        wire: Wire,
        canceller: Arc<dyn Cancel>,
        keep_alive: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Session {
        let session = NEXT_SESSION.fetch_add(1, Ordering::Relaxed);
        Session {
            wire,
            pending: Pending::Idle,
            status: TransactionStatus::Idle,
            backend_pid: 0,
            secret: 0,
            memory_limit: None,
            canceller,
            parameters: HashMap::new(),
            notices: Notices::default(),
            notifications: VecDeque::new(),
            types: TypeCache::default(),
            cache: Some(LruCache::new(STATEMENT_CACHE)),
            shared: Arc::new(Shared { session, dropped: Mutex::new(Vec::new()) }),
            closing: Vec::new(),
            closing_encoded: false,
            next_statement: 0,
            epochs: Epochs { statements: 0, schema: 0 },
            ddl_in_transaction: false,
            closed: false,
            last_fatal: None,
            _keep_alive: keep_alive,
        }
    }

    /// A handle that cancels what this session is running, from any thread.
    ///
    /// See [`CancelHandle`] for an example.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle::new(self.canceller.clone(), self.backend_pid, self.secret)
    }

    /// Whether the session is in a transaction block.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::{Pglite, TransactionStatus};
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// assert_eq!(db.transaction_status(), TransactionStatus::Idle);
    /// db.exec("BEGIN")?;
    /// assert_eq!(db.transaction_status(), TransactionStatus::InTransaction);
    /// assert!(db.exec("SELECT 1/0").is_err());
    /// assert_eq!(db.transaction_status(), TransactionStatus::Failed);
    /// db.exec("ROLLBACK")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn transaction_status(&self) -> TransactionStatus {
        self.status
    }

    /// The value of a setting that PostgreSQL reports without being asked, such as
    /// `server_version`, `TimeZone` or `DateStyle`. `None` if it does not report this one: ask with
    /// `SHOW`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The process ID of the backend, as in `pg_backend_pid()`.
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// Whether the session is known to be closed, by [`close`](Session::close) or because the
    /// backend has ended. Asks nobody: an idle session whose backend has just ended learns it at
    /// the next call.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ends the session in an orderly way and waits until the backend has ended. An open
    /// transaction is rolled back. Closing twice does nothing.
    ///
    /// Dropping a session ends it, too, without waiting.
    ///
    /// # Errors
    ///
    /// None at present; the backend's end is not an error here.
    pub fn close(&mut self) -> Result<(), Error> {
        if !self.closed {
            self.terminate();
            self.wire.drain_until_closed(CLOSE_TIMEOUT);
        }
        Ok(())
    }

    fn terminate(&mut self) {
        self.closed = true;
        self.wire.output.clear();
        frontend::terminate(&mut self.wire.output);
        self.wire.send_last();
    }

    /// Sets how many statements are kept prepared for calls that pass SQL text; 0 keeps none. The
    /// default is 100. Statements beyond it are dropped, the least recently used first.
    ///
    /// Statements of [`prepare`](Session::prepare) do not count.
    pub fn set_statement_cache_capacity(&mut self, capacity: usize) {
        self.cache = NonZeroUsize::new(capacity).map(|capacity| match self.cache.take() {
            Some(mut cache) => {
                cache.resize(capacity);
                cache
            }
            None => LruCache::new(capacity),
        });
    }

    // --- Beginning a request ---

    /// Makes the session ready for a request: ends what was left in the middle, empties the output
    /// buffer and puts the closing of dropped statements at its front.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        self.settle()?;
        {
            let mut dropped = self.shared.dropped.lock().unwrap_or_else(PoisonError::into_inner);
            self.closing.append(&mut dropped);
        }
        for &id in &self.closing {
            frontend::close(b'S', &statement_name(id), &mut self.wire.output)
                .expect("a statement name has no NUL");
        }
        self.closing_encoded = true;
        Ok(())
    }

    /// Ends what was left in the middle and empties the output buffer.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        if self.closed {
            return Err(Error::Closed { cause: self.last_fatal.clone() });
        }
        self.wire.output.clear();
        self.closing_encoded = false;
        match self.pending {
            Pending::Idle => return Ok(()),
            Pending::Ready { .. } => {}
            Pending::Portal => {
                frontend::sync(&mut self.wire.output);
                self.flush()?;
                self.pending = Pending::Ready { extended: true };
            }
            Pending::CopyIn { extended } => self.refuse_copy_in(extended)?,
        }
        self.drain()
    }

    /// Sends what is in the output buffer.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        match self.wire.flush() {
            Ok(()) => {
                if std::mem::take(&mut self.closing_encoded) {
                    self.closing.clear();
                }
                Ok(())
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Tells a backend that waits for COPY data that there is none.
    pub(super) fn refuse_copy_in(&mut self, extended: bool) -> Result<(), Error> {
        frontend::copy_fail("the client sends no COPY data", &mut self.wire.output)
            .expect("the message has no NUL");
        if extended {
            frontend::sync(&mut self.wire.output);
        }
        self.pending = Pending::Ready { extended };
        self.flush()
    }

    // --- Reading a reply ---

    /// The next message of a reply. Notices, notifications and changed parameters are dealt with
    /// on the way, and so is what ends the session: that is the error returned.
    pub(super) fn next_event(&mut self) -> Result<Event, Error> {
        loop {
            match self.wire.read_frame() {
                Ok(Frame::DataRow(body)) => return Ok(Event::Row(body)),
                Ok(Frame::CopyData(body)) => return Ok(Event::CopyData(body)),
                Ok(Frame::Other(message)) => {
                    if let Some(event) = self.handle(message)? {
                        return Ok(event);
                    }
                }
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    /// A message that has arrived, other than those that may come at any time.
    pub(super) fn buffered_idle_message(&mut self) -> Result<Option<Event>, Error> {
        loop {
            match self.wire.buffered_frame() {
                Ok(None) => return Ok(None),
                Ok(Some(Frame::DataRow(body) | Frame::CopyData(body))) => {
                    return Ok(Some(Event::Row(body)));
                }
                Ok(Some(Frame::Other(message))) => {
                    if let Some(event) = self.handle(message)? {
                        return Ok(Some(event));
                    }
                }
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    fn handle(&mut self, message: Message) -> Result<Option<Event>, Error> {
        match message {
            Message::ReadyForQuery(body) => {
                self.ready(body.status())?;
                return Ok(Some(Event::Ready));
            }
            Message::CommandComplete(ref body) => {
                if let Ok(tag) = body.tag() {
                    self.command_completed(tag);
                }
            }
            Message::ErrorResponse(body) => {
                let mut error = Box::new(DbError::from_fields(body.fields()));
                if let Some(bytes) = self.memory_limit {
                    error.mention_memory_limit(bytes);
                }
                if error.parsed_severity().is_some_and(Severity::ends_session) {
                    self.ended((*error).clone());
                    return Err(Error::Db(error));
                }
                return Ok(Some(Event::Error(error)));
            }
            Message::NoticeResponse(body) => {
                let notice = DbError::from_fields(body.fields());
                // A backend that ends because another one crashed says so in a warning.
                if notice.code().code().starts_with("57P") {
                    self.last_fatal = Some(Box::new(notice.clone()));
                }
                self.notices.deliver(notice);
                return Ok(None);
            }
            Message::NotificationResponse(body) => {
                if let (Ok(channel), Ok(payload)) = (body.channel(), body.message()) {
                    self.notifications.push_back(Notification::new(
                        body.process_id(),
                        channel.to_owned(),
                        payload.to_owned(),
                    ));
                }
                return Ok(None);
            }
            Message::ParameterStatus(body) => {
                if let (Ok(name), Ok(value)) = (body.name(), body.value()) {
                    self.set_parameter(name, value);
                }
                return Ok(None);
            }
            // The answer to the Close of a dropped statement: they ride with other requests.
            Message::CloseComplete => return Ok(None),
            _ => {}
        }
        Ok(Some(Event::Message(message)))
    }

    pub(super) fn set_parameter(&mut self, name: &str, value: &str) {
        self.parameters.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn ready(&mut self, status: u8) -> Result<(), Error> {
        self.status = match status {
            b'I' => TransactionStatus::Idle,
            b'T' => TransactionStatus::InTransaction,
            b'E' => TransactionStatus::Failed,
            _ => {
                let message = format!("unknown transaction status {status}");
                return Err(self.broken(WireError::Protocol(message)));
            }
        };
        if self.status == TransactionStatus::Idle {
            self.ddl_in_transaction = false;
        }
        self.pending = Pending::Idle;
        Ok(())
    }

    /// Learns from a command tag what became of prepared statements and types.
    pub(super) fn command_completed(&mut self, tag: &str) {
        // Decided by the first letters: this runs for each statement.
        match tag.as_bytes().first() {
            Some(b'D') if tag == "DISCARD ALL" || tag == "DEALLOCATE ALL" => {
                self.epochs.statements += 1;
                self.types.clear();
            }
            Some(b'A') if tag.starts_with("ALTER ") => self.schema_changed(),
            Some(b'D') if tag.starts_with("DROP ") => self.schema_changed(),
            Some(b'C') if tag.starts_with("CREATE ") => self.schema_changed(),
            Some(b'R') if tag == "ROLLBACK" && self.ddl_in_transaction => self.schema_changed(),
            _ => {}
        }
    }

    fn schema_changed(&mut self) {
        self.epochs.schema += 1;
        self.ddl_in_transaction = true;
        self.types.clear();
    }

    /// Reads up to ReadyForQuery. Nobody is interested in what it is any more.
    pub(super) fn drain(&mut self) -> Result<(), Error> {
        loop {
            match self.next_event()? {
                Event::Ready => return Ok(()),
                Event::Message(Message::CopyInResponse(_)) => {
                    let extended = matches!(self.pending, Pending::Ready { extended: true });
                    self.wire.output.clear();
                    self.refuse_copy_in(extended)?;
                }
                _ => {}
            }
        }
    }

    /// Reads up to ReadyForQuery after an error, and makes it the result.
    pub(super) fn failed(&mut self, error: Box<DbError>) -> Error {
        match self.settle() {
            Ok(()) => Error::Db(error),
            Err(error) => error,
        }
    }

    /// Ends a request whose reply shows that it was the wrong method for the statement.
    pub(super) fn misused(&mut self, message: &str) -> Error {
        match self.settle() {
            Ok(()) => Error::usage(message),
            Err(error) => error,
        }
    }

    // --- When the connection breaks ---

    /// The backend said that it ends.
    pub(super) fn ended(&mut self, error: DbError) {
        self.closed = true;
        self.last_fatal = Some(Box::new(error));
    }

    /// The backend sent something that has no place here. What follows cannot be trusted.
    pub(super) fn unexpected(&mut self, event: Event) -> Error {
        let what = match event {
            Event::Row(_) => "a row",
            Event::CopyData(_) => "COPY data",
            Event::Ready => "ReadyForQuery",
            // Out of turn, but it says what is wrong.
            Event::Error(error) => {
                self.ended((*error).clone());
                return Error::Db(error);
            }
            Event::Message(Message::CopyInResponse(_)) => "CopyInResponse",
            Event::Message(Message::CopyOutResponse(_)) => "CopyOutResponse",
            Event::Message(_) => "a message",
        };
        self.broken(WireError::Protocol(format!("{what} came where it does not belong")))
    }

    /// The connection is lost; finds out why.
    pub(super) fn broken(&mut self, error: WireError) -> Error {
        self.closed = true;
        match error {
            WireError::Eof => {
                // A write that fails finds the reason among what was not yet read.
                let _ = self.wire.absorb();
                while let Ok(Some(frame)) = self.wire.buffered_frame() {
                    match frame {
                        Frame::Other(Message::ErrorResponse(body)) => {
                            self.last_fatal = Some(Box::new(DbError::from_fields(body.fields())));
                        }
                        Frame::Other(message @ Message::NoticeResponse(_)) => {
                            // Nothing but an error ends in an error here.
                            let _ = self.handle(message);
                        }
                        _ => {}
                    }
                }
                match self.last_fatal.clone() {
                    Some(fatal) if fatal.parsed_severity().is_some_and(Severity::ends_session) => {
                        Error::Db(fatal)
                    }
                    last_message => ConnectionError::BackendDied { last_message }.into(),
                }
            }
            WireError::Io(error) => ConnectionError::Io(error).into(),
            WireError::Protocol(message) => Error::protocol(message),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.closed {
            self.terminate();
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("backend_pid", &self.backend_pid)
            .field("status", &self.status)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_can_move_between_threads() {
        fn is_send<T: Send>() {}
        fn is_sync<T: Sync>() {}
        is_send::<Session>();
        is_send::<super::super::Transaction<'static>>();
        is_send::<super::super::RowStream<'static>>();
        is_send::<Statement>();
        is_sync::<Statement>();
        is_send::<CancelHandle>();
        is_sync::<CancelHandle>();
        is_send::<super::super::Row>();
        is_sync::<super::super::Row>();
        is_send::<Error>();
        is_sync::<Error>();
    }
}
