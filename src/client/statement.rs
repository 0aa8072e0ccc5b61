//! Prepared statements.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use fallible_iterator::FallibleIterator;
use postgres_protocol::Oid;
use postgres_protocol::message::backend::{Message, RowDescriptionBody};
use postgres_protocol::message::frontend;
use postgres_types::{Format, Type};

use super::column::{Column, Columns};
use super::session::{Epochs, Event, Pending, Session, Shared};
use super::wire::WireError;
use crate::error::Error;

/// Longer SQL texts are prepared for one call only: they are generated, and hardly twice the same.
const CACHED_SQL: usize = 64 * 1024;

/// A prepared statement, made by [`Session::prepare`].
///
/// Belongs to the session that prepared it. It is cheap to clone; when the last clone is dropped,
/// PostgreSQL is told with the next request.
#[derive(Clone)]
pub struct Statement(Arc<Inner>);

struct Inner {
    id: u64,
    name: String,
    sql: String,
    /// The parameter types that were asked for.
    given: Box<[Type]>,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    described: Arc<Described>,
    /// When it was described; `None` if the server does not have it any more.
    epochs: Option<Epochs>,
}

/// What PostgreSQL says about a prepared statement.
pub(super) struct Described {
    pub(super) params: Box<[Type]>,
    pub(super) columns: Columns,
    /// Whether all columns are asked for in binary form.
    pub(super) all_binary: bool,
}

impl Statement {
    /// The SQL text.
    pub fn sql(&self) -> &str {
        &self.0.sql
    }

    /// The types of the parameters.
    pub fn params(&self) -> Vec<Type> {
        self.described().params.to_vec()
    }

    /// The columns of the result; none if the statement returns no rows.
    ///
    /// They are those of the last time it was prepared: after an `ALTER TABLE` they may change with
    /// the next use.
    pub fn columns(&self) -> Arc<[Column]> {
        self.described().columns.clone()
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    fn described(&self) -> Arc<Described> {
        self.lock().described.clone()
    }

    /// The server does not have it, or not like this: it is prepared again at the next use.
    pub(super) fn forget(&self) {
        self.lock().epochs = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement").field("sql", &self.0.sql).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.statement_dropped(self.id);
    }
}

/// The name by which PostgreSQL knows a statement; unlike those that other clients make, whose
/// messages may pass through `exec_protocol_raw`.
pub(super) fn statement_name(id: u64) -> String {
    format!("__pglite_{id}")
}

/// What [`Session::describe`] finds out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Description {
    /// The types of the parameters `$1`, `$2`, ...
    pub params: Vec<Type>,
    /// The columns of the result; none if the statement returns no rows.
    pub columns: Vec<Column>,
}

/// What can be run: SQL text (`&str`, `&String`) or a [`&Statement`](Statement).
///
/// It cannot be implemented outside of this crate.
pub trait ToStatement: sealed::Sealed {}

pub(super) mod sealed {
    use super::Statement;

    /// Sealed, and the way in: either text or a statement.
    pub trait Sealed {
        #[doc(hidden)]
        fn source(&self) -> Source<'_>;
    }

    #[derive(Debug)]
    pub enum Source<'a> {
        Sql(&'a str),
        Statement(&'a Statement),
    }

    impl Sealed for str {
        fn source(&self) -> Source<'_> {
            Source::Sql(self)
        }
    }

    impl Sealed for String {
        fn source(&self) -> Source<'_> {
            Source::Sql(self)
        }
    }

    impl Sealed for Statement {
        fn source(&self) -> Source<'_> {
            Source::Statement(self)
        }
    }

    impl<T: ?Sized + Sealed> Sealed for &T {
        fn source(&self) -> Source<'_> {
            (**self).source()
        }
    }
}

impl ToStatement for str {}
impl ToStatement for String {}
impl ToStatement for Statement {}
impl<T: ?Sized + ToStatement> ToStatement for &T {}

