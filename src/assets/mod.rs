//! The PostgreSQL runtime that is packed into the crate: unpacked, checked and loaded once per process.

mod cache;
mod extensions;
mod hash;
#[cfg(feature = "tools")]
mod tools;
mod unpack;

pub(crate) use self::cache::directory as cache_directory;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmer::sys::EngineBuilder;
use wasmer::{Engine, Module};

use self::cache::{Asset, UnpackedFile};
pub(crate) use self::cache::{CacheDir, Unpacked};
pub(crate) use self::hash::hash_file;
#[cfg(feature = "tools")]
pub(crate) use self::tools::tools;
use crate::error::AssetsError;
use crate::kernel::features::features;
use crate::kernel::fs::Tree;
use crate::kernel::linker::Library;
use crate::kernel::{Code, Instances, OpenMemory};

/// PostgreSQL's major version, as `PG_VERSION` in a data directory has it.
pub(crate) const PG_MAJOR: &str = "17";

/// What all databases of this process start from.
pub(crate) struct Runtime {
    /// Of PostgreSQL.
    instances: Arc<Instances>,
    /// The installation tree: `/pglite` of the guest.
    pub(crate) installation: Tree,
    /// The modules that PostgreSQL can load; each has a file in the installation.
    pub(crate) library: Library,
    cache: Arc<CacheDir>,
    template: Arc<OnceLock<Tree>>,
}

static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads the runtime at the first call in this process; later calls return the same, whatever
    /// cache directory they name. `with_image`, if the packed image will be needed, loads it at the first
    /// call, by another thread.
    pub(crate) fn load(
        cache: Option<&Path>,
        with_image: Option<fn(&CacheDir)>,
    ) -> Result<Arc<Runtime>, AssetsError> {
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime.clone());
        }
        let _only_one = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime.clone());
        }
        let runtime = Arc::new(Runtime::load_from(cache, with_image)?);
        Ok(RUNTIME.get_or_init(|| runtime).clone())
    }

    fn load_from(
        cache: Option<&Path>,
        with_image: Option<fn(&CacheDir)>,
    ) -> Result<Runtime, AssetsError> {
        let packed = packed()?;
        let cache = Arc::new(CacheDir::new(cache, packed.all()));
        let Packed { code, memory, installation, image, .. } = packed;
        let image = image.filter(|_| with_image.is_some());
        // What the installation consists of, beside its own archive.
        let parts: Vec<Asset> = [extensions::files(), icu()].into_iter().flatten().collect();
        // The largest first, so that threads end together.
        let start = image.or(Some(memory));
        let needed = [Some(code), start, Some(installation)].into_iter().flatten();
        cache.prepare(&needed.chain(parts.iter().copied()).collect::<Vec<_>>());
        // Processes that are copies do without.
        let open_memory: OpenMemory = {
            let cache = cache.clone();
            Box::new(move || {
                cache.unpack_to_file(&memory).map(UnpackedFile::into_file).map_err(io::Error::other)
            })
        };
        let load_installation = || {
            let installation = tree(&cache, &installation)?;
            for part in &parts {
                add(&cache, part, &installation)?;
            }
            Ok((installation, extensions::packed(&cache)))
        };
        let load_image = || {
            if let Some(load) = with_image {
                load(&cache);
            }
        };
        // The code takes longest, and its thread is to have a processor to itself.
        let (module, installation) = std::thread::scope(|scope| {
            let thread = || std::thread::Builder::new().name("pglite assets".into());
            let processors = hash::threads();
            if processors > 2 {
                // Without this thread, whoever needs the image loads it.
                let _ = thread().spawn_scoped(scope, load_image);
            }
            let installation = thread().spawn_scoped(scope, move || {
                let installation = load_installation();
                if processors <= 2 {
                    load_image();
                }
                installation
            });
            let module = load_module(&cache, &code, Some(open_memory));
            if let Ok(instances) = &module
                && with_image.is_some()
            {
                // While the others go on.
                instances.make_one_ready();
            }
            let installation = match installation {
                Ok(thread) => {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                }
                Err(source) => Err(AssetsError::Io { path: PathBuf::from("(thread)"), source }),
            };
            (module, installation)
        });
        let instances = module?;
        let (installation, library) = installation?;
        Ok(Runtime { instances, installation, library, cache, template: Arc::default() })
    }

    /// The same, with what is in these directories of extensions.
    pub(crate) fn with_extensions(&self, dirs: &[PathBuf]) -> Result<Arc<Runtime>, AssetsError> {
        let mut runtime = Runtime {
            instances: self.instances.clone(),
            installation: self.installation.clone_tree(),
            library: self.library.clone(),
            cache: self.cache.clone(),
            template: self.template.clone(),
        };
        for dir in dirs {
            extensions::add_directory(dir, &runtime.installation, &mut runtime.library)?;
        }
        Ok(Arc::new(runtime))
    }

    pub(crate) fn code(&self) -> Code<'_> {
        Code { instances: &self.instances, library: &self.library }
    }

    /// A freshly made data directory.
    pub(crate) fn template(&self) -> Result<&Tree, AssetsError> {
        if let Some(template) = self.template.get() {
            return Ok(template);
        }
        let template = tree(&self.cache, &packed()?.template)?;
        Ok(self.template.get_or_init(|| template))
    }

    pub(crate) fn cache(&self) -> &CacheDir {
        &self.cache
    }
}

