//! The PostgreSQL runtime that is packed into the crate: unpacked, checked and loaded once per process.

mod cache;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmer::sys::EngineBuilder;
use wasmer::{Engine, Module};

use self::cache::{Asset, CacheDir, Unpacked};
use crate::error::AssetsError;
use crate::kernel::features::features;
use crate::kernel::fs::Tree;

/// PostgreSQL's major version, as `PG_VERSION` in a data directory has it.
pub(crate) const PG_MAJOR: &str = "17";

/// What all databases of this process start from.
pub(crate) struct Runtime {
    pub(crate) engine: Engine,
    pub(crate) module: Module,
    /// The installation tree: `/pglite` of the guest.
    pub(crate) installation: Tree,
    /// A freshly made data directory.
    pub(crate) template: Tree,
}

static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads the runtime at the first call in this process; later calls return the same, whatever
    /// cache directory they name.
    pub(crate) fn load(cache: Option<&Path>) -> Result<Arc<Runtime>, AssetsError> {
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime.clone());
        }
        let _only_one = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime.clone());
        }
        let assets = packed()?;
        let runtime = Arc::new(Runtime::load_from(&CacheDir::new(cache, &assets), &assets)?);
        Ok(RUNTIME.get_or_init(|| runtime).clone())
    }

    fn load_from(cache: &CacheDir<'_>, assets: &[Asset; 3]) -> Result<Runtime, AssetsError> {
        let [code, installation, template] = assets;
        let trees = || -> Result<(Tree, Tree), AssetsError> {
            Ok((tree(cache, installation)?, tree(cache, template)?))
        };
        // Half the work is checking hashes: the trees on one core, the code on another.
        let (module, trees) = std::thread::scope(|scope| {
            let trees =
                std::thread::Builder::new().name("pglite trees".into()).spawn_scoped(scope, trees);
            let module = load_module(cache, code);
            let trees = match trees {
                Ok(thread) => {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                }
                Err(source) => Err(AssetsError::Io { path: PathBuf::from("(thread)"), source }),
            };
            (module, trees)
        });
        let (engine, module) = module?;
        let (installation, template) = trees?;
        Ok(Runtime { engine, module, installation, template })
    }
}

fn load_module(cache: &CacheDir<'_>, code: &Asset) -> Result<(Engine, Module), AssetsError> {
    let engine: Engine = EngineBuilder::headless().set_features(Some(features())).engine().into();
    let file = cache.unpack_to_file(code)?;
    // SAFETY: the bytes are the crate's own: their hash was compared just now with the one that was
    // compiled in, and nobody but the owner of the cache can change them in between.
    #[allow(unsafe_code, reason = "loading native code; the bytes are known")]
    let module = unsafe { Module::deserialize_from_file(&engine, file.path()) };
    let module = module.map_err(|error| AssetsError::Load {
        asset: code.name.into(),
        reason: error.to_string(),
    })?;
    Ok((engine, module))
}

fn tree(cache: &CacheDir<'_>, asset: &Asset) -> Result<Tree, AssetsError> {
    let backing: Unpacked = cache.unpack(asset)?;
    Tree::from_archive(backing).map_err(|error| AssetsError::Corrupt {
        asset: asset.name.into(),
        reason: error.to_string(),
    })
}

/// The packed parts for this target: native code, installation tree, template.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn packed() -> Result<[Asset; 3], AssetsError> {
    let asset = |name, packed, hash, len| Asset { name, packed, hash, len };
    use pglite_oxide_aot_x86_64_unknown_linux_gnu as aot;
    use pglite_oxide_assets as assets;
    Ok([
        asset("postgres.elf", aot::POSTGRES.packed, aot::POSTGRES.blake3, aot::POSTGRES.len),
        asset("share.img", assets::SHARE.packed, assets::SHARE.blake3, assets::SHARE.len),
        asset(
            "template.img",
            assets::TEMPLATE.packed,
            assets::TEMPLATE.blake3,
            assets::TEMPLATE.len,
        ),
    ])
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
fn packed() -> Result<[Asset; 3], AssetsError> {
    Err(AssetsError::UnsupportedTarget {
        target: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
    })
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> AssetsError + '_ {
    move |source| AssetsError::Io { path: path.to_owned(), source }
}
