//! Memory: of this process, and of all processes of a native server.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::bench;
use super::rows::Row;
use super::servers::{Server, TEMPORARY, builder};
use super::{Setup, client::Client};

const GROUP: &str = "Memory";

const CONNECTIONS: usize = 20;

pub(super) fn measure(setup: &Setup) -> Result<Vec<Row>> {
    let mut db = builder(setup).open()?;
    db.query_one("SELECT 1", &[])?;
    let mut rows = Vec::new();
    let pid = std::process::id();
    rows.push(Row::new(GROUP, "RSS after SELECT 1", "MB", rss_of(pid)?).target("<= 60 MB"));
    rows.push(Row::new(GROUP, "peak RSS after SELECT 1", "MB", status(pid, "VmHWM:")?));
    let pss = Row::new(GROUP, "PSS after SELECT 1 (native: all processes)", "MB", pss_of(pid)?);

    let (server, mut client) = setup.native_in_memory.start(TEMPORARY)?;
    client.simple("SELECT 1")?;
    let (ours, native) = (Server::Ours(Box::new(db)), Server::Native(server));
    rows.push(pss.native(pss_of_all(&native)?));

    // A new database has its background processes after a second only, or when somebody connects.
    drop(idle(&ours, 1)?);
    std::thread::sleep(Duration::from_secs(2));
    let before = (pss_of(pid)?, pss_of_all(&native)?);
    let (our_clients, native_clients) = (idle(&ours, CONNECTIONS)?, idle(&native, CONNECTIONS)?);
    let each = |after: f64, before: f64| (after - before) / CONNECTIONS as f64;
    let row = Row::new(
        GROUP,
        "PSS of each idle session after a query",
        "MB",
        each(pss_of(pid)?, before.0),
    );
    rows.push(row.native(each(pss_of_all(&native)?, before.1)).target("<= 1.5 MB"));
    drop((our_clients, native_clients));

    let mut session = ours.connect()?;
    for statement in bench::statements(&setup.sql) {
        session.simple(statement)?;
        client.simple(statement)?;
    }
    rows.push(Row::new(GROUP, "RSS after bench.sql", "MB", rss_of(pid)?));
    rows.push(Row::new(GROUP, "peak RSS of bench.sql", "MB", status(pid, "VmHWM:")?));
    let row = Row::new(GROUP, "PSS after bench.sql (native: all processes)", "MB", pss_of(pid)?);
    rows.push(row.native(pss_of_all(&native)?));
    Ok(rows)
}

/// Sessions that have run a query.
pub(super) fn idle(server: &Server, count: usize) -> Result<Vec<Client>> {
    (0..count)
        .map(|_| {
            let mut client = server.connect()?;
            client.simple("SELECT count(*) FROM pg_class")?;
            Ok(client)
        })
        .collect()
}

/// Resident memory of a process in MB.
pub(super) fn rss_of(pid: u32) -> Result<f64> {
    status(pid, "VmRSS:")
}

fn status(pid: u32, field: &str) -> Result<f64> {
    megabytes(&format!("/proc/{pid}/status"), field)
}

/// As RSS, but memory shared with other processes is divided among them.
fn pss_of(pid: u32) -> Result<f64> {
    megabytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// Of all its processes.
pub(super) fn pss_of_all(server: &Server) -> Result<f64> {
    let mut sum = 0.0;
    for pid in family(server.pid())? {
        match pss_of(pid) {
            Ok(pss) => sum += pss,
            // A session that was closed just before.
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

/// The process is gone, or waits to be reaped and has no memory any more.
fn has_ended(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    matches!(code, Some(libc::ENOENT | libc::ESRCH))
}

fn megabytes(file: &str, field: &str) -> Result<f64> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    Ok(kilobytes.with_context(|| format!("no {field} in {file}"))? / 1024.0)
}

/// A process and its children.
fn family(pid: u32) -> Result<BTreeSet<u32>> {
    let mut pids = BTreeSet::from([pid]);
    for entry in fs::read_dir("/proc")? {
        let Ok(child) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(status) = fs::read_to_string(format!("/proc/{child}/status")) else { continue };
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        if parent.is_some_and(|parent| parent.trim() == pid.to_string()) {
            pids.insert(child);
        }
    }
    Ok(pids)
}
