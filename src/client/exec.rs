//! Simple queries: many statements, text results.

use std::sync::Arc;

use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use postgres_types::Type;

use super::column::SimpleColumn;
use super::session::{Event, Pending, Session};
use super::simple_row::SimpleRow;
use super::statement::read_fields;
use crate::error::{DbError, Error};

/// What one statement of [`Session::exec`] did.
#[derive(Debug, Clone)]
pub struct ExecResult {
    tag: String,
    columns: Arc<[SimpleColumn]>,
    rows: Vec<SimpleRow>,
}

impl ExecResult {
    fn empty() -> ExecResult {
        ExecResult { tag: String::new(), columns: Arc::from([]), rows: Vec::new() }
    }

    /// PostgreSQL's command tag, such as `CREATE TABLE`, `INSERT 0 3` or `SELECT 5`.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The number of rows inserted, changed, deleted, selected or copied; 0 for other commands.
    pub fn rows_affected(&self) -> u64 {
        rows_affected(&self.tag)
    }

    /// The columns; none if the statement returns no rows.
    pub fn columns(&self) -> &[SimpleColumn] {
        &self.columns
    }

    /// The rows the statement returned.
    pub fn rows(&self) -> &[SimpleRow] {
        &self.rows
    }

    /// The rows the statement returned.
    pub fn into_rows(self) -> Vec<SimpleRow> {
        self.rows
    }
}

/// The number at the end of a command tag.
pub(super) fn rows_affected(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

pub(super) const COPY_IN_MISUSED: &str =
    "COPY ... FROM STDIN needs data: run it with copy_in (the statement was not run)";
pub(super) const COPY_OUT_MISUSED: &str =
    "COPY ... TO STDOUT gives data: run it with copy_out (its output was dropped)";

impl Session {
    /// Runs SQL text that may hold many statements, without parameters, and returns what each of
    /// them did. Values come as text.
    ///
    /// If the text holds no `BEGIN` and the session is not in a transaction block, all statements
    /// are one transaction: either all of them take effect, or none.
    ///
    /// All results are kept in memory; use [`query_raw`](Session::query_raw) for large ones.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if a statement fails: those after it are not run, and the results of those
    /// before it are not returned. [`Error::Usage`] if the text holds a `COPY` from or to the
    /// client.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// let results = db.exec(
    ///     "CREATE TABLE item (id int, name text);
    ///      INSERT INTO item VALUES (1, 'one'), (2, NULL);
    ///      SELECT * FROM item ORDER BY id;",
    /// )?;
    /// assert_eq!(results[0].tag(), "CREATE TABLE");
    /// assert_eq!(results[1].rows_affected(), 2);
    /// assert_eq!(results[2].rows()[0].get("name"), Some("one"));
    /// assert_eq!(results[2].rows()[1].get("name"), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn exec(&mut self, sql: &str) -> Result<Vec<ExecResult>, Error> {
        let mut results = Vec::new();
        self.exec_into(sql, &mut results)?;
        Ok(results)
    }

    /// [`exec`](Session::exec), which after an error tells as well what had been done before it.
    pub(crate) fn exec_into(
        &mut self,
        sql: &str,
        results: &mut Vec<ExecResult>,
    ) -> Result<(), Error> {
        self.send_simple(sql)?;
        let mut current = ExecResult::empty();
        let mut error: Option<Box<DbError>> = None;
        let mut misuse = None;
        loop {
            match self.next_event()? {
                Event::Row(body) => match SimpleRow::new(current.columns.clone(), body) {
                    Ok(row) => current.rows.push(row),
                    Err(message) => return Err(self.malformed(&std::io::Error::other(message))),
                },
                Event::Message(Message::RowDescription(body)) => {
                    let fields = read_fields(&body).map_err(|error| self.malformed(&error))?;
                    current.columns = fields
                        .into_iter()
                        .map(|field| SimpleColumn {
                            type_oid: field.type_oid,
                            type_: Type::from_oid(field.type_oid)
                                .or_else(|| self.types.get(field.type_oid).cloned()),
                            name: field.name,
                        })
                        .collect();
                }
                Event::Message(Message::CommandComplete(body)) => {
                    current.tag = body.tag().map_err(|error| self.malformed(&error))?.to_owned();
                    results.push(std::mem::replace(&mut current, ExecResult::empty()));
                }
                Event::Message(Message::EmptyQueryResponse) => {}
                Event::Error(reported) => {
                    error.get_or_insert(reported);
                }
                Event::Message(Message::CopyInResponse(_)) => {
                    misuse.get_or_insert(COPY_IN_MISUSED);
                    self.refuse_copy_in(false)?;
                }
                Event::Message(Message::CopyOutResponse(_)) => {
                    misuse.get_or_insert(COPY_OUT_MISUSED);
                }
                Event::CopyData(_) | Event::Message(Message::CopyDone) => {}
                Event::Ready => break,
                other => return Err(self.unexpected(other)),
            }
        }
        match (misuse, error) {
            (Some(misuse), _) => Err(Error::usage(misuse)),
            (None, Some(error)) => Err(Error::Db(error)),
            (None, None) => Ok(()),
        }
    }

    /// Runs a statement of our own that returns no rows; its command tag.
    pub(super) fn command(&mut self, sql: &str) -> Result<String, Error> {
        let result = self.exec(sql)?.pop();
        Ok(result.map(|result| result.tag).unwrap_or_default())
    }

    /// Sends SQL text as a simple query.
    pub(super) fn send_simple(&mut self, sql: &str) -> Result<(), Error> {
        self.begin()?;
        frontend::query(sql, &mut self.wire.output)
            .map_err(|error| Error::usage(format!("the statement cannot be sent: {error}")))?;
        self.pending = Pending::Ready { extended: false };
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::rows_affected;

    #[test]
    fn tags() {
        for (tag, rows) in [
            ("INSERT 0 3", 3),
            ("SELECT 5", 5),
            ("COPY 100000", 100_000),
            ("CREATE TABLE", 0),
            ("", 0),
            ("DELETE 18446744073709551615", u64::MAX),
        ] {
            assert_eq!(rows_affected(tag), rows, "{tag}");
        }
    }
}
