//! Images of new temporary databases, so that PostgreSQL is started for the first ones of a kind only.

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

/// What there is of one kind.
#[derive(Debug, Default)]
enum Slot {
    #[default]
    Nothing,
    /// One was started. If there is a second, there will be more, and only then an image is worth its time.
    Seen,
    Image(Arc<Image>),
}

type Slots = LruCache<Kind, Arc<Mutex<Slot>>>;

static SLOTS: LazyLock<Mutex<Slots>> = LazyLock::new(|| Mutex::new(LruCache::new(KINDS)));

/// What `start` makes of the image of this kind; if there is none yet, what `make` does, which is asked for
/// an image as well at the second time. Of threads that need the same kind at once one makes the image, and
/// the others wait.
pub(crate) fn start_or_make<T, E>(
    kind: Kind,
    start: impl FnOnce(&Image) -> Result<T, E>,
    make: impl FnOnce(bool) -> Result<(T, Option<Image>), E>,
) -> Result<T, E> {
    let slot = {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get_or_insert(kind, Arc::default).clone()
    };
    let mut found = slot.lock().unwrap_or_else(PoisonError::into_inner);
    match &*found {
        Slot::Nothing => {
            *found = Slot::Seen;
            drop(found);
            Ok(make(false)?.0)
        }
        Slot::Seen => {
            let (result, image) = make(true)?;
            if let Some(image) = image {
                *found = Slot::Image(Arc::new(image));
            }
            Ok(result)
        }
        Slot::Image(image) => {
            let image = image.clone();
            drop(found);
            start(&image)
        }
    }
}
