//! Bytes in and out: framing, buffering and the two ways a socket can block.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::backend::Message;

/// The size of a piece of the read buffer. One zeroing and one allocation per this many bytes.
const CHUNK: usize = 64 * 1024;

/// Below this, reading into the rest of the buffer is not worth the system call.
const MIN_READ: usize = 8 * 1024;

/// The longest frame PostgreSQL can make: it builds messages in buffers of less than 1 GiB.
const MAX_FRAME: usize = 1 << 30;

/// An output buffer that grew beyond this is given back after sending.
const KEEP_OUTPUT: usize = 1 << 20;

/// How long a write may block before we look whether the backend is blocked on us, too.
///
/// A backend that sends notices while we send COPY data could otherwise wait for us to read while
/// we wait for it to read, for ever.
const STALL: Duration = Duration::from_millis(5);

/// A message of the backend. Rows and COPY data, the frequent ones, stay undecoded.
pub(super) enum Frame {
    DataRow(Bytes),
    CopyData(Bytes),
    Other(Message),
}

#[derive(Debug)]
pub(super) enum WireError {
    Eof,
    Io(io::Error),
    Protocol(String),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> WireError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => WireError::Eof,
            _ => WireError::Io(error),
        }
    }
}

pub(super) struct Wire {
    stream: UnixStream,
    /// Initialised all over, so that reading into it needs no `unsafe`; the first `filled` bytes
    /// hold data. Frames are split off its front without copying.
    input: BytesMut,
    filled: usize,
    /// What the next [`flush`](Wire::flush) sends.
    pub(super) output: BytesMut,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> io::Result<Wire> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(Some(STALL))?;
        Ok(Wire { stream, input: BytesMut::new(), filled: 0, output: BytesMut::new() })
    }

    /// Waits for the next message.
    pub(super) fn read_frame(&mut self) -> Result<Frame, WireError> {
        loop {
            if let Some(frame) = self.buffered_frame()? {
                return Ok(frame);
            }
            self.fill()?;
        }
    }

    /// The next message, if it has arrived as a whole.
    pub(super) fn buffered_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let Some((tag, total)) = frame_header(&self.input[..self.filled])? else {
            return Ok(None);
        };
        if self.filled < total {
            return Ok(None);
        }
        self.filled -= total;
        if tag == b'D' || tag == b'd' {
            let mut body = self.input.split_to(total).freeze();
            body.advance(5);
            return Ok(Some(if tag == b'D' {
                Frame::DataRow(body)
            } else {
                Frame::CopyData(body)
            }));
        }
        match Message::parse(&mut self.input) {
            Ok(Some(message)) => Ok(Some(Frame::Other(message))),
            Ok(None) => Err(WireError::Protocol("incomplete message".to_owned())),
            Err(error) => Err(WireError::Protocol(error.to_string())),
        }
    }

    /// Waits for the next message and returns its bytes, header included.
    pub(super) fn read_raw_frame(&mut self) -> Result<Bytes, WireError> {
        loop {
            if let Some(frame) = self.buffered_raw_frame()? {
                return Ok(frame);
            }
            self.fill()?;
        }
    }

    pub(super) fn buffered_raw_frame(&mut self) -> Result<Option<Bytes>, WireError> {
        match frame_header(&self.input[..self.filled])? {
            Some((_, total)) if total <= self.filled => {
                self.filled -= total;
                Ok(Some(self.input.split_to(total).freeze()))
            }
            _ => Ok(None),
        }
    }

    /// Reads once, blocking.
    fn fill(&mut self) -> Result<(), WireError> {
        self.make_room()?;
        loop {
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(WireError::Eof),
                Ok(n) => {
                    self.filled += n;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes room for the rest of the frame that is arriving, or for at least [`MIN_READ`] bytes.
    fn make_room(&mut self) -> Result<(), WireError> {
        let frame = frame_header(&self.input[..self.filled])?.map_or(0, |(_, total)| total);
        let need = frame.max(self.filled + MIN_READ);
        if self.input.len() < need {
            // Doubled when whole frames are piling up unread, or each piece would copy them all.
            let piled = if frame <= self.filled { self.filled * 2 } else { 0 };
            // Zeroed by the allocator: for a big frame the system hands out zero pages lazily, so
            // a frame that lies about its length costs address space only.
            let mut input = BytesMut::zeroed(need.max(CHUNK).max(piled));
            input[..self.filled].copy_from_slice(&self.input[..self.filled]);
            self.input = input;
        }
        Ok(())
    }

    /// Reads what has arrived, without waiting. `Ok(false)`: the backend closed its end.
    pub(super) fn absorb(&mut self) -> Result<bool, WireError> {
        self.stream.set_nonblocking(true)?;
        let mut outcome = Ok(());
        while outcome.is_ok() {
            outcome = self.fill();
        }
        self.stream.set_nonblocking(false)?;
        match outcome {
            Err(WireError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(WireError::Eof) => Ok(false),
            Err(error) => Err(error),
            Ok(()) => Ok(true),
        }
    }

    /// Waits until something arrives, at most for `timeout` (which is not zero). Whether it did.
    pub(super) fn wait(&mut self, timeout: Duration) -> Result<bool, WireError> {
        self.stream.set_read_timeout(Some(timeout))?;
        let outcome = self.fill();
        self.stream.set_read_timeout(None)?;
        match outcome {
            Ok(()) => Ok(true),
            Err(WireError::Io(error))
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends the output buffer and empties it.
    pub(super) fn flush(&mut self) -> Result<(), WireError> {
        let mut output = std::mem::take(&mut self.output);
        let outcome = self.send(&output);
        output.clear();
        if output.capacity() <= KEEP_OUTPUT {
            self.output = output;
        }
        outcome
    }

    /// Sends `bytes`, reading meanwhile if the backend waits for that.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(WireError::Eof),
                Ok(n) if n == bytes.len() => break,
                // A blocking socket takes less than everything only when the time is up.
                Ok(n) => {
                    bytes = &bytes[n..];
                    self.absorb()?;
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    // When the backend has gone, the next write says so.
                    self.absorb()?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends a last message, if that is possible without waiting long, and ends the stream.
    pub(super) fn send_last(&mut self) {
        // Without the message the end of the stream still tells the backend to go.
        let _ = self.stream.write(&self.output);
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads until the backend closes its end, at most for `timeout`.
    pub(super) fn drain_until_closed(&mut self, timeout: Duration) {
        let end = std::time::Instant::now() + timeout;
        loop {
            self.filled = 0;
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() || !matches!(self.wait(left), Ok(true)) {
                return;
            }
        }
    }
}

/// Tag and total length (tag and length included) of the frame at the front of `buf`, if its header
/// is complete.
fn frame_header(buf: &[u8]) -> Result<Option<(u8, usize)>, WireError> {
    let [tag, a, b, c, d, ..] = *buf else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(4..=MAX_FRAME).contains(&length) {
        return Err(WireError::Protocol(format!(
            "message '{}' claims a length of {length} bytes",
            char::from(tag).escape_default()
        )));
    }
    Ok(Some((tag, length + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Wire, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        (Wire::new(ours).expect("socket options"), theirs)
    }

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn headers() {
        assert!(matches!(frame_header(b"Z\0\0\0"), Ok(None)));
        assert!(matches!(frame_header(b"Z\0\0\0\x05I"), Ok(Some((b'Z', 6)))));
        for length in [0u32, 3, (1 << 30) + 1, i32::MAX as u32, u32::MAX] {
            let mut bytes = vec![b'D'];
            bytes.extend_from_slice(&length.to_be_bytes());
            assert!(matches!(frame_header(&bytes), Err(WireError::Protocol(_))), "{length}");
        }
    }

    #[test]
    fn frames_cut_anywhere() {
        let mut bytes = frame(b'D', &[0, 1, 0, 0, 0, 2, b'h', b'i']);
        bytes.extend(frame(b'd', b"copy"));
        bytes.extend(frame(b'Z', b"I"));
        for cut in 0..bytes.len() {
            let (mut wire, mut theirs) = pair();
            theirs.write_all(&bytes[..cut]).expect("write");
            wire.absorb().expect("read");
            let mut frames = Vec::new();
            while let Some(frame) = wire.buffered_frame().expect("frame") {
                frames.push(frame);
            }
            theirs.write_all(&bytes[cut..]).expect("write");
            while frames.len() < 3 {
                frames.push(wire.read_frame().expect("frame"));
            }
            assert!(matches!(&frames[0], Frame::DataRow(body) if body.ends_with(b"hi")));
            assert!(matches!(&frames[1], Frame::CopyData(body) if &body[..] == b"copy"));
            assert!(matches!(&frames[2], Frame::Other(Message::ReadyForQuery(_))));
        }
    }

    #[test]
    fn hostile_frames_are_errors_not_panics() {
        let cases: [&[u8]; 8] = [
            b"?\0\0\0\x04",
            b"Z\0\0\0\x04",
            b"Z\0\0\0\x06II",
            b"K\0\0\0\x05\0",
            b"R\0\0\0\x08\0\0\0\x63",
            b"A\0\0\0\x09\0\0\0\x01x",
            b"S\0\0\0\x06ab",
            b"T\0\0\0\x04",
        ];
        for case in cases {
            let (mut wire, mut theirs) = pair();
            theirs.write_all(case).expect("write");
            assert!(matches!(wire.read_frame(), Err(WireError::Protocol(_))), "{case:?}");
        }
    }

    #[test]
    fn end_of_file_inside_a_frame() {
        let (mut wire, mut theirs) = pair();
        theirs.write_all(b"D\0\0\x01\0abc").expect("write");
        drop(theirs);
        assert!(matches!(wire.read_frame(), Err(WireError::Eof)));
    }

    #[test]
    fn both_sides_writing_do_not_deadlock() {
        let (mut wire, mut theirs) = pair();
        let big = frame(b'd', &vec![7; 4 << 20]);
        let answer = big.clone();
        let backend = std::thread::spawn(move || {
            theirs.write_all(&answer).expect("write");
            let mut got = vec![0; answer.len()];
            theirs.read_exact(&mut got).expect("read");
            assert!(got == answer);
        });
        wire.send(&big).expect("send");
        assert!(matches!(wire.read_frame(), Ok(Frame::CopyData(body)) if body.len() == 4 << 20));
        backend.join().expect("the backend side");
    }
}
