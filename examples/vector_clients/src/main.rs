//! `cargo run --package vector_clients`: programs made for pgvector work on the extension `vector` as they are.
//!
//! All of it goes through the crate `pgvector`: its types, in binary, and for Diesel its operators.

mod diesel;
mod items;
mod sqlx;

use items::BoxError;
use pglite_oxide::{PgliteServer, ShutdownMode};

fn main() -> Result<(), BoxError> {
    for (name, run) in [("SQLx", sqlx::run as fn(&str) -> _), ("Diesel", diesel::run)] {
        let server = PgliteServer::temporary()?;
        println!("{name}");
        run(&server.database_url())?;
        server.shutdown(ShutdownMode::Fast)?;
    }
    Ok(())
}
