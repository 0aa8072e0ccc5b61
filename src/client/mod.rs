//! A session with a backend: PostgreSQL's wire protocol, version 3, spoken synchronously over a
//! connected stream of this process.
//!
//! [`Session`] is what users call. Inside, each request is written at once, and the reply is read
//! up to ReadyForQuery, or up to where a stream or a COPY is handed to the caller; `Pending` knows
//! which, so that any request that was left in the middle (dropped, panicked, leaked) is brought to
//! its end before the next one.

mod cancel;
mod column;
mod copy;
mod exec;
mod json;
mod notify;
mod numeric;
mod query;
mod raw;
mod resume;
mod row;
mod session;
mod simple_row;
mod startup;
mod statement;
mod stream;
mod transaction;
mod types;
mod wire;

#[cfg(test)]
mod tests;

pub use self::cancel::CancelHandle;
pub(crate) use self::cancel::{Cancel, send_cancel_request};
pub use self::column::{Column, SimpleColumn};
pub use self::copy::{CopyInWriter, CopyOutReader};
pub use self::exec::ExecResult;
pub use self::json::row_to_json;
pub use self::notify::Notification;
pub use self::numeric::{Numeric, ParseNumericError};
pub(crate) use self::resume::SessionState;
pub use self::row::{Row, RowIndex};
pub use self::session::{Session, TransactionStatus};
pub use self::simple_row::SimpleRow;
#[cfg(feature = "tokio-postgres")]
pub(crate) use self::startup::APPLICATION_NAME;
pub(crate) use self::startup::ConnectOptions;
pub use self::statement::{Description, Statement, ToStatement};
pub use self::stream::RowStream;
pub use self::transaction::{IsolationLevel, Transaction, TransactionBuilder};
