//! [`Cancel`]: ends a tool from another thread.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::run::KILL_TIMEOUT;
use crate::kernel::Kernel;

/// Ends a dump, a restore or a tool while another thread waits for it.
///
/// It is given to [`Dump::cancel_with`](super::Dump::cancel_with), [`Restore::cancel_with`](super::Restore::cancel_with)
/// or [`Tool::cancel_with`](super::Tool::cancel_with), also to several of them. Clones are the same.
///
/// # Examples
///
/// ```
/// use pglite_oxide::tools::Cancel;
/// use pglite_oxide::{Error, Pglite, ToolError};
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let db = Pglite::temporary()?;
/// let cancel = Cancel::new();
/// // As another thread may do at any time, for example when a user has closed a window.
/// cancel.cancel();
/// let error = db.dump().cancel_with(&cancel).to_vec().unwrap_err();
/// assert!(matches!(error, Error::Tool(ToolError::Cancelled { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Cancel(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    cancelled: bool,
    /// Of the tools that run.
    kernels: Vec<Weak<Kernel>>,
}

impl Cancel {
    /// Nothing is cancelled yet.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Ends the tools that this was given to, and those that it is given to from now on: their calls return
    /// [`ToolError::Cancelled`](crate::ToolError::Cancelled). When this returns they have ended. Their sessions
    /// roll back, and have gone a second later.
    ///
    /// What a dump has written until then is no dump. What a restore has restored stays, unless it is a
    /// [`single_transaction`](super::Restore::single_transaction).
    pub fn cancel(&self) {
        let kernels = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.cancelled = true;
            std::mem::take(&mut state.kernels)
        };
        for kernel in kernels.iter().filter_map(Weak::upgrade) {
            kernel.kill_all(KILL_TIMEOUT);
        }
    }

    /// Whether [`cancel`](Cancel::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cancelled
    }

    /// A tool is going to start in this kernel; false if it shall not.
    pub(super) fn watch(&self, kernel: &Arc<Kernel>) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.kernels.retain(|kernel| kernel.strong_count() > 0);
        if !state.cancelled {
            state.kernels.push(Arc::downgrade(kernel));
        }
        !state.cancelled
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("is_cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}
