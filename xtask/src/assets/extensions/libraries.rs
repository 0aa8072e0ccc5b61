//! Step `extension-libraries`: C libraries that modules have a copy of, as position-independent code.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, bail};

use super::super::libraries::{OURS, PIC, SOURCES, VERSION, unpack};
use super::super::sources::{E2FSPROGS, LIBXSLT, OPENSSL};
use super::super::{Build, Key, flags, hash};
use crate::paths::WORK;
use crate::process::Log;

/// A library that `assets/extensions.toml` can name.
struct Library {
    name: &'static str,
    /// Files in [`PIC`].
    files: &'static [&'static str],
    /// For what is compiled against it.
    flags: &'static str,
}

const LIBRARIES: &[Library] = &[
    Library { name: "z", files: &["libz.a"], flags: "" },
    Library { name: "crypto", files: &["crypto.o", "libcrypto.a"], flags: "" },
    // PostgreSQL's configure knows several libraries for UUIDs, and would write which it has found into pg_config.h.
    Library {
        name: "uuid",
        files: &["libuuid.a"],
        flags: "-DHAVE_UUID_E2FS=1 -DHAVE_UUID_UUID_H=1",
    },
    // As with UUIDs. Its libxml2 is the core's.
    // See the step `extension-rust`.
    Library { name: "ruvector", files: &["libruvector.a"], flags: "" },
    Library { name: "xslt", files: &["libxslt.a"], flags: "-DUSE_LIBXSLT=1" },
];

/// The compiler with the options of side modules, for build systems of others: options would show in what they make.
const SIDE_CC: &str = "wasm32-side-cc";

/// What pgcrypto can make no use of: protocols, public keys (it has arithmetic of its own for ElGamal and RSA), and
/// what needs an operating system.
const OPENSSL_WITHOUT: &str = "afalgeng apps argon2 aria asm async autoload-config cached-fetch camellia chacha cmac \
     cmp cms comp ct dgram dh docs dsa dso dtls ec engine err filenames gost http idea md4 mdc2 ml-dsa ml-kem module \
     multiblock ocb ocsp padlockeng poly1305 posix-io psk quic rc2 rc4 rfc3779 scrypt secure-memory seed shared siphash \
     siv slh-dsa sm2 sm3 sm4 sock srp srtp ssl stdio tests threads tls ts ui-console";

