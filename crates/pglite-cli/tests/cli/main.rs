//! The program `pglite`, as its users run it.
#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod extensions;
mod harness;
mod options;
mod run;
mod serve;
mod tools;
mod url;
