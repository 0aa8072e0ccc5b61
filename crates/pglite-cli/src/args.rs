//! The command line.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure;

/// A PostgreSQL 17 server in one binary: nothing to install, nothing to configure.
#[derive(Debug, Parser)]
#[command(name = "pglite", version = version(), disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a database until a signal ends it
    #[command(after_help = SERVE_STATUS)]
    Serve(ServeArgs),
    /// Start a server, run a command with DATABASE_URL and PG* set, and stop the server again
    #[command(after_help = RUN_STATUS)]
    Run(RunArgs),
    /// Print the URL of the server that `pglite` runs for a directory
    #[command(after_help = URL_STATUS)]
    Url(UrlArgs),
    /// Run psql: with its arguments, and --path DIR or --temporary for a database without a server
    #[command(disable_help_flag = true)]
    Psql(ToolArgs),
    /// Run pg_dump: with its arguments, and --path DIR for a database without a server
    #[command(disable_help_flag = true)]
    Dump(ToolArgs),
    /// Run pg_restore: with its arguments, and --path DIR for a database without a server
    #[command(disable_help_flag = true)]
    Restore(ToolArgs),
    /// List the extensions in this program, or those that a database has
    #[command(after_help = EXTENSIONS_STATUS)]
    Extensions(ExtensionsArgs),
    /// Copy the databases of a directory to a new one, by dump and restore
    #[command(after_help = UPGRADE_STATUS)]
    Upgrade(UpgradeArgs),
}

const SERVE_STATUS: &str = "\
Signals:
  SIGINT, SIGTERM, SIGHUP  roll back what is in progress, write a checkpoint, end (fast shutdown)
  SIGQUIT, or a second one end at once; the next start recovers what was committed

Exit status:
  0  it was stopped by a signal, and the database is cleanly closed
  1  it could not start, or ended by itself
  2  the command line is wrong
  3  it was stopped at once, without a checkpoint";

const RUN_STATUS: &str = "\
Exit status:
  that of the command; 128+N if signal N ended it
  2    the command line is wrong
  125  the server could not start
  126  the command cannot be executed
  127  there is no such command";

const URL_STATUS: &str = "\
Exit status:
  0  the URL is on standard output
  1  no server of `pglite` runs for the directory
  2  the command line is wrong";

const EXTENSIONS_STATUS: &str = "\
CREATE EXTENSION makes one in a database. Those with `preload` have to be loaded when PostgreSQL starts:
name them in shared_preload_libraries, or by --config in `serve` and `run`.

Exit status:
  0  the list is on standard output
  1  it failed
  2  the command line is wrong";

const UPGRADE_STATUS: &str = "\
Nothing else may have the old directory open. It stays as it is. NEW must be empty or missing, and is
there when all is in it; if that fails, the dump is kept beside it.

Exit status:
  0  the path of the new directory is on standard output
  1  it failed
  2  the command line is wrong";

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print the URL with the password in it, also to the ready file
    #[arg(long, requires = "password_file")]
    pub(crate) show_password: bool,
    /// Write the URL to this file when the server is ready; the file is removed at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct UrlArgs {
    /// The directory of the database
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ToolArgs {
    /// The tool's arguments; --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct ExtensionsArgs {
    /// Those that are installed in a database of this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// Which database of the directory
    #[arg(long, value_name = "NAME", default_value = "postgres", requires = "path")]
    pub(crate) database: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    /// The directory of the database
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The directory to make
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
}

/// What `serve` and `run` have in common.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The database in this directory; made if it is missing or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// A new database in memory, gone at the end (default)
    #[arg(long, conflicts_with = "path")]
    pub(crate) temporary: bool,
    /// IP address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1", value_parser = parse_host)]
    pub(crate) host: IpAddr,
    /// TCP port to listen on; 0 takes one that is free
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port: u16,
    /// Listen on the Unix socket DIR/.s.PGSQL.PORT too
    #[arg(long, value_name = "DIR")]
    pub(crate) socket: Option<PathBuf>,
    /// Listen on the Unix socket alone; its name then has 5432 as the port
    #[arg(long, requires = "socket", conflicts_with_all = ["host", "port"])]
    pub(crate) no_tcp: bool,
    /// Ask clients for the password that is the first line of this file (SCRAM-SHA-256)
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Permit a --host that other machines can reach
    #[arg(long, requires = "password_file")]
    pub(crate) allow_remote: bool,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// How many sessions there can be at once, from 1 to 262143 [default: 100]
    #[arg(long, value_name = "N", value_parser = parse_max_connections)]
    pub(crate) max_connections: Option<u32>,
    /// A setting of PostgreSQL for this run; can be given many times
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub(crate) config: Vec<(String, String)>,
    /// The database in the URL; made if it does not exist
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    pub(crate) database: String,
    /// The role in the URL; it must exist
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    pub(crate) user: String,
    /// What a temporary database may write: bytes, or with a unit (kB, MB, GB)
    #[arg(long, value_name = "SIZE", conflicts_with = "path", value_parser = parse_size)]
    pub(crate) memory_limit: Option<u64>,
    /// Show PostgreSQL the directory HOST at the path GUEST, read-only with `:ro`
    #[arg(long, value_name = "HOST:GUEST[:ro]", value_parser = parse_mount)]
    pub(crate) mount: Vec<Mount>,
    /// What to log to standard error [default: info; in `run` warn]
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub(crate) log_level: Option<LogLevel>,
    /// Log nothing
    #[arg(long, conflicts_with = "log_level")]
    pub(crate) quiet: bool,
    /// The form of the log's lines
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[cfg(feature = "tls")]
#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    /// Speak TLS, with a certificate made for this run
    #[arg(long)]
    pub(crate) tls: bool,
    /// Write the certificate of --tls to this file (PEM), for clients' sslrootcert; it is removed at the end
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) tls_cert_out: Option<PathBuf>,
    /// Speak TLS, with the certificate chain in this file (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "tls")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", conflicts_with = "tls")]
    pub(crate) tls_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// A directory of the host that PostgreSQL sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
    pub(crate) read_only: bool,
}

