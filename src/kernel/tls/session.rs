//! A TLS session on a socket, driven without ever waiting.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use rustls::{
    AlertDescription, InvalidMessage, PeerIncompatible, ProtocolVersion, ServerConnection,
};

use super::certificate::Certificate;
use super::ciphers;
use super::config::Config;

/// What one receive asks for: a few records of the largest size, so that a long COPY does not cost four
/// system calls a record.
const RECEIVE: usize = 64 << 10;

/// The most plaintext that one call takes in: as many records as rustls buffers by default.
const SEND: usize = 64 << 10;

/// How far a step came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress<T> {
    Done(T),
    /// Nothing more until the socket can be read.
    WantRead,
    /// Nothing more until the socket can be written.
    WantWrite,
}

/// Why a session is over.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The socket failed.
    Io(io::Error),
    /// The peer closed the connection in the middle.
    Eof,
    /// The peer broke the protocol, or wants what this side does not.
    Tls(rustls::Error),
    /// A write that was to be tried again came with less than what is under way.
    BadRetry,
    /// A name in the client's certificate that must not be used.
    Certificate(&'static str),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(error) => error.fmt(f),
            Failure::Eof => f.write_str("EOF detected"),
            Failure::Tls(error) => error.fmt(f),
            Failure::BadRetry => f.write_str("bad write retry"),
            Failure::Certificate(reason) => f.write_str(reason),
        }
    }
}

impl Failure {
    /// Whether the two sides have no version of TLS in common.
    pub(crate) fn is_about_versions(&self) -> bool {
        use rustls::Error;
        let Failure::Tls(error) = self else { return false };
        matches!(
            error,
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                    | PeerIncompatible::SupportedVersionsExtensionRequired
                    | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                    | PeerIncompatible::Tls12NotOffered
                    | PeerIncompatible::Tls12NotOfferedOrEnabled
            ) | Error::AlertReceived(AlertDescription::ProtocolVersion)
                | Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion)
        )
    }
}

/// What can be asked about a session. The numbers are those of assets/wasix/pglite.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Version = 1,
    Cipher = 2,
    /// Bits of the cipher's key, in decimal.
    Bits = 3,
    /// The protocol that ALPN agreed on; empty if the client did not use it.
    Protocol = 4,
    /// The server's certificate, DER.
    Certificate = 5,
    /// The hash that `tls-server-end-point` is to be made with; empty if there is none.
    CertificateHash = 6,
    /// Of the client's certificate; the following are empty without one.
    PeerCommonName = 7,
    /// As RFC 2253 has it.
    PeerName = 8,
    /// With slashes.
    PeerSubject = 9,
    PeerIssuer = 10,
    PeerSerial = 11,
}

impl Fact {
    const ALL: [Fact; 11] = [
        Fact::Version,
        Fact::Cipher,
        Fact::Bits,
        Fact::Protocol,
        Fact::Certificate,
        Fact::CertificateHash,
        Fact::PeerCommonName,
        Fact::PeerName,
        Fact::PeerSubject,
        Fact::PeerIssuer,
        Fact::PeerSerial,
    ];

    pub(crate) fn from_number(number: u32) -> Option<Fact> {
        Fact::ALL.into_iter().find(|fact| *fact as u32 == number)
    }
}

pub(crate) struct Session {
    connection: ServerConnection,
    config: Arc<Config>,
    received: Received,
    /// Plaintext that a write has taken in and not yet reported, as its records are not all sent.
    taken: usize,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Bytes from the socket that rustls has not taken yet.
#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    start: usize,
}

impl Session {
    /// A session that has not begun. `early` is what was already read from the socket.
    pub(crate) fn new(config: &Arc<Config>, early: &[u8]) -> Result<Session, Failure> {
        let connection = ServerConnection::new(config.server.clone()).map_err(Failure::Tls)?;
        let received = Received { bytes: early.to_vec(), start: 0 };
        Ok(Session { connection, config: config.clone(), received, taken: 0 })
    }

    /// Goes on with the handshake.
    pub(crate) fn handshake(&mut self, socket: BorrowedFd<'_>) -> Result<Progress<()>, Failure> {
        while self.connection.is_handshaking() {
            if !self.flush(socket)? {
                return Ok(Progress::WantWrite);
            }
            // Sending can be the last step.
            if self.connection.is_handshaking() && !self.receive(socket)? {
                return Ok(Progress::WantRead);
            }
        }
        if !self.flush(socket)? {
            return Ok(Progress::WantWrite);
        }
        self.check_peer()?;
        Ok(Progress::Done(()))
    }

