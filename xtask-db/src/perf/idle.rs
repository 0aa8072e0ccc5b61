//! What a server needs that has nothing to do.

use anyhow::Result;

use super::Setup;
use super::memory::{idle, pss_of_all, rss_of};
use super::rows::Row;
use super::servers::{Server, over_tcp};

const GROUP: &str = "Idle server";

const CONNECTIONS: usize = 100;

pub(super) fn measure(setup: &Setup) -> Result<Vec<Row>> {
    // Some of them are reserved for superusers, and parallel workers count too.
    let limit = (CONNECTIONS + 20).to_string();
    let servers = over_tcp(setup, &[("max_connections", &limit)])?;
    let [ours, native] = &servers;
    for server in &servers {
        server.connect()?.close()?;
    }
    let mut rows = vec![
        Row::new(GROUP, "RSS after a first connection", "MB", rss_of(ours.pid())?),
        Row::new(
            GROUP,
            "PSS after a first connection (native: all processes)",
            "MB",
            pss_of_all(ours)?,
        )
        .native(pss_of_all(native)?)
        .target("<= 60 MB"),
    ];
    rows.push(
        Row::new(
            GROUP,
            format!("PSS of each of {CONNECTIONS} connections after a query"),
            "MB",
            each(ours)?,
        )
        .native(each(native)?)
        .target("<= 1.5 MB"),
    );
    Ok(rows)
}

fn each(server: &Server) -> Result<f64> {
    let before = pss_of_all(server)?;
    let clients = idle(server, CONNECTIONS)?;
    let growth = pss_of_all(server)? - before;
    drop(clients);
    Ok(growth / CONNECTIONS as f64)
}
