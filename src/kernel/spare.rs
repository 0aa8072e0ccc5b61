//! Copies of a window's contents that are made ahead of time.
//!
//! A window that is to be shared is copied to a file: 9 MB, half of what the first connection to a server takes that was
//! made from an image. Whoever makes one such server may make another from the same image, as tests do. So each copy
//! that is used up is followed by another, made in the background when that server's client is served, and
//! given up again if nobody wants it.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::image::Base;
use super::shared_file;

/// The server for which the last one was used has the processors to itself so long.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a copy waits for who wants it.
const PATIENCE: Duration = Duration::from_secs(5);

/// At most one copy of what a base has of a window.
#[derive(Debug, Default)]
pub(super) struct Spare {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    copy: Option<File>,
    has_maker: bool,
    /// Since the maker looked last.
    is_used: bool,
}

impl Spare {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy, if there is one. There will be another.
    pub(super) fn take(base: &Arc<Base>, range: &Range<usize>) -> Option<File> {
        let mut state = base.spare.lock();
        state.is_used = true;
        if state.has_maker {
            base.spare.changed.notify_one();
        } else {
            let (base, range) = (base.clone(), range.clone());
            let spawned = std::thread::Builder::new()
                .name("pglite window".into())
                .stack_size(1 << 20)
                .spawn(move || make(&base, &range));
            // Without it, all is as before but slower.
            state.has_maker = spawned.is_ok();
        }
        state.copy.take()
    }
}

/// The body of the thread that makes copies.
fn make(base: &Base, range: &Range<usize>) {
    let spare = &base.spare;
    let mut state = spare.lock();
    while std::mem::take(&mut state.is_used) {
        if state.copy.is_none() {
            drop(state);
            std::thread::sleep(PAUSE);
            let copy = copy(base, range);
            state = spare.lock();
            // Without a copy, who needs one makes it, and hears of the error.
            state.copy = copy.ok();
        }
        let waited = spare.changed.wait_timeout_while(state, PATIENCE, |state| !state.is_used);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    *state = State::default();
}

fn copy(base: &Base, range: &Range<usize>) -> std::io::Result<File> {
    let file = File::from(shared_file::create("pglite-window", range.len())?);
    base.copy_to(range, &file)?;
    Ok(file)
}
