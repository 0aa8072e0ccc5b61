//! `COPY` from and to the client.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::exec::{COPY_OUT_MISUSED, rows_affected};
use super::session::{Event, Pending, Session, TransactionStatus};
use crate::error::Error;

/// COPY data is sent in messages of about this size.
const PIECE: usize = 64 * 1024;

/// Tag and length of a CopyData message.
const HEADER: usize = 5;

const NOT_COPY_IN: &str = "copy_in runs COPY ... FROM STDIN only; run other statements with exec";
const NOT_COPY_OUT: &str = "copy_out runs COPY ... TO STDOUT only; run other statements with exec";

impl Session {
    /// Starts a `COPY ... FROM STDIN` and returns the writer that takes its data, in the format the
    /// statement names: text (the default), CSV or binary.
    ///
    /// [`finish`](CopyInWriter::finish) ends the data and returns the number of rows. Dropping the
    /// writer without that cancels the `COPY`, and none of its rows are stored.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if the statement fails; [`Error::Usage`] if it is not such a `COPY`: it has
    /// run then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// db.exec("CREATE TABLE city (id int, name text)")?;
    /// let mut writer = db.copy_in("COPY city FROM STDIN (FORMAT csv)")?;
    /// for (id, name) in [(1, "Aachen"), (2, "Berlin")] {
    ///     writeln!(writer, "{id},{name}")?;
    /// }
    /// assert_eq!(writer.finish()?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn copy_in(&mut self, sql: &str) -> Result<CopyInWriter<'_>, Error> {
        self.send_simple(sql)?;
        match self.next_event()? {
            Event::Message(Message::CopyInResponse(_)) => {}
            other => return Err(self.not_copy(other, NOT_COPY_IN)),
        }
        self.pending = Pending::CopyIn { extended: false };
        let mut piece = BytesMut::with_capacity(PIECE + HEADER);
        piece.put_bytes(0, HEADER);
        Ok(CopyInWriter { session: self, piece, failure: None })
    }

    /// Starts a `COPY ... TO STDOUT` and returns the reader that gives its data, in the format the
    /// statement names: text (the default), CSV or binary.
    ///
    /// Dropping the reader before the end stops the `COPY`: outside of a transaction block it is
    /// cancelled; inside of one, where that would abort the transaction, the rest is read and
    /// thrown away.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if the statement fails; [`Error::Usage`] if it is not such a `COPY`: it has
    /// run then. Errors while it runs come from the reader as [`io::Error`]s that hold an
    /// [`Error`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// let mut csv = String::new();
    /// db.copy_out("COPY (SELECT 1, 'a' UNION ALL SELECT 2, NULL) TO STDOUT (FORMAT csv)")?
    ///     .read_to_string(&mut csv)?;
    /// assert_eq!(csv, "1,a\n2,\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn copy_out(&mut self, sql: &str) -> Result<CopyOutReader<'_>, Error> {
        self.send_simple(sql)?;
        match self.next_event()? {
            Event::Message(Message::CopyOutResponse(_)) => {}
            other => return Err(self.not_copy(other, NOT_COPY_OUT)),
        }
        Ok(CopyOutReader { session: self, piece: Bytes::new(), rows: 0, done: false })
    }

    /// Ends a request that should have started a COPY and has not.
    fn not_copy(&mut self, event: Event, message: &str) -> Error {
        match event {
            Event::Error(error) => return self.failed(error),
            Event::Message(Message::CopyInResponse(_)) => {
                self.pending = Pending::CopyIn { extended: false };
            }
            _ => {}
        }
        self.misused(message)
    }

    /// Reads the end of a COPY: the number of its rows.
    fn finish_copy(&mut self) -> Result<u64, Error> {
        let mut rows = 0;
        loop {
            match self.next_event()? {
                Event::Message(Message::CommandComplete(body)) => {
                    rows = body.tag().map_or(0, rows_affected);
                }
                Event::Ready => return Ok(rows),
                Event::Error(error) => return Err(self.failed(error)),
                Event::Message(Message::CopyInResponse(_)) => {
                    self.pending = Pending::CopyIn { extended: false };
                    return Err(self.misused(ONE_COPY));
                }
                Event::Message(Message::CopyOutResponse(_)) => {
                    return Err(self.misused(COPY_OUT_MISUSED));
                }
                // Other statements after the COPY in the same text.
                Event::Row(_) | Event::CopyData(_) => {}
                Event::Message(
                    Message::RowDescription(_) | Message::EmptyQueryResponse | Message::CopyDone,
                ) => {}
                other => return Err(self.unexpected(other)),
            }
        }
    }
}

const ONE_COPY: &str = "copy_in runs one COPY ... FROM STDIN at a time";