    /// Reads plaintext; 0 bytes if the peer has closed the session.
    pub(crate) fn read(
        &mut self,
        socket: BorrowedFd<'_>,
        buffer: &mut [u8],
    ) -> Result<Progress<usize>, Failure> {
        loop {
            match self.connection.reader().read(buffer) {
                Ok(len) => return Ok(Progress::Done(len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(Failure::Eof);
                }
                Err(error) => return Err(Failure::Io(error)),
            }
            // Answers to the peer's key updates go out on the way, but reading does not wait for them.
            self.flush(socket)?;
            if !self.receive(socket)? {
                return Ok(Progress::WantRead);
            }
        }
    }

    /// Writes plaintext. A write that could not be done is tried again with the same bytes, or with
    /// more: what has been encrypted stays under way.
    pub(crate) fn write(
        &mut self,
        socket: BorrowedFd<'_>,
        data: &[u8],
    ) -> Result<Progress<usize>, Failure> {
        if data.len() < self.taken {
            return Err(Failure::BadRetry);
        }
        if self.taken == 0 {
            // First what rustls has to say itself: then its buffer has room.
            if !self.flush(socket)? {
                return Ok(Progress::WantWrite);
            }
            self.taken = self.connection.writer().write(&data[..data.len().min(SEND)])?;
        }
        if !self.flush(socket)? {
            return Ok(Progress::WantWrite);
        }
        Ok(Progress::Done(std::mem::take(&mut self.taken)))
    }

    /// Tells the peer that nothing more will come, if the socket takes it now.
    pub(crate) fn close(&mut self, socket: BorrowedFd<'_>) {
        if self.connection.is_handshaking() {
            return;
        }
        self.connection.send_close_notify();
        let _ = self.flush(socket);
    }

    pub(crate) fn fact(&self, fact: Fact) -> Vec<u8> {
        let peer = || self.peer();
        let text = match fact {
            Fact::Version => match self.connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
                _ => String::new(),
            },
            Fact::Cipher => self.cipher().0,
            Fact::Bits => self.cipher().1.to_string(),
            Fact::Protocol => return self.connection.alpn_protocol().unwrap_or(&[]).to_vec(),
            Fact::Certificate => return self.config.certificate.to_vec(),
            Fact::CertificateHash => Certificate::parse(&self.config.certificate)
                .and_then(|certificate| certificate.signature_hash())
                .unwrap_or("")
                .to_owned(),
            Fact::PeerCommonName => {
                let name = peer().and_then(|peer| peer.subject.common_name());
                return name.unwrap_or(&[]).to_vec();
            }
            Fact::PeerName => peer().map_or_else(String::new, |peer| peer.subject.rfc2253()),
            Fact::PeerSubject => peer().map_or_else(String::new, |peer| peer.subject.slashes()),
            Fact::PeerIssuer => peer().map_or_else(String::new, |peer| peer.issuer.slashes()),
            Fact::PeerSerial => peer().map_or_else(String::new, |peer| peer.serial()),
        };
        text.into_bytes()
    }

    fn cipher(&self) -> (String, u32) {
        match self.connection.negotiated_cipher_suite() {
            Some(suite) => ciphers::describe(suite.suite()),
            None => (String::new(), 0),
        }
    }

    /// The client's certificate, which rustls has verified.
    fn peer(&self) -> Option<Certificate<'_>> {
        Certificate::parse(self.connection.peer_certificates()?.first()?)
    }

    /// A name with a NUL in it would end there for PostgreSQL, and be another one (CVE-2009-4034).
    fn check_peer(&self) -> Result<(), Failure> {
        if self.connection.peer_certificates().is_none() {
            return Ok(());
        }
        let peer =
            self.peer().ok_or(Failure::Certificate("the client's certificate is damaged"))?;
        if peer.subject.common_name().is_some_and(|name| name.contains(&0)) {
            let reason = "SSL certificate's common name contains embedded null";
            return Err(Failure::Certificate(reason));
        }
        Ok(())
    }

    /// Sends what rustls has to send; false if the socket would not take all of it.
    fn flush(&mut self, socket: BorrowedFd<'_>) -> Result<bool, Failure> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Socket(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Failure::Io(error)),
            }
        }
        Ok(true)
    }

    /// Gives rustls more of what the peer sent; false if there is nothing.
    fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<bool, Failure> {
        if self.received.is_empty() && !self.received.fill(socket)? {
            return Ok(false);
        }
        // Nothing received now means the end, which rustls is to see as such.
        let len = self.connection.read_tls(&mut self.received)?;
        if let Err(error) = self.connection.process_new_packets() {
            // The alert, as far as the socket takes it: the session is over either way.
            let _ = self.flush(socket);
            return Err(Failure::Tls(error));
        }
        if len == 0 && self.connection.is_handshaking() {
            return Err(Failure::Eof);
        }
        Ok(true)
    }
}

impl Received {
    fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Receives what there is; false if that is nothing yet. Empty afterwards means that the peer has
    /// closed the connection.
    fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        let mut buffer = std::mem::take(self).bytes;
        buffer.clear();
        buffer.reserve(RECEIVE);
        let len = retry(|| {
            // SAFETY: the spare capacity is RECEIVE bytes that may be written.
            unsafe {
                libc::recv(
                    socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast::<libc::c_void>(),
                    RECEIVE,
                    libc::MSG_DONTWAIT,
                )
            }
        });
        match len {
            Ok(len) => {
                // SAFETY: `recv` has written that many bytes.
                unsafe { buffer.set_len(len) };
                self.bytes = buffer;
                Ok(true)
            }
            // The memory is given back: most sessions of a server are idle.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = (&self.bytes[self.start..]).read(buffer)?;
        self.start += len;
        Ok(len)
    }
}

/// The sending half of a socket, without waiting.
struct Socket<'a>(BorrowedFd<'a>);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        // SAFETY: all-zero is a message without address, vectors and control data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        // An IoSlice is an iovec by its documentation; sending does not write to it.
        message.msg_iov = slices.as_ptr().cast::<libc::iovec>().cast_mut();
        message.msg_iovlen = slices.len() as _;
        // SAFETY: the slices live through the call. A peer that is gone is EPIPE, not a signal to the host.
        retry(|| unsafe {
            libc::sendmsg(self.0.as_raw_fd(), &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a system call again while a signal of the host program interrupts it.
fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(len) => return Ok(len),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}
