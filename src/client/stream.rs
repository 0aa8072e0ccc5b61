//! Rows one by one.

use std::fmt;

use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use postgres_types::ToSql;

use super::column::{Column, Columns};
use super::exec::{COPY_OUT_MISUSED, rows_affected};
use super::query::Fetch;
use super::row::Row;
use super::session::{Event, Pending, Session};
use super::statement::ToStatement;
use crate::error::Error;

/// How many rows are asked for at first, before their size is known.
const FIRST_BATCH: i32 = 128;

/// About how many bytes a batch of rows should have: this much may be read in vain when a stream is
/// dropped, and a round trip is paid for each.
const BATCH_BYTES: usize = 512 * 1024;

impl Session {
    /// Runs a statement and returns its rows one by one, as PostgreSQL produces them.
    ///
    /// The rows are asked for in batches of about half a megabyte, so a result of any size needs
    /// little memory. Dropping the stream ends the statement there: it stops after the batch at
    /// hand, which is read and thrown away. What a statement that changes data has done by then is
    /// kept: `INSERT`, `UPDATE`, `DELETE` and `MERGE` with `RETURNING` always run to the end.
    ///
    /// PostgreSQL runs no parallel workers for such a statement; [`query`](Session::query) lets it.
    ///
    /// # Errors
    ///
    /// As [`query`](Session::query). Errors while the statement runs come from the iterator, which
    /// then ends.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// let mut sum = 0;
    /// for row in db.query_raw("SELECT n FROM generate_series(1, 1000000) n", &[])? {
    ///     sum += row?.get::<_, i32>(0);
    ///     if sum > 100 {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(sum, 105);
    /// # Ok(())
    /// # }
    /// ```
    pub fn query_raw<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<RowStream<'_>, Error> {
        let columns = self.start(statement, params, Fetch::First(FIRST_BATCH))?.columns.clone();
        Ok(RowStream {
            session: self,
            columns,
            batch_rows: 0,
            batch_bytes: 0,
            rows: 0,
            rows_affected: None,
            done: false,
        })
    }

    /// Ends the open portal with a Sync, which commits outside of a transaction block.
    fn close_portal(&mut self) -> Result<(), Error> {
        self.wire.output.clear();
        frontend::sync(&mut self.wire.output);
        self.flush()?;
        self.pending = Pending::Ready { extended: true };
        loop {
            match self.next_event()? {
                Event::Ready => return Ok(()),
                Event::Error(error) => return Err(self.failed(error)),
                // The rest of the batch at hand.
                Event::Row(_)
                | Event::Message(Message::PortalSuspended | Message::CommandComplete(_)) => {}
                Event::Message(Message::EmptyQueryResponse) => {}
                Event::Message(Message::CopyInResponse(_)) => {
                    return Err(self.copy_in_misused());
                }
                Event::Message(Message::CopyOutResponse(_)) => {
                    return Err(self.misused(COPY_OUT_MISUSED));
                }
                other => return Err(self.unexpected(other)),
            }
        }
    }
}

/// The rows of a statement, one by one; made by [`Session::query_raw`].
#[must_use = "a stream that is dropped ends its statement"]
pub struct RowStream<'a> {
    session: &'a mut Session,
    columns: Columns,
    /// Rows and bytes of the batch that is being read.
    batch_rows: usize,
    batch_bytes: usize,
    /// Rows of all batches.
    rows: u64,
    rows_affected: Option<u64>,
    done: bool,
}

impl RowStream<'_> {
    /// The columns of the rows.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The number of rows the statement inserted, changed, deleted or selected. `None` until the
    /// last row was read.
    pub fn rows_affected(&self) -> Option<u64> {
        self.rows_affected
    }

    /// Ends the statement here, as dropping the stream does, and tells whether that went well.
    ///
    /// Outside of a transaction block this commits what the statement has done, and a deferred
    /// constraint can still make it fail.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if it failed.
    pub fn close(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        self.done = true;
        match self.session.pending {
            Pending::Portal if !self.session.is_closed() => self.session.close_portal(),
            _ => Ok(()),
        }
    }

    fn read_next(&mut self) -> Result<Option<Row>, Error> {
        loop {
            match self.session.next_event()? {
                Event::Row(body) => {
                    self.rows += 1;
                    self.batch_rows += 1;
                    self.batch_bytes += body.len();
                    return match Row::new(self.columns.clone(), body) {
                        Ok(row) => Ok(Some(row)),
                        Err(message) => {
                            Err(self.session.malformed(&std::io::Error::other(message)))
                        }
                    };
                }
                Event::Message(Message::PortalSuspended) => self.ask_for_more()?,
                Event::Message(Message::CommandComplete(body)) => {
                    // With rows, the tag counts those of the last batch only.
                    let tag = body.tag().map_or(0, rows_affected);
                    self.session.close_portal()?;
                    self.rows_affected = Some(if self.rows > 0 { self.rows } else { tag });
                    return Ok(None);
                }
                Event::Message(Message::EmptyQueryResponse) => {
                    self.session.close_portal()?;
                    self.rows_affected = Some(0);
                    return Ok(None);
                }
                Event::Error(error) => return Err(self.session.failed(error)),
                Event::Message(Message::CopyInResponse(_)) => {
                    return Err(self.session.copy_in_misused());
                }
                Event::Message(Message::CopyOutResponse(_)) => {
                    return Err(self.session.misused(COPY_OUT_MISUSED));
                }
                other => return Err(self.session.unexpected(other)),
            }
        }
    }

    fn ask_for_more(&mut self) -> Result<(), Error> {
        let row_bytes = (self.batch_bytes / self.batch_rows.max(1)).max(1);
        let rows = (BATCH_BYTES / row_bytes).clamp(1, 16 * 1024) as i32;
        self.batch_rows = 0;
        self.batch_bytes = 0;
        let output = &mut self.session.wire.output;
        frontend::execute("", rows, output).expect("the empty portal name has no NUL");
        frontend::flush(output);
        self.session.flush()
    }
}

impl Iterator for RowStream<'_> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Result<Row, Error>> {
        if self.done {
            return None;
        }
        let next = self.read_next().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl std::iter::FusedIterator for RowStream<'_> {}

impl Drop for RowStream<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!("a statement failed when its stream was dropped: {error}");
        }
    }
}

impl fmt::Debug for RowStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream").field("columns", &self.columns).finish_non_exhaustive()
    }
}
