//! Images of new temporary databases, so that PostgreSQL is started for the first of a kind only.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use lru::LruCache;

use crate::cluster::Image;

/// Kinds that are remembered. Each keeps some megabytes.
const KINDS: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not zero");

/// All that makes one new temporary database differ from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) encoding: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) memory_limit: Option<u64>,
}

/// The image of one kind, once there is one.
type Slot = Arc<Mutex<Option<Arc<Image>>>>;

static IMAGES: LazyLock<Mutex<LruCache<Kind, Slot>>> =
    LazyLock::new(|| Mutex::new(LruCache::new(KINDS)));

/// What `start` makes of the image of this kind; if there is none yet, what `make` does, which may give
/// one. Of threads that need the same kind at once one makes it, and the others wait.
pub(crate) fn start_or_make<T, E>(
    kind: Kind,
    start: impl FnOnce(&Image) -> Result<T, E>,
    make: impl FnOnce() -> Result<(T, Option<Image>), E>,
) -> Result<T, E> {
    let slot = {
        let mut images = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
        images.get_or_insert(kind, Slot::default).clone()
    };
    let mut made = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(image) = made.clone() {
        drop(made);
        return start(&image);
    }
    let (result, image) = make()?;
    *made = image.map(Arc::new);
    Ok(result)
}
