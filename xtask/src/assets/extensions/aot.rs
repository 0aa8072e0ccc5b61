//! Step `extensions-aot`: each module as native code, with a trailer by which a damaged file is noticed.

use anyhow::{Context as _, Result};

use super::super::{Build, Key, aot, hash};
use super::catalogue::{Catalogue, Module, Purpose};
use super::{code, wasm_dir};
use crate::process::Log;

/// The last bytes of a module's file; before them are its code's BLAKE3 and length.
const MARK: &[u8; 24] = b"pglite-oxide side module";

pub(super) fn key(build: &Build) -> Result<Key> {
    let mut key = Key::new("extensions-aot").text("tool", &aot::tool_key(build)?.finish());
    if wasm_dir(build).exists() {
        key = key.dir("modules", &wasm_dir(build))?;
    }
    Ok(key)
}

pub(super) fn run(build: &Build, log: &mut Log) -> Result<()> {
    aot::build_tool(build, log)?;
    let tool = aot::tool_key(build)?.finish();
    let modules = Catalogue::read(build)?.modules()?;
    for module in &modules {
        let name = &module.name;
        let wasm = wasm_dir(build).join(format!("{name}.so"));
        let key = Key::new("module").text("tool", &tool).file("wasm", &wasm)?.finish();
        let stamp = build.paths.out("extensions/keys").join(name);
        let out = code(build, module);
        if out.exists() && std::fs::read_to_string(&stamp).is_ok_and(|last| last == key) {
            continue;
        }
        let fresh = out.with_extension("so.new");
        let dir = fresh.parent().context("a file in no directory")?;
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        aot::compile(build, log, &wasm, &fresh)?;
        hash::write_file(&fresh, &with_trailer(hash::read(&fresh)?))?;
        std::fs::rename(&fresh, &out).with_context(|| format!("cannot write {}", out.display()))?;
        hash::write_file(&stamp, key.as_bytes())?;
    }
    remove_others(build, &modules)
}

/// Code of modules that are no more.
fn remove_others(build: &Build, modules: &[Module]) -> Result<()> {
    let dir = build.paths.out("extensions/lib");
    for file in hash::files(&dir)? {
        let is_packed = |module: &Module| {
            module.purpose == Purpose::Packed
                && file.to_str() == Some(&format!("{}.so", module.name))
        };
        if !modules.iter().any(is_packed) {
            let path = dir.join(file);
            std::fs::remove_file(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn with_trailer(mut code: Vec<u8>) -> Vec<u8> {
    let (hash, len) = (blake3::hash(&code), code.len() as u64);
    code.extend(hash.as_bytes());
    code.extend(len.to_le_bytes());
    code.extend(MARK);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trailer_tells_hash_and_length() {
        let file = with_trailer(b"code".to_vec());
        let (code, trailer) = file.split_at(4);
        assert_eq!(code, b"code");
        assert_eq!(trailer.len(), 64);
        assert_eq!(trailer[..32], *blake3::hash(code).as_bytes());
        assert_eq!(trailer[32..40], [4, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&trailer[40..], b"pglite-oxide side module");
    }
}
