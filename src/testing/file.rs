//! Snapshots as files.

use super::store::Format;
use crate::snapshot::Snapshot;

pub(super) const FORMAT: Option<Format<Snapshot>> =
    Some(Format { save: |snapshot, path| snapshot.save(path), load: |path| Snapshot::load(path) });