/// Takes the data of a `COPY ... FROM STDIN`; made by [`Session::copy_in`].
///
/// It buffers by itself. An error of PostgreSQL, such as a value that does not fit, comes out of
/// [`write`](Write::write) as an [`io::Error`] soon after it happens, and in any case out of
/// [`finish`](CopyInWriter::finish), as the [`Error`] it is.
#[must_use = "without `finish` the COPY is cancelled"]
pub struct CopyInWriter<'a> {
    session: &'a mut Session,
    /// A CopyData message in the making: the header is filled in when it is sent.
    piece: BytesMut,
    /// Why the COPY is over, if it is.
    failure: Option<Error>,
}

impl CopyInWriter<'_> {
    /// Ends the data and returns the number of rows that were stored.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if PostgreSQL did not take the data: no row is stored then.
    pub fn finish(mut self) -> Result<u64, Error> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        self.send_piece()?;
        self.session.wire.output.clear();
        frontend::copy_done(&mut self.session.wire.output);
        self.session.pending = Pending::Ready { extended: false };
        self.session.flush()?;
        self.session.finish_copy()
    }

    /// Sends what is buffered, and looks whether the backend has given up.
    fn send_piece(&mut self) -> Result<(), Error> {
        if self.piece.len() > HEADER {
            let length = self.piece.len() as u32 - 1;
            self.piece[0] = b'd';
            self.piece[1..HEADER].copy_from_slice(&length.to_be_bytes());
            let sent = self.session.wire.send(&self.piece);
            self.piece.truncate(HEADER);
            if let Err(error) = sent {
                return Err(self.session.broken(error));
            }
        }
        if let Err(error) = self.session.wire.absorb() {
            return Err(self.session.broken(error));
        }
        match self.session.buffered_idle_message()? {
            None => Ok(()),
            Some(Event::Error(error)) => {
                // The backend ignores COPY data from here on and is ready again by itself.
                self.session.pending = Pending::Ready { extended: false };
                Err(self.session.failed(error))
            }
            Some(other) => Err(self.session.unexpected(other)),
        }
    }

    /// As [`send_piece`](Self::send_piece) for [`Write`]: keeps the error for `finish`.
    fn write_piece(&mut self) -> io::Result<()> {
        self.send_piece().map_err(|error| {
            let shown = io::Error::other(error.to_string());
            self.failure = Some(error);
            shown
        })
    }

    fn check(&self) -> io::Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(error) => Err(io::Error::other(error.to_string())),
        }
    }
}

impl Write for CopyInWriter<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.check()?;
        let room = PIECE + HEADER - self.piece.len();
        let taken = data.len().min(room);
        self.piece.extend_from_slice(&data[..taken]);
        if taken == room {
            self.write_piece()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        self.write_piece()
    }
}

impl Drop for CopyInWriter<'_> {
    fn drop(&mut self) {
        if matches!(self.session.pending, Pending::CopyIn { .. }) && !self.session.is_closed() {
            // What fails here, the next request meets, too.
            let _ = self.session.settle();
        }
    }
}

impl fmt::Debug for CopyInWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyInWriter").finish_non_exhaustive()
    }
}

/// Gives the data of a `COPY ... TO STDOUT`; made by [`Session::copy_out`].
#[must_use = "a reader that is dropped stops its COPY"]
pub struct CopyOutReader<'a> {
    session: &'a mut Session,
    /// What is left of the message at hand.
    piece: Bytes,
    rows: u64,
    done: bool,
}

impl CopyOutReader<'_> {
    /// The number of rows copied; 0 until the end was read.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn next_piece(&mut self) -> Result<(), Error> {
        while self.piece.is_empty() && !self.done {
            match self.session.next_event() {
                Ok(Event::CopyData(piece)) => self.piece = piece,
                Ok(Event::Message(Message::CopyDone)) => {
                    self.done = true;
                    self.rows = self.session.finish_copy()?;
                }
                Ok(Event::Error(error)) => {
                    self.done = true;
                    return Err(self.session.failed(error));
                }
                Ok(other) => {
                    self.done = true;
                    return Err(self.session.unexpected(other));
                }
                Err(error) => {
                    self.done = true;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl BufRead for CopyOutReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.next_piece().map_err(io::Error::other)?;
        Ok(&self.piece)
    }

    fn consume(&mut self, amount: usize) {
        self.piece.advance(amount.min(self.piece.len()));
    }
}

impl Read for CopyOutReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let taken = piece.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&piece[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}

impl Drop for CopyOutReader<'_> {
    fn drop(&mut self) {
        if self.done || self.session.is_closed() {
            return;
        }
        // A statement that follows cannot be hit: `Cancel` waits until the signal was sent.
        if self.session.transaction_status() == TransactionStatus::Idle {
            let _ = self.session.cancel_handle().cancel();
        }
        // What fails here, the next request meets, too.
        let _ = self.session.settle();
    }
}

impl fmt::Debug for CopyOutReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyOutReader").field("rows", &self.rows).finish_non_exhaustive()
    }
}
