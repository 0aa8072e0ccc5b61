//! A real PostgreSQL 17 inside your process.
mod kernel;
