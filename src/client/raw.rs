//! Raw protocol messages in and out.

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::backend::Message;

use super::session::{Pending, Session};
use super::wire::WireError;
use crate::error::{DbError, Error, Severity};

/// A message of the client, and where it ends in the bytes it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    tag: u8,
    end: usize,
}

impl Session {
    /// Sends raw messages of PostgreSQL's frontend/backend protocol, version 3, and returns all
    /// that the backend answers, up to the last ReadyForQuery: for drivers that speak the protocol
    /// themselves.
    ///
    /// `messages` holds one or more whole messages of the client, without those of the start-up
    /// phase. Extended-protocol messages (Parse, Bind, ...) must end with a Sync. The answer to a
    /// `COPY ... FROM STDIN` ends with its CopyInResponse if `messages` holds no data for it; the
    /// next calls then bring the data.
    ///
    /// Errors of statements are in the bytes returned. The session keeps track of what passes:
    /// [`transaction_status`](Session::transaction_status), [`parameter`](Session::parameter) and
    /// the rest stay true. Notices and notifications that arrive meanwhile are in the bytes only.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if the bytes are not such messages: nothing was sent then. If the backend
    /// ends without a word, [`Error::Connection`]; if it says why, the bytes have it, and the
    /// session [is closed](Session::is_closed).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// let answer = db.exec_protocol_raw(b"Q\0\0\0\x0dSELECT 1\0")?;
    /// assert_eq!(answer[0], b'T'); // RowDescription
    /// assert!(answer.ends_with(b"Z\0\0\0\x05I")); // ReadyForQuery
    /// # Ok(())
    /// # }
    /// ```
    pub fn exec_protocol_raw(&mut self, messages: &[u8]) -> Result<Vec<u8>, Error> {
        let parts = split(messages).map_err(Error::usage)?;
        let continues = matches!(self.pending, Pending::CopyIn { .. })
            && parts.first().is_some_and(|part| is_copy(part.tag) || part.tag == b'S');
        if self.is_closed() || !continues {
            self.settle()?;
        }
        let mut answer = Vec::new();
        let mut start = 0;
        let mut copy_ended = false;
        for (index, part) in parts.iter().enumerate() {
            let copying = match self.pending {
                Pending::CopyIn { extended } => Some(extended),
                _ => None,
            };
            copy_ended |= matches!(part.tag, b'c' | b'f');
            let complete = match (part.tag, copying) {
                // COPY data after its COPY has failed: the backend would ignore it.
                (b'd' | b'c' | b'f', None) if start == begin_of(&parts, index) => {
                    start = part.end;
                    false
                }
                (b'Q' | b'F' | b'X', _) => true,
                (b'c' | b'f', Some(false)) => true,
                // While COPY data flows, Sync is ignored.
                (b'S', Some(_)) => copy_ended,
                (b'S', None) => true,
                _ => false,
            };
            if !complete {
                continue;
            }
            self.send_raw(&messages[start..part.end])?;
            start = part.end;
            let ends = std::mem::take(&mut copy_ended);
            if part.tag == b'X' {
                self.read_last_words(&mut answer);
                return Ok(answer);
            }
            self.pending = Pending::Ready { extended: part.tag == b'S' };
            self.read_raw_reply(&mut answer, ends)?;
            if self.is_closed() {
                return Ok(answer);
            }
        }
        if start < messages.len() {
            // COPY data that is to be continued.
            self.send_raw(&messages[start..])?;
            self.wire.absorb().map_err(|error| self.broken(error))?;
            while let Some(frame) = self.wire.buffered_raw_frame().map_err(|e| self.broken(e))? {
                self.note_raw(&frame)?;
                answer.extend_from_slice(&frame);
            }
        }
        Ok(answer)
    }

    fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.wire.send(bytes).map_err(|error| self.broken(error))
    }

    /// Reads to ReadyForQuery, or to where the backend waits for COPY data that is not yet sent.
    fn read_raw_reply(&mut self, answer: &mut Vec<u8>, copy_data_sent: bool) -> Result<(), Error> {
        loop {
            let frame = match self.wire.read_raw_frame() {
                Ok(frame) => frame,
                Err(error) => return Err(self.broken(error)),
            };
            answer.extend_from_slice(&frame);
            self.note_raw(&frame)?;
            if self.is_closed() || self.pending == Pending::Idle {
                return Ok(());
            }
            if frame[0] == b'G' {
                let extended = matches!(self.pending, Pending::Ready { extended: true });
                if !(extended && copy_data_sent) {
                    self.pending = Pending::CopyIn { extended };
                    return Ok(());
                }
            }
        }
    }

    /// Keeps the session's own state in step with a message that passes by.
    fn note_raw(&mut self, frame: &Bytes) -> Result<(), Error> {
        if !matches!(frame[0], b'Z' | b'C' | b'S' | b'E') {
            return Ok(());
        }
        let parsed = Message::parse(&mut BytesMut::from(&frame[..]));
        match parsed.map_err(|error| self.malformed(&error))? {
            Some(Message::ReadyForQuery(body)) => self.ready(body.status())?,
            Some(Message::CommandComplete(body)) => {
                if let Ok(tag) = body.tag() {
                    self.command_completed(tag);
                }
            }
            Some(Message::ParameterStatus(body)) => {
                if let (Ok(name), Ok(value)) = (body.name(), body.value()) {
                    self.set_parameter(name, value);
                }
            }
            Some(Message::ErrorResponse(body)) => {
                let error = DbError::from_fields(body.fields());
                if error.parsed_severity().is_some_and(Severity::ends_session) {
                    self.ended(error);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// After Terminate: whatever still comes.
    fn read_last_words(&mut self, answer: &mut Vec<u8>) {
        while let Ok(frame) = self.wire.read_raw_frame() {
            answer.extend_from_slice(&frame);
        }
        self.broken(WireError::Eof);
    }
}

fn is_copy(tag: u8) -> bool {
    matches!(tag, b'd' | b'c' | b'f')
}

fn begin_of(parts: &[Part], index: usize) -> usize {
    if index == 0 { 0 } else { parts[index - 1].end }
}

/// Finds the messages, and checks that the backend will answer them in a way that can be waited
/// for.
fn split(bytes: &[u8]) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    let mut unsynced = false;
    while let [tag, a, b, c, d, ..] = *rest {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length < 4 || length >= rest.len() {
            return Err(format!(
                "message '{}' claims a length of {length} bytes, and {} follow its tag",
                char::from(tag).escape_default(),
                rest.len() - 1
            ));
        }
        match tag {
            b'P' | b'B' | b'D' | b'E' | b'C' | b'H' => unsynced = true,
            b'S' => unsynced = false,
            b'Q' | b'F' if unsynced => {
                return Err("a Query or FunctionCall needs a Sync between it and \
                            extended-protocol messages before it"
                    .to_owned());
            }
            b'Q' | b'F' | b'X' | b'd' | b'c' | b'f' => {}
            _ => {
                return Err(format!(
                    "'{}' is not a message that a client sends in a session",
                    char::from(tag).escape_default()
                ));
            }
        }
        rest = &rest[length + 1..];
        parts.push(Part { tag, end: bytes.len() - rest.len() });
        if tag == b'X' {
            break;
        }
    }
    if !rest.is_empty() {
        return Err("the bytes do not end with a whole message".to_owned());
    }
    if unsynced {
        return Err("extended-protocol messages must end with a Sync".to_owned());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn tags(tags: &[u8]) -> Vec<u8> {
        tags.iter().flat_map(|&tag| message(tag, b"x")).collect()
    }

    #[test]
    fn whole_messages() {
        assert_eq!(split(b""), Ok(vec![]));
        let parts = split(&tags(b"QPBES")).expect("good messages");
        assert_eq!(parts.len(), 5);
        assert_eq!(parts[4], Part { tag: b'S', end: 30 });
    }

    #[test]
    fn hostile_messages() {
        let cases: Vec<Vec<u8>> = vec![
            b"Q".to_vec(),
            b"Q\0\0\0".to_vec(),
            b"Q\0\0\0\x05".to_vec(),
            b"Q\0\0\0\x03x".to_vec(),
            b"Q\0\0\0\0".to_vec(),
            b"Q\xff\xff\xff\xffx".to_vec(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(),
            tags(b"PB"),
            tags(b"PBQ"),
            tags(b"PBH"),
            tags(b"XQ"),
            tags(b"p"),
        ];
        for case in cases {
            assert!(split(&case).is_err(), "{case:?}");
        }
    }
}
