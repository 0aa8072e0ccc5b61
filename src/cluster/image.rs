//! Images of clusters whose files are in memory, and clusters made from them.

use std::sync::{Arc, Mutex};

use crate::assets::Runtime;
use crate::client::{Session, SessionState};
use crate::error::{Error, SnapshotError, StartError};
use crate::kernel::fs::{Namespace, Tree};
use crate::kernel::{CaptureError, ClusterImage, CopyFacts, Kernel, Use};

use super::log::Log;
use super::{Access, Cluster, DATA_DIR, HostMount, WAL_DIR, identity, not_put_together};

/// The files of a cluster that are in memory.
#[derive(Debug)]
pub(super) struct MemoryFiles {
    /// `/`, with what is in no other.
    pub(super) root: Arc<Tree>,
    pub(super) data: Arc<Tree>,
    /// The log, if it is not in `data`.
    pub(super) wal: Option<Arc<Tree>>,
    /// Bytes that may be written to `data`.
    pub(super) limit: Option<u64>,
    pub(super) mounts: Vec<HostMount>,
}

impl MemoryFiles {
    /// The same files, from now on apart from these.
    fn copy(&self) -> MemoryFiles {
        MemoryFiles {
            root: Arc::new(self.root.clone_tree()),
            data: Arc::new(self.data.clone_with_capacity(self.limit)),
            wal: self.wal.as_ref().map(|wal| Arc::new(wal.clone_tree())),
            limit: self.limit,
            mounts: self.mounts.clone(),
        }
    }

    /// The guest's tree.
    pub(super) fn namespace(&self, runtime: &Runtime) -> Result<Namespace, Error> {
        let mut namespace =
            super::namespace(runtime, self.root.clone(), self.data.clone(), &self.mounts)?;
        if let Some(wal) = &self.wal {
            namespace.mount(WAL_DIR, wal.clone(), false).map_err(not_put_together)?;
        }
        Ok(namespace)
    }
}

/// Segments of the log after which a checkpoint is worth its time before an image.
const MANY_SEGMENTS: usize = 8;

/// A cluster at one moment, and the session of it that goes on in copies.
#[derive(Debug)]
pub(crate) struct Image {
    pub(super) processes: Arc<ClusterImage>,
    pub(super) files: MemoryFiles,
    pub(super) session: SessionState,
    pub(super) socket: String,
    pub(super) port: u16,
    pub(super) access: Access,
    /// Of the original.
    pub(super) prepare: bool,
}

/// In what a cluster from an image differs from the original.
#[derive(Debug, Default)]
pub(crate) struct CopyOptions<'a> {
    /// What `SHOW port` says, if not what it says in the original.
    pub(crate) port: Option<u16>,
    /// Other directories than the original's.
    pub(crate) mounts: Option<&'a [HostMount]>,
    /// Whether instances are made ahead of time, if not as in the original.
    pub(crate) prepare: Option<bool>,
}

impl Image {
    /// As whom and to what its session is connected.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }
}

impl Cluster {
    /// An image of this cluster, in which this session goes on. It and all others must be idle.
    pub(crate) fn capture(
        &self,
        session: &mut Session,
        access: &Access,
        usage: Use,
    ) -> Result<Image, Error> {
        let failed = |error| Err(Error::Snapshot(error));
        let Some(files) = &self.files else { return failed(SnapshotError::Persistent) };
        // An error in a transaction, in which nothing is to be executed.
        session.state()?;
        // A copy has a log of its own: each segment costs time at each start.
        let segments = identity::segments(self.kernel.files(), DATA_DIR)
            .map_err(|error| Error::Snapshot(SnapshotError::Io(error)))?;
        if segments.len() > MANY_SEGMENTS {
            // Not everybody may ask for a checkpoint.
            let _ = session.exec("CHECKPOINT");
        }
        drop(segments);
        if usage == Use::ManyTimes {
            // The first statement after others does what they have left to do: it hears of all that they
            // have changed in the catalogues. Not once for each copy.
            let _ = session.exec("SELECT 1");
        }
        let state = session.state()?;
        let captured =
            self.kernel.capture(&self.postmaster, session.backend_pid(), usage, || files.copy());
        match captured {
            Ok((processes, files)) => Ok(Image {
                processes: Arc::new(processes),
                files,
                session: state,
                socket: self.socket.clone(),
                port: self.port,
                access: access.clone(),
                prepare: self.prepare,
            }),
            Err(CaptureError::Busy(pids)) => failed(SnapshotError::Busy { pids }),
            Err(CaptureError::Io(error)) => failed(SnapshotError::Io(error)),
            Err(CaptureError::Ended) => {
                Err(Error::Closed { cause: self.log.first_fatal().map(Box::new) })
            }
        }
    }

    /// A cluster that begins where the image was taken, and its session.
    pub(crate) fn from_image(
        runtime: &Runtime,
        image: &Image,
        options: &CopyOptions<'_>,
    ) -> Result<(Arc<Cluster>, Session), Error> {
        let failed =
            |error| Error::Start(StartError::new("the image cannot be started").with_source(error));
        let mut files = image.files.copy();
        if let Some(mounts) = options.mounts {
            files.mounts = mounts.to_vec();
        }
        let namespace = Arc::new(files.namespace(runtime)?);
        let system_identifier = identity::new_identifier();
        identity::renew(namespace.as_ref(), DATA_DIR, system_identifier).map_err(failed)?;
        let mut key = [0u8; 4];
        getrandom::fill(&mut key).map_err(|error| failed(std::io::Error::other(error)))?;
        let cancel_key = i32::from_le_bytes(key);
        let log = Log::new(files.limit);
        let sink = log.clone();
        let restored = Kernel::restore(
            runtime.code(),
            namespace,
            super::environment(),
            &image.processes,
            Box::new(move |line| sink.push(line)),
            CopyFacts {
                session: image.session.backend_pid(),
                cancel_key,
                system_identifier,
                port: options.port,
            },
        )
        .map_err(failed)?;
        let port = options.port.unwrap_or(image.port);
        let socket = super::socket_of(port);
        if socket != image.socket {
            // For those who connect to their own cluster by its port.
            restored.kernel.alias(socket, image.socket.clone());
        }
        let cluster = Arc::new(Cluster {
            kernel: restored.kernel,
            postmaster: restored.postmaster,
            socket: image.socket.clone(),
            port,
            log,
            lock: Mutex::new(None),
            is_new: true,
            files: Some(files),
            prepare: options.prepare.unwrap_or(image.prepare),
        });
        if cluster.prepare {
            cluster.kernel.prepare();
        }
        let session =
            Session::resume(restored.stream, &image.session, cancel_key, cluster.canceller())?;
        Ok((cluster, session))
    }
}
