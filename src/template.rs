//! Images of new temporary databases, so that PostgreSQL is started for the first ones of a kind only, and
//! for those without any option not at all: their image is packed into the crate.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use lru::LruCache;

use crate::assets::{self, CacheDir};
use crate::cluster::{Image, Unusable};
use crate::error::AssetsError;

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
    pub(crate) extension_dirs: Vec<PathBuf>,
    pub(crate) memory_limit: Option<u64>,
    /// Clients from outside of this program need one.
    pub(crate) password: bool,
}

impl Kind {
    /// Whether its clusters start like those without any option; what is in them may differ.
    pub(crate) fn is_plain(&self) -> bool {
        self.settings.is_empty() && self.memory_limit.is_none() && !self.password
    }
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

/// The image that is packed into the crate: of a cluster without any settings, whose session is the
/// superuser's on the default database. None if it cannot be used, which only costs time.
pub(crate) fn shipped(cache: &CacheDir) -> Option<Arc<Image>> {
    static SHIPPED: OnceLock<Option<Arc<Image>>> = OnceLock::new();
    let image = SHIPPED.get_or_init(|| {
        let image = load_shipped(cache).unwrap_or_else(|reason| {
            tracing::warn!(
                "the packed image of a new database cannot be used, so PostgreSQL is started each time: {reason}"
            );
            None
        });
        image.map(Arc::new)
    });
    image.clone()
}

fn load_shipped(cache: &CacheDir) -> Result<Option<Image>, String> {
    let message = |error: AssetsError| error.to_string();
    let Some(bytes) = assets::image(cache).map_err(message)? else { return Ok(None) };
    // The hash of the whole file was compared when it was unpacked or mapped.
    let image = Image::load(bytes, &assets::identity().map_err(message)?, true);
    image.map(Some).map_err(|unusable| match unusable {
        Unusable::Io(error) => error.to_string(),
        other => format!("{other:?}"),
    })
}
