//! PostgreSQL's front-end tools, which are one module.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::cache::{Asset, CacheDir};
use super::{RUNTIME, load_module, packed};
use crate::error::AssetsError;
use crate::kernel::Instances;

/// Loads the tools at the first call in this process. They are unpacked to the cache that the runtime has, if that
/// is loaded and no other is named.
pub(crate) fn tools(cache: Option<&Path>) -> Result<Arc<Instances>, AssetsError> {
    static TOOLS: Mutex<Option<Arc<Instances>>> = Mutex::new(None);
    let mut tools = TOOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = tools.as_ref() {
        return Ok(loaded.clone());
    }
    let asset = asset()?;
    let loaded = match RUNTIME.get() {
        Some(runtime) if cache.is_none() => load_module(&runtime.cache, &asset, None)?,
        _ => load_module(&CacheDir::new(cache, packed()?.all()), &asset, None)?,
    };
    Ok(tools.insert(loaded).clone())
}

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
pub(super) fn asset() -> Result<Asset, AssetsError> {
    use pglite_oxide_tools_x86_64_unknown_linux_gnu::TOOLS;
    Ok(Asset {
        name: "tools.elf",
        packed: TOOLS.packed,
        hash: TOOLS.blake3,
        xxh3: TOOLS.xxh3,
        len: TOOLS.len,
    })
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
pub(super) fn asset() -> Result<Asset, AssetsError> {
    packed()?;
    Err(AssetsError::UnsupportedTarget { target: std::env::consts::OS.into() })
}
