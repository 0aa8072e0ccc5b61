//! Statements with parameters: bind, execute, sync, in one write.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend::{self, BindError};
use postgres_types::{Format, ToSql};

use super::column::{Columns, SimpleColumn};
use super::exec::{COPY_IN_MISUSED, COPY_OUT_MISUSED, rows_affected};
use super::row::Row;
use super::session::{Event, Pending, Session, TransactionStatus};
use super::simple_row::SimpleRow;
use super::statement::{Described, Statement, ToStatement};
use crate::error::{ConversionError, ConversionPlace, DbError, Error, ExpectedRows, SqlState};

/// How the reply is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fetch {
    /// All rows, typed.
    All,
    /// All rows, as text.
    Text,
    /// The first so many rows, typed, with the portal left open.
    First(i32),
}

impl Session {
    /// Runs a statement and returns its rows.
    ///
    /// `statement` is SQL text or a [`Statement`]; `params` are the values of `$1`, `$2`, ... All
    /// rows are kept in memory; [`query_raw`](Session::query_raw) gives them one by one.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if the statement fails; [`Error::WrongParameterCount`] or
    /// [`Error::Conversion`] if the parameters do not fit, before anything is sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// let rows = db.query("SELECT n, n * n FROM generate_series(1, $1) n", &[&3])?;
    /// let squares: Vec<i32> = rows.iter().map(|row| row.get(1)).collect();
    /// assert_eq!(squares, [1, 4, 9]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn query<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let columns = self.start(statement, params, Fetch::All)?.columns.clone();
        let mut rows = Vec::new();
        self.read_rows(&columns, |row| rows.push(row))?;
        Ok(rows)
    }

    /// Runs a statement that returns exactly one row.
    ///
    /// # Errors
    ///
    /// As [`query`](Session::query), and [`Error::RowCount`] if the number of rows is not one. The
    /// statement has run to its end then.
    pub fn query_one<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        self.query_first(statement, params, ExpectedRows::One)?
            .ok_or(Error::RowCount { expected: ExpectedRows::One, found: 0 })
    }

    /// Runs a statement that returns one row or none.
    ///
    /// # Errors
    ///
    /// As [`query`](Session::query), and [`Error::RowCount`] if there is more than one row. The
    /// statement has run to its end then.
    pub fn query_opt<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        self.query_first(statement, params, ExpectedRows::AtMostOne)
    }

    fn query_first<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
        expected: ExpectedRows,
    ) -> Result<Option<Row>, Error> {
        let columns = self.start(statement, params, Fetch::All)?.columns.clone();
        let mut first = None;
        let mut found = 0;
        self.read_rows(&columns, |row| {
            found += 1;
            first.get_or_insert(row);
        })?;
        if found > 1 {
            return Err(Error::RowCount { expected, found });
        }
        Ok(first)
    }

    /// Runs a statement and returns the number of rows it inserted, changed, deleted or selected; 0
    /// for other commands. Rows it returns are dropped.
    ///
    /// # Errors
    ///
    /// As [`query`](Session::query).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// db.exec("CREATE TABLE person (id int8, name text)")?;
    /// let rows = db.execute("INSERT INTO person VALUES ($1, $2)", &[&1i64, &"Ada"])?;
    /// assert_eq!(rows, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn execute<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let columns = self.start(statement, params, Fetch::All)?.columns.clone();
        self.read_rows(&columns, drop)
    }

    /// Runs a statement with parameters and returns its rows as text, as PostgreSQL writes it.
    ///
    /// For values of any type, when the type is not known beforehand.
    ///
    /// # Errors
    ///
    /// As [`query`](Session::query).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// let rows = db.query_text("SELECT point(1, $1), 1e400::numeric > 0", &[&2.5])?;
    /// assert_eq!(rows[0].get(0), Some("(1,2.5)"));
    /// assert_eq!(rows[0].get(1), Some("t"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn query_text<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<SimpleRow>, Error> {
        let described = self.start(statement, params, Fetch::Text)?;
        let columns: Arc<[SimpleColumn]> = described
            .columns
            .iter()
            .map(|column| SimpleColumn {
                name: column.name.clone(),
                type_oid: column.type_.oid(),
                type_: Some(column.type_.clone()),
            })
            .collect();
        let mut rows = Vec::new();
        self.read_reply(|body| {
            rows.push(SimpleRow::new(columns.clone(), body)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Sends a statement and waits until it is bound. The rows follow.
    pub(super) fn start<S: ?Sized + ToStatement>(
        &mut self,
        source: &S,
        params: &[&(dyn ToSql + Sync)],
        fetch: Fetch,
    ) -> Result<Arc<Described>, Error> {
        let statement = self.statement(source)?;
        let mut retried = false;
        loop {
            let described = self.described(&statement)?;
            self.send_bound(&statement, &described, params, fetch)?;
            match self.next_event()? {
                Event::Message(Message::BindComplete) => return Ok(described),
                Event::Error(error) => {
                    let outdated = is_outdated(&error);
                    let error = self.failed(error);
                    let try_again =
                        outdated && !retried && self.status != TransactionStatus::Failed;
                    if outdated {
                        statement.forget();
                    }
                    if !try_again || self.is_closed() {
                        return Err(error);
                    }
                    retried = true;
                }
                other => return Err(self.unexpected(other)),
            }
        }
    }

    fn send_bound(
        &mut self,
        statement: &Statement,
        described: &Described,
        params: &[&(dyn ToSql + Sync)],
        fetch: Fetch,
    ) -> Result<(), Error> {
        if params.len() != described.params.len() {
            return Err(Error::WrongParameterCount {
                expected: described.params.len(),
                found: params.len(),
            });
        }
        self.begin()?;
        let output = &mut self.wire.output;
        encode_bind(statement, described, params, fetch, output)?;
        let max_rows = match fetch {
            Fetch::All | Fetch::Text => 0,
            Fetch::First(rows) => rows,
        };
        frontend::execute("", max_rows, output).expect("the empty portal name has no NUL");
        let pending = match fetch {
            Fetch::All | Fetch::Text => {
                frontend::sync(output);
                Pending::Ready { extended: true }
            }
            Fetch::First(_) => {
                frontend::flush(output);
                Pending::Portal
            }
        };
        self.pending = pending;
        self.flush()
    }

    /// Reads a typed reply to its end; the number of rows of its command tag.
    fn read_rows(&mut self, columns: &Columns, mut each: impl FnMut(Row)) -> Result<u64, Error> {
        self.read_reply(|body| {
            each(Row::new(columns.clone(), body)?);
            Ok(())
        })
    }

    fn read_reply(
        &mut self,
        mut each: impl FnMut(bytes::Bytes) -> Result<(), &'static str>,
    ) -> Result<u64, Error> {
        let mut affected = 0;
        loop {
            match self.next_event()? {
                Event::Row(body) => {
                    if let Err(message) = each(body) {
                        return Err(self.malformed(&std::io::Error::other(message)));
                    }
                }
                Event::Message(Message::CommandComplete(body)) => {
                    affected = body.tag().map_or(0, rows_affected);
                }
                Event::Message(Message::EmptyQueryResponse) => {}
                Event::Ready => return Ok(affected),
                Event::Error(error) => return Err(self.failed(error)),
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

    /// A COPY FROM STDIN was run by a method that has no data for it.
    pub(super) fn copy_in_misused(&mut self) -> Error {
        // The Sync that is already sent is swallowed by the COPY, so it ends as if none had been.
        self.pending = Pending::CopyIn { extended: true };
        self.misused(COPY_IN_MISUSED)
    }
}

/// Encodes a Bind. If a value cannot be encoded, the output buffer holds rubbish, and the next
/// request empties it.
fn encode_bind(
    statement: &Statement,
    described: &Described,
    params: &[&(dyn ToSql + Sync)],
    fetch: Fetch,
    output: &mut BytesMut,
) -> Result<(), Error> {
    let types = &*described.params;
    let formats = params.iter().zip(types).map(|(param, type_)| param.encode_format(type_) as i16);
    let mut current = 0;
    let serialize = |(param, type_): (&&(dyn ToSql + Sync), _), output: &mut BytesMut| {
        let begin = output.len();
        let null = param.to_sql_checked(type_, output)?;
        current += 1;
        Ok(match null {
            postgres_types::IsNull::Yes => {
                // A NULL has no bytes, whatever a careless implementation wrote: they would be
                // read as the next value.
                output.truncate(begin);
                IsNull::Yes
            }
            postgres_types::IsNull::No => IsNull::No,
        })
    };
    let values = params.iter().zip(types);
    let name = statement.name();
    let bound = if fetch == Fetch::Text {
        frontend::bind("", name, formats, values, serialize, [0], output)
    } else if described.all_binary {
        frontend::bind("", name, formats, values, serialize, [1], output)
    } else {
        let results = described.columns.iter().map(|column| match column.format {
            Format::Text => 0,
            Format::Binary => 1,
        });
        frontend::bind("", name, formats, values, serialize, results, output)
    };
    match bound {
        Ok(()) => Ok(()),
        Err(BindError::Conversion(error)) => {
            let place = ConversionPlace::Parameter { index: current };
            Err(ConversionError::new(place, &types[current], error).into())
        }
        Err(BindError::Serialization(error)) => {
            Err(Error::usage(format!("the parameters cannot be sent: {error}")))
        }
    }
}

/// Whether an error says that the server has forgotten a statement, or that its result has other
/// columns than when it was described. It comes before the statement has done anything.
fn is_outdated(error: &DbError) -> bool {
    match *error.code() {
        SqlState::INVALID_SQL_STATEMENT_NAME => true,
        // Used for many things that are not supported; this one is "cached plan must not change
        // result type".
        SqlState::FEATURE_NOT_SUPPORTED => error.routine() == Some("RevalidateCachedQuery"),
        _ => false,
    }
}
