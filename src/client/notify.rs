//! Notices, and notifications of `LISTEN`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use postgres_protocol::escape::escape_identifier;

use super::session::Session;
use crate::error::{DbError, Error};

/// How many notices are kept for [`Session::take_notices`].
const KEEP_NOTICES: usize = 1000;

type NoticeCallback = Box<dyn FnMut(&DbError) + Send>;

/// Where notices go.
#[derive(Default)]
pub(super) struct Notices {
    callback: Option<NoticeCallback>,
    kept: VecDeque<DbError>,
}

impl Notices {
    pub(super) fn deliver(&mut self, notice: DbError) {
        tracing::debug!(severity = notice.severity(), "{}", notice.message());
        if let Some(callback) = &mut self.callback {
            callback(&notice);
            return;
        }
        if self.kept.len() == KEEP_NOTICES {
            self.kept.pop_front();
        }
        self.kept.push_back(notice);
    }
}

/// A message sent with `NOTIFY` or `pg_notify`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notification {
    process_id: i32,
    channel: String,
    payload: String,
}

impl Notification {
    pub(super) fn new(process_id: i32, channel: String, payload: String) -> Notification {
        Notification { process_id, channel, payload }
    }

    /// The process ID of the backend that sent it; may be this session's own
    /// [`backend_pid`](Session::backend_pid).
    pub fn process_id(&self) -> i32 {
        self.process_id
    }

    /// The channel.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The payload; empty if there was none.
    pub fn payload(&self) -> &str {
        &self.payload
    }
}

impl Session {
    /// Sets a function that is called with each notice and warning of PostgreSQL, such as those of
    /// `RAISE NOTICE`, in place of keeping them for [`take_notices`](Session::take_notices).
    ///
    /// It is called while a reply is read, in the thread that waits for the reply.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use pglite_oxide::Pglite;
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// let (sender, notices) = mpsc::channel();
    /// db.on_notice(move |notice| {
    ///     let _ = sender.send(notice.message().to_owned());
    /// });
    /// db.exec("DO $$ BEGIN RAISE NOTICE 'half way'; END $$")?;
    /// assert_eq!(notices.recv().ok().as_deref(), Some("half way"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_notice(&mut self, callback: impl FnMut(&DbError) + Send + 'static) {
        self.notices.callback = Some(Box::new(callback));
    }

    /// Takes the notices and warnings that arrived since the last call, oldest first.
    ///
    /// Only the last 1000 are kept, and none once [`on_notice`](Session::on_notice) was called.
    pub fn take_notices(&mut self) -> Vec<DbError> {
        self.notices.kept.drain(..).collect()
    }

    /// Starts listening on a channel: `LISTEN`. The name is taken as it is, without folding to
    /// lower case.
    ///
    /// Inside a transaction, listening starts at its commit.
    ///
    /// # Errors
    ///
    /// As [`exec`](Session::exec).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use pglite_oxide::Pglite;
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// db.listen("jobs")?;
    /// db.execute("SELECT pg_notify('jobs', $1)", &[&"clean up"])?;
    /// let job = db.wait_notification(Duration::from_secs(1))?.expect("a job");
    /// assert_eq!((job.channel(), job.payload()), ("jobs", "clean up"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn listen(&mut self, channel: &str) -> Result<(), Error> {
        self.command(&format!("LISTEN {}", escape_identifier(channel))).map(drop)
    }

    /// Stops listening on a channel: `UNLISTEN`. Notifications that have already arrived stay.
    ///
    /// # Errors
    ///
    /// As [`exec`](Session::exec).
    pub fn unlisten(&mut self, channel: &str) -> Result<(), Error> {
        self.command(&format!("UNLISTEN {}", escape_identifier(channel))).map(drop)
    }

    /// Takes the notifications that have arrived, oldest first, without waiting for more.
    ///
    /// PostgreSQL delivers notifications between transactions, never inside one.
    ///
    /// # Errors
    ///
    /// If the backend has died. Notifications that arrived before that are returned first.
    pub fn notifications(&mut self) -> Result<Vec<Notification>, Error> {
        let outcome = self.read_idle_messages();
        if self.notifications.is_empty() {
            outcome?;
        }
        Ok(self.notifications.drain(..).collect())
    }

    /// Waits for a notification, at most for `timeout`. `None`: none arrived in that time.
    ///
    /// # Errors
    ///
    /// If the backend has died.
    pub fn wait_notification(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        let end = Instant::now().checked_add(timeout);
        loop {
            let outcome = self.read_idle_messages();
            if let Some(notification) = self.notifications.pop_front() {
                return Ok(Some(notification));
            }
            outcome?;
            // A timeout beyond what the clock can hold is for ever.
            let left = match end {
                Some(end) => end.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if left.is_zero() {
                return Ok(None);
            }
            if let Err(error) = self.wire.wait(left) {
                return Err(self.broken(error));
            }
        }
    }

    /// Reads what has arrived while no request is under way.
    fn read_idle_messages(&mut self) -> Result<(), Error> {
        self.settle()?;
        let open = match self.wire.absorb() {
            Ok(open) => open,
            Err(error) => return Err(self.broken(error)),
        };
        if let Some(message) = self.buffered_idle_message()? {
            return Err(self.unexpected(message));
        }
        if open { Ok(()) } else { Err(self.broken(super::wire::WireError::Eof)) }
    }
}
