//! Names of hosts, asked of the host's resolver on a thread of its own: it may take long, and the
//! process that asks must stay within reach of signals.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use super::process::Process;

type Answer = io::Result<Vec<SocketAddr>>;

/// A question under way, or answered.
#[derive(Debug)]
pub(crate) struct Lookup {
    name: String,
    answer: Receiver<Answer>,
}

impl Lookup {
    /// Asks for the addresses of a name; the process is woken when the answer is there.
    pub(crate) fn start(name: &str, process: &Arc<Process>) -> io::Result<Lookup> {
        let (sender, answer) = sync_channel(1);
        let (question, process) = (name.to_owned(), process.clone());
        std::thread::Builder::new().name("resolver".into()).spawn(move || {
            let found = (question.as_str(), 0).to_socket_addrs().map(Iterator::collect);
            // Nobody listens any more if the process has ended.
            let _ = sender.send(found);
            process.waker.wake();
        })?;
        Ok(Lookup { name: name.to_owned(), answer })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The answer, once.
    pub(crate) fn result(&self) -> Option<Answer> {
        match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(io::Error::other("the resolver's thread has ended")))
            }
        }
    }
}
