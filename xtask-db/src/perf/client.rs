//! A wire client that does as little as can be: the same code measures both sides.

use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use anyhow::{Result, bail};
use bytes::{BufMut, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;

/// How a server is reached.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A session.
pub(super) struct Client {
    input: BufReader<Stream>,
    output: BytesMut,
    message: Vec<u8>,
    pid: i32,
    secret: i32,
}

/// What a request came to.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) rows: usize,
    /// The first field of the first row.
    pub(super) value: Option<String>,
}

/// An ERROR or FATAL of the server.
#[derive(Debug)]
pub(super) struct ServerError {
    pub(super) code: String,
    message: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ServerError {}

impl Client {
    /// Logs in as `postgres`, without a password.
    pub(super) fn login(stream: Stream) -> Result<Client> {
        let mut client = Client {
            input: BufReader::with_capacity(64 * 1024, stream),
            output: BytesMut::new(),
            message: Vec::new(),
            pid: 0,
            secret: 0,
        };
        let parameters =
            [("user", "postgres"), ("database", "postgres"), ("client_encoding", "UTF8")];
        frontend::startup_message(parameters, &mut client.output)?;
        client.send()?;
        client.finish()?;
        Ok(client)
    }

    /// The message that another stream sends to cancel what this one runs.
    pub(super) fn cancel_request(&self) -> BytesMut {
        let mut request = BytesMut::new();
        frontend::cancel_request(self.pid, self.secret, &mut request);
        request
    }

    /// The backend's pid.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn simple(&mut self, sql: &str) -> Result<Reply> {
        frontend::query(sql, &mut self.output)?;
        self.send()?;
        self.finish()
    }

    pub(super) fn prepare(&mut self, name: &str, sql: &str) -> Result<()> {
        frontend::parse(name, sql, [], &mut self.output)?;
        frontend::sync(&mut self.output);
        self.send()?;
        self.finish().map(drop)
    }

    /// Runs a prepared statement with `int4` parameters, in binary.
    pub(super) fn execute(&mut self, name: &str, parameters: &[i32]) -> Result<Reply> {
        let bound = frontend::bind(
            "",
            name,
            [1i16],
            parameters,
            |value, buffer| {
                buffer.put_i32(*value);
                Ok(IsNull::No)
            },
            [1i16],
            &mut self.output,
        );
        if bound.is_err() {
            bail!("the parameters cannot be sent");
        }
        frontend::execute("", 0, &mut self.output)?;
        frontend::sync(&mut self.output);
        self.send()?;
        self.finish()
    }

    /// `sql` is a COPY FROM STDIN.
    pub(super) fn copy_in(&mut self, sql: &str, data: &[u8]) -> Result<()> {
        frontend::query(sql, &mut self.output)?;
        self.send()?;
        // The server says what it expects, or why not.
        match self.read()? {
            b'G' => {}
            _ => bail!("the server does not want data for {sql}"),
        }
        for part in data.chunks(64 * 1024) {
            frontend::CopyData::new(part)?.write(&mut self.output);
            self.send()?;
        }
        frontend::copy_done(&mut self.output);
        self.send()?;
        self.finish().map(drop)
    }

    pub(super) fn close(mut self) -> Result<()> {
        frontend::terminate(&mut self.output);
        self.send()?;
        // Until the backend has closed its end.
        self.input.read_to_end(&mut self.message)?;
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        self.input.get_mut().write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Reads to ReadyForQuery; an error of the server is the result, after that.
    fn finish(&mut self) -> Result<Reply> {
        let mut reply = Reply::default();
        let mut error = None;
        loop {
            match self.read()? {
                b'Z' => break,
                b'D' => {
                    reply.rows += 1;
                    // Not for every row: this is not what is measured.
                    if reply.rows == 1 {
                        reply.value = first_field(&self.message);
                    }
                }
                b'K' => {
                    self.pid = int(&self.message, 0);
                    self.secret = int(&self.message, 4);
                }
                b'E' => {
                    let found = server_error(&self.message);
                    // After a FATAL there is no ReadyForQuery.
                    if field(&self.message, b'V').as_deref() == Some("FATAL") {
                        return Err(found.into());
                    }
                    error = Some(found);
                }
                b'R' if int(&self.message, 0) != 0 => bail!("the server wants a password"),
                _ => {}
            }
        }
        match error {
            None => Ok(reply),
            Some(error) => Err(error.into()),
        }
    }

    fn read(&mut self) -> Result<u8> {
        let mut head = [0; 5];
        self.input.read_exact(&mut head)?;
        let len = usize::try_from(int(&head, 1))?.saturating_sub(4);
        self.message.resize(len, 0);
        self.input.read_exact(&mut self.message)?;
        Ok(head[0])
    }
}

fn int(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, i32::from_be_bytes)
}

/// Text or binary: as it is. Only asked for where it is text.
fn first_field(row: &[u8]) -> Option<String> {
    let len = usize::try_from(int(row, 2)).ok()?;
    row.get(6..6 + len).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn field(message: &[u8], kind: u8) -> Option<String> {
    let found = message.split(|byte| *byte == 0).find(|field| field.first() == Some(&kind))?;
    Some(String::from_utf8_lossy(&found[1..]).into_owned())
}

fn server_error(message: &[u8]) -> ServerError {
    ServerError {
        code: field(message, b'C').unwrap_or_default(),
        message: field(message, b'M').unwrap_or_default(),
    }
}
