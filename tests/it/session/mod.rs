//! A session: statements, results, transactions, COPY, the protocol.

mod copy;
mod decimal;
mod notify;
mod protocol;
mod query;
mod tx;
mod types;
