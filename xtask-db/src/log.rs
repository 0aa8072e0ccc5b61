//! PostgreSQL's log, in a file.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result};

/// Sends what the library reports (PostgreSQL's log lines among it) to a file.
pub(crate) fn to_file(path: &Path) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(file)).finish();
    tracing::subscriber::set_global_default(subscriber).context("the log has a writer already")
}