/// Help and version on standard output; anything else in one line on standard error.
pub(crate) fn refused(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Whoever has closed it does not want to read it.
            let _ = error.print();
        }
        _ => {
            let text = error.to_string();
            let what = text.split("\n\nUsage:").next().unwrap_or(&text);
            let what = what.split("\n\nFor more").next().unwrap_or(what);
            let words: Vec<&str> = what.split_whitespace().collect();
            let what = words.join(" ");
            let what = what.strip_prefix("error: ").unwrap_or(&what);
            failure::say(&format!("{what}; --help lists the options"));
        }
    }
    ExitCode::from(if error.use_stderr() { failure::USAGE } else { 0 })
}

fn version() -> String {
    let postgres = pglite_oxide_assets::postgres_version();
    format!("{} (PostgreSQL {postgres})", env!("CARGO_PKG_VERSION"))
}

fn parse_host(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.parse().map_err(|_| "give an IP address, such as 127.0.0.1 or ::1".to_owned())
}

/// Settings for which there are options, and what the library would otherwise say it needs a program for.
const OWN_OPTIONS: &[(&str, &str)] = &[
    ("data_directory", "use --path"),
    ("listen_addresses", "use --host"),
    ("port", "use --port"),
    ("unix_socket_directories", "use --socket"),
    ("log_destination", "the log goes to standard error; see --log-level and --log-format"),
    ("logging_collector", "the log goes to standard error; see --log-level and --log-format"),
    ("log_line_prefix", "the log goes to standard error; see --log-level and --log-format"),
];

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give NAME=VALUE")?;
    let name = name.trim();
    match OWN_OPTIONS.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
        Some((_, instead)) => Err((*instead).to_owned()),
        None => Ok((name.to_owned(), value.to_owned())),
    }
}

/// PostgreSQL's `MAX_BACKENDS`.
const MOST_CONNECTIONS: u32 = 262_143;

fn parse_max_connections(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST_CONNECTIONS).contains(count));
    count.ok_or_else(|| format!("give a number from 1 to {MOST_CONNECTIONS}"))
}

/// PostgreSQL's units: powers of 1024.
const UNITS: &[(&str, u32)] = &[("B", 0), ("kB", 10), ("MB", 20), ("GB", 30), ("TB", 40)];

fn parse_size(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = if unit.is_empty() { "B" } else { unit.trim() };
    let shift = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let size = shift.and_then(|(_, shift)| number.parse::<u64>().ok()?.checked_mul(1 << shift));
    size.filter(|size| *size > 0)
        .ok_or_else(|| "give a number with a unit, such as 512MB or 2GB".to_owned())
}

fn parse_mount(text: &str) -> Result<Mount, String> {
    let (rest, read_only) = match text.strip_suffix(":ro") {
        Some(rest) => (rest, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    };
    // The guest's path is the last part: a host path may have colons in it.
    match rest.rsplit_once(':') {
        Some((host, guest)) if !host.is_empty() && guest.starts_with('/') => {
            Ok(Mount { host: host.into(), guest: guest.to_owned(), read_only })
        }
        _ => Err("give HOST:GUEST or HOST:GUEST:ro, with an absolute path GUEST".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes() {
        let cases = [
            ("1", Some(1)),
            ("64kB", Some(64 << 10)),
            ("512MB", Some(512 << 20)),
            ("2 gb", Some(2 << 30)),
            ("0", None),
            ("", None),
            ("MB", None),
            ("1.5GB", None),
            ("-1", None),
            ("10 apples", None),
            ("99999999999TB", None),
        ];
        for (text, size) in cases {
            assert_eq!(parse_size(text).ok(), size, "{text}");
        }
    }

    #[test]
    fn mounts() {
        let cases = [
            ("/data:/import", Some(("/data", "/import", false))),
            ("data:/import:ro", Some(("data", "/import", true))),
            ("data:/import:rw", Some(("data", "/import", false))),
            ("a:b:/c", Some(("a:b", "/c", false))),
            ("/data", None),
            ("/data:import", None),
            (":/import", None),
        ];
        for (text, mount) in cases {
            let mount = mount.map(|(host, guest, read_only)| Mount {
                host: host.into(),
                guest: guest.into(),
                read_only,
            });
            assert_eq!(parse_mount(text).ok(), mount, "{text}");
        }
    }

    #[test]
    fn hosts() {
        let cases = [
            ("127.0.0.1", Some("127.0.0.1")),
            ("localhost", Some("127.0.0.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("example.org", None),
            ("127.0.0.1:5432", None),
        ];
        for (text, address) in cases {
            let address = address.map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!(parse_host(text).ok(), address, "{text}");
        }
    }

    #[test]
    fn settings() {
        let cases = [
            ("work_mem=4MB", Some(("work_mem", "4MB"))),
            ("search_path=a=b", Some(("search_path", "a=b"))),
            ("application_name=", Some(("application_name", ""))),
            ("work_mem", None),
            ("Port=5432", None),
        ];
        for (text, setting) in cases {
            let setting = setting.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(parse_setting(text).ok(), setting, "{text}");
        }
    }
}