pub(crate) fn key(build: &Build) -> Result<Key> {
    Key::new("extension-libraries")
        // For headers of PostgreSQL.
        .text("configure", &super::super::configure::key(build)?.finish())
        .text("openssl", &build.lock.source(OPENSSL)?.sha256)
        .text("e2fsprogs", &build.lock.source(E2FSPROGS)?.sha256)
        .text("libxslt", &build.lock.source(LIBXSLT)?.sha256)
        .text("scripts", &[openssl(1), uuid(), xslt(1), side_cc()].concat())
        .dir("side", &build.paths.repo(super::side::HEADERS))?
        .dir("ours", &build.paths.repo(OURS))
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let cc = build.paths.work("bin").join(SIDE_CC);
    hash::write_file(&cc, side_cc().as_bytes())?;
    std::fs::set_permissions(&cc, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", cc.display()))?;
    hash::mirror(&build.paths.repo(OURS), &build.paths.work(SOURCES).join("ours"))?;
    unpack(build, log, OPENSSL, SOURCES)?;
    log.run(&mut build.chroot().script(&openssl(jobs)))?;
    unpack(build, log, E2FSPROGS, SOURCES)?;
    log.run(&mut build.chroot().script(&uuid()))?;
    unpack(build, log, LIBXSLT, SOURCES)?;
    log.run(&mut build.chroot().script(&xslt(jobs)))
}

fn side_cc() -> String {
    format!("#!/bin/sh\nexec {} {} \"$@\"\n", flags::CC, super::side::flags())
}

fn openssl(jobs: usize) -> String {
    let without: String =
        OPENSSL_WITHOUT.split_whitespace().map(|name| format!(" no-{name}")).collect();
    format!(
        "cd {WORK}/{SOURCES}/{OPENSSL}
        CC={SIDE_CC} AR=llvm-ar-22 RANLIB=llvm-ranlib-22 perl Configure linux-generic32 --prefix={prefix} \
            --openssldir={prefix}/ssl --with-rand-seed=getrandom -O2 -DOPENSSL_SMALL_FOOTPRINT {without}
        make -s build_generated
        make -s -j{jobs} libcrypto.a
        cp libcrypto.a {WORK}/{PIC}/
        mkdir -p {WORK}/{PIC}/include
        cp -r include/openssl {WORK}/{PIC}/include/
        {SIDE_CC} {optimize} -Wno-deprecated-declarations -I{WORK}/{PIC}/include -I{WORK}/obj/src/include \
            -I{WORK}/pg/src/include -c ../ours/crypto.c -o {WORK}/{PIC}/crypto.o\n",
        prefix = flags::PREFIX,
        optimize = flags::OPTIMIZE,
    )
}

/// It locks a file with its state, if that can be opened, which it never can: any numbers will do for the locks.
fn uuid() -> String {
    format!(
        "cd {WORK}/{SOURCES}/{E2FSPROGS}/lib/uuid
        mkdir -p {WORK}/{PIC}/include/uuid
        cp uuid.h.in {WORK}/{PIC}/include/uuid/uuid.h
        mkdir uuid
        ln -s ../uuid.h.in uuid/uuid.h
        echo '#include <stdint.h>' > uuid/uuid_types.h
        touch config.h
        for file in clear compare copy gen_uuid isnull pack parse unpack unparse uuid_time; do
            {SIDE_CC} {optimize} -I. -DHAVE_UNISTD_H -DHAVE_STDLIB_H -DHAVE_SYS_TIME_H -DHAVE_GETENTROPY \
                -DF_WRLCK=1 -DF_UNLCK=2 -DF_SETLK=6 -DF_SETLKW=7 \
                -c $file.c -o $file.o
        done
        llvm-ar-22 rcsD {WORK}/{PIC}/libuuid.a *.o\n",
        optimize = flags::OPTIMIZE,
    )
}

fn xslt(jobs: usize) -> String {
    format!(
        "cd {WORK}/{SOURCES}/{LIBXSLT}
        {VERSION}
        version
        sed -e \"s/@VERSION@/$version/; s/@LIBXSLT_VERSION_NUMBER@/$number/; s/@LIBXSLT_VERSION_EXTRA@//\" \
            -e 's/@LIBXSLT_DEFAULT_PLUGINS_PATH@//; s/@WITH_[A-Z_]*@/0/' \
            libxslt/xsltconfig.h.in > libxslt/xsltconfig.h
        mkdir -p {WORK}/{PIC}/include/libxslt objects
        cp libxslt/*.h {WORK}/{PIC}/include/libxslt/
        ls libxslt/*.c | xargs -n1 -P{jobs} sh -euc '
            exec {SIDE_CC} {optimize} -I. -D_GNU_SOURCE -w -c $0 -o objects/$(basename $0 .c).o'
        llvm-ar-22 rcsD {WORK}/{PIC}/libxslt.a objects/*.o\n",
        optimize = flags::OPTIMIZE,
    )
}

/// What modules are linked with, as words of a command.
pub(super) fn link(names: &[String]) -> Result<String> {
    let mut files = Vec::new();
    for name in names {
        files.extend(find(name)?.files.iter().map(|file| format!("{WORK}/{PIC}/{file}")));
    }
    Ok(files.join(" "))
}

/// What modules are compiled with.
pub(super) fn compile(names: &[String]) -> Result<String> {
    let mut flags = Vec::new();
    for name in names {
        flags.push(find(name)?.flags);
    }
    if !names.is_empty() {
        let include = format!("-I{WORK}/{PIC}/include");
        return Ok([flags.join(" "), include].join(" "));
    }
    Ok(String::new())
}

fn find(name: &str) -> Result<&'static Library> {
    match LIBRARIES.iter().find(|library| library.name == name) {
        Some(library) => Ok(library),
        None => bail!("no library {name}: add it to xtask/src/assets/extensions/libraries.rs"),
    }
}
