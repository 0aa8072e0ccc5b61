//! Step `libraries`: the C libraries that PostgreSQL is configured with.
//!
//! Compiled file by file, as we know the target better than their own build systems do. Twice: as the core is, and as
//! position-independent code, for extensions that have a copy of their own.

use anyhow::Result;

use super::chroot::quote;
use super::sources::{LZ4, ZLIB, ZSTD, tarball};
use super::{Build, Key, flags, hash};
use crate::paths::WORK;
use crate::process::Log;

/// A library that is some C files.
struct Library {
    source: &'static str,
    /// As in `-lz`.
    name: &'static str,
    /// Patterns of the shell, below the source.
    files: &'static str,
    headers: &'static str,
    flags: &'static str,
}

const LIBRARIES: &[Library] = &[
    Library {
        source: ZLIB,
        name: "z",
        files: "*.c",
        headers: "zlib.h zconf.h",
        flags: "-DZ_HAVE_UNISTD_H -DHAVE_STDARG_H -DHAVE_HIDDEN",
    },
    Library {
        source: LZ4,
        name: "lz4",
        files: "lib/lz4.c lib/lz4hc.c lib/lz4frame.c lib/xxhash.c",
        headers: "lib/lz4.h lib/lz4hc.h lib/lz4frame.h",
        // So that no other copy of xxhash meets this one.
        flags: "-DXXH_NAMESPACE=LZ4_",
    },
    Library {
        source: ZSTD,
        name: "zstd",
        files: "lib/common/*.c lib/compress/*.c lib/decompress/*.c",
        headers: "lib/zstd.h lib/zstd_errors.h",
        flags: "-DXXH_NAMESPACE=ZSTD_ -DZSTD_LEGACY_SUPPORT=0 -DZSTD_DISABLE_ASM",
    },
];

/// Where position-independent copies are.
pub(crate) const PIC: &str = "libraries/pic";

pub(crate) fn key(build: &Build) -> Result<Key> {
    let mut key = Key::new("libraries")
        .text("sysroot", &super::sysroot::key(build)?.finish())
        .text("tools", &build.lock.tools_text())
        .text("compiler", &flags::compiler_script())
        .dir("include", &build.paths.repo("assets/wasix/include"))?;
    for library in LIBRARIES {
        key = key
            .text(library.name, &build.lock.source(library.source)?.sha256)
            .text("script", &script(library, 1));
    }
    Ok(key)
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    hash::empty_dir(&build.paths.work("libraries"))?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    for library in LIBRARIES {
        unpack(build, log, library.source, SOURCES)?;
        log.run(&mut build.chroot().script(&script(library, jobs)))?;
    }
    Ok(())
}

/// Where the sources are compiled, a directory each.
pub(crate) const SOURCES: &str = "library-sources";

/// A source package's tarball, as a directory of its name.
pub(crate) fn unpack(build: &Build, log: &mut Log, name: &str, into: &str) -> Result<()> {
    let source = build.lock.source(name)?;
    hash::empty_dir(&build.paths.work(into).join(name))?;
    hash::copy(&tarball(&build.paths, source), &build.paths.work("downloads").join(&source.file))?;
    log.run(&mut build.chroot().script(&format!(
        "tar -C {WORK}/{into}/{name} --strip-components=1 -xf {WORK}/downloads/{}",
        quote(&source.file)
    )))
}

fn script(library: &Library, jobs: usize) -> String {
    let Library { source, name, files, headers, flags } = library;
    format!(
        "cd {WORK}/{SOURCES}/{source}
        mkdir -p {WORK}/libraries/include {WORK}/libraries/lib {WORK}/{PIC} objects pic
        cp {headers} {WORK}/libraries/include/
        compile() {{
            printf '%s\\n' {files} | xargs -n1 -P{jobs} sh -euc '
                exec {cc} {optimize} {flags} $0 -c $2 -o $1/$(basename $2 .c).o' \"$2\" $1
            llvm-ar-22 rcsD $3/lib{name}.a $1/*.o
        }}
        compile objects '' {WORK}/libraries/lib
        compile pic -fPIC {WORK}/{PIC}\n",
        cc = flags::CC,
        optimize = flags::OPTIMIZE,
    )
}
