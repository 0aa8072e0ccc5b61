//! What a client needs to know to connect.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986 (2.3) calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a server is and how to log in, in parts.
///
/// # Examples
///
/// ```
/// use pglite_oxide::PgliteServer;
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let server = PgliteServer::temporary()?;
/// let params = server.connection_params();
/// assert_eq!(params.host, "127.0.0.1");
/// assert_eq!(params.user, "postgres");
/// // For a program that is started with them:
/// let mut command = std::process::Command::new("psql");
/// command.envs(params.env());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionParams {
    /// An IP address, or the directory of a Unix socket: what libpq takes as `host`.
    pub host: String,
    /// The TCP port, or the number in the Unix socket's name.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The role's password, if the server was given one.
    pub password: Option<String>,
    /// The database.
    pub database: String,
    /// Whether the server speaks TLS.
    pub tls: bool,
}

impl ConnectionParams {
    /// A URL that libpq (`psql`, Diesel, psycopg, ...), SQLx, `tokio-postgres` and, with `jdbc:`
    /// before it, JDBC understand. It has the password in it, if there is one.
    ///
    /// User and password are parameters of the URL, because that is the one place where all of these look
    /// for them. JDBC knows no Unix sockets.
    pub fn url(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let database = encode(&self.database);
        let mut url = if self.is_unix() {
            // Without a host: with one, tokio-postgres would try that first.
            format!("postgresql:///{database}?host={}&port={}&", encode(&self.host), self.port)
        } else if self.host.contains(':') {
            format!("postgresql://[{}]:{}/{database}?", self.host, self.port)
        } else {
            format!("postgresql://{}:{}/{database}?", self.host, self.port)
        };
        url += &format!("user={}", encode(&self.user));
        if let Some(password) = &self.password {
            url += &format!("&password={}", encode(password));
        }
        if self.tls && !self.is_unix() {
            url += "&sslmode=require";
        }
        url
    }

    /// The environment variables by which libpq and many other clients find the server: `PGHOST`,
    /// `PGPORT`, `PGUSER`, `PGDATABASE`, and where they apply `PGPASSWORD` and `PGSSLMODE`.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("PGHOST", self.host.clone()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.database.clone()),
        ];
        if let Some(password) = &self.password {
            variables.push(("PGPASSWORD", password.clone()));
        }
        if self.tls && !self.is_unix() {
            variables.push(("PGSSLMODE", "require".to_owned()));
        }
        variables
    }

    /// Whether the host is the directory of a Unix socket.
    fn is_unix(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl fmt::Debug for ConnectionParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionParams")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "..."))
            .field("database", &self.database)
            .field("tls", &self.tls)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(host: &str, password: Option<&str>, database: &str, tls: bool) -> ConnectionParams {
        ConnectionParams {
            host: host.into(),
            port: 5433,
            user: "me".into(),
            password: password.map(Into::into),
            database: database.into(),
            tls,
        }
    }

    #[test]
    fn urls() {
        let cases = [
            (params("127.0.0.1", None, "db", false), "postgresql://127.0.0.1:5433/db?user=me"),
            (params("::1", None, "db", false), "postgresql://[::1]:5433/db?user=me"),
            (
                params("127.0.0.1", Some("a b&c%/ü"), "my db", true),
                "postgresql://127.0.0.1:5433/my%20db?user=me&password=a%20b%26c%25%2F%C3%BC\
                 &sslmode=require",
            ),
            (
                params("/tmp/x y", None, "db", true),
                "postgresql:///db?host=%2Ftmp%2Fx%20y&port=5433&user=me",
            ),
        ];
        for (params, url) in cases {
            assert_eq!(params.url(), url);
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let text = format!("{:?}", params("::1", Some("secret"), "db", false));
        assert!(!text.contains("secret"), "{text}");
    }
}
