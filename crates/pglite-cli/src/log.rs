//! The log: `tracing` events of the library, PostgreSQL's lines among them, on standard error.

use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{LogFormat, LogLevel, ServerArgs};

/// Whose events are logged at the level that was asked for: PostgreSQL, the library, this program. Others
/// (the WebAssembly runtime) have to say something for developers only.
const OURS: [&str; 3] = ["postgres", "pglite_oxide", "pglite"];

/// Sends events to standard error from now on.
pub(crate) fn start(args: &ServerArgs, default: LogLevel) {
    let level = if args.quiet { LogLevel::Off } else { args.log_level.unwrap_or(default) };
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(OURS.map(|target| (target, level)));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_span_events(FmtSpan::NONE)
        // It would report a closed standard error on standard error, and panic.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    let registry = tracing_subscriber::registry().with(targets);
    // It fails only if there is a log already; there is none, as this is called once.
    let _ = match args.log_format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
}
