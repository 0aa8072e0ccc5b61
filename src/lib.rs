//! A real PostgreSQL 17 inside your process.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod assets;
mod client;
mod cluster;
mod error;
#[allow(unsafe_code, reason = "the kernel is where memory and the host's calls are")]
mod kernel;
mod pglite;

pub use client::{
    CancelHandle, Column, CopyInWriter, CopyOutReader, Description, ExecResult, IsolationLevel,
    Notification, Numeric, ParseNumericError, Row, RowIndex, RowStream, Session, SimpleColumn,
    SimpleRow, Statement, ToStatement, Transaction, TransactionBuilder, TransactionStatus,
    row_to_json,
};
pub use error::*;
pub use pglite::{Pglite, PgliteBuilder};
pub use postgres_types as types;
