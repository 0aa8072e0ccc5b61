//! Step `pack`: what the two crates carry.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use twox_hash::XxHash3_128;
use zstd::stream::raw::CParameter;

use super::libraries::icu_data;
use super::manifest::{Manifest, Packed};
use super::{Build, Compiler, Key, aot, extensions, hash, initdb, share, tools};
use crate::process::Log;

// Written for the library, which uses all of it.
#[allow(dead_code, unreachable_pub, clippy::all, reason = "the library's file, included as it is")]
#[path = "../../../src/kernel/fs/archive.rs"]
mod archive;

pub(crate) const ASSETS: &str = "crates/pglite-oxide-assets/packed";
pub(crate) const AOT: &str = "crates/pglite-oxide-aot-x86_64-unknown-linux-gnu/packed";

/// Not in the total below: who does not switch the feature on does not get it.
pub(crate) const TOOLS: &str = "crates/pglite-oxide-tools-x86_64-unknown-linux-gnu/packed";

/// Nor these, of another feature.
const ICU: &str = "crates/pglite-oxide-icu/packed";

/// The directories of packed files, one in each crate.
pub(crate) const DIRS: &[&str] = &[ASSETS, AOT, TOOLS, ICU, extensions::FILES, extensions::MODULES];

/// The highest level that asks nothing special of the reader, and a window that its memory bears (32 MiB).
const LEVEL: i32 = 22;
const WINDOW_LOG: u32 = 25;

/// What is larger is packed in two frames, for two processors to unpack. More would cost more room: a frame knows
/// nothing of the others. (Two of code: 1.5 %; four: 2.3 %, and 9 % of the image.)
const TWO_FRAMES: usize = 8 << 20;

/// The image of a new database, made by the step `image` with what this one has packed before. Where there is
/// none yet, an empty file is packed.
pub(crate) const IMAGE: &str = "image.img";

/// crates.io takes 10 MiB a crate.
const CRATE_LIMIT: u64 = 10 << 20;

/// What every program with a database carries, and what the feature `extensions` adds: all of contrib is to cost less
/// than half of PostgreSQL itself.
const TOTAL_LIMIT: u64 = 12_000_000;
const EXTENSIONS_LIMIT: u64 = 4_000_000;
const EXTENSIONS: &[&str] = &[extensions::FILES, extensions::MODULES];

pub(crate) fn key(build: &Build) -> Result<Key> {
    let mut key = Key::new("pack")
        .text("fingerprint", &super::manifest::fingerprint(&build.paths)?)
        .text("zstd", &format!("{LEVEL} {WINDOW_LOG} {TWO_FRAMES}"));
    let artifact = aot::artifact(build);
    if artifact.exists() {
        key = key.file("artifact", &artifact)?;
    }
    let memory = aot::memory(build);
    if memory.exists() {
        key = key.file("memory", &memory)?;
    }
    let artifact = tools::artifact(build);
    if artifact.exists() {
        key = key.file("tools", &artifact)?;
    }
    for (name, dir) in [
        ("share", share::dir(build)),
        ("template", initdb::dir(build)),
        ("icu", icu_data::dir(build)),
    ] {
        if dir.exists() {
            key = key.dir(name, &dir)?;
        }
    }
    let image = build.paths.out(IMAGE);
    if image.exists() {
        key = key.file("image", &image)?;
    }
    extensions::pack_key(build, key)
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    if build.compiler != Compiler::Llvm {
        bail!("only LLVM's artifact is packed");
    }
    let runtime = tree(&share::dir(build), |path| {
        !path
            .strip_prefix(share::SHARE)
            .is_ok_and(|file| share::INITDB_ONLY.iter().any(|name| file == Path::new(name)))
    })?;
    let template = tree(&initdb::dir(build), |_| true)?;
    let artifact = hash::read(&aot::artifact(build))?;
    let image = build.paths.out(IMAGE);
    let image = if image.exists() { hash::read(&image)? } else { Vec::new() };
    let mut packed = vec![
        store(
            build,
            log,
            ASSETS,
            "share.img",
            "The installation tree: what the guest sees as `/pglite`",
            &runtime,
        )?,
        store(build, log, ASSETS, "template.img", "A freshly made data directory", &template)?,
        store(
            build,
            log,
            ASSETS,
            "memory.img",
            "What the memory of a process begins with that is not a copy of another",
            &hash::read(&aot::memory(build))?,
        )?,
        store(
            build,
            log,
            ASSETS,
            IMAGE,
            "A new temporary database that has started already",
            &image,
        )?,
        store(
            build,
            log,
            AOT,
            "postgres.elf",
            "The module as native code, to be mapped by Wasmer",
            &artifact,
        )?,
        store(
            build,
            log,
            TOOLS,
            "tools.elf",
            "The tools as native code, to be mapped by Wasmer",
            &hash::read(&tools::artifact(build))?,
        )?,
        store(
            build,
            log,
            ICU,
            "icu.img",
            "ICU's data for collations, as part of the installation tree",
            &tree(&icu_data::dir(build), |_| true)?,
        )?,
    ];
    for dir in [ASSETS, AOT, TOOLS, ICU] {
        write_index(build, dir, &packed)?;
    }
    packed.extend(extensions::pack(build, log)?);
    for &dir in DIRS {
        let size: u64 =
            packed.iter().filter(|file| file.dir == dir).map(|file| file.packed_size).sum();
        if size > CRATE_LIMIT {
            bail!("{dir} has {size} bytes; crates.io takes {CRATE_LIMIT}");
        }
    }
    let sum = |wanted: fn(&str) -> bool| -> u64 {
        packed.iter().filter(|file| wanted(&file.dir)).map(|file| file.packed_size).sum()
    };
    let total = sum(|dir| ![TOOLS, ICU].contains(&dir) && !EXTENSIONS.contains(&dir));
    let extensions = sum(|dir| EXTENSIONS.contains(&dir));
    for (what, size, limit) in
        [("PostgreSQL", total, TOTAL_LIMIT), ("extensions", extensions, EXTENSIONS_LIMIT)]
    {
        if size > limit {
            bail!(
                "the packed files of {what} have {size} bytes together, over the limit of {limit}"
            );
        }
    }
    Manifest::new(build, packed)?.write(&build.paths)?;
    println!("           {total} bytes packed, and {extensions} of extensions");
    Ok(())
}

