//! A client by hand: rustls under PostgreSQL's protocol, so that a test decides on each step.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::message::backend::{ErrorFields, Message};
use postgres_protocol::message::frontend;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::PATIENCE;

pub(super) const PROTOCOL: &[u8] = b"postgresql";

pub(super) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// How a client asks for TLS.
#[derive(Clone)]
pub(super) struct Offer {
    /// What it trusts, PEM.
    pub(super) root: String,
    /// Whom it expects.
    pub(super) name: &'static str,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    pub(super) protocols: Vec<Vec<u8>>,
    /// Its own certificate and key, PEM.
    pub(super) certificate: Option<(String, String)>,
}

impl Offer {
    pub(super) fn trusting(root: &str) -> Offer {
        Offer {
            root: root.to_owned(),
            name: "localhost",
            versions: rustls::ALL_VERSIONS.to_vec(),
            protocols: vec![PROTOCOL.to_vec()],
            certificate: None,
        }
    }

    pub(super) fn with_certificate(&self, certificate: (String, String)) -> Offer {
        Offer { certificate: Some(certificate), ..self.clone() }
    }

    fn connection(&self) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = self.protocols.clone();
        ClientConnection::new(Arc::new(config), ServerName::try_from(self.name).unwrap()).unwrap()
    }

    /// TLS by request: `sslnegotiation=postgres`.
    pub(super) fn negotiate(&self, address: SocketAddr) -> io::Result<TlsStream> {
        let mut socket = tcp(address)?;
        assert_eq!(request_tls(&mut socket)?, b'S');
        self.handshake(socket)
    }

    /// TLS from the first byte: `sslnegotiation=direct`.
    pub(super) fn direct(&self, address: SocketAddr) -> io::Result<TlsStream> {
        self.handshake(tcp(address)?)
    }

    pub(super) fn handshake(&self, mut socket: TcpStream) -> io::Result<TlsStream> {
        let mut connection = self.connection();
        while connection.is_handshaking() || connection.wants_write() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }

    /// A session as `postgres`, without a password.
    pub(super) fn connect(&self, address: SocketAddr) -> io::Result<Client<TlsStream>> {
        Client::log_in(self.negotiate(address)?, "postgres")
    }
}

pub(super) fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Sends SSLRequest; the server's answer is one byte.
pub(super) fn request_tls(socket: &mut (impl Read + Write)) -> io::Result<u8> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request)?;
    let mut answer = [0];
    socket.read_exact(&mut answer)?;
    Ok(answer[0])
}

/// A session over any stream.
pub(super) struct Client<S> {
    pub(super) stream: S,
    received: BytesMut,
}

impl<S: Read + Write> Client<S> {
    pub(super) fn log_in(stream: S, user: &str) -> io::Result<Client<S>> {
        let mut client = Client { stream, received: BytesMut::new() };
        client.start(user)?;
        client.until_ready()?;
        Ok(client)
    }

    /// Logs in with SCRAM-SHA-256-PLUS, the way of `channel_binding=require`.
    pub(super) fn log_in_bound(
        stream: S,
        user: &str,
        password: &str,
        certificate_hash: Vec<u8>,
    ) -> io::Result<Client<S>> {
        let mut client = Client { stream, received: BytesMut::new() };
        client.start(user)?;
        let Message::AuthenticationSasl(body) = client.message()? else {
            return Err(io::Error::other("no SASL"));
        };
        let mechanisms: Vec<String> =
            body.mechanisms().map(|name| Ok(name.to_owned())).collect()?;
        assert_eq!(mechanisms, ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
        let binding = ChannelBinding::tls_server_end_point(certificate_hash);
        let mut scram = ScramSha256::new(password.as_bytes(), binding);
        client.send(|out| {
            frontend::sasl_initial_response("SCRAM-SHA-256-PLUS", scram.message(), out)
        })?;
        let Message::AuthenticationSaslContinue(body) = client.message()? else {
            return Err(io::Error::other("no challenge"));
        };
        scram.update(body.data())?;
        client.send(|out| frontend::sasl_response(scram.message(), out))?;
        let Message::AuthenticationSaslFinal(body) = client.message()? else {
            return Err(io::Error::other("no proof"));
        };
        scram.finish(body.data())?;
        client.until_ready()?;
        Ok(client)
    }

    fn start(&mut self, user: &str) -> io::Result<()> {
        let parameters = [("user", user), ("database", "postgres")];
        self.send(|out| frontend::startup_message(parameters, out))
    }

    fn send(&mut self, build: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> io::Result<()> {
        let mut out = BytesMut::new();
        build(&mut out)?;
        self.stream.write_all(&out)?;
        self.stream.flush()
    }

    /// The next message; an error of the server is an error, with its SQLSTATE before its text.
    fn message(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = Message::parse(&mut self.received)? {
                let Message::ErrorResponse(body) = &message else { return Ok(message) };
                return Err(io::Error::other(describe(body.fields())));
            }
            let mut chunk = vec![0; 64 << 10];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.received.extend_from_slice(&chunk[..n]),
            }
        }
    }

    fn until_ready(&mut self) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            match self.message()? {
                Message::ReadyForQuery(_) => return Ok(messages),
                message => messages.push(message),
            }
        }
    }

    /// The rows of a query as text, columns separated by `|`.
    pub(super) fn query(&mut self, sql: &str) -> io::Result<Vec<String>> {
        self.send(|out| frontend::query(sql, out))?;
        let messages = self.until_ready()?;
        Ok(messages.iter().filter_map(row).collect())
    }

    /// Rows as they come, without keeping them.
    pub(super) fn for_each_row(
        &mut self,
        sql: &str,
        mut row_is: impl FnMut(String),
    ) -> io::Result<()> {
        self.send(|out| frontend::query(sql, out))?;
        loop {
            let message = self.message()?;
            if let Message::ReadyForQuery(_) = message {
                return Ok(());
            }
            if let Some(row) = row(&message) {
                row_is(row);
            }
        }
    }

    /// `COPY ... FROM STDIN` with these chunks.
    pub(super) fn copy_in(
        &mut self,
        sql: &str,
        chunks: impl Iterator<Item = String>,
    ) -> io::Result<()> {
        self.send(|out| frontend::query(sql, out))?;
        let Message::CopyInResponse(_) = self.message()? else {
            return Err(io::Error::other("no COPY"));
        };
        for chunk in chunks {
            self.send(|out| {
                frontend::CopyData::new(chunk.as_bytes())?.write(out);
                Ok(())
            })?;
        }
        self.send(|out| {
            frontend::copy_done(out);
            Ok(())
        })?;
        self.until_ready().map(drop)
    }
}

/// SQLSTATE and message.
fn describe(mut fields: ErrorFields<'_>) -> String {
    let (mut code, mut message) = (String::new(), String::new());
    while let Some(field) = fields.next().unwrap() {
        let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => code = value(),
            b'M' => message = value(),
            _ => {}
        }
    }
    format!("{code} {message}")
}

fn row(message: &Message) -> Option<String> {
    let Message::DataRow(body) = message else { return None };
    let columns: Vec<String> = body
        .ranges()
        .map(|range| {
            let bytes = range.map_or(&b""[..], |range| &body.buffer()[range]);
            Ok(String::from_utf8_lossy(bytes).into_owned())
        })
        .collect()
        .unwrap();
    Some(columns.join("|"))
}
