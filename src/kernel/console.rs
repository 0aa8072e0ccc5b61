//! Where standard output and error of a cluster's processes go: split into lines.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Receives whole lines, without their line ends.
pub(crate) type LineSink = Box<dyn Fn(&str) + Send + Sync>;

pub(crate) struct Console {
    sink: LineSink,
    partial: Mutex<Vec<u8>>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

impl Console {
    pub(crate) fn new(sink: LineSink) -> Console {
        Console { sink, partial: Mutex::default() }
    }

    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        partial.extend_from_slice(bytes);
        while let Some(end) = partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = partial.drain(..=end).collect();
            (self.sink)(&String::from_utf8_lossy(&line[..end]));
        }
    }
}
