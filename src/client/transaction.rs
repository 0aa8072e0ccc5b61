//! Transactions and savepoints.

use std::fmt;

use postgres_protocol::escape::escape_identifier;
use postgres_types::{ToSql, Type};

use super::cancel::CancelHandle;
use super::copy::{CopyInWriter, CopyOutReader};
use super::exec::ExecResult;
use super::row::Row;
use super::session::{Session, TransactionStatus};
use super::simple_row::SimpleRow;
use super::statement::{Description, Statement, ToStatement};
use super::stream::RowStream;
use crate::error::Error;

/// How much a transaction sees of others that run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IsolationLevel {
    /// The same as [`ReadCommitted`](IsolationLevel::ReadCommitted) in PostgreSQL.
    ReadUncommitted,
    /// Each statement sees what was committed before it began. PostgreSQL's default.
    ReadCommitted,
    /// All statements see what was committed before the first one.
    RepeatableRead,
    /// As if the transactions ran one after the other; one may fail and must be run again.
    Serializable,
}

/// Chooses how a transaction runs; made by [`Session::build_transaction`].
#[derive(Debug)]
#[must_use = "nothing happens until `start`"]
pub struct TransactionBuilder<'a> {
    session: &'a mut Session,
    isolation_level: Option<IsolationLevel>,
    read_only: Option<bool>,
    deferrable: Option<bool>,
}

impl<'a> TransactionBuilder<'a> {
    /// The isolation level, in place of the session's default.
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.isolation_level = Some(level);
        self
    }

    /// Whether the transaction can only read, in place of the session's default.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = Some(read_only);
        self
    }

    /// Whether a serializable read-only transaction waits at its start, so that it cannot fail
    /// later, in place of the session's default.
    pub fn deferrable(mut self, deferrable: bool) -> Self {
        self.deferrable = Some(deferrable);
        self
    }

    /// Begins the transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if the session is in a transaction block already.
    pub fn start(self) -> Result<Transaction<'a>, Error> {
        // What a leaked stream has left must be gone for the status to be true.
        self.session.settle()?;
        if self.session.transaction_status() != TransactionStatus::Idle {
            return Err(Error::usage(
                "the session is in a transaction block already; end it first, or use a savepoint",
            ));
        }
        let mut sql = "START TRANSACTION".to_owned();
        let modes = [
            self.isolation_level.map(|level| match level {
                IsolationLevel::ReadUncommitted => "ISOLATION LEVEL READ UNCOMMITTED",
                IsolationLevel::ReadCommitted => "ISOLATION LEVEL READ COMMITTED",
                IsolationLevel::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
                IsolationLevel::Serializable => "ISOLATION LEVEL SERIALIZABLE",
            }),
            self.read_only.map(|on| if on { "READ ONLY" } else { "READ WRITE" }),
            self.deferrable.map(|on| if on { "DEFERRABLE" } else { "NOT DEFERRABLE" }),
        ];
        for (count, mode) in modes.into_iter().flatten().enumerate() {
            sql.push_str(if count == 0 { " " } else { ", " });
            sql.push_str(mode);
        }
        self.session.command(&sql)?;
        Ok(Transaction { session: self.session, savepoint: None, depth: 0, done: false })
    }
}

impl Session {
    /// Begins a transaction. It is rolled back when it is dropped without
    /// [`commit`](Transaction::commit), be it by an early return or a panic.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if the session is in a transaction block already.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// db.exec("CREATE TABLE account (id int PRIMARY KEY, balance int8)")?;
    /// let mut transaction = db.transaction()?;
    /// transaction.execute("INSERT INTO account VALUES ($1, $2)", &[&1, &100i64])?;
    ///
    /// let mut savepoint = transaction.savepoint("second")?;
    /// assert!(savepoint.execute("INSERT INTO account VALUES (1, 0)", &[]).is_err());
    /// savepoint.rollback()?; // undoes the error only
    ///
    /// transaction.commit()?;
    /// assert_eq!(db.query("SELECT * FROM account", &[])?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        self.build_transaction().start()
    }

    /// Begins a transaction with a chosen isolation level or access mode.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::IsolationLevel;
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// let mut report = db
    ///     .build_transaction()
    ///     .isolation_level(IsolationLevel::RepeatableRead)
    ///     .read_only(true)
    ///     .start()?;
    /// let row = report.query_one("SHOW transaction_read_only", &[])?;
    /// assert_eq!(row.get::<_, &str>(0), "on");
    /// # Ok(())
    /// # }
    /// ```
    pub fn build_transaction(&mut self) -> TransactionBuilder<'_> {
        TransactionBuilder {
            session: self,
            isolation_level: None,
            read_only: None,
            deferrable: None,
        }
    }
}

/// A transaction, or a savepoint inside of one.
///
/// It has the methods of [`Session`] that make sense inside a transaction. Dropping it without
/// [`commit`](Transaction::commit) rolls it back.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Transaction<'a> {
    session: &'a mut Session,
    /// The quoted name, if it is a savepoint.
    savepoint: Option<String>,
    depth: u32,
    done: bool,
}

