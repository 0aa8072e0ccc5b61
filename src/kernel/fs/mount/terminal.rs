//! `/dev/tty`, for tools: where they ask for a password, which is not shown while it is typed.
//!
//! The tools' termios does nothing, as WASI has none. So the echo is switched off here, from a question for a password to
//! its answer.

use std::fs::File as HostFile;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::kernel::errno::Errno;
use crate::kernel::fs::{DirEntry, File, FileKind, FileSystem, FsResult, Metadata, OpenOptions};

const PATH: &str = "/dev/tty";

/// What libpq's programs ask with when the answer is a secret: `Password: `, `Password for user x: `, `Enter new password
/// for user "x": ` and then `Enter it again: `.
const SECRETS: [&str; 2] = ["assword", "Enter it again: "];

/// Ctrl-C.
const INTERRUPT: u8 = 3;

/// The terminal of this process; a file system that is this one file.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    question: Arc<Mutex<Question>>,
}

/// A question and its answer go through two open files.
#[derive(Debug, Default)]
struct Question {
    /// What was written since the last answer.
    text: Vec<u8>,
    hidden: Option<Hidden>,
}

#[derive(Debug)]
struct Handle {
    file: HostFile,
    question: Arc<Mutex<Question>>,
}

fn is_secret(question: &[u8]) -> bool {
    let question = String::from_utf8_lossy(question);
    SECRETS.iter().any(|secret| question.contains(secret))
}

/// The terminal shows nothing of what is typed as long as this lives.
struct Hidden {
    terminal: HostFile,
    before: libc::termios,
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

impl Hidden {
    /// None if it is no terminal after all.
    fn begin(terminal: &HostFile) -> Option<Hidden> {
        let terminal = terminal.try_clone().ok()?;
        let mut before = MaybeUninit::uninit();
        // SAFETY: the pointer is to room for one such structure, which is complete if the call succeeds.
        let before = unsafe {
            if libc::tcgetattr(terminal.as_raw_fd(), before.as_mut_ptr()) != 0 {
                return None;
            }
            before.assume_init()
        };
        let mut silent = before;
        // Ctrl-C ends the line and not the process, as that would leave the terminal silent.
        silent.c_lflag &= !(libc::ECHO | libc::ISIG);
        silent.c_cc[libc::VEOL] = INTERRUPT;
        // SAFETY: the pointer is to a whole structure, which is only read.
        let set = unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSAFLUSH, &silent) };
        (set == 0).then_some(Hidden { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // SAFETY: as above. If the terminal has gone there is nothing to be shown.
        unsafe { libc::tcsetattr(self.terminal.as_raw_fd(), libc::TCSANOW, &self.before) };
    }
}

impl Handle {
    fn question(&self) -> MutexGuard<'_, Question> {
        self.question.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is typed after a question for a password is hidden before the question is seen.
    fn write(&self, bytes: &[u8]) -> FsResult<usize> {
        let mut question = self.question();
        question.text.extend_from_slice(bytes);
        if question.hidden.is_none() && is_secret(&question.text) {
            question.hidden = Hidden::begin(&self.file);
        }
        drop(question);
        (&self.file).write_all(bytes)?;
        Ok(bytes.len())
    }

    fn read(&self, buffer: &mut [u8]) -> FsResult<usize> {
        let read = (&self.file).read(buffer);
        let Question { hidden, .. } = std::mem::take(&mut *self.question());
        let Some(hidden) = hidden else { return Ok(read?) };
        // The end of the line was not shown either: the tool writes one.
        drop(hidden);
        let read = read?;
        if buffer[..read].last() == Some(&INTERRUPT) {
            // SAFETY: raises a signal in this process; it has no other precondition.
            unsafe { libc::raise(libc::SIGINT) };
            // The host program has a handler of its own, and goes on.
            return Err(Errno::INTR);
        }
        Ok(read)
    }
}

fn metadata() -> Metadata {
    let [accessed, modified, changed] = [UNIX_EPOCH; 3];
    let kind = FileKind::CharacterDevice;
    Metadata { kind, len: 0, inode: 1, links: 1, accessed, modified, changed }
}

impl FileSystem for Terminal {
    fn open(&self, _path: &str, options: OpenOptions) -> FsResult<Arc<dyn File>> {
        if options.directory {
            return Err(Errno::NOTDIR);
        }
        if options.create && options.exclusive {
            return Err(Errno::EXIST);
        }
        let write = options.write || options.append;
        // Without a terminal this is an error, and the tool asks on its standard streams.
        let file = HostFile::options().read(options.read || !write).write(write).open(PATH)?;
        Ok(Arc::new(Handle { file, question: self.question.clone() }))
    }

    fn metadata(&self, _path: &str, _follow: bool) -> FsResult<Metadata> {
        Ok(metadata())
    }

    fn create_dir(&self, _path: &str) -> FsResult<()> {
        Err(Errno::EXIST)
    }

    fn remove_dir(&self, _path: &str) -> FsResult<()> {
        Err(Errno::NOTDIR)
    }

    fn remove_file(&self, _path: &str) -> FsResult<()> {
        Err(Errno::ROFS)
    }

    fn rename(&self, _from: &str, _to: &str) -> FsResult<()> {
        Err(Errno::ROFS)
    }

    fn link(&self, _from: &str, _to: &str) -> FsResult<()> {
        Err(Errno::ROFS)
    }

    fn symlink(&self, _target: &str, _path: &str) -> FsResult<()> {
        Err(Errno::EXIST)
    }

    fn read_link(&self, _path: &str) -> FsResult<String> {
        Err(Errno::INVAL)
    }
}

impl File for Handle {
    fn metadata(&self) -> FsResult<Metadata> {
        Ok(metadata())
    }

    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], _offset: u64) -> FsResult<usize> {
        // One answer at a time.
        match buffers.iter_mut().find(|buffer| !buffer.is_empty()) {
            Some(buffer) => self.read(buffer),
            None => Ok(0),
        }
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], _offset: u64) -> FsResult<usize> {
        let bytes: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        self.write(&bytes)
    }

    fn append(&self, buffers: &[IoSlice<'_>]) -> FsResult<(usize, u64)> {
        Ok((self.write_at(buffers, 0)?, 0))
    }

    fn set_len(&self, _len: u64) -> FsResult<()> {
        Err(Errno::INVAL)
    }

    fn allocate(&self, _offset: u64, _len: u64) -> FsResult<()> {
        Err(Errno::NODEV)
    }

    fn sync(&self, _data_only: bool) -> FsResult<()> {
        Err(Errno::INVAL)
    }

    fn set_modified(&self, _time: SystemTime) -> FsResult<()> {
        Ok(())
    }

    fn read_dir(&self) -> FsResult<Vec<DirEntry>> {
        Err(Errno::NOTDIR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_for_passwords_are_recognised() {
        for question in [
            "Password: ",
            "Password for user postgres: ",
            "Enter new password for user \"x\": ",
            "Enter it again: ",
        ] {
            assert!(is_secret(question.as_bytes()), "{question}");
        }
        assert!(!is_secret(b"name: "));
        assert!(!is_secret(b""));
    }
}