/// The files below a directory as one archive; `keep` decides by the path relative to it.
pub(crate) fn tree(dir: &Path, keep: impl Fn(&Path) -> bool) -> Result<Vec<u8>> {
    use archive::{Entry, EntryBody};
    let mut entries = Vec::new();
    for item in walkdir::WalkDir::new(dir).min_depth(1).sort_by_file_name() {
        let item = item.with_context(|| format!("cannot list {}", dir.display()))?;
        let path = item.path().strip_prefix(dir).context("a file outside its directory")?;
        if !keep(path) {
            continue;
        }
        let body = if item.file_type().is_dir() {
            EntryBody::Directory
        } else if item.file_type().is_symlink() {
            let target = std::fs::read_link(item.path())?;
            EntryBody::Symlink(target.to_str().context("a link that is not UTF-8")?.to_owned())
        } else {
            EntryBody::File(hash::read(item.path())?)
        };
        let path =
            path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned();
        entries.push(Entry { path, body });
    }
    archive::write(entries).map_err(|error| anyhow::anyhow!("{}: {error}", dir.display()))
}

pub(crate) fn store(
    build: &Build,
    log: &mut Log,
    dir: &str,
    name: &str,
    what: &str,
    content: &[u8],
) -> Result<Packed> {
    let packed = compress(content).with_context(|| format!("cannot compress {name}"))?;
    let file = format!("{name}.zst");
    hash::write_file(&build.paths.repo(dir).join(&file), &packed)?;
    log.note(&format!("{file}: {} -> {} bytes", content.len(), packed.len()))?;
    println!("           {file}: {} -> {} bytes", content.len(), packed.len());
    Ok(Packed {
        dir: dir.to_owned(),
        file,
        name: name.to_owned(),
        what: what.to_owned(),
        packed_size: packed.len() as u64,
        packed_blake3: blake3::hash(&packed).to_hex().to_string(),
        size: content.len() as u64,
        blake3: blake3::hash(content).to_hex().to_string(),
        xxh3: format!("{:032x}", XxHash3_128::oneshot(content)),
    })
}

/// One frame, or several in zstd's seekable format: after the frames their sizes, in a frame that readers skip.
fn compress(content: &[u8]) -> std::io::Result<Vec<u8>> {
    const SKIPPABLE: u32 = 0x184d_2a5e;
    const SEEKABLE: u32 = 0x8f92_eab1;
    const FOOTER: usize = 9;
    if content.len() <= TWO_FRAMES {
        return frame(content);
    }
    let (mut file, mut table) = (Vec::new(), Vec::new());
    let mut count = 0u32;
    for part in content.chunks(content.len().div_ceil(2)) {
        let packed = frame(part)?;
        for size in [packed.len(), part.len()] {
            let size = u32::try_from(size).map_err(std::io::Error::other)?;
            table.extend(size.to_le_bytes());
        }
        file.extend(packed);
        count += 1;
    }
    file.extend(SKIPPABLE.to_le_bytes());
    file.extend(u32::try_from(table.len() + FOOTER).map_err(std::io::Error::other)?.to_le_bytes());
    file.extend(table);
    file.extend(count.to_le_bytes());
    // No flags: BLAKE3 of the contents is elsewhere.
    file.push(0);
    file.extend(SEEKABLE.to_le_bytes());
    Ok(file)
}

fn frame(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    encoder.long_distance_matching(true)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(content.len() as u64))?;
    std::io::Write::write_all(&mut encoder, content)?;
    encoder.finish()
}

/// The constants of a crate, for its `include!`.
pub(crate) fn write_index(build: &Build, dir: &str, packed: &[Packed]) -> Result<()> {
    use std::fmt::Write as _;
    let mut text = "// Written by `cargo xtask assets build`.\n".to_owned();
    for file in packed.iter().filter(|file| file.dir == dir) {
        let constant = file.name.split('.').next().unwrap_or_default().to_uppercase();
        let _ = write!(
            text,
            "\n/// {what}.\npub const {constant}: Packed = Packed {{\n    packed: include_bytes!(\"{file}\"),\n    \
             blake3: \"{blake3}\",\n    xxh3: 0x{xxh3},\n    len: {len},\n}};\n",
            what = file.what,
            file = file.file,
            blake3 = file.blake3,
            xxh3 = file.xxh3,
            len = file.size,
        );
    }
    hash::write_file(&build.paths.repo(dir).join("index.rs"), text.as_bytes())
}