impl Transaction<'_> {
    /// Commits the transaction, or releases the savepoint.
    ///
    /// # Errors
    ///
    /// [`Error::TransactionAborted`] if a statement has failed before, so that PostgreSQL rolled
    /// the transaction back; [`Error::Db`] if it fails now, for a deferred constraint or a conflict
    /// with another transaction. In each case nothing of the transaction (or the savepoint) is
    /// kept, and the session (or the transaction around) is usable.
    pub fn commit(mut self) -> Result<(), Error> {
        if let Some(name) = &self.savepoint {
            // On failure `drop` rolls back to the savepoint.
            self.session.settle()?;
            if self.session.transaction_status() == TransactionStatus::Failed {
                return Err(Error::TransactionAborted);
            }
            self.session.command(&format!("RELEASE SAVEPOINT {name}"))?;
            self.done = true;
            return Ok(());
        }
        self.session.settle()?;
        if self.session.transaction_status() == TransactionStatus::Idle {
            self.done = true;
            return Err(Error::usage(
                "the transaction was already ended by a COMMIT or ROLLBACK that was run in it",
            ));
        }
        let tag = self.session.command("COMMIT")?;
        self.done = true;
        if tag == "ROLLBACK" { Err(Error::TransactionAborted) } else { Ok(()) }
    }

    /// Rolls the transaction back, or back to where the savepoint was set. Dropping it does the
    /// same, but cannot tell of errors.
    ///
    /// # Errors
    ///
    /// If the session has ended, or the savepoint is gone.
    pub fn rollback(mut self) -> Result<(), Error> {
        self.done = true;
        self.roll_back()
    }

    fn roll_back(&mut self) -> Result<(), Error> {
        self.session.settle()?;
        if self.session.transaction_status() == TransactionStatus::Idle {
            return Ok(());
        }
        match &self.savepoint {
            None => self.session.command("ROLLBACK"),
            Some(name) => {
                let sql = format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}");
                self.session.command(&sql)
            }
        }
        .map(drop)
    }

    /// Sets a savepoint: a transaction inside this one, that can be rolled back alone.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if the transaction is aborted already.
    pub fn savepoint(&mut self, name: &str) -> Result<Transaction<'_>, Error> {
        let name = escape_identifier(name);
        self.session.command(&format!("SAVEPOINT {name}"))?;
        Ok(Transaction {
            session: self.session,
            savepoint: Some(name),
            depth: self.depth + 1,
            done: false,
        })
    }

    /// As [`savepoint`](Transaction::savepoint), with a name of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if the transaction is aborted already.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        self.savepoint(&format!("__pglite_savepoint_{}", self.depth + 1))
    }

    /// See [`Session::exec`]. Ending the transaction by an SQL statement makes `commit` fail.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn exec(&mut self, sql: &str) -> Result<Vec<ExecResult>, Error> {
        self.session.exec(sql)
    }

    /// See [`Session::query`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn query<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.session.query(statement, params)
    }

    /// See [`Session::query_one`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn query_one<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        self.session.query_one(statement, params)
    }

    /// See [`Session::query_opt`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn query_opt<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        self.session.query_opt(statement, params)
    }

    /// See [`Session::query_raw`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn query_raw<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<RowStream<'_>, Error> {
        self.session.query_raw(statement, params)
    }

    /// See [`Session::query_text`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn query_text<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<SimpleRow>, Error> {
        self.session.query_text(statement, params)
    }

    /// See [`Session::query_json`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn query_json<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<String>, Error> {
        self.session.query_json(statement, params)
    }

    /// See [`Session::execute`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn execute<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        self.session.execute(statement, params)
    }

    /// See [`Session::prepare`]. The statement outlives the transaction.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        self.session.prepare(sql)
    }

    /// See [`Session::prepare_typed`]. The statement outlives the transaction.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn prepare_typed(&mut self, sql: &str, types: &[Type]) -> Result<Statement, Error> {
        self.session.prepare_typed(sql, types)
    }

    /// See [`Session::describe`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn describe(&mut self, sql: &str) -> Result<Description, Error> {
        self.session.describe(sql)
    }

    /// See [`Session::copy_in`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn copy_in(&mut self, sql: &str) -> Result<CopyInWriter<'_>, Error> {
        self.session.copy_in(sql)
    }

    /// See [`Session::copy_out`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn copy_out(&mut self, sql: &str) -> Result<CopyOutReader<'_>, Error> {
        self.session.copy_out(sql)
    }

    /// See [`Session::cancel_handle`].
    pub fn cancel_handle(&self) -> CancelHandle {
        self.session.cancel_handle()
    }

    /// See [`Session::transaction_status`].
    pub fn transaction_status(&self) -> TransactionStatus {
        self.session.transaction_status()
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.done || self.session.is_closed() {
            return;
        }
        if let Err(error) = self.roll_back() {
            tracing::warn!("a dropped transaction could not be rolled back: {error}");
        }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("savepoint", &self.savepoint)
            .field("status", &self.session.transaction_status())
            .finish_non_exhaustive()
    }
}