/// The image of a new temporary database, as a file of its own. None if there is none for this build.
pub(crate) fn image(cache: &CacheDir) -> Result<Option<Unpacked>, AssetsError> {
    packed()?.image.map(|image| cache.unpack(&image)).transpose()
}

/// What an image depends on: it can be used by the build that made it only.
pub(crate) fn identity() -> Result<[u8; 32], AssetsError> {
    let packed = packed()?;
    let mut hasher = blake3::Hasher::new();
    let Packed { code, memory, installation, .. } = packed;
    for part in [code.hash, memory.hash, installation.hash, env!("CARGO_PKG_VERSION")] {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    Ok(*hasher.finalize().as_bytes())
}

fn load_module(
    cache: &CacheDir,
    code: &Asset,
    open_memory: Option<OpenMemory>,
) -> Result<Arc<Instances>, AssetsError> {
    let engine: Engine = EngineBuilder::headless().set_features(Some(features())).engine().into();
    let file = cache.unpack_to_file(code)?;
    let module = load_code(&engine, file.path())
        .map_err(|reason| AssetsError::Load { asset: code.name.into(), reason })?;
    Ok(Instances::new(engine, module, open_memory))
}

/// Maps native code. Who calls this has just compared its hash: with the one that is compiled in, or, if it is in a
/// directory of the user's choice, with the one that came with it.
fn load_code(engine: &Engine, path: &Path) -> Result<Module, String> {
    // SAFETY: what was compared is what our compiler has made, by the word of the crate or of who chose the
    // directory; and nobody but the owner of the file can change it in between.
    #[allow(unsafe_code, reason = "loading native code; the bytes are known")]
    let module = unsafe { Module::deserialize_from_file(engine, path) };
    module.map_err(|error| error.to_string())
}

fn tree(cache: &CacheDir, asset: &Asset) -> Result<Tree, AssetsError> {
    Tree::from_archive(cache.unpack(asset)?).map_err(|error| corrupt(asset, &error))
}

/// Adds an archive to the installation.
fn add(cache: &CacheDir, asset: &Asset, installation: &Tree) -> Result<(), AssetsError> {
    installation.add_archive(cache.unpack(asset)?).map_err(|error| corrupt(asset, &error))
}

fn corrupt(asset: &Asset, error: &impl std::fmt::Display) -> AssetsError {
    AssetsError::Corrupt { asset: asset.name.into(), reason: error.to_string() }
}

/// ICU's data.
#[cfg(feature = "icu")]
fn icu() -> Option<Asset> {
    use pglite_oxide_icu::ICU;
    Some(Asset {
        name: "icu.img",
        packed: ICU.packed,
        hash: ICU.blake3,
        xxh3: ICU.xxh3,
        len: ICU.len,
    })
}

/// ICU's data are in no program that was built without them.
#[cfg(not(feature = "icu"))]
fn icu() -> Option<Asset> {
    None
}

/// The packed parts for this target.
struct Packed {
    code: Asset,
    /// What the memory of a process begins with.
    memory: Asset,
    installation: Asset,
    template: Asset,
    /// None in the build that makes it.
    image: Option<Asset>,
}

impl Packed {
    fn all(&self) -> Vec<Asset> {
        let parts = [self.code, self.memory, self.installation, self.template]
            .into_iter()
            .chain(self.image);
        let parts = parts.chain(extensions::assets()).chain(icu());
        #[cfg(feature = "tools")]
        let parts = parts.chain(tools::asset().ok());
        parts.collect()
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn packed() -> Result<Packed, AssetsError> {
    use pglite_oxide_aot_x86_64_unknown_linux_gnu as aot;
    use pglite_oxide_assets as assets;
    macro_rules! asset {
        ($name:literal, $packed:expr) => {
            Asset {
                name: $name,
                packed: $packed.packed,
                hash: $packed.blake3,
                xxh3: $packed.xxh3,
                len: $packed.len,
            }
        };
    }
    Ok(Packed {
        code: asset!("postgres.elf", aot::POSTGRES),
        memory: asset!("memory.img", assets::MEMORY),
        installation: asset!("share.img", assets::SHARE),
        template: asset!("template.img", assets::TEMPLATE),
        image: (assets::IMAGE.len > 0).then_some(asset!("image.img", assets::IMAGE)),
    })
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
fn packed() -> Result<Packed, AssetsError> {
    Err(AssetsError::UnsupportedTarget {
        target: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
    })
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> AssetsError + '_ {
    move |source| AssetsError::Io { path: path.to_owned(), source }
}
