//! Processes that are only images so far, and how they get memory and a thread.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{ProcessImage, Retire, no_window};
use crate::kernel::Kernel;
use crate::kernel::descriptor::Descriptors;
use crate::kernel::linker::Linker;
use crate::kernel::process::{self, Context, Process};

/// How often a postmaster that waits for its session looks whether the cluster ends.
const SHARE_PAUSE: Duration = Duration::from_millis(10);

/// A process that is only an image so far.
#[derive(Debug)]
pub(in crate::kernel) struct Dormant {
    pub(super) kernel: Weak<Kernel>,
    pub(super) process: Weak<Process>,
    pub(super) descriptors: Descriptors,
    #[cfg(feature = "tls")]
    pub(super) tls: crate::kernel::tls::ProcessTls,
    pub(super) image: Arc<ProcessImage>,
    /// The process that has the window.
    pub(super) session: i32,
}

impl Dormant {
    /// What a process that has run goes on from. Its descriptors are taken from it.
    pub(in crate::kernel) fn of(context: &mut Context, retire: Retire) -> Dormant {
        Dormant {
            kernel: Arc::downgrade(&context.kernel),
            process: Arc::downgrade(&context.process),
            descriptors: std::mem::take(&mut context.descriptors),
            #[cfg(feature = "tls")]
            tls: context.tls.clone(),
            image: retire.image,
            session: retire.session,
        }
    }

    pub(in crate::kernel) fn image(&self) -> Arc<ProcessImage> {
        self.image.clone()
    }

    /// Gives it memory and a thread. The window has to be shared before: by the thread of the session,
    /// which may be the one that calls this, so the new thread waits for it.
    pub(in crate::kernel) fn start(self) {
        let (Some(kernel), Some(process)) = (self.kernel.upgrade(), self.process.upgrade()) else {
            return;
        };
        let (context_kernel, context_process) = (kernel.clone(), process.clone());
        process::start_copy_later(kernel, process, move || {
            let (kernel, process) = (context_kernel, context_process);
            let window = kernel.window.get().ok_or_else(no_window)?;
            let image = &self.image;
            if !window.is_shared()
                && let Some(session) = kernel.processes.get(self.session)
            {
                session.ask_to_share_window();
            }
            // While the session makes it.
            let region = image.memory()?;
            // It may be in the middle of a long computation.
            while !window.wait_shared(SHARE_PAUSE) {
                if kernel.ending.load(Ordering::Relaxed) {
                    return Err(io::Error::other("the cluster ends"));
                }
            }
            window.map_into(&region)?;
            let context = Context {
                #[cfg(feature = "tls")]
                tls: self.tls,
                linker: Linker::of_copy(image.loads.clone()),
                ..Context::new(&kernel, process, region, self.descriptors)
            };
            Ok((context, image.globals.clone(), image.memory.base()))
        });
    }
}
