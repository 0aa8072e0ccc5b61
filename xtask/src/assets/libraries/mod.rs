//! Step `libraries`: the C libraries that PostgreSQL is configured with.
//!
//! Compiled file by file, as we know the target better than their own build systems do. Twice: as the core is, and as
//! position-independent code, for extensions that have a copy of their own. ICU, in C++ and much larger, is a step of
//! its own.

pub(crate) mod icu;
pub(crate) mod icu_data;

use anyhow::Result;

use super::chroot::quote;
use super::sources::{LIBXML2, LZ4, ZLIB, ZSTD, tarball};
use super::{Build, Key, flags, hash};
use crate::paths::WORK;
use crate::process::Log;

/// A library that is some C files.
struct Library {
    source: &'static str,
    /// As in `-lz`.
    name: &'static str,
    /// What its configure would do.
    configure: &'static str,
    /// Patterns of the shell, below the source.
    files: &'static str,
    headers: &'static str,
    /// Below the directory that the compiler looks in.
    headers_into: &'static str,
    flags: &'static str,
}

const LIBRARIES: &[Library] = &[
    Library {
        source: ZLIB,
        name: "z",
        configure: "",
        files: "*.c",
        headers: "zlib.h zconf.h",
        headers_into: "",
        flags: "-DZ_HAVE_UNISTD_H -DHAVE_STDARG_H -DHAVE_HIDDEN",
    },
    Library {
        source: LZ4,
        name: "lz4",
        configure: "",
        files: "lib/lz4.c lib/lz4hc.c lib/lz4frame.c lib/xxhash.c",
        headers: "lib/lz4.h lib/lz4hc.h lib/lz4frame.h",
        headers_into: "",
        // So that no other copy of xxhash meets this one.
        flags: "-DXXH_NAMESPACE=LZ4_",
    },
    Library {
        source: ZSTD,
        name: "zstd",
        configure: "",
        files: "lib/common/*.c lib/compress/*.c lib/decompress/*.c",
        headers: "lib/zstd.h lib/zstd_errors.h",
        headers_into: "",
        flags: "-DXXH_NAMESPACE=ZSTD_ -DZSTD_LEGACY_SUPPORT=0 -DZSTD_DISABLE_ASM",
    },
    Library {
        source: LIBXML2,
        name: "xml2",
        // No threads, no networks, no catalogues that name files, no character sets of others: PostgreSQL hands it UTF-8.
        configure: r#"version
            sed -e "s/@VERSION@/$version/; s/@LIBXML_VERSION_NUMBER@/$number/; s/@LIBXML_VERSION_EXTRA@//" \
                -e 's/@WITH_\(HTML\|ISO8859X\|OUTPUT\|PATTERN\|PUSH\|SAX1\|TREE\|VALID\|WRITER\|XPATH\)@/1/' \
                -e 's/@WITH_[A-Z0-9_]*@/0/; s/@MODULE_EXTENSION@/.so/' \
                include/libxml/xmlversion.h.in > include/libxml/xmlversion.h"#,
        // Parser, tree, XPath and writer, for the type xml; and HTML, which the extension xml2 can write.
        files: "buf.c chvalid.c dict.c encoding.c entities.c error.c globals.c hash.c HTMLparser.c HTMLtree.c list.c \
                parser.c parserInternals.c pattern.c SAX2.c threads.c tree.c uri.c valid.c xmlIO.c xmlmemory.c \
                xmlsave.c xmlstring.c xmlwriter.c xpath.c",
        headers: "include/libxml/*.h",
        headers_into: "libxml",
        flags: "-I. -Iinclude -D_GNU_SOURCE -w",
    },
];

/// Our own part: a directory of the source's name, with patches, applied in the order of their names, and what
/// configure would make.
pub(crate) const OURS: &str = "assets/libraries";

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
        let ours = build.paths.repo(OURS).join(library.source);
        if ours.exists() {
            key = key.dir("ours", &ours)?;
        }
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

/// A source package's tarball, as a directory of its name, with our part in it.
pub(crate) fn unpack(build: &Build, log: &mut Log, name: &str, into: &str) -> Result<()> {
    let source = build.lock.source(name)?;
    let dir = build.paths.work(into).join(name);
    hash::empty_dir(&dir)?;
    hash::copy(&tarball(&build.paths, source), &build.paths.work("downloads").join(&source.file))?;
    log.run(&mut build.chroot().script(&format!(
        "tar -C {WORK}/{into}/{name} --strip-components=1 -xf {WORK}/downloads/{}",
        quote(&source.file)
    )))?;
    let ours = build.paths.repo(OURS).join(name);
    if !ours.exists() {
        return Ok(());
    }
    for file in hash::files(&ours)? {
        hash::copy(&ours.join(&file), &dir.join(&file))?;
    }
    log.run(&mut build.chroot().script(&format!(
        "cd {WORK}/{into}/{name}
        for patch in [0-9][0-9][0-9][0-9]-*.patch; do
            if [ -e \"$patch\" ]; then patch -p1 --fuzz=0 --no-backup-if-mismatch -i $patch; fi
        done"
    )))
}

/// `version` for scripts: of the libraries of GNOME, as `$version` and as the number that their headers have.
pub(crate) const VERSION: &str = r#"version() {
            part() { sed -n "s/^m4_define(\[$1_VERSION\], *\[*\([0-9]*\).*/\1/p" configure.ac; }
            version=$(part MAJOR).$(part MINOR).$(part MICRO)
            number=$(($(part MAJOR) * 10000 + $(part MINOR) * 100 + $(part MICRO)))
        }"#;

fn script(library: &Library, jobs: usize) -> String {
    let Library { source, name, configure, files, headers, headers_into, flags } = library;
    format!(
        "cd {WORK}/{SOURCES}/{source}
        {VERSION}
        {configure}
        mkdir -p {WORK}/libraries/include/{headers_into} {WORK}/libraries/lib {WORK}/{PIC} objects pic
        cp {headers} {WORK}/libraries/include/{headers_into}
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
