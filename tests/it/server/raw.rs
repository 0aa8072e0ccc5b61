//! A client that sends what it likes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

pub(super) const VERSION_3: u32 = 3 << 16;

/// A message with the length that belongs to it.
pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    with_length(tag, body.len() as u32 + 4, body)
}

/// A message with another length than it has.
pub(super) fn with_length(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

pub(super) fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// Parse, Bind and Execute of a statement without parameters.
pub(super) fn extended(sql: &str) -> Vec<u8> {
    [
        message(b'P', format!("\0{sql}\0\0\0").as_bytes()),
        message(b'B', b"\0\0\0\0\0\0\0\0"),
        message(b'E', b"\0\0\0\0\0"),
    ]
    .concat()
}

/// What begins with a length and a code: start-up, and requests in its place.
pub(super) fn opening(code: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 8).to_be_bytes().to_vec();
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

pub(super) fn startup() -> Vec<u8> {
    opening(VERSION_3, b"user\0postgres\0database\0postgres\0\0")
}

pub(super) struct Raw {
    pub(super) stream: TcpStream,
}

impl Raw {
    pub(super) fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Raw { stream }
    }

    /// A connection that is ready for a query.
    pub(super) fn log_in(address: SocketAddr) -> Raw {
        let mut raw = Raw::connect(address);
        raw.send(&startup());
        assert_eq!(raw.transcript(), "R K Z");
        raw
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends as much as the server takes before it closes the connection.
    pub(super) fn try_send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.write_all(bytes) {
            assert!(is_closed(error.kind()), "{error}");
        }
    }

    /// Fills the buffer; false if the connection ends before.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> bool {
        match self.stream.read_exact(buffer) {
            Ok(()) => true,
            Err(error) if is_closed(error.kind()) => false,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// What the server says until it is ready for a query or closes the connection, as tags of
    /// messages, with an error's severity and SQLSTATE. Parameters are left out.
    pub(super) fn transcript(&mut self) -> String {
        let mut said = Vec::new();
        loop {
            let mut head = [0; 5];
            if !self.read(&mut head) {
                said.push("closed".to_owned());
                break;
            }
            let [tag, length @ ..] = head;
            let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
            assert!(self.read(&mut body), "a whole message");
            match tag {
                b'S' => {}
                b'E' => said.push(format!("E({} {})", field(&body, b'V'), field(&body, b'C'))),
                tag => said.push(char::from(tag).to_string()),
            }
            if tag == b'Z' {
                break;
            }
        }
        said.join(" ")
    }

    /// Ends the connection as a crashed machine's system does: with a reset.
    pub(super) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

/// A field of an ErrorResponse.
fn field(body: &[u8], name: u8) -> String {
    let fields = body.split(|&byte| byte == 0);
    let mut value = fields.filter(|field| field.first() == Some(&name)).map(|field| &field[1..]);
    String::from_utf8(value.next_back().unwrap_or_default().to_vec()).unwrap()
}

/// A connection that is closed while something unread is in it ends with a reset.
fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
