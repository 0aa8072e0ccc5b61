//! PostgreSQL's front-end tools, inside this process: `pg_dump`, `pg_restore`, `psql` and `pg_dumpall`.
//!
//! They are PostgreSQL's own programs, compiled like the server. Each runs on a small machine of its own and
//! connects to the database as any client would, but over a socket pair: nothing listens anywhere, and nothing
//! has to be installed. A tool has a session of its own, so the session at hand stays as it is.
//!
//! - [`Pglite::dump`](crate::Pglite::dump) and [`PgliteServer::dump`](crate::PgliteServer::dump) write a dump:
//!   SQL, or an archive for `pg_restore`, native ones included.
//! - [`Pglite::restore`](crate::Pglite::restore) and [`PgliteServer::restore`](crate::PgliteServer::restore)
//!   load one, from native `pg_dump` too.
//! - [`Cancel`] ends any of these from another thread.
//! - [`Pglite::tool`](crate::Pglite::tool) runs a tool with any arguments, and [`Tool::new`] one that connects
//!   over the network.
//!
//! All calls block until the tool has ended. In async code call them from `spawn_blocking`; no run time is
//! needed.
//!
//! ```
//! use pglite_oxide::Pglite;
//!
//! # fn main() -> Result<(), pglite_oxide::Error> {
//! let mut db = Pglite::temporary()?;
//! db.exec("CREATE TABLE planet (name text); INSERT INTO planet VALUES ('Earth')")?;
//! let sql = db.dump().to_string()?;
//! assert!(sql.contains("CREATE TABLE public.planet"));
//!
//! let mut copy = Pglite::temporary()?;
//! copy.restore().from_bytes(sql)?;
//! assert_eq!(copy.query("SELECT name FROM planet", &[])?.len(), 1);
//! # Ok(())
//! # }
//! ```

mod cancel;
mod dump;
mod restore;
mod run;
mod tool;

use std::fmt;

pub use self::cancel::Cancel;
pub use self::dump::{Dump, Format};
pub use self::restore::Restore;
pub(crate) use self::run::Target;
pub use self::tool::{Output, Tool};

/// The methods of a handle that run tools on its database; it has a cluster and says who connects to what.
macro_rules! tool_methods {
    () => {
        /// Restores a dump into this database, by `pg_restore` or `psql`: see [`Restore`](crate::tools::Restore).
        pub fn restore(&self) -> crate::tools::Restore {
            crate::tools::Restore::new(self.target())
        }

        /// One of PostgreSQL's front-end tools, connected to this database: see [`Tool`](crate::tools::Tool).
        pub fn tool(&self, program: crate::tools::Program) -> crate::tools::Tool {
            crate::tools::Tool::connected(program, self.target())
        }

        fn target(&self) -> crate::tools::Target {
            crate::tools::Target { cluster: self.cluster.clone(), access: self.access.clone() }
        }
    };
}
pub(crate) use tool_methods;

/// One of PostgreSQL's front-end tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Program {
    /// Dumps one database.
    PgDump,
    /// Dumps all databases of a cluster, with roles and tablespaces, as SQL.
    PgDumpall,
    /// Restores an archive of `pg_dump`.
    PgRestore,
    /// Runs SQL and its own commands.
    Psql,
}

impl Program {
    pub(crate) const ALL: [Program; 4] =
        [Program::PgDump, Program::PgDumpall, Program::PgRestore, Program::Psql];

    /// Its name, as PostgreSQL has it.
    pub fn name(self) -> &'static str {
        match self {
            Program::PgDump => "pg_dump",
            Program::PgDumpall => "pg_dumpall",
            Program::PgRestore => "pg_restore",
            Program::Psql => "psql",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