impl Session {
    /// Prepares a statement, to run it more than once.
    ///
    /// PostgreSQL works out the parameter types; where it cannot, use a cast (`$1::int8`) or
    /// [`prepare_typed`](Session::prepare_typed).
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if the statement is wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::{Pglite, types::Type};
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// let double = db.prepare("SELECT $1::int4 * 2")?;
    /// assert_eq!(double.params(), [Type::INT4]);
    /// for i in 0..3 {
    ///     let row = db.query_one(&double, &[&i])?;
    ///     assert_eq!(row.get::<_, i32>(0), i * 2);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        self.prepare_typed(sql, &[])
    }

    /// Prepares a statement with the types of its first parameters given.
    ///
    /// [`Type::UNKNOWN`], or leaving types out at the end, lets PostgreSQL work out the type.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if the statement is wrong.
    pub fn prepare_typed(&mut self, sql: &str, types: &[Type]) -> Result<Statement, Error> {
        self.begin()?;
        self.next_statement += 1;
        let id = self.next_statement;
        let name = statement_name(id);
        let epochs = self.epochs;
        let described = self.describe_as(&name, sql, types)?;
        tracing::trace!(name, sql, "prepared");
        Ok(Statement(Arc::new(Inner {
            id,
            name,
            sql: sql.to_owned(),
            given: types.into(),
            shared: self.shared.clone(),
            state: Mutex::new(State { described: Arc::new(described), epochs: Some(epochs) }),
        })))
    }

    /// The parameter types and the result columns of a statement, without running it.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if the statement is wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::{Pglite, types::Type};
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// let description = db.describe("SELECT relname, $1::text AS given FROM pg_class")?;
    /// assert_eq!(description.params, [Type::TEXT]);
    /// assert_eq!(description.columns[0].name(), "relname");
    /// assert_eq!(description.columns[1].name(), "given");
    /// # Ok(())
    /// # }
    /// ```
    pub fn describe(&mut self, sql: &str) -> Result<Description, Error> {
        self.begin()?;
        let described = self.describe_as("", sql, &[])?;
        Ok(Description { params: described.params.into(), columns: described.columns.to_vec() })
    }

    /// Parses and describes, with the output buffer begun by the caller.
    fn describe_as(&mut self, name: &str, sql: &str, types: &[Type]) -> Result<Described, Error> {
        let oids = types.iter().map(|type_| match *type_ {
            Type::UNKNOWN => 0,
            ref known => known.oid(),
        });
        let output = &mut self.wire.output;
        frontend::parse(name, sql, oids, output)
            .and_then(|()| frontend::describe(b'S', name, output))
            .map_err(|error| Error::usage(format!("the statement cannot be sent: {error}")))?;
        frontend::sync(output);
        self.flush()?;
        self.pending = Pending::Ready { extended: true };

        let mut params: Vec<Oid> = Vec::new();
        let mut fields = Vec::new();
        loop {
            match self.next_event()? {
                Event::Ready => break,
                Event::Error(error) => return Err(self.failed(error)),
                Event::Message(Message::ParseComplete | Message::NoData) => {}
                Event::Message(Message::ParameterDescription(body)) => {
                    let parameters: Result<Vec<Oid>, _> = body.parameters().collect();
                    params = parameters.map_err(|error| self.malformed(&error))?;
                }
                Event::Message(Message::RowDescription(body)) => {
                    fields = read_fields(&body).map_err(|error| self.malformed(&error))?;
                }
                other => return Err(self.unexpected(other)),
            }
        }
        // Only now: looking up a type is a request of its own.
        let params = params
            .into_iter()
            .map(|oid| Ok(self.resolve_type(oid)?.0))
            .collect::<Result<Box<[Type]>, Error>>()?;
        let columns = fields
            .into_iter()
            .map(|field| {
                let (type_, format) = self.resolve_type(field.type_oid)?;
                Ok(Column {
                    name: field.name,
                    table_oid: Some(field.table_oid).filter(|&oid| oid != 0),
                    column_id: Some(field.column_id).filter(|&id| id != 0),
                    type_,
                    type_size: field.type_size,
                    type_modifier: field.type_modifier,
                    format,
                })
            })
            .collect::<Result<Columns, Error>>()?;
        let all_binary = columns.iter().all(|column| matches!(column.format, Format::Binary));
        Ok(Described { params, columns, all_binary })
    }

    /// The prepared form of what a call was given.
    pub(super) fn statement<S: ?Sized + ToStatement>(
        &mut self,
        source: &S,
    ) -> Result<Statement, Error> {
        let sql = match source.source() {
            sealed::Source::Statement(statement) => {
                if statement.0.shared.session != self.shared.session {
                    return Err(Error::usage(
                        "the statement was prepared by another session; prepare it in this one",
                    ));
                }
                return Ok(statement.clone());
            }
            sealed::Source::Sql(sql) => sql,
        };
        if let Some(statement) = self.cache.as_mut().and_then(|cache| cache.get(sql)) {
            return Ok(statement.clone());
        }
        let statement = self.prepare(sql)?;
        if sql.len() <= CACHED_SQL
            && let Some(cache) = &mut self.cache
        {
            cache.put(sql.into(), statement.clone());
        }
        Ok(statement)
    }

    /// What is known of a statement; if that is out of date, prepares it again.
    pub(super) fn described(&mut self, statement: &Statement) -> Result<Arc<Described>, Error> {
        {
            let state = statement.lock();
            if state.epochs == Some(self.epochs) {
                return Ok(state.described.clone());
            }
        }
        tracing::debug!(sql = statement.sql(), "preparing again");
        self.begin()?;
        let name = statement.name();
        // It may still be there; if not, Close is no error.
        frontend::close(b'S', name, &mut self.wire.output).expect("a statement name has no NUL");
        statement.forget();
        let epochs = self.epochs;
        let described = Arc::new(self.describe_as(name, &statement.0.sql, &statement.0.given)?);
        *statement.lock() = State { described: described.clone(), epochs: Some(epochs) };
        Ok(described)
    }

    pub(super) fn malformed(&mut self, error: &dyn std::error::Error) -> Error {
        self.broken(WireError::Protocol(error.to_string()))
    }
}

/// A field of a RowDescription, its type not yet looked up.
pub(super) struct RawField {
    pub(super) name: String,
    pub(super) type_oid: Oid,
    table_oid: Oid,
    column_id: i16,
    type_size: i16,
    type_modifier: i32,
}

pub(super) fn read_fields(body: &RowDescriptionBody) -> std::io::Result<Vec<RawField>> {
    body.fields()
        .map(|field| {
            Ok(RawField {
                name: field.name().to_owned(),
                type_oid: field.type_oid(),
                table_oid: field.table_oid(),
                column_id: field.column_id(),
                type_size: field.type_size(),
                type_modifier: field.type_modifier(),
            })
        })
        .collect()
}
